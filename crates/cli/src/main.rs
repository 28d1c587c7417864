//! The `foregrad` binary: arguments, dispatch, exit codes; no algorithm.
//!
//! Exit codes: 0 done, 1 the run or check failed, 2 bad usage or input, 130 stopped by a signal, whichever it was.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose"))]

mod commands;
mod device;
mod flags;
mod job;
mod machine;
mod output;
mod place;
mod process;
mod progress;
mod table;
mod version;

use std::io::Write;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: machine::Chosen = machine::CHOSEN;

/// Train neural networks with forward gradients.
///
/// The gradient is known only through directional derivatives, taken along guessed directions by forward-mode
/// differentiation.
#[derive(Parser)]
#[command(name = "foregrad", version = version::FULL, max_term_width = 110, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  foregrad study quick                                  four kinds of guess on drawn glyphs, in a minute or two
  foregrad train                                        a narrow net on drawn glyphs, local guesses, forward mode
  foregrad train --dataset cifar10 --data-dir DATA --model resnet18-8b --width 0.25 --space activity
  foregrad train --guess gaussian --directions 4 --lr 0.005
  foregrad train --guess exact --mode oracle            end-to-end training, for comparison
  foregrad bench                                        time and memory of a step, method by method
  foregrad check                                        the derivative identities of every part
  foregrad data list                                    what there is to train on";

#[derive(Subcommand)]
enum Command {
    /// Train one run, or go on with one
    Train(Box<commands::train::Arguments>),
    /// Run a grid of runs, go on with one, or list it
    Study(Box<commands::study::Arguments>),
    /// Make tables, charts and a page of a study's results, or follow it live
    Report(Box<commands::report::Arguments>),
    /// Measure time, memory and FLOP/s of one step of every method
    Bench(Box<commands::bench::Arguments>),
    /// List the methods that have a name, with their flags
    Methods(Box<commands::methods::Arguments>),
    /// List the networks that have a name, or show what one or a file is made of
    Model(Box<commands::model::Arguments>),
    /// Check the derivative identities of every layer, head, model and estimator
    Check(Box<commands::check::Arguments>),
    /// Score a checkpoint or file of weights on a data set
    Eval(Box<commands::eval::Arguments>),
    /// Compute one step's update from given weights and batch, as safetensors
    Step(Box<commands::step::Arguments>),
    /// Write fresh weights to start from
    Init(Box<commands::init::Arguments>),
    /// List, verify and preview data sets
    Data(Box<commands::data::Arguments>),
    /// Write completions for a shell
    Completions(Box<commands::shell::CompletionsArguments>),
    /// Write a page of the manual
    Man(Box<commands::shell::ManArguments>),
    /// One piece of work of a parent process
    #[command(name = commands::work::NAME, hide = true)]
    Work(commands::work::Arguments),
}

/// How a command ended, if not by an error.
pub enum Exit {
    /// All went well.
    Done,
    /// Something that was checked did not hold.
    Failed,
    /// The user stopped it.
    Interrupted,
}

/// The command line, with the defaults of a run's settings in the help of `train`. A negative number is a value, refused
/// under its flag's name, and no flag of its own.
fn command() -> clap::Command {
    negative(Cli::command().mut_subcommand("train", flags::with_defaults))
}

/// `--epochs -3` is a wrong number of epochs and no flag `-3`, in every command.
fn negative(command: clap::Command) -> clap::Command {
    let takes_value = |argument: &clap::Arg| argument.get_action().takes_values();
    let allowed =
        |argument: clap::Arg| if takes_value(&argument) { argument.allow_negative_numbers(true) } else { argument };
    command.mut_args(allowed).mut_subcommands(negative)
}

fn main() -> ! {
    let code = run();
    // Who no longer reads has nothing to miss.
    let _ = std::io::stdout().flush();
    process::leave(code)
}

/// Does what the arguments say, and gives the exit code.
fn run() -> u8 {
    machine::keep_freed();
    output::show_warnings();
    let matches = command().get_matches();
    let command = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()).command;
    if let Err(reason) = foregrad_kernels::instructions::requested() {
        output::remark(format_args!("error: {reason}"));
        return 2;
    }
    let ending = match command {
        Command::Train(arguments) => commands::train::run(*arguments),
        Command::Study(arguments) => commands::study::run(*arguments),
        Command::Report(arguments) => commands::report::run(*arguments),
        Command::Bench(arguments) => commands::bench::run(*arguments),
        Command::Methods(arguments) => commands::methods::run(*arguments),
        Command::Model(arguments) => commands::model::run(*arguments),
        Command::Check(arguments) => commands::check::run(*arguments),
        Command::Eval(arguments) => commands::eval::run(*arguments),
        Command::Step(arguments) => commands::step::run(*arguments),
        Command::Init(arguments) => commands::init::run(*arguments),
        Command::Data(arguments) => commands::data::run(*arguments),
        Command::Completions(arguments) => commands::shell::completions(*arguments),
        Command::Man(arguments) => commands::shell::man(*arguments),
        Command::Work(arguments) => commands::work::run(&arguments),
    };
    match ending {
        Ok(Exit::Done) => 0,
        Ok(Exit::Failed) => 1,
        Ok(Exit::Interrupted) => process::STOPPED,
        Err(error) => {
            let code = exit_code(&error);
            output::remark(format_args!("error: {}", told(error)));
            code
        }
    }
}

/// An error with what it came of; settings stand under their flags, as the user wrote them.
fn told(error: anyhow::Error) -> String {
    let contexts: Vec<String> = error.chain().map(ToString::to_string).collect();
    let own = error.chain().position(|cause| cause.is::<foregrad::Error>());
    match (own, error.downcast::<foregrad::Error>()) {
        (Some(place), Ok(own)) => {
            let mut contexts = contexts;
            contexts[place] = flags::in_flags(own).to_string();
            contexts.join(": ")
        }
        _ => contexts.join(": "),
    }
}

/// 1 for a run that failed, 2 for usage or input that can be mended.
fn exit_code(error: &anyhow::Error) -> u8 {
    let usage = error.downcast_ref::<foregrad::Error>().is_none_or(foregrad::Error::is_usage);
    if usage { 2 } else { 1 }
}
