//! A guess of one's own, checked and trained with: `cargo run --release --package foregrad --example own_guess`.
#![allow(clippy::print_stdout, reason = "an example prints what it finds")]

use foregrad::check;
use foregrad::estimate::*;
use foregrad::losses::Labels;
use foregrad::models::ModelConfig;
use foregrad::optim::{Optimizer, OptimizerConfig};
use foregrad::rng::Stream;

/// Normal numbers in the biases, zero elsewhere.
#[derive(Debug)]
struct Biases;

impl Guess for Biases {
    fn name(&self) -> &str {
        "biases"
    }

    fn about(&self) -> &str {
        "normal numbers in the biases alone"
    }

    fn support(&self) -> Support {
        Support { spaces: &[Space::Weight], ..Support::USUAL }
    }

    fn directions(&self, context: &Context<'_, '_>, _: Gradients) -> Directions {
        let direction = |place: usize| {
            let stream = context.stream().at(place as u64);
            context.parameters().filled_like(|path, shape| match path.ends_with("bias") {
                true => stream.named(path).normal(shape.iter().product()),
                false => vec![0.0; shape.iter().product()],
            })
        };
        Directions::Weight(context.directions().map(direction).collect())
    }
}

fn main() -> foregrad::Result<()> {
    check::guess(&AnyGuess::of(Biases)?).into_result()?;
    // From now on its name can be read: in settings, in files of runs, and joined with others.
    let config = EstimatorConfig { guess: "local+biases:2".parse()?, ..Default::default() };
    let mut network = ModelConfig { width: 0.1, ..Default::default() }.init([1, 8, 8], 2, 0, &check::placement())?;
    let images = Stream::new(0, "images").normal_tensor([16, 1, 8, 8], &check::placement());
    let labels = Labels::classes([0, 1].repeat(8), 2);
    let mut optimizer = Optimizer::new(&OptimizerConfig::default());
    for number in 0..20 {
        let output = step(&config, &network, &StepInput::new(images.clone(), &labels, 0, number), &Default::default())?;
        network.assign(&optimizer.step(0.05, &network.parameters(), &output.update));
        println!("step {number}: {:?}", output.evaluations.last());
    }
    Ok(())
}

#[test]
fn it_runs() {
    main().expect("a guess that is right");
}
