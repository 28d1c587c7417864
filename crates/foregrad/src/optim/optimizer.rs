//! Optimisers: state keyed by the parameter's path, so that it can be saved, resumed and used as a guess.

use std::collections::BTreeMap;

use crate::vector::ParamVector;
use crate::{Error, Result, names, settings};
use burn::optim::Optimizer as BurnOptimizer;
use burn::optim::{Adam, AdamConfig, AdamState, AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState};
use burn::tensor::Tensor;

names! {
    /// The update rule.
    "optimiser" pub enum OptimizerKind {
        /// Stochastic gradient descent with momentum.
        Sgd = "sgd",
        /// Adaptive moments; weight decay is added to the gradient.
        Adam = "adam",
        /// Adaptive moments; weight decay shrinks the parameters.
        Adamw = "adamw",
    }
}

settings! {
    /// An optimiser's settings.
    pub struct OptimizerConfig {
        /// The update rule.
        kind: OptimizerKind = OptimizerKind::Sgd => flag("optimizer", "NAME"),
        /// The initial learning rate.
        rate: f64 = 0.05 => flag("lr", "R"),
        /// The weight of the past in SGD's buffer.
        momentum: f64 = 0.9 => flag("momentum", "M"),
        /// SGD looks ahead along its buffer.
        nesterov: bool = false => switch("nesterov", "on"),
        /// Pull of the parameters towards 0.
        weight_decay: f64 = 5e-4 => flag("weight-decay", "W"),
        /// The weights of the past in Adam's first and second moment.
        betas: [f64; 2] = [0.9, 0.999] => file,
        /// Largest norm of the whole gradient (0: any).
        clip: f64 = 0.0 => flag("clip", "NORM"),
    }
}

impl OptimizerConfig {
    /// Refuses settings outside their ranges.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn validate(&self) -> Result<()> {
        let positive = |name: &str, value: f64, allowed: bool, expected: &str| {
            if value.is_finite() && allowed { Ok(()) } else { Err(Error::out_of_range(name, value, expected)) }
        };
        positive("optimizer.rate", self.rate, self.rate > 0.0, "a number above 0")?;
        positive(
            "optimizer.momentum",
            self.momentum,
            (0.0..1.0).contains(&self.momentum),
            "a number from 0 to below 1",
        )?;
        positive("optimizer.weight-decay", self.weight_decay, self.weight_decay >= 0.0, "a number not below 0")?;
        positive("optimizer.clip", self.clip, self.clip >= 0.0, "a number not below 0")?;
        if self.nesterov && (self.kind != OptimizerKind::Sgd || self.momentum == 0.0) {
            let reason =
                "`optimizer.nesterov` looks ahead along the buffer of SGD with momentum, which this optimiser lacks";
            return Err(Error::meaningless(
                reason,
                "`optimizer.kind = sgd` `optimizer.momentum = 0.9` `optimizer.nesterov = on`",
            ));
        }
        let beta =
            |beta: f64| positive("optimizer.betas", beta, (0.0..1.0).contains(&beta), "numbers from 0 to below 1");
        self.betas.into_iter().try_for_each(beta)
    }
}

/// An optimiser with its state.
///
/// SGD is PyTorch's, with gradient `g`, weight decay `w`, momentum `m` and rate `r`:
/// ```text
/// g' = g + w theta      b = m b + g' (first step: b = g')      theta = theta - r b      (Nesterov: r (g' + m b))
/// ```
/// Adam and AdamW are Burn's.
///
/// Source: Sutskever et al. (2013) as in `torch.optim.SGD`; Kingma & Ba (2014); Loshchilov & Hutter (2019).
#[derive(Clone)]
pub struct Optimizer {
    config: OptimizerConfig,
    buffer: ParamVector,
    moments: BTreeMap<String, AdaptiveMomentumState<1>>,
}

impl Optimizer {
    /// An optimiser before its first step.
    pub fn new(config: &OptimizerConfig) -> Self {
        Self { config: config.clone(), buffer: ParamVector::default(), moments: BTreeMap::new() }
    }

    /// The parameters after one step; those without a gradient are left out, gradients without a parameter ignored.
    ///
    /// # Panics
    /// If a gradient has another shape than its parameter.
    pub fn step(&mut self, rate: f64, parameters: &ParamVector, gradient: &ParamVector) -> ParamVector {
        let mut updated = ParamVector::default();
        for (path, entry) in gradient.iter() {
            let Some(theta) = parameters.entry(path) else { continue };
            let values = match self.config.kind {
                OptimizerKind::Sgd => self.descend(rate, path, theta.values(), entry.values()),
                OptimizerKind::Adam => self.adam(rate, path, theta.values(), entry.values()),
                OptimizerKind::Adamw => self.adamw(rate, path, theta.values(), entry.values()),
            };
            updated.insert_entry(path, theta.with_values(values));
        }
        updated
    }

    fn descend(&mut self, rate: f64, path: &str, theta: Tensor<1>, gradient: Tensor<1>) -> Tensor<1> {
        let OptimizerConfig { momentum, nesterov, weight_decay, .. } = self.config;
        let gradient = if weight_decay > 0.0 { gradient + theta.clone().mul_scalar(weight_decay) } else { gradient };
        if momentum == 0.0 {
            return theta - gradient.mul_scalar(rate);
        }
        let buffer = match self.buffer.get::<1>(path) {
            Some(buffer) => buffer.mul_scalar(momentum) + gradient.clone(),
            None => gradient.clone(),
        };
        self.buffer.insert(path, buffer.clone());
        let direction = if nesterov { gradient + buffer.mul_scalar(momentum) } else { buffer };
        theta - direction.mul_scalar(rate)
    }

    fn adam(&mut self, rate: f64, path: &str, theta: Tensor<1>, gradient: Tensor<1>) -> Tensor<1> {
        let [first, second] = self.config.betas;
        let adam: Adam =
            AdamConfig::new().with_beta_1(first as f32).with_beta_2(second as f32).with_epsilon(1e-8).build();
        let gradient = gradient + theta.clone().mul_scalar(self.config.weight_decay);
        let state = self.moments.remove(path).map(AdamState::new);
        let (theta, state) = adam.step(rate, theta, gradient, state);
        self.moments.extend(state.map(|state| (path.to_string(), state.momentum)));
        theta
    }

    fn adamw(&mut self, rate: f64, path: &str, theta: Tensor<1>, gradient: Tensor<1>) -> Tensor<1> {
        let [first, second] = self.config.betas;
        let decay = self.config.weight_decay as f32;
        let config = AdamWConfig::new().with_beta_1(first as f32).with_beta_2(second as f32);
        let adamw: AdamW = config.with_epsilon(1e-8).with_weight_decay(decay).build();
        let state = self.moments.remove(path).map(AdamWState::new);
        let (theta, state) = adamw.step(rate, theta, gradient, state);
        self.moments.extend(state.map(|state| (path.to_string(), state.momentum)));
        theta
    }

    /// SGD's buffer, by path: the guess `momentum`.
    pub fn buffer(&self) -> &ParamVector {
        &self.buffer
    }

    /// The state's tensors: `buffer.PATH`, or `moment_1.PATH` and `moment_2.PATH`.
    pub fn tensors(&self) -> ParamVector {
        let mut tensors = self.buffer.clone().prefixed("buffer");
        for (path, state) in &self.moments {
            tensors.insert(format!("moment_1.{path}"), state.moment_1.clone());
            tensors.insert(format!("moment_2.{path}"), state.moment_2.clone());
        }
        tensors
    }

    /// How many steps each of Adam's moments has seen, by path.
    pub fn ages(&self) -> BTreeMap<String, usize> {
        self.moments.iter().map(|(path, state)| (path.clone(), state.time)).collect()
    }

    /// Takes the state that [`tensors`](Self::tensors) and [`ages`](Self::ages) gave.
    pub fn restore(&mut self, tensors: &ParamVector, ages: &BTreeMap<String, usize>) {
        self.buffer = ParamVector::default();
        for (path, entry) in tensors.scoped("buffer").iter() {
            self.buffer.insert(path, entry.values());
        }
        let [first, second] = ["moment_1", "moment_2"].map(|name| tensors.scoped(name));
        let state = |(path, age): (&String, &usize)| {
            let moments = (first.entry(path)?.values(), second.entry(path)?.values());
            Some((path.clone(), AdaptiveMomentumState::new(*age, moments.0, moments.1)))
        };
        self.moments = ages.iter().filter_map(state).collect();
    }
}

/// A gradient whose norm is at most `limit` (0: any).
pub fn clip(gradient: ParamVector, limit: f64) -> ParamVector {
    if limit == 0.0 {
        return gradient;
    }
    let norm = gradient.norm();
    if norm <= limit || !norm.is_finite() { gradient } else { gradient.scaled(limit / norm) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::host;
    use crate::rng::Placement;
    use burn::tensor::{DType, Device};

    fn vector(values: &[f64]) -> ParamVector {
        let placement = Placement { device: Device::flex(), dtype: DType::F64 };
        let mut vector = ParamVector::default();
        vector.insert("a", placement.tensor(values.to_vec(), [values.len()]));
        vector
    }

    fn run(config: &OptimizerConfig, steps: usize) -> f64 {
        let mut optimizer = Optimizer::new(config);
        let mut theta = vector(&[1.0]);
        for step in 0..steps {
            theta = optimizer.step(0.1, &theta, &vector(&[0.5 + step as f64]));
        }
        host(theta.get::<1>("a").expect("a tensor"))[0]
    }

    #[test]
    fn sgd_is_that_of_pytorch() {
        let config = OptimizerConfig { weight_decay: 0.1, ..Default::default() };
        // g = 0.5, 1.5; decay 0.1; momentum 0.9; rate 0.1:
        // b1 = 0.6, theta = 0.94; b2 = 0.54 + 1.5 + 0.094 = 2.134, theta = 0.7266.
        assert!((run(&config, 2) - 0.7266).abs() < 1e-12);
        // Nesterov: step 1 moves 0.6 + 0.54 = 1.14, theta = 0.886; then g' = 1.5886, b = 2.1286, moves 3.50434.
        assert!((run(&OptimizerConfig { nesterov: true, ..config }, 2) - 0.535_566).abs() < 1e-12);
    }

    #[test]
    fn adam_moves_by_the_rate_at_first_and_adamw_decays_apart() {
        let adam = OptimizerConfig { kind: OptimizerKind::Adam, weight_decay: 0.0, ..Default::default() };
        assert!((run(&adam, 1) - 0.9).abs() < 1e-6);
        let adamw = OptimizerConfig { kind: OptimizerKind::Adamw, weight_decay: 0.5, ..Default::default() };
        assert!((run(&adamw, 1) - 0.85).abs() < 1e-6);
    }

    #[test]
    fn a_restored_optimiser_goes_on_as_if_it_had_never_stopped() {
        for kind in [OptimizerKind::Sgd, OptimizerKind::Adam, OptimizerKind::Adamw] {
            let config = OptimizerConfig { kind, ..Default::default() };
            let mut first = Optimizer::new(&config);
            let theta = first.step(0.1, &vector(&[1.0]), &vector(&[0.3]));
            let mut second = Optimizer::new(&config);
            second.restore(&first.tensors(), &first.ages());
            let next =
                |optimizer: &mut Optimizer| host(optimizer.step(0.1, &theta, &vector(&[0.7])).get::<1>("a").unwrap());
            assert_eq!(next(&mut first), next(&mut second), "{kind:?}");
        }
    }

    #[test]
    fn clipping_scales_the_whole_gradient() {
        assert!((clip(vector(&[3.0, 4.0]), 1.0).norm() - 1.0).abs() < 1e-12);
        assert_eq!(clip(vector(&[3.0, 4.0]), 6.0).norm(), 5.0);
        assert_eq!(clip(vector(&[3.0, 4.0]), 0.0).norm(), 5.0);
    }
}
