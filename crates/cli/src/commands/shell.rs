//! `foregrad completions` and `foregrad man`: what a shell and a manual need, made of the commands themselves.

use anyhow::Result;
use clap::Args;
use clap_complete::Shell;

use crate::{Exit, output};

/// The arguments of `completions`.
#[derive(Args)]
#[command(after_help = "Examples:
  foregrad completions bash > ~/.local/share/bash-completion/completions/foregrad
  foregrad completions zsh > ~/.zfunc/_foregrad
  foregrad completions fish > ~/.config/fish/completions/foregrad.fish")]
pub struct CompletionsArguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// The arguments of `man`.
#[derive(Args)]
#[command(after_help = "Examples:
  foregrad man > foregrad.1
  foregrad man train > foregrad-train.1
  foregrad man study | man -l -")]
pub struct ManArguments {
    /// The page of this command [default: of all commands]
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

/// Writes a script of completions.
pub fn completions(arguments: CompletionsArguments) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut crate::command(), "foregrad", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Done)
}

/// Writes a page of the manual.
pub fn man(arguments: ManArguments) -> Result<Exit> {
    let mut command = crate::command();
    command.build();
    if let Some(name) = &arguments.command {
        let shown = |own: &&clap::Command| !own.is_hide_set();
        let names: Vec<String> =
            command.get_subcommands().filter(shown).map(|own| own.get_name().to_string()).collect();
        let Some(own) = command.get_subcommands().filter(shown).find(|own| own.get_name() == name) else {
            let known: Vec<&str> = names.iter().map(String::as_str).collect();
            return Err(foregrad::Error::unknown_name("command", name, &known).into());
        };
        command = own.clone();
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    output::line(String::from_utf8_lossy(&page).trim_end())?;
    Ok(Exit::Done)
}
