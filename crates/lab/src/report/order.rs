//! How far the measured order of methods is the published one.

use serde::Serialize;

use super::spread::Spread;
use super::variant::Variant;

/// Standard errors of the difference that two figures lie apart for their order to count as known.
const CLEAR: f64 = 2.0;

/// What is listed of a data set, for whatever writes the list.
pub(super) const CONTRADICTIONS: &str = "Pairs in the other order than the paper's, further apart than noise explains (two standard errors) in the paper and here";

/// The measured accuracies on one data set beside the published, as orders.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Order {
    /// The data set.
    pub dataset: String,
    /// Combinations with both a measured and a published accuracy.
    pub rows: usize,
    /// Pairs of them with different published means.
    pub pairs: usize,
    /// Pairs whose measured means stand the other way round than the published do.
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
    published_deviation: Option<f64>,
    measured: Spread,
}

impl Order {
    /// One a data set with at least three combinations that can be compared.
    ///
    /// A pair is a contradiction if it is inverted, its published means differ by more than `2 sqrt(s_1^2 + s_2^2)` of their
    /// deviations - where the paper gives none, that of the other rows, pooled - and its measured means by more than
    /// `2 s sqrt(1 / n_1 + 1 / n_2)` of `n` runs each, with `s` pooled over the data set's rows of more than one seed.
    /// Where there is nothing to pool, nothing is a contradiction.
    pub fn of(combinations: &[Variant]) -> Vec<Self> {
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
        let upright = pairs - inverted;
        format!("{dataset}, {rows} rows: {upright} of {pairs} pairs are measured in the published order{correlation}.")
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
    fn of(own: &'a Variant) -> Option<Self> {
        let published = own.published?;
        Some(Self {
            name: &own.name,
            published: published.mean,
            published_deviation: published.deviation,
            measured: own.test_accuracy?,
        })
    }
}

fn order(dataset: &str, rows: &[Pair]) -> Order {
    let measured = pooled(rows.iter().filter_map(|row| Some((row.measured.runs - 1, row.measured.deviation?))));
    let published = pooled(rows.iter().filter_map(|row| Some((1, row.published_deviation?))));
    let (mut pairs, mut inverted, mut contradictions) = (0, 0, Vec::new());
    for better in rows {
        for worse in rows.iter().filter(|worse| worse.published < better.published) {
            pairs += 1;
            let gap = worse.measured.mean - better.measured.mean;
            if gap <= 0.0 {
                continue;
            }
            inverted += 1;
            let (Some(measured), Some(published)) = (measured, published) else { continue };
            let of_paper = |row: &Pair| row.published_deviation.unwrap_or(published);
            let is_known = better.published - worse.published > CLEAR * of_paper(better).hypot(of_paper(worse));
            let runs = 1.0 / better.measured.runs as f64 + 1.0 / worse.measured.runs as f64;
            if is_known && gap > CLEAR * measured * runs.sqrt() {
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

/// The root of the mean variance of some deviations, weighted by their degrees of freedom; none of none.
fn pooled(deviations: impl Iterator<Item = (usize, f64)>) -> Option<f64> {
    let (mut sum, mut freedom) = (0.0, 0.0);
    for (own, deviation) in deviations {
        (sum, freedom) = (sum + own as f64 * deviation * deviation, freedom + own as f64);
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
        Pair { name, published, published_deviation: Some(0.5), measured }
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
    fn a_figure_without_a_deviation_is_as_noisy_as_the_others() {
        let rows = |a: Option<f64>, b: Option<f64>| {
            let of = |name, published, deviation, measured: &[f64]| Pair {
                published_deviation: deviation,
                ..row(name, published, measured)
            };
            [of("a", 91.6, a, &[60.0, 61.0]), of("b", 91.5, b, &[80.0, 81.0]), of("c", 70.0, None, &[50.0, 51.0])]
        };
        let contradictions = |rows: &[Pair]| order("cifar10", rows).contradictions.len();
        assert_eq!(contradictions(&rows(Some(0.3), None)), 0, "0.1 points are nothing beside the other row's 0.3");
        assert_eq!(contradictions(&rows(Some(0.01), None)), 1);
        assert_eq!(contradictions(&rows(None, None)), 0, "nothing is known of the paper's noise");
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
