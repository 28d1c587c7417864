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
    let damaged = |error: safetensors::SafeTensorError| {
        Error::bad_file(path, "a whole safetensors file", format!("a damaged one: {error}"))
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
    let file = SafeTensors::deserialize(&bytes).map_err(damaged)?;
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

/// The whole numbers of a tensor of a file.
///
/// # Errors
/// As [`load`]; a tensor that is missing or holds no 64-bit integers.
pub fn load_integers(path: &Path, name: &str) -> Result<Vec<i64>> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|error| Error::bad_file(path, "a whole safetensors file", format!("a damaged one: {error}")))?;
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

/// Puts a file's tensors into a network; heads may be missing (a plain state dict), everything else must fit.
///
/// # Errors
/// Tensors that are missing, unknown or of another shape: a file of another model.
pub fn assign(network: &mut Network, tensors: &ParamVector, path: &Path) -> Result<()> {
    let state = network.state();
    let mut wrong = Vec::new();
    for (name, entry) in state.iter() {
        match tensors.entry(name) {
            None if name.starts_with("heads.") => {}
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
