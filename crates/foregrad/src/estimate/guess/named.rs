//! Guesses by name: which names there are, and the text of one guess or of several.

use std::any::{Any, TypeId};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::any::Part;
use super::{AnyGuess, GUESSES, Guess};
use crate::estimate::EstimatorConfig;
use crate::estimate::known::Known;
use crate::{Error, Result, as_text};

/// The guesses whose names are known to this process: ours, and those that [`AnyGuess::of`] has seen.
static KNOWN: Known<dyn Guess> = Known::new("guess", GUESSES, name, id);

fn name(guess: &dyn Guess) -> &str {
    guess.name()
}

fn id(guess: &dyn Guess) -> TypeId {
    (guess as &dyn Any).type_id()
}

impl AnyGuess {
    /// A guess of any crate. From now on its name can be read by this process, in settings and in files. It stays in memory for good; one
    /// that was seen before is taken again.
    ///
    /// # Errors
    /// A name that is no name; one that another guess has; a random guess that is made of heads.
    pub fn of(guess: impl Guess) -> Result<Self> {
        if guess.support().is_random && guess.heads(0..1).is_any() {
            let found = format!("random, though `{}` is made of heads", guess.name());
            return Err(Error::out_of_range("a guess", found, "a random guess to be made of its streams alone"));
        }
        KNOWN.of(Box::new(guess)).map(Self::single)
    }
}

impl fmt::Display for AnyGuess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, Part { guess, directions }) in self.parts.iter().enumerate() {
            let joint = if number > 0 { "+" } else { "" };
            write!(f, "{joint}{}", guess.name())?;
            if *directions > 1 {
                write!(f, ":{directions}")?;
            }
        }
        Ok(())
    }
}

/// Errors call it `guess`: whoever holds it as a setting puts the place of its table before that.
impl FromStr for AnyGuess {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<Part> = text.split('+').map(|own| part(own, text)).collect::<Result<_>>()?;
        if let ([Part { guess, directions }], true) = (parts.as_slice(), text.contains(':')) {
            let reason = format!("`guess = {text}` is a single guess, whose directions are a setting of their own");
            let nearest = format!("`guess = {}` `directions = {directions}`", guess.name());
            return Err(Error::meaningless(reason, nearest));
        }
        let names: BTreeSet<&str> = parts.iter().map(|part| part.guess.name()).collect();
        if names.len() < parts.len() {
            let expected = "guesses that differ; several directions of one are `NAME:K`";
            return Err(Error::out_of_range("guess", text, expected));
        }
        Ok(Self { parts })
    }
}

/// The part `NAME` or `NAME:K` of a whole text.
fn part(own: &str, whole: &str) -> Result<Part> {
    let (name, count) = own.split_once(':').unwrap_or((own, "1"));
    let guess = KNOWN.find(name)?;
    let most = EstimatorConfig::MOST_DIRECTIONS;
    let directions = count.parse().ok().filter(|directions| (1..=most).contains(directions));
    directions.map(|directions| Part { guess, directions }).ok_or_else(|| {
        Error::out_of_range("guess", whole, format!("a number of directions of `{name}` from 1 to {most}"))
    })
}

as_text!(AnyGuess, GUESSES.iter().map(|guess| (guess.name(), guess.about().into())).collect());
