//! `foregrad eval`.

use std::path::PathBuf;

use anyhow::Result;
use burn::tensor::DType;
use clap::Args;
use foregrad::estimate::{Plan, View};
use foregrad::models::ModelConfig;
use foregrad::weights;
use foregrad_lab::train::{Checkpoint, Loaded, RunConfig, Score, Tally, data_for, evaluate, of_network};

use super::train::metric_of;
use crate::flags::{Data, Flags, Machine, Model};
use crate::{Exit, output, table};

/// The arguments of `eval`.
#[derive(Args)]
#[command(after_help = "Examples:
  foregrad eval --weights runs/first/checkpoint-00000312.safetensors
  foregrad eval --weights resnet18.safetensors --model resnet18-8b --dataset cifar10 --data-dir DATA")]
pub struct Arguments {
    /// A checkpoint (which knows its data set and model, and which heads learnt), or a file of weights
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// JSON on standard output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: Flags<Data>,
    #[command(flatten)]
    model: Flags<Model>,
    #[command(flatten)]
    machine: Flags<Machine>,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<Exit> {
    let placement = arguments.machine.prepared(DType::F32)?;
    let (mut config, trained_on, tensors, is_checkpoint) =
        match Checkpoint::load_or_weights(&arguments.weights, &placement)? {
            Loaded::Checkpoint(checkpoint) => (checkpoint.config, checkpoint.data, checkpoint.state, true),
            Loaded::Weights(tensors) => {
                (RunConfig { model: ModelConfig::default(), ..Default::default() }, None, tensors, false)
            }
        };
    arguments.data.apply(&mut config)?;
    arguments.model.apply(&mut config)?;
    arguments.machine.apply(&mut config)?;
    config.model.validate()?;
    let test = data_for(&config, trained_on.as_ref())?.test;
    let mut network = config.model.init(test.shape(), test.kind(), config.seed, &placement)?;
    weights::assign(&mut network, &tensors, &arguments.weights)?;
    let has_head = |block: usize| tensors.paths().any(|path| path.starts_with(&format!("heads.{block}.")));
    // A checkpoint has the heads that its run did not train, too: their score would be that of their first weights.
    let trains = Plan::new(&config.estimator, &View::new(&network)).trains;
    let heads: Vec<bool> =
        (0..network.heads.len()).map(|block| has_head(block) && (trains[block] || !is_checkpoint)).collect();
    let tallies = evaluate(&network, &test, &heads, &placement)?;
    print(&tallies, arguments.json)?;
    Ok(Exit::Done)
}

fn print(tallies: &[Tally], json: bool) -> Result<()> {
    let scores: Vec<_> = tallies.iter().map(Tally::score).collect();
    if json {
        return output::line(serde_json::to_string(&scores)?);
    }
    let last = scores.len() - 1;
    let rows: Vec<Vec<String>> = scores
        .iter()
        .enumerate()
        .filter_map(|(block, score)| {
            let score = score.as_ref()?;
            let name = if block == last { "network".to_string() } else { format!("head {block}") };
            Some(vec![name, format!("{:.4}", score.loss), metric_of(score)])
        })
        .collect();
    let metric = of_network(&scores).and_then(Score::metric).map_or("metric".into(), |[name, _]| name);
    output::line(table::render(&["loss of", "test loss", &format!("test {metric}")], &rows))
}
