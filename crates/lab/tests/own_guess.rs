//! A run along a guess that the laboratory does not know: probed, kept, and gone on with to the same bits.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod runs;

use std::ops::Range;

use foregrad::estimate::guess::{HeadUse, Measured};
use foregrad::estimate::{AnyGuess, Context, Directions, EstimatorState, Gradients, Guess, Space, Support};
use foregrad_lab::train::{Changes, Checkpoint, Control, RunConfig, Silent, Trainer};
use runs::{checkpoints, cpu, records, run, tensors, tiny};

/// A running mean of past updates; before the first, the gradient of the block's head.
#[derive(Debug)]
struct Trend;

impl Guess for Trend {
    fn name(&self) -> &str {
        "trend"
    }

    fn about(&self) -> &str {
        "a running mean of past updates"
    }

    fn support(&self) -> Support {
        Support { spaces: &[Space::Weight], ..Support::SINGLE }
    }

    fn heads(&self, _: Range<usize>) -> HeadUse {
        HeadUse::own()
    }

    fn directions(&self, context: &Context<'_, '_>, gradients: Gradients) -> Directions {
        match context.of_block(&context.state().tensors) {
            Some(mean) => Directions::Weight(vec![mean]),
            None => context.in_space(gradients.own),
        }
    }

    fn learn(&self, measured: &Measured<'_>, state: &mut EstimatorState) {
        state.tensors = std::mem::take(&mut state.tensors).scaled(0.9).axpy(0.1, measured.update);
        *state.numbers.entry("steps".into()).or_default() += 1.0;
    }
}

#[test]
fn it_is_kept_with_the_run_and_gone_on_with_to_the_same_bits() {
    let dir = tempfile::tempdir().expect("a folder");
    let [whole, halves] = ["whole", "halves"].map(|name| dir.path().join(name));
    for parts in ["trend", "trend+gaussian:2"] {
        let mut config = RunConfig { probe_every: 3, ..tiny() };
        config.estimator.guess = AnyGuess::of(Trend).expect("a name of its own");
        if parts != "trend" {
            config.estimator.guess = parts.parse().expect("names that are known");
        }
        let [whole, halves] = [&whole, &halves].map(|folder| folder.join(parts));
        run(&config, &whole);
        run(&RunConfig { epochs: 1, ..config.clone() }, &halves);
        let more = Changes { epochs: Some(2), ..Default::default() };
        let mut trainer = Trainer::resume(&halves, None, &more, cpu()).expect("a run to go on with");
        trainer.run(&Control::default(), &mut Silent).expect("a whole run");
        assert!(tensors(&whole) == tensors(&halves), "{parts}: the checkpoints differ");
        assert_eq!(records(&whole, "probes.jsonl"), records(&halves, "probes.jsonl"), "{parts}");
        let newest = checkpoints(&halves).pop().expect("a checkpoint");
        let kept = Checkpoint::load(&newest, &cpu()).expect("a checkpoint");
        assert_eq!(kept.config.estimator.guess.to_string(), parts);
        assert_eq!(kept.estimator.numbers["guess.trend.steps"], 10.0, "two epochs of five steps");
        let learnt = kept.estimator.of_guess("trend").tensors;
        assert!(learnt.entry("fc.bias").is_some() && kept.state.paths().all(|path| !path.starts_with("estimator")));
    }
}
