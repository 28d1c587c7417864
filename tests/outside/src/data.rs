//! Points in the plane, to be told by the quadrant they are in, or by their distance from the middle.

use foregrad::losses::LabelKind;
use foregrad::rng::Stream;
use foregrad_lab::data::{Label, Source};

/// So many points of a seed.
#[derive(Debug, Clone, Copy)]
pub struct Points {
    pub count: usize,
    pub seed: u64,
    pub kind: LabelKind,
}

impl Source for Points {
    fn len(&self) -> usize {
        self.count
    }

    fn shape(&self) -> [usize; 3] {
        [2, 1, 1]
    }

    fn kind(&self) -> LabelKind {
        self.kind
    }

    fn sample(&self, index: usize, _vary: Option<Stream>, input: &mut [f32]) -> foregrad::Result<Label> {
        let point = Stream::new(self.seed, "points").at(index as u64).uniform(2, -1.0, 1.0);
        input.copy_from_slice(&[point[0] as f32, point[1] as f32]);
        Ok(match self.kind {
            LabelKind::Classes(_) => Label::Class(2 * usize::from(point[0] > 0.0) + usize::from(point[1] > 0.0)),
            LabelKind::Values(_) => Label::Values(vec![point[0].hypot(point[1])]),
        })
    }
}
