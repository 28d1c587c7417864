//! Losses of any type side by side: what heads hold.

use std::fmt::{self, Debug};

use burn::tensor::Tensor;

use super::{Labels, Loss};
use crate::Result;
use crate::saved::AnySaved;

/// A loss of any type, of this crate or another: everything that implements [`Loss`] becomes one.
pub struct AnyLoss(Box<dyn Erased>);

/// A loss whose saved values have lost their type.
trait Erased: Debug + Send + Sync {
    fn forward(&self, z: Tensor<4>, labels: &Labels) -> (f64, AnySaved);
    fn tangent(&self, saved: &AnySaved, z_dot: Tensor<4>) -> Vec<Vec<f64>>;
    fn cotangent(&self, saved: &AnySaved) -> Tensor<4>;
    fn is_separable(&self) -> bool;
    fn validate(&self, labels: &Labels) -> Result<()>;
    fn boxed_clone(&self) -> Box<dyn Erased>;
}

impl<L: Loss + Clone + 'static> Erased for L {
    fn forward(&self, z: Tensor<4>, labels: &Labels) -> (f64, AnySaved) {
        let (loss, saved) = Loss::forward(self, z, labels);
        (loss, AnySaved::of(saved))
    }

    fn tangent(&self, saved: &AnySaved, z_dot: Tensor<4>) -> Vec<Vec<f64>> {
        Loss::tangent(self, saved.as_saved_by(self), z_dot)
    }

    fn cotangent(&self, saved: &AnySaved) -> Tensor<4> {
        Loss::cotangent(self, saved.as_saved_by(self))
    }

    fn is_separable(&self) -> bool {
        Loss::is_separable(self)
    }

    fn validate(&self, labels: &Labels) -> Result<()> {
        Loss::validate(self, labels)
    }

    fn boxed_clone(&self) -> Box<dyn Erased> {
        Box::new(self.clone())
    }
}

impl<L: Loss + Clone + 'static> From<L> for AnyLoss {
    fn from(loss: L) -> Self {
        Self(Box::new(loss))
    }
}

impl Clone for AnyLoss {
    fn clone(&self) -> Self {
        Self(self.0.boxed_clone())
    }
}

impl Debug for AnyLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The maps of [`Loss`], under the same names; it is no `Loss` itself, so that every `Loss` can become one.
impl AnyLoss {
    /// As [`Loss::forward`].
    pub fn forward(&self, z: Tensor<4>, labels: &Labels) -> (f64, AnySaved) {
        self.0.forward(z, labels)
    }

    /// As [`Loss::tangent`].
    ///
    /// # Panics
    /// If another type of loss saved the values; so does the cotangent.
    pub fn tangent(&self, saved: &AnySaved, z_dot: Tensor<4>) -> Vec<Vec<f64>> {
        self.0.tangent(saved, z_dot)
    }

    /// As [`Loss::cotangent`].
    pub fn cotangent(&self, saved: &AnySaved) -> Tensor<4> {
        self.0.cotangent(saved)
    }

    /// As [`Loss::is_separable`].
    pub fn is_separable(&self) -> bool {
        self.0.is_separable()
    }

    /// As [`Loss::validate`].
    ///
    /// # Errors
    /// As there.
    pub fn validate(&self, labels: &Labels) -> Result<()> {
        self.0.validate(labels)
    }
}
