//! Image data sets: loading, splitting, batches in seeded order. To add one: a file, and a line in [`DATASETS`].

use std::path::PathBuf;

use crate::{Error, Result};
use foregrad::rng::Stream;

mod archive;
mod augment;
mod batches;
mod certificates;
mod cifar;
mod download;
mod glyphs;
mod gzip;
mod idx;
mod imagenet32;
mod imagenette;
mod matlab;
mod numpy;
pub(crate) mod parsers;
mod photo;
mod pickle;
mod places;
mod preview;
mod sources;
mod svhn;
mod transfer;
mod unpack;
mod verify;

pub use augment::Augmentation;
pub use batches::{BatchOptions, Batches, HostBatch, Order};
pub use download::{ByHand, DownloadOptions, Downloaded, download};
pub use preview::write_preview;
pub use transfer::{Patience, Transferred};
pub use verify::{FileReport, FileStatus, verify};

/// No file of a known data set is larger than this once unpacked: a guard against archives that never end.
const LARGEST: u64 = 1 << 30;

/// Labelled images, `[n, channels, height, width]` bytes, and how to normalise them.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Pixels, image by image, channel by channel, row by row.
    pub pixels: Vec<u8>,
    /// The class of each image.
    pub labels: Vec<u16>,
    /// Channels, height and width of an image.
    pub shape: [usize; 3],
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Mean of each channel, in units of 255.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, in units of 255.
    pub deviation: Vec<f32>,
    /// How training images are varied, if they are.
    pub augmentation: Augmentation,
}

impl Dataset {
    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The bytes of one image.
    pub fn image(&self, index: usize) -> &[u8] {
        let size: usize = self.shape.iter().product();
        &self.pixels[index * size..(index + 1) * size]
    }

    /// The images of given numbers.
    pub fn subset(&self, indices: &[usize]) -> Self {
        let pixels = indices.iter().flat_map(|index| self.image(*index)).copied().collect();
        let labels = indices.iter().map(|index| self.labels[*index]).collect();
        Self { pixels, labels, ..self.without_images() }
    }

    fn without_images(&self) -> Self {
        Self {
            pixels: Vec::new(),
            labels: Vec::new(),
            shape: self.shape,
            classes: self.classes.clone(),
            mean: self.mean.clone(),
            deviation: self.deviation.clone(),
            augmentation: self.augmentation,
        }
    }

    /// At most the first `limit` images.
    fn truncated(mut self, limit: usize) -> Self {
        let size: usize = self.shape.iter().product();
        self.labels.truncate(limit);
        self.pixels.truncate(limit.saturating_mul(size));
        self
    }
}

/// Training, validation and test images.
#[derive(Debug, Clone)]
pub struct Splits {
    /// Images to learn from.
    pub train: Dataset,
    /// Images held back from the training set; empty unless asked for.
    pub validation: Dataset,
    /// Images to judge by.
    pub test: Dataset,
}

/// Which images to load.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// The folder (or archive) of the files; generated sets need none.
    pub dir: Option<PathBuf>,
    /// At most this many training images; generated sets make as many.
    pub train_limit: Option<usize>,
    /// At most this many test images; generated sets make as many.
    pub test_limit: Option<usize>,
    /// Images taken out of the training set, drawn by the seed.
    pub validation: usize,
    /// The seed of generated images and of the validation draw.
    pub seed: u64,
}

/// Images of a split that are generated at most.
const MOST_GENERATED: usize = 1_000_000;

impl LoadOptions {
    /// Refuses what is wrong whatever the files hold.
    ///
    /// # Errors
    /// An unknown data set, limits outside their ranges.
    pub fn validate(&self, dataset: &str) -> Result<()> {
        let most = if entry(dataset)?.source.is_none() { MOST_GENERATED } else { usize::MAX };
        for (setting, limit) in [("data.train-limit", self.train_limit), ("data.test-limit", self.test_limit)] {
            let Some(limit) = limit else { continue };
            if limit == 0 {
                return Err(Error::out_of_range(setting, 0, "at least 1 image"));
            }
            if limit > most {
                let expected = format!("at most {most} images of `{dataset}`, which are generated");
                return Err(Error::out_of_range(setting, limit, expected));
            }
        }
        Ok(())
    }

    /// Refuses a data set whose files are nowhere, without reading them.
    ///
    /// # Errors
    /// An unknown data set, no folder, one that is missing or cannot be looked at.
    pub fn find(&self, dataset: &str) -> Result<()> {
        if entry(dataset)?.source.is_none() {
            return Ok(());
        }
        let dir = self.dir(dataset)?;
        match foregrad::files::kind(&dir)? {
            Some(_) => Ok(()),
            None => Err(Error::bad_file(dir, format!("the folder of the files of `{dataset}`"), "nothing")),
        }
    }

    /// The data set's own folder inside the one that was given, if there is one, else that one (or archive) itself.
    fn dir(&self, dataset: &str) -> Result<PathBuf> {
        let dir = self.dir.as_deref().ok_or_else(|| {
            Error::out_of_range("data.dir", "missing", format!("the folder that holds the files of `{dataset}`"))
        })?;
        let own = dir.join(dataset);
        Ok(if places::is_folder(&own)? { own } else { dir.to_path_buf() })
    }
}

/// A data set that can be loaded by name.
#[derive(Debug)]
pub struct Entry {
    /// The name users write.
    pub name: &'static str,
    /// One line of help.
    pub about: &'static str,
    /// Whether training crops and flips by default (the paper's recipe).
    pub augment: bool,
    load: fn(&Entry, &LoadOptions) -> Result<[Dataset; 2]>,
    files: fn() -> Vec<verify::KnownFile>,
    /// Where its authors publish it; generated sets need no source.
    source: Option<&'static sources::Source>,
}

/// All data sets.
pub const DATASETS: &[Entry] = &[
    Entry {
        name: "glyphs",
        about: "ten classes of drawn figures, 28x28 grey, generated from the seed",
        augment: false,
        load: |_, options| Ok(glyphs::load(options, glyphs::Style::Grey)),
        files: Vec::new,
        source: None,
    },
    Entry {
        name: "glyphs-colour",
        about: "the same figures, 32x32 in colour",
        augment: false,
        load: |_, options| Ok(glyphs::load(options, glyphs::Style::Colour)),
        files: Vec::new,
        source: None,
    },
    Entry {
        name: "cifar10",
        about: "CIFAR-10, binary version: a folder or cifar-10-binary.tar.gz",
        augment: true,
        load: |_, options| cifar::load(options, &cifar::CIFAR10),
        files: || cifar::known_files(&cifar::CIFAR10),
        source: Some(&sources::CIFAR10),
    },
    Entry {
        name: "cifar100",
        about: "CIFAR-100, binary version: a folder or cifar-100-binary.tar.gz",
        augment: true,
        load: |_, options| cifar::load(options, &cifar::CIFAR100),
        files: || cifar::known_files(&cifar::CIFAR100),
        source: Some(&sources::CIFAR100),
    },
    Entry {
        name: "mnist",
        about: "MNIST, idx files",
        augment: false,
        load: idx::load,
        files: || idx::known_files("mnist"),
        source: Some(&sources::MNIST),
    },
    Entry {
        name: "fashion-mnist",
        about: "Fashion-MNIST, idx files",
        augment: false,
        load: idx::load,
        files: || idx::known_files("fashion-mnist"),
        source: Some(&sources::FASHION_MNIST),
    },
    Entry {
        name: "kmnist",
        about: "KMNIST, idx files",
        augment: false,
        load: idx::load,
        files: || idx::known_files("kmnist"),
        source: Some(&sources::KMNIST),
    },
    Entry {
        name: "svhn",
        about: "SVHN, cropped digits in colour: train_32x32.mat and test_32x32.mat",
        augment: false,
        load: svhn::load,
        files: svhn::known_files,
        source: Some(&sources::SVHN),
    },
    Entry {
        name: "imagenet32",
        about: "ImageNet32x32, 1000 classes: pickled batches or .npz",
        augment: true,
        load: imagenet32::load,
        files: imagenet32::known_files,
        source: Some(&sources::IMAGENET32),
    },
    Entry {
        name: "imagenette",
        about: "Imagenette, ten classes of photographs at 128x128: folders of JPEG files",
        augment: true,
        load: imagenette::load,
        files: imagenette::known_files,
        source: Some(&sources::IMAGENETTE),
    },
];

/// The entry of a name.
///
/// # Errors
/// [`Error::UnknownName`].
pub fn entry(name: &str) -> Result<&'static Entry> {
    let names: Vec<_> = DATASETS.iter().map(|entry| entry.name).collect();
    DATASETS.iter().find(|entry| entry.name == name).ok_or_else(|| Error::unknown_name("data set", name, &names))
}

/// Loads a data set.
///
/// ```
/// use foregrad_lab::data::{LoadOptions, load};
/// let options = LoadOptions { train_limit: Some(20), test_limit: Some(10), validation: 5, ..Default::default() };
/// let splits = load("glyphs", &options)?;
/// assert_eq!([splits.train.len(), splits.validation.len(), splits.test.len()], [15, 5, 10]);
/// # Ok::<(), foregrad::Error>(())
/// ```
///
/// # Errors
/// Unknown names, missing or damaged files, limits that leave nothing.
pub fn load(name: &str, options: &LoadOptions) -> Result<Splits> {
    options.validate(name)?;
    let entry = entry(name)?;
    let [train, test] = (entry.load)(entry, options)?;
    let train = train.truncated(options.train_limit.unwrap_or(usize::MAX));
    let test = test.truncated(options.test_limit.unwrap_or(usize::MAX));
    if options.validation >= train.len() {
        let expected = format!("fewer than the {} training images", train.len());
        return Err(Error::out_of_range("data.validation", options.validation, expected));
    }
    let order = Stream::new(options.seed, "validation").permutation(train.len());
    let (held, kept) = order.split_at(options.validation);
    let sorted = |part: &[usize]| {
        let mut part = part.to_vec();
        part.sort_unstable();
        part
    };
    let validation = train.subset(&sorted(held));
    let train = if held.is_empty() { train } else { train.subset(&sorted(kept)) };
    Ok(Splits { train, validation, test })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_unknown_ones_suggest() {
        let mut names: Vec<_> = DATASETS.iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DATASETS.len());
        assert!(entry("cifar-10").expect_err("no such name").to_string().contains("did you mean `cifar10`"));
    }

    #[test]
    fn a_validation_split_takes_its_images_out_of_the_training_set() {
        let options = LoadOptions { train_limit: Some(30), test_limit: Some(1), ..Default::default() };
        let whole = load("glyphs", &options).expect("glyphs").train;
        let splits = load("glyphs", &LoadOptions { validation: 10, ..options.clone() }).expect("glyphs");
        let images = |set: &Dataset| (0..set.len()).map(|i| set.image(i).to_vec()).collect::<Vec<_>>();
        let mut parts = [images(&splits.train), images(&splits.validation)].concat();
        let mut all = images(&whole);
        parts.sort();
        all.sort();
        assert_eq!(parts, all);
        let refused = load("glyphs", &LoadOptions { validation: 30, ..options });
        assert!(refused.expect_err("nothing left").to_string().contains("fewer than the 30"));
    }

    #[test]
    fn files_need_a_folder_and_one_of_the_sets_own_name_comes_first() {
        let error = load("cifar10", &LoadOptions::default()).expect_err("no folder").to_string();
        assert!(error.contains("data.dir"), "{error}");
        let dir = tempfile::tempdir().expect("a folder");
        let options = LoadOptions { dir: Some(dir.path().to_path_buf()), ..Default::default() };
        assert_eq!(options.dir("mnist").expect("a folder"), dir.path());
        std::fs::create_dir(dir.path().join("mnist")).expect("a folder");
        assert_eq!(options.dir("mnist").expect("a folder"), dir.path().join("mnist"));
    }
}
