//! Tensors of Burn's CPU backend as slices, and back.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, Element, Tensor, TensorData};
use foregrad_kernels::Real;
use foregrad_kernels::instructions::{self, Path};

/// The elements lie row by row in memory; `None` if the tensor is not on the CPU backend, or kernels are switched off.
pub(super) fn contiguous<const D: usize>(tensor: Tensor<D>) -> Option<FlexTensor> {
    if instructions::path() == Path::Composed {
        return None;
    }
    Some(tensor.try_into_primitive::<Flex>().ok()?.to_contiguous())
}

/// Whether the kernels can work on a tensor: it is on the CPU backend, of a type they know, and they are not switched off.
pub(super) fn is_local<const D: usize>(tensor: &Tensor<D>) -> bool {
    matches!(tensor.dtype(), DType::F32 | DType::F64)
        && instructions::path() != Path::Composed
        && tensor.clone().try_into_primitive::<Flex>().is_ok()
}

/// The address of the array that a tensor's elements lie in; `None` off the CPU.
pub(crate) fn address<const D: usize>(tensor: &Tensor<D>) -> Option<usize> {
    Some(tensor.clone().try_into_primitive::<Flex>().ok()?.bytes().as_ptr().addr())
}

/// A tensor that owns `values`.
pub(super) fn tensor<T: Element, const D: usize>(values: Vec<T>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(FlexTensor::from_data(TensorData::new(values, shape)))
}

/// The elements of a tensor, to be changed: its own memory where nobody else holds it, else a copy.
pub(super) enum Owned<T> {
    InPlace(FlexTensor),
    Copied(Vec<T>),
}

impl<T: Element + Real> Owned<T> {
    /// Takes a contiguous tensor over.
    pub(super) fn new(tensor: FlexTensor) -> Self {
        let whole = tensor.bytes().len() == size_of::<T>() * tensor.layout().num_elements();
        if whole && tensor.is_unique() {
            return Self::InPlace(tensor);
        }
        Self::Copied(tensor.as_slice().expect("the tensor is contiguous and of type T").to_vec())
    }

    /// The elements.
    pub(super) fn values(&mut self) -> &mut [T] {
        match self {
            Self::InPlace(tensor) => tensor.storage_mut(),
            Self::Copied(values) => values,
        }
    }

    /// The changed tensor.
    pub(super) fn tensor<const D: usize>(self, shape: [usize; D]) -> Tensor<D> {
        match self {
            Self::InPlace(tensor) => Tensor::from_primitive::<Flex>(tensor),
            Self::Copied(values) => self::tensor(values, shape),
        }
    }
}

/// `Some(body)`, with every name standing for its tensor's slice; returns `None` from the function it is used in if a tensor
/// is not on the CPU backend, or they are of different or other types than `f32` and `f64`.
macro_rules! on_cpu {
    (|$first:ident $(, $name:ident)*| $body:expr) => {{
        let $first = $crate::ops::cpu::contiguous($first.clone())?;
        $(let $name = $crate::ops::cpu::contiguous($name.clone())?;)*
        match $first.dtype() {
            burn::tensor::DType::F32 => {
                let $first = $first.as_slice::<f32>()?;
                $(let $name = $name.as_slice::<f32>()?;)*
                Some($body)
            }
            burn::tensor::DType::F64 => {
                let $first = $first.as_slice::<f64>()?;
                $(let $name = $name.as_slice::<f64>()?;)*
                Some($body)
            }
            _ => None,
        }
    }};
}

/// The first tensor after `body` has changed its elements, in place where nobody else holds it; the others are slices, as in
/// [`on_cpu`]. All tensors are known to be local ([`is_local`]) and of one type.
macro_rules! change_on_cpu {
    (|$first:ident $(, $name:ident)*| $body:expr) => {{
        let shape = $first.dims();
        let double = $first.dtype() == burn::tensor::DType::F64;
        let $first = $crate::ops::cpu::contiguous($first).expect("the tensor is local");
        $(let $name = $crate::ops::cpu::contiguous($name.clone()).expect("the operand is local");)*
        if double {
            let mut owned = $crate::ops::cpu::Owned::<f64>::new($first);
            $(let $name = $name.as_slice::<f64>().expect("the operand is of the same type");)*
            let $first = owned.values();
            $body;
            owned.tensor(shape)
        } else {
            let mut owned = $crate::ops::cpu::Owned::<f32>::new($first);
            $(let $name = $name.as_slice::<f32>().expect("the operand is of the same type");)*
            let $first = owned.values();
            $body;
            owned.tensor(shape)
        }
    }};
}

pub(super) use {change_on_cpu, on_cpu};
