//! A guess of one's own: what it needs, its directions, and what it carries from step to step.
//!
//! `cargo run --release --package foregrad --example own_guess`
#![allow(clippy::print_stdout, reason = "an example prints what it finds")]

use std::ops::Range;

use foregrad::check;
use foregrad::estimate::guess::{HeadUse, Measured};
use foregrad::estimate::{AnyGuess, Context, Directions, EstimatorState, Gradients, Guess, Space, Support};

/// The running mean of past updates; before there is one, the gradient of the block's own head.
#[derive(Debug)]
struct Trend {
    decay: f64,
}

impl Guess for Trend {
    fn name(&self) -> &str {
        "trend"
    }

    fn about(&self) -> &str {
        "the running mean of past updates"
    }

    fn support(&self) -> Support {
        Support { spaces: &[Space::Weight], ..Support::SINGLE }
    }

    fn heads(&self, _directions: Range<usize>) -> HeadUse {
        HeadUse::own()
    }

    fn directions(&self, context: &Context<'_, '_>, gradients: Gradients) -> Directions {
        match context.of_block(&context.state().tensors) {
            Some(mean) => Directions::Weight(vec![mean]),
            None => context.in_space(gradients.own),
        }
    }

    fn learn(&self, measured: &Measured<'_>, state: &mut EstimatorState) {
        let past = std::mem::take(&mut state.tensors).scaled(self.decay);
        state.tensors = past.axpy(1.0 - self.decay, measured.update);
    }
}

fn main() -> foregrad::Result<()> {
    let guess = AnyGuess::of(Trend { decay: 0.9 })?;
    check::guess(&guess).into_result()?;
    // From now on its name is known, alone and beside others.
    println!("{} directions in one projection", "trend+gaussian:4".parse::<AnyGuess>()?.directions().unwrap_or(1));
    Ok(())
}

#[test]
fn it_runs() {
    main().expect("a guess that is right");
}
