//! Every parser by name, for fuzzers and for tests: what a file or a server gives is bytes, and no bytes may make one panic or take
//! memory out of proportion.

use std::path::Path;

use burn::tensor::{DType, Device};
use serde::de::DeserializeOwned;

use crate::Result;
pub use crate::data::parsers::Format;
use crate::data::parsers::PARSERS;
use crate::study::{Holder, Row, Study};
use crate::train::{Checkpoint, EpochRecord, ProbeRecord, RunConfig};
use foregrad::models::{ModelConfig, NetworkSpec, PlannedNetwork, Registry};
use foregrad::rng::Placement;
use foregrad::weights::{read_batch, read_guesses};

/// What stands for a file's name.
const NAME: &str = "bytes";

/// Parsers of what the program itself writes and takes, beside those of data sets.
const OWN: &[Format] = &[
    Format { name: "weights", parse: |bytes| drop(Checkpoint::from_bytes(Path::new(NAME), bytes, &placement())) },
    Format { name: "batch", parse: |bytes| drop(read_batch(Path::new(NAME), bytes, 10, &placement())) },
    Format { name: "guesses", parse: |bytes| drop(read_guesses(Path::new(NAME), bytes, &placement())) },
    Format { name: "run", parse: |bytes| text(bytes, |text| drop(RunConfig::from_toml(text))) },
    Format { name: "network", parse: |bytes| text(bytes, |text| drop(planned(text))) },
    Format { name: "study", parse: |bytes| text(bytes, |text| drop(Study::from_toml(text, Path::new(NAME)))) },
    Format { name: "epochs", parse: lines::<EpochRecord> },
    Format { name: "probes", parse: lines::<ProbeRecord> },
    Format { name: "row", parse: |bytes| drop(serde_json::from_slice::<Row>(bytes)) },
    Format { name: "claim", parse: |bytes| drop(serde_json::from_slice::<Holder>(bytes)) },
    Format { name: "unknown", parse: |bytes| drop(foregrad::files::what_is(bytes)) },
];

/// All parsers.
pub fn all() -> Vec<Format> {
    [OWN, PARSERS].concat()
}

fn placement() -> Placement {
    Placement { device: Device::flex(), dtype: DType::F32 }
}

fn text(bytes: &[u8], parse: fn(&str)) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        parse(text);
    }
}

/// A network's file, and all that is found out about it before anything is made.
fn planned(text: &str) -> Result<PlannedNetwork> {
    let spec = NetworkSpec::from_toml(text)?;
    let model = ModelConfig { name: spec.name.clone(), network: Some(spec), ..Default::default() };
    model.plan([3, 8, 8], 10, &Registry::default())
}

/// Records, one a line.
fn lines<R: DeserializeOwned>(bytes: &[u8]) {
    bytes.split(|byte| *byte == b'\n').for_each(|line| drop(serde_json::from_slice::<R>(line)));
}
