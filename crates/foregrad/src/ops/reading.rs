//! Numbers of tensors for the program to go on with: the only place at which it waits for a device.
//!
//! A GPU works through a queue, and whoever reads a number waits until the queue is empty: many small reads cost more than the
//! arithmetic between them. What is wanted of several tensors is therefore asked for first ([`Pending`]) and read at once.

use std::cell::Cell;

use burn::tensor::{Tensor, TensorData};
use foregrad_kernels::projection as kernels;

use super::cpu::on_cpu;

thread_local! {
    /// By thread, as a device's queues are, so that nobody else's reads are counted.
    static READ_BACKS: Cell<u64> = const { Cell::new(0) };
}

/// How often this thread has read a tensor. What kernels compute on the CPU is no such read: there is nothing to wait for.
pub fn read_backs() -> u64 {
    READ_BACKS.get()
}

/// A tensor's elements as `f64`, row by row.
///
/// # Panics
/// If the tensor's device has stopped working.
pub fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    data(tensor).iter::<f64>().collect()
}

/// A tensor's elements in its own type.
///
/// # Panics
/// As [`host`].
pub fn data<const D: usize>(tensor: Tensor<D>) -> TensorData {
    READ_BACKS.set(READ_BACKS.get() + 1);
    #[expect(clippy::disallowed_methods, reason = "this is the one door")]
    let data = tensor.try_into_data();
    data.unwrap_or_else(|error| panic!("a tensor cannot be read from its device: {error}"))
}

/// Numbers that were asked for.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a few dozen of them, for a moment")]
pub enum Pending {
    /// Kernels have computed them.
    Here(Vec<f64>),
    /// They are where the tensors are.
    There(Tensor<1>),
}

impl Pending {
    /// `<a, b>` over all elements, in `f64` and in a fixed order of addition on the CPU.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn dot<const D: usize>(a: &Tensor<D>, b: &Tensor<D>) -> Self {
        assert_eq!(a.dims(), b.dims(), "dot: shapes differ");
        let here = fused_dot(a, b).map(|product| vec![product]);
        here.map_or_else(|| Self::There(a.clone().mul(b.clone()).sum()), Self::Here)
    }

    /// `<a_i, b_i>` for every index `i` of the first axis.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn row_dots<const D: usize>(a: &Tensor<D>, b: &Tensor<D>) -> Self {
        assert_eq!(a.dims(), b.dims(), "row_dots: shapes differ");
        let rows = a.dims()[0];
        let there = || {
            let width = a.dims().iter().skip(1).product();
            Self::There(a.clone().mul(b.clone()).reshape([rows, width]).sum_dim(1).reshape([rows]))
        };
        fused_row_dots(a, b, rows).map_or_else(there, Self::Here)
    }

    /// `max |a_i|` over all elements; not a number if any element is not.
    pub fn largest_magnitude<const D: usize>(a: &Tensor<D>) -> Self {
        let here = fused_largest_magnitude(a).map(|largest| vec![largest]);
        here.map_or_else(|| Self::There(a.clone().abs().max()), Self::Here)
    }
}

/// All that was asked for, in its order: at most one read, of tensors of one type on one device.
pub fn read(pending: Vec<Pending>) -> Vec<Vec<f64>> {
    let there: Vec<Tensor<1>> = pending.iter().filter_map(Pending::tensor).collect();
    let values = if there.is_empty() { Vec::new() } else { host(Tensor::cat(there, 0)) };
    let mut rest = values.as_slice();
    let mut next = |one: Pending| match one {
        Pending::Here(values) => values,
        Pending::There(tensor) => {
            let (own, others) = rest.split_at(tensor.dims()[0]);
            rest = others;
            own.to_vec()
        }
    };
    pending.into_iter().map(&mut next).collect()
}

impl Pending {
    fn tensor(&self) -> Option<Tensor<1>> {
        match self {
            Self::Here(_) => None,
            Self::There(tensor) => Some(tensor.clone()),
        }
    }

    /// The numbers, read by themselves.
    pub(super) fn alone(self) -> Vec<f64> {
        match self {
            Self::Here(values) => values,
            Self::There(tensor) => host(tensor),
        }
    }
}

fn fused_dot<const D: usize>(a: &Tensor<D>, b: &Tensor<D>) -> Option<f64> {
    on_cpu!(|a, b| kernels::dot(a, b))
}

fn fused_row_dots<const D: usize>(a: &Tensor<D>, b: &Tensor<D>, rows: usize) -> Option<Vec<f64>> {
    on_cpu!(|a, b| kernels::row_dots(a, b, rows))
}

fn fused_largest_magnitude<const D: usize>(a: &Tensor<D>) -> Option<f64> {
    on_cpu!(|a| kernels::largest_magnitude(a))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Placement;
    use burn::tensor::{DType, Device};

    #[test]
    fn what_was_asked_for_comes_in_its_order_and_at_one_read() {
        let placement = Placement { device: Device::flex(), dtype: DType::F64 };
        let tensor = |values: &[f64]| placement.tensor::<1>(values.to_vec(), [values.len()]);
        let before = read_backs();
        let asked = vec![Pending::There(tensor(&[1.0, 2.0])), Pending::Here(vec![3.0]), Pending::There(tensor(&[4.0]))];
        assert_eq!(read(asked), [vec![1.0, 2.0], vec![3.0], vec![4.0]]);
        assert_eq!(read_backs() - before, 1);
        assert_eq!(read(vec![Pending::Here(vec![5.0])]), [[5.0]]);
        assert_eq!(read(Vec::new()), Vec::<Vec<f64>>::new());
        assert_eq!(read_backs() - before, 1, "what is here is not read");
    }
}
