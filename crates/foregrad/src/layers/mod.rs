//! Layers: each in a file of its own, with its three maps side by side.
//!
//! ```text
//! forward   (theta, x)                -> y, saved
//! tangent   (saved, x_dot, theta_dot) -> y_dot            J_x x_dot + J_theta theta_dot
//! cotangent (saved, y_bar)            -> x_bar, theta_bar  J_x^T y_bar, J_theta^T y_bar
//! ```
//! Activations are rank 4, `[n, c, h, w]`; features are `[n, c, 1, 1]`. To add a layer: one file, one line in the `layers!` list below.

use std::fmt::Debug;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Tensor};

use crate::Result;
use crate::rng::{Placement, Stream};
use crate::vector::ParamVector;

mod any;
mod groups;
mod kind;
mod norm;
mod normalised;
mod plan;
mod sequential;
mod spec;
pub mod stacked;

pub use crate::ops::Activation;
pub use crate::saved::AnySaved;
pub use any::AnyLayer;
pub use conv2d::Conv2dConfig;
pub use groups::Groups;
pub use kind::{Kind, Kinds, LayerKind, Outputs};
pub use norm::{Norm, NormSpec};
pub use plan::size_text;
pub(crate) use plan::{MOST_VALUES, MOST_WEIGHTS, Surroundings, check_name, product, widened};
pub use plan::{Making, Planned, PlannedChain, Scope};
pub use sequential::Sequential;
pub use spec::LayerSpec;

/// Whether mean and variance of a norm are those of the batch or the moving averages, and whether tangents go through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Those of the mini-batch; tangents go through them, so that samples depend on each other.
    Train,
    /// Those of the mini-batch, constants for every tangent: samples do not depend on each other, and a tangent is no longer the
    /// layer's derivative. Values and cotangents are those of `Train`.
    Detached,
    /// Moving averages.
    Eval,
}

/// What a forward map is told besides its input: the phase, and where its draws come from.
///
/// Layers that draw (dropout) take one stream a sample, by the sample's position in the whole batch, so that the draws are the same in
/// every map, when a block is computed again, and however a batch is cut into parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// How statistics are taken, and whether anything is drawn at all.
    pub phase: Phase,
    /// The stream of the step and of the layer: a chain names its layers in it.
    pub stream: Stream,
    /// The position of the first sample in the whole batch.
    pub first: usize,
    /// Whether whoever reads the output takes its channels' moments ([`Layer::takes_moments`]): what writes it may take them on the way.
    pub wants_moments: bool,
}

impl Pass {
    /// A pass of a phase with draws of its own for every `stream`, over a whole batch.
    pub fn new(phase: Phase, stream: Stream) -> Self {
        Self { phase, stream, first: 0, wants_moments: false }
    }

    /// The pass of a part: a layer of a chain, a branch of a head, a block of a network.
    pub fn named(self, name: &str) -> Self {
        Self { stream: self.stream.named(name), wants_moments: false, ..self }
    }

    /// The pass of a layer whose output another one reads.
    pub fn before(self, next: &AnyLayer) -> Self {
        Self { wants_moments: self.phase != Phase::Eval && next.takes_moments(), ..self }
    }

    /// The stream of a sample's draws, by the sample's place in this part of the batch.
    pub fn stream_of(&self, sample: usize) -> Stream {
        self.stream.at((self.first + sample) as u64)
    }
}

/// A pass in which nothing is drawn that another pass would draw otherwise: always the same stream.
impl From<Phase> for Pass {
    fn from(phase: Phase) -> Self {
        Self::new(phase, Stream::new(0, "pass"))
    }
}

/// Which cotangents a caller wants; what is not wanted is not computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// `x_bar`.
    pub input: bool,
    /// `theta_bar`.
    pub parameters: bool,
}

impl Wanted {
    /// Both cotangents.
    pub const BOTH: Self = Self { input: true, parameters: true };
    /// The input's cotangent only.
    pub const INPUT: Self = Self { input: true, parameters: false };
    /// The parameters' cotangent only.
    pub const PARAMETERS: Self = Self { input: false, parameters: true };
}

/// What a cotangent map gives back.
#[derive(Debug, Clone, Default)]
pub struct Cotangent {
    /// `x_bar`, shaped as `x`, if it was wanted.
    pub x_bar: Option<Tensor<4>>,
    /// `theta_bar`, empty if it was not wanted.
    pub theta_bar: ParamVector,
}

impl Cotangent {
    /// The input's cotangent.
    ///
    /// # Panics
    /// If it was not asked for.
    pub fn input(self) -> Tensor<4> {
        self.x_bar.expect("the input's cotangent was not asked for")
    }
}

/// What [`Layer::dual`] gives.
#[derive(Debug, Clone)]
pub struct Dual {
    /// The output, written or as it is to be computed by whoever reads it.
    pub y: Activation,
    /// Its stacked tangents; `None` is zero.
    pub y_dot: Option<Tensor<4>>,
    /// As [`Layer::statistics`].
    pub statistics: ParamVector,
}

/// A layer: its three maps, and its parameters by path.
///
/// # Panics
/// The maps panic on tensors of shapes that the layer does not take, and on what another layer saved.
pub trait Layer: Debug + Send + Sync {
    /// What `forward` keeps for the other two maps, and nothing more.
    type Saved: Debug + Send + 'static;

    /// `y` and what the other maps need.
    fn forward(&self, x: Tensor<4>, pass: Pass) -> (Tensor<4>, Self::Saved);

    /// [`forward`](Layer::forward) of an input, and to an output, that may be computed by whoever reads it: a chain calls this, so that what
    /// costs a pass over memory at most (a norm's output) is neither written nor kept. By default the input is written.
    fn forward_of(&self, x: Activation, pass: Pass) -> (Activation, Self::Saved) {
        let (y, saved) = self.forward(x.into_tensor(), pass);
        (y.into(), saved)
    }

    /// `y_dot = J_x x_dot + J_theta theta_dot`, for `k` directions stacked along the batch axis (direction by direction).
    ///
    /// `theta_dot` is empty (no direction moves the parameters) or holds one vector a direction; a path that a vector lacks
    /// counts as zero. `None` stands for a tangent that is zero throughout.
    fn tangent(&self, saved: &Self::Saved, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Option<Tensor<4>>;

    /// `y` and `y_dot` together, keeping nothing: a chain takes both through layer by layer, so that no layer's saved values have to
    /// wait in memory for the tangents.
    fn dual(&self, x: Activation, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector], pass: Pass) -> Dual {
        let (y, saved) = self.forward_of(x, pass);
        Dual { y, y_dot: self.tangent(&saved, x_dot, theta_dot), statistics: self.statistics(&saved) }
    }

    /// `x_bar = J_x^T y_bar` and `theta_bar = J_theta^T y_bar`, as far as wanted.
    fn cotangent(&self, saved: &Self::Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent;

    /// [`cotangent`](Layer::cotangent), where nobody will read what was saved any more: each part of it can go as soon as it has served.
    fn cotangent_once(&self, saved: Self::Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        self.cotangent(&saved, y_bar, wanted)
    }

    /// The trainable parameters, by path.
    fn parameters(&self) -> ParamVector {
        ParamVector::default()
    }

    /// The paths of parameters that are the matrix of a linear map, `[outputs, ...]`, each with the number of its groups: the outputs of a
    /// group see inputs of their own.
    fn matrices(&self) -> Vec<(String, usize)> {
        Vec::new()
    }

    /// The moving averages, by path (`running_mean`, `running_var`).
    fn averages(&self) -> ParamVector {
        ParamVector::default()
    }

    /// The statistics of the batch that `forward` saw, by the paths of [`averages`](Layer::averages).
    fn statistics(&self, _saved: &Self::Saved) -> ParamVector {
        ParamVector::default()
    }

    /// Channels, height and width of the output for an input of `[channels, height, width]`.
    ///
    /// By default a blank image is sent through: of `f32` on the CPU, where the layer has no parameters. A layer that does not take every
    /// input, or holds tensors that are no parameters, says here what it takes and gives.
    ///
    /// # Errors
    /// An input that the layer does not take.
    fn output(&self, input: [usize; 3]) -> Result<[usize; 3]> {
        let of_parameters = self.parameters().placement();
        let placement = of_parameters.unwrap_or(Placement { device: Device::flex(), dtype: DType::F32 });
        let [channels, height, width] = input;
        let (y, _) = self.forward(placement.zeros([1, channels, height, width]), Phase::Eval.into());
        let [_, channels, height, width] = y.dims();
        Ok([channels, height, width])
    }

    /// Whether it is `max(x, 0)`, which the layer before it may take in.
    fn is_rectifier(&self) -> bool {
        false
    }

    /// Makes the rectifier that follows part of the layer's own maps, which saves its passes over memory. Returns `false`, and changes
    /// nothing, where a layer has no such maps.
    fn fuse_rectifier(&mut self) -> bool {
        false
    }

    /// Whether it takes mean and variance of each channel of its input over the batch, other than in evaluation
    /// ([`Activation::into_tensor_with_moments`]).
    fn takes_moments(&self) -> bool {
        false
    }

    /// Replaces the parameters and averages whose paths `values` holds.
    ///
    /// # Panics
    /// On a value of another rank.
    fn assign(&mut self, _values: &ParamVector) {}

    /// A copy in which the parameters and averages whose paths `values` holds are replaced; it reads what this layer has saved. Asked of
    /// blocks only: `None` stands for one that cannot be copied.
    fn reassigned(&self, _values: &ParamVector) -> Option<Box<dyn Layer<Saved = Self::Saved> + '_>> {
        None
    }
}

/// The parameters of a leaf module (all its `Param` fields), by field name.
pub(crate) fn leaf_parameters<M: Module>(module: &M) -> ParamVector {
    struct Visitor(Vec<String>, ParamVector);
    impl ModuleVisitor for Visitor {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.0.push(name.to_string());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.0.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.1.insert(self.0.join("."), param.val());
        }
    }
    let mut visitor = Visitor(Vec::new(), ParamVector::default());
    module.visit(&mut visitor);
    visitor.1
}

/// Replaces the `Param` fields of a leaf module by the tensors of the same name.
pub(crate) fn assign_leaf<M: Module>(module: &mut M, values: &ParamVector) {
    struct Mapper<'a>(Vec<String>, &'a ParamVector);
    impl ModuleMapper for Mapper<'_> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.0.push(name.to_string());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.0.pop();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            match self.1.get::<D>(&self.0.join(".")) {
                Some(value) => param.map(|_| value),
                None => param,
            }
        }
    }
    *module = module.clone().map(&mut Mapper(Vec::new(), values));
}

/// Declares the layers that come with the library: module file, type, and type of its settings in specs, one a line.
macro_rules! layers {
    ($($file:ident :: $name:ident, $spec:ident, $about:literal;)*) => {
        $(mod $file; pub use $file::{$name, $spec};)*

        /// The names of the layers that come with the library, and what each does.
        pub const LAYERS: &[(&str, &str)] = &[$((stringify!($file), $about)),*];

        /// The kinds of layers that specs can name: these, and the network's own normalisation.
        pub const LAYER_KINDS: &[Kind] =
            &[$(Kind::of::<$spec>($about),)* Kind::of::<NormSpec>("the normalisation that the settings name")];
    };
}

layers! {
    conv2d::Conv2d, Conv2dSpec, "two-dimensional convolution: stride, padding, groups, optional bias";
    batch_norm::BatchNorm, BatchNormSpec, "batch normalisation: one mean and variance a channel";
    group_norm::GroupNorm, GroupNormSpec, "group normalisation: one mean and variance a sample and channel group";
    layer_norm::LayerNorm, LayerNormSpec, "layer normalisation: one mean and variance a sample, pixel and channel group";
    linear::Linear, LinearSpec, "affine map of features, optional bias";
    position_linear::PositionLinear, PositionLinearSpec, "affine map over the pixels of each channel (token mixing)";
    relu::Relu, ReluSpec, "rectifier";
    leaky_relu::LeakyRelu, LeakyReluSpec, "rectifier with a slope left of 0";
    dropout::Dropout, DropoutSpec, "values or whole channels set to 0 at random";
    gelu::Gelu, GeluSpec, "Gaussian error linear unit";
    max_pool::MaxPool, MaxPoolSpec, "largest value of each window";
    avg_pool::AvgPool, AvgPoolSpec, "mean of each window";
    adaptive_avg_pool::AdaptiveAvgPool, AdaptiveAvgPoolSpec, "mean of each of a fixed number of bins";
    feature_pool::FeaturePool, FeaturePoolSpec, "mean of windows as large as leaves at most a number of features";
    spatial_deviation::SpatialDeviation, SpatialDeviationSpec, "standard deviation of each channel's map";
    flatten::Flatten, FlattenSpec, "maps to features";
    residual::Residual, ResidualSpec, "sum of a body and a shortcut";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_the_name_of_its_file() {
        for ((file, _), kind) in LAYERS.iter().zip(LAYER_KINDS) {
            assert_eq!(file.replace('_', "-"), kind.name);
        }
    }
}
