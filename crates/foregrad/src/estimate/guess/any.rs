//! One guess or several joined: what settings hold and what a step asks.

use std::fmt;
use std::ops::Range;

use super::{Context, Directions, Gradients, Guess, HeadUse, Measured, Needs, Support};
use crate::estimate::choices::Space;
use crate::estimate::engine::Engine;
use crate::estimate::plan::Course;
use crate::estimate::stage::Window;
use crate::estimate::{EstimatorConfig, EstimatorState, StepInput, View};
use crate::vector::ParamVector;
use crate::{Error, Result};

/// A guess, or several with their directions in one orthogonal projection per slot: `local+gaussian:4`.
///
/// ```
/// use foregrad::estimate::AnyGuess;
/// let guess: AnyGuess = "local+gaussian:4".parse()?;
/// assert_eq!(guess.directions(), Some(5));
/// assert_eq!(guess.to_string(), "local+gaussian:4");
/// # Ok::<(), foregrad::Error>(())
/// ```
#[derive(Clone)]
pub struct AnyGuess {
    /// One, whose number of directions is a setting of its own, or several.
    pub(super) parts: Vec<Part>,
}

/// A guess among those of an estimator.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub guess: &'static dyn Guess,
    /// Its directions, of a composite guess.
    pub directions: usize,
}

impl AnyGuess {
    /// One guess.
    pub(super) fn single(guess: &'static dyn Guess) -> Self {
        Self { parts: vec![Part { guess, directions: 1 }] }
    }

    /// The number of directions of a composite guess; of any other the settings say it.
    pub fn directions(&self) -> Option<usize> {
        self.is_composite().then(|| self.parts.iter().map(|part| part.directions).sum())
    }

    /// Whether it is of several guesses.
    pub fn is_composite(&self) -> bool {
        self.parts.len() > 1
    }

    /// What it supports; of a composite guess what all of its parts do together.
    pub fn support(&self) -> Support {
        let supports = || self.parts.iter().map(|part| part.guess.support());
        let [single] = self.parts.as_slice() else {
            return Support {
                spaces: common(supports().map(|support| support.spaces)),
                least_directions: self.parts.len(),
                projection_only: true,
                forward_any_target: supports().all(|support| support.forward_any_target),
                is_random: supports().all(|support| support.is_random),
                is_gradient: supports().all(|support| support.is_gradient),
                is_target: supports().any(|support| support.is_target),
                is_shared: supports().all(|support| support.is_shared),
                needs_buffer: supports().any(|support| support.needs_buffer),
                ..Support::USUAL
            };
        };
        single.guess.support()
    }

    /// The heads it is made of, for a number of directions.
    pub(in crate::estimate) fn heads(&self, directions: usize) -> HeadUse {
        let all: Vec<HeadUse> = self.placed(directions).map(|(guess, places)| guess.heads(places)).collect();
        let mut asking = all.iter().filter(|heads| heads.is_any()).peekable();
        HeadUse {
            own: all.iter().any(|heads| heads.own),
            untrained: asking.peek().is_some() && asking.all(|heads| heads.untrained),
            drawn: all.into_iter().flat_map(|heads| heads.drawn).collect(),
        }
    }

    /// What its parts need beside heads, together.
    pub(in crate::estimate) fn needs(&self, config: &EstimatorConfig) -> Needs {
        self.parts.iter().map(|part| part.guess.needs(config)).fold(Needs::default(), Needs::and)
    }

    /// Whether it is, or has in it, the gradient of a head's loss, so that a guess horizon says of which.
    pub fn looks_ahead(&self) -> bool {
        self.parts.iter().any(|part| part.looks_ahead())
    }

    /// The loss whose gradient a block's guess is made of, if it is made of any.
    pub(in crate::estimate) fn loss(&self, block: usize, course: &Course<'_>) -> Option<usize> {
        self.parts.iter().find(|part| part.uses_heads()).map(|part| part.guess.loss(block, course))
    }

    /// The block at which the last of a block's directions becomes known.
    pub(in crate::estimate) fn ready(&self, block: usize, course: &Course<'_>) -> usize {
        let known = self.parts.iter().map(|part| part.guess.ready(block, course));
        known.chain(self.loss(block, course)).fold(block, usize::max).min(course.depth() - 1)
    }

    /// All directions of a block whose output has a shape; of one guess as many as are asked for.
    pub(in crate::estimate) fn make<'a>(
        &self,
        engine: &Engine<'a>,
        window: &Window<'a>,
        (block, shape): (usize, Option<[usize; 4]>),
        mut gradients: Gradients,
        directions: usize,
    ) -> Directions {
        let mut all: Option<Directions> = None;
        for (guess, places) in self.placed(directions) {
            let heads = guess.heads(places.clone());
            let own = if self.is_composite() { gradients.own.clone() } else { gradients.own.take() };
            let drawn = gradients.drawn.drain(..heads.drawn.len()).collect();
            let own = Gradients { own: own.filter(|_| heads.own), drawn };
            let context = Context::new(engine, window, (block, shape), (guess, places.clone()));
            let made = guess.directions(&context, own);
            let (space, wanted) = (engine.config.space, places.len());
            assert!(
                (made.len(), made.space()) == (wanted, space),
                "the guess `{}` gave {} directions in {} space instead of {wanted} in {space} space (gradients are given to those that `heads` asks for)",
                guess.name(),
                made.len(),
                made.space(),
            );
            if let Some(path) = stray(&made, &context) {
                panic!("the guess `{}` gave `{path}`, which is no path of block {block}'s own", guess.name());
            }
            match &mut all {
                Some(all) => all.extend(made),
                None => all = Some(made),
            }
        }
        all.expect("at least one guess")
    }

    /// Lets each guess learn what a block alone shows, in its own part of the state.
    pub(in crate::estimate) fn learn_block<'a>(
        &self,
        engine: &Engine<'a>,
        window: &Window<'a>,
        (block, shape): (usize, Option<[usize; 4]>),
        state: &mut EstimatorState,
    ) {
        for (guess, places) in self.placed(engine.config.guess_directions()) {
            let mut own = state.of_guess(guess.name());
            guess.learn_block(&Context::new(engine, window, (block, shape), (guess, places)), &mut own);
            state.set_guess(guess.name(), own);
        }
    }

    /// Refuses a state that one of the guesses left to a network of other outputs.
    pub(in crate::estimate) fn validate_state(
        &self,
        view: &View<'_>,
        input: &StepInput<'_>,
        state: &EstimatorState,
    ) -> Result<()> {
        for Part { guess, .. } in &self.parts {
            let own = state.of_guess(guess.name());
            if !own.is_empty() {
                guess.validate_state(&own, &view.outputs(&input.images)?, input.labels.kind())?;
            }
        }
        Ok(())
    }

    /// One of the directions of a block's random guesses in weight space, the same as among all.
    pub(in crate::estimate) fn draw_one(&self, engine: &Engine<'_>, block: usize, direction: usize) -> ParamVector {
        let mut placed = self.placed(engine.config.directions());
        let (guess, _) = placed.find(|(_, places)| places.contains(&direction)).expect("a direction of the guess");
        let window = Window::default();
        let context = Context::new(engine, &window, (block, None), (guess, direction..direction + 1));
        match guess.directions(&context, Gradients::default()) {
            Directions::Weight(vectors) => vectors.into_iter().next().expect("the direction that was asked for"),
            Directions::Activity(_) => panic!("weight space has weight directions"),
        }
    }

    /// Lets each guess learn from what a step has measured, in its own part of the state.
    pub(in crate::estimate) fn learn(&self, measured: &Measured<'_>, state: &mut EstimatorState) {
        for Part { guess, .. } in &self.parts {
            let mut own = state.of_guess(guess.name());
            guess.learn(measured, &mut own);
            state.set_guess(guess.name(), own);
        }
    }

    /// The guesses with the places of their directions.
    fn placed(&self, directions: usize) -> impl Iterator<Item = (&'static dyn Guess, Range<usize>)> + '_ {
        let mut end = 0;
        self.parts.iter().map(move |part| {
            let start = end;
            end += if self.is_composite() { part.directions } else { directions };
            (part.guess, start..end)
        })
    }

    /// The same with another number of directions of one of its guesses.
    fn with_directions(&self, guess: &dyn Guess, directions: usize) -> Self {
        let changed = |part: &Part| match part.guess.name() == guess.name() {
            true => Part { directions, ..*part },
            false => *part,
        };
        Self { parts: self.parts.iter().map(changed).collect() }
    }

    /// Refuses what one of the guesses has no meaning with.
    pub(in crate::estimate) fn validate(&self, config: &EstimatorConfig) -> Result<()> {
        for (guess, places) in self.placed(config.guess_directions()) {
            validate_part(guess, places.len(), config)?;
            guess.validate(config)?;
        }
        if self.is_composite() {
            self.validate_together(config)?;
        }
        Ok(())
    }

    fn validate_together(&self, config: &EstimatorConfig) -> Result<()> {
        let total = config.directions();
        if config.directions != 1 && config.directions != total {
            let reason = format!("the guess `{self}` has {total} directions, not {}", config.directions);
            let nearest = format!("`estimator.guess = {self}` `estimator.directions = {total}`");
            return Err(Error::meaningless(reason, nearest));
        }
        if let Some(part) = self.parts.iter().find(|part| part.guess.support().is_target) {
            let name = part.guess.name();
            let reason = format!("the guess `{name}` is the target itself, to which other directions add nothing");
            return Err(Error::meaningless(reason, format!("`estimator.guess = {name}`")));
        }
        let of_own: Vec<_> = self.parts.iter().filter(|part| part.guess.heads(0..1).own).collect();
        let untrained = |part: &&&Part| part.guess.heads(0..1).untrained;
        if let (Some(kept), Some(learns)) = (of_own.iter().find(untrained), of_own.iter().find(|part| !untrained(part)))
        {
            let (kept, learns) = (kept.guess.name(), learns.guess.name());
            let reason = format!("the heads of `{kept}` keep their first weights, those of `{learns}` learn");
            let nearest = format!("`estimator.guess = {learns}+ntk`, or either of the two");
            return Err(Error::meaningless(reason, nearest));
        }
        Ok(())
    }
}

/// A path of directions that their block does not have: what stands there would be lost.
fn stray(made: &Directions, context: &Context<'_, '_>) -> Option<String> {
    let Directions::Weight(vectors) = made else { return None };
    let own = context.parameters();
    vectors.iter().flat_map(ParamVector::paths).find(|path| own.entry(path).is_none()).map(str::to_string)
}

impl Part {
    fn uses_heads(&self) -> bool {
        self.guess.heads(0..1).is_any()
    }

    fn looks_ahead(&self) -> bool {
        self.uses_heads() && !self.guess.support().is_target
    }
}

/// Refuses a space or a number of directions that a guess does not have.
fn validate_part(guess: &dyn Guess, directions: usize, config: &EstimatorConfig) -> Result<()> {
    let (name, support) = (guess.name(), guess.support());
    let whole = &config.guess;
    if !support.spaces.contains(&config.space) {
        let reason = format!("the guess `{name}` does not exist in {} space", config.space);
        let nearest =
            support.spaces.iter().map(|space| format!("`estimator.guess = {name}` `estimator.space = {space}`"));
        return Err(Error::meaningless(reason, nearest.collect::<Vec<_>>().join(", or ")));
    }
    let asked = |directions: usize| match whole.is_composite() {
        true => format!("`estimator.guess = {}`", whole.with_directions(guess, directions)),
        false => format!("`estimator.guess = {name}` `estimator.directions = {directions}`"),
    };
    if directions > 1 && !support.several {
        let reason = format!("the guess `{name}` has one direction a slot, not {directions}");
        return Err(Error::meaningless(reason, format!("{}, or `estimator.guess = ntk`", asked(1))));
    }
    if directions < support.least_directions {
        let reason = format!("the guess `{name}` needs at least {} directions", support.least_directions);
        return Err(Error::meaningless(reason, asked(support.least_directions)));
    }
    Ok(())
}

/// The spaces that all of some lists hold.
fn common(mut lists: impl Iterator<Item = &'static [Space]>) -> &'static [Space] {
    let first = lists.next().unwrap_or_default();
    lists.fold(first, |common, list| match common.iter().position(|space| list.contains(space)) {
        None => &[],
        Some(_) if common.iter().all(|space| list.contains(space)) => common,
        Some(place) => &common[place..=place],
    })
}

impl Default for AnyGuess {
    fn default() -> Self {
        Self::single(&super::local::Local)
    }
}

impl PartialEq for AnyGuess {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl fmt::Debug for AnyGuess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
