//! Random crop and horizontal flip, and normalisation.
//!
//! Source: Fournier et al. (2023), Recipe: crop with padding 4 (zeros, before normalisation) and flip with probability one half.
//! Szegedy et al. (2015), *Going deeper with convolutions*, section 6: crop of a random area and shape, scaled to full size.

use super::Dataset;
use super::dataset::Pixel;
use foregrad::rng::Stream;

/// How training images are varied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Augmentation {
    /// Moved by up to 4 pixels, and flipped.
    #[default]
    Shift,
    /// A part of 0.35 to 1 of the area, sides 3:4 to 4:3, scaled to the whole size (bilinear), and flipped.
    ResizedCrop,
}

/// Zeros around the image before a crop of its own size.
const PADDING: usize = 4;

/// How one image is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Move {
    down: isize,
    right: isize,
    flipped: bool,
}

impl Move {
    fn draw(stream: Stream) -> Self {
        let mut generator = stream.generator();
        let mut offset = || generator.bounded(2 * PADDING as u32 + 1) as isize - PADDING as isize;
        let (down, right) = (offset(), offset());
        Self { down, right, flipped: generator.bounded(2) == 1 }
    }
}

/// The least part of an image's area that a resized crop keeps.
const LEAST_AREA: f64 = 0.35;

/// The longest side of a resized crop over the other, for square images.
const LONGEST_SIDE: f64 = 4.0 / 3.0;

/// The part of an image that becomes the whole, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Crop {
    /// Where it begins.
    corner: [f64; 2],
    /// Its height and width.
    size: [f64; 2],
    flipped: bool,
}

impl Crop {
    fn draw(stream: Stream, [height, width]: [usize; 2]) -> Self {
        let draws = stream.uniform(5, 0.0, 1.0);
        let area = LEAST_AREA + (1.0 - LEAST_AREA) * draws[0];
        let ratio = LONGEST_SIDE.powf(2.0 * draws[1] - 1.0);
        let size = [(area / ratio).sqrt().min(1.0) * height as f64, (area * ratio).sqrt().min(1.0) * width as f64];
        let corner = [draws[2] * (height as f64 - size[0]), draws[3] * (width as f64 - size[1])];
        Self { corner, size, flipped: draws[4] < 0.5 }
    }

    /// For each place along an axis of `length`: the pixel before it, the one after, and how much of the latter.
    fn taps(&self, axis: usize, length: usize) -> Vec<(usize, usize, f32)> {
        let scale = self.size[axis] / length as f64;
        let tap = |place: usize| {
            let at = (self.corner[axis] + (place as f64 + 0.5) * scale - 0.5).clamp(0.0, (length - 1) as f64);
            (at as usize, (at as usize + 1).min(length - 1), at.fract() as f32)
        };
        (0..length).map(tap).collect()
    }
}

/// What happens to one image: a function of the seed, the epoch and the image's number alone.
enum Motion {
    None,
    Shift(Move),
    Crop(Crop),
}

impl Motion {
    fn draw([_, height, width]: [usize; 3], augmentation: Augmentation, stream: Option<Stream>) -> Self {
        match (stream, augmentation) {
            (None, _) => Motion::None,
            (Some(stream), Augmentation::Shift) => Motion::Shift(Move::draw(stream)),
            (Some(stream), Augmentation::ResizedCrop) => Motion::Crop(Crop::draw(stream, [height, width])),
        }
    }
}

/// Writes one image normalised, `(pixel / unit - mean) / deviation`; varied if a stream is given.
pub(super) fn write<P: Pixel>(set: &Dataset<P>, index: usize, moves: Option<Stream>, out: &mut [f32]) {
    let [_, height, width] = set.shape;
    let motion = Motion::draw(set.shape, set.augmentation, moves);
    let planes = set.image(index).chunks(height * width).zip(out.chunks_mut(height * width));
    for ((plane, out), (mean, deviation)) in planes.zip(set.mean.iter().zip(&set.deviation)) {
        match &motion {
            Motion::None => out.iter_mut().zip(plane).for_each(|(out, pixel)| *out = (*pixel).into()),
            Motion::Shift(shift) => moved(plane, [height, width], *shift, out),
            Motion::Crop(crop) => resized(plane, [height, width], crop, out),
        }
        let (scale, shift) = (1.0 / (P::UNIT * deviation), mean / deviation);
        out.iter_mut().for_each(|value| *value = *value * scale - shift);
    }
}

fn moved<P: Pixel>(plane: &[P], [height, width]: [usize; 2], moved: Move, out: &mut [f32]) {
    for row in 0..height {
        for column in 0..width {
            out[row * width + column] = moved_pixel(plane, [height, width], [row, column], moved).into();
        }
    }
}

fn resized<P: Pixel>(plane: &[P], [height, width]: [usize; 2], crop: &Crop, out: &mut [f32]) {
    let mut columns = crop.taps(1, width);
    if crop.flipped {
        columns.reverse();
    }
    for ((above, below, down), out) in crop.taps(0, height).into_iter().zip(out.chunks_mut(width)) {
        for ((left, right, across), out) in columns.iter().zip(out) {
            let between = |row: usize| {
                let (first, second): (f32, f32) = (plane[row * width + left].into(), plane[row * width + right].into());
                first + across * (second - first)
            };
            let (first, second) = (between(above), between(below));
            *out = first + down * (second - first);
        }
    }
}

fn moved_pixel<P: Pixel>(plane: &[P], [height, width]: [usize; 2], [row, column]: [usize; 2], moved: Move) -> P {
    let column = if moved.flipped { width - 1 - column } else { column };
    let source = (row.checked_add_signed(moved.down), column.checked_add_signed(moved.right));
    match source {
        (Some(row), Some(column)) if row < height && column < width => plane[row * width + column],
        _ => P::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane() -> Vec<u8> {
        (1..=30).collect()
    }

    #[test]
    fn moves_are_those_of_a_padded_crop_and_a_flip() {
        let at = |moved, place| moved_pixel(&plane(), [5, 6], place, moved);
        let still = Move { down: 0, right: 0, flipped: false };
        assert_eq!(at(still, [1, 2]), 9);
        assert_eq!(at(Move { down: 1, right: -2, ..still }, [1, 2]), 13);
        assert_eq!(at(Move { right: -3, ..still }, [1, 2]), 0);
        assert_eq!(at(Move { flipped: true, ..still }, [1, 0]), 12);
    }

    #[test]
    fn all_offsets_and_both_directions_occur() {
        let moves: Vec<Move> = (0..2000).map(|i| Move::draw(Stream::new(0, "augment").at(i))).collect();
        for offset in -4..=4 {
            assert!(moves.iter().any(|m| m.down == offset) && moves.iter().any(|m| m.right == offset));
        }
        let flipped = moves.iter().filter(|m| m.flipped).count();
        assert!((900..1100).contains(&flipped), "{flipped} of 2000 flipped");
    }

    #[test]
    fn the_whole_as_a_crop_is_the_image_and_a_part_is_enlarged() {
        let resize = |crop: Crop| {
            let mut out = vec![0.0; 30];
            resized(&plane(), [5, 6], &crop, &mut out);
            out
        };
        let whole = Crop { corner: [0.0; 2], size: [5.0, 6.0], flipped: false };
        let image: Vec<f32> = (1..=30).map(|pixel| pixel as f32).collect();
        assert_eq!(resize(whole), image);
        assert_eq!(resize(Crop { flipped: true, ..whole })[..6], [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]);
        // Half of every row, from the middle on: the columns 3 to 5 at steps of a half.
        let half = resize(Crop { corner: [0.0, 3.0], size: [5.0, 3.0], flipped: false });
        assert_eq!(half[..6], [3.75, 4.25, 4.75, 5.25, 5.75, 6.0]);
    }

    #[test]
    fn crops_lie_inside_and_keep_enough() {
        for index in 0..2000 {
            let crop = Crop::draw(Stream::new(0, "augment").at(index), [50, 40]);
            assert!(crop.corner.iter().all(|start| *start >= 0.0), "{crop:?}");
            assert!(crop.corner[0] + crop.size[0] <= 50.0 + 1e-9 && crop.corner[1] + crop.size[1] <= 40.0 + 1e-9);
            assert!(crop.size[0] * crop.size[1] >= 0.33 * 2000.0, "{crop:?}");
        }
    }
}
