//! Guesses by name: which names there are, and the text of one guess or of several.

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::{PoisonError, RwLock};

use super::any::Part;
use super::{AnyGuess, GUESSES, Guess};
use crate::estimate::EstimatorConfig;
use crate::{Error, Result, as_text};

/// The guesses of other crates whose names are known to this process: those that [`AnyGuess::of`] has seen.
static FOREIGN: RwLock<Vec<&'static dyn Guess>> = RwLock::new(Vec::new());

impl AnyGuess {
    /// A guess of any crate. From now on its name can be read by this process, in settings and in files. It stays in memory for good; one
    /// that was seen before is taken again.
    ///
    /// # Errors
    /// A name that is no name; one that another guess has; a random guess that is made of heads.
    pub fn of(guess: impl Guess) -> Result<Self> {
        let name = guess.name();
        let is_plain = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(is_plain) {
            return Err(Error::out_of_range("the name of a guess", format!("`{name}`"), "letters, digits and dashes"));
        }
        if guess.support().is_random && guess.heads(0..1).is_any() {
            let found = format!("random, though `{name}` is made of heads");
            return Err(Error::out_of_range("a guess", found, "a random guess to be made of its streams alone"));
        }
        let mut foreign = FOREIGN.write().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = GUESSES.iter().chain(foreign.iter()).copied().find(|known| known.name() == name) else {
            let guess: &'static dyn Guess = Box::leak(Box::new(guess));
            foreign.push(guess);
            return Ok(Self::single(guess));
        };
        if (known as &dyn Any).type_id() == guess.type_id() && format!("{known:?}") == format!("{guess:?}") {
            return Ok(Self::single(known));
        }
        let found = format!("`{name}`, the name of another guess, {known:?}");
        Err(Error::out_of_range("the name of a guess", found, "a name of its own"))
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
    let foreign = FOREIGN.read().unwrap_or_else(PoisonError::into_inner);
    let known: Vec<&'static dyn Guess> = GUESSES.iter().chain(foreign.iter()).copied().collect();
    let Some(guess) = known.iter().copied().find(|guess| guess.name() == name) else {
        let names: Vec<&str> = known.iter().map(|guess| guess.name()).collect();
        return Err(Error::unknown_name("guess", name, &names));
    };
    let most = EstimatorConfig::MOST_DIRECTIONS;
    let directions = count.parse().ok().filter(|directions| (1..=most).contains(directions));
    directions.map(|directions| Part { guess, directions }).ok_or_else(|| {
        Error::out_of_range("guess", whole, format!("a number of directions of `{name}` from 1 to {most}"))
    })
}

as_text!(AnyGuess, GUESSES.iter().map(|guess| (guess.name(), guess.about().into())).collect());
