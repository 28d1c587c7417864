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

/// Calls `work` with its operand on a thread of the pool that kernels run on, where they run at all: else each of them would be handed over to one, which takes
/// as long as a small map.
pub(crate) fn on_a_worker<R: Send>(operand: Tensor<4>, work: impl FnOnce(Tensor<4>) -> R + Send) -> R {
    // Devices have a queue of work for each thread that calls them.
    if is_local(&operand) { rayon::join(|| work(operand), || ()).0 } else { work(operand) }
}

/// The address of the array that a tensor's elements lie in; `None` off the CPU.
pub(crate) fn address<const D: usize>(tensor: &Tensor<D>) -> Option<usize> {
    Some(tensor.clone().try_into_primitive::<Flex>().ok()?.bytes().as_ptr().addr())
}

/// A tensor that owns `values`.
pub(super) fn tensor<T: Element, const D: usize>(values: Vec<T>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(FlexTensor::from_data(TensorData::new(values, shape)))
}

/// A tensor, and whether kernels can change its memory, since nobody else holds any of it.
pub(super) fn alone<const D: usize>(tensor: Tensor<D>) -> (Tensor<D>, bool) {
    if !is_local(&tensor) {
        return (tensor, false);
    }
    let tensor = contiguous(tensor).expect("the tensor is local");
    let is_alone = is_whole(&tensor) && tensor.is_unique();
    (Tensor::from_primitive::<Flex>(tensor), is_alone)
}

/// Whether a tensor's elements are all that is in its memory.
fn is_whole(tensor: &FlexTensor) -> bool {
    tensor.bytes().len() == tensor.dtype().size() * tensor.layout().num_elements()
}

/// The elements of a tensor, to be changed: its own memory where nobody else holds it, else a copy.
pub(super) enum Owned<T> {
    InPlace(FlexTensor),
    Copied(Vec<T>),
}

impl<T: Element + Real> Owned<T> {
    /// Takes a contiguous tensor over.
    pub(super) fn new(tensor: FlexTensor) -> Self {
        if is_whole(&tensor) && tensor.is_unique() {
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

/// `Some(body)`, with every name standing for its tensor's slice, and every name after the semicolon for that of an `Option`; returns `None`
/// from the function it is used in if a tensor is not on the CPU backend, or they are of different or other types than `f32` and `f64`.
macro_rules! on_cpu {
    (|$first:ident $(, $name:ident)* $(; $($perhaps:ident),*)?| $body:expr) => {{
        let $first = $crate::ops::cpu::contiguous($first.clone())?;
        $(let $name = $crate::ops::cpu::contiguous($name.clone())?;)*
        $($(let $perhaps = match $perhaps {
            Some(tensor) => Some($crate::ops::cpu::contiguous(tensor.clone())?),
            None => None,
        };)*)?
        match $first.dtype() {
            burn::tensor::DType::F32 => $crate::ops::cpu::slices!(f32, |$first $(, $name)* $(; $($perhaps),*)?| $body),
            burn::tensor::DType::F64 => $crate::ops::cpu::slices!(f64, |$first $(, $name)* $(; $($perhaps),*)?| $body),
            _ => None,
        }
    }};
}

/// `Some(body)`, with the names of contiguous tensors standing for their slices.
macro_rules! slices {
    ($type:ty, |$($name:ident),* $(; $($perhaps:ident),*)?| $body:expr) => {{
        $(let $name = $name.as_slice::<$type>()?;)*
        $($(let $perhaps = match &$perhaps {
            Some(tensor) => Some(tensor.as_slice::<$type>()?),
            None => None,
        };)*)?
        Some($body)
    }};
}

/// The first tensor after `body` has changed its elements, in place where nobody else holds it; the others are slices, as in
/// [`on_cpu`]. All tensors are known to be local ([`is_local`]) and of one type.
macro_rules! change_on_cpu {
    (|$first:ident $(, $name:ident)* $(; $($perhaps:ident),*)?| $body:expr) => {{
        let double = $first.dtype() == burn::tensor::DType::F64;
        let shape = $first.dims();
        let $first = $crate::ops::cpu::contiguous($first).expect("the tensor is local");
        $(let $name = $crate::ops::cpu::contiguous($name.clone()).expect("the operand is local");)*
        $($(let $perhaps = $perhaps.map(|tensor| $crate::ops::cpu::contiguous(tensor.clone()).expect("the operand is local"));)*)?
        if double {
            $crate::ops::cpu::change!(f64, shape, |$first $(, $name)* $(; $($perhaps),*)?| $body)
        } else {
            $crate::ops::cpu::change!(f32, shape, |$first $(, $name)* $(; $($perhaps),*)?| $body)
        }
    }};
}

/// The first of some contiguous tensors after `body` has changed its elements.
macro_rules! change {
    ($type:ty, $shape:expr, |$first:ident $(, $name:ident)* $(; $($perhaps:ident),*)?| $body:expr) => {{
        let mut owned = $crate::ops::cpu::Owned::<$type>::new($first);
        $(let $name = $name.as_slice::<$type>().expect("the operand is of the same type");)*
        $($(let $perhaps =
            $perhaps.as_ref().map(|tensor| tensor.as_slice::<$type>().expect("the operand is of the same type"));)*)?
        let $first = owned.values();
        $body;
        owned.tensor($shape)
    }};
}

pub(super) use {change, change_on_cpu, on_cpu, slices};
