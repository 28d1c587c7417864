//! Leaky rectifier.

use burn::tensor::Tensor;

use super::{Cotangent, Layer, LayerKind, Pass, Planned, Scope, Wanted, plan::finite, stacked};
use crate::vector::ParamVector;
use crate::{Result, settings};

/// `x` where it is positive, else a small part of it.
///
/// ```text
/// forward    y     = f x        f = 1 where x > 0, else slope
/// tangent    y_dot = f x_dot
/// cotangent  x_bar = f y_bar
/// ```
/// Source: Maas et al., *Rectifier nonlinearities improve neural network acoustic models* (2013).
#[derive(Debug, Clone)]
pub struct LeakyRelu {
    slope: f64,
}

impl LeakyRelu {
    /// With a slope left of 0, such as 0.01.
    pub fn new(slope: f64) -> Self {
        Self { slope }
    }
}

settings! {
    /// A leaky rectifier in a spec.
    pub struct LeakyReluSpec {
        /// The slope left of 0.
        slope: f64 = 0.01 => file,
    }
}

impl LayerKind for LeakyReluSpec {
    const NAME: &'static str = "leaky-relu";

    fn plan(&self, input: [usize; 3], _scope: &Scope) -> Result<Planned> {
        Planned::of(LeakyRelu::new(finite("slope", self.slope)?), input)
    }
}

/// `f`.
#[derive(Debug)]
pub struct Saved {
    factor: Tensor<4>,
}

impl Layer for LeakyRelu {
    type Saved = Saved;

    fn forward(&self, x: Tensor<4>, _pass: Pass) -> (Tensor<4>, Saved) {
        let off = x.clone().lower_equal_elem(0.0);
        let factor = x.ones_like().mask_fill(off, self.slope);
        (x * factor.clone(), Saved { factor })
    }

    fn tangent(&self, saved: &Saved, x_dot: Option<Tensor<4>>, _theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        Some(stacked::scale(x_dot?, saved.factor.clone()))
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let x_bar = wanted.input.then(|| y_bar * saved.factor.clone());
        Cotangent { x_bar, theta_bar: ParamVector::default() }
    }

    fn output(&self, input: [usize; 3]) -> Result<[usize; 3]> {
        Ok(input)
    }
}
