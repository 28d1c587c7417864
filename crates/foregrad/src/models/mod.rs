//! Networks as blocks: a trunk, its classifier, and auxiliary heads behind blocks.
//!
//! A network is data ([`NetworkSpec`]): those that have a name ([`MODELS`]) are functions that give one, others are files. What a spec says is
//! planned first ([`PlannedNetwork`]), so that every shape and size is known before anything is made.

mod any_head;
mod augmented;
mod builder;
mod copies;
mod dgl;
mod ema;
mod head;
mod head_kind;
mod heads;
mod limits;
mod local_mixer;
mod mean_linear;
mod mlp;
mod named;
mod network;
mod next_block;
mod parts;
mod planned;
mod planned_head;
mod predsim_vgg;
mod registry;
mod resnet;
mod small_net;
mod spec;
mod spec_text;
mod vgg;

pub use crate::layers::Norm;
pub use any_head::AnyHead;
pub use builder::{BlockHead, NetworkBuilder};
pub use head::{AtOutputs, Evaluation, Head, LossHead, loss_for};
pub use head_kind::{HeadConfig, HeadKind};
pub(crate) use heads::HEAD_PATHS;
pub use heads::{head_prefix, is_of_head, target_prefix};
pub use named::{MODELS, Model};
pub use network::{ModelConfig, Network};
pub use next_block::NextBlock;
pub use planned::{PlannedBlock, PlannedNetwork};
pub use planned_head::{Ahead, HeadScope, LaterBlock, PlannedHead};
pub use registry::Registry;
pub use spec::{BlockSpec, HeadSpec, NetSpec, NetworkSpec};
