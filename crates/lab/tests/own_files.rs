//! Runs on pictures and arrays of one's own: what they began with is kept, and what has changed since is noticed.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod runs;

use std::path::Path;

use foregrad_lab::data::load;
use foregrad_lab::train::{Changes, Checkpoint, Control, Outcome, RunConfig, RunFolder, Silent, Trainer, data_for};
use image::{GrayImage, Luma};
use runs::{cpu, run, tiny};
use safetensors::{Dtype, tensor::TensorView};

fn picture(path: &Path, level: u8) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    GrayImage::from_fn(8, 8, |x, y| Luma([level + (3 * x + y) as u8])).save(path).expect("a file");
}

/// Twelve training and four test pictures of two classes.
fn pictures(dir: &Path) -> RunConfig {
    for (class, base) in [("dark", 10), ("light", 120)] {
        (0..6).for_each(|number| picture(&dir.join(format!("train/{class}/{number}.png")), base + number));
        (0..2).for_each(|number| picture(&dir.join(format!("test/{class}/{number}.png")), base + number));
    }
    let mut config = RunConfig { epochs: 1, batch: 4, ..tiny() };
    config.data =
        foregrad_lab::train::DataConfig { dataset: format!("images:{}", dir.display()), ..Default::default() };
    config.model.name = "mlp".into();
    config
}

fn newest(folder: &Path) -> Checkpoint {
    RunFolder::newest(folder, &cpu()).expect("a checkpoint")
}

fn resumed(folder: &Path) -> Result<Trainer, String> {
    let more = Changes { epochs: Some(2), ..Default::default() };
    Trainer::resume(folder, None, &more, cpu()).map_err(|error| error.to_string())
}

#[test]
fn a_run_on_pictures_keeps_its_numbers_and_notices_other_pictures() {
    let dir = tempfile::tempdir().expect("a folder");
    let (own, folder) = (dir.path().join("pictures"), dir.path().join("run"));
    let config = pictures(&own);
    run(&config, &folder);
    let known = newest(&folder).data.expect("a description");
    assert_eq!((known.classes.clone(), known.train.samples), (vec!["dark".to_string(), "light".to_string()], 12));
    resumed(&folder).expect("nothing has changed");
    for part in ["train", "test"] {
        picture(&own.join(part).join("light/more.png"), 220);
    }
    let error = resumed(&folder).err().expect("another picture");
    assert!(error.contains("the number of training samples is 13; expected 12, as when the run began"), "{error}");
    let judged = data_for(&config, Some(&known)).expect("the same classes").test;
    assert_eq!((judged.len(), judged.normalisation()), (5, known.normalisation.clone()));
    let anew = load(&config.data.dataset, &config.data.load_options(0)).expect("a data set");
    assert_ne!(anew.test.normalisation(), known.normalisation, "a new run has numbers of its own");
    std::fs::remove_file(own.join("train/light/more.png")).expect("removed");
    std::fs::remove_file(own.join("test/light/more.png")).expect("removed");
    picture(&own.join("train/light/3.png"), 200);
    assert!(resumed(&folder).err().expect("other content").contains("the digest of the training samples"));
    for part in ["train", "test"] {
        std::fs::rename(own.join(part).join("dark"), own.join(part).join("night")).expect("renamed");
    }
    let error = data_for(&config, Some(&known)).expect_err("another class").to_string();
    assert!(error.contains("the name of class 0 is light; expected dark"), "{error}");
}

#[test]
fn a_run_goes_on_with_pictures_that_were_moved_and_with_no_others() {
    let dir = tempfile::tempdir().expect("a folder");
    let (own, folder) = (dir.path().join("pictures"), dir.path().join("run"));
    let config = pictures(&own);
    run(&config, &folder);
    let moved = dir.path().join("elsewhere");
    std::fs::rename(&own, &moved).expect("moved");
    assert!(resumed(&folder).is_err(), "they are no longer where they were");
    let given = RunConfig { data: pictures(&dir.path().join("others")).data, ..config.clone() };
    assert_eq!(config.differences(&given), [], "where they lie is the machine's");
    let at = |place: &Path| Changes {
        epochs: Some(2),
        dataset: Some(format!("images:{}", place.display())),
        ..Default::default()
    };
    Trainer::resume(&folder, None, &at(&moved), cpu()).expect("the same pictures");
    picture(&moved.join("train/light/3.png"), 200);
    assert!(Trainer::resume(&folder, None, &at(&moved), cpu()).is_err(), "another picture");
}

/// Features whose sum is the value, in a file.
fn sums(path: &Path) {
    let features: Vec<f32> = (0..160u32).map(|number| (number * 37 % 64) as f32 / 64.0 - 0.5).collect();
    let values: Vec<f32> = features.chunks(4).map(|features| features.iter().sum()).collect();
    let bytes = |numbers: &[f32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    let (features, values) = (bytes(&features), bytes(&values));
    let images = TensorView::new(Dtype::F32, vec![40, 4], &features).expect("a tensor");
    let values = TensorView::new(Dtype::F32, vec![40], &values).expect("a tensor");
    let file = safetensors::serialize([("images", images), ("values", values)], None).expect("a file");
    std::fs::write(path, file).expect("a file");
}

#[test]
fn a_run_on_values_learns_and_is_judged_by_their_error() {
    let dir = tempfile::tempdir().expect("a folder");
    let (file, folder) = (dir.path().join("sums.safetensors"), dir.path().join("run"));
    sums(&file);
    let mut config = RunConfig { epochs: 20, batch: 8, ..pictures(&dir.path().join("unused")) };
    config.data.dataset = format!("arrays:{}", file.display());
    let mut trainer = Trainer::start(&config, cpu(), &folder, false).expect("a run");
    let outcome = trainer.run(&Control::default(), &mut Silent).expect("a whole run");
    let Outcome::Done(last) = outcome else { panic!("{outcome:?}") };
    let first = &RunFolder::epochs(&folder).expect("records")[0];
    let loss = |scores: &[Option<foregrad_lab::train::Score>]| scores.last().cloned().flatten().expect("a score").loss;
    assert!(loss(&last.train) < 0.5 * loss(&first.train), "{} after {}", loss(&last.train), loss(&first.train));
    let score = last.test.last().cloned().flatten().expect("a score");
    assert!(score.metrics.contains_key("mean-absolute-error") && score.accuracy().is_none(), "{score:?}");
    assert_eq!(newest(&folder).data.expect("a description").labels, "1 value");
}
