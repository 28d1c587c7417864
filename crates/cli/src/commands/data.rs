//! `foregrad data`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use foregrad_lab::data::{
    self, ByHand, DATASETS, DownloadOptions, Downloaded, FileStatus, LoadOptions, Patience, Transferred,
};
use indicatif::{ProgressBar, ProgressStyle};

use crate::flags::DATA_FOLDER;
use crate::{Exit, output, place, table};

/// The arguments of `data`.
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the data sets
    List {
        /// JSON on standard output
        #[arg(long)]
        json: bool,
    },
    /// Download a data set from where its authors publish it; an interrupted download goes on
    Download {
        /// Data set
        #[arg(value_name = "NAME")]
        dataset: String,
        /// Folder that gets a folder of the data set's name
        #[arg(long, value_name = "DIR", env = DATA_FOLDER)]
        data_dir: PathBuf,
        /// Address to take the files from instead of the official one
        #[arg(long, value_name = "URL")]
        mirror: Option<String>,
        /// No progress and no messages
        #[arg(long)]
        quiet: bool,
    },
    /// Check that a data set's files are there and whole
    Verify {
        #[command(flatten)]
        source: Source,
        /// JSON on standard output
        #[arg(long)]
        json: bool,
    },
    /// Write a contact sheet, one row a class
    Preview {
        #[command(flatten)]
        source: Source,
        /// PNG file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Images a class
        #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=64))]
        columns: u16,
    },
}

#[derive(Args)]
struct Source {
    /// Data set, or your own data: images:DIR
    #[arg(long, value_name = "NAME")]
    dataset: String,
    /// Folder (or archive) of its files, or the one above it
    #[arg(long, value_name = "DIR", env = DATA_FOLDER)]
    data_dir: Option<PathBuf>,
    /// The seed of generated images
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Side of the square that your own pictures are scaled and cut to
    #[arg(long, value_name = "N")]
    image_size: Option<usize>,
}

impl Source {
    fn options(&self) -> LoadOptions {
        let Self { data_dir: dir, seed, image_size, .. } = self;
        LoadOptions { dir: dir.clone(), seed: *seed, image_size: *image_size, ..Default::default() }
    }
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<Exit> {
    match arguments.command {
        Command::List { json } => list(json)?,
        Command::Download { dataset, data_dir, mirror, quiet } => {
            place::for_folder("--data-dir", &data_dir.join(&dataset))?;
            download(&dataset, &DownloadOptions { dir: data_dir, mirror, patience: Patience::default() }, quiet)?;
        }
        Command::Verify { source, json } => return verify(&source, json),
        Command::Preview { source, out, columns } => {
            place::for_file("--out", &out)?;
            let splits = data::load(&source.dataset, &source.options())?;
            data::write_preview(&*splits.train, usize::from(columns), &out)?;
            let (count, file) = (splits.train.len(), out.display());
            output::remark(format_args!("{count} training images; the first of each class are in {file}"));
        }
    }
    Ok(Exit::Done)
}

fn list(json: bool) -> Result<()> {
    if json {
        let entries: Vec<_> =
            DATASETS.iter().map(|entry| serde_json::json!({ "name": entry.name, "about": entry.about })).collect();
        return output::line(serde_json::Value::from(entries));
    }
    let rows: Vec<_> = DATASETS.iter().map(|entry| format!("{:<16} {}", entry.name, entry.about)).collect();
    output::line(rows.join("\n"))
}

fn download(dataset: &str, options: &DownloadOptions, quiet: bool) -> Result<()> {
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::no_length() };
    let mut name = String::new();
    let outcome = data::download(dataset, options, &mut |state| show(&bar, &mut name, state));
    bar.finish_and_clear();
    match outcome? {
        Downloaded::There(dir) if !quiet => output::remark(format_args!("`{dataset}` is in {}", dir.display())),
        Downloaded::There(_) => {}
        Downloaded::Generated => output::line(format_args!("`{dataset}` is generated: it has no files"))?,
        Downloaded::ByHand(ByHand { address, dir, files }) => {
            let rows: Vec<_> = files.iter().map(|(file, md5)| vec![file.to_string(), md5.to_string()]).collect();
            output::line(format_args!(
                "`{dataset}` needs an account: fetch it from {address} and put these files into {}",
                dir.display()
            ))?;
            output::line(table::render(&["file", "md5"], &rows))?;
        }
    }
    Ok(())
}

/// Draws how far a file has come; a new file starts a new bar.
fn show(bar: &ProgressBar, name: &mut String, state: Transferred) {
    if name.as_str() != state.file {
        *name = state.file.to_string();
        bar.reset();
        bar.set_message(name.clone());
    }
    match state.total {
        Some(total) if bar.length() != Some(total) => {
            // What is there from an earlier try does not count as fetched in no time.
            bar.set_style(style("{bar:24} {msg}  {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left"));
            bar.set_length(total);
            bar.set_position(state.done);
            bar.reset_eta();
        }
        None => bar.set_style(style("{spinner} {msg}  {bytes}  {bytes_per_sec}")),
        Some(_) => {}
    }
    bar.set_position(state.done);
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("a template without mistakes")
}

fn verify(source: &Source, json: bool) -> Result<Exit> {
    let reports = data::verify(&source.dataset, &source.options())?;
    if json {
        output::line(serde_json::to_string(&reports)?)?;
    } else if reports.is_empty() {
        output::line(format_args!("`{}` is generated: it has no files", source.dataset))?;
    } else {
        let row = |report: &data::FileReport| {
            let status = match (report.status, &report.expected) {
                (FileStatus::Verified, _) => format!("as published{}", decoded(report)),
                (FileStatus::Present, _) => format!("no published digest{}", decoded(report)),
                (FileStatus::Missing, _) => "missing".to_string(),
                (FileStatus::Differs, expected) => format!("expected {}", expected.as_deref().unwrap_or("another")),
            };
            vec![report.path.display().to_string(), report.bytes.to_string(), report.md5.clone(), status]
        };
        let rows: Vec<_> = reports.iter().map(row).collect();
        output::line(table::render(&["file", "bytes", "md5", "status"], &rows))?;
        output::remark(checked(&reports));
    }
    let bad = |report: &data::FileReport| matches!(report.status, FileStatus::Differs | FileStatus::Missing);
    Ok(if reports.iter().any(bad) { Exit::Failed } else { Exit::Done })
}

fn decoded(report: &data::FileReport) -> &'static str {
    if report.decoded { ", decoded" } else { ", not decoded" }
}

/// What was checked, and what was not.
fn checked(reports: &[data::FileReport]) -> String {
    let count = |wanted: fn(&data::FileReport) -> bool| reports.iter().filter(|report| wanted(report)).count();
    let decoded = match count(|report| report.decoded) {
        0 => "nothing was decoded, because files are missing",
        _ => "every image and label was decoded",
    };
    let unknown = count(|report| report.status == FileStatus::Present);
    let rest = match unknown {
        0 => String::new(),
        _ => format!("; of {unknown} no digest is published, so that they are the authors' was not checked"),
    };
    format!("{decoded}{rest}; other files beside them were not looked at")
}
