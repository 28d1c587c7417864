//! Which maps run: the claim of the paper's Table 1, counted.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::Tensor;
use serde::Serialize;

use crate::estimate::{self, EstimatorConfig, EstimatorState, StepInput, View};
use crate::layers::{AnySaved, Cotangent, Layer, Pass, Sequential, Wanted};
use crate::losses::Labels;
use crate::models::{AnyHead, AtOutputs, Evaluation, LossHead, Network};
use crate::rng::Stream;
use crate::vector::ParamVector;

/// How often each map ran in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct MapCounts {
    /// Forward maps of blocks.
    pub forward: usize,
    /// Tangent maps of blocks.
    pub tangent: usize,
    /// Cotangent maps of blocks that give the parameters' cotangent only.
    pub cotangent_inside: usize,
    /// Cotangent maps of blocks that give their input's cotangent: something travels backward across a border.
    pub cotangent_across: usize,
    /// Forward maps of auxiliary heads.
    pub heads: usize,
    /// Cotangent maps of the classifier.
    pub classifier_cotangent: usize,
}

#[derive(Debug, Default)]
struct Counters([AtomicUsize; 6]);

impl Counters {
    fn count(&self, which: usize) {
        self.0[which].fetch_add(1, Ordering::Relaxed);
    }

    fn counts(&self) -> MapCounts {
        let [forward, tangent, cotangent_inside, cotangent_across, heads, classifier_cotangent] =
            [0, 1, 2, 3, 4, 5].map(|which| self.0[which].load(Ordering::Relaxed));
        MapCounts { forward, tangent, cotangent_inside, cotangent_across, heads, classifier_cotangent }
    }
}

#[derive(Debug)]
struct CountedBlock<'a> {
    maps: Cow<'a, Sequential>,
    counters: &'a Counters,
}

impl Layer for CountedBlock<'_> {
    type Saved = Vec<AnySaved>;

    fn forward(&self, x: Tensor<4>, pass: Pass) -> (Tensor<4>, Self::Saved) {
        self.counters.count(0);
        self.maps.forward(x, pass)
    }

    fn tangent(&self, saved: &Self::Saved, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        if x_dot.is_some() || !theta_dot.is_empty() {
            self.counters.count(1);
        }
        self.maps.tangent(saved, x_dot, theta_dot)
    }

    fn cotangent(&self, saved: &Self::Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        self.counters.count(if wanted.input { 3 } else { 2 });
        self.maps.cotangent(saved, y_bar, wanted)
    }

    fn parameters(&self) -> ParamVector {
        Layer::parameters(&*self.maps)
    }

    fn matrices(&self) -> Vec<(String, usize)> {
        self.maps.matrices()
    }

    fn statistics(&self, saved: &Self::Saved) -> ParamVector {
        self.maps.statistics(saved)
    }

    fn assign(&mut self, _values: &ParamVector) {
        panic!("a counted block is only looked at");
    }

    fn reassigned(&self, values: &ParamVector) -> Option<Box<dyn Layer<Saved = Self::Saved> + '_>> {
        let mut maps = self.maps.clone();
        maps.to_mut().assign(values);
        Some(Box::new(CountedBlock { maps, counters: self.counters }))
    }
}

#[derive(Debug)]
struct CountedHead<'a> {
    maps: &'a dyn LossHead,
    counters: &'a Counters,
    is_classifier: bool,
}

impl CountedHead<'_> {
    /// Its maps, where there is one.
    fn of(head: &Option<Self>) -> Option<&dyn LossHead> {
        head.as_ref().map(|head| head as &dyn LossHead)
    }
}

impl LossHead for CountedHead<'_> {
    fn forward(&self, y: Tensor<4>, labels: &Labels, pass: Pass) -> (Evaluation, AnySaved) {
        if !self.is_classifier {
            self.counters.count(4);
        }
        self.maps.forward(y, labels, pass)
    }

    fn tangent(&self, saved: &AnySaved, y_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Vec<Vec<f64>> {
        self.maps.tangent(saved, y_dot, theta_dot)
    }

    fn cotangent(&self, saved: &AnySaved, wanted: Wanted) -> Cotangent {
        if self.is_classifier {
            self.counters.count(5);
        }
        self.maps.cotangent(saved, wanted)
    }

    fn at_outputs(&self, saved: &AnySaved, y_dot: Option<Tensor<4>>) -> Option<AtOutputs> {
        self.maps.at_outputs(saved, y_dot)
    }

    fn is_separable(&self) -> bool {
        self.maps.is_separable()
    }

    fn statistics(&self, saved: &AnySaved) -> ParamVector {
        self.maps.statistics(saved)
    }

    fn parameters(&self) -> ParamVector {
        self.maps.parameters()
    }

    fn redrawn(&self, stream: Stream) -> Option<AnyHead> {
        if !self.is_classifier {
            self.counters.count(4);
        }
        self.maps.redrawn(stream)
    }

    fn assign(&mut self, _values: &ParamVector) {
        panic!("a counted head is only looked at");
    }

    fn reassigned(&self, values: &ParamVector) -> Option<AnyHead> {
        self.maps.reassigned(values)
    }
}

/// One step of an estimator on a network, with its maps counted.
///
/// # Errors
/// As [`estimate::step`].
pub fn count_maps(config: &EstimatorConfig, network: &Network, input: &StepInput<'_>) -> crate::Result<MapCounts> {
    let counters = Counters::default();
    let blocks: Vec<_> =
        network.blocks.iter().map(|maps| CountedBlock { maps: Cow::Borrowed(maps), counters: &counters }).collect();
    let head = |maps, is_classifier| CountedHead { maps, counters: &counters, is_classifier };
    let heads: Vec<_> = network.heads.iter().map(|maps| Some(head(maps.as_deref()?, false))).collect();
    let targets: Vec<_> = network.target_heads.iter().map(|maps| Some(head(maps.as_deref()?, false))).collect();
    let classifier = Some(head(&*network.classifier, true));
    let view = View {
        blocks: blocks.iter().map(|block| block as &estimate::Block).collect(),
        losses: heads.iter().chain([&classifier]).map(CountedHead::of).collect(),
        prefixes: (0..network.depth()).map(|block| network.prefix(block)).collect(),
        targets: targets.iter().map(CountedHead::of).collect(),
    };
    estimate::step_on(config, &view, input, &EstimatorState::default())?;
    Ok(counters.counts())
}
