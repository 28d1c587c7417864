//! Networks as blocks: a trunk, its classifier, and an auxiliary head after every block but the last.

pub mod head;
mod limits;
mod mlp;
mod network;
mod resnet;
mod small_net;

pub use crate::layers::Norm;
pub use head::{Evaluation, Head, HeadConfig, HeadKind, HeadSaved, LossHead};
pub use network::{MODELS, ModelConfig, Network, head_prefix};
