//! Derivative checks: what proves that the three maps of every part belong together.
//!
//! ```text
//! adjoint     <tangent(x_dot, theta_dot), y_bar> = <x_dot, x_bar> + <theta_dot, theta_bar>
//! difference  tangent = (f(+h) - f(-h)) / 2h, in one random direction of input and parameters
//! samples     a sample's derivative of a loss = that of the sample by itself, where samples are not coupled
//! stacked     several stacked directions = each by itself
//! agreement   forward mode's scalars and updates = the oracle's
//! ```
//! Small odd shapes in `f64` tell right from wrong by nine orders of magnitude; `f32` hardly does, so its limits are weak.
//!
//! Parts of one's own are held to the same identities and limits by [`layer()`], [`head()`], [`loss()`] and [`network()`]:
//!
//! ```
//! use foregrad::check;
//! use foregrad::layers::Gelu;
//! use foregrad::losses::{LabelKind, MeanSquaredError};
//! check::layer(Gelu, [2, 3, 3, 5]).into_result()?;
//! check::loss(MeanSquaredError, LabelKind::Values(2)).into_result()?;
//! # Ok::<(), foregrad::Error>(())
//! ```

mod estimators;
mod examples;
mod head;
mod layer;
mod maps;
mod network;
mod own;
mod report;

use serde::Serialize;

pub use estimators::{EstimatorExample, estimator_examples, guess_examples};
pub use examples::{HeadExample, LayerExample, NetworkExample, head_examples, layer_examples, network_examples};
pub use head::check_head;
pub use layer::check_layer;
pub use maps::{MapCounts, count_maps};
pub use network::check_network;
pub use own::{guess, head, layer, loss, network, placement};
pub use report::Report;

use burn::tensor::DType;

use crate::rng::Placement;
use crate::{Error, Result};

/// How far the two sides of an identity may differ, relative to their sizes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Adjoint gap, over `|y_dot||y_bar| + |x_dot||x_bar| + |theta_dot||theta_bar|`.
    pub adjoint: f64,
    /// Central difference, over `|y_dot|`.
    pub difference: f64,
    /// Step of the central difference.
    pub step: f64,
    /// Stacked directions against single ones, and forward mode against the oracle.
    pub agreement: f64,
    /// Whether differences are taken through chains of layers too: in `f32` the step is so long that rectifiers switch on
    /// the way, whatever the direction.
    pub through_chains: bool,
}

impl Limits {
    /// The limits of a floating-point type: about 5,000 roundings for an identity, and what `step` leaves for a difference.
    pub fn of(dtype: DType) -> Self {
        match dtype {
            DType::F64 => Self { adjoint: 1e-12, difference: 1e-7, step: 1e-6, agreement: 1e-10, through_chains: true },
            _ => Self { adjoint: 1e-4, difference: 3e-2, step: 2e-3, agreement: 1e-2, through_chains: false },
        }
    }
}

/// One identity of one part: the worst error seen and its limit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// `layer`, `head`, `network` or `estimator`.
    pub group: &'static str,
    /// The part.
    pub name: String,
    /// `adjoint`, `difference`, `samples`, `stacked`, `shape`, `agreement` or `state`.
    pub identity: &'static str,
    /// The worst error seen; not a number fails.
    #[serde(with = "crate::numbers")]
    pub worst: f64,
    /// What it must stay below.
    pub limit: f64,
}

impl Entry {
    /// Whether the identity holds.
    pub fn passed(&self) -> bool {
        self.worst < self.limit
    }
}

/// The largest of some errors: infinite if one is not finite, for a comparison drops what is not a number.
fn worst(errors: impl IntoIterator<Item = f64>) -> f64 {
    errors.into_iter().fold(0.0, |worst, error| if error.is_finite() { worst.max(error) } else { f64::INFINITY })
}

/// Checks what is listed - layers, heads, networks, estimators - and has a name with `only` in it; every part for an empty one.
///
/// # Errors
/// [`Error::UnknownName`] if no part has such a name.
pub fn run_all(placement: &Placement, seed: u64, only: &str, mut progress: impl FnMut(&str)) -> Result<Vec<Entry>> {
    let mut names = Vec::new();
    let mut entries = Vec::new();
    let mut wants = |name: &str| {
        names.push(name.to_string());
        let wanted = name.contains(only);
        if wanted {
            progress(name);
        }
        wanted
    };
    for mut example in layer_examples(placement).into_iter().filter(|example| wants(&example.name)) {
        entries.extend(check_layer(&example.name, &mut example.block, example.input, example.phase, placement, seed));
    }
    for mut example in head_examples(placement).into_iter().filter(|example| wants(&example.name)) {
        entries.extend(check_head(&example.name, &mut *example.head, (example.input, example.labels), placement, seed));
    }
    for mut example in network_examples(placement).into_iter().filter(|example| wants(&example.name)) {
        entries.extend(check_network(
            &example.name,
            &mut example.network,
            (example.image, example.labels),
            placement,
            seed,
        ));
    }
    for example in estimator_examples().into_iter().filter(|example| wants(&example.name)) {
        entries.push(example.check(placement, seed));
    }
    if entries.is_empty() {
        // Of each name what stands before its particulars.
        let mut parts: Vec<&str> = names.iter().filter_map(|name| name.split(',').next()).collect();
        parts.dedup();
        return Err(Error::unknown_name("part", only, &parts));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::LAYERS;
    use crate::models::{HeadKind, MODELS, Model};
    use burn::tensor::Device;

    #[test]
    fn everything_listed_passes_in_double_precision() {
        let placement = Placement { device: Device::flex(), dtype: DType::F64 };
        let entries = run_all(&placement, 1, "", |_| {}).expect("every part");
        let failed: Vec<_> = entries.iter().filter(|entry| !entry.passed()).collect();
        assert!(failed.is_empty(), "{failed:#?}");
        assert!(entries.len() > 150, "only {} identities were checked", entries.len());
    }

    #[test]
    fn only_the_parts_that_are_asked_for_are_checked_and_a_name_of_none_is_refused() {
        let placement = Placement { device: Device::flex(), dtype: DType::F64 };
        let mut seen = Vec::new();
        let entries = run_all(&placement, 1, "flatten", |name| seen.push(name.to_string())).expect("a part");
        assert_eq!((seen.as_slice(), entries.len()), (&["flatten".to_string()][..], 3));
        let refused = run_all(&placement, 1, "flaten", |_| {}).expect_err("no part is called so");
        assert!(refused.to_string().contains("did you mean `flatten`?"), "{refused}");
    }

    #[test]
    fn the_worst_of_errors_is_infinite_wherever_one_is_no_number() {
        assert_eq!(worst([1.0, 3.0, 2.0]), 3.0);
        for place in 0..3 {
            let mut errors = [1.0; 3];
            errors[place] = f64::NAN;
            assert_eq!(worst(errors), f64::INFINITY, "{place}");
        }
    }

    #[test]
    fn a_worst_error_that_is_not_finite_is_written_as_such() {
        let (group, identity, name) = ("layer", "adjoint", "x".to_string());
        let entry = Entry { group, name, identity, worst: f64::INFINITY, limit: 1.0 };
        let text = serde_json::to_string(&entry).expect("text");
        assert!(!entry.passed() && text.contains(r#""worst":"Infinity""#), "{text}");
    }

    #[test]
    fn every_listed_part_has_an_example() {
        let placement = Placement { device: Device::flex(), dtype: DType::F64 };
        let layers: Vec<_> = layer_examples(&placement).into_iter().map(|example| example.name).collect();
        for (name, _) in LAYERS {
            assert!(layers.iter().any(|example| example.starts_with(name)), "the layer {name} has no example");
        }
        let heads: Vec<_> = head_examples(&placement).into_iter().map(|example| example.name).collect();
        for kind in HeadKind::ALL {
            let name = kind.name();
            assert!(heads.iter().any(|example| example.starts_with(name)), "the head {name} has no example");
        }
        let networks: Vec<_> = network_examples(&placement).into_iter().map(|example| example.name).collect();
        for Model { name, .. } in MODELS {
            assert!(networks.iter().any(|example| example.starts_with(name)), "the model {name} has no example");
        }
        let estimators: Vec<_> = estimator_examples().into_iter().map(|example| example.name).collect();
        for guess in crate::estimate::GUESSES {
            let name = guess.name();
            assert!(estimators.iter().any(|example| example.starts_with(name)), "{name} has no example");
        }
    }
}
