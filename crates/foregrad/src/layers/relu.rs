//! Rectifier.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Cotangent, Layer, Pass, Planned, Wanted, kind::kind_without_settings};
use crate::Result;
use crate::ops;
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

kind_without_settings!("relu", ReluSpec, Relu);

/// The output, which the next layer keeps anyway: the input was positive where it is.
#[derive(Debug)]
pub struct Saved {
    y: Tensor<4>,
}

impl Layer for Relu {
    type Saved = Saved;

    fn forward(&self, x: Tensor<4>, _pass: Pass) -> (Tensor<4>, Saved) {
        let y = ops::relu(x);
        (y.clone(), Saved { y })
    }

    fn tangent(&self, saved: &Saved, x_dot: Option<Tensor<4>>, _theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        Some(ops::relu_gate(x_dot?, &saved.y))
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let x_bar = wanted.input.then(|| ops::relu_gate(y_bar, &saved.y));
        Cotangent { x_bar, theta_bar: ParamVector::default() }
    }

    fn output(&self, input: [usize; 3]) -> Result<[usize; 3]> {
        Ok(input)
    }

    fn is_rectifier(&self) -> bool {
        true
    }
}
