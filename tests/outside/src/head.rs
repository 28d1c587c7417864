//! A head without a net: the outputs are fixed random sums of the block's features, so that only the block learns.

use burn::tensor::Tensor;
use foregrad::layers::{AnySaved, Cotangent, Pass, Wanted};
use foregrad::losses::{AnyLoss, Labels};
use foregrad::models::{AnyHead, Evaluation, LossHead};
use foregrad::rng::{Placement, Stream};
use foregrad::vector::ParamVector;

/// `z = A y`, with a matrix `A` that is drawn once; its loss is any.
#[derive(Debug, Clone)]
pub struct RandomReadout {
    matrix: Tensor<2>,
    loss: AnyLoss,
    /// The mistake: the matrix is not transposed on the way back, but its columns are taken in another order.
    is_wrong: bool,
}

#[derive(Debug)]
struct Saved {
    shape: [usize; 4],
    loss: AnySaved,
}

impl RandomReadout {
    /// From so many features to so many outputs.
    pub fn new(
        [features, outputs]: [usize; 2],
        loss: impl Into<AnyLoss>,
        stream: Stream,
        placement: &Placement,
    ) -> Self {
        let matrix = stream.normal_tensor([features, outputs], placement) / (features as f64).sqrt();
        Self { matrix, loss: loss.into(), is_wrong: false }
    }

    pub fn wrong(self) -> Self {
        Self { is_wrong: true, ..self }
    }

    fn outputs(&self, y: Tensor<4>) -> Tensor<4> {
        let [samples, channels, height, width] = y.dims();
        let z = y.reshape([samples, channels * height * width]).matmul(self.matrix.clone());
        let [samples, outputs] = z.dims();
        z.reshape([samples, outputs, 1, 1])
    }
}

impl LossHead for RandomReadout {
    fn forward(&self, y: Tensor<4>, labels: &Labels, _pass: Pass) -> (Evaluation, AnySaved) {
        let shape = y.dims();
        let (loss, saved) = self.loss.forward(self.outputs(y), labels);
        (Evaluation { loss, metric: None }, AnySaved::of(Saved { shape, loss: saved }))
    }

    fn tangent(&self, saved: &AnySaved, y_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Vec<Vec<f64>> {
        let Saved { shape, loss } = saved.as_saved_by(self);
        match y_dot {
            Some(y_dot) => self.loss.tangent(loss, self.outputs(y_dot)),
            None => vec![vec![0.0; shape[0]]; theta_dot.len()],
        }
    }

    fn cotangent(&self, saved: &AnySaved, wanted: Wanted) -> Cotangent {
        let Saved { shape, loss } = saved.as_saved_by(self);
        let z_bar: Tensor<2> = self.loss.cotangent(loss).flatten::<2>(1, 3);
        let matrix = if self.is_wrong { self.matrix.clone().flip([1]) } else { self.matrix.clone() };
        let y_bar = z_bar.matmul(matrix.transpose()).reshape(*shape);
        Cotangent { x_bar: wanted.input.then_some(y_bar), theta_bar: ParamVector::default() }
    }

    fn validate(&self, labels: &Labels) -> foregrad::Result<()> {
        self.loss.validate(labels)
    }

    fn redrawn(&self, stream: Stream) -> Option<AnyHead> {
        let placement = Placement::of(&self.matrix);
        Some(Self::new(self.matrix.dims(), self.loss.clone(), stream, &placement).into())
    }
}
