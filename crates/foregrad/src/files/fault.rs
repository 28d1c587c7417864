//! Faults on purpose: tests make the file system fail at any one call, to see that nothing is lost.
//!
//! Every call of this module's parent asks here first. Without a plan that is one load of an atomic number.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What is asked of the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Opening or making a file.
    Open,
    /// Reading bytes.
    Read,
    /// Writing bytes.
    Write,
    /// Bringing a file's bytes to the disk.
    Sync,
    /// Bringing a folder's names to the disk.
    SyncFolder,
    /// Giving a file another name.
    Rename,
    /// Removing a file.
    Remove,
    /// Making a folder.
    CreateFolder,
    /// Listing a folder.
    List,
    /// Asking what a path is.
    Inspect,
    /// Locking a file.
    Lock,
}

/// What happens instead of what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The system's error of this number (`ENOSPC`, `EIO`, `EINTR`, ...).
    Error(i32),
    /// Only a part is read or written.
    Short,
    /// The process dies before the call: nothing that it asks from then on happens.
    Crash,
}

/// A fault at one call of those that concern a folder.
#[derive(Debug, Clone)]
pub struct Injection {
    /// Only paths below this folder count.
    pub under: PathBuf,
    /// Which of these calls, from 0.
    pub at: usize,
    /// What happens there.
    pub fault: Fault,
    /// Whether it happens at every later call too (a disk that stays full).
    pub lasting: bool,
}

/// How a call goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// As asked.
    Whole,
    /// With a part of the bytes.
    Short,
}

#[derive(Debug)]
struct Armed {
    plan: Injection,
    /// Only calls of this kind count; none is every kind.
    kind: Option<Operation>,
    calls: AtomicUsize,
    struck: Mutex<Option<(Operation, PathBuf)>>,
}

/// Plans in force; the number of them stands beside, so that the usual case takes no lock.
static PLANS: Mutex<Vec<Arc<Armed>>> = Mutex::new(Vec::new());
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// A plan in force, until it is dropped.
#[derive(Debug)]
pub struct Injected(Arc<Armed>);

/// Puts a plan in force for the whole process.
pub fn inject(plan: Injection) -> Injected {
    armed(plan, None)
}

/// Puts a plan in force for the whole process, of which only calls of one kind count.
pub fn inject_into(kind: Operation, plan: Injection) -> Injected {
    armed(plan, Some(kind))
}

fn armed(plan: Injection, kind: Option<Operation>) -> Injected {
    let armed = Arc::new(Armed { plan, kind, calls: AtomicUsize::new(0), struck: Mutex::new(None) });
    plans().push(armed.clone());
    COUNT.fetch_add(1, Ordering::SeqCst);
    Injected(armed)
}

impl Injected {
    /// Calls below the plan's folder so far.
    pub fn calls(&self) -> usize {
        self.0.calls.load(Ordering::SeqCst)
    }

    /// The call that failed first, if one has.
    pub fn struck(&self) -> Option<(Operation, PathBuf)> {
        self.0.struck.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Injected {
    fn drop(&mut self) {
        plans().retain(|armed| !Arc::ptr_eq(armed, &self.0));
        COUNT.fetch_sub(1, Ordering::SeqCst);
    }
}

fn plans() -> std::sync::MutexGuard<'static, Vec<Arc<Armed>>> {
    PLANS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks whether a call happens.
pub(super) fn before(operation: Operation, path: &Path) -> io::Result<Course> {
    if COUNT.load(Ordering::Relaxed) == 0 {
        return Ok(Course::Whole);
    }
    let concerned: Vec<_> = plans().iter().filter(|armed| path.starts_with(&armed.plan.under)).cloned().collect();
    concerned.iter().try_fold(Course::Whole, |course, armed| Ok(armed.strike(operation, path)?.unwrap_or(course)))
}

/// Whether the process counts as dead for a path.
pub(super) fn is_dead(path: &Path) -> bool {
    let is_dead = |armed: &&Arc<Armed>| {
        armed.plan.fault == Fault::Crash
            && path.starts_with(&armed.plan.under)
            && armed.calls.load(Ordering::SeqCst) > armed.plan.at
    };
    COUNT.load(Ordering::Relaxed) > 0 && plans().iter().any(|armed| is_dead(&armed))
}

impl Armed {
    fn strike(&self, operation: Operation, path: &Path) -> io::Result<Option<Course>> {
        if self.kind.is_some_and(|kind| kind != operation) {
            return Ok(None);
        }
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let lasting = self.plan.lasting || self.plan.fault == Fault::Crash;
        if call < self.plan.at || (call > self.plan.at && !lasting) {
            return Ok(None);
        }
        self.struck.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert((operation, path.to_path_buf()));
        match self.plan.fault {
            Fault::Error(number) => Err(io::Error::from_raw_os_error(number)),
            Fault::Crash => Err(io::Error::other("the process is dead")),
            Fault::Short => Ok(Some(Course::Short)),
        }
    }
}
