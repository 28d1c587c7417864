//! Every parser on thousands of damaged files: no panic, and no memory out of proportion.
//!
//! `PARSER_INPUTS=1000000 PARSER=pickle cargo test --release --test parsers -- --nocapture` tries more of one.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use foregrad_lab::parsers::{Format, all};
use peak_alloc::PeakAlloc;

#[path = "../../../fuzz/src/mend.rs"]
mod mend;
#[path = "../../../fuzz/src/mutate.rs"]
mod mutate;

use mend::mended;
use mutate::{Draws, changed};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Memory is the whole process's: one hunt at a time.
static HUNT: Mutex<()> = Mutex::new(());

/// The most memory that a file of up to 1 KiB may take; a larger one as much for every KiB.
const MOST: usize = 64 << 20;

/// The longest file.
const LONGEST: usize = 4096;

/// What is wrong with a parser, and the file that shows it.
#[derive(Debug)]
struct Finding {
    what: String,
    file: Vec<u8>,
}

/// Tries the files as they are and so many changed ones.
fn hunt(format: &Format, files: &[Vec<u8>], inputs: usize) -> Result<usize, Finding> {
    let _alone = HUNT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let silence = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut draws = Draws(format.name.bytes().map(u64::from).sum());
    let change = |_| {
        let file = changed(files, &mut draws, LONGEST);
        if draws.below(2) == 0 { mended(format.name, &file) } else { file }
    };
    let found = files
        .iter()
        .cloned()
        .chain((0..inputs).map(change))
        .try_fold(0, |count, file| judge(format, &file).map_or(Ok(count + 1), |what| Err(Finding { what, file })));
    std::panic::set_hook(silence);
    found
}

/// What goes wrong with a file, if anything does.
fn judge(format: &Format, file: &[u8]) -> Option<String> {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (format.parse)(file))) {
        let text = panic.downcast_ref::<String>().cloned();
        return Some(format!("a panic: {}", text.unwrap_or_else(|| "without words".into())));
    }
    let taken = MEMORY.peak_usage().saturating_sub(before);
    (taken > MOST * file.len().div_ceil(1024).max(1)).then(|| format!("{taken} bytes of memory"))
}

/// Where the files of the parsers are.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

fn sample(place: &str) -> Vec<u8> {
    std::fs::read(folder().join(place)).unwrap_or_else(|error| panic!("{place}: {error}"))
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a file")).collect()
}

#[test]
fn no_bytes_make_a_parser_panic_or_take_memory_out_of_proportion() {
    let inputs = std::env::var("PARSER_INPUTS").map_or(2000, |text| text.parse().expect("a number"));
    let only = std::env::var("PARSER").ok();
    let parsers: Vec<_> =
        all().into_iter().filter(|format| only.as_ref().is_none_or(|only| only == format.name)).collect();
    let mut count = 0;
    for format in &parsers {
        let files = corpus(format.name);
        assert!(!files.is_empty(), "no corpus of {}", format.name);
        count += hunt(format, &files, inputs).unwrap_or_else(|found| {
            let file = String::from_utf8_lossy(&found.file[..found.file.len().min(300)]).into_owned();
            let kept = std::env::temp_dir().join(format!("foregrad-{}", format.name));
            std::fs::write(&kept, &found.file).expect("a file");
            panic!("{}: {} from {file:?}, kept as {}", format.name, found.what, kept.display())
        });
    }
    assert!(!parsers.is_empty(), "no parser of that name");
    // Past the test harness, which holds back what a test that passes prints.
    writeln!(std::io::stderr(), "{count} inputs, {} parsers", parsers.len()).expect("a place for counts");
}

/// Parsers with a mistake behind what a format guards its content by, and a whole file for each.
fn planted() -> Vec<(Format, Vec<u8>)> {
    let gzip = |bytes: &[u8]| mended("gzip", bytes);
    vec![
        (Format { name: "off by one", parse: sliced }, b"\x04four and more".to_vec()),
        (Format { name: "a length that is trusted", parse: reserved }, vec![4, 0, 0, 0, 1, 2, 3, 4]),
        (Format { name: "gzip", parse: behind_gzip }, gzip(b"content")),
        (Format { name: "tar", parse: behind_tar }, sample("tar/plain")),
        (Format { name: "weights", parse: behind_safetensors }, sample("guesses/two")),
        (Format { name: "npz", parse: behind_zip }, sample("npz/npz")),
        (Format { name: "photo", parse: behind_png }, sample("photo/grey.png")),
    ]
}

fn sliced(bytes: &[u8]) {
    if let [length, rest @ ..] = bytes {
        std::hint::black_box(&rest[..usize::from(*length)]);
    }
}

fn reserved(bytes: &[u8]) {
    if let Some((length, _)) = bytes.split_first_chunk::<4>() {
        // Bounded, so that the mistake is found and the machine is spared.
        std::hint::black_box(Vec::<u8>::with_capacity((u32::from_le_bytes(*length) & 0x0fff_ffff) as usize));
    }
}

fn behind_gzip(bytes: &[u8]) {
    let mut content = Vec::new();
    if std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes), &mut content).is_ok() {
        assert!(content.is_empty() || content.starts_with(b"content"), "other content");
    }
}

fn behind_tar(bytes: &[u8]) {
    let unpacked = flate2::read::GzDecoder::new(bytes);
    for member in tar::Archive::new(unpacked).entries().into_iter().flatten().flatten() {
        assert!(member.path_bytes().starts_with(b"set"), "another name");
    }
}

fn behind_safetensors(bytes: &[u8]) {
    if let Ok(file) = safetensors::SafeTensors::deserialize(bytes) {
        assert!(file.names().iter().all(|name| name.starts_with("guess/")), "another name");
    }
}

fn behind_zip(bytes: &[u8]) {
    if let Ok(mut archive) = zip::ZipArchive::new(std::io::Cursor::new(bytes)) {
        let mut content = Vec::new();
        let read = archive.by_name("data.npy").map(|mut file| std::io::Read::read_to_end(&mut file, &mut content));
        assert!(!matches!(read, Ok(Ok(_))) || content.get(6..8) == Some(&[1, 0]), "another version");
    }
}

fn behind_png(bytes: &[u8]) {
    let reader = image::ImageReader::with_format(std::io::Cursor::new(bytes), image::ImageFormat::Png);
    if let Ok((width, _)) = reader.into_dimensions() {
        assert_eq!(width, 24, "another width");
    }
}

#[test]
fn planted_mistakes_are_found() {
    for (format, file) in planted() {
        let found = hunt(&format, std::slice::from_ref(&file), 20_000).expect_err(format.name);
        println!("{}: {}", format.name, found.what);
    }
}

/// A parser that goes as deep as its file is nested; an overflow ends the process, so another one tries it.
#[test]
fn a_planted_recursion_ends_the_process() {
    fn depth(bytes: &[u8]) -> usize {
        let frame = std::hint::black_box([0u8; 512]);
        match bytes {
            [b'[', rest @ ..] => 1 + depth(rest) + usize::from(frame[0]),
            _ => 0,
        }
    }
    fn deep(bytes: &[u8]) {
        std::hint::black_box(depth(&bytes.repeat(4096)));
    }
    if std::env::var_os("PLANTED").is_some() {
        let format = Format { name: "nested", parse: deep };
        let _ = hunt(&format, &[vec![b'['; 64]], 100);
        return;
    }
    let program = std::env::current_exe().expect("this program");
    let child = ["--exact", "a_planted_recursion_ends_the_process"];
    let ended = Command::new(program).args(child).env("PLANTED", "yes").output().expect("a process");
    assert_eq!(ended.status.code(), None, "a stack overflow ends a process by a signal");
}
