//! Any parser on any bytes; the variable PARSER names it. `planted` is one with a mistake, which a run must find.
#![no_main]

use std::sync::LazyLock;

use foregrad_lab::parsers::{Format, all};
use foregrad_fuzz::mend::mended;
use foregrad_fuzz::mutate::{Draws, changed};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

static PARSER: LazyLock<Format> = LazyLock::new(|| {
    let name = std::env::var("PARSER").unwrap_or_default();
    let planted = Format { name: "planted", parse: planted };
    let names: Vec<_> = all().iter().map(|format| format.name).collect();
    let found = all().into_iter().chain([planted]).find(|format| format.name == name);
    found.unwrap_or_else(|| panic!("PARSER is {name:?}; expected one of {}", names.join(", ")))
});

/// A length that is trusted.
fn planted(bytes: &[u8]) {
    if let [b'L', length, rest @ ..] = bytes {
        std::hint::black_box(&rest[..usize::from(*length)]);
    }
}

fuzz_target!(|bytes: &[u8]| (PARSER.parse)(bytes));

fuzz_mutator!(|bytes: &mut [u8], size: usize, most: usize, seed: u32| {
    let mut draws = Draws(u64::from(seed));
    if draws.below(2) == 0 {
        return fuzzer_mutate(bytes, size, most);
    }
    let file = changed(&[bytes[..size].to_vec()], &mut draws, most);
    let file = if draws.below(2) == 0 { mended(PARSER.name, &file) } else { file };
    let length = file.len().min(most);
    bytes[..length].copy_from_slice(&file[..length]);
    length
});
