//! Rectifier.

use burn::module::Module;
use burn::tensor::{Bool, Tensor};

use super::{Cotangent, Layer, Phase, Wanted, stacked};
use crate::vector::ParamVector;

/// Rectifier; its derivative at 0 is 0.
///
/// ```text
/// forward    y     = max(x, 0)
/// tangent    y_dot = x_dot where x > 0, else 0
/// cotangent  x_bar = y_bar where x > 0, else 0
/// ```
/// Source: Nair & Hinton, *Rectified linear units improve restricted Boltzmann machines* (2010).
#[derive(Module, Debug, Default)]
pub struct Relu;

/// Where the input is not positive: one byte an element.
#[derive(Debug)]
pub struct Saved {
    off: Tensor<4, Bool>,
}

impl Layer for Relu {
    type Saved = Saved;

    fn forward(&self, x: Tensor<4>, _phase: Phase) -> (Tensor<4>, Saved) {
        let off = x.clone().lower_equal_elem(0.0);
        (x.mask_fill(off.clone(), 0.0), Saved { off })
    }

    fn tangent(&self, saved: &Saved, x_dot: Option<Tensor<4>>, _theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        let x_dot = x_dot?;
        let [samples, channels, height, width] = saved.off.dims();
        let stacked = x_dot.dims()[0];
        if stacked == samples {
            return Some(x_dot.mask_fill(saved.off.clone(), 0.0));
        }
        let off = saved.off.clone().reshape([1, samples, channels, height * width]);
        let off = off.expand([stacked / samples, samples, channels, height * width]);
        let y_dot = stacked::by_direction(x_dot, samples).mask_fill(off, 0.0);
        Some(stacked::rejoin(y_dot, [height, width]))
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let x_bar = wanted.input.then(|| y_bar.mask_fill(saved.off.clone(), 0.0));
        Cotangent { x_bar, theta_bar: ParamVector::default() }
    }

    fn parameters(&self) -> ParamVector {
        ParamVector::default()
    }

    fn assign(&mut self, _values: &ParamVector) {}
}
