//! `foregrad check`.
use anyhow::Result;
/// The arguments of `check`.
#[derive(clap::Args)]
pub struct Arguments {}
/// Runs the command.
pub fn run(_arguments: Arguments) -> Result<crate::Ending> {
    Ok(crate::Ending::Done)
}
