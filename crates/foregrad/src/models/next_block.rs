//! Copies of the block after a head's own, inside the head.
//!
//! A head that begins with the next block's layers sees as far as that block, and needs nothing of the block itself. What both copies save is
//! held while the head is at work. Two copies stand side by side:
//! ```text
//! u    = running(y) + trained(y)                    y the output of block j
//! psi <- decay psi + (1 - decay) theta_{j+1}        running, after every optimiser's step
//! ```
//! The running copy follows the next block's parameters and gets no gradient: cotangents and tangents pass through it. The trained one learns from
//! the head's loss, and makes up for what the running copy, which was made for the losses of later blocks, does not fit. Batch norm of both
//! takes the statistics of its own batch in training, and has moving averages of its own: parameters are followed, averages are not.
//!
//! Source: Su et al., *Momentum auxiliary network for supervised local learning* (2024), and its code: the layer that follows a module, copied
//! twice, summed, before the auxiliary net; 0.999 as the decay of the network there, for some 20,000 steps. Departures: whole blocks are copied,
//! the running copy begins as the next block (there both copies are drawn anew), and it moves after the optimiser's step (there before it, by
//! the weights of the step before).

use burn::tensor::Tensor;

use crate::Result;
use crate::layers::{AnySaved, Cotangent, Layer, Pass, Sequential, Wanted, stacked};
use crate::vector::ParamVector;

/// The decay of a running copy, if none is given.
pub(super) const USUAL_DECAY: f64 = 0.99;

/// What stands before the paths of the copies' parameters.
const RUNNING: &str = "running";
pub(super) const TRAINED: &str = "trained";

/// A running copy of the block after a head's own, and a trained one beside it if there is one: `y = running(x) + trained(x)`.
///
/// ```text
/// tangent    y_dot = running_dot + trained_dot     psi_dot = 0
/// cotangent  x_bar = running_bar + trained_bar     psi_bar is nowhere asked for
/// ```
/// The running copy's parameters are among the [averages](Layer::averages): state that nothing learns.
#[derive(Debug, Clone)]
pub struct NextBlock {
    running: Sequential,
    trained: Option<Sequential>,
    decay: f64,
}

/// What both copies save.
#[derive(Debug)]
pub struct Saved {
    running: Vec<AnySaved>,
    trained: Option<Vec<AnySaved>>,
}

impl NextBlock {
    /// A running copy that begins as `running`, and keeps the part `decay` of itself at every step.
    ///
    /// # Panics
    /// If `decay` is not from 0 to 1.
    pub fn new(running: Sequential, decay: f64) -> Self {
        assert!((0.0..=1.0).contains(&decay), "a decay of {decay}");
        Self { running, trained: None, decay }
    }

    /// With a trained copy beside it.
    pub fn beside(self, trained: Sequential) -> Self {
        Self { trained: Some(trained), ..self }
    }

    /// The parameters of the running copy, by the copied block's own paths.
    pub fn running(&self) -> ParamVector {
        Layer::parameters(&self.running)
    }

    /// Moves the running copy towards the parameters of the block that it copies; onto them if it is new.
    pub fn follow(&mut self, next: &ParamVector, is_new: bool) {
        let kept = if is_new { 0.0 } else { self.decay };
        self.running.assign(&self.running().scaled(kept).axpy(1.0 - kept, next));
    }
}

impl Layer for NextBlock {
    type Saved = Saved;

    fn forward(&self, x: Tensor<4>, pass: Pass) -> (Tensor<4>, Saved) {
        let trained = self.trained.as_ref().map(|trained| trained.forward(x.clone(), pass.named(TRAINED)));
        let (y, running) = self.running.forward(x, pass.named(RUNNING));
        match trained {
            Some((beside, trained)) => (y + beside, Saved { running, trained: Some(trained) }),
            None => (y, Saved { running, trained: None }),
        }
    }

    fn tangent(&self, saved: &Saved, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        let trained = self.trained.as_ref().zip(saved.trained.as_ref()).and_then(|(trained, saved)| {
            let theta_dot: Vec<_> = theta_dot.iter().map(|theta_dot| theta_dot.scoped(TRAINED)).collect();
            trained.tangent(saved, x_dot.clone(), &theta_dot)
        });
        let running = x_dot.and_then(|x_dot| self.running.tangent(&saved.running, Some(x_dot), &[]));
        stacked::add(running, trained)
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let copies = self.trained.as_ref().zip(saved.trained.as_ref());
        let trained =
            copies.map(|(trained, saved)| trained.cotangent(saved, y_bar.clone(), wanted)).unwrap_or_default();
        let running = wanted.input.then(|| self.running.cotangent(&saved.running, y_bar, Wanted::INPUT).input());
        Cotangent { x_bar: stacked::add(running, trained.x_bar), theta_bar: trained.theta_bar.prefixed(TRAINED) }
    }

    fn output(&self, input: [usize; 3]) -> Result<[usize; 3]> {
        self.running.output(input)
    }

    fn parameters(&self) -> ParamVector {
        self.trained.as_ref().map(Layer::parameters).unwrap_or_default().prefixed(TRAINED)
    }

    fn averages(&self) -> ParamVector {
        let mut running = self.running();
        running.extend(self.running.averages());
        let mut all = running.prefixed(RUNNING);
        all.extend(self.trained.as_ref().map(Layer::averages).unwrap_or_default().prefixed(TRAINED));
        all
    }

    fn statistics(&self, saved: &Saved) -> ParamVector {
        let mut all = self.running.statistics(&saved.running).prefixed(RUNNING);
        if let (Some(trained), Some(saved)) = (&self.trained, &saved.trained) {
            all.extend(trained.statistics(saved).prefixed(TRAINED));
        }
        all
    }

    fn assign(&mut self, values: &ParamVector) {
        self.running.assign(&values.scoped(RUNNING));
        if let Some(trained) = &mut self.trained {
            trained.assign(&values.scoped(TRAINED));
        }
    }
}
