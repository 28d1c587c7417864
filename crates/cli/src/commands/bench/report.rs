//! What a bench found, as a table.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::memory::Account;
use super::row::Row;
use crate::{output, table};

/// What was measured of a method.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Measurement {
    #[serde(flatten)]
    pub row: Row,
    /// Seconds of each step, of the slowest rank.
    pub seconds: Vec<f64>,
    pub median_seconds: f64,
    pub minimum_seconds: f64,
    /// Operations of a step, of all ranks: products only.
    pub operations: u64,
    /// Largest resident memory of a process, bytes; none where other methods were measured before in the same one.
    pub peak_memory: Option<u64>,
    /// Operations a second of the fastest step over the machine's peak.
    pub fraction_of_peak: Option<f64>,
    /// Bytes that a rank other than the root sends a step, the most of any; none of a process by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_a_step: Option<u64>,
    /// Whose the peak is, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
}

/// A whole bench.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub instructions: &'static str,
    /// Of each process.
    pub threads: usize,
    /// Processes that share each batch.
    pub ranks: usize,
    pub device: String,
    /// The allocator of this build, unless it is the program's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocator: Option<&'static str>,
    /// Operations a second of fused multiply-adds in registers, of all ranks, measured in this run; none on a GPU.
    pub peak_operations_per_second: Option<f64>,
    pub methods: Vec<Measurement>,
}

impl Report {
    /// The accounts of memory, by method.
    pub fn accounts(&self) -> impl Iterator<Item = (String, &Account)> {
        self.methods.iter().filter_map(|measured| Some((measured.row.to_string(), measured.account.as_ref()?)))
    }

    /// The table of times; with a column for each direction's where directions were asked for, and one of what ranks send.
    fn table(&self) -> String {
        let has_directions = self.methods.iter().any(|measured| measured.row.directions.is_some());
        let mut header = vec!["method", "median s", "min s", "GFLOP", "GFLOP/s", "of peak", "peak MiB"];
        let mut rows: Vec<_> = self.methods.iter().map(Measurement::cells).collect();
        if has_directions {
            header.push("s a direction");
            let each = |measured: &Measurement| Some(measured.median_seconds / measured.row.directions? as f64);
            let cells =
                self.methods.iter().map(|measured| each(measured).map_or("-".into(), |each| format!("{each:.3}")));
            rows.iter_mut().zip(cells).for_each(|(row, cell)| row.push(cell));
        }
        if self.ranks > 1 {
            header.push("bytes a step");
            let sent = self.methods.iter().map(|measured| measured.bytes_a_step.unwrap_or_default());
            rows.iter_mut().zip(sent).for_each(|(row, sent)| row.push(sent.to_string()));
        }
        table::render(&header, &rows)
    }

    /// Prints all of it.
    pub fn print(&self) -> Result<()> {
        output::line(self.table())?;
        let lines: Vec<_> = self.accounts().flat_map(|(method, account)| account.rows(&method)).collect();
        if !lines.is_empty() {
            output::line(format_args!("\n{}", table::render(&["method", "memory of", "MiB", "of peak"], &lines)))?;
        }
        let peak = self.peak_operations_per_second.map_or("-".into(), |peak| format!("{:.0} GFLOP/s", peak * 1e-9));
        let Self { instructions, threads, device, ranks, .. } = self;
        let allocator = self.allocator.map(|name| format!("allocator {name}, ")).unwrap_or_default();
        let ranks = if *ranks > 1 { format!("{ranks} processes of ") } else { String::new() };
        output::line(format_args!(
            "\n{device}, {instructions}, {allocator}{ranks}{threads} threads; fused multiply-add peak {peak}"
        ))?;
        match self.methods.iter().any(|measured| measured.peak_memory.is_none()) {
            true => {
                output::line("Peak memory is told of a single method: processes of a job measure all of theirs in one.")
            }
            false => Ok(()),
        }
    }
}

impl Measurement {
    fn cells(&self) -> Vec<String> {
        let billions = self.operations as f64 * 1e-9;
        vec![
            self.row.to_string(),
            format!("{:.3}", self.median_seconds),
            format!("{:.3}", self.minimum_seconds),
            format!("{billions:.1}"),
            format!("{:.1}", billions / self.minimum_seconds),
            self.fraction_of_peak.map_or("-".into(), |part| format!("{:.0} %", 100.0 * part)),
            self.peak_memory.map_or("-".into(), |peak| format!("{:.0}", peak as f64 / f64::from(1 << 20))),
        ]
    }
}
