//! What signals ask of a run.
//!
//! | signal | answer |
//! |---|---|
//! | `SIGINT` (Ctrl-C), `SIGTERM`, `SIGHUP`, `SIGUSR2` | write a checkpoint and leave |
//! | `SIGINT` more than a second after such a request | leave at once |
//! | `SIGUSR1` | write a checkpoint and go on |
//!
//! A signal that whoever started this program had ignored (`nohup`) stays ignored.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use foregrad_lab::train::Control;

/// Launchers repeat a signal (GNU `timeout` sends it to the process and to its group): within this time it is the same one.
const REPEATS: Duration = Duration::from_secs(1);

/// What a signal is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    /// Ctrl-C, which a person repeats who will not wait.
    Interrupt,
    /// Any other request to leave.
    Leave,
    /// A request for a checkpoint.
    Checkpoint,
}

/// What is done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Stop,
    Checkpoint,
    EndAtOnce,
}

/// Remembers what was asked for, apart from the system's signals and clock.
#[derive(Debug, Default)]
struct Policy {
    first: Option<Instant>,
}

impl Policy {
    fn answer(&mut self, signal: Signal, now: Instant) -> Answer {
        if signal == Signal::Checkpoint {
            return Answer::Checkpoint;
        }
        let first = *self.first.get_or_insert(now);
        let is_repeated = now.saturating_duration_since(first) > REPEATS;
        if signal == Signal::Interrupt && is_repeated { Answer::EndAtOnce } else { Answer::Stop }
    }
}

/// Turns this process's signals into requests, from now on.
///
/// # Errors
/// The system takes no handler.
pub fn requests() -> Result<Arc<Control>> {
    let control = Arc::new(Control::default());
    let asked = control.clone();
    let mut policy = Policy::default();
    listen(move |signal| match policy.answer(signal, Instant::now()) {
        Answer::Stop => asked.stop(),
        Answer::Checkpoint => asked.checkpoint(),
        Answer::EndAtOnce => super::leave(super::STOPPED),
    })?;
    Ok(control)
}

#[cfg(unix)]
fn listen(mut hear: impl FnMut(Signal) + Send + 'static) -> Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};

    let ignored = ignored();
    let heard = [SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2].into_iter().filter(|signal| !is_ignored(ignored, *signal));
    let mut signals = signal_hook::iterator::Signals::new(heard)?;
    let listener = move || {
        for signal in signals.forever() {
            hear(match signal {
                SIGINT => Signal::Interrupt,
                SIGUSR1 => Signal::Checkpoint,
                _ => Signal::Leave,
            });
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(listener)?;
    Ok(())
}

/// Elsewhere there is Ctrl-C alone.
#[cfg(not(unix))]
fn listen(mut hear: impl FnMut(Signal) + Send + 'static) -> Result<()> {
    Ok(ctrlc::set_handler(move || hear(Signal::Interrupt))?)
}

/// The signals that are ignored, a bit each from 1 on, where Linux tells them; none elsewhere.
#[cfg(unix)]
fn ignored() -> u64 {
    let status = foregrad::files::read_text_if_there(std::path::Path::new("/proc/self/status"));
    let status = status.unwrap_or_else(|error| {
        log::warn!("which signals are ignored is not known: {error}");
        None
    });
    parsed(&status.unwrap_or_default())
}

#[cfg(unix)]
fn parsed(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(unix)]
fn is_ignored(mask: u64, signal: i32) -> bool {
    mask >> (signal - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answers to signals at times in milliseconds.
    fn answers(signals: &[(u64, Signal)]) -> Vec<Answer> {
        let (began, mut policy) = (Instant::now(), Policy::default());
        let answer = |(after, signal): &(u64, Signal)| policy.answer(*signal, began + Duration::from_millis(*after));
        signals.iter().map(answer).collect()
    }

    #[test]
    fn repeats_are_one_request_and_a_later_interrupt_ends_at_once() {
        use Answer::{Checkpoint as Saves, EndAtOnce, Stop};
        use Signal::{Checkpoint, Interrupt, Leave};
        for (signals, expected) in [
            (&[(0u64, Leave), (0, Leave)] as &[(u64, Signal)], &[Stop, Stop] as &[Answer]),
            (&[(0, Interrupt), (400, Interrupt), (999, Interrupt), (1001, Interrupt)], &[Stop, Stop, Stop, EndAtOnce]),
            (&[(0, Leave), (60_000, Leave), (60_001, Interrupt)], &[Stop, Stop, EndAtOnce]),
            (&[(0, Checkpoint), (5000, Interrupt), (6500, Checkpoint)], &[Saves, Stop, Saves]),
        ] {
            assert_eq!(answers(signals), expected, "{signals:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn ignored_signals_are_read_from_the_status_of_a_process() {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let mask = parsed("Name:\tforegrad\nSigBlk:\t0000000000000004\nSigIgn:\t0000000000001003\nSigCgt:\t0\n");
        assert_eq!([SIGHUP, SIGINT, SIGTERM].map(|signal| is_ignored(mask, signal)), [true, true, false]);
        assert_eq!(parsed("Name:\tforegrad\n"), 0);
    }
}
