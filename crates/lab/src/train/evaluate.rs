//! Scores of the network and its heads on a set of images.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};

use super::{RunConfig, Tally};
use crate::data::{self, BatchOptions, Batches, Description, HostBatch, Order, Source, Splits};
use crate::ranks::Team;
use crate::{Error, Result};
use foregrad::estimate::MicroBatch;
use foregrad::layers::{Layer, Phase};
use foregrad::losses::Labels;
use foregrad::metrics::Measured;
use foregrad::models::{Evaluation, LossHead, Network};
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
    evaluate_among(&Team::default(), network, set, heads, placement, pause)
}

/// [`evaluate_pausing`] with the batches shared out among ranks; the bits do not depend on how many these are.
///
/// # Errors
/// Those of making batches, and of `pause`: if it stops one rank, it stops all.
pub(super) fn evaluate_among(
    team: &Team,
    network: &Network,
    set: &Arc<dyn Source>,
    heads: &[bool],
    placement: &Placement,
    pause: &mut dyn FnMut() -> Result<()>,
) -> Result<Vec<Tally>> {
    let size = (VALUES / set.shape().iter().product::<usize>().max(1)).clamp(1, BATCH);
    let options = BatchOptions { size, order: Order::InOrder, augment: false, skip: 0, part: MicroBatch::WHOLE };
    let batches = Batches::new(set.clone(), options)?;
    let mut all = vec![vec![None; network.depth()]; batches.len()];
    let own = || -> Result<()> {
        for (batch, evaluations) in batches.zip(&mut all).skip(team.rank()).step_by(team.count()) {
            let (x, labels) = on_device(batch?, placement);
            *evaluations = evaluated(network, x, &labels, heads, pause)?;
        }
        Ok(())
    };
    let ending = own();
    let runs: Vec<bool> = (0..network.depth()).map(|block| loss_of(network, block, heads).is_some()).collect();
    let evaluations = match ending {
        Ok(()) | Err(Error::Stopped) => together(team, all, &runs, ending.is_err())?,
        Err(error) => return Err(error),
    };
    let mut tallies = vec![Tally::default(); network.depth()];
    for (place, batch) in evaluations.iter().enumerate() {
        let images = size.min(set.len() - place * size);
        for (tally, evaluation) in tallies.iter_mut().zip(batch) {
            evaluation.iter().for_each(|evaluation| tally.add(evaluation, images));
        }
    }
    Ok(tallies)
}

/// Every block's loss on a batch; none of heads that are not asked for.
fn evaluated(
    network: &Network,
    mut x: Tensor<4>,
    labels: &Labels,
    heads: &[bool],
    pause: &mut dyn FnMut() -> Result<()>,
) -> Result<Vec<Option<Evaluation>>> {
    let mut evaluations = Vec::with_capacity(network.depth());
    for (block, maps) in network.blocks.iter().enumerate() {
        pause()?;
        x = maps.forward(x, Phase::Eval.into()).0;
        let loss = loss_of(network, block, heads);
        evaluations.push(loss.map(|loss| loss.forward(x.clone(), labels, Phase::Eval.into()).0));
    }
    Ok(evaluations)
}

/// The loss behind a block, if it is asked for.
fn loss_of<'n>(network: &'n Network, block: usize, heads: &[bool]) -> Option<&'n dyn LossHead> {
    match network.heads.get(block) {
        Some(head) => head.as_deref().filter(|_| heads.get(block).copied().unwrap_or(false)),
        None => Some(&*network.classifier),
    }
}

/// The evaluations of all ranks' batches, or the end of all if one of them was stopped; `runs` tells which blocks have any.
fn together(
    team: &Team,
    mut own: Vec<Vec<Option<Evaluation>>>,
    runs: &[bool],
    is_stopped: bool,
) -> Result<Vec<Vec<Option<Evaluation>>>> {
    // Zero stands for what another rank has: a sum of it and zeros is it.
    let numbers = own.iter().flatten().flat_map(|evaluation| {
        let evaluation = evaluation.unwrap_or_default();
        [evaluation.loss, evaluation.metric.map_or(0.0, |metric| metric.sum)]
    });
    let mut sums = team.sum(std::iter::once(f64::from(is_stopped)).chain(numbers).collect())?.into_iter();
    if sums.next() != Some(0.0) {
        return Err(Error::Stopped);
    }
    // The names of metrics are those of this rank's own batches.
    let named = |block: usize| own.iter().find_map(|batch| batch[block]?.metric).filter(|_| runs[block]);
    let names: Vec<Option<Measured>> = (0..runs.len()).map(named).collect();
    for (evaluation, (runs, name)) in own.iter_mut().flat_map(|batch| batch.iter_mut().zip(runs.iter().zip(&names))) {
        let [loss, sum] = [sums.next(), sums.next()].map(|number| number.expect("two numbers an evaluation"));
        *evaluation = runs.then(|| Evaluation { loss, metric: name.map(|name| Measured { sum, ..name }) });
    }
    Ok(own)
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
