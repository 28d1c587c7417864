//! Standard deviation of each channel's map.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Cotangent, Layer, Pass, Planned, Wanted, kind::kind_without_settings, stacked};
use crate::Result;
use crate::vector::ParamVector;

/// The unbiased standard deviation of each map, `[n, c, h, w]` to `[n, c, 1, 1]`; a 1x1 map gives its value.
///
/// With `c = x - mean(x)`, `p` pixels, and `u = c / ((p - 1) y)` (0 where `y` is 0):
/// ```text
/// forward    y     = sqrt(sum c^2 / (p - 1))
/// tangent    y_dot = sum u x_dot
/// cotangent  x_bar = u y_bar
/// ```
/// Source: Nokland & Eidnes, *Training neural networks with local error signals* (2019), the features of `predsim`.
#[derive(Module, Debug, Default)]
pub struct SpatialDeviation;

kind_without_settings!("spatial-deviation", SpatialDeviationSpec, SpatialDeviation);

/// `u`, the derivative of the deviation; none for 1x1 maps.
#[derive(Debug)]
pub struct Saved {
    slope: Option<Tensor<4>>,
}

impl Layer for SpatialDeviation {
    type Saved = Saved;

    fn forward(&self, x: Tensor<4>, _pass: Pass) -> (Tensor<4>, Saved) {
        let [_, _, height, width] = x.dims();
        if height * width == 1 {
            return (x, Saved { slope: None });
        }
        let spread = (height * width - 1) as f64;
        let mean = pixel_sum(x.clone()) * (1.0 / (height * width) as f64);
        let centred = x - mean;
        let y = (pixel_sum(centred.clone().square()) * (1.0 / spread)).sqrt();
        let flat = y.clone().equal_elem(0.0);
        let inverse = (y.clone().mask_fill(flat.clone(), 1.0) * spread).recip().mask_fill(flat, 0.0);
        (y, Saved { slope: Some(centred * inverse) })
    }

    fn tangent(&self, saved: &Saved, x_dot: Option<Tensor<4>>, _theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        match &saved.slope {
            Some(slope) => Some(pixel_sum(stacked::scale(x_dot?, slope.clone()))),
            None => x_dot,
        }
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let x_bar = wanted.input.then(|| match &saved.slope {
            Some(slope) => slope.clone() * y_bar,
            None => y_bar,
        });
        Cotangent { x_bar, theta_bar: ParamVector::default() }
    }

    fn output(&self, input: [usize; 3]) -> Result<[usize; 3]> {
        Ok([input[0], 1, 1])
    }
}

fn pixel_sum(x: Tensor<4>) -> Tensor<4> {
    x.sum_dim(3).sum_dim(2)
}
