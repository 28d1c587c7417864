//! A chain of named layers: a block, the body of a residual sum, a head's net.

use burn::tensor::Tensor;

use super::{Activation, AnyLayer, AnySaved, Cotangent, Dual, Layer, Pass, Wanted};
use crate::vector::ParamVector;
use crate::{Error, Result};

/// Layers one after another; the path of a parameter is the layer's name, a dot, and the parameter's name there.
///
/// `y = f_m(... f_2(f_1(x)))`; tangents go through in the same order, cotangents in reverse. A rectifier becomes part of the layer before
/// it, if that one supports it ([`Layer::fuse_rectifier`]): it keeps its name and place in the numbering, but is no layer of its own.
#[derive(Debug, Clone, Default)]
pub struct Sequential {
    names: Vec<String>,
    /// The names of rectifiers that went into the layer before them.
    taken_in: Vec<String>,
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
        let (name, layer) = (name.into(), layer.into());
        self.assert_free(&name);
        if layer.is_rectifier() && self.layers.last_mut().is_some_and(AnyLayer::fuse_rectifier) {
            self.taken_in.push(name);
        } else {
            self.names.push(name);
            self.layers.push(layer);
        }
        self
    }

    /// The chain with one more layer, named by its position, as `torch.nn.Sequential` numbers its layers.
    ///
    /// # Panics
    /// If a layer has been given that number as its name.
    pub fn then(self, layer: impl Into<AnyLayer>) -> Self {
        let position = self.names.len() + self.taken_in.len();
        self.with(position.to_string(), layer)
    }

    /// The chain followed by another.
    ///
    /// # Panics
    /// If both have a layer of one name.
    pub fn append(self, other: Sequential) -> Self {
        let layers = other.names.into_iter().zip(other.layers);
        let mut chain = layers.fold(self, |chain, (name, layer)| chain.with(name, layer));
        for name in other.taken_in {
            chain.assert_free(&name);
            chain.taken_in.push(name);
        }
        chain
    }

    fn assert_free(&self, name: &String) {
        assert!(!self.names.contains(name) && !self.taken_in.contains(name), "two layers are named `{name}`");
    }

    /// Whether it has no layer.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// The layers with their names, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &AnyLayer)> + ExactSizeIterator {
        self.names.iter().map(String::as_str).zip(&self.layers)
    }

    /// The layers, to be changed.
    pub(crate) fn layers_mut(&mut self) -> impl Iterator<Item = &mut AnyLayer> {
        self.layers.iter_mut()
    }

    /// The pass of the layer in a place.
    fn pass_of(&self, place: usize, name: &str, pass: Pass) -> Pass {
        let pass = pass.named(name);
        self.layers.get(place + 1).map_or(pass, |next| pass.before(next))
    }

    /// Cotangents through the layers, the last one first, by the `cotangent` of the layer in a place.
    fn back(
        &self,
        mut y_bar: Tensor<4>,
        wanted: Wanted,
        mut cotangent: impl FnMut(usize, Tensor<4>, Wanted) -> Cotangent,
    ) -> Cotangent {
        let mut theta_bar = ParamVector::default();
        // Below the first layer with parameters nobody wants a cotangent, unless the chain's input is wanted.
        let learns = |layer: &AnyLayer| !layer.parameters().is_empty();
        let first = if wanted.input { 0 } else { self.layers.iter().position(learns).unwrap_or(self.layers.len()) };
        for (place, name) in self.names.iter().enumerate().skip(first).rev() {
            let input = wanted.input || place > first;
            let part = cotangent(place, y_bar, Wanted { input, ..wanted });
            theta_bar.extend(part.theta_bar.prefixed(name));
            match part.x_bar {
                Some(x_bar) => y_bar = x_bar,
                None => return Cotangent { x_bar: None, theta_bar },
            }
        }
        Cotangent { x_bar: wanted.input.then_some(y_bar), theta_bar }
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

    fn forward(&self, x: Tensor<4>, pass: Pass) -> (Tensor<4>, Vec<AnySaved>) {
        let (y, saved) = self.forward_of(x.into(), pass);
        (y.into_tensor(), saved)
    }

    fn forward_of(&self, mut x: Activation, pass: Pass) -> (Activation, Vec<AnySaved>) {
        let mut saved: Vec<AnySaved> = Vec::with_capacity(self.layers.len());
        for (place, (name, layer)) in self.iter().enumerate() {
            let (y, kept) = layer.forward_of(x, self.pass_of(place, name, pass));
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

    fn dual(&self, x: Activation, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector], pass: Pass) -> Dual {
        let mut dual = Dual { y: x, y_dot: x_dot, statistics: ParamVector::default() };
        for (place, (name, layer)) in self.iter().enumerate() {
            let next = layer.dual(dual.y, dual.y_dot, &scoped(theta_dot, name), self.pass_of(place, name, pass));
            (dual.y, dual.y_dot) = (next.y, next.y_dot);
            dual.statistics.extend(next.statistics.prefixed(name));
        }
        dual
    }

    fn cotangent(&self, saved: &Vec<AnySaved>, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        self.back(y_bar, wanted, |place, y_bar, wanted| self.layers[place].cotangent(&saved[place], y_bar, wanted))
    }

    fn cotangent_once(&self, mut saved: Vec<AnySaved>, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        self.back(y_bar, wanted, |place, y_bar, wanted| {
            let own = saved.pop().expect("every layer has saved something");
            self.layers[place].cotangent_once(own, y_bar, wanted)
        })
    }

    fn output(&self, input: [usize; 3]) -> Result<[usize; 3]> {
        let next = |input, (name, layer): (&str, &AnyLayer)| {
            layer.output(input).map_err(|error| Error::within(format!("layer {name}"), error))
        };
        self.iter().try_fold(input, next)
    }

    fn parameters(&self) -> ParamVector {
        self.gather(AnyLayer::parameters)
    }

    fn matrices(&self) -> Vec<(String, usize)> {
        let of_layer = |(name, layer): (&str, &AnyLayer)| {
            let within = layer.matrices().into_iter();
            within.map(|(path, groups)| (format!("{name}.{path}"), groups)).collect::<Vec<_>>()
        };
        self.iter().flat_map(of_layer).collect()
    }

    fn averages(&self) -> ParamVector {
        self.gather(AnyLayer::averages)
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

    fn reassigned(&self, values: &ParamVector) -> Option<Box<dyn Layer<Saved = Self::Saved> + '_>> {
        let mut copy = self.clone();
        copy.assign(values);
        Some(Box::new(copy))
    }
}

/// The directions of one layer's parameters.
fn scoped(theta_dot: &[ParamVector], name: &str) -> Vec<ParamVector> {
    theta_dot.iter().map(|theta_dot| theta_dot.scoped(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{BatchNorm, Conv2dConfig, GroupNorm, Phase, Relu, Residual};
    use crate::ops::host;
    use crate::rng::{Placement, Stream};
    use burn::tensor::{DType, Device};

    /// A chain whose rectifiers are layers of their own: links of one layer each.
    #[derive(Debug)]
    struct Unfused(Vec<Sequential>);

    impl Unfused {
        fn forward(&self, mut x: Tensor<4>) -> (Tensor<4>, Vec<Vec<AnySaved>>) {
            let mut all = Vec::new();
            for link in &self.0 {
                let (y, saved) = link.forward(x, Phase::Train.into());
                all.push(saved);
                x = y;
            }
            (x, all)
        }
    }

    #[test]
    fn a_rectifier_that_was_taken_in_changes_no_bit() {
        for dtype in [DType::F32, DType::F64] {
            let placement = Placement { device: Device::flex(), dtype };
            let body = || Sequential::new().with("norm", BatchNorm::new(3, 0.3, &placement));
            let layers: [AnyLayer; 4] = [
                BatchNorm::new(3, 0.1, &placement).into(),
                Relu.into(),
                Residual::new(body(), Sequential::new()).into(),
                Relu.into(),
            ];
            let unfused = Unfused(layers.clone().map(|layer| Sequential::new().then(layer)).to_vec());
            let chain = layers.into_iter().fold(Sequential::new(), Sequential::then);
            assert_eq!((chain.iter().len(), chain.taken_in.as_slice()), (2, &["1".to_string(), "3".to_string()][..]));
            let x = |name: &str| Stream::new(0, name).normal_tensor([4, 3, 5, 7], &placement);
            let (y, saved) = chain.forward(x("x"), Phase::Train.into());
            let (expected, all) = unfused.forward(x("x"));
            assert_eq!(host(y.clone()), host(expected));
            assert!(host(y).contains(&0.0), "some pixel is held back");
            let y_dot = chain.tangent(&saved, Some(x("x_dot")), &[]).expect("a tangent");
            let links = unfused.0.iter().zip(&all);
            let expected =
                links.clone().try_fold(x("x_dot"), |x_dot, (link, saved)| link.tangent(saved, Some(x_dot), &[]));
            assert_eq!(host(y_dot), host(expected.expect("a tangent")));
            let x_bar = chain.cotangent(&saved, x("y_bar"), Wanted::BOTH).input();
            let expected =
                links.rev().fold(x("y_bar"), |y_bar, (link, saved)| link.cotangent(saved, y_bar, Wanted::BOTH).input());
            assert_eq!(host(x_bar), host(expected));
        }
    }

    /// A norm behind a convolution takes the moments that come with its input, of one sample a lane and of one channel: what it makes of the same
    /// input without them, to rounding, and the same bits in every map.
    #[test]
    fn moments_that_come_with_an_input_are_those_of_the_input() {
        let placement = Placement { device: Device::flex(), dtype: DType::F64 };
        for (samples, channels) in [(16, 3), (3, 40)] {
            let draw = |name: &str| Stream::new(0, name).normal_tensor::<4>([samples, channels, 9, 8], &placement);
            let conv = Conv2dConfig::new([channels, 36], 3).padding(1).init(Stream::new(0, "conv"), &placement);
            let norm = BatchNorm::new(36, 0.1, &placement);
            let chain = Sequential::new().then(conv.clone()).then(norm.clone()).then(Relu);
            let unfused = Unfused(vec![Sequential::new().then(conv), Sequential::new().then(norm).then(Relu)]);
            let (y, saved) = chain.forward(draw("x"), Phase::Train.into());
            let (expected, all) = unfused.forward(draw("x"));
            let largest = |gaps: Tensor<4>| host(gaps).into_iter().fold(0.0_f64, |most, gap| most.max(gap.abs()));
            assert!(largest(y.clone() - expected) < 1e-12);
            let along = |x_dot| chain.tangent(&saved, Some(x_dot), &[]).expect("a tangent");
            let links = unfused.0.iter().zip(&all);
            let expected = links
                .fold(draw("x_dot"), |x_dot, (link, saved)| link.tangent(saved, Some(x_dot), &[]).expect("a tangent"));
            assert!(largest(along(draw("x_dot")) - expected) < 1e-12);
            let stream = Stream::new(0, "theta_dot");
            let theta_dot =
                [chain.parameters().filled_like(|path, size| stream.named(path).normal(size.iter().product()))];
            let y_dot = chain.tangent(&saved, Some(draw("x_dot")), &theta_dot).expect("a tangent");
            let dual = chain.dual(draw("x").into(), Some(draw("x_dot")), &theta_dot, Phase::Train.into());
            assert_eq!([host(dual.y.into_tensor()), host(dual.y_dot.expect("a tangent"))], [host(y), host(y_dot)]);
        }
    }

    #[test]
    fn a_norm_wants_moments_unless_it_has_its_own() {
        let placement = Placement { device: Device::flex(), dtype: DType::F32 };
        let conv = Conv2dConfig::new([3, 4], 3).init(Stream::new(0, "conv"), &placement);
        let chain = Sequential::new().then(conv).then(BatchNorm::new(4, 0.1, &placement));
        for phase in [Phase::Train, Phase::Detached, Phase::Eval] {
            let pass = chain.pass_of(0, "0", phase.into());
            assert_eq!([pass.wants_moments, chain.pass_of(1, "1", pass).wants_moments], [phase != Phase::Eval, false]);
        }
    }

    /// A convolution behind a norm has the maps of one whose input was written, in a chain and in a residual sum.
    #[test]
    fn what_is_computed_on_reading_changes_no_bit() {
        let placement = Placement { device: Device::flex(), dtype: DType::F64 };
        let draw = |name: &str| Stream::new(0, name).normal_tensor::<4>([4, 3, 5, 7], &placement);
        let conv = |name: &str| Conv2dConfig::new([3, 3], 3).padding(1).init(Stream::new(0, name), &placement);
        for norm in [AnyLayer::from(BatchNorm::new(3, 0.1, &placement)), GroupNorm::new(3, 3, 0.1, &placement).into()] {
            let body = Sequential::new().with("conv", conv("b")).with("norm", norm.clone());
            let layers =
                [norm.clone(), Relu.into(), conv("a").into(), norm, Residual::new(body, Sequential::new()).into()];
            let chain = layers.clone().into_iter().fold(Sequential::new(), Sequential::then);
            let unfused = Unfused(layers.map(|layer| Sequential::new().then(layer)).to_vec());
            let (y, saved) = chain.forward(draw("x"), Phase::Train.into());
            let (expected, all) = unfused.forward(draw("x"));
            assert_eq!(host(y), host(expected));
            let expected = unfused
                .0
                .iter()
                .zip(&all)
                .rev()
                .fold(draw("y_bar"), |y_bar, (link, saved)| link.cotangent(saved, y_bar, Wanted::INPUT).input());
            let both = chain.cotangent(&saved, draw("y_bar"), Wanted::BOTH);
            assert_eq!(host(both.x_bar.clone().expect("it was wanted")), host(expected));
            let once = chain.cotangent_once(saved, draw("y_bar"), Wanted::BOTH);
            assert_eq!(host(once.x_bar.expect("it was wanted")), host(both.x_bar.expect("it was wanted")));
            let difference = once.theta_bar.clone().axpy(-1.0, &both.theta_bar).norm();
            assert!(difference == 0.0 && once.theta_bar.norm() > 0.0);
        }
    }
}
