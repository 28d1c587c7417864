//! Who works on what: many processes may share a study's folder, and no two of them ever work on one run.
//!
//! A claim has two parts. The first is a lock on `claim.lock` in the run's folder, held for the claim's life: the system
//! releases it however the process dies. Some file systems have no locks, and some keep them to one machine or one mount
//! without saying so; the second part, a file with a number that is made exclusively ([`file`]), excludes there too. Its
//! holder writes into it every few seconds, and a waiter takes over
//! * at once if the holder is known to be gone: no such process any more, or the very lock that it had is free;
//! * else once the waiter itself has seen no change for all of [`PATIENCE`]. It begins a little later, so that a holder that
//!   was only slow has noticed its loss.
//!
//! A holder that cannot give signs of life gives up in half of that time. What no file can prevent: a process that the
//! system stops for longer than the waiting time, on a file system without locks, may write once more when it is woken.

mod file;
mod holder;
#[cfg(test)]
mod tests;
mod watch;

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use file::{Content, Found, Own};

pub use file::Sighting;
pub use holder::Holder;
pub use watch::{Standing, Watch};

use crate::Result;
use foregrad::files::{self, Lock, Locking};

const LOCK: &str = "claim.lock";

/// Without a sign of life for as long, a holder that may be alive is taken for gone.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The times of a claim.
#[derive(Debug, Clone, Copy)]
struct Rhythm {
    /// Between two signs of life.
    beat: Duration,
    /// For as long a claim may give none and be kept.
    longest: Duration,
    /// Between taking a claim over and working on it.
    pause: Duration,
}

const RHYTHM: Rhythm =
    Rhythm { beat: Duration::from_secs(5), longest: Duration::from_secs(60), pause: Duration::from_secs(10) };

impl Content {
    /// The first content of a claim of this process, which has locked a file of a number of the kernel's.
    fn new(lock: Option<String>) -> Self {
        let holder = Holder::this();
        let lock = holder.boot().zip(lock).map(|(boot, number)| format!("{boot}:{number}"));
        Self { holder, lock, beats: 0, released: false }
    }
}

/// A run that this process holds; dropping it gives the run back.
#[derive(Debug)]
pub struct Claim {
    shared: Arc<Shared>,
    /// Ends the heartbeat when it is dropped.
    end: Option<Sender<()>>,
    heart: Option<JoinHandle<()>>,
    /// Released last.
    _lock: Option<Lock>,
}

/// What a claim and its heartbeat share.
#[derive(Debug)]
struct Shared {
    own: Mutex<Own>,
    loss: Mutex<Option<String>>,
}

impl Claim {
    /// Claims a run's folder, or tells who holds it. `silent` is what a [`Watch`] saw unchanged for its whole waiting time;
    /// `on_loss` is called, by another thread, as soon as the claim is lost.
    ///
    /// # Errors
    /// A folder that cannot be read and written: it may be held.
    pub fn take(
        folder: &Path,
        silent: Option<&Sighting>,
        on_loss: impl FnOnce() + Send + 'static,
    ) -> Result<std::result::Result<Self, Holder>> {
        Self::take_with(folder, silent, on_loss, RHYTHM)
    }

    fn take_with(
        folder: &Path,
        silent: Option<&Sighting>,
        on_loss: impl FnOnce() + Send + 'static,
        rhythm: Rhythm,
    ) -> Result<std::result::Result<Self, Holder>> {
        files::create_folder(folder)?;
        let lock = match files::try_lock(&folder.join(LOCK))? {
            Locking::Held(lock) => Some(lock),
            Locking::Unsupported => None,
            Locking::Busy => return Ok(Err(holder_of(folder)?)),
        };
        let content = Content::new(lock.as_ref().map(Lock::number).transpose()?.flatten());
        let found = Found::newest(folder)?;
        let is_over = found.as_ref().is_none_or(|found| found.is_over(&content));
        if let Some(found) = found.as_ref().filter(|found| !is_over && silent != Some(&found.sighting())) {
            return Ok(Err(found.holder()));
        }
        let Some(own) = Own::make(folder, found.map_or(0, |found| found.number), content)? else {
            return Ok(Err(holder_of(folder)?));
        };
        let claim = Self::beating(own, lock, on_loss, rhythm);
        if !is_over {
            std::thread::sleep(rhythm.pause);
        }
        Ok(Ok(claim))
    }

    fn beating(own: Own, lock: Option<Lock>, on_loss: impl FnOnce() + Send + 'static, rhythm: Rhythm) -> Self {
        let shared = Arc::new(Shared { own: Mutex::new(own), loss: Mutex::new(None) });
        let (end, ended) = channel();
        let heart = {
            let shared = shared.clone();
            std::thread::spawn(move || {
                if shared.beat(&ended, rhythm) {
                    on_loss();
                }
            })
        };
        Self { shared, end: Some(end), heart: Some(heart), _lock: lock }
    }

    /// Why the run is not this process's any more, if so, by a look at the folder now.
    ///
    /// # Errors
    /// A folder that cannot be read: whether the claim holds is then unknown.
    pub fn loss(&self) -> Result<Option<String>> {
        if let Some(loss) = guarded(&self.shared.loss).clone() {
            return Ok(Some(loss));
        }
        let loss = guarded(&self.shared.own).loss()?;
        guarded(&self.shared.loss).clone_from(&loss);
        Ok(loss)
    }
}

impl Shared {
    /// Gives signs of life until the claim ends; whether that was because it was lost.
    fn beat(&self, ended: &Receiver<()>, rhythm: Rhythm) -> bool {
        let mut last = Instant::now();
        while ended.recv_timeout(rhythm.beat) == Err(RecvTimeoutError::Timeout) {
            let loss = match guarded(&self.own).beat() {
                Ok(loss) => loss,
                // A file system may be away for a moment; others wait for longer than this.
                Err(_) if last.elapsed() < rhythm.longest => continue,
                Err(error) => Some(format!("no sign of life for {} s: {}", rhythm.longest.as_secs(), told(&error))),
            };
            if loss.is_some() {
                *guarded(&self.loss) = loss;
                return true;
            }
            last = Instant::now();
        }
        false
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.end.take();
        if let Some(heart) = self.heart.take() {
            // It only ever ends; a panic there has nothing to add.
            let _ = heart.join();
        }
        if guarded(&self.shared.loss).is_some() {
            return;
        }
        if let Err(error) = guarded(&self.shared.own).release() {
            log::warn!("a run could not be given back, others may wait for it: {}", told(&error));
        }
    }
}

fn holder_of(folder: &Path) -> Result<Holder> {
    Ok(Found::newest(folder)?.map_or_else(Holder::default, |found| found.holder()))
}

/// An error with its causes, on a line.
fn told(error: &crate::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// What a thread that panicked left is as good as any: every write is whole.
fn guarded<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
