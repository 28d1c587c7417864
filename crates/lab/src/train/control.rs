//! What a run is asked to do while it trains: by signals, by a parent process, by the watcher of its claim.

use std::sync::atomic::{AtomicBool, Ordering};

/// Switches that any thread may set, and that a run looks at between blocks.
#[derive(Debug, Default)]
pub struct Control {
    stop: AtomicBool,
    checkpoint: AtomicBool,
    abandon: AtomicBool,
}

impl Control {
    /// Asks the run to write a checkpoint and to end; the step under way is dropped.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Asks the run to write a checkpoint and to continue.
    pub fn checkpoint(&self) {
        self.checkpoint.store(true, Ordering::SeqCst);
    }

    /// Tells the run that another process has taken over its folder: it ends, and writes nothing more.
    pub fn abandon(&self) {
        self.abandon.store(true, Ordering::SeqCst);
        self.stop();
    }

    /// Whether the run was asked to end, one way or the other.
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Whether the run may write nothing more.
    pub fn is_abandoned(&self) -> bool {
        self.abandon.load(Ordering::SeqCst)
    }

    /// The switch of [`stop`](Self::stop) and [`abandon`](Self::abandon), for what looks at nothing else.
    pub fn stopping(&self) -> &AtomicBool {
        &self.stop
    }

    /// Whether a checkpoint was asked for since the last time.
    pub fn takes_checkpoint(&self) -> bool {
        self.checkpoint.swap(false, Ordering::SeqCst)
    }
}
