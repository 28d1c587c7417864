//! Affine map of features.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::{
    Cotangent, Layer, LayerKind, Making, Outputs, Pass, Planned, Scope, Wanted, assign_leaf, leaf_parameters,
    plan::{check_channels, check_features},
    product, stacked,
};
use crate::ops;
use crate::rng::{Placement, Stream};
use crate::vector::ParamVector;
use crate::{Result, settings};

/// Affine map of features, `weight` `[out, in]`, `bias` `[out]`; activations are `[n, features, 1, 1]`.
///
/// ```text
/// forward    y     = x W^T + b
/// tangent    y_dot = x_dot W^T + x W_dot^T + b_dot
/// cotangent  x_bar = y_bar W    W_bar = y_bar^T x    b_bar = sum over samples of y_bar
/// ```
/// Source: Griewank & Walther, *Evaluating Derivatives* (2008), chapter 3, for the pair of a product's derivatives.
#[derive(Module, Debug)]
pub struct Linear {
    weight: Param<Tensor<2>>,
    bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// Kaiming-uniform weights, `U(-b, b)` with `b = sqrt(6 / in)`; biases 0.01 (the paper's code).
    pub fn new([input, output]: [usize; 2], bias: bool, stream: Stream, placement: &Placement) -> Self {
        let bound = (6.0 / input as f64).sqrt();
        let weight = stream.named("weight").uniform(output * input, -bound, bound);
        Self::of(placement.tensor(weight, [output, input]), bias, placement)
    }

    /// Weights of 0, so that nothing goes back through it before it has learnt; biases 0.01.
    pub fn zero(sizes: [usize; 2], bias: bool, placement: &Placement) -> Self {
        let [input, output] = sizes;
        Self::of(placement.zeros([output, input]), bias, placement)
    }

    fn of(weight: Tensor<2>, bias: bool, placement: &Placement) -> Self {
        let [output, _] = weight.dims();
        let bias = bias.then(|| Param::from_tensor(placement.tensor(vec![0.01; output], [output])));
        Self { weight: Param::from_tensor(weight), bias }
    }

    /// `[out, in]`.
    pub(crate) fn weight(&self) -> Tensor<2> {
        self.weight.val()
    }
}

settings! {
    /// An affine map of features in a spec.
    pub struct LinearSpec {
        /// Features of the output.
        outputs: Outputs = Outputs::Labels => file,
        /// A shift of each output.
        bias: bool = true => file,
        /// Weights start at 0 instead of being drawn.
        zero: bool = false => file,
    }
}

impl LayerKind for LinearSpec {
    const NAME: &'static str = "linear";
    const NEEDS: &'static [&'static str] = &["outputs"];

    fn plan(&self, input: [usize; 3], scope: &Scope) -> Result<Planned> {
        check_features(input)?;
        let (sizes, bias, zero) = ([input[0], scope.outputs(self.outputs)], self.bias, self.zero);
        let make = move |making: &Making| match zero {
            true => Linear::zero(sizes, bias, making.placement).into(),
            false => Linear::new(sizes, bias, making.stream(), making.placement).into(),
        };
        let (products, biases) = (product(sizes), if bias { sizes[1] as u64 } else { 0 });
        let planned = Planned::new([sizes[1], 1, 1], make).flop(products.saturating_mul(2));
        Ok(planned.weights(products.saturating_add(biases)))
    }
}

/// The input, for the weight's tangent and cotangent.
#[derive(Debug)]
pub struct Saved {
    x: Tensor<2>,
}

impl Layer for Linear {
    type Saved = Saved;

    fn forward(&self, x: Tensor<4>, _pass: Pass) -> (Tensor<4>, Saved) {
        let x = rows(x);
        let y = ops::matmul(x.clone(), self.weight.val().transpose());
        let y = match &self.bias {
            Some(bias) => y + bias.val().unsqueeze(),
            None => y,
        };
        (features(y), Saved { x })
    }

    fn tangent(&self, saved: &Saved, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        let through_input = x_dot.map(|x_dot| features(ops::matmul(rows(x_dot), self.weight.val().transpose())));
        let through_weight = stacked::directions::<2>(theta_dot, "weight").map(|directions| {
            let tangents = directions.into_iter().map(|w_dot| ops::matmul(saved.x.clone(), w_dot.transpose()));
            features(Tensor::cat(tangents.collect(), 0))
        });
        let through_bias = stacked::channel_directions(theta_dot, "bias").map(|b_dot| {
            let [count, _, outputs, _] = b_dot.dims();
            let samples = saved.x.dims()[0];
            stacked::rejoin(b_dot.expand([count, samples, outputs, 1]), [1, 1])
        });
        stacked::add(through_input, stacked::add(through_weight, through_bias))
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let y_bar = rows(y_bar);
        let mut theta_bar = ParamVector::default();
        if wanted.parameters {
            theta_bar.insert("weight", ops::matmul(y_bar.clone().transpose(), saved.x.clone()));
            if self.bias.is_some() {
                let outputs = y_bar.dims()[1];
                theta_bar.insert("bias", y_bar.clone().sum_dim(0).reshape([outputs]));
            }
        }
        let x_bar = wanted.input.then(|| features(ops::matmul(y_bar, self.weight.val())));
        Cotangent { x_bar, theta_bar }
    }

    fn output(&self, input: [usize; 3]) -> Result<[usize; 3]> {
        let [outputs, inputs] = self.weight.val().dims();
        check_features(input)?;
        check_channels(input, inputs)?;
        Ok([outputs, 1, 1])
    }

    fn parameters(&self) -> ParamVector {
        leaf_parameters(self)
    }

    fn matrices(&self) -> Vec<(String, usize)> {
        vec![("weight".into(), 1)]
    }

    fn assign(&mut self, values: &ParamVector) {
        assign_leaf(self, values);
    }
}

/// `[n, features, 1, 1]` as `[n, features]`.
fn rows(x: Tensor<4>) -> Tensor<2> {
    let [samples, features, height, width] = x.dims();
    assert_eq!([height, width], [1, 1], "a linear layer takes features; put a flatten layer before it");
    x.reshape([samples, features])
}

/// `[n, features]` as `[n, features, 1, 1]`.
fn features(x: Tensor<2>) -> Tensor<4> {
    let [samples, features] = x.dims();
    x.reshape([samples, features, 1, 1])
}
