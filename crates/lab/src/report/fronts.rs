//! Fronts: the combinations that are better than everything that costs no more.

use std::collections::BTreeSet;

use serde::Serialize;

use super::spread::Spread;
use super::variant::Variant;

/// What a run costs.
pub struct Cost {
    /// What it is, with its unit.
    pub title: &'static str,
    /// The unit.
    pub unit: &'static str,
    /// Its value, where it was measured.
    pub of: fn(&Variant) -> Option<Spread>,
}

/// The costs that combinations are compared by.
pub const COSTS: [Cost; 3] = [
    Cost { title: "operations of training, TFLOP", unit: "TFLOP", of: |own| own.operations },
    Cost { title: "training time, seconds", unit: "s", of: |own| own.seconds },
    Cost { title: "peak memory, MiB", unit: "MiB", of: |own| own.peak_memory },
];

/// Fewer combinations than these need no front.
const FEWEST: usize = 3;

/// The fronts of a network on a data set: methods are rivals where all else is alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fronts {
    /// The data set.
    pub dataset: String,
    /// The network, whatever its width.
    pub network: String,
    /// What is compared, and of each cost the names on its front, the cheapest first.
    pub fronts: Vec<(&'static str, Vec<String>)>,
    /// The combinations on none of them.
    pub on_none: Vec<String>,
}

impl Fronts {
    /// Those of every data set and network with enough combinations that are done.
    pub fn of(combinations: &[Variant]) -> Vec<Self> {
        let pairs: BTreeSet<[&str; 2]> = combinations.iter().map(Variant::setting).collect();
        pairs.into_iter().filter_map(|pair| Self::on(pair, combinations)).collect()
    }

    fn on(setting: [&str; 2], combinations: &[Variant]) -> Option<Self> {
        let judged = |own: &&Variant| own.setting() == setting && own.quality.is_some();
        let rivals: Vec<&Variant> = combinations.iter().filter(judged).collect();
        if rivals.len() < FEWEST {
            return None;
        }
        let named = |cost: &Cost| {
            let front = front(&rivals, cost);
            (!front.is_empty()).then(|| (cost.title, front.iter().map(|own| own.name.clone()).collect::<Vec<_>>()))
        };
        let fronts: Vec<_> = COSTS.iter().filter_map(named).collect();
        let is_on_none = |own: &&&Variant| !fronts.iter().any(|(_, names)| names.contains(&own.name));
        let on_none = rivals.iter().filter(is_on_none).map(|own| own.name.clone()).collect();
        let [dataset, network] = setting.map(String::from);
        (!fronts.is_empty()).then_some(Self { dataset, network, fronts, on_none })
    }

    /// What they say, a sentence a front and one for the rest.
    pub fn sentences(&self) -> Vec<String> {
        let front = |(title, names): &(&str, Vec<String>)| format!("By {title}: {}.", names.join("; "));
        let rest = if self.on_none.is_empty() {
            "Everything is on one front or another.".to_string()
        } else {
            format!("On no front: {}.", self.on_none.join("; "))
        };
        self.fronts.iter().map(front).chain([rest]).collect()
    }

    /// What a front is, and of which network and data set.
    pub fn title(&self) -> String {
        let Self { dataset, network, .. } = self;
        format!("Of {network} on {dataset}, these are better than everything that costs no more, by means over seeds.")
    }

    /// Its name in a chart.
    pub fn name(&self) -> String {
        format!("front of {} on {}", self.network, self.dataset)
    }

    /// Whether a combination is one of those that are compared.
    pub fn compares(&self, combination: &Variant) -> bool {
        combination.setting() == [self.dataset.as_str(), self.network.as_str()]
    }
}

/// The combinations on a cost's front, the cheapest first.
pub fn front<'a>(combinations: &[&'a Variant], cost: &Cost) -> Vec<&'a Variant> {
    let priced = |own: &&'a Variant| Some((*own, [(cost.of)(own)?.mean, own.quality?.mean]));
    let (priced, points): (Vec<&Variant>, Vec<_>) = combinations.iter().filter_map(priced).unzip();
    ahead(&points).into_iter().map(|place| priced[place]).collect()
}

/// Of points `[cost, quality]` the places of those that are better than all that cost no more, the cheapest first.
fn ahead(points: &[[f64; 2]]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..points.len()).collect();
    // Of those that cost the same, the best stands first, and the others do not pass it.
    places.sort_by(|a, b| {
        let ([own_cost, own], [cost, other]) = (points[*a], points[*b]);
        own_cost.total_cmp(&cost).then(other.total_cmp(&own))
    });
    let mut best = f64::NEG_INFINITY;
    places.retain(|place| {
        let is_ahead = points[*place][1] > best;
        best = best.max(points[*place][1]);
        is_ahead
    });
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_front_is_what_nothing_cheaper_equals() {
        let points =
            [[3.0, 0.9], [1.0, 0.5], [2.0, 0.4], [2.0, 0.7], [2.0, 0.6], [4.0, 0.9], [0.5, f64::NAN], [5.0, 0.95]];
        assert_eq!(ahead(&points), [1, 3, 0, 7]);
        assert_eq!(ahead(&[]), [0usize; 0]);
    }
}
