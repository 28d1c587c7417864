//! Swish with a slope that is learnt: `y = x s(b x)`, `s(z) = 1 / (1 + exp(-z))`.

use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use foregrad::layers::{Cotangent, Layer, LayerKind, Pass, Planned, Scope, Wanted, stacked};
use foregrad::rng::Placement;
use foregrad::vector::ParamVector;

/// The layer, with one slope for all.
#[derive(Debug, Clone)]
pub struct Swish {
    slope: Tensor<1>,
    /// The mistake: a cotangent of the input without the slope's part.
    is_wrong: bool,
}

/// What the derivatives need.
#[derive(Debug)]
pub struct Saved {
    /// `dy / dx = s + b x s (1 - s)`.
    by_input: Tensor<4>,
    /// `dy / db = x^2 s (1 - s)`.
    by_slope: Tensor<4>,
    /// `s`.
    gate: Tensor<4>,
}

impl Swish {
    pub fn new(slope: f64, placement: &Placement) -> Self {
        Self { slope: placement.tensor(vec![slope], [1]), is_wrong: false }
    }

    pub fn wrong(placement: &Placement) -> Self {
        Self { is_wrong: true, ..Self::new(0.7, placement) }
    }

    fn slope(&self) -> Tensor<4> {
        self.slope.clone().reshape([1, 1, 1, 1])
    }
}

impl Layer for Swish {
    type Saved = Saved;

    fn forward(&self, x: Tensor<4>, _pass: Pass) -> (Tensor<4>, Saved) {
        let gate = sigmoid(x.clone() * self.slope());
        let change = x.clone() * gate.clone() * (gate.ones_like() - gate.clone());
        let by_input = gate.clone() + change.clone() * self.slope();
        let saved = Saved { by_input, by_slope: change * x.clone(), gate: gate.clone() };
        (x * gate, saved)
    }

    fn tangent(&self, saved: &Saved, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        let along_input = x_dot.map(|x_dot| stacked::scale(x_dot, saved.by_input.clone()));
        let along_slope = stacked::directions::<1>(theta_dot, "slope").map(|slopes| {
            let one = |slope: Tensor<1>| saved.by_slope.clone() * slope.reshape([1, 1, 1, 1]);
            stacked::join(slopes.into_iter().map(one).collect())
        });
        stacked::add(along_input, along_slope)
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let mut cotangent = Cotangent::default();
        if wanted.parameters {
            cotangent.theta_bar.insert::<1>("slope", (saved.by_slope.clone() * y_bar.clone()).sum());
        }
        let by_input = if self.is_wrong { &saved.gate } else { &saved.by_input };
        cotangent.x_bar = wanted.input.then(|| y_bar * by_input.clone());
        cotangent
    }

    fn parameters(&self) -> ParamVector {
        let mut parameters = ParamVector::default();
        parameters.insert::<1>("slope", self.slope.clone());
        parameters
    }

    fn assign(&mut self, values: &ParamVector) {
        if let Some(slope) = values.get::<1>("slope") {
            self.slope = slope;
        }
    }
}

foregrad::settings! {
    /// `swish` in a file of a network.
    pub struct SwishSpec {
        /// The slope to begin with.
        slope: f64 = 1.0 => file,
    }
}

impl LayerKind for SwishSpec {
    const NAME: &'static str = "swish";

    fn plan(&self, input: [usize; 3], _scope: &Scope) -> foregrad::Result<Planned> {
        let slope = self.slope;
        Ok(Planned::new(input, move |making| Swish::new(slope, making.placement).into()).weights(1))
    }
}
