//! Files as users write them: every layout that is read, and the table of those that are not.

use std::io::Write;

use safetensors::tensor::TensorView;

use super::*;
use crate::data::numpy::tests::written;
use crate::data::{FileStatus, Label, Splits, load as load_named, verify, write_preview};
use foregrad::losses::LabelKind;

/// An array: its name, its type, its shape, its bytes.
type Named = (&'static str, &'static str, Vec<usize>, Vec<u8>);

fn bytes(name: &'static str, shape: &[usize], numbers: impl IntoIterator<Item = u8>) -> Named {
    (name, "|u1", shape.to_vec(), numbers.into_iter().collect())
}

fn floats(name: &'static str, shape: &[usize], numbers: &[f32]) -> Named {
    (name, "<f4", shape.to_vec(), numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
}

fn npz(arrays: &[Named]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, kind, shape, bytes) in arrays {
        let shape: String = shape.iter().map(|axis| format!("{axis},")).collect();
        archive.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).expect("a member");
        archive.write_all(&written(kind, &format!("({shape})"), bytes)).expect("bytes");
    }
    archive.finish().expect("an archive").into_inner()
}

fn tensors(arrays: &[Named]) -> Vec<u8> {
    let views = arrays.iter().map(|(name, kind, shape, bytes)| {
        let dtype = match *kind {
            "|u1" => Dtype::U8,
            "<f4" => Dtype::F32,
            "<f8" => Dtype::F64,
            "<i8" => Dtype::I64,
            other => panic!("{other}"),
        };
        (*name, TensorView::new(dtype, shape.clone(), bytes).expect("a tensor"))
    });
    safetensors::serialize(views, None).expect("a file")
}

/// What loading a file gives.
fn loaded(file: &[u8], options: &LoadOptions) -> Result<Splits> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("mine");
    std::fs::write(&path, file).expect("a file");
    load_named(&format!("arrays:{}", path.display()), options)
}

fn plain(arrays: &[Named]) -> Splits {
    loaded(&npz(arrays), &LoadOptions::default()).expect("a data set")
}

fn sample(set: &Arc<dyn Source>, index: usize) -> (Vec<f32>, Label) {
    let mut input = vec![0.0; set.shape().iter().product()];
    let label = set.sample(index, None, &mut input).expect("a sample");
    (input, label)
}

/// Six training and two test images of two pixels, with their classes.
fn parts() -> Vec<Named> {
    vec![
        bytes("train_images", &[6, 1, 2], [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110]),
        bytes("train_labels", &[6], [0, 1, 2, 0, 1, 2]),
        bytes("test_images", &[2, 1, 2], [200, 210, 220, 230]),
        bytes("test_labels", &[2, 1], [2, 0]),
    ]
}

#[test]
fn parts_of_both_kinds_of_file_are_read_and_normalised_as_the_training_images() {
    for file in [npz(&parts()), tensors(&parts())] {
        let splits = loaded(&file, &LoadOptions::default()).expect("a data set");
        let sizes = [splits.train.len(), splits.validation.len(), splits.test.len()];
        assert_eq!((sizes, splits.train.shape(), splits.train.classes().len()), ([6, 0, 2], [1, 1, 2], 3));
        assert_eq!(splits.test.picture(1).expect("an image"), [220, 230]);
        let known = splits.train.normalisation().expect("a normalisation");
        assert!((known.mean[0] - 55.0 / 255.0).abs() < 1e-6);
        let (input, label) = sample(&splits.test, 0);
        assert_eq!(label, Label::Class(2));
        assert!((input[1] - (210.0 / 255.0 - known.mean[0]) / known.deviation[0]).abs() < 1e-5);
    }
    let limits = LoadOptions { train_limit: Some(4), test_limit: Some(1), ..Default::default() };
    let few = loaded(&npz(&parts()), &limits).expect("a data set");
    assert_eq!([few.train.len(), few.test.len()], [4, 1]);
    let validated = [parts(), vec![bytes("val_images", &[1, 1, 2], [5, 6]), bytes("val_labels", &[1], [1])]].concat();
    assert_eq!(plain(&validated).validation.len(), 1);
}

#[test]
fn images_of_every_layout_become_planes() {
    let read = |images: Named| {
        let count = images.2[0];
        let splits = plain(&[images, bytes("labels", &[count], (0..count).map(|sample| (sample % 2) as u8))]);
        (splits.train.shape(), splits.train.picture(0).expect("an image").len())
    };
    let numbers = |count| (0..count).map(|number| number as u8);
    assert_eq!(read(bytes("images", &[4, 2, 5], numbers(40))), ([1, 2, 5], 10));
    assert_eq!(read(bytes("images", &[4, 2, 5, 3], numbers(120))), ([3, 2, 5], 30));
    assert_eq!(read(bytes("images", &[4, 3, 2, 5], numbers(120))), ([3, 2, 5], 30));
    assert_eq!(read(bytes("images", &[4, 7], numbers(28))), ([7, 1, 1], 7));
    assert_eq!(read(floats("images", &[4, 5, 2, 2], &[0.5; 80])), ([5, 2, 2], 20));
    assert_eq!(read(floats("images", &[4, 2, 2], &[0.5; 16])), ([1, 2, 2], 4));
    assert_eq!(read(floats("images", &[4, 6], &[0.5; 24])), ([6, 1, 1], 6));
    let last = [bytes("train_images", &[2, 1, 2, 3], 0..12), bytes("train_labels", &[2], [0, 1])];
    let error = loaded(&npz(&last), &LoadOptions::default()).expect_err("two readings").to_string();
    assert!(error.contains("channels could be 1 or 3"), "{error}");
    let planes = [bytes("images", &[2, 2, 2, 3], 0..24), bytes("labels", &[2], [0, 1])];
    let error = loaded(&npz(&planes), &LoadOptions::default()).expect_err("one of each").to_string();
    assert!(error.contains("two or more samples"), "{error}");
    let planes = [bytes("train_images", &[2, 2, 2, 3], 0..24), bytes("train_labels", &[2], [0, 1])];
    let tested = [planes.to_vec(), vec![bytes("test_images", &[1, 2, 2, 3], 0..12), bytes("test_labels", &[1], [1])]];
    let splits = plain(&tested.concat());
    assert_eq!(splits.test.picture(0).expect("an image"), [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]);
}

#[test]
fn values_are_kept_as_they_are() {
    let inputs: Vec<f32> = (0..20).map(|number| number as f32).collect();
    let file = [
        floats("images", &[10, 2], &inputs),
        ("values", "<f8", vec![10, 3], (0..30).flat_map(|number| (1e3 * f64::from(number)).to_le_bytes()).collect()),
    ];
    let splits = plain(&file);
    assert_eq!((splits.train.kind(), splits.train.len(), splits.test.len()), (LabelKind::Values(3), 8, 2));
    let mut rows: Vec<Vec<f64>> = [&splits.train, &splits.test]
        .into_iter()
        .flat_map(|set| (0..set.len()).map(|index| sample(set, index).1))
        .map(|label| if let Label::Values(row) = label { row } else { panic!("{label:?}") })
        .collect();
    rows.sort_by(|one, other| one[0].total_cmp(&other[0]));
    assert_eq!(rows.concat(), (0..30).map(|number| 1e3 * f64::from(number)).collect::<Vec<_>>());
    let means: f32 = (0..8).map(|index| sample(&splits.train, index).0[1]).sum();
    assert!(means.abs() < 1e-5, "every feature is normalised by itself");
    let limited = loaded(&npz(&file), &LoadOptions { train_limit: Some(3), ..Default::default() }).expect("a data set");
    assert_eq!(limited.train.len(), 3);
    let dir = tempfile::tempdir().expect("a folder");
    write_preview(&*splits.train, 4, &dir.path().join("sheet.png")).expect("a sheet");
    assert_ne!(splits.train.digest().expect("a digest"), splits.test.digest().expect("a digest"));
}

#[test]
fn what_is_not_clear_is_refused_with_what_was_expected() {
    let changed = |name: &'static str, array: Named| {
        let mut all: Vec<Named> = parts().into_iter().filter(|(own, ..)| *own != name).collect();
        all.push(array);
        all
    };
    let with = |array: Named| [parts(), vec![array]].concat();
    let without = |name: &str| parts().into_iter().filter(|(own, ..)| *own != name).collect::<Vec<_>>();
    let row = |class: i64| {
        (0..6).flat_map(move |sample| if sample == 4 { class } else { sample % 3 }.to_le_bytes()).collect()
    };
    let numbers = |sample: usize| -> Vec<f32> { (0..12).map(|at| if at == sample { f32::NAN } else { 1.0 }).collect() };
    let wide = (0..6).flat_map(|sample: i64| (sample % 3).to_le_bytes()).collect();
    let cases = [
        (without("train_images"), "either `images` or `train_images`"),
        (with(bytes("images", &[1, 1], [1])), "either `images` or `train_images`"),
        (without("train_labels"), "either `train_labels` or `train_values`"),
        (with(floats("train_values", &[6], &[0.0; 6])), "either `train_labels` or `train_values`"),
        (without("test_images"), "an array `test_images`"),
        (changed("train_labels", bytes("train_labels", &[5], [0, 1, 2, 0, 1])), "one row for each of 6 samples"),
        (changed("train_labels", bytes("train_labels", &[6, 2], [0; 12])), "[6, 2] of type |u1"),
        (changed("train_labels", ("train_labels", "<i8", vec![6], row(-1))), "-1 of sample 4"),
        (changed("train_labels", ("train_labels", "<i8", vec![6], row(1 << 16))), "65536 of sample 4"),
        (changed("train_labels", ("train_labels", "<i8", vec![6], row(5))), "labels up to 5, none 3"),
        (changed("train_labels", floats("train_labels", &[6], &[0.0, 1.0, 2.0, 0.5, 1.0, 2.0])), "0.5 of sample 3"),
        (changed("train_labels", bytes("train_labels", &[6], [0; 6])), "one class"),
        (changed("test_labels", bytes("test_labels", &[2], [3, 0])), "found 4 classes"),
        (changed("test_images", bytes("test_images", &[2, 1, 3], [0; 6])), "[1, 1, 2] of bytes a sample"),
        (changed("test_images", floats("test_images", &[2, 1, 2], &[0.0; 4])), "of floating-point numbers"),
        (changed("train_images", floats("train_images", &[6, 1, 2], &numbers(7))), "NaN in sample 3"),
        (changed("train_images", ("train_images", "<i8", vec![6], wide)), "[6] of type <i8"),
        (changed("train_images", bytes("train_images", &[6, 1, 0], [])), "[6, 1, 0]"),
        (changed("train_images", bytes("train_images", &[6, 2, 2, 2], [0; 48])), "[6, 2, 2, 2]"),
        (changed("train_images", floats("train_images", &[6, 2, 2, 3], &[0.0; 72])), "move the last axis, 3"),
    ];
    for (arrays, words) in cases {
        let tried =
            std::panic::catch_unwind(|| tensors(&arrays)).map_or(vec![npz(&arrays)], |file| vec![npz(&arrays), file]);
        for file in tried {
            let error = loaded(&file, &LoadOptions::default()).expect_err(words);
            assert!(error.is_usage() && error.to_string().contains(words), "{words}: {error}");
        }
    }
    let error =
        loaded(&npz(&parts()), &LoadOptions { test_part: Some(0.5), ..Default::default() }).expect_err("a part");
    assert!(error.to_string().contains("data.test-part is 0.5; expected off"), "{error}");
    let values = [floats("images", &[3, 1], &[1.0, 2.0, 3.0]), floats("values", &[3], &[1.0, f32::INFINITY, 2.0])];
    let error = loaded(&npz(&values), &LoadOptions::default()).expect_err("infinite").to_string();
    assert!(error.contains("`values` of finite numbers, found inf in sample 1"), "{error}");
}

#[test]
fn damaged_and_other_files_are_named_for_what_they_are() {
    for whole in [npz(&parts()), tensors(&parts())] {
        for kept in [0, 7, 9, whole.len() / 3, whole.len() / 2, whole.len() - 3] {
            let error = loaded(&whole[..kept], &LoadOptions::default()).expect_err("cut").to_string();
            assert!(error.contains("mine: expected"), "cut to {kept}: {error}");
        }
    }
    let whole = npz(&parts());
    for place in 0..whole.len() {
        let mut changed = whole.clone();
        changed[place] ^= 0x55;
        // Some bytes matter to nobody; none of them makes a panic.
        let _ = parse(Path::new("x"), &changed, &LoadOptions::default());
    }
    let error = loaded(b"<html>403</html>", &LoadOptions::default()).expect_err("a page").to_string();
    assert!(error.contains("an HTML page"), "{error}");
}

#[test]
fn a_file_is_verified_as_a_whole() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("mine.npz");
    std::fs::write(&path, npz(&parts())).expect("a file");
    let name = format!("arrays:{}", path.display());
    let reports = verify(&name, &LoadOptions::default()).expect("a whole file");
    assert_eq!((reports.len(), reports[0].status, reports[0].decoded), (1, FileStatus::Present, true));
    assert_eq!(reports[0].md5.len(), 32);
    std::fs::write(&path, &npz(&parts())[..99]).expect("a file");
    assert!(verify(&name, &LoadOptions::default()).expect_err("cut").to_string().contains("mine.npz"));
}
