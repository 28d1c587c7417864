//! Residual sum.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{AnySaved, Cotangent, Dual, Layer, Phase, Sequential, Wanted, stacked};
use crate::vector::ParamVector;

/// The sum of a body and a shortcut; an empty shortcut is the identity. Parameters keep the names of both chains.
///
/// ```text
/// forward    y     = body(x) + shortcut(x)
/// tangent    y_dot = body_dot + shortcut_dot
/// cotangent  x_bar = body_bar + shortcut_bar
/// ```
/// Source: He et al., *Deep residual learning for image recognition* (2015).
#[derive(Module, Debug)]
pub struct Residual {
    body: Sequential,
    shortcut: Sequential,
}

impl Residual {
    /// A sum of two chains whose layers have different names.
    pub fn new(body: Sequential, shortcut: Sequential) -> Self {
        Self { body, shortcut }
    }

    /// Both chains, to change their layers in place.
    pub fn chains_mut(&mut self) -> [&mut Sequential; 2] {
        [&mut self.body, &mut self.shortcut]
    }
}

/// What the two chains keep.
#[derive(Debug)]
pub struct Saved {
    body: Vec<AnySaved>,
    shortcut: Vec<AnySaved>,
}

impl Layer for Residual {
    type Saved = Saved;

    fn forward(&self, x: Tensor<4>, phase: Phase) -> (Tensor<4>, Saved) {
        let (y, body) = self.body.forward(x.clone(), phase);
        let (skip, shortcut) = self.shortcut.forward(x, phase);
        (y + skip, Saved { body, shortcut })
    }

    fn tangent(&self, saved: &Saved, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        let body = self.body.tangent(&saved.body, x_dot.clone(), theta_dot);
        stacked::add(body, self.shortcut.tangent(&saved.shortcut, x_dot, theta_dot))
    }

    fn dual(&self, x: Tensor<4>, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector], phase: Phase) -> Dual {
        let body = self.body.dual(x.clone(), x_dot.clone(), theta_dot, phase);
        let shortcut = self.shortcut.dual(x, x_dot, theta_dot, phase);
        let mut statistics = body.statistics;
        statistics.extend(shortcut.statistics);
        Dual { y: body.y + shortcut.y, y_dot: stacked::add(body.y_dot, shortcut.y_dot), statistics }
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let body = self.body.cotangent(&saved.body, y_bar.clone(), wanted);
        let shortcut = self.shortcut.cotangent(&saved.shortcut, y_bar, wanted);
        let mut theta_bar = body.theta_bar;
        theta_bar.extend(shortcut.theta_bar);
        Cotangent { x_bar: stacked::add(body.x_bar, shortcut.x_bar), theta_bar }
    }

    fn parameters(&self) -> ParamVector {
        let mut all = self.body.parameters();
        all.extend(self.shortcut.parameters());
        all
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

    fn assign(&mut self, values: &ParamVector) {
        self.body.assign(values);
        self.shortcut.assign(values);
    }
}
