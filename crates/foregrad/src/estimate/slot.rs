//! Slots: what one scalar covers, within one block.

use super::{Granularity, View};
use crate::vector::ParamVector;

/// What one scalar a direction (or one a direction and sample) covers
#[derive(Debug, Clone)]
pub struct Slot {
    /// The slot's name: a tensor's path, `blocks.J`, `classifier` or `network`.
    pub name: String,
    /// The tensor's path within the block, or all of the block.
    pub path: Option<String>,
}

impl Slot {
    /// The part of a block's vector that the slot covers.
    pub fn part(&self, vector: &ParamVector) -> ParamVector {
        match &self.path {
            Some(only) => vector.filtered(|path| path == only),
            None => vector.clone(),
        }
    }
}

impl View<'_> {
    /// The slots of a block; of the classifier for the number after the last block's.
    pub(super) fn slots(&self, granularity: Granularity, block: usize) -> Vec<Slot> {
        let whole = |name: String| vec![Slot { name, path: None }];
        match granularity {
            Granularity::Network => whole("network".into()),
            Granularity::Tensor => {
                let slot = |path: &str| {
                    let prefix = self.prefixes.get(block).copied().unwrap_or_default();
                    let name = if prefix.is_empty() { path.to_string() } else { format!("{prefix}.{path}") };
                    Slot { name, path: Some(path.to_string()) }
                };
                self.parameters(block).paths().map(slot).collect()
            }
            _ if block == self.depth() => whole("classifier".into()),
            _ => whole(format!("blocks.{block}")),
        }
    }
}
