//! A network's heads by their paths: those that guesses are made of, and those for the target alone. What in them follows a block.

use super::{AnyHead, Network};
use crate::layers::Layer;

/// The parts of paths that stand for heads, and for heads for the target.
pub(crate) const HEAD_PATHS: [&str; 2] = ["heads", "target-heads"];

/// What stands before the paths of a head's parameters.
pub fn head_prefix(block: usize) -> String {
    prefix(HEAD_PATHS[0], block)
}

/// What stands before the paths of the parameters of a head for the target.
pub fn target_prefix(block: usize) -> String {
    prefix(HEAD_PATHS[1], block)
}

fn prefix(kind: &str, block: usize) -> String {
    format!("{kind}.{block}")
}

/// Whether a path of the network's is that of a head.
pub fn is_of_head(path: &str) -> bool {
    path.split_once('.').is_some_and(|(first, _)| HEAD_PATHS.contains(&first))
}

/// The heads of both kinds that are there, with what stands before their paths.
pub(super) fn each(heads: [&[Option<AnyHead>]; 2]) -> impl Iterator<Item = (String, &AnyHead)> {
    HEAD_PATHS.iter().zip(heads).flat_map(|(kind, heads)| {
        heads.iter().enumerate().filter_map(move |(block, head)| Some((prefix(kind, block), head.as_ref()?)))
    })
}

/// As [`each`], with the number of each head's block, to be changed.
pub(super) fn each_mut(heads: [&mut [Option<AnyHead>]; 2]) -> impl Iterator<Item = (usize, String, &mut AnyHead)> {
    HEAD_PATHS.iter().zip(heads).flat_map(|(kind, heads)| {
        heads.iter_mut().enumerate().filter_map(move |(block, head)| Some((block, prefix(kind, block), head.as_mut()?)))
    })
}

impl Network {
    /// Moves what follows other parts of the network: the heads' running copies of the blocks after their own. Whoever moves the parameters
    /// calls it after every update.
    ///
    /// ```
    /// # use foregrad::models::{HeadKind, ModelConfig};
    /// # use foregrad::rng::Placement;
    /// # use burn::tensor::{DType, Device};
    /// # let placement = Placement { device: Device::flex(), dtype: DType::F32 };
    /// let model = ModelConfig { width: 0.05, head: HeadKind::Ema, head_decay: Some(0.9), ..Default::default() };
    /// let mut network = model.init([1, 12, 12], 10, 0, &placement)?;
    /// let moved = network.parameters().scaled(0.5);
    /// network.assign(&moved);
    /// network.follow();
    /// let kept = network.averages().entry("heads.0.next.running.1.weight").expect("a copy").tensor::<4>();
    /// let own = network.parameters().entry("blocks.1.1.weight").expect("a convolution").tensor::<4>();
    /// // 0.9 of what it was, twice as much as what it is, and 0.1 of what it is.
    /// assert!(foregrad::ops::host(kept - own * 1.9).iter().all(|gap| gap.abs() < 1e-6));
    /// # Ok::<(), foregrad::Error>(())
    /// ```
    pub fn follow(&mut self) {
        self.move_followers(false, |_| true);
    }

    /// Lets what follows a block begin as that block, in the heads whose paths begin so.
    pub(crate) fn begin_following(&mut self, is_new: impl Fn(&str) -> bool) {
        self.move_followers(true, is_new);
    }

    fn move_followers(&mut self, is_new: bool, is_meant: impl Fn(&str) -> bool) {
        for (block, prefix, head) in each_mut([&mut self.heads, &mut self.target_heads]) {
            if is_meant(&prefix) {
                head.follow(&Layer::parameters(&self.blocks[block + 1]), is_new);
            }
        }
    }
}
