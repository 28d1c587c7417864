//! Pictures in folders of their classes: listed, fitted to one size and decoded.

use std::path::{Path, PathBuf};

use image::imageops::{self, FilterType};
use image::{DynamicImage, RgbImage};
use rayon::prelude::*;

use super::{LARGEST, photo, places};
use crate::{Error, Result};

/// Endings of the files that are read.
const READ: [&str; 3] = ["jpeg", "jpg", "png"];

/// A file of a class: its rank there, the class, its path. In order: the first of each class, the second of each class and so on.
pub(super) type Listed = (usize, u16, PathBuf);

/// The files of all classes in turn.
pub(super) fn in_turn(classes: impl IntoIterator<Item = Vec<PathBuf>>) -> Vec<Listed> {
    let of_class = |(class, paths): (usize, Vec<PathBuf>)| {
        paths.into_iter().enumerate().map(move |(rank, path)| (rank, class as u16, path))
    };
    let mut listed: Vec<Listed> = classes.into_iter().enumerate().flat_map(of_class).collect();
    listed.sort();
    listed
}

/// Whether a file is hidden, such as macOS keeps one beside each (`._NAME.JPEG`).
pub(super) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".") || name == "__MACOSX")
}

/// Whether a file's name ends in one of several ways.
pub(super) fn ends_in(path: &Path, endings: &[&str]) -> bool {
    path.extension().is_some_and(|own| endings.iter().any(|ending| own.eq_ignore_ascii_case(ending)))
}

/// Whether a name is that of a JPEG or PNG file that is not hidden.
pub(super) fn is_photo(path: &Path) -> bool {
    !is_hidden(path) && ends_in(path, &READ)
}

/// The middle `side` x `side` of an image whose shorter side is scaled to `shorter`.
pub(super) fn scaled(image: &DynamicImage, side: u32, shorter: u32) -> RgbImage {
    let (width, height) = (image.width(), image.height());
    // Cut first: then no shape of image takes more memory than its own size.
    let part = f64::from(width.min(height)) * f64::from(side) / f64::from(shorter);
    let cut = (part.round() as u32).max(1);
    let square = image.crop_imm((width - cut) / 2, (height - cut) / 2, cut, cut).to_rgb8();
    imageops::resize(&square, side, side, FilterType::Triangle)
}

/// Decodes files to planes of red, green and blue, once they are brought to one `[height, width]`; tells which of them are grey.
pub(super) fn planes(
    dir: &Path,
    listed: &[Listed],
    [height, width]: [usize; 2],
    fitted: impl Fn(&Path, &DynamicImage) -> Result<RgbImage> + Sync,
) -> Result<(Vec<u8>, Vec<bool>)> {
    let (plane, size) = (height * width, 3 * height * width);
    if listed.len() as u64 * size as u64 > LARGEST {
        let expected = format!("at most {} images; set a limit", LARGEST / size as u64);
        return Err(Error::bad_file(dir, expected, listed.len().to_string()));
    }
    let mut pixels = vec![0; listed.len() * size];
    let decoded = pixels.par_chunks_mut(size).zip(listed).map(|(pixels, (_, _, path))| {
        let image = photo::decode(path, &places::whole(path)?)?;
        let fitting = fitted(path, &image)?;
        for (channel, plane) in pixels.chunks_mut(plane).enumerate() {
            plane.iter_mut().zip(fitting.pixels()).for_each(|(out, pixel)| *out = pixel[channel]);
        }
        Ok(!image.color().has_color())
    });
    let grey = decoded.collect::<Result<_>>()?;
    Ok((pixels, grey))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_images_are_cut_to_their_middle_and_small_ones_enlarged() {
        let mut wide = RgbImage::from_pixel(400, 128, image::Rgb([0, 0, 0]));
        (136..264).for_each(|column| (0..128).for_each(|row| wide.put_pixel(column, row, image::Rgb([200, 0, 0]))));
        assert!(scaled(&wide.into(), 128, 128).pixels().all(|pixel| pixel[0] == 200));
        let tiny = DynamicImage::from(RgbImage::from_pixel(1, 3, image::Rgb([9, 8, 7])));
        assert!(scaled(&tiny, 128, 146).pixels().all(|pixel| *pixel == image::Rgb([9, 8, 7])));
    }
}
