//! Imagenette: ten easy classes of ImageNet as JPEG files, `train/CLASS/*` and `val/CLASS/*`.
//!
//! Images are scaled at load: for training to a shorter side of 128, for evaluation of 146 (as 256 to 224), of which the middle
//! 128x128 is kept. Training then draws a part of that and scales it to 128x128 ([`Augmentation::ResizedCrop`]).
//!
//! Source: Howard, *Imagenette* (2019), the version whose shorter side is 160.

use std::path::{Path, PathBuf};

use image::DynamicImage;

use super::pictures::{self, Listed};
use super::verify::KnownFile;
use super::{Augmentation, Dataset, Entry, LoadOptions};
use crate::{Error, Result};
use foregrad::files;

/// The side of the images that networks see.
const SIDE: u32 = 128;

/// The shorter side of a test image of which the middle is kept.
const TEST_SIDE: u32 = 146;

const FOLDER: &str = "imagenette2-160";

/// The folders of the classes, by their number in WordNet, and their names.
const CLASSES: [(&str, &str); 10] = [
    ("n01440764", "tench"),
    ("n02102040", "English springer"),
    ("n02979186", "cassette player"),
    ("n03000684", "chain saw"),
    ("n03028079", "church"),
    ("n03394916", "French horn"),
    ("n03417042", "garbage truck"),
    ("n03425413", "gas pump"),
    ("n03445777", "golf ball"),
    ("n03888257", "parachute"),
];

fn places(part: &str) -> Vec<String> {
    vec![format!("{FOLDER}/{part}"), part.to_string()]
}

/// The two folders.
pub(super) fn known_files() -> Vec<KnownFile> {
    let folder = |part: &str| KnownFile { places: places(part), other: Vec::new(), size: None, md5: None };
    ["train", "val"].map(folder).into()
}

/// Training and test images.
pub(super) fn load(entry: &Entry, options: &LoadOptions) -> Result<[Dataset; 2]> {
    let dir = options.dir(entry.name)?;
    let place = |part: &str| -> Result<PathBuf> {
        let places = places(part);
        let found = super::places::first(&dir, &places, super::places::is_folder)?;
        let wanted = || format!("none (looked for {} in {})", places.join(", "), dir.display());
        found.ok_or_else(|| Error::bad_file(dir.join(part), "a folder", wanted()))
    };
    let train = read(&place("train")?, options.train_limit, SIDE)?;
    let test = read(&place("val")?, options.test_limit, TEST_SIDE)?;
    Ok([train, test])
}

/// At most `limit` images of a folder, as many of each class as can be.
fn read(dir: &Path, limit: Option<usize>, shorter: u32) -> Result<Dataset> {
    let mut images = list(dir)?;
    images.truncate(limit.unwrap_or(usize::MAX));
    let fitted = |_: &Path, image: &DynamicImage| Ok(pictures::scaled(image, SIDE, shorter));
    let (pixels, _) = pictures::planes(dir, &images, [SIDE as usize; 2], fitted)?;
    Ok(Dataset {
        pixels,
        labels: images.iter().map(|(_, class, _)| *class).collect(),
        shape: [3, SIDE as usize, SIDE as usize],
        classes: CLASSES.map(|(_, name)| name.to_string()).into(),
        mean: vec![0.485, 0.456, 0.406],
        deviation: vec![0.229, 0.224, 0.225],
        augmentation: Augmentation::ResizedCrop,
    })
}

/// The files with their classes: the first of each class, the second of each class and so on.
fn list(dir: &Path) -> Result<Vec<Listed>> {
    let photos = |(folder, _): &(&str, &str)| {
        let paths = files::list(&dir.join(folder))?;
        Ok(paths.into_iter().filter(|path| pictures::is_photo(path)).collect())
    };
    let images = pictures::in_turn(CLASSES.iter().map(photos).collect::<Result<Vec<_>>>()?);
    if images.is_empty() {
        return Err(Error::bad_file(dir, "JPEG files in the folders of the classes", "none"));
    }
    Ok(images)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::entry;
    use image::{ExtendedColorType, RgbImage, codecs::jpeg::JpegEncoder};

    fn write(path: &Path, width: u32, height: u32, level: u8) {
        let file = std::fs::File::create(path).expect("a file");
        let pixels: Vec<u8> = (0..width * height).flat_map(|_| [level, 128, 255 - level]).collect();
        JpegEncoder::new_with_quality(file, 95)
            .encode(&pixels, width, height, ExtendedColorType::Rgb8)
            .expect("a file");
    }

    /// Two training images and one test image a class.
    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        for (class, (name, _)) in CLASSES.iter().enumerate() {
            for (part, count) in [("train", 2), ("val", 1)] {
                let folder = dir.path().join(FOLDER).join(part).join(name);
                std::fs::create_dir_all(&folder).expect("a folder");
                std::fs::write(folder.join("about.txt"), "not an image").expect("a file");
                (0..count).for_each(|i| write(&folder.join(format!("{i}.JPEG")), 200, 160, (20 * class + 5 * i) as u8));
            }
        }
        dir
    }

    fn try_load(dir: &Path, train_limit: Option<usize>) -> Result<[Dataset; 2]> {
        let options = LoadOptions { dir: Some(dir.into()), train_limit, ..Default::default() };
        load(entry("imagenette").expect("an entry"), &options)
    }

    #[test]
    fn folders_are_read_class_by_class_in_turn() {
        let dir = folder();
        let [train, test] = try_load(dir.path(), None).expect("a set");
        assert_eq!((train.len(), test.len(), train.shape), (20, 10, [3, 128, 128]));
        assert_eq!(train.labels[..11], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0]);
        for (index, level) in [(3, 60u8), (13, 65)] {
            for (channel, level) in [level, 128, 255 - level].into_iter().enumerate() {
                let plane = &train.image(index)[channel * 16384..(channel + 1) * 16384];
                assert!(plane.iter().all(|pixel| pixel.abs_diff(level) < 6), "image {index} channel {channel}");
            }
        }
        assert_eq!(try_load(dir.path(), Some(12)).expect("a set")[0].labels[9..], [9, 0, 1]);
    }

    #[test]
    fn damaged_files_are_named() {
        let dir = folder();
        let path = dir.path().join(FOLDER).join("val/n03888257/0.JPEG");
        let whole = std::fs::read(&path).expect("a file");
        let options = LoadOptions { dir: Some(dir.path().into()), ..Default::default() };
        let verified = || crate::data::verify("imagenette", &options);
        assert!(verified().expect("whole files").iter().all(|report| report.decoded));
        std::fs::write(&path, &whole[..whole.len() / 2]).expect("a file");
        for error in [try_load(dir.path(), None).map(drop), verified().map(drop)] {
            let error = error.expect_err("a cut file is vouched for").to_string();
            assert!(error.contains("0.JPEG: expected a whole JPEG file"), "{error}");
        }
        std::fs::remove_dir_all(dir.path().join(FOLDER).join("val/n03888257")).expect("removed");
        assert!(try_load(dir.path(), None).expect_err("a missing class").to_string().contains("n03888257"));
    }

    #[test]
    fn hidden_files_are_passed_over_and_other_files_named_or_read() {
        let dir = folder();
        let class = dir.path().join(FOLDER).join("train/n01440764");
        std::fs::write(class.join("._0.JPEG"), b"\0\x05\x16\x07").expect("a file");
        std::fs::write(class.join(".hidden.jpg"), b"").expect("a file");
        assert_eq!(try_load(dir.path(), None).expect("a set")[0].len(), 20);
        let picture = DynamicImage::from(RgbImage::from_pixel(9, 9, image::Rgb([1, 2, 3])));
        picture.save_with_format(class.join("2.JPEG"), image::ImageFormat::Png).expect("a file");
        assert_eq!(try_load(dir.path(), None).expect("a set")[0].len(), 21);
        let text = || try_load(dir.path(), None).expect_err("refused").to_string();
        std::fs::write(class.join("3.JPEG"), b"").expect("a file");
        assert!(text().contains("3.JPEG") && text().contains("an empty file"), "{}", text());
        std::fs::remove_file(class.join("3.JPEG")).expect("removed");
        std::fs::create_dir(class.join("thumbs.jpg")).expect("a folder");
        assert!(text().contains("thumbs.jpg"), "{}", text());
    }
}
