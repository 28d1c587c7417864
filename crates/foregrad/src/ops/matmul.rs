//! Products of matrices: Burn's, counted.

use burn::tensor::Tensor;
use foregrad_kernels::operations;

/// `a b`.
pub fn matmul(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    let ([rows, inner], [_, columns]) = (a.dims(), b.dims());
    operations::add(2 * (rows * inner * columns) as u64);
    a.matmul(b)
}

/// `a_ng b_g` for every `n` and `g`: `[n, g, rows, inner]` times `[1, g, inner, columns]`.
pub fn grouped_matmul(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    let ([samples, groups, rows, inner], [.., columns]) = (a.dims(), b.dims());
    operations::add(2 * (samples * groups * rows * inner * columns) as u64);
    a.matmul(b)
}
