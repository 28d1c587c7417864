//! What a run remembers of its data, so that it goes on with the same.

use serde::{Deserialize, Serialize};

use super::{Normalisation, Source, Splits};
use crate::{Error, Result};

/// Training, validation and test samples, as they were when a run began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Channels, height and width of an input.
    pub shape: [usize; 3],
    /// What the labels are: `10 classes`.
    pub labels: String,
    /// The names of the classes, in order.
    pub classes: Vec<String>,
    /// How the inputs are normalised.
    pub normalisation: Option<Normalisation>,
    /// Samples to learn from.
    pub train: Contents,
    /// Samples held back from them.
    pub validation: Contents,
    /// Samples to judge by.
    pub test: Contents,
}

/// What one set of samples holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// How many samples.
    pub samples: usize,
    /// What tells them from others.
    pub digest: String,
}

impl Contents {
    fn of(set: &dyn Source) -> Result<Self> {
        Ok(Self { samples: set.len(), digest: set.digest()? })
    }
}

impl Description {
    /// Describes data.
    ///
    /// # Errors
    /// A sample that cannot be had.
    pub fn of(splits: &Splits) -> Result<Self> {
        let Splits { train, validation, test, .. } = splits;
        Ok(Self {
            shape: train.shape(),
            labels: train.kind().to_string(),
            classes: train.classes(),
            normalisation: train.normalisation(),
            train: Contents::of(&**train)?,
            validation: Contents::of(&**validation)?,
            test: Contents::of(&**test)?,
        })
    }

    /// Refuses other data than those a run began with.
    ///
    /// # Errors
    /// What has changed first.
    pub fn check(&self, now: &Self) -> Result<()> {
        self.check_classes(&now.labels, &now.classes)?;
        same("the shape of the inputs", &format!("{:?}", self.shape), &format!("{:?}", now.shape))?;
        let sets = [
            ("training", &self.train, &now.train),
            ("validation", &self.validation, &now.validation),
            ("test", &self.test, &now.test),
        ];
        for (name, own, now) in sets {
            same(&format!("the number of {name} samples"), &own.samples.to_string(), &now.samples.to_string())?;
            let digests = [own, now].map(|contents| format!("{} (inputs and labels)", contents.digest));
            same(&format!("the digest of the {name} samples"), &digests[0], &digests[1])?;
        }
        let texts = [self, now].map(|own| format!("{:?}", own.normalisation));
        same("the normalisation of the inputs", &texts[0], &texts[1])
    }

    /// Refuses labels of another kind, and classes of other names.
    ///
    /// # Errors
    /// What is not the same.
    pub fn check_classes(&self, labels: &str, classes: &[String]) -> Result<()> {
        same("what the labels are", &self.labels, labels)?;
        let mut pairs = self.classes.iter().zip(classes).enumerate();
        match pairs.find(|(_, (own, now))| own != now) {
            Some((class, (own, now))) => same(&format!("the name of class {class}"), own, now),
            None => Ok(()),
        }
    }
}

fn same(what: &str, own: &str, now: &str) -> Result<()> {
    if own == now {
        return Ok(());
    }
    Err(Error::out_of_range(what, now, format!("{own}, as when the run began; other data need a run of their own")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{LoadOptions, load};

    fn described(train: usize, seed: u64) -> Description {
        let options = LoadOptions { train_limit: Some(train), test_limit: Some(9), seed, ..Default::default() };
        Description::of(&load("glyphs", &options).expect("glyphs")).expect("a description")
    }

    #[test]
    fn a_description_survives_its_text_and_tells_what_has_changed() {
        let own = described(20, 0);
        let read: Description =
            serde_json::from_str(&serde_json::to_string(&own).expect("text")).expect("a description");
        own.check(&read).expect("nothing has changed");
        let refused = |now: &Description| own.check(now).expect_err("other data").to_string();
        let more = refused(&described(21, 0));
        assert!(more.contains("the number of training samples is 21; expected 20, as when the run began"), "{more}");
        assert!(refused(&described(20, 1)).contains("the digest of the training samples is"));
        let change = |change: fn(&mut Description)| {
            let mut now = own.clone();
            change(&mut now);
            refused(&now)
        };
        assert!(
            change(|now| now.classes[1] = "cube".into()).contains("the name of class 1 is cube; expected triangle")
        );
        assert!(change(|now| now.labels = "2 values".into()).contains("is 2 values; expected 10 classes"));
        assert!(change(|now| now.shape = [3, 28, 28]).contains("the shape of the inputs is [3, 28, 28]"));
        assert!(change(|now| now.test.digest = "x".into()).contains("the digest of the test samples is x"));
        assert!(change(|now| now.normalisation = None).contains("the normalisation"));
    }
}
