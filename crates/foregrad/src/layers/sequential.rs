//! A chain of named layers: a block, the body of a residual sum, a head's net.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{AnyLayer, AnySaved, Cotangent, Dual, Layer, Phase, Wanted};
use crate::vector::ParamVector;

/// Layers one after another; the path of a parameter is the layer's name, a dot, and the parameter's name there.
///
/// `y = f_m(... f_2(f_1(x)))`; tangents go through in the same order, cotangents in reverse.
#[derive(Module, Debug, Default)]
pub struct Sequential {
    #[module(skip)]
    names: Vec<String>,
    layers: Vec<AnyLayer>,
}

impl Sequential {
    /// An empty chain: the identity.
    pub fn new() -> Self {
        Self::default()
    }

    /// The chain with one more layer at its end.
    ///
    /// # Panics
    /// If the name is taken already.
    pub fn with(mut self, name: impl Into<String>, layer: impl Into<AnyLayer>) -> Self {
        let name = name.into();
        assert!(!self.names.contains(&name), "two layers are named `{name}`");
        self.names.push(name);
        self.layers.push(layer.into());
        self
    }

    /// The chain with one more layer, named by its position, as `torch.nn.Sequential` numbers its layers.
    pub fn then(self, layer: impl Into<AnyLayer>) -> Self {
        let position = self.names.len().to_string();
        self.with(position, layer)
    }

    /// The chain followed by another.
    pub fn append(self, other: Sequential) -> Self {
        other.names.into_iter().zip(other.layers).fold(self, |chain, (name, layer)| chain.with(name, layer))
    }

    /// Whether it has no layer.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// The layers with their names, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &AnyLayer)> + ExactSizeIterator {
        self.names.iter().map(String::as_str).zip(&self.layers)
    }

    /// The layers, to change them in place.
    pub fn layers_mut(&mut self) -> impl Iterator<Item = &mut AnyLayer> {
        self.layers.iter_mut()
    }

    fn gather(&self, part: impl Fn(&AnyLayer) -> ParamVector) -> ParamVector {
        let mut all = ParamVector::default();
        for (name, layer) in self.iter() {
            all.extend(part(layer).prefixed(name));
        }
        all
    }
}

impl Layer for Sequential {
    type Saved = Vec<AnySaved>;

    fn forward(&self, mut x: Tensor<4>, phase: Phase) -> (Tensor<4>, Vec<AnySaved>) {
        let mut saved = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let (y, kept) = layer.forward(x, phase);
            saved.push(kept);
            x = y;
        }
        (x, saved)
    }

    fn tangent(
        &self,
        saved: &Vec<AnySaved>,
        mut x_dot: Option<Tensor<4>>,
        theta_dot: &[ParamVector],
    ) -> Option<Tensor<4>> {
        for ((name, layer), saved) in self.iter().zip(saved) {
            x_dot = layer.tangent(saved, x_dot, &scoped(theta_dot, name));
        }
        x_dot
    }

    fn dual(&self, x: Tensor<4>, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector], phase: Phase) -> Dual {
        let mut dual = Dual { y: x, y_dot: x_dot, statistics: ParamVector::default() };
        for (name, layer) in self.iter() {
            let next = layer.dual(dual.y, dual.y_dot, &scoped(theta_dot, name), phase);
            (dual.y, dual.y_dot) = (next.y, next.y_dot);
            dual.statistics.extend(next.statistics.prefixed(name));
        }
        dual
    }

    fn cotangent(&self, saved: &Vec<AnySaved>, mut y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let mut theta_bar = ParamVector::default();
        // Below the first layer with parameters nobody wants a cotangent, unless the chain's input is wanted.
        let learns = |layer: &AnyLayer| !layer.parameters().is_empty();
        let first = if wanted.input { 0 } else { self.layers.iter().position(learns).unwrap_or(self.layers.len()) };
        for (position, ((name, layer), saved)) in self.iter().zip(saved).enumerate().skip(first).rev() {
            let input = wanted.input || position > first;
            let part = layer.cotangent(saved, y_bar, Wanted { input, ..wanted });
            theta_bar.extend(part.theta_bar.prefixed(name));
            match part.x_bar {
                Some(x_bar) => y_bar = x_bar,
                None => return Cotangent { x_bar: None, theta_bar },
            }
        }
        Cotangent { x_bar: wanted.input.then_some(y_bar), theta_bar }
    }

    fn parameters(&self) -> ParamVector {
        self.gather(Layer::parameters)
    }

    fn averages(&self) -> ParamVector {
        self.gather(Layer::averages)
    }

    fn statistics(&self, saved: &Vec<AnySaved>) -> ParamVector {
        let mut all = ParamVector::default();
        for ((name, layer), saved) in self.iter().zip(saved) {
            all.extend(layer.statistics(saved).prefixed(name));
        }
        all
    }

    fn assign(&mut self, values: &ParamVector) {
        for (name, layer) in self.names.iter().zip(&mut self.layers) {
            layer.assign(&values.scoped(name));
        }
    }
}

/// The directions of one layer's parameters.
fn scoped(theta_dot: &[ParamVector], name: &str) -> Vec<ParamVector> {
    theta_dot.iter().map(|theta_dot| theta_dot.scoped(name)).collect()
}
