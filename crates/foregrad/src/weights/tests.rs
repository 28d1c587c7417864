//! Files of weights as others write them: other types, wrapped names, other files altogether.

use burn::tensor::Device;

use super::*;
use crate::models::ModelConfig;

fn placement() -> Placement {
    Placement { device: Device::flex(), dtype: DType::F64 }
}

fn network() -> Network {
    let config = ModelConfig { name: "mlp".into(), width: 0.25, ..ModelConfig::default() };
    config.init([1, 4, 4], 3, 0, &placement()).expect("a network")
}

/// A file of tensors `[2]`.
fn file(tensors: &[(&str, Dtype, &[u8])]) -> Vec<u8> {
    let view = |bytes, dtype| TensorView::new(dtype, vec![2], bytes).expect("a tensor");
    safetensors::serialize(tensors.iter().map(|(name, dtype, bytes)| (*name, view(*bytes, *dtype))), None)
        .expect("a file")
}

fn read(bytes: &[u8]) -> Result<ParamVector> {
    from_bytes(Path::new("w"), bytes, &placement()).map(|(tensors, _)| tensors)
}

#[test]
fn every_floating_point_type_is_read() {
    let halves = [0x3e00u16, 0xc000].map(u16::to_le_bytes).concat();
    let brains = [0x3fc0u16, 0xc000].map(u16::to_le_bytes).concat();
    let singles = [1.5f32, -2.0].map(f32::to_le_bytes).concat();
    let doubles = [1.5f64, -2.0].map(f64::to_le_bytes).concat();
    let counter = [0u8; 16];
    let tensors = read(&file(&[
        ("f16", Dtype::F16, &halves),
        ("bf16", Dtype::BF16, &brains),
        ("f32", Dtype::F32, &singles),
        ("f64", Dtype::F64, &doubles),
        ("bn1.num_batches_tracked", Dtype::I64, &counter),
    ]));
    let tensors = tensors.expect("tensors");
    assert_eq!(tensors.paths().collect::<Vec<_>>(), ["bf16", "f16", "f32", "f64"]);
    for (name, entry) in tensors.iter() {
        assert_eq!(ops::host(entry.values()), [1.5, -2.0], "{name}");
    }
}

#[test]
fn other_numbers_are_named_not_called_missing() {
    for (dtype, bytes, expected) in [
        (Dtype::I8, &[0u8; 2][..], "whole numbers of 8 bits (I8)"),
        (Dtype::I64, &[0; 16], "whole numbers of 64 bits (I64)"),
        (Dtype::F8_E4M3, &[0; 2], "numbers of 8 bits (F8_E4M3)"),
        (Dtype::BOOL, &[0; 2], "truth values"),
    ] {
        let error = read(&file(&[("conv1.weight", dtype, bytes)])).expect_err("refused").to_string();
        assert!(error.contains("`conv1.weight`") && error.contains(expected), "{error}");
    }
}

#[test]
fn names_in_wrappers_are_the_networks_own() {
    let names = |names: &[&str]| -> Result<Vec<String>> {
        let tensors: Vec<_> = names.iter().map(|name| (*name, Dtype::F16, &[0u8; 4][..])).collect();
        Ok(read(&file(&tensors))?.paths().map(str::to_string).collect())
    };
    for wrapped in ["module.fc.bias", "_orig_mod.fc.bias", "module._orig_mod.fc.bias", "fc._orig_mod.bias"] {
        assert_eq!(names(&[wrapped]).expect("tensors"), ["fc.bias"]);
    }
    assert!(names(&["module.fc.bias", "fc.bias"]).expect_err("twice").to_string().contains("`fc.bias` twice"));
}

#[test]
fn a_prefix_before_all_names_is_named() {
    let mut network = network();
    let prefixed = network.state().prefixed("backbone");
    let error = assign(&mut network, &prefixed, Path::new("w")).expect_err("refused").to_string();
    assert!(error.contains("all names begin with `backbone.`"), "{error}");
    let state = network.state();
    let kept = state.filtered(|name| name != "fc.bias");
    let error = assign(&mut network, &kept, Path::new("w")).expect_err("refused").to_string();
    assert!(error.contains("no `fc.bias`") && !error.contains("begin with"), "{error}");
}

#[test]
fn other_files_and_damaged_ones_are_told_apart() {
    let text = |bytes: &[u8]| read(bytes).expect_err("refused").to_string();
    let whole = file(&[("a", Dtype::F16, &[0; 4])]);
    assert!(text(&whole[..whole.len() - 1]).contains(&format!("file, {} bytes, found a damaged one", whole.len())));
    assert!(text(&whole[..20]).contains("a damaged one of 20 bytes"));
    assert!(text(b"").contains("found an empty file"));
    assert!(text(b"version https://git-lfs.github.com/spec/v1\n").contains("git lfs pull"));
    assert!(text(&[7, 1, 255, 3, 9, 9, 9, 9, 9]).contains("9 bytes that are none"));
}
