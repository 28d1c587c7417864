//! Which images of a data set are loaded.

use std::path::PathBuf;

use super::registry::{Origin, own_place};
use super::{Entry, Normalisation, entry, places};
use crate::{Error, Result};

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
    /// The seed of generated images and of the draws of validation and test images.
    pub seed: u64,
    /// The side of the square that pictures of one's own are scaled and cut to; none: they are as they are.
    pub image_size: Option<usize>,
    /// The part of one's own data that is the test set, where they have none; none: [`TEST_PART`].
    pub test_part: Option<f64>,
    /// Means and deviations that a run began with, in place of those of the training images that are there now (one's own data).
    pub normalisation: Option<Normalisation>,
}

/// The part of one's own data that is the test set unless the user asks for another.
pub const TEST_PART: f64 = 0.2;

/// The largest side that pictures are scaled to.
const LARGEST_SIDE: usize = 4096;

/// Images of a split that are generated at most.
const MOST_GENERATED: usize = 1_000_000;

impl LoadOptions {
    /// Refuses what is wrong whatever the files hold.
    ///
    /// # Errors
    /// An unknown data set, limits outside their ranges, settings of another kind of data.
    pub fn validate(&self, dataset: &str) -> Result<()> {
        let entry = entry(dataset)?;
        let most = if matches!(entry.origin, Origin::Generated) { MOST_GENERATED } else { usize::MAX };
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
        self.validate_own(entry, dataset)
    }

    /// Refuses settings of one's own data that have no meaning, or are asked of another set.
    fn validate_own(&self, entry: &Entry, dataset: &str) -> Result<()> {
        if own_place(dataset).is_some_and(|place| place.as_os_str().is_empty()) {
            return Err(Error::out_of_range(
                "data.dataset",
                dataset,
                format!("a place behind the colon: {}", entry.name),
            ));
        }
        if let Some(side) = self.image_size.filter(|side| !(1..=LARGEST_SIDE).contains(side)) {
            return Err(Error::out_of_range("data.image-size", side, format!("from 1 to {LARGEST_SIDE}")));
        }
        if let Some(part) = self.test_part.filter(|part| !(*part > 0.0 && *part < 1.0)) {
            return Err(Error::out_of_range("data.test-part", part, "between 0 and 1, for instance 0.2"));
        }
        let are_pictures = entry.is_own() && dataset.starts_with("images:");
        let part = ("data.test-part", "data of your own", self.test_part.is_some() && !entry.is_own());
        let size = ("data.image-size", "pictures of your own", self.image_size.is_some() && !are_pictures);
        match [part, size].into_iter().find(|(.., is_wrong)| *is_wrong) {
            Some((setting, whose, _)) => Err(Error::meaningless(
                format!("`{setting}` is for {whose}, and `{dataset}` is as it is"),
                format!("`{setting} = off`"),
            )),
            None => Ok(()),
        }
    }

    /// Refuses a data set whose files are nowhere, without reading them.
    ///
    /// # Errors
    /// An unknown data set, no folder, one that is missing or cannot be looked at.
    pub fn find(&self, dataset: &str) -> Result<()> {
        let dir = match entry(dataset)?.origin {
            Origin::Generated => return Ok(()),
            Origin::Published(_) => self.dir(dataset)?,
            Origin::Own => self.at(dataset).own_dir()?,
        };
        match foregrad::files::kind(&dir)? {
            Some(_) => Ok(()),
            None => Err(Error::bad_file(dir, format!("the files of `{dataset}`"), "nothing")),
        }
    }

    /// The data set's own folder inside the one that was given, if there is one, else that one (or archive) itself.
    pub(super) fn dir(&self, dataset: &str) -> Result<PathBuf> {
        let dir = self.dir.as_deref().ok_or_else(|| {
            Error::out_of_range("data.dir", "missing", format!("the folder that holds the files of `{dataset}`"))
        })?;
        let own = dir.join(dataset);
        Ok(if places::is_folder(&own)? { own } else { dir.to_path_buf() })
    }

    /// The same, with the place that a name of one's own data says in place of the folder.
    pub(super) fn at(&self, dataset: &str) -> Self {
        let place = own_place(dataset).map(PathBuf::from);
        Self { dir: place.or_else(|| self.dir.clone()), ..self.clone() }
    }

    /// The place of one's own data.
    pub(super) fn own_dir(&self) -> Result<PathBuf> {
        let dir = self.dir.clone().unwrap_or_default();
        if dir.starts_with("~") {
            let expected =
                "a place that the shell has written out (it leaves `~` behind a colon alone; `$HOME` is replaced)";
            return Err(Error::bad_file(dir, expected, "`~`"));
        }
        Ok(dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::load;

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

    #[test]
    fn settings_of_ones_own_data_are_checked_and_refused_elsewhere() {
        let none = LoadOptions::default;
        let sized = |side| LoadOptions { image_size: Some(side), ..none() };
        let parted = |part| LoadOptions { test_part: Some(part), ..none() };
        let cases = [
            ("images:", none(), "data.dataset is images:; expected a place behind the colon: images:DIR"),
            ("images:x", sized(0), "data.image-size is 0"),
            ("images:x", sized(5000), "data.image-size is 5000; expected from 1 to 4096"),
            ("images:x", parted(0.0), "data.test-part is 0"),
            ("images:x", parted(1.0), "data.test-part is 1"),
            ("images:x", parted(f64::NAN), "data.test-part is NaN"),
            ("glyphs", sized(32), "`data.image-size` is for pictures of your own"),
            ("arrays:x.npz", sized(32), "`data.image-size` is for pictures of your own"),
            ("cifar10", parted(0.5), "`data.test-part` is for data of your own"),
        ];
        for (dataset, options, words) in cases {
            let error = options.validate(dataset).expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
        }
        assert!(none().find("images:~/photos").expect_err("not written out").to_string().contains("$HOME"));
        assert!(none().find("images:/no/such/place").expect_err("missing").to_string().contains("/no/such/place"));
    }
}
