//! Scores of the network and its heads on a set of images.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};

use super::{RunConfig, Tally};
use crate::Result;
use crate::data::{self, BatchOptions, Batches, Description, HostBatch, Order, Source, Splits};
use foregrad::layers::{Layer, Phase};
use foregrad::losses::Labels;
use foregrad::models::{LossHead, Network};
use foregrad::rng::Placement;

/// Images a batch at most: nothing is kept for derivatives, so it may be larger than in training.
const BATCH: usize = 256;

/// Values of a batch's images, for images that are larger: those of 256 in colour of 32x32.
const VALUES: usize = BATCH * 3 * 32 * 32;

/// The tallies of every block's loss on a data set, in evaluation phase; heads that are not asked for stay empty.
///
/// # Errors
/// None but those of making batches.
pub fn evaluate(network: &Network, set: &Arc<dyn Source>, heads: &[bool], placement: &Placement) -> Result<Vec<Tally>> {
    evaluate_pausing(network, set, heads, placement, &mut || Ok(()))
}

/// [`evaluate`] that calls `pause` before every block; its error ends the evaluation.
///
/// # Errors
/// Those of making batches, and of `pause`.
pub fn evaluate_pausing(
    network: &Network,
    set: &Arc<dyn Source>,
    heads: &[bool],
    placement: &Placement,
    pause: &mut dyn FnMut() -> Result<()>,
) -> Result<Vec<Tally>> {
    let size = (VALUES / set.shape().iter().product::<usize>().max(1)).clamp(1, BATCH);
    let options = BatchOptions { size, order: Order::InOrder, augment: false, skip: 0 };
    let mut tallies = vec![Tally::default(); network.depth()];
    for batch in Batches::new(set.clone(), options)? {
        let (mut x, labels) = on_device(batch?, placement);
        let images = labels.len();
        for (block, maps) in network.blocks.iter().enumerate() {
            pause()?;
            x = maps.forward(x, Phase::Eval.into()).0;
            let loss: Option<&dyn LossHead> = match network.heads.get(block) {
                Some(head) => head.as_deref().filter(|_| heads.get(block).copied().unwrap_or(false)),
                None => Some(&*network.classifier),
            };
            if let Some(loss) = loss {
                tallies[block].add(&loss.forward(x.clone(), &labels, Phase::Eval.into()).0, images);
            }
        }
    }
    Ok(tallies)
}

/// A mini-batch as a tensor and its labels.
pub fn on_device(batch: HostBatch, placement: &Placement) -> (Tensor<4>, Labels) {
    let data = TensorData::new(batch.images, batch.shape);
    let images = Tensor::from_data(data, (&placement.device, placement.dtype));
    (images, batch.labels)
}

/// The data of some settings, for a network that was trained on data as described: one's own are normalised as those were, whatever has
/// been added since, and have the same classes.
///
/// # Errors
/// Data that cannot be loaded, or that have other classes.
pub fn data_for(config: &RunConfig, trained_on: Option<&Description>) -> Result<Splits> {
    let mut options = config.data.load_options(config.seed);
    let Some(known) = trained_on.filter(|_| data::own_place(&config.data.dataset).is_some()) else {
        return data::load(&config.data.dataset, &options);
    };
    options.normalisation = known.normalisation.clone();
    let splits = data::load(&config.data.dataset, &options)?;
    known.check_classes(&splits.train.kind().to_string(), &splits.train.classes())?;
    Ok(splits)
}
