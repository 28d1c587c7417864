//! What a run's processes do together: a step of all their parts, scores of the data they share out, the sums of an epoch.

use md5::{Digest, Md5};

use super::checkpoint::Position;
use super::{Control, ProbeRecord, Tally, Trainer, probe};
use crate::ranks::Asked;
use crate::{Error, Result};
use foregrad::estimate::{StepInput, StepOutput};
use foregrad::ops;
use foregrad::vector::ParamVector;

impl Trainer {
    /// What a batch's step gives, of all ranks' parts.
    pub(super) fn output(&self, input: &StepInput<'_>, control: &Control) -> Result<StepOutput> {
        let (estimator, own) = (&self.config.estimator, (self.config.micro_batches, &self.state));
        let asked = || Asked { stops: control.is_stopping(), saves: self.wants_checkpoint(control) };
        let before = self.team.sent();
        let (asked, output) = self.team.step(estimator, &self.network, input, own, asked)?;
        self.sent_in_steps.set(self.sent_in_steps.get() + self.team.sent() - before);
        self.saves.set(asked.saves);
        output.ok_or(Error::Stopped)
    }

    /// A probe of the first part, so that it takes no more memory than a step.
    pub(super) fn probe(&self, input: &StepInput<'_>) -> Result<ProbeRecord> {
        let each = input.labels.len() / self.config.micro_batches;
        let (images, labels) = (input.images.clone().narrow(0, 0, each), input.labels.of_samples(0..each));
        let input = StepInput { images, labels: &labels, ..input.clone() };
        probe(&self.config.estimator, &self.network, &input, &self.state)
    }

    /// Where the run stands, with the sums of all ranks.
    pub(super) fn whole_position(&self) -> Result<Position> {
        let mut whole = self.position.clone();
        let own = std::iter::once(whole.operations as f64);
        let sums = self.team.sum(own.chain(whole.tallies.iter().flat_map(Tally::metric_sums)).collect())?;
        whole.operations = sums[0] as u64;
        let mut sums = sums.into_iter().skip(1);
        whole.tallies.iter_mut().for_each(|tally| tally.set_metric_sums(&mut sums));
        Ok(whole)
    }

    /// Leaves what all ranks have counted together to the root.
    pub(super) fn leave_counts_to_root(&mut self) {
        if !self.team.is_root() {
            self.position.operations = 0;
            self.position.tallies.iter_mut().for_each(|tally| tally.set_metric_sums(&mut std::iter::repeat(0.0)));
        }
    }

    /// Bytes that a rank other than the root has sent a step of this epoch, the most of any.
    pub(super) fn bytes_a_step(&self) -> Result<u64> {
        let steps = self.steps_since.replace(0).max(1);
        Ok(self.team.most_sent(self.sent_in_steps.take())?.div_ceil(steps))
    }

    /// Refuses to begin with ranks that have other settings or data, or stand elsewhere.
    pub(super) fn check_alike(&self) -> Result<()> {
        if self.team.is_alone() {
            return Ok(());
        }
        let settings = self.config.differences_text();
        let data = serde_json::to_string(&self.description).expect("a description is plain values");
        self.team
            .agree("the digest of settings and data", &hex(Md5::new().chain_update(settings).chain_update(data)))?;
        self.check_replicas()
    }

    /// Refuses to go on with ranks whose weights have become others.
    pub(super) fn check_replicas(&self) -> Result<()> {
        if self.team.is_alone() {
            return Ok(());
        }
        let what = format!("the digest of the weights at step {}", self.position.step);
        let own =
            format!("{} at step {}", digest(&[self.network.state(), self.optimizer.tensors()]), self.position.step);
        self.team.agree(&what, &own)
    }

    fn wants_checkpoint(&self, control: &Control) -> bool {
        // A clock is no common knowledge: the root's counts.
        let is_overdue = self.team.is_root() && self.timetable.is_overdue(std::time::Instant::now());
        control.takes_checkpoint() || is_overdue
    }
}

/// A short text that differs where any bit of the tensors does.
fn digest(vectors: &[ParamVector]) -> String {
    let data = vectors.iter().flat_map(ParamVector::iter).map(|(_, entry)| ops::data(entry.values()));
    let mut digest = Md5::new();
    data.for_each(|data| digest.update(data.as_bytes()));
    hex(digest)
}

fn hex(digest: Md5) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
