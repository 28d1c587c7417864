//! Networks as blocks: a trunk, its classifier, and an auxiliary head after every block but the last.

mod any_head;
mod head;
mod limits;
mod mlp;
mod network;
mod norm;
mod resnet;
mod small_net;

pub use any_head::AnyHead;
pub use head::{Evaluation, Head, HeadConfig, HeadKind, LossHead, loss_for};
pub use network::{MODELS, ModelConfig, Network, head_prefix};
pub use norm::Norm;
