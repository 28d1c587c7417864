//! How far the measured order of methods is the published one.

use serde::Serialize;

use super::spread::Spread;
use super::summary::Combination;

/// Standard deviations that two figures lie apart for their order to count as known.
const CLEAR: f64 = 2.0;

/// What is listed of a data set, for whatever writes the list.
pub(super) const CONTRADICTIONS: &str =
    "Pairs in the other order than the paper's, by more than two standard deviations in the paper and here";

/// The measured accuracies on one data set beside the published, as orders.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Order {
    /// The data set.
    pub dataset: String,
    /// Combinations with both a measured and a published accuracy.
    pub rows: usize,
    /// Pairs of them with different published means.
    pub pairs: usize,
    /// Pairs whose measured means do not stand as the published do.
    pub inverted: usize,
    /// Spearman's rank correlation of published and measured means; none if either are all equal.
    pub correlation: Option<f64>,
    /// The inverted pairs that noise does not explain, the widest measured gap first.
    pub contradictions: Vec<Contradiction>,
}

/// Two combinations, the better one by the paper first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contradiction {
    /// Their names.
    pub names: [String; 2],
    /// Their published means, per cent.
    pub published: [f64; 2],
    /// Their measured means, per cent.
    pub measured: [f64; 2],
}

/// A combination with both figures.
struct Pair<'a> {
    name: &'a str,
    published: f64,
    published_deviation: f64,
    measured: Spread,
}

impl Order {
    /// One a data set with at least three combinations that can be compared.
    ///
    /// A pair is a contradiction if it is inverted, its published means differ by more than two of their common deviations
    /// (`sqrt(s_1^2 + s_2^2)`), and its measured means by more than two of theirs: `s sqrt(1 / n_1 + 1 / n_2)` of `n` runs
    /// each, with `s` pooled over all combinations of more than one seed. Without such a combination there is no `s`, and
    /// no contradiction.
    pub fn of(combinations: &[Combination]) -> Vec<Self> {
        let mut datasets: Vec<&str> = Vec::new();
        for own in combinations {
            if !datasets.contains(&own.dataset.as_str()) {
                datasets.push(&own.dataset);
            }
        }
        let orders = datasets.into_iter().map(|dataset| {
            let own = combinations.iter().filter(|own| own.dataset == dataset);
            order(dataset, &own.filter_map(Pair::of).collect::<Vec<_>>())
        });
        orders.filter(|order| order.rows >= 3).collect()
    }

    /// What was found, as a sentence.
    pub fn sentence(&self) -> String {
        let correlation =
            self.correlation.map_or(String::new(), |rho| format!("; rank correlation {rho:.2} (Spearman)"));
        let Self { dataset, rows, pairs, inverted, .. } = self;
        format!(
            "{dataset}: of the {pairs} pairs of {rows} published figures {} stand as measured{correlation}.",
            pairs - inverted
        )
    }
}

impl Contradiction {
    /// The pair, as a sentence.
    pub fn sentence(&self) -> String {
        let ([better, worse], [above, below], [own, other]) = (&self.names, self.published, self.measured);
        format!("{better} ({above:.1} % published, {own:.1} % measured) behind {worse} ({below:.1} %, {other:.1} %)")
    }
}

impl<'a> Pair<'a> {
    fn of(own: &'a Combination) -> Option<Self> {
        let published = own.published?;
        Some(Self {
            name: &own.name,
            published: published.mean,
            published_deviation: published.deviation.unwrap_or(0.0),
            measured: own.test_accuracy?,
        })
    }
}

fn order(dataset: &str, rows: &[Pair]) -> Order {
    let deviation = pooled_deviation(rows);
    let (mut pairs, mut inverted, mut contradictions) = (0, 0, Vec::new());
    for better in rows {
        for worse in rows.iter().filter(|worse| worse.published < better.published) {
            pairs += 1;
            let gap = worse.measured.mean - better.measured.mean;
            if gap <= 0.0 {
                continue;
            }
            inverted += 1;
            let published_noise = better.published_deviation.hypot(worse.published_deviation);
            let runs = 1.0 / better.measured.runs as f64 + 1.0 / worse.measured.runs as f64;
            let is_known = better.published - worse.published > CLEAR * published_noise;
            if is_known && deviation.is_some_and(|deviation| gap > CLEAR * deviation * runs.sqrt()) {
                contradictions.push(Contradiction {
                    names: [better.name.to_string(), worse.name.to_string()],
                    published: [better.published, worse.published],
                    measured: [better.measured.mean, worse.measured.mean],
                });
            }
        }
    }
    let gap = |pair: &Contradiction| pair.measured[1] - pair.measured[0];
    contradictions.sort_by(|a, b| gap(b).total_cmp(&gap(a)));
    let of = |figure: fn(&Pair) -> f64| ranks(&rows.iter().map(figure).collect::<Vec<_>>());
    let correlation = correlation(&of(|row| row.published), &of(|row| row.measured.mean));
    Order { dataset: dataset.to_string(), rows: rows.len(), pairs, inverted, correlation, contradictions }
}

/// The deviation over seeds, as the root of the mean variance, weighted by degrees of freedom.
fn pooled_deviation(rows: &[Pair]) -> Option<f64> {
    let (mut sum, mut freedom) = (0.0, 0.0);
    for spread in rows.iter().map(|row| row.measured) {
        let Some(deviation) = spread.deviation else { continue };
        let own = (spread.runs - 1) as f64;
        (sum, freedom) = (sum + own * deviation * deviation, freedom + own);
    }
    (freedom > 0.0).then(|| (sum / freedom).sqrt())
}

/// The rank of each value, the mean rank where some are equal.
fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count() as f64;
        let equal = values.iter().filter(|other| *other == value).count() as f64;
        below + (equal - 1.0) / 2.0
    };
    values.iter().map(rank).collect()
}

/// Pearson's correlation; none if either side is constant.
fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let centred = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|value| value - mean).collect::<Vec<_>>()
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (a, b) = (centred(a), centred(b));
    let norm = (dot(&a, &a) * dot(&b, &b)).sqrt();
    (norm > 0.0).then(|| dot(&a, &b) / norm)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<'a>(name: &'a str, published: f64, measured: &[f64]) -> Pair<'a> {
        let measured = Spread::of(measured.iter().copied()).expect("values");
        Pair { name, published, published_deviation: 0.5, measured }
    }

    #[test]
    fn only_what_noise_does_not_explain_is_a_contradiction() {
        // Pooled deviation 1: two runs each lie apart clearly from 2 points on, single runs from 2.8 points on.
        let s = 0.5_f64.sqrt();
        let rows = [
            row("a", 90.0, &[60.0 - s, 60.0 + s]),
            row("b", 80.0, &[63.0 - s, 63.0 + s]),
            row("c", 70.0, &[61.0]),
            row("d", 69.5, &[65.0]),
        ];
        let order = order("cifar10", &rows);
        assert_eq!((order.rows, order.pairs, order.inverted), (4, 6, 5));
        let names: Vec<_> =
            order.contradictions.iter().map(|pair| [pair.names[0].as_str(), pair.names[1].as_str()]).collect();
        // c and d are too close in the paper; a and c in the measurement, as are b and d.
        assert_eq!(names, [["a", "d"], ["a", "b"]]);
        assert_eq!(
            order.contradictions[1].sentence(),
            "a (90.0 % published, 60.0 % measured) behind b (80.0 %, 63.0 %)"
        );
    }

    #[test]
    fn ranks_correlate_as_defined() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [2.5, 0.0, 2.5, 1.0]);
        // Ranks 0 1 2 against 1 0 2: 1 - 6 * 2 / (3 * 8) = 1 / 2.
        let rho = correlation(&ranks(&[1.0, 2.0, 3.0]), &ranks(&[20.0, 10.0, 30.0])).expect("not constant");
        assert!((rho - 0.5).abs() < 1e-12);
        assert_eq!(correlation(&[1.0, 1.0], &[0.0, 1.0]), None);
    }
}
