//! A device that stops working in the middle of the work: Burn panics then, on whatever thread it meets the failure.

use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::sync::{Mutex, PoisonError};

use crate::{output, process};

/// Where the library reads from devices.
const READING: &str = "ops/reading.rs";

/// From now on a panic that comes from the device is an error that names it, with exit code 1. The program ends at once, since
/// tensors that are dropped after it would panic again; what has been written by then is whole, as after any other end.
pub(super) fn watch(name: &str) {
    let (name, user) = (name.to_string(), std::thread::current().id());
    let usual = take_hook();
    let first: Mutex<Option<String>> = Mutex::new(None);
    set_hook(Box::new(move |panic| {
        if !is_of_a_device(panic) {
            return usual(panic);
        }
        // A driver's own threads fail first, with the reason; whoever waits for them is told later.
        let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
        let reason = first.get_or_insert_with(|| told(panic));
        if std::thread::current().id() == user {
            output::remark(format_args!(
                "error: the device `{name}` stopped working: {reason}; what was written before is whole, and a run goes on from its \
                 last checkpoint with --resume"
            ));
            process::leave(1);
        }
    }));
}

/// Whether a panic began in what drives devices, and not in a mistake of ours.
fn is_of_a_device(panic: &PanicHookInfo<'_>) -> bool {
    let file = panic.location().map_or("", |location| location.file());
    !file.starts_with("crates/") || file.ends_with(READING)
}

/// A panic's first line, and where it was.
fn told(panic: &PanicHookInfo<'_>) -> String {
    let line = super::first_line(panic.payload());
    panic.location().map_or(line.clone(), |place| format!("{line} ({}:{})", place.file(), place.line()))
}
