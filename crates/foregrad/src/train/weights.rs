//! Files of weights: safetensors with PyTorch's names and layouts.

use std::collections::HashMap;
use std::path::Path;

use burn::tensor::{DType, Tensor};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::files;
use crate::models::Network;
use crate::ops;
use crate::rng::Placement;
use crate::vector::{ParamTensor, ParamVector};
use crate::{Error, Result};

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

/// Reads all floating-point tensors and the text of a file; whole numbers (`num_batches_tracked`) are left out.
///
/// # Errors
/// A file that is missing, cut short or no safetensors file.
pub fn load(path: &Path, placement: &Placement) -> Result<(ParamVector, Metadata)> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let file = parse(path, &bytes)?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| damaged(path, &bytes, &error))?;
    let mut tensors = ParamVector::default();
    for (name, view) in file.iter() {
        if let Some(values) = decode(&view) {
            let shape = view.shape();
            let length = values.len();
            let flat: Tensor<1> = placement.tensor(values, [length]);
            tensors.insert_entry(name, ParamTensor::shaped(flat, shape));
        }
    }
    Ok((tensors, header.metadata().clone().unwrap_or_default()))
}

fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>> {
    SafeTensors::deserialize(bytes).map_err(|error| damaged(path, bytes, &error))
}

/// What is wrong with a file: its size, where the header tells the right one.
fn damaged(path: &Path, bytes: &[u8], error: &safetensors::SafeTensorError) -> Error {
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

/// The whole numbers of a tensor of a file.
///
/// # Errors
/// As [`load`]; a tensor that is missing or holds no 64-bit integers.
pub fn load_integers(path: &Path, name: &str) -> Result<Vec<i64>> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let file = parse(path, &bytes)?;
    let wanted = format!("a tensor `{name}` of 64-bit integers");
    let view = file.tensor(name).map_err(|_| Error::bad_file(path, wanted.clone(), "none"))?;
    if view.dtype() != Dtype::I64 {
        return Err(Error::bad_file(path, wanted, format!("{:?}", view.dtype())));
    }
    let (chunks, _) = view.data().as_chunks::<8>();
    Ok(chunks.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect())
}

fn decode(view: &TensorView) -> Option<Vec<f64>> {
    match view.dtype() {
        Dtype::F32 => Some(view.data().as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect()),
        Dtype::F64 => Some(view.data().as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect()),
        _ => None,
    }
}

/// `heads.N.` of a head's parameter.
fn head_of(name: &str) -> Option<&str> {
    let number = name.strip_prefix("heads.")?.find('.')?;
    Some(&name[..number + "heads..".len()])
}

/// Puts a file's tensors into a network; a head may be missing as a whole (a plain state dict), everything else must fit.
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
        return Ok(());
    }
    let more = wrong.len().saturating_sub(3);
    wrong.truncate(3);
    let rest = if more > 0 { format!(" and {more} more differences") } else { String::new() };
    Err(Error::bad_file(path, "the weights of this network", format!("{}{rest}", wrong.join(", "))))
}
