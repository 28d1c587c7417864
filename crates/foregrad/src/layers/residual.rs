//! Residual sum.

use burn::tensor::Tensor;

use super::{
    Activation, AnySaved, Cotangent, Dual, Layer, Making, Pass, Planned, Sequential, Wanted,
    kind::kind_without_settings, size_text, stacked,
};
use crate::ops;
use crate::vector::ParamVector;
use crate::{Error, Result};

/// The sum of a body and a shortcut; an empty shortcut is the identity. Parameters keep the names of both chains.
///
/// ```text
/// forward    y     = body(x) + shortcut(x)
/// tangent    y_dot = body_dot + shortcut_dot
/// cotangent  x_bar = body_bar + shortcut_bar
/// ```
/// A rectifier that follows is part of the layer: `y = max(body(x) + shortcut(x), 0)`, and `y_dot` and the `y_bar` that comes in
/// are 0 where `y` is not positive.
///
/// Source: He et al., *Deep residual learning for image recognition* (2015).
#[derive(Debug, Clone)]
pub struct Residual {
    body: Sequential,
    shortcut: Sequential,
    is_rectified: bool,
}

impl Residual {
    /// A sum of two chains whose layers have different names.
    ///
    /// # Panics
    /// If both have a layer of one name: their parameters would share a path.
    pub fn new(body: Sequential, shortcut: Sequential) -> Self {
        for (name, _) in body.iter() {
            assert!(shortcut.iter().all(|(other, _)| other != name), "body and shortcut both have a layer `{name}`");
        }
        Self { body, shortcut, is_rectified: false }
    }

    /// The cotangents of both chains, given each chain's own.
    fn back(
        &self,
        y_bar: Tensor<4>,
        wanted: Wanted,
        body: impl FnOnce(Tensor<4>) -> Cotangent,
        shortcut: impl FnOnce(Tensor<4>) -> Cotangent,
    ) -> Cotangent {
        // Where nobody wants the shortcut's cotangents, the body's take the memory of `y_bar`.
        let is_shortcut_wanted = wanted.input || !self.shortcut.parameters().is_empty();
        let for_shortcut = is_shortcut_wanted.then(|| y_bar.clone());
        let body = body(y_bar);
        let Some(y_bar) = for_shortcut else { return body };
        let shortcut = shortcut(y_bar);
        let mut theta_bar = body.theta_bar;
        theta_bar.extend(shortcut.theta_bar);
        Cotangent { x_bar: stacked::add(body.x_bar, shortcut.x_bar), theta_bar }
    }
}

kind_without_settings!("residual", ResidualSpec, &["body", "shortcut"], |input, scope| {
    let body = scope.chain("body", "", input)?;
    let shortcut = scope.chain("shortcut", "shortcut.", input)?;
    body.check_beside(&shortcut)?;
    let output = same_output(body.output(), shortcut.output())?;
    let weights = body.weights().saturating_add(shortcut.weights());
    let flop = body.flop().saturating_add(shortcut.flop());
    let make = move |making: &Making| Residual::new(body.make(making), shortcut.make(making)).into();
    Ok(Planned::new(output, make).weights(weights).flop(flop))
});

/// The shape of both chains' outputs.
fn same_output(body: [usize; 3], shortcut: [usize; 3]) -> Result<[usize; 3]> {
    if body == shortcut {
        return Ok(body);
    }
    let expected = format!("that of the shortcut, {}", size_text(shortcut));
    Err(Error::out_of_range("the output of the body", size_text(body), expected))
}

/// What the two chains keep, and the output if it is rectified: the next layer keeps it anyway.
#[derive(Debug)]
pub struct Saved {
    body: Vec<AnySaved>,
    shortcut: Vec<AnySaved>,
    rectified: Option<Tensor<4>>,
}

impl Layer for Residual {
    type Saved = Saved;

    fn forward(&self, x: Tensor<4>, pass: Pass) -> (Tensor<4>, Saved) {
        let (y, saved) = self.forward_of(x.into(), pass);
        (y.into_tensor(), saved)
    }

    fn forward_of(&self, x: Activation, pass: Pass) -> (Activation, Saved) {
        let (y, body) = self.body.forward_of(x.clone(), pass.named("body"));
        let (skip, shortcut) = self.shortcut.forward_of(x, pass.named("shortcut"));
        let y = ops::add(y, &skip, self.is_rectified);
        let rectified = self.is_rectified.then(|| y.clone());
        (y.into(), Saved { body, shortcut, rectified })
    }

    fn tangent(&self, saved: &Saved, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        let body = self.body.tangent(&saved.body, x_dot.clone(), theta_dot);
        sum_of_tangents(body, self.shortcut.tangent(&saved.shortcut, x_dot, theta_dot), saved.rectified.as_ref())
    }

    fn dual(&self, x: Activation, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector], pass: Pass) -> Dual {
        let body = self.body.dual(x.clone(), x_dot.clone(), theta_dot, pass.named("body"));
        let shortcut = self.shortcut.dual(x, x_dot, theta_dot, pass.named("shortcut"));
        let mut statistics = body.statistics;
        statistics.extend(shortcut.statistics);
        let y = ops::add(body.y, &shortcut.y, self.is_rectified);
        let y_dot = sum_of_tangents(body.y_dot, shortcut.y_dot, self.is_rectified.then_some(&y));
        Dual { y: y.into(), y_dot, statistics }
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let y_bar = gated(y_bar, saved.rectified.as_ref());
        let body = |y_bar| self.body.cotangent(&saved.body, y_bar, wanted);
        self.back(y_bar, wanted, body, |y_bar| self.shortcut.cotangent(&saved.shortcut, y_bar, wanted))
    }

    fn cotangent_once(&self, saved: Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let Saved { body, shortcut, rectified } = saved;
        let y_bar = gated(y_bar, rectified.as_ref());
        drop(rectified);
        let through_body = |y_bar| self.body.cotangent_once(body, y_bar, wanted);
        self.back(y_bar, wanted, through_body, |y_bar| self.shortcut.cotangent_once(shortcut, y_bar, wanted))
    }

    fn output(&self, input: [usize; 3]) -> Result<[usize; 3]> {
        same_output(self.body.output(input)?, self.shortcut.output(input)?)
    }

    fn parameters(&self) -> ParamVector {
        let mut all = self.body.parameters();
        all.extend(self.shortcut.parameters());
        all
    }

    fn matrices(&self) -> Vec<(String, usize)> {
        [self.body.matrices(), self.shortcut.matrices()].concat()
    }

    fn averages(&self) -> ParamVector {
        let mut all = self.body.averages();
        all.extend(self.shortcut.averages());
        all
    }

    fn statistics(&self, saved: &Saved) -> ParamVector {
        let mut all = self.body.statistics(&saved.body);
        all.extend(self.shortcut.statistics(&saved.shortcut));
        all
    }

    fn fuse_rectifier(&mut self) -> bool {
        !std::mem::replace(&mut self.is_rectified, true)
    }

    fn assign(&mut self, values: &ParamVector) {
        self.body.assign(values);
        self.shortcut.assign(values);
    }
}

/// The sum of both chains' tangents, where a rectified output is positive.
fn sum_of_tangents(
    body: Option<Tensor<4>>,
    shortcut: Option<Tensor<4>>,
    rectified: Option<&Tensor<4>>,
) -> Option<Tensor<4>> {
    match (body, shortcut, rectified) {
        (Some(body), Some(shortcut), Some(y)) => Some(ops::add_gated(body, &shortcut, y)),
        (body, shortcut, _) => stacked::add(body, shortcut).map(|y_dot| gated(y_dot, rectified)),
    }
}

/// `v` where a rectified output is positive.
fn gated(v: Tensor<4>, rectified: Option<&Tensor<4>>) -> Tensor<4> {
    match rectified {
        Some(y) => ops::relu_gate(v, y),
        None => v,
    }
}
