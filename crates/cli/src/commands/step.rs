//! `foregrad step`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use burn::tensor::{DType, Tensor};
use clap::{Args, ValueEnum};
use foregrad::estimate::{self, Collect, EstimatorState, StepInput, StepOutput, View};
use foregrad::losses::Labels;
use foregrad::models::ModelConfig;
use foregrad::rng::Placement;
use foregrad::vector::ParamVector;
use foregrad::weights;
use foregrad::{estimate::EstimatorConfig, files};
use foregrad_lab::train::{Checkpoint, Loaded, RunConfig};

use crate::flags::{Estimator, Flags, Machine, Model};
use crate::{Exit, output, place};

/// Floating-point types of a step.
#[derive(Clone, Copy, ValueEnum)]
enum Dtype {
    F32,
    F64,
}

/// The arguments of `step`.
#[derive(Args)]
#[command(after_help = "Names in the output:
  update/PATH          the gradient estimate of the mean loss, without weight decay
  guess/D/PATH         the guess of direction D in weight space; guess/D/blocks.J in activity space; guess/corrected/..
                       is the guess that directions correct, guess/noise/blocks.J the noise that feedback learns from
  scalar/SLOT          <target, guess>, [directions, samples] or [directions, 1]
  loss/heads.J, loss/network
  state/PATH           what the estimator carries to the next step, of methods that do: mixing's running means
                       (state/mix.SLOT), coefficients kept between measurements (state/kept.SLOT.D), the fit of a
                       corrected guess (state/correct.SLOT.NAME) and what a guess learns (state/guess.NAME.PATH);
                       a checkpoint brings its own

Example:
  foregrad init --model resnet18-8b --out w.safetensors
  foregrad step --model resnet18-8b --weights w.safetensors --batch b.safetensors --out u.safetensors --dtype f64")]
pub struct Arguments {
    /// Weights (safetensors with PyTorch's names) or a checkpoint
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// `images` (floating-point, normalised, NCHW) with `labels` (classes, or rows with a single 1), or with `values`
    #[arg(long, value_name = "FILE")]
    batch: PathBuf,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Guesses to use, named as in the output
    #[arg(long, value_name = "FILE")]
    guess_file: Option<PathBuf>,
    /// Floating-point type of the computation
    #[arg(long, value_enum, default_value = "f32")]
    dtype: Dtype,
    /// Classes [default: the classifier's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    classes: Option<u32>,
    /// Number of the step: names its random draws
    #[arg(long, value_name = "N", default_value_t = 0)]
    step: u64,
    #[command(flatten)]
    model: Flags<Model>,
    #[command(flatten)]
    estimator: Flags<Estimator>,
    #[command(flatten)]
    machine: Flags<Machine>,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<Exit> {
    let dtype = match arguments.dtype {
        Dtype::F32 => DType::F32,
        Dtype::F64 => DType::F64,
    };
    place::for_file("--out", &arguments.out)?;
    let placement = arguments.machine.prepared(dtype)?;
    let (mut config, tensors, state, momentum) = match Checkpoint::load_or_weights(&arguments.weights, &placement)? {
        Loaded::Checkpoint(checkpoint) => {
            let Checkpoint { config, state, optimizer, estimator, .. } = *checkpoint;
            (config, state, estimator, optimizer.scoped("buffer"))
        }
        Loaded::Weights(tensors) => {
            let config = RunConfig { model: ModelConfig::default(), ..Default::default() };
            (config, tensors, EstimatorState::default(), ParamVector::default())
        }
    };
    arguments.model.apply(&mut config)?;
    arguments.estimator.apply(&mut config)?;
    arguments.machine.apply(&mut config)?;
    let of_classifier = config.model.spec()?.labels_of(&tensors);
    let (images, labels) = read_batch(&arguments, of_classifier, &placement)?;
    let [_, channels, height, width] = images.dims();
    let mut network = config.model.init([channels, height, width], labels.kind(), config.seed, &placement)?;
    weights::assign(&mut network, &tensors, &arguments.weights)?;
    let given = arguments.guess_file.as_deref().map(|file| read_guesses(file, &placement)).transpose()?;
    let input = StepInput {
        momentum: Some(&momentum),
        given: given.as_ref(),
        collect: Collect::Everything,
        ..StepInput::new(images, &labels, config.seed, arguments.step)
    };
    if config.model.target_head.is_some() {
        config.estimator.validate_target_heads(View::new(&network).count_losses())?;
    }
    let stepped = estimate::step(&config.estimator, &network, &input, &state);
    let stepped = match &arguments.guess_file {
        Some(file) => stepped.with_context(|| format!("with the guesses D.PATH of {}", file.display()))?,
        None => stepped?,
    };
    weights::save(&arguments.out, &named(&stepped, &placement), described(&config.estimator))?;
    let update = stepped.update.norm();
    let (tensors, file) = (stepped.update.len(), arguments.out.display());
    output::remark(format_args!("the update (norm {update:.6e}, {tensors} tensors) is in {file}"));
    Ok(Exit::Done)
}

/// Images and labels; the classes are those of the flag, else of the classifier.
fn read_batch(
    arguments: &Arguments,
    of_classifier: Option<usize>,
    placement: &Placement,
) -> Result<(Tensor<4>, Labels)> {
    let path = &arguments.batch;
    let classes = arguments.classes.map(|classes| classes as usize).or(of_classifier).unwrap_or(10);
    Ok(weights::read_batch(path, &files::read(path)?, classes, placement)?)
}

fn read_guesses(path: &Path, placement: &Placement) -> Result<ParamVector> {
    Ok(weights::read_guesses(path, &files::read(path)?, placement)?)
}

/// Everything a step gives, under the names of the output file.
fn named(output: &StepOutput, placement: &Placement) -> ParamVector {
    let mut named = ParamVector::default();
    for (path, entry) in output.update.iter() {
        named.insert_entry(format!("update/{path}"), entry.clone());
    }
    for (path, entry) in output.guesses.iter() {
        let (direction, inner) = path.split_once('.').unwrap_or(("0", path));
        named.insert_entry(format!("guess/{direction}/{inner}"), entry.clone());
    }
    for scalars in &output.scalars {
        let shape = [scalars.values.len(), scalars.values[0].len()];
        let values = scalars.values.iter().flatten().copied().collect();
        named.insert::<2>(format!("scalar/{}", scalars.slot), placement.tensor(values, shape));
    }
    for (path, entry) in output.state.tensors.iter() {
        named.insert_entry(format!("state/{path}"), entry.clone());
    }
    for (path, number) in &output.state.numbers {
        named.insert::<1>(format!("state/{path}"), placement.tensor(vec![*number], [1]));
    }
    let last = output.evaluations.len() - 1;
    for (block, evaluation) in output.evaluations.iter().enumerate() {
        if let Some(evaluation) = evaluation {
            let name = if block == last { "loss/network".into() } else { format!("loss/heads.{block}") };
            named.insert::<1>(name, placement.tensor(vec![evaluation.loss], [1]));
        }
    }
    named
}

fn described(config: &EstimatorConfig) -> weights::Metadata {
    let text = serde_json::to_string(config).expect("settings are plain values");
    weights::Metadata::from([("estimator".to_string(), text)])
}
