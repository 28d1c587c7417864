//! Image data sets: loading, splitting, batches in seeded order. To add one: a file, and a line in [`DATASETS`].

use std::sync::Arc;

use crate::{Error, Result};
use foregrad::rng::Stream;

mod archive;
mod arrays;
mod augment;
mod batches;
mod certificates;
mod cifar;
mod dataset;
mod description;
mod digest;
mod download;
mod glyphs;
mod gzip;
mod idx;
mod imagenet32;
mod imagenette;
mod images;
mod matlab;
mod normalisation;
mod numpy;
mod options;
pub(crate) mod parsers;
mod parts;
mod photo;
mod pickle;
mod pictures;
mod places;
mod preview;
mod registry;
mod source;
mod sources;
mod svhn;
mod transfer;
mod unpack;
mod verify;

pub use augment::Augmentation;
pub use batches::{BatchOptions, Batches, HostBatch, Order};
pub use dataset::{Dataset, Pixel};
pub use description::{Contents, Description};
pub use download::{ByHand, DownloadOptions, Downloaded, download};
pub use normalisation::Normalisation;
pub use options::{LoadOptions, TEST_PART};
pub use preview::write_preview;
pub use registry::{DATASETS, Entry, absolute, entry, own_place, short_name};
pub use source::{Label, Source, Splits, Subset, Valued};
pub use transfer::{Patience, Transferred};
pub use verify::{FileReport, FileStatus, verify};

use dataset::Parts;

/// No file of a known data set is larger than this once unpacked: a guard against archives that never end.
const LARGEST: u64 = 1 << 30;

/// The most classes that a label can tell.
const MOST_CLASSES: usize = 1 << 16;

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
    let Parts { train, validation, test } = (entry.load)(entry, &options.at(name))?;
    let [train, validation] = match validation {
        None => held_back(train, options)?,
        Some(own) if options.validation == 0 => [train, own],
        Some(own) => {
            let expected = format!("0: the data have {} validation images of their own", own.len());
            return Err(Error::out_of_range("data.validation", options.validation, expected));
        }
    };
    Ok(Splits { train, validation, test, augment: entry.augment })
}

/// Training images, and those that are held back from them for validation.
fn held_back(train: Arc<dyn Source>, options: &LoadOptions) -> Result<[Arc<dyn Source>; 2]> {
    if options.validation >= train.len() {
        let expected = format!("fewer than the {} training images", train.len());
        return Err(Error::out_of_range("data.validation", options.validation, expected));
    }
    let order = Stream::new(options.seed, "validation").permutation(train.len());
    let (held, kept) = order.split_at(options.validation);
    let part = |part: &[usize]| -> Arc<dyn Source> {
        let mut part = part.to_vec();
        part.sort_unstable();
        Arc::new(Subset::new(train.clone(), part))
    };
    Ok(if held.is_empty() { [train.clone(), part(held)] } else { [part(kept), part(held)] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validation_split_takes_its_images_out_of_the_training_set() {
        let options = LoadOptions { train_limit: Some(30), test_limit: Some(1), ..Default::default() };
        let whole = load("glyphs", &options).expect("glyphs").train;
        let splits = load("glyphs", &LoadOptions { validation: 10, ..options.clone() }).expect("glyphs");
        let images =
            |set: &Arc<dyn Source>| (0..set.len()).map(|i| set.picture(i).expect("an image")).collect::<Vec<_>>();
        let mut parts = [images(&splits.train), images(&splits.validation)].concat();
        let mut all = images(&whole);
        parts.sort();
        all.sort();
        assert_eq!(parts, all);
        let refused = load("glyphs", &LoadOptions { validation: 30, ..options });
        assert!(refused.expect_err("nothing left").to_string().contains("fewer than the 30"));
    }
}
