//! Files of weights: safetensors with PyTorch's names and layouts.

mod inputs;

use std::collections::HashMap;
use std::path::Path;

use burn::tensor::{DType, Tensor};
use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::models::{HEAD_PATHS, Network};
use crate::ops;
use crate::rng::Placement;
use crate::vector::{ParamTensor, ParamVector};
use crate::{Error, Result, files};

pub use inputs::{read_batch, read_guesses};

/// Text that a file of weights holds beside its tensors.
pub type Metadata = HashMap<String, String>;

/// Writes tensors and text, whole or not at all: into a file beside, then renamed.
///
/// # Errors
/// A file that cannot be written.
pub fn save(path: &Path, tensors: &ParamVector, metadata: Metadata) -> Result<()> {
    let encoded: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, entry)| {
            let (dtype, bytes) = encode(entry);
            (name.to_string(), dtype, entry.shape().to_vec(), bytes)
        })
        .collect();
    let views = encoded.iter().map(|(name, dtype, shape, bytes)| {
        let view = TensorView::new(*dtype, shape.clone(), bytes).expect("bytes that fit their shape");
        (name.as_str(), view)
    });
    let bytes = safetensors::serialize(views, Some(metadata)).expect("tensors with names of their own");
    files::write_atomically(path, &bytes)
}

fn encode(entry: &ParamTensor) -> (Dtype, Vec<u8>) {
    let values = entry.values();
    let double = values.dtype() == DType::F64;
    let values = ops::host(values);
    if double {
        (Dtype::F64, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    } else {
        (Dtype::F32, values.iter().flat_map(|value| (*value as f32).to_le_bytes()).collect())
    }
}

/// Parts of a name that wrappers of PyTorch (`DistributedDataParallel`, `torch.compile`, FSDP) put in front of a network's own.
const WRAPPERS: [&str; 4] = ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/// What stands before the names of the optimiser's tensors in a checkpoint, and of those of the estimator.
pub const APART: [&str; 2] = ["optimizer", "estimator"];

/// The part of a name that files of weights have for something else, if it has one: heads, the state of a run, counters, and what wrappers
/// of PyTorch add. A parameter of such a name would be saved and never read again.
pub(crate) fn reserved(name: &str) -> Option<&str> {
    let is_reserved = |part: &&str| {
        APART.contains(part) || WRAPPERS.contains(part) || HEAD_PATHS.contains(part) || *part == "num_batches_tracked"
    };
    name.split('.').find(is_reserved)
}

/// Reads all floating-point tensors and the text of a file; counters (`num_batches_tracked`) are left out, and wrappers'
/// parts of names.
///
/// # Errors
/// A file that is missing, cut short or no safetensors file; tensors of other numbers.
pub fn load(path: &Path, placement: &Placement) -> Result<(ParamVector, Metadata)> {
    from_bytes(path, &files::read(path)?, placement)
}

/// As [`load`], of a file's bytes.
///
/// # Errors
/// As [`load`].
pub fn from_bytes(path: &Path, bytes: &[u8], placement: &Placement) -> Result<(ParamVector, Metadata)> {
    let file = parse(path, bytes)?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| damaged(path, bytes, &error))?;
    let mut tensors = ParamVector::default();
    for (name, view) in file.iter() {
        if name.ends_with("num_batches_tracked") {
            continue;
        }
        let values = floats(&view).ok_or_else(|| wrong_type(path, name, "floating-point numbers", &view))?;
        let name = own_name(name);
        if tensors.entry(&name).is_some() {
            return Err(Error::bad_file(path, "tensors of different names", format!("`{name}` twice, in wrappers")));
        }
        let length = values.len();
        let flat: Tensor<1> = placement.tensor(values, [length]);
        tensors.insert_entry(name, ParamTensor::shaped(flat, view.shape()));
    }
    Ok((tensors, header.metadata().clone().unwrap_or_default()))
}

/// A name less the parts that wrappers add.
fn own_name(name: &str) -> String {
    name.split('.').filter(|part| !WRAPPERS.contains(part)).collect::<Vec<_>>().join(".")
}

pub(super) fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>> {
    SafeTensors::deserialize(bytes).map_err(|error| damaged(path, bytes, &error))
}

pub(super) fn wrong_type(path: &Path, name: &str, wanted: &str, view: &TensorView) -> Error {
    Error::bad_file(path, format!("`{name}` of {wanted}"), type_name(view.dtype()))
}

/// A type of numbers in words.
fn type_name(dtype: Dtype) -> String {
    let bits = dtype.bitsize();
    let words = match dtype {
        Dtype::BOOL => "truth values".to_string(),
        Dtype::U8 | Dtype::U16 | Dtype::U32 | Dtype::U64 => format!("whole numbers of {bits} bits without sign"),
        Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64 => format!("whole numbers of {bits} bits"),
        _ => format!("numbers of {bits} bits"),
    };
    format!("{words} ({dtype:?})")
}

/// What is wrong with a file: what it is instead, or its size, where the header tells the right one.
fn damaged(path: &Path, bytes: &[u8], error: &safetensors::SafeTensorError) -> Error {
    // A header's first byte is its opening brace.
    if bytes.get(8) != Some(&b'{') {
        let damage = format!("{} bytes that are none: {error}", bytes.len());
        return files::unlike(path, "a safetensors file", bytes, damage);
    }
    let Some(whole) = whole_size(bytes).filter(|&whole| whole != bytes.len()) else {
        let found = format!("a damaged one of {} bytes: {error}", bytes.len());
        return Error::bad_file(path, "a whole safetensors file", found);
    };
    Error::bad_file(
        path,
        format!("a whole safetensors file, {whole} bytes"),
        format!("a damaged one, {} bytes", bytes.len()),
    )
}

/// Bytes of the file that a header belongs to: its length, the header, and data up to the last tensor's end.
fn whole_size(bytes: &[u8]) -> Option<usize> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let header: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(rest.get(..length)?).ok()?;
    let end = |entry: &serde_json::Value| entry.get("data_offsets")?.get(1)?.as_u64();
    let data = header.values().filter_map(end).max().unwrap_or(0);
    usize::try_from(data).ok()?.checked_add(8 + length)
}

/// The numbers of a floating-point tensor.
pub(super) fn floats(view: &TensorView) -> Option<Vec<f64>> {
    match view.dtype() {
        Dtype::F16 => Some(each(view, |bytes| f16::from_le_bytes(bytes).to_f64())),
        Dtype::BF16 => Some(each(view, |bytes| bf16::from_le_bytes(bytes).to_f64())),
        Dtype::F32 => Some(each(view, |bytes| f64::from(f32::from_le_bytes(bytes)))),
        Dtype::F64 => Some(each(view, f64::from_le_bytes)),
        _ => None,
    }
}

/// The numbers of a tensor whose elements have so many bytes.
pub(super) fn each<const N: usize, T>(view: &TensorView, number: fn([u8; N]) -> T) -> Vec<T> {
    view.data().as_chunks::<N>().0.iter().map(|bytes| number(*bytes)).collect()
}

/// `heads.N.` of a head's parameter, or `target-heads.N.`.
fn head_of(name: &str) -> Option<&str> {
    let (first, rest) = name.split_once('.').filter(|(first, _)| HEAD_PATHS.contains(first))?;
    Some(&name[..first.len() + rest.find('.')? + 2])
}

/// Puts a file's tensors into a network; a head may be missing as a whole (a plain state dict), everything else must fit. What follows a block
/// in such a head begins as that block.
///
/// # Errors
/// Tensors that are missing, unknown or of another shape: a file of another model.
pub fn assign(network: &mut Network, tensors: &ParamVector, path: &Path) -> Result<()> {
    let state = network.state();
    let mut wrong = Vec::new();
    for (name, entry) in state.iter() {
        match tensors.entry(name) {
            None if head_of(name).is_some_and(|head| !tensors.paths().any(|path| path.starts_with(head))) => {}
            None => wrong.push(format!("no `{name}`")),
            Some(found) if found.shape() != entry.shape() => {
                wrong.push(format!("`{name}` of shape {:?} instead of {:?}", found.shape(), entry.shape()));
            }
            Some(_) => {}
        }
    }
    let unknown = tensors.paths().filter(|name| state.entry(name).is_none());
    wrong.extend(unknown.map(|name| format!("`{name}`, which the network lacks")));
    if wrong.is_empty() {
        network.assign(tensors);
        network.begin_following(|head| !tensors.paths().any(|path| path.starts_with(&format!("{head}."))));
        return Ok(());
    }
    let advice = prefix(&state, tensors).map(|prefix| format!("; all names begin with `{prefix}`: take it off"));
    let more = wrong.len().saturating_sub(3);
    wrong.truncate(3);
    let rest = if more > 0 { format!(" and {more} more differences") } else { String::new() };
    let found = format!("{}{rest}{}", wrong.join(", "), advice.unwrap_or_default());
    Err(Error::bad_file(path, "the weights of this network", found))
}

/// What stands before every name of a file and no name of the network.
fn prefix(state: &ParamVector, tensors: &ParamVector) -> Option<String> {
    let ends = |name: &str| state.paths().any(|own| name.strip_suffix(own).is_some_and(|rest| rest.ends_with('.')));
    let (first, _) = tensors.paths().next()?.split_once('.')?;
    let prefix = format!("{first}.");
    tensors.paths().all(|name| name.starts_with(&prefix) && ends(name)).then_some(prefix)
}

#[cfg(test)]
mod tests;
