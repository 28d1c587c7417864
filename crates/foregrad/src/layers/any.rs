//! Layers of any type side by side: what a chain holds, and what its forward map keeps of each.

use std::any::Any;
use std::fmt::{self, Debug};

use burn::tensor::Tensor;

use super::{Activation, Cotangent, Dual, Layer, Pass, Wanted};
use crate::Result;
use crate::saved::AnySaved;
use crate::vector::ParamVector;

/// A layer of any type, of this crate or another: everything that implements [`Layer`] becomes one.
pub struct AnyLayer(Box<dyn Erased>);

/// A layer whose saved values have lost their type.
trait Erased: Debug + Send + Sync {
    fn forward(&self, x: Tensor<4>, pass: Pass) -> (Tensor<4>, AnySaved);
    fn forward_of(&self, x: Activation, pass: Pass) -> (Activation, AnySaved);
    fn tangent(&self, saved: &AnySaved, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Option<Tensor<4>>;
    fn dual(&self, x: Activation, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector], pass: Pass) -> Dual;
    fn cotangent(&self, saved: &AnySaved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent;
    fn cotangent_once(&self, saved: AnySaved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent;
    fn parameters(&self) -> ParamVector;
    fn matrices(&self) -> Vec<(String, usize)>;
    fn averages(&self) -> ParamVector;
    fn statistics(&self, saved: &AnySaved) -> ParamVector;
    fn output(&self, input: [usize; 3]) -> Result<[usize; 3]>;
    fn is_rectifier(&self) -> bool;
    fn fuse_rectifier(&mut self) -> bool;
    fn takes_moments(&self) -> bool;
    fn assign(&mut self, values: &ParamVector);
    fn boxed_clone(&self) -> Box<dyn Erased>;
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl<L: Layer + Clone + 'static> Erased for L {
    fn forward(&self, x: Tensor<4>, pass: Pass) -> (Tensor<4>, AnySaved) {
        let (y, saved) = Layer::forward(self, x, pass);
        (y, AnySaved::of(saved))
    }

    fn forward_of(&self, x: Activation, pass: Pass) -> (Activation, AnySaved) {
        let (y, saved) = Layer::forward_of(self, x, pass);
        (y, AnySaved::of(saved))
    }

    fn tangent(&self, saved: &AnySaved, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        Layer::tangent(self, saved.as_saved_by(self), x_dot, theta_dot)
    }

    fn dual(&self, x: Activation, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector], pass: Pass) -> Dual {
        Layer::dual(self, x, x_dot, theta_dot, pass)
    }

    fn cotangent(&self, saved: &AnySaved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        Layer::cotangent(self, saved.as_saved_by(self), y_bar, wanted)
    }

    fn cotangent_once(&self, saved: AnySaved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        Layer::cotangent_once(self, saved.into_saved_by(self), y_bar, wanted)
    }

    fn parameters(&self) -> ParamVector {
        Layer::parameters(self)
    }

    fn matrices(&self) -> Vec<(String, usize)> {
        Layer::matrices(self)
    }

    fn averages(&self) -> ParamVector {
        Layer::averages(self)
    }

    fn statistics(&self, saved: &AnySaved) -> ParamVector {
        Layer::statistics(self, saved.as_saved_by(self))
    }

    fn output(&self, input: [usize; 3]) -> Result<[usize; 3]> {
        Layer::output(self, input)
    }

    fn is_rectifier(&self) -> bool {
        Layer::is_rectifier(self)
    }

    fn fuse_rectifier(&mut self) -> bool {
        Layer::fuse_rectifier(self)
    }

    fn takes_moments(&self) -> bool {
        Layer::takes_moments(self)
    }

    fn assign(&mut self, values: &ParamVector) {
        Layer::assign(self, values);
    }

    fn boxed_clone(&self) -> Box<dyn Erased> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl<L: Layer + Clone + 'static> From<L> for AnyLayer {
    fn from(layer: L) -> Self {
        Self(Box::new(layer))
    }
}

impl Clone for AnyLayer {
    fn clone(&self) -> Self {
        Self(self.0.boxed_clone())
    }
}

impl Debug for AnyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The maps of [`Layer`], under the same names; it is no `Layer` itself, so that every `Layer` can become one.
impl AnyLayer {
    /// The layer as what it is, if it is an `L`.
    pub fn downcast_ref<L: Layer + 'static>(&self) -> Option<&L> {
        self.0.as_any().downcast_ref()
    }

    /// The layer as what it is, to be changed, if it is an `L`.
    pub fn downcast_mut<L: Layer + 'static>(&mut self) -> Option<&mut L> {
        self.0.as_any_mut().downcast_mut()
    }

    /// As [`Layer::forward`].
    pub fn forward(&self, x: Tensor<4>, pass: Pass) -> (Tensor<4>, AnySaved) {
        self.0.forward(x, pass)
    }

    /// As [`Layer::forward_of`].
    pub fn forward_of(&self, x: Activation, pass: Pass) -> (Activation, AnySaved) {
        self.0.forward_of(x, pass)
    }

    /// As [`Layer::tangent`].
    ///
    /// # Panics
    /// If another type of layer saved the values; so do the other maps that take them.
    pub fn tangent(&self, saved: &AnySaved, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        self.0.tangent(saved, x_dot, theta_dot)
    }

    /// As [`Layer::dual`].
    pub fn dual(&self, x: Activation, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector], pass: Pass) -> Dual {
        self.0.dual(x, x_dot, theta_dot, pass)
    }

    /// As [`Layer::cotangent`].
    pub fn cotangent(&self, saved: &AnySaved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        self.0.cotangent(saved, y_bar, wanted)
    }

    /// As [`Layer::cotangent_once`].
    pub fn cotangent_once(&self, saved: AnySaved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        self.0.cotangent_once(saved, y_bar, wanted)
    }

    /// As [`Layer::parameters`].
    pub fn parameters(&self) -> ParamVector {
        self.0.parameters()
    }

    /// As [`Layer::matrices`].
    pub fn matrices(&self) -> Vec<(String, usize)> {
        self.0.matrices()
    }

    /// As [`Layer::averages`].
    pub fn averages(&self) -> ParamVector {
        self.0.averages()
    }

    /// As [`Layer::statistics`].
    pub fn statistics(&self, saved: &AnySaved) -> ParamVector {
        self.0.statistics(saved)
    }

    /// As [`Layer::output`].
    ///
    /// # Errors
    /// An input that the layer does not take.
    pub fn output(&self, input: [usize; 3]) -> Result<[usize; 3]> {
        self.0.output(input)
    }

    /// As [`Layer::is_rectifier`].
    pub fn is_rectifier(&self) -> bool {
        self.0.is_rectifier()
    }

    /// As [`Layer::fuse_rectifier`].
    pub fn fuse_rectifier(&mut self) -> bool {
        self.0.fuse_rectifier()
    }

    /// As [`Layer::takes_moments`].
    pub fn takes_moments(&self) -> bool {
        self.0.takes_moments()
    }

    /// As [`Layer::assign`].
    pub fn assign(&mut self, values: &ParamVector) {
        self.0.assign(values);
    }
}
