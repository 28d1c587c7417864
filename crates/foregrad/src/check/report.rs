//! What a check found, in words: which identity broke, by how much, and what usually breaks it.

use std::fmt;

use super::Entry;
use crate::{Error, Result};

/// The identities of one part, each with its worst error and its limit. Its text says what is wrong.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a check proves nothing unless somebody looks at it"]
pub struct Report {
    /// One an identity.
    pub entries: Vec<Entry>,
}

impl Report {
    /// The identities that do not hold.
    pub fn broken(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.passed())
    }

    /// Whether all of them hold, and there is one.
    pub fn passed(&self) -> bool {
        !self.entries.is_empty() && self.broken().next().is_none()
    }

    /// Nothing if all of them hold; a test ends with this.
    ///
    /// # Errors
    /// [`Error::Broken`] with the text of the report.
    pub fn into_result(self) -> Result<()> {
        if self.passed() { Ok(()) } else { Err(Error::Broken(self.to_string())) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let broken: Vec<&Entry> = self.broken().collect();
        if self.entries.is_empty() {
            return f.write_str("no identity was checked");
        }
        if broken.is_empty() {
            return write!(f, "{} identities hold", self.entries.len());
        }
        write!(f, "{} of {} identities are broken", broken.len(), self.entries.len())?;
        broken.iter().try_for_each(|entry| write!(f, "\n{}", explained(entry)))
    }
}

/// An identity that broke, with its usual causes.
fn explained(entry: &Entry) -> String {
    let Entry { group, name, identity, worst, limit } = entry;
    let causes = causes(identity);
    format!("{group} {name}: {identity} is off by {worst:.1e}, which must be below {limit:.0e}\n  {causes}")
}

/// What an identity says, and the mistakes that usually break it.
fn causes(identity: &str) -> &'static str {
    match identity {
        "adjoint" => {
            "<tangent, y_bar> = <x_dot, x_bar> + <theta_dot, theta_bar>: tangent and cotangent must be each other's transposes. Usual \
             causes: a factor, sign or mask in one of the two only; a parameter under another path in one of them, or left out of \
             theta_bar; a cotangent given unasked or not where asked; statistics that are constants in one of the two"
        }
        "difference" => {
            "tangent = (f(+h) - f(-h)) / 2h: the tangent must be the derivative of the forward map. Usual causes: a term of a product \
             or chain left out in both tangent and cotangent; values of another forward pass; `assign` that passes over a parameter; \
             draws that differ from pass to pass"
        }
        "stacked" => {
            "several stacked directions = each by itself: they are stacked direction by direction, [k n, c, h, w]. Usual causes: saved \
             values repeated sample by sample instead of direction by direction; one theta_dot used for all directions; a `dual` \
             that differs from forward and tangent; an absent tangent that does not count as zero"
        }
        "samples" => {
            "a sample's derivative = that of the sample by itself: values are one a sample, in order. Usual causes: a division by the \
             number of samples left out or done twice; sums over the batch; samples in another order; a loss that is no mean over \
             samples and does not say so (`is_separable`)"
        }
        "outputs" => {
            "a sample's derivative = the error at its outputs times their tangent: `at_outputs` gives what stands between net and \
             loss. Usual causes: the loss's factor left out; another tangent than the one that was given; rows in another order"
        }
        "parts" => {
            "one pass for all parts = each part as a tangent of its own: only a head whose maps keep tiles and channel groups apart up to a sum \
             has such a pass (`part_derivatives`). Usual causes: values by direction, part and sample in another order; a mean over a \
             tile's pixels in the place of all pixels; a part that reaches the loss on two ways"
        }
        "agreement" => {
            "forward mode = oracle: both make their estimate along the same directions. Usual causes: draws that depend on more than \
             their stream (a counter, the order of blocks); a direction made of what only one of the modes has at hand; a wrong \
             tangent or cotangent somewhere below, which the checks of layers find"
        }
        "shape" => {
            "the output has the shape that `output` says. Usual causes: height and width exchanged; a side that is rounded up in one \
             of the two only; an input refused that `forward` takes"
        }
        "state" => {
            "a step from saved state = the step that was never interrupted: all that a guess carries from step to step is in its \
             state. Usual causes: a field of its own that changes; state kept under another path than it is read from"
        }
        _ => "two ways to compute the same differ",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(identity: &'static str, worst: f64) -> Entry {
        Entry { group: "layer", name: "mine".into(), identity, worst, limit: 1e-12 }
    }

    #[test]
    fn a_report_names_what_broke_by_how_much_and_why_it_usually_does() {
        let whole = Report { entries: vec![entry("adjoint", 0.0)] };
        assert!(whole.passed() && whole.to_string() == "1 identities hold" && whole.into_result().is_ok());
        let broken =
            Report { entries: vec![entry("adjoint", 0.5), entry("stacked", 0.0), entry("difference", f64::NAN)] };
        let error = broken.into_result().expect_err("broken").to_string();
        for words in ["2 of 3", "layer mine: adjoint is off by 5.0e-1, which must be below 1e-12", "mask", "`assign`"] {
            assert!(error.contains(words), "{words} in {error}");
        }
        assert!(!error.contains("stacked is off"), "{error}");
        assert!(!Report { entries: Vec::new() }.passed());
    }
}
