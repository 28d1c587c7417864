//! Gaussian error linear unit.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Cotangent, Layer, Pass, Planned, Wanted, kind::kind_without_settings, stacked};
use crate::Result;
use crate::vector::ParamVector;

/// Gaussian error linear unit, exact (not the tanh approximation).
///
/// With `Phi` and `phi` the distribution and density of a standard normal, and `f'(x) = Phi(x) + x phi(x)`:
/// ```text
/// forward    y     = x Phi(x)
/// tangent    y_dot = f'(x) x_dot
/// cotangent  x_bar = f'(x) y_bar
/// ```
/// Source: Hendrycks & Gimpel, *Gaussian error linear units* (2016).
#[derive(Module, Debug, Default)]
pub struct Gelu;

kind_without_settings!("gelu", GeluSpec, Gelu);

/// `f'(x)`.
#[derive(Debug)]
pub struct Saved {
    slope: Tensor<4>,
}

impl Layer for Gelu {
    type Saved = Saved;

    fn forward(&self, x: Tensor<4>, _pass: Pass) -> (Tensor<4>, Saved) {
        let distribution = ((x.clone() * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0) * 0.5;
        let density = (x.clone().square() * -0.5).exp()
            * (0.5 * std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2);
        let slope = distribution.clone() + x.clone() * density;
        (x * distribution, Saved { slope })
    }

    fn tangent(&self, saved: &Saved, x_dot: Option<Tensor<4>>, _theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        Some(stacked::scale(x_dot?, saved.slope.clone()))
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let x_bar = wanted.input.then(|| y_bar * saved.slope.clone());
        Cotangent { x_bar, theta_bar: ParamVector::default() }
    }

    fn output(&self, input: [usize; 3]) -> Result<[usize; 3]> {
        Ok(input)
    }
}
