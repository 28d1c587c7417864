//! Pictures of one's own: a folder a class, `train/CLASS/*` and `test/CLASS/*`, or `CLASS/*` of which a part is the test set.
//!
//! Classes are the folders' names in order. All pictures have one size, or are brought to one; they are grey only if all of them are.
//! Means and deviations are those of the training pictures, unless a run has begun with others.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::{DynamicImage, RgbImage};

use super::dataset::Parts;
use super::options::TEST_PART;
use super::parts::parted;
use super::pictures::{self, Listed, ends_in, is_hidden, is_photo};
use super::{Augmentation, Dataset, Entry, LoadOptions, MOST_CLASSES, Normalisation, Source, photo, places};
use crate::{Error, Result};
use foregrad::files::{self, Kind};

/// What a folder of test or validation pictures may be called.
const HELD_OUT: [&str; 4] = ["test", "val", "valid", "validation"];

/// Endings of pictures that are not read: to pass them over would train on a part.
const UNREAD: [&str; 8] = ["gif", "bmp", "webp", "tif", "tiff", "heic", "avif", "jxl"];

/// The files of a part, and its folder for errors.
type Placed = (PathBuf, Vec<Listed>);

/// The files of every part.
struct Layout {
    classes: Vec<String>,
    train: Placed,
    validation: Option<Placed>,
    test: Placed,
}

/// The folders of a part by the names of the classes.
type Classes = BTreeMap<String, PathBuf>;

/// Training, test and perhaps validation images.
pub(super) fn load(_: &Entry, options: &LoadOptions) -> Result<Parts> {
    let mut layout = Layout::of(&options.own_dir()?, options)?;
    layout.train.1.truncate(options.train_limit.unwrap_or(usize::MAX));
    layout.test.1.truncate(options.test_limit.unwrap_or(usize::MAX));
    let fit = Fit::of(&layout, options.image_size)?;
    let read = |(dir, listed): &Placed| -> Result<_> {
        let (pixels, grey) = pictures::planes(dir, listed, fit.size, |path, image| fit.fitted(path, image))?;
        Ok((pixels, listed.iter().map(|(_, class, _)| *class).collect::<Vec<_>>(), colourful(listed, &grey)))
    };
    let parts = [Some(&layout.train), layout.validation.as_ref(), Some(&layout.test)];
    let [train, validation, test] = parts.map(|part| part.map(&read).transpose());
    let parts = [train?, validation?, test?];
    let colourful = parts.iter().flatten().find_map(|(_, _, path)| path.clone());
    let channels = channels(colourful, options.normalisation.as_ref())?;
    let shape = [channels, fit.size[0], fit.size[1]];
    let [train, validation, test] = parts.map(|part| {
        part.map(|(pixels, labels, _)| (if channels == 1 { first_planes(&pixels, shape) } else { pixels }, labels))
    });
    let (train, test) = (train.expect("it was read"), test.expect("it was read"));
    let normalisation = options.normalisation_of(channels, || Normalisation::of(&train.0, shape))?;
    let dataset = |(pixels, labels)| -> Arc<dyn Source> {
        Arc::new(Dataset {
            pixels,
            labels,
            shape,
            classes: layout.classes.clone(),
            mean: normalisation.mean.clone(),
            deviation: normalisation.deviation.clone(),
            augmentation: fit.augmentation(),
        })
    };
    Ok(Parts { train: dataset(train), validation: validation.map(dataset), test: dataset(test) })
}

/// The first picture in colour.
fn colourful(listed: &[Listed], grey: &[bool]) -> Option<PathBuf> {
    grey.iter().position(|grey| !grey).map(|place| listed[place].2.clone())
}

/// One channel where all pictures are grey, else three; a run that has begun keeps its own.
fn channels(colourful: Option<PathBuf>, kept: Option<&Normalisation>) -> Result<usize> {
    match (kept.map(|kept| kept.mean.len()), colourful) {
        (Some(1), Some(path)) => {
            Err(Error::bad_file(path, "a grey picture, as all were that the run began with", "colour"))
        }
        (Some(3), None) => Ok(3),
        (_, colourful) => Ok(if colourful.is_some() { 3 } else { 1 }),
    }
}

/// Of every three planes the first.
fn first_planes(pixels: &[u8], [_, height, width]: [usize; 3]) -> Vec<u8> {
    pixels.chunks(height * width).step_by(3).flatten().copied().collect()
}

impl Layout {
    fn of(dir: &Path, options: &LoadOptions) -> Result<Self> {
        let folders = folders(dir)?;
        let named = |name: &str| folders.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, path)| path);
        let held_out: Vec<(&str, &PathBuf)> = HELD_OUT.iter().filter_map(|name| Some((*name, named(name)?))).collect();
        let train_dir = match (named("train"), &held_out[..]) {
            (Some(train), _) => train.as_path(),
            (None, [(name, _), ..]) => {
                return Err(Error::bad_file(dir, format!("a folder train beside {name}"), "none"));
            }
            (None, []) => dir,
        };
        let (test_dir, validation_dir) = match held_out[..] {
            [] => (None, None),
            [(_, test)] => (Some(test), None),
            [("test", test), (_, validation)] => (Some(test), Some(validation)),
            _ => {
                let names: Vec<_> = held_out.iter().map(|(name, _)| *name).collect();
                let expected = "a folder test, and at most one other (val, valid or validation) for validation";
                return Err(Error::bad_file(dir, expected, names.join(", ")));
            }
        };
        let classes = classes(train_dir)?;
        let train = listed(&classes)?;
        let held = |part: &PathBuf| Ok((part.clone(), of_same_classes(part, train_dir, &classes)?));
        let validation = validation_dir.map(held).transpose()?;
        let (train, test) = match (test_dir, options.test_part) {
            (Some(test), None) => (train, held(test)?),
            (Some(test), Some(part)) => {
                let expected = format!("off: {} is the test set", test.display());
                return Err(Error::out_of_range("data.test-part", part, expected));
            }
            (None, part) => split(train_dir, &train, part.unwrap_or(TEST_PART), options.seed)?,
        };
        Ok(Self { classes: classes.into_keys().collect(), train: (train_dir.into(), train), validation, test })
    }
}

/// Training files, and the part that is held out.
fn split(dir: &Path, all: &[Listed], part: f64, seed: u64) -> Result<(Vec<Listed>, Placed)> {
    let classes: Vec<u16> = all.iter().map(|(_, class, _)| *class).collect();
    let [kept, held] = parted(&classes, part, seed).map(|part| part.iter().map(|place| all[*place].clone()).collect());
    let held: Vec<Listed> = held;
    if held.is_empty() {
        return Err(Error::bad_file(dir, "a class of two or more pictures, so that one can be held out", "none"));
    }
    Ok((kept, (dir.into(), held)))
}

/// The folders of a folder that are not hidden, by their names; pictures outside of them have no class.
fn folders(dir: &Path) -> Result<Classes> {
    let mut found = Classes::new();
    for path in files::list(dir)?.into_iter().filter(|path| !is_hidden(path)) {
        if !places::is_folder(&path)? {
            if is_photo(&path) {
                let found = format!("{}, which is in none", name_of(&path));
                return Err(Error::bad_file(dir, "pictures in folders of their classes", found));
            }
            continue;
        }
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| Error::bad_file(&path, "the name of a class in UTF-8", "other bytes"))?;
        found.insert(name.to_string(), path.clone());
    }
    Ok(found)
}

/// The classes of the training pictures.
fn classes(dir: &Path) -> Result<Classes> {
    let found = folders(dir)?;
    if !(2..=MOST_CLASSES).contains(&found.len()) {
        let names: Vec<&str> = found.keys().take(3).map(String::as_str).collect();
        let expected = format!("a folder for each of 2 to {MOST_CLASSES} classes");
        return Err(Error::bad_file(dir, expected, format!("{} ({})", found.len(), names.join(", "))));
    }
    Ok(found)
}

/// The files of a part whose classes have to be those of the training pictures.
fn of_same_classes(part: &Path, train: &Path, wanted: &Classes) -> Result<Vec<Listed>> {
    let own = folders(part)?;
    let wrong = |found: String| {
        let expected = format!("the {} classes of {}", wanted.len(), train.display());
        Err(Error::bad_file(part, expected, found))
    };
    if let Some(missing) = wanted.keys().find(|name| !own.contains_key(*name)) {
        return wrong(format!("no folder {missing}"));
    }
    match own.keys().find(|name| !wanted.contains_key(*name)) {
        Some(unknown) => wrong(format!("a folder {unknown}, of which none is to be learnt from")),
        None => listed(&own),
    }
}

fn listed(classes: &Classes) -> Result<Vec<Listed>> {
    Ok(pictures::in_turn(classes.values().map(|dir| photos(dir)).collect::<Result<Vec<_>>>()?))
}

/// The pictures of a class; other files than pictures are passed over.
fn photos(class: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in files::list(class)?.into_iter().filter(|path| !is_hidden(path)) {
        if is_photo(&path) {
            found.push(path);
        } else if ends_in(&path, &UNREAD) {
            return Err(Error::bad_file(path, "a JPEG or PNG file", "another picture; convert it, or take it away"));
        } else if files::kind(&path)? == Some(Kind::Folder) {
            let found =
                format!("a folder {} in it; only train, test, val, valid have folders of classes", name_of(&path));
            return Err(Error::bad_file(class, "the pictures of a class", found));
        }
    }
    if found.is_empty() {
        return Err(Error::bad_file(class, "JPEG or PNG files", "none; a class without a picture is none"));
    }
    Ok(found)
}

fn name_of(path: &Path) -> String {
    path.file_name().map_or(String::new(), |name| name.display().to_string())
}

/// How pictures come to one size.
struct Fit {
    /// Height and width.
    size: [usize; 2],
    /// Whether they are scaled and cut to it.
    is_scaled: bool,
    /// The first picture, whose size the others have where none is scaled.
    first: PathBuf,
}

impl Fit {
    fn of(layout: &Layout, side: Option<usize>) -> Result<Self> {
        let first = layout.train.1.first().map(|(_, _, path)| path.clone()).unwrap_or_default();
        let size = match side {
            Some(side) => [side, side],
            None => {
                let image = photo::decode(&first, &places::whole(&first)?)?;
                [image.height() as usize, image.width() as usize]
            }
        };
        Ok(Self { size, is_scaled: side.is_some(), first })
    }

    fn fitted(&self, path: &Path, image: &DynamicImage) -> Result<RgbImage> {
        let [height, width] = self.size;
        if self.is_scaled {
            return Ok(pictures::scaled(image, width as u32, width as u32));
        }
        if [image.height() as usize, image.width() as usize] == self.size {
            return Ok(image.to_rgb8());
        }
        let sizes = format!("{} has {}x{}", path.display(), image.width(), image.height());
        let expected =
            format!("a side, to which all are scaled: {sizes}, and {} {width}x{height}", self.first.display());
        Err(Error::out_of_range("data.image-size", "off", expected))
    }

    /// Scaled pictures are photographs: parts of them are as good.
    fn augmentation(&self) -> Augmentation {
        if self.is_scaled { Augmentation::ResizedCrop } else { Augmentation::Shift }
    }
}

#[cfg(test)]
mod tests;
