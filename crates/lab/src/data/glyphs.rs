//! Glyphs: ten classes of drawn figures, made from the seed, so that a study needs no download.
//!
//! A figure is a set of strokes in the unit square, distorted by a random affine and a smooth elastic map, drawn with a
//! random pen over a sloping background among short clutter strokes, with noise; light on dark or dark on light.

use rayon::prelude::*;

use super::{Augmentation, Dataset, LoadOptions};
use foregrad::rng::Stream;

/// Images of a split unless the user asks for another number.
const DEFAULT_SIZES: [usize; 2] = [10_000, 2_000];

/// The classes.
const NAMES: [&str; 10] =
    ["circle", "triangle", "square", "cross", "star", "zigzag", "spiral", "wave", "arrow", "barred ring"];

/// Grey 28x28 or colour 32x32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Grey,
    Colour,
}

type Point = [f64; 2];
type Stroke = [Point; 2];

/// Training and test images.
pub(super) fn load(options: &LoadOptions, style: Style) -> [Dataset; 2] {
    let counts = [options.train_limit, options.test_limit];
    [0, 1].map(|split| {
        let stream = Stream::new(options.seed, "glyphs").at(split as u64);
        generate(stream, counts[split].unwrap_or(DEFAULT_SIZES[split]), style)
    })
}

fn generate(stream: Stream, count: usize, style: Style) -> Dataset {
    let shape = match style {
        Style::Grey => [1, 28, 28],
        Style::Colour => [3, 32, 32],
    };
    let size: usize = shape.iter().product();
    let mut pixels = vec![0; count * size];
    let labels: Vec<u16> = (0..count).map(|index| (stream.at(index as u64).generator().bounded(10)) as u16).collect();
    pixels.par_chunks_mut(size).zip(&labels).enumerate().for_each(|(index, (image, label))| {
        draw(stream.at(index as u64).named("image"), usize::from(*label), shape, image);
    });
    Dataset {
        pixels,
        labels,
        shape,
        classes: NAMES.iter().map(|name| name.to_string()).collect(),
        mean: vec![0.5; shape[0]],
        deviation: vec![0.25; shape[0]],
        augmentation: Augmentation::Shift,
    }
}

/// Numbers uniform in ranges, in the order they are asked for.
struct Draws(std::vec::IntoIter<f64>);

impl Draws {
    fn new(stream: Stream) -> Self {
        Self(stream.uniform(128, 0.0, 1.0).into_iter())
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.0.next().expect("fewer draws than were made")
    }
}

fn draw(stream: Stream, class: usize, [channels, height, width]: [usize; 3], image: &mut [u8]) {
    let mut draws = Draws::new(stream.named("shape"));
    let warp = Warp::draw(&mut draws);
    let figure = strokes(class);
    let clutter: Vec<Stroke> = (0..4).map(|_| clutter_stroke(&mut draws)).collect();
    let pen = draws.between(0.045, 0.085);
    let slope: Point = [draws.between(-0.25, 0.25), draws.between(-0.25, 0.25)];
    let inverted = draws.between(0.0, 1.0) < 0.5;
    let palette: Vec<[f64; 3]> = (0..channels).map(|_| levels(&mut draws, inverted)).collect();
    let noise = stream.named("noise").normal(image.len());
    let plane = height * width;
    for row in 0..height {
        for column in 0..width {
            let place = [(column as f64 + 0.5) / width as f64 - 0.5, (row as f64 + 0.5) / height as f64 - 0.5];
            let ink = coverage(distance(&figure, warp.back(place)), pen);
            let mess = coverage(distance(&clutter, place), 0.03);
            let shade = slope[0] * place[0] + slope[1] * place[1];
            for (channel, [ground, figure, litter]) in palette.iter().enumerate() {
                let below = ground + shade + mess * (litter - ground);
                let at = channel * plane + row * width + column;
                let value = below + ink * (figure - below) + 0.09 * noise[at];
                image[at] = (255.0 * value).clamp(0.0, 255.0).round() as u8;
            }
        }
    }
}

/// Brightness of background, figure and clutter in one channel.
fn levels(draws: &mut Draws, inverted: bool) -> [f64; 3] {
    let levels = [draws.between(0.1, 0.4), draws.between(0.6, 0.95), draws.between(0.3, 0.8)];
    if inverted { levels.map(|level| 1.0 - level) } else { levels }
}

fn clutter_stroke(draws: &mut Draws) -> Stroke {
    let start: Point = [draws.between(-0.5, 0.5), draws.between(-0.5, 0.5)];
    let (angle, length) = (draws.between(0.0, std::f64::consts::TAU), draws.between(0.08, 0.3));
    [start, [start[0] + length * angle.cos(), start[1] + length * angle.sin()]]
}

/// A smooth random map of the image back to the figure's own square.
struct Warp {
    matrix: [f64; 4],
    shift: Point,
    /// Amplitude, frequency and phase of the elastic part of each axis.
    waves: [[f64; 3]; 4],
}

impl Warp {
    fn draw(draws: &mut Draws) -> Self {
        let (angle, scale) = (draws.between(-0.45, 0.45), draws.between(1.0, 1.6));
        let (shear, stretch) = (draws.between(-0.25, 0.25), draws.between(0.85, 1.18));
        let (sine, cosine) = angle.sin_cos();
        let matrix = [
            scale * stretch * cosine,
            scale * (shear * cosine - sine),
            scale * sine,
            scale * (shear * sine + cosine) / stretch,
        ];
        let shift = [draws.between(-0.12, 0.12), draws.between(-0.12, 0.12)];
        let waves = [0; 4].map(|_| {
            [draws.between(-0.035, 0.035), draws.between(4.0, 11.0), draws.between(0.0, std::f64::consts::TAU)]
        });
        Self { matrix, shift, waves }
    }

    fn back(&self, [x, y]: Point) -> Point {
        let wave = |[amplitude, frequency, phase]: [f64; 3], at: f64| amplitude * (frequency * at + phase).sin();
        let x_moved = x - self.shift[0] + wave(self.waves[0], y) + wave(self.waves[1], x);
        let y_moved = y - self.shift[1] + wave(self.waves[2], x) + wave(self.waves[3], y);
        let [a, b, c, d] = self.matrix;
        [a * x_moved + b * y_moved, c * x_moved + d * y_moved]
    }
}

/// How much of a pixel a pen of half-width `pen` covers at a distance: a soft edge about a pixel wide.
fn coverage(distance: f64, pen: f64) -> f64 {
    ((pen - distance) / 0.035 + 0.5).clamp(0.0, 1.0)
}

fn distance(strokes: &[Stroke], point: Point) -> f64 {
    strokes.iter().map(|stroke| to_stroke(*stroke, point)).fold(f64::INFINITY, f64::min)
}

fn to_stroke([a, b]: Stroke, p: Point) -> f64 {
    let (along, to) = ([b[0] - a[0], b[1] - a[1]], [p[0] - a[0], p[1] - a[1]]);
    let square = along[0] * along[0] + along[1] * along[1];
    let t = if square > 0.0 { ((along[0] * to[0] + along[1] * to[1]) / square).clamp(0.0, 1.0) } else { 0.0 };
    (to[0] - t * along[0]).hypot(to[1] - t * along[1])
}

/// The strokes of a class, within 0.4 of the middle.
fn strokes(class: usize) -> Vec<Stroke> {
    let polar = |radius: f64, turn: f64| {
        let angle = std::f64::consts::TAU * turn;
        [radius * angle.sin(), -radius * angle.cos()]
    };
    let ring = |corners: usize, radius: f64, skip: usize| {
        let corner = move |i: usize| polar(radius, (i * skip % corners) as f64 / corners as f64);
        (0..corners).map(|i| [corner(i), corner(i + 1)]).collect::<Vec<_>>()
    };
    let path = |points: Vec<Point>| points.windows(2).map(|pair| [pair[0], pair[1]]).collect::<Vec<_>>();
    match class {
        0 => ring(20, 0.36, 1),
        1 => ring(3, 0.4, 1),
        2 => path(vec![[-0.32, -0.32], [0.32, -0.32], [0.32, 0.32], [-0.32, 0.32], [-0.32, -0.32]]),
        3 => vec![[[0.0, -0.4], [0.0, 0.4]], [[-0.4, 0.0], [0.4, 0.0]]],
        4 => ring(5, 0.4, 2),
        5 => path(vec![[-0.36, -0.34], [0.34, -0.18], [-0.34, 0.02], [0.34, 0.18], [-0.34, 0.36]]),
        6 => path((0..28).map(|i| polar(0.04 + 0.0135 * f64::from(i), f64::from(i) / 13.0)).collect()),
        7 => path((0..17).map(|i| wave_point(f64::from(i) / 16.0)).collect()),
        8 => vec![[[0.0, 0.4], [0.0, -0.4]], [[0.0, -0.4], [-0.26, -0.1]], [[0.0, -0.4], [0.26, -0.1]]],
        _ => [ring(20, 0.36, 1), vec![[[-0.36, 0.0], [0.36, 0.0]]]].concat(),
    }
}

/// A sine wave from left to right.
fn wave_point(t: f64) -> Point {
    [0.8 * (t - 0.5), 0.28 * (std::f64::consts::TAU * 1.5 * t).sin()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(seed: u64, count: usize) -> LoadOptions {
        LoadOptions { seed, train_limit: Some(count), test_limit: Some(count), ..Default::default() }
    }

    #[test]
    fn images_are_a_function_of_the_seed_and_their_number() {
        let [long, test] = load(&options(1, 40), Style::Colour);
        let [short, _] = load(&options(1, 7), Style::Colour);
        assert_eq!(long.pixels[..short.pixels.len()], short.pixels[..]);
        assert_eq!(long.labels[..7], short.labels[..]);
        assert_ne!(long.pixels, test.pixels);
        assert_ne!(long.pixels, load(&options(2, 40), Style::Colour)[0].pixels);
    }

    #[test]
    fn every_class_appears_and_every_figure_differs() {
        let [train, _] = load(&options(0, 300), Style::Grey);
        assert!((0..10).all(|class| train.labels.contains(&class)));
        for a in 0..10 {
            for b in 0..a {
                assert_ne!(strokes(a), strokes(b), "classes {a} and {b} are drawn alike");
            }
        }
    }

    #[test]
    fn pixels_use_the_whole_range() {
        let [train, _] = load(&options(0, 50), Style::Grey);
        let mean = train.pixels.iter().map(|p| f64::from(*p)).sum::<f64>() / train.pixels.len() as f64;
        assert!((90.0..165.0).contains(&mean), "mean {mean}");
        assert!(train.pixels.contains(&0) && train.pixels.contains(&255));
    }
}
