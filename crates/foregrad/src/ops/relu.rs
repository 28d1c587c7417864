//! The rectifier and its derivative.

use burn::tensor::Tensor;
use foregrad_kernels::gate as kernels;

use super::cpu::{self, change_on_cpu};

/// `max(x, 0)`.
pub fn relu(x: Tensor<4>) -> Tensor<4> {
    if cpu::is_local(&x) {
        return change_on_cpu!(|x| kernels::rectify(x));
    }
    let off = x.clone().lower_equal_elem(0.0);
    x.mask_fill(off, 0.0)
}

/// `v + s` where `y > 0`, else 0; `v` and `s` hold `k` directions `[k n, c, h, w]` for one `y` `[n, c, h, w]`.
pub fn add_gated(v: Tensor<4>, s: &Tensor<4>, y: &Tensor<4>) -> Tensor<4> {
    if cpu::is_local(&v) {
        return change_on_cpu!(|v, s, y| kernels::add_gated(v, s, y));
    }
    relu_gate(v + s.clone(), y)
}

/// `v` where `y > 0`, else 0; `v` holds `k` directions `[k n, c, h, w]` for one `y` `[n, c, h, w]`.
pub fn relu_gate(v: Tensor<4>, y: &Tensor<4>) -> Tensor<4> {
    if cpu::is_local(&v) {
        return change_on_cpu!(|v, y| kernels::gate(v, y));
    }
    let ([stacked, ..], [samples, channels, height, width]) = (v.dims(), y.dims());
    let directions = stacked / samples;
    let off = y.clone().lower_equal_elem(0.0).reshape([1, samples, channels, height * width]);
    let off = off.expand([directions, samples, channels, height * width]);
    let v = v.reshape([directions, samples, channels, height * width]);
    v.mask_fill(off, 0.0).reshape([stacked, channels, height, width])
}
