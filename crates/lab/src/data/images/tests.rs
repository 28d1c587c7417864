//! Folders as users have them: sound, odd and wrong.

use super::*;
use crate::data::{FileStatus, Label, Splits, load as load_named, verify, write_preview};
use foregrad::Error;
use image::{ImageFormat, Luma, Rgb};

/// A folder of pictures; those of a class have levels that begin at 40 times its number.
struct Pictures(tempfile::TempDir);

impl Pictures {
    fn new(parts: &[&str], classes: &[&str], count: usize) -> Self {
        let pictures = Self(tempfile::tempdir().expect("a folder"));
        for part in parts {
            for (number, class) in classes.iter().enumerate() {
                for picture in 0..count {
                    pictures.grey(&format!("{part}/{class}/{picture}.png"), [6, 4], (40 * number + picture) as u8);
                }
            }
        }
        pictures
    }

    fn path(&self, place: &str) -> PathBuf {
        let path = self.0.path().join(place);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        path
    }

    fn grey(&self, place: &str, [width, height]: [u32; 2], level: u8) {
        let picture = image::GrayImage::from_pixel(width, height, Luma([level]));
        picture.save_with_format(self.path(place), ImageFormat::Png).expect("a file");
    }

    fn colour(&self, place: &str, [width, height]: [u32; 2], levels: [u8; 3]) {
        let picture = RgbImage::from_pixel(width, height, Rgb(levels));
        picture.save_with_format(self.path(place), ImageFormat::Png).expect("a file");
    }

    fn name(&self) -> String {
        format!("images:{}", self.0.path().display())
    }

    fn load(&self, options: &LoadOptions) -> Result<Splits> {
        load_named(&self.name(), options)
    }

    fn plain(&self) -> Splits {
        self.load(&LoadOptions::default()).expect("a data set")
    }

    /// The error of loading it, which has to be the user's to mend.
    fn refused(&self, options: &LoadOptions) -> String {
        let error = self.load(options).expect_err("refused");
        assert!(error.is_usage() && !matches!(error, Error::Io { .. }), "{error}");
        error.to_string()
    }
}

/// The classes of all images.
fn labels(set: &Arc<dyn Source>) -> Vec<usize> {
    let mut input = vec![0.0; set.shape().iter().product()];
    let label = |index| match set.sample(index, None, &mut input).expect("a sample") {
        Label::Class(class) => class,
        other => panic!("{other:?}"),
    };
    (0..set.len()).map(label).collect()
}

fn image(set: &Arc<dyn Source>, index: usize) -> Vec<u8> {
    set.picture(index).expect("an image")
}

fn normalisation(set: &Arc<dyn Source>) -> Normalisation {
    set.normalisation().expect("a normalisation")
}

#[test]
fn parts_are_read_class_by_class_with_the_names_of_their_folders() {
    let pictures = Pictures::new(&["train", "test"], &["owl", "cat", "dog"], 3);
    let splits = pictures.plain();
    let sizes = [splits.train.len(), splits.validation.len(), splits.test.len()];
    assert_eq!((sizes, splits.train.shape()), ([9, 0, 9], [1, 4, 6]));
    assert_eq!(splits.train.classes(), ["cat", "dog", "owl"]);
    assert_eq!(labels(&splits.train), [0, 1, 2, 0, 1, 2, 0, 1, 2]);
    assert_eq!([0, 1, 2, 3].map(|index| image(&splits.train, index)[5]), [40, 80, 0, 41]);
    let levels = [0, 1, 2, 40, 41, 42, 80, 81, 82].map(f64::from);
    let mean = levels.iter().sum::<f64>() / 9.0;
    let deviation = (levels.iter().map(|level| (level - mean).powi(2)).sum::<f64>() / 9.0).sqrt();
    assert_eq!([&splits.train, &splits.test].map(|set| normalisation(set).mean), [[(mean / 255.0) as f32]; 2]);
    assert!((f64::from(normalisation(&splits.test).deviation[0]) - deviation / 255.0).abs() < 1e-6);
    let limits = LoadOptions { train_limit: Some(4), test_limit: Some(2), ..Default::default() };
    let few = pictures.load(&limits).expect("a part");
    assert_eq!((labels(&few.train), labels(&few.test)), (vec![0, 1, 2, 0], vec![0, 1]));
}

#[test]
fn folders_of_held_out_pictures_may_have_their_usual_names() {
    for name in ["val", "valid", "validation", "Test"] {
        let splits = Pictures::new(&["train", name], &["a", "b"], 2).plain();
        assert_eq!([splits.train.len(), splits.validation.len(), splits.test.len()], [4, 0, 4], "{name}");
    }
    let three = Pictures::new(&["train", "val", "test"], &["a", "b"], 2);
    three.grey("test/a/more.png", [6, 4], 9);
    let splits = three.plain();
    assert_eq!([splits.train.len(), splits.validation.len(), splits.test.len()], [4, 4, 5]);
    let error = three.refused(&LoadOptions { validation: 1, ..Default::default() });
    assert!(error.starts_with("data.validation is 1; expected 0"), "{error}");
    let error = three.refused(&LoadOptions { test_part: Some(0.5), ..Default::default() });
    assert!(error.starts_with("data.test-part is 0.5; expected off"), "{error}");
    let two = Pictures::new(&["train", "val", "valid"], &["a", "b"], 2);
    assert!(two.refused(&LoadOptions::default()).contains("found val, valid"));
    assert!(Pictures::new(&["test"], &["a", "b"], 1).refused(&LoadOptions::default()).contains("a folder train"));
}

#[test]
fn without_a_test_set_a_part_drawn_by_the_seed_is_held_out() {
    for parts in ["train", "."] {
        let pictures = Pictures::new(&[parts], &["a", "b"], 10);
        let drawn = |seed, test_part| {
            let splits = pictures.load(&LoadOptions { seed, test_part, ..Default::default() }).expect("a data set");
            [splits.train, splits.test].map(|set| (0..set.len()).map(|i| image(&set, i)[0]).collect::<Vec<_>>())
        };
        let [train, test] = drawn(0, None);
        assert_eq!([train.len(), test.len()], [16, 4]);
        assert_eq!(test.iter().filter(|level| **level < 40).count(), 2, "of each class a fifth");
        assert!(test.iter().all(|level| !train.contains(level)));
        assert_eq!(drawn(0, None), [train.clone(), test]);
        assert_ne!(drawn(1, None)[0], train);
        assert_eq!(drawn(0, Some(0.5)).map(|part| part.len()), [10, 10]);
    }
    assert!(Pictures::new(&["."], &["a", "b"], 1).refused(&LoadOptions::default()).contains("two or more"));
}

#[test]
fn one_picture_in_colour_makes_three_channels() {
    let pictures = Pictures::new(&["train", "test"], &["a", "b"], 2);
    pictures.colour("test/b/red.png", [6, 4], [200, 10, 10]);
    let splits = pictures.plain();
    assert_eq!((splits.train.shape(), normalisation(&splits.train).mean.len()), ([3, 4, 6], 3));
    assert_eq!([0, 24, 48].map(|place| image(&splits.test, 4)[place]), [200, 10, 10]);
    assert_eq!([0, 24, 48].map(|place| image(&splits.train, 2)[place]), [1; 3]);
}

#[test]
fn numbers_that_a_run_began_with_are_kept() {
    let pictures = Pictures::new(&["train", "test"], &["a", "b"], 2);
    let kept = Normalisation { mean: vec![0.25], deviation: vec![0.5] };
    let options = LoadOptions { normalisation: Some(kept.clone()), ..Default::default() };
    let splits = pictures.load(&options).expect("a data set");
    assert_eq!(normalisation(&splits.test), kept);
    pictures.colour("train/b/red.png", [6, 4], [200, 10, 10]);
    let error = pictures.refused(&options);
    assert!(error.contains("red.png") && error.contains("a grey picture"), "{error}");
    let colour = Normalisation { mean: vec![0.25; 3], deviation: vec![0.5; 3] };
    std::fs::remove_file(pictures.path("train/b/red.png")).expect("removed");
    let options = LoadOptions { normalisation: Some(colour), ..Default::default() };
    assert_eq!(pictures.load(&options).expect("a data set").test.shape(), [3, 4, 6]);
}

#[test]
fn sizes_that_differ_need_a_side_that_all_are_scaled_to() {
    let pictures = Pictures::new(&["train", "test"], &["a", "b"], 2);
    pictures.grey("test/b/other.png", [9, 7], 250);
    let error = pictures.refused(&LoadOptions::default());
    assert!(error.contains("data.image-size is off") && error.contains("other.png has 9x7"), "{error}");
    assert!(error.contains("6x4"), "{error}");
    let scaled = pictures.load(&LoadOptions { image_size: Some(5), ..Default::default() }).expect("a data set");
    assert_eq!(scaled.train.shape(), [1, 5, 5]);
    assert_eq!(image(&scaled.test, 4), [250; 25]);
}

#[test]
fn other_files_are_passed_over_or_named() {
    let pictures = Pictures::new(&["train", "test"], &["a", "b"], 2);
    for place in ["README.md", "train/labels.csv", "train/a/._0.png", "train/a/.x.jpg", "train/b/Thumbs.db"] {
        std::fs::write(pictures.path(place), "text").expect("a file");
    }
    std::fs::create_dir_all(pictures.path("train/.hidden/x")).expect("a folder");
    std::fs::create_dir_all(pictures.path("train/__MACOSX/x")).expect("a folder");
    assert_eq!(pictures.plain().train.len(), 4);
    let cases =
        [("train/a/x.webp", "another picture"), ("train/stray.png", "in none"), ("train/a/z.JPEG", "JPEG or PNG")];
    for (place, words) in cases {
        std::fs::write(pictures.path(place), "text").expect("a file");
        let error = pictures.refused(&LoadOptions::default());
        let name = place.rsplit('/').next().expect("a name");
        assert!(error.contains(words) && error.contains(name), "{place}: {error}");
        std::fs::remove_file(pictures.path(place)).expect("removed");
    }
    std::fs::create_dir_all(pictures.path("train/a/more/x")).expect("a folder");
    assert!(pictures.refused(&LoadOptions::default()).contains("a folder more in it"));
}

#[test]
fn damaged_files_are_named_when_they_are_read_and_verified() {
    let pictures = Pictures::new(&["train", "test"], &["a", "b"], 2);
    let reports = verify(&pictures.name(), &LoadOptions::default()).expect("whole files");
    let found: Vec<_> = reports.iter().map(|report| (report.status, report.decoded)).collect();
    assert_eq!(found, [(FileStatus::Present, true)]);
    let path = pictures.path("test/b/1.png");
    let whole = std::fs::read(&path).expect("a file");
    for kept in [0, 10, whole.len() / 2, whole.len() - 20] {
        std::fs::write(&path, &whole[..kept]).expect("a file");
        let verified = verify(&pictures.name(), &LoadOptions::default()).expect_err("cut").to_string();
        for error in [pictures.refused(&LoadOptions::default()), verified] {
            assert!(error.contains("test/b/1.png"), "cut to {kept}: {error}");
        }
    }
}

#[test]
fn classes_that_are_empty_alone_or_not_the_same_are_refused_by_their_folder() {
    let refused = |change: fn(&Pictures)| {
        let pictures = Pictures::new(&["train", "test"], &["a", "b"], 1);
        change(&pictures);
        pictures.refused(&LoadOptions::default())
    };
    let made = |pictures: &Pictures, place: &str| std::fs::create_dir_all(pictures.path(place)).expect("a folder");
    let error = refused(|pictures| std::fs::remove_file(pictures.path("train/b/0.png")).expect("removed"));
    assert!(error.contains("train/b: expected JPEG or PNG files, found none"), "{error}");
    let error = refused(|pictures| std::fs::remove_dir_all(pictures.path("train/b")).expect("removed"));
    assert!(error.contains("train: expected a folder for each of 2") && error.contains("found 1 (a)"), "{error}");
    let error = refused(|pictures| std::fs::remove_dir_all(pictures.path("test/b")).expect("removed"));
    assert!(error.contains("test: expected the 2 classes") && error.contains("no folder b"), "{error}");
    let error = refused(|pictures| pictures.grey("test/c/0.png", [6, 4], 1));
    assert!(error.contains("test: expected the 2 classes") && error.contains("a folder c"), "{error}");
    let empty = Pictures(tempfile::tempdir().expect("a folder"));
    assert!(empty.refused(&LoadOptions::default()).contains("found 0"));
    made(&empty, "train");
    assert!(empty.refused(&LoadOptions::default()).contains("train: expected a folder for each"));
}

#[test]
fn a_preview_has_a_row_a_class() {
    let pictures = Pictures::new(&["train", "test"], &["a", "b"], 2);
    let sheet = pictures.path("sheet.png");
    write_preview(&*pictures.plain().train, 2, &sheet).expect("a sheet");
    let sheet = image::open(&sheet).expect("a picture");
    assert_eq!((sheet.width(), sheet.height()), (2 * 16 + 4, 2 * 12 + 4));
}
