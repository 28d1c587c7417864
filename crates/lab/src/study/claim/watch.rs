//! Waiting for a run that another process holds.

use std::path::Path;
use std::time::{Duration, Instant};

use super::file::{Content, Found, Sighting};
use super::{Holder, LOCK, PATIENCE};
use crate::Result;
use foregrad::files::{self, Locking};

/// What a waiter finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nobody holds the run.
    Free,
    /// A process holds it, as far as is known.
    Held(Holder),
    /// Its holder gave no sign of life for all of [`PATIENCE`]: [`super::Claim::take`] takes it over for this sighting.
    Silent(Sighting),
}

/// One waiter's memory of a run's claim. No clock but the waiter's own has a say, and that one never jumps.
#[derive(Debug, Default)]
pub struct Watch {
    seen: Option<(Sighting, Instant)>,
}

impl Watch {
    /// Looks at a run's folder, again and again.
    ///
    /// # Errors
    /// A claim that cannot be read: it may hold the run.
    pub fn look(&mut self, folder: &Path) -> Result<Standing> {
        self.look_at(folder, Instant::now(), PATIENCE)
    }

    pub(super) fn look_at(&mut self, folder: &Path, now: Instant, patience: Duration) -> Result<Standing> {
        if files::kind(folder)?.is_none() {
            return Ok(Standing::Free);
        }
        // Had for a moment only: its release by the kernel says more than any sign of life.
        let locking = files::try_lock(&folder.join(LOCK))?;
        let found = Found::newest(folder)?;
        let lock = match &locking {
            Locking::Busy => {
                self.seen = None;
                return Ok(Standing::Held(found.map_or_else(Holder::default, |found| found.holder())));
            }
            Locking::Unsupported => None,
            Locking::Held(lock) => lock.number()?,
        };
        let Some(found) = found else { return Ok(Standing::Free) };
        if found.is_over(&Content::new(lock)) {
            return Ok(Standing::Free);
        }
        let sighting = found.sighting();
        match &self.seen {
            Some((seen, since)) if *seen == sighting => {
                let is_silent = now.duration_since(*since) >= patience;
                Ok(if is_silent { Standing::Silent(sighting) } else { Standing::Held(found.holder()) })
            }
            _ => {
                self.seen = Some((sighting, now));
                Ok(Standing::Held(found.holder()))
            }
        }
    }
}
