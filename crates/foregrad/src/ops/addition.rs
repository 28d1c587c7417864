//! The sum of two activations, and the rectifier behind it.

use burn::tensor::Tensor;
use foregrad_kernels::addition as kernels;

use super::activation::{Activation, channel_map, source};
use super::channels::sizes;
use super::cpu::{self, change_on_cpu, on_cpu};
use super::relu;

/// `a + b`, or `max(a + b, 0)` if it is rectified; in memory that `a` is read from, where nobody else holds that.
pub fn add(a: Activation, b: &Activation, is_rectified: bool) -> Tensor<4> {
    let (a, is_free) = a.alone();
    if !is_free {
        return fused_add(&a, b, is_rectified).unwrap_or_else(|| {
            let sum = a.into_tensor() + b.tensor();
            if is_rectified { relu(sum) } else { sum }
        });
    }
    let sizes = sizes(a.held());
    let (a, [scale, shift], is_mapped_rectified) = a.into_parts();
    let (other_scale, other_shift, is_other_rectified) = b.map();
    let b = b.held();
    change_on_cpu!(|a, b; scale, shift, other_scale, other_shift| {
        let map = channel_map(scale, shift, is_mapped_rectified);
        let b = source(b, other_scale, other_shift, is_other_rectified);
        kernels::add_in_place(&sizes, (a, map), b, is_rectified)
    })
}

fn fused_add(a: &Activation, b: &Activation, is_rectified: bool) -> Option<Tensor<4>> {
    let (sizes, shape) = (sizes(a.held()), a.dims());
    let (scale, shift, is_mapped_rectified) = a.map();
    let (other_scale, other_shift, is_other_rectified) = b.map();
    let (a, b) = (a.held(), b.held());
    on_cpu!(|a, b; scale, shift, other_scale, other_shift| {
        let terms =
            [source(a, scale, shift, is_mapped_rectified), source(b, other_scale, other_shift, is_other_rectified)];
        cpu::tensor(kernels::add(&sizes, terms, is_rectified), shape)
    })
}
