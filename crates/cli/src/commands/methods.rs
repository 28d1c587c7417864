//! `foregrad methods`.

use anyhow::Result;
use clap::Args;
use foregrad::estimate::{METHODS, Method};
use serde::Serialize;

use crate::{Exit, flags, output};

/// The arguments of `methods`.
#[derive(Args)]
#[command(after_help = "Examples:
  foregrad methods
  foregrad train $(foregrad methods local-activity-mixed-forward --flags)
  foregrad bench --methods backprop,local-weight-network-forward")]
pub struct Arguments {
    /// Only this method [default: all]
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Its flags alone
    #[arg(long, requires = "name", conflicts_with = "json")]
    flags: bool,
    /// JSON on standard output: name, what it is, settings and flags
    #[arg(long)]
    json: bool,
}

/// A method with the flags of its settings.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    method: &'static Method,
    flags: String,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<Exit> {
    let methods: Vec<&'static Method> = match &arguments.name {
        Some(name) => vec![Method::named(name)?],
        None => METHODS.iter().collect(),
    };
    let listed: Vec<Listed> = methods.into_iter().map(|method| Listed { method, flags: flags_of(method) }).collect();
    if arguments.json {
        output::line(serde_json::to_string(&listed)?)?;
    } else if arguments.flags {
        listed.iter().try_for_each(|listed| output::line(&listed.flags))?;
    } else {
        for Listed { method, flags } in &listed {
            output::line(format_args!("{:<34}{}\n{:<34}{flags}", method.name, method.about, ""))?;
        }
    }
    Ok(Exit::Done)
}

/// A method's settings as flags.
fn flags_of(method: &Method) -> String {
    let flag = |(place, value): &(&str, &str)| flags::as_flag(&format!("estimator.{place}"), Some(value));
    method.settings.iter().filter_map(flag).collect::<Vec<_>>().join(" ")
}
