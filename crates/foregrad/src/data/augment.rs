//! Random crop and horizontal flip, and normalisation.
//!
//! Source: Fournier et al. (2023), Recipe: crop with padding 4 (zeros, before normalisation) and flip with probability one half.

use super::Dataset;
use crate::rng::Stream;

/// Zeros around the image before a crop of its own size.
const PADDING: usize = 4;

/// How one image is moved: a function of the seed, the epoch and the image's number alone.
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

/// Writes one image normalised, `(pixel / 255 - mean) / deviation`; moved if a stream is given.
pub(super) fn write(set: &Dataset, index: usize, moves: Option<Stream>, out: &mut [f32]) {
    let [_, height, width] = set.shape;
    let moved = moves.map(|stream| Move::draw(stream.at(index as u64)));
    let planes = set.image(index).chunks(height * width).zip(out.chunks_mut(height * width));
    for ((plane, out), (mean, deviation)) in planes.zip(set.mean.iter().zip(&set.deviation)) {
        let (scale, shift) = (1.0 / (255.0 * deviation), mean / deviation);
        match moved {
            None => out.iter_mut().zip(plane).for_each(|(out, pixel)| *out = f32::from(*pixel) * scale - shift),
            Some(moved) => {
                for row in 0..height {
                    for column in 0..width {
                        let pixel = moved_pixel(plane, [height, width], [row, column], moved);
                        out[row * width + column] = f32::from(pixel) * scale - shift;
                    }
                }
            }
        }
    }
}

fn moved_pixel(plane: &[u8], [height, width]: [usize; 2], [row, column]: [usize; 2], moved: Move) -> u8 {
    let column = if moved.flipped { width - 1 - column } else { column };
    let source = (row.checked_add_signed(moved.down), column.checked_add_signed(moved.right));
    match source {
        (Some(row), Some(column)) if row < height && column < width => plane[row * width + column],
        _ => 0,
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
}
