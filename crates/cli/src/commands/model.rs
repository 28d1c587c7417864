//! `foregrad model`.

use anyhow::Result;
use clap::{Args, Subcommand};
use foregrad::layers::{Kind, LAYER_KINDS, PlannedChain, size_text};
use foregrad::models::{MODELS, ModelConfig, NetworkSpec, PlannedBlock, PlannedHead, PlannedNetwork, Registry};
use foregrad::settings::Setting;
use foregrad_lab::train::RunConfig;
use serde::Serialize;

use crate::flags::{Building, Flags};
use crate::{Exit, output, table};

/// The arguments of `model`.
#[derive(Args)]
#[command(after_help = "Examples:
  foregrad model list
  foregrad model show resnet18-8b --image 3x32x32 --classes 10
  foregrad model show resnet18-8b > mine.toml && foregrad train --model mine.toml")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the networks that have a name
    List {
        /// JSON on standard output
        #[arg(long)]
        json: bool,
    },
    /// List the layers that a file of a network can name, with their settings
    Layers {
        /// JSON on standard output
        #[arg(long)]
        json: bool,
    },
    /// Show a network as a file that --model takes, with shapes, parameters and FLOP of its blocks in comments
    ///
    /// Widths in the file are those before --width. FLOP are the multiplications and additions of products, of one image, forward.
    Show(Show),
}

#[derive(Args)]
struct Show {
    /// A name of the list, or a file
    #[arg(value_name = "NAME|FILE")]
    model: String,
    /// Channels, height and width of an image
    #[arg(long, value_name = "CxHxW", default_value = "3x32x32")]
    image: String,
    /// Classes
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..))]
    classes: u32,
    /// JSON on standard output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    building: Flags<Building>,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<Exit> {
    match arguments.command {
        Command::List { json } => list(json)?,
        Command::Layers { json } => layers(json)?,
        Command::Show(show) => show.run()?,
    }
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Named {
    name: &'static str,
    about: &'static str,
}

fn list(json: bool) -> Result<()> {
    let all: Vec<_> = MODELS.iter().map(|model| Named { name: model.name, about: model.about }).collect();
    if json {
        return output::line(serde_json::to_string(&all)?);
    }
    all.iter().try_for_each(|Named { name, about }| output::line(format_args!("{name:<14}{about}")))
}

#[derive(Serialize)]
struct Layer {
    #[serde(flatten)]
    named: Named,
    /// Lists of layers that it holds.
    lists: &'static [&'static str],
    settings: Vec<LayerSetting>,
}

#[derive(Serialize)]
struct LayerSetting {
    name: String,
    about: String,
    needed: bool,
    /// None where it is needed, or may be left out.
    default: Option<String>,
}

impl Layer {
    fn of(kind: &Kind) -> Self {
        let setting = |Setting { place, about, default, choices, .. }: Setting| {
            let needed = kind.needs.contains(&place.as_str());
            let default = if needed { None } else { in_files(default, !choices.is_empty()) };
            LayerSetting { name: place, about, needed, default }
        };
        let named = Named { name: kind.name, about: kind.about };
        Self { named, lists: kind.chains, settings: kind.settings().into_iter().map(setting).collect() }
    }
}

/// A default as files have it: truth values, and nothing where a setting may be left out.
fn in_files(default: String, is_switch: bool) -> Option<String> {
    match (default.as_str(), is_switch) {
        ("on", true) => Some("true".into()),
        ("off", true) => Some("false".into()),
        ("off", false) => None,
        _ => Some(default),
    }
}

fn layers(json: bool) -> Result<()> {
    let all: Vec<Layer> = LAYER_KINDS.iter().map(Layer::of).collect();
    if json {
        return output::line(serde_json::to_string(&all)?);
    }
    for Layer { named: Named { name, about }, lists, settings } in &all {
        output::line(format_args!("{name:<20}{about}"))?;
        lists.iter().try_for_each(|list| output::line(format_args!("    {list:<16}a list of layers")))?;
        for LayerSetting { name, about, needed, default } in settings {
            let default = default.as_ref().map_or(String::new(), |default| format!(" [default: {default}]"));
            let need = if *needed { " [needed]" } else { "" };
            output::line(format_args!("    {name:<16}{about}{need}{default}"))?;
        }
    }
    Ok(())
}

/// A part of a network: its output and what it costs.
#[derive(Serialize)]
struct Part {
    name: String,
    output: [usize; 3],
    #[serde(flatten)]
    cost: Cost,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<Cost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_head: Option<Cost>,
}

#[derive(Serialize, Clone, Copy, Default)]
struct Cost {
    parameters: u64,
    flop: u64,
}

/// All that is shown.
#[derive(Serialize)]
struct Shown {
    spec: NetworkSpec,
    image: [usize; 3],
    classes: u32,
    width: f64,
    parts: Vec<Part>,
    total: Cost,
    heads: Cost,
}

impl Cost {
    fn of(chain: &PlannedChain) -> Self {
        Self { parameters: chain.weights(), flop: chain.flop() }
    }

    fn of_head(head: &PlannedHead) -> Self {
        Self { parameters: head.weights, flop: head.flop }
    }

    fn sum(costs: impl Iterator<Item = Self>) -> Self {
        costs.fold(Self::default(), |sum, cost| Self {
            parameters: sum.parameters.saturating_add(cost.parameters),
            flop: sum.flop.saturating_add(cost.flop),
        })
    }

    /// As cells of a table.
    fn cells(self) -> [String; 2] {
        [self.parameters.to_string(), format!("{:.3}", self.flop as f64 / 1e6)]
    }
}

impl Part {
    fn of_block((number, block): (usize, &PlannedBlock)) -> Self {
        let PlannedBlock { layers, head, target_head, .. } = block;
        let [head, target_head] = [head, target_head].map(|head| head.as_ref().map(Cost::of_head));
        Self { name: format!("block {number}"), output: layers.output(), cost: Cost::of(layers), head, target_head }
    }

    /// All its heads together.
    fn heads(&self) -> Option<Cost> {
        let heads = [self.head, self.target_head].into_iter().flatten();
        self.head.is_some().then(|| Cost::sum(heads))
    }

    fn row(&self) -> Vec<String> {
        let heads = self.heads().map_or(["-".to_string(), "-".to_string()], Cost::cells);
        [vec![self.name.clone(), size_text(self.output)], self.cost.cells().to_vec(), heads.to_vec()].concat()
    }
}

impl Show {
    fn run(&self) -> Result<()> {
        let model = ModelConfig { name: self.model.clone(), ..Default::default() };
        let mut config = RunConfig { model, ..Default::default() };
        self.building.apply(&mut config)?;
        let image = super::init::parse_image(&self.image)?;
        let planned = config.model.plan(image, self.classes as usize, &Registry::default())?;
        let shown = self.shown(config.model.spec()?, image, config.model.width, &planned);
        if self.json {
            return output::line(serde_json::to_string(&shown)?);
        }
        output::line(format_args!("{}\n{}", shown.comments(), shown.spec.to_toml().trim_end()))
    }

    fn shown(&self, spec: NetworkSpec, image: [usize; 3], width: f64, planned: &PlannedNetwork) -> Shown {
        let classifier = &planned.classifier;
        let (name, output) = ("classifier".to_string(), classifier.output());
        let last = Part { name, output, cost: Cost::of(classifier), head: None, target_head: None };
        let parts: Vec<Part> = planned.blocks.iter().enumerate().map(Part::of_block).chain([last]).collect();
        let total = Cost::sum(parts.iter().map(|part| part.cost));
        let heads = Cost::sum(parts.iter().filter_map(Part::heads));
        Shown { spec, image, classes: self.classes, width, parts, total, heads }
    }
}

impl Shown {
    /// The table, each line of it a comment of the file.
    fn comments(&self) -> String {
        let Self { spec, image, classes, width, .. } = self;
        let title = format!("{}: {} images, {classes} classes, width {width}", spec.name, size_text(*image));
        let mut rows: Vec<_> = self.parts.iter().map(Part::row).collect();
        rows.push(
            [vec!["all".to_string(), String::new()], self.total.cells().to_vec(), self.heads.cells().to_vec()].concat(),
        );
        let has_two = self.parts.iter().any(|part| part.target_head.is_some());
        let heads = if has_two { "of the heads" } else { "of the head" };
        let table = table::render(&["", "output", "parameters", "MFLOP", heads, "MFLOP"], &rows);
        let lines = std::iter::once(title.as_str()).chain(table.lines());
        lines.map(|line| format!("# {line}").trim_end().to_string() + "\n").collect()
    }
}
