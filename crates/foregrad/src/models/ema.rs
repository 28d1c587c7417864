//! The head `ema`: copies of the next block, then the layers of an `mlp` head behind it. What the copies are, and where they come from:
//! [`NextBlock`].

use super::head_kind::HeadKind;
use super::next_block::{NextBlock, TRAINED};
use super::planned_head::{HeadScope, PlannedHead};
use crate::layers::{Making, Planned};
use crate::{Error, Result};

/// The name of the layer that holds the copies.
const COPIES: &str = "next";

/// The head behind a block's output.
pub(super) fn plan(input: [usize; 3], scope: &HeadScope) -> Result<PlannedHead> {
    let ahead = scope.ahead()?;
    let next = &ahead.later[0];
    let of_trunk = HeadScope { width: ahead.width, norm: ahead.norm, ..*scope };
    let copy =
        of_trunk.chain(next.layers, input, ahead.kinds).map_err(|error| Error::within("the next block", error))?;
    let (weights, flop, decay) = (copy.weights(), copy.flop().saturating_mul(2), scope.decay);
    let make = move |making: &Making| {
        // Numbers alone are the names of the other layers' streams.
        let streams = |name: &str| (making.streams)(&format!("{TRAINED}.{name}"));
        let trained = copy.make(&Making { streams: &streams, ..*making });
        NextBlock::new(trained.clone(), decay).beside(trained).into()
    };
    let copies = Planned::new(next.output, make).weights(weights).flop(flop);
    let mut net = HeadKind::Mlp.config(next.output, scope).net()?;
    let outputs = net.branches.remove(0);
    net.branches.insert(0, outputs.behind(COPIES, copies, input));
    Ok(PlannedHead::of_net(net))
}
