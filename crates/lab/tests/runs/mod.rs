//! Runs of a few seconds, and what they leave.
#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::path::Path;

use burn::tensor::{DType, Device};
use foregrad::rng::Placement;
use foregrad::weights;
use foregrad_lab::train::{Control, RunConfig, Silent, Trainer};

pub fn cpu() -> Placement {
    Placement { device: Device::flex(), dtype: DType::F32 }
}

/// A run of a few seconds.
pub fn tiny() -> RunConfig {
    let mut config = RunConfig { epochs: 2, batch: 16, checkpoint_every: 1, ..Default::default() };
    config.data.train_limit = Some(80);
    config.data.test_limit = Some(20);
    config.model.width = 0.05;
    config
}

pub fn run(config: &RunConfig, folder: &Path) -> Vec<u8> {
    let mut trainer = Trainer::start(config, cpu(), folder, false).expect("a run");
    trainer.run(&Control::default(), &mut Silent).expect("a whole run");
    newest(folder)
}

/// The bytes of the newest checkpoint.
pub fn newest(folder: &Path) -> Vec<u8> {
    std::fs::read(checkpoints(folder).pop().expect("a checkpoint")).expect("bytes")
}

pub fn checkpoints(folder: &Path) -> Vec<std::path::PathBuf> {
    let names = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut found: Vec<_> = names.filter(|path| path.extension().is_some_and(|end| end == "safetensors")).collect();
    found.sort();
    found
}

/// The tensors of a checkpoint, without the seconds that its text holds.
pub fn tensors(folder: &Path) -> Vec<(String, Vec<u32>)> {
    let path = checkpoints(folder).pop().expect("a checkpoint");
    let (tensors, _) = weights::load(&path, &cpu()).expect("a checkpoint");
    let bits = |values| -> Vec<u32> {
        foregrad::ops::host(values).into_iter().map(|value| (value as f32).to_bits()).collect()
    };
    tensors.iter().map(|(path, entry)| (path.to_string(), bits(entry.values()))).collect()
}

/// The records of a run's file, without what differs from run to run.
pub fn records(folder: &Path, name: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.join(name)).expect("records");
    let line = |line: &str| {
        let mut value: serde_json::Value = serde_json::from_str(line).expect("a record");
        for key in ["seconds", "images_per_second", "peak_memory"] {
            value.as_object_mut().expect("an object").remove(key);
        }
        value
    };
    text.lines().map(line).collect()
}
