//! The binary under test, and files that it is given.
#![allow(dead_code, clippy::disallowed_methods, reason = "each test takes what it needs, and makes files on purpose")]

use std::path::Path;
use std::process::Command;

use safetensors::tensor::{Dtype, TensorView};

/// How the binary ended: exit code, standard output, standard error.
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub said: String,
}

/// The binary with arguments in a folder, which are separated by spaces.
pub fn command(dir: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foregrad"));
    command.current_dir(dir).args(arguments.split_whitespace()).env_remove("FOREGRAD_DATA");
    command
}

/// A command's end, which is never a panic.
pub fn end_of(mut command: Command) -> Ended {
    let output = command.output().expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_string();
    let said = text(&output.stderr);
    assert!(!said.contains("panicked"), "{command:?}: {said}");
    Ended { code: output.status.code(), out: text(&output.stdout), said }
}

/// Exit code and standard error.
pub fn run(dir: &Path, arguments: &str) -> (Option<i32>, String) {
    let Ended { code, said, .. } = end_of(command(dir, arguments));
    (code, said)
}

/// Standard output of a command that must succeed.
pub fn succeeds(dir: &Path, arguments: &str) -> String {
    let Ended { code, out, said } = end_of(command(dir, arguments));
    assert_eq!(code, Some(0), "`{arguments}`: {said}");
    out
}

/// Standard error of a command that must be refused.
pub fn fails(dir: &Path, arguments: &str, code: i32) -> String {
    let ended = end_of(command(dir, arguments));
    assert_eq!(ended.code, Some(code), "`{arguments}`: {}", ended.said);
    assert!(ended.said.starts_with("error: "), "`{arguments}`: {}", ended.said);
    ended.said
}

/// A batch of images of `shape` with labels.
pub fn write_batch(path: &Path, shape: [usize; 4], labels: &[i64]) {
    let size: usize = shape.iter().product();
    let images: Vec<u8> = (0..size).flat_map(|i| ((i as f32 * 0.37).sin()).to_le_bytes()).collect();
    let bytes: Vec<u8> = labels.iter().flat_map(|label| label.to_le_bytes()).collect();
    let views = [
        ("images", TensorView::new(Dtype::F32, shape.to_vec(), &images).expect("images")),
        ("labels", TensorView::new(Dtype::I64, vec![labels.len()], &bytes).expect("labels")),
    ];
    std::fs::write(path, safetensors::serialize(views, None).expect("bytes")).expect("a file");
}
