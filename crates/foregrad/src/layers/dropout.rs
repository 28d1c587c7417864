//! Dropout, of single values or of whole channels.

use burn::tensor::Tensor;

use super::{Cotangent, Layer, LayerKind, Pass, Phase, Planned, Scope, Wanted, stacked};
use crate::rng::Placement;
use crate::vector::ParamVector;
use crate::{Error, Result, settings};

/// Values set to 0 at random, the others scaled so that the mean stays; nothing happens in [`Phase::Eval`].
///
/// ```text
/// forward    y     = m x        m = 0 with probability rate, else 1 / (1 - rate)
/// tangent    y_dot = m x_dot
/// cotangent  x_bar = m y_bar
/// ```
/// `m` is drawn from the sample's own stream ([`Pass::stream_of`]): the same in all three maps, when a block is computed again, and in
/// whatever part of a batch the sample stands.
///
/// Source: Srivastava et al., *Dropout* (2014); whole channels: Tompson et al., *Efficient object localization* (2015).
#[derive(Debug, Clone)]
pub struct Dropout {
    rate: f64,
    of_channels: bool,
}

impl Dropout {
    /// Of single values.
    ///
    /// # Panics
    /// If the rate is not from 0 to below 1.
    pub fn new(rate: f64) -> Self {
        assert!((0.0..1.0).contains(&rate), "a dropout rate of {rate}; expected from 0 to below 1");
        Self { rate, of_channels: false }
    }

    /// Of whole channels: all pixels of a channel or none.
    ///
    /// # Panics
    /// As [`Dropout::new`].
    pub fn of_channels(rate: f64) -> Self {
        Self { of_channels: true, ..Self::new(rate) }
    }

    /// `m`, shaped as `x`.
    fn mask(&self, x: &Tensor<4>, pass: Pass) -> Tensor<4> {
        let [samples, channels, height, width] = x.dims();
        let [rows, columns] = if self.of_channels { [1, 1] } else { [height, width] };
        let kept = 1.0 / (1.0 - self.rate);
        let draw = |sample| pass.stream_of(sample).uniform(channels * rows * columns, 0.0, 1.0);
        let values = (0..samples).flat_map(draw).map(|value| if value < self.rate { 0.0 } else { kept }).collect();
        Placement::of(x).tensor(values, [samples, channels, rows, columns]).expand(x.dims())
    }
}

settings! {
    /// Dropout in a spec.
    pub struct DropoutSpec {
        /// The probability of a value to be dropped.
        rate: f64 = 0.5 => file,
        /// Drop channels as a whole.
        channels: bool = false => file,
    }
}

impl LayerKind for DropoutSpec {
    const NAME: &'static str = "dropout";

    fn plan(&self, input: [usize; 3], _scope: &Scope) -> Result<Planned> {
        if !(0.0..1.0).contains(&self.rate) {
            return Err(Error::out_of_range("rate", self.rate, "from 0 to below 1"));
        }
        Planned::of(Dropout { rate: self.rate, of_channels: self.channels }, input)
    }
}

/// `m`; none where nothing is dropped.
#[derive(Debug)]
pub struct Saved {
    mask: Option<Tensor<4>>,
}

impl Layer for Dropout {
    type Saved = Saved;

    fn forward(&self, x: Tensor<4>, pass: Pass) -> (Tensor<4>, Saved) {
        if pass.phase == Phase::Eval || self.rate == 0.0 {
            return (x, Saved { mask: None });
        }
        let mask = self.mask(&x, pass);
        (x * mask.clone(), Saved { mask: Some(mask) })
    }

    fn tangent(&self, saved: &Saved, x_dot: Option<Tensor<4>>, _theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        Some(match &saved.mask {
            Some(mask) => stacked::scale(x_dot?, mask.clone()),
            None => x_dot?,
        })
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let x_bar = wanted.input.then(|| match &saved.mask {
            Some(mask) => y_bar * mask.clone(),
            None => y_bar,
        });
        Cotangent { x_bar, theta_bar: ParamVector::default() }
    }

    fn output(&self, input: [usize; 3]) -> Result<[usize; 3]> {
        Ok(input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::host;
    use crate::rng::Stream;
    use burn::tensor::{DType, Device};

    fn ones(samples: usize) -> Tensor<4> {
        Placement { device: Device::flex(), dtype: DType::F64 }.ones([samples, 40, 5, 5])
    }

    fn pass(step: u64) -> Pass {
        Pass::new(Phase::Train, Stream::new(0, "dropout").at(step))
    }

    fn dropped(layer: &Dropout, x: Tensor<4>, pass: Pass) -> Vec<f64> {
        host(layer.forward(x, pass).0).into_iter().collect()
    }

    #[test]
    fn as_many_values_are_dropped_as_was_asked_and_the_mean_stays() {
        for layer in [Dropout::new(0.25), Dropout::of_channels(0.25)] {
            let values = dropped(&layer, ones(64), pass(0));
            let zeros = values.iter().filter(|value| **value == 0.0).count() as f64 / values.len() as f64;
            let others = values.iter().filter(|value| **value != 0.0);
            assert!((zeros - 0.25).abs() < 0.05, "{zeros}");
            assert!(others.into_iter().all(|value| (value - 4.0 / 3.0).abs() < 1e-12));
        }
    }

    #[test]
    fn a_channel_is_dropped_whole() {
        let values = dropped(&Dropout::of_channels(0.5), ones(2), pass(0));
        assert!(values.chunks(25).all(|channel| channel.iter().all(|value| *value == channel[0])));
    }

    #[test]
    fn draws_go_by_the_step_and_the_samples_position_in_the_whole_batch() {
        let layer = Dropout::new(0.5);
        let whole = dropped(&layer, ones(4), pass(3));
        let parts = [0, 2].map(|first| dropped(&layer, ones(2), Pass { first, ..pass(3) })).concat();
        assert_eq!(whole, parts);
        assert_ne!(whole, dropped(&layer, ones(4), pass(4)));
        assert_eq!(dropped(&layer, ones(1), Phase::Eval.into()), host(ones(1)));
    }
}
