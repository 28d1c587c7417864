//! Where in a study's file a run's settings come from.

use toml::{Table, Value};

use super::Study;
use crate::Error;
use crate::study::PlannedRun;

impl Study {
    /// A run's error with the line of the study that asks for the setting it is about; other errors stay as they are.
    pub fn located(&self, run: &PlannedRun, error: Error) -> Error {
        let settings = error.settings();
        let place =
            settings.iter().find_map(|setting| self.place_of_choice(run, setting).or(self.place_in_base(setting)));
        match place {
            Some(place) => self.wrong(place, "settings that a run can have", error.to_string()),
            None => error,
        }
    }

    /// Where the last of a run's values stands that sets a setting.
    fn place_of_choice(&self, run: &PlannedRun, setting: &str) -> Option<usize> {
        run.choices.iter().rev().find_map(|(axis, name)| {
            let axis = self.axes.iter().find(|other| other.name == *axis)?;
            let choices = self.choices(axis).ok()?;
            choices
                .into_iter()
                .find(|choice| choice.name == *name && sets(&choice.settings, setting))
                .map(|own| own.place)
        })
    }

    /// Where the settings of all runs name a setting; their beginning, if that cannot be told.
    fn place_in_base(&self, setting: &str) -> Option<usize> {
        if !sets(self.base.get_ref(), setting) {
            return None;
        }
        let key = setting.rsplit('.').next().unwrap_or(setting);
        let span = self.base.span();
        let mut place = 0;
        for line in self.text.split_inclusive('\n') {
            let words = line.split('#').next().unwrap_or_default();
            let names = words.split(['=', ',', '{', '.', '[']).map(str::trim).any(|word| word == key);
            if place + line.len() > span.start && names {
                return Some(place.max(span.start));
            }
            place += line.len();
        }
        Some(span.start)
    }
}

/// Whether a table has a value at a place such as `optimizer.rate`.
fn sets(table: &Table, place: &str) -> bool {
    let (key, below) = place.split_once('.').unwrap_or((place, ""));
    match table.get(key) {
        Some(Value::Table(inner)) if !below.is_empty() => sets(inner, below),
        found => found.is_some() && below.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const STUDY: &str = "name = 'lines'
question = 'Which line?'
[base]
batch = 0
[base.optimizer]
rate = -1.0
[[axis]]
name = 'directions'
key = 'estimator.directions'
values = [
    1,
    0,
]
";

    /// What is said of the last run, and of the first.
    fn said(error: fn() -> Error) -> [String; 2] {
        let study = Study::from_toml(STUDY, Path::new("lines.toml")).expect("a study");
        let runs = study.runs().expect("runs");
        [1, 0].map(|run| study.located(&runs[run], error()).to_string())
    }

    #[test]
    fn errors_name_the_line_that_asks_for_what_is_wrong() {
        let [last, first] = said(|| Error::out_of_range("estimator.directions", 0, "more"));
        assert!(last.starts_with("lines.toml:12: ") && first.starts_with("lines.toml:11: "), "{last} {first}");
        assert!(last.contains("estimator.directions is 0; expected more"), "{last}");
        let [rate, _] = said(|| Error::out_of_range("optimizer.rate", -1, "more"));
        assert!(rate.starts_with("lines.toml:6: "), "{rate}");
        let [batch, _] = said(|| Error::meaningless("too few", "`batch = 1`"));
        assert!(batch.starts_with("lines.toml:4: "), "{batch}");
        let [other, _] = said(|| Error::out_of_range("model.width", 0, "more"));
        assert_eq!(other, "model.width is 0; expected more");
    }
}
