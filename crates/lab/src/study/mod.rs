//! Studies: grids of runs that survive interruption, spread over machines, and end in rows.
//!
//! A [`Study`] is a file; [`Study::runs`] makes a list of it, [`execute`] runs one entry of the list, and [`Results`] is all
//! there is in a study's folder. Nothing but that folder is shared between the processes that work on a study.

mod claim;
mod definition;
mod execute;
mod machine;
mod paper;
mod planned_run;
mod results;
mod row;

pub use claim::{Claim, Holder, PATIENCE, Sighting, Standing, Watch};
pub use definition::{Axis, Study};
pub use execute::{Attempt, Terms, execute};
pub use paper::{Published, published};
pub use planned_run::PlannedRun;
pub use results::{Results, RunResult, prepare, run_folder};
pub use row::{Ending, Machine, Row};

/// Declares the studies that come with the program: the files of the folder `studies`.
macro_rules! presets {
    ($($name:literal),* $(,)?) => {
        /// The studies that come with the program, by name, with their text.
        pub const PRESETS: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../studies/", $name, ".toml")))),*];
    };
}

presets![
    "quick",
    "table2",
    "table2-imagenet32",
    "table3",
    "table3-imagenet32",
    "table4",
    "table5",
    "table6",
    "table7",
    "table8",
    "table9",
    "table10",
    "table11",
    "table12",
    "slice",
    "directions",
    "horizon",
    "literature",
    "granularity",
    "cost",
    "arena",
    "arena-small",
    "parity",
    "parity-small",
    "within-a-point",
];
