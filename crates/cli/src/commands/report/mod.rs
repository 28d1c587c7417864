//! `foregrad report`.

mod serve;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use foregrad_lab::report::{self, Page, Summary, Table};
use foregrad_lab::study::Results;

use crate::{Exit, output, place, table};
use serve::{Answer, Server};

/// The arguments of `report`.
#[derive(Args)]
#[command(after_help = "Examples:
  foregrad report runs/quick                  report.html, report.md, report.tex, rows.csv, rows.parquet beside the runs
  foregrad report runs/quick --out summary    the same, elsewhere
  foregrad report runs/quick --json           also the summary on standard output
  foregrad report runs/quick --watch          a page that follows the study while it runs")]
pub struct Arguments {
    /// Folder of a study
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Folder to write into [default: the study's]
    #[arg(long, value_name = "DIR", conflicts_with = "watch")]
    out: Option<PathBuf>,
    /// JSON on standard output
    #[arg(long, conflicts_with = "watch")]
    json: bool,
    /// Serve the report to a browser on this machine until interrupted; write nothing
    #[arg(long)]
    watch: bool,
    /// Port to serve on; 0 takes a free one
    #[arg(long, value_name = "N", default_value_t = 8765, requires = "watch")]
    port: u16,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<Exit> {
    if let Some(out) = &arguments.out {
        place::for_folder("--out", out)?;
    }
    let results = Results::read(&arguments.folder)?;
    if arguments.watch {
        return watch(&arguments.folder, arguments.port);
    }
    let files = report::write(&results, arguments.out.as_deref().unwrap_or(&arguments.folder))?;
    let summary = Summary::of(&results);
    if arguments.json {
        output::line(serde_json::to_string(&summary)?)?;
    } else {
        output::line(shown(&summary))?;
    }
    let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    output::remark(format_args!("{} The report is in {}", summary.progress(), files.join(", ")));
    Ok(Exit::Done)
}

/// The table for a terminal.
pub fn shown(summary: &Summary) -> String {
    let cells = Table::of(summary);
    let shown: Vec<usize> = (0..cells.columns.len()).filter(|column| !cells.columns[*column].is_prose).collect();
    let header: Vec<&str> = shown.iter().map(|column| cells.columns[*column].title.as_str()).collect();
    let rows: Vec<Vec<String>> =
        cells.rows.iter().map(|row| shown.iter().map(|column| row[*column].text.clone()).collect()).collect();
    table::render(&header, &rows)
}

/// Serves the page, made anew from the folder for every request.
fn watch(folder: &Path, port: u16) -> Result<Exit> {
    let server = Server::bind(port)?;
    output::line(format_args!("http://{}", server.address()))?;
    output::remark("Ctrl-C ends it");
    server.run(|path| match path {
        "/" => Some(Answer::Page(match Results::read(folder) {
            Ok(results) => report::html(&results, Page::Live),
            Err(error) => report::failure(&error),
        })),
        "/plotly.js" => Some(Answer::Script(report::library())),
        _ => None,
    });
    Ok(Exit::Done)
}
