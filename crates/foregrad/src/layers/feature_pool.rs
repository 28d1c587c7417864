//! Average pooling to a number of features.

use std::ops::Range;

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Cotangent, Layer, LayerKind, Pass, Planned, Scope, Wanted, plan::at_least_one};
use crate::ops::{self, Bins};
use crate::rng::Placement;
use crate::vector::ParamVector;
use crate::{Result, settings};

/// The mean of each window, with windows whose height, then width, is doubled until at most so many features are left (or one a channel).
///
/// Windows stand side by side; where they do not divide a side, half a window of zeros stands at either end of it; zeros count in the means.
/// With `A` the averaging map (linear, so that its tangent is the map itself):
/// ```text
/// forward    y     = A x
/// tangent    y_dot = A x_dot
/// cotangent  x_bar = A^T y_bar
/// ```
/// Source: Nokland & Eidnes, *Training neural networks with local error signals* (2019), the published `train.py`
/// (`LocalLossBlockConv`), before a prediction; `torch.nn.AvgPool2d` for the zeros.
#[derive(Module, Debug)]
pub struct FeaturePool {
    features: usize,
}

impl FeaturePool {
    /// To at most so many features.
    pub fn new(features: usize) -> Self {
        Self { features }
    }

    /// Height and width of the windows.
    fn windows(&self, [channels, height, width]: [usize; 3]) -> [usize; 2] {
        let [mut rows, mut columns] = [1, 1];
        let is_too_much =
            |rows: usize, columns: usize| channels * height.div_ceil(rows) * width.div_ceil(columns) > self.features;
        while is_too_much(rows, columns) && (rows < height || columns < width) {
            if rows < height {
                rows *= 2;
            }
            if columns < width && is_too_much(rows, columns) {
                columns *= 2;
            }
        }
        [rows, columns]
    }

    /// What a batch of maps is averaged over.
    fn averaging(&self, x: &Tensor<4>) -> Saved {
        let [_, channels, height, width] = x.dims();
        let [tall, wide] = self.windows([channels, height, width]);
        let bins = Bins { size: [height, width], rows: along(height, tall), columns: along(width, wide) };
        let share =
            |rows: &Range<usize>, columns: &Range<usize>| (rows.len() * columns.len()) as f64 / (tall * wide) as f64;
        let shares: Vec<f64> =
            bins.rows.iter().flat_map(|rows| bins.columns.iter().map(move |columns| share(rows, columns))).collect();
        let is_partial = shares.iter().any(|share| *share < 1.0);
        let shape = [1, 1, bins.rows.len(), bins.columns.len()];
        let shares = is_partial.then(|| Placement::of(x).tensor(shares, shape));
        Saved { bins, shares }
    }
}

/// The part of each window that lies on a side.
fn along(side: usize, window: usize) -> Vec<Range<usize>> {
    let count = side.div_ceil(window);
    let before = if side.is_multiple_of(window) { 0 } else { window / 2 };
    let part = |number: usize| {
        let start = number * window;
        start.saturating_sub(before)..(start + window - before).min(side)
    };
    (0..count).map(part).collect()
}

settings! {
    /// Pooling to a number of features in a spec.
    pub struct FeaturePoolSpec {
        /// Features at most, or one a channel.
        features: usize = 2048 => file,
    }
}

impl LayerKind for FeaturePoolSpec {
    const NAME: &'static str = "feature-pool";

    fn plan(&self, input: [usize; 3], _scope: &Scope) -> Result<Planned> {
        Planned::of(FeaturePool::new(self.features), input)
    }
}

/// The windows.
#[derive(Debug)]
pub struct Saved {
    /// Their parts within the image.
    bins: Bins,
    /// How much of each lies there, `[1, 1, rows, columns]`; none where all do.
    shares: Option<Tensor<4>>,
}

impl Saved {
    fn shared(&self, y: Tensor<4>) -> Tensor<4> {
        match &self.shares {
            Some(shares) => y * shares.clone(),
            None => y,
        }
    }
}

impl Layer for FeaturePool {
    type Saved = Saved;

    fn forward(&self, x: Tensor<4>, _pass: Pass) -> (Tensor<4>, Saved) {
        let saved = self.averaging(&x);
        (saved.shared(ops::average_pool(x, &saved.bins)), saved)
    }

    fn tangent(&self, saved: &Saved, x_dot: Option<Tensor<4>>, _theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        x_dot.map(|x_dot| saved.shared(ops::average_pool(x_dot, &saved.bins)))
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let x_bar = wanted.input.then(|| ops::average_pool_cotangent(saved.shared(y_bar), &saved.bins));
        Cotangent { x_bar, theta_bar: ParamVector::default() }
    }

    fn output(&self, input: [usize; 3]) -> Result<[usize; 3]> {
        at_least_one("features", self.features)?;
        let [tall, wide] = self.windows(input);
        Ok([input[0], input[1].div_ceil(tall), input[2].div_ceil(wide)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Phase;
    use crate::ops::host;
    use burn::tensor::{DType, Device};

    #[test]
    fn windows_are_the_published_ones() {
        let windows = |channels, side| FeaturePool::new(2048).windows([channels, side, side]);
        // The maps of vgg8b: 128 and 256 channels of 32 pixels a side, 256 and 512 of 16, and so on.
        let found = [(128, 32), (256, 32), (512, 16), (512, 8), (512, 4), (512, 1)].map(|(c, side)| windows(c, side));
        assert_eq!(found, [[8, 8], [16, 8], [8, 8], [4, 4], [2, 2], [1, 1]]);
        assert_eq!(FeaturePool::new(8).windows([9, 4, 6]), [4, 8], "one a channel");
        assert_eq!(FeaturePool::new(8).windows([2, 1, 9]), [1, 4], "a flat image");
    }

    #[test]
    fn zeros_beyond_the_edge_count() {
        assert_eq!(along(7, 2), [0..1, 1..3, 3..5, 5..7]);
        assert_eq!(along(7, 8).first(), Some(&(0..4)), "what lies beyond counts nowhere");
        assert_eq!(along(28, 8), [0..4, 4..12, 12..20, 20..28]);
        let placement = Placement { device: Device::flex(), dtype: DType::F64 };
        let x = placement.tensor((1..=9).map(f64::from).collect(), [1, 1, 3, 3]);
        // torch.nn.AvgPool2d(2, padding=1) of 1 to 9.
        let (y, _) = FeaturePool::new(4).forward(x, Phase::Eval.into());
        assert_eq!(host(y), [0.25, 1.25, 2.75, 7.0]);
    }

    #[test]
    fn images_without_a_window_of_their_own_keep_their_pixels() {
        let layer = FeaturePool::new(12);
        assert_eq!(layer.output([3, 2, 2]).expect("an output"), [3, 2, 2]);
        assert_eq!(layer.output([3, 5, 7]).expect("an output"), [3, 2, 2]);
        assert!(FeaturePool::new(0).output([3, 2, 2]).is_err());
    }
}
