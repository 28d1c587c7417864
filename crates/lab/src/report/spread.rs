//! A mean over runs and how far the runs lie from it.

use std::collections::BTreeMap;

use serde::Serialize;

/// Mean and sample deviation (the sum of squares divided by one less than the count) of one quantity over runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The mean.
    #[serde(with = "foregrad::numbers")]
    pub mean: f64,
    /// The sample deviation; none of a single run.
    #[serde(with = "foregrad::numbers::optional")]
    pub deviation: Option<f64>,
    /// Over how many runs.
    pub runs: usize,
}

impl Spread {
    /// The spread of some values; none of no values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().collect();
        let runs = values.len();
        if runs == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / runs as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (runs > 1).then(|| (squares / (runs - 1) as f64).sqrt());
        Some(Self { mean, deviation, runs })
    }

    /// As people write it, `94.30 ± 0.12`, with so many digits after the point.
    pub fn text(&self, digits: usize) -> String {
        match self.deviation {
            Some(deviation) => format!("{:.digits$} ± {deviation:.digits$}", self.mean),
            None => format!("{:.digits$}", self.mean),
        }
    }
}

/// The spread over runs at every place that one of them has a value at, in order.
pub fn averaged(runs: impl IntoIterator<Item = Vec<(u64, f64)>>) -> Vec<(u64, Spread)> {
    let mut values: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for (place, value) in runs.into_iter().flatten() {
        values.entry(place).or_default().push(value);
    }
    values.into_iter().filter_map(|(place, values)| Some((place, Spread::of(values)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deviation_is_the_sample_s() {
        let spread = Spread::of([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).expect("a spread");
        assert_eq!((spread.mean, spread.runs), (5.0, 8));
        assert!((spread.deviation.expect("of eight") - (32.0_f64 / 7.0).sqrt()).abs() < 1e-15);
        assert_eq!(spread.text(2), "5.00 ± 2.14");
        let single = Spread::of([94.3]).expect("a spread");
        assert_eq!((single.deviation, single.text(1).as_str()), (None, "94.3"));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn runs_of_different_lengths_are_averaged_where_they_are() {
        let curve = averaged([vec![(1, 2.0), (2, 4.0)], vec![(1, 4.0)]]);
        assert_eq!(curve.iter().map(|(place, spread)| (*place, spread.mean)).collect::<Vec<_>>(), [(1, 3.0), (2, 4.0)]);
        assert_eq!(curve[1].1.deviation, None);
    }
}
