//! The fused primitives that layers and estimators call: the only place that knows both Burn and [`foregrad_kernels`].
//!
//! Each function is composed from Burn operations, which is what runs on a GPU, and hands over to a kernel where the tensor
//! lives on Burn's CPU backend (Flex). The choice is made at each call, from the tensor itself, so that no type parameter is
//! needed and any device of Burn works.
//!
//! # Panics
//! All of them panic on tensors whose shapes do not go together.

mod activation;
mod addition;
mod channels;
mod conv2d;
mod cpu;
mod matmul;
mod parts;
mod pool;
mod projection;
mod reading;
mod relu;

pub use activation::Activation;
pub use addition::add;
pub use channels::{
    Affine, Side, add_outer, channel_affine, channel_affine_in_place, channel_combination, channel_moments,
    channel_sums,
};
pub use conv2d::{
    ConvShape, conv2d, conv2d_activation, conv2d_dual, conv2d_input_cotangent, conv2d_of, conv2d_tangent,
    conv2d_weight_cotangent,
};
pub(crate) use cpu::{address, on_a_worker};
pub use matmul::{grouped_matmul, matmul};
pub use parts::Parts;
pub use pool::{Bins, average_pool, average_pool_cotangent};

pub use projection::{dot, largest_magnitude, row_dots, scale_rows};
pub use reading::{Pending, data, host, read, read_backs};
pub use relu::{add_gated, relu, relu_gate};
