//! Who runs what: a file in a run's folder that says which process works there, so that many of them can share a study.
//!
//! A claim is alive as long as its process touches it. Claims are made, found stale and taken over under one lock a study, so
//! that no two processes ever hold the same run; what a process of this host leaves behind is stale at once.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::files;
use crate::{Error, Result};

const FILE: &str = "claim.json";
const LOCK: &str = "claims.lock";

/// Between two signs of life.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Without a sign of life for as long, a claim of another host is stale.
pub const STALE: Duration = Duration::from_secs(120);

/// Who holds a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The host's name.
    pub host: String,
    /// The process's number there.
    pub process: u32,
    /// When it claimed the run, nanoseconds since 1970: tells processes of the same number apart.
    pub since: u128,
}

impl Holder {
    /// This process.
    fn this() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        Self { host: super::machine::host(), process: std::process::id(), since }
    }

    /// Whether it is known to be gone: a process of this host that no longer is.
    fn is_gone(&self) -> bool {
        let processes = Path::new("/proc/self");
        self.host == super::machine::host()
            && processes.exists()
            && !Path::new(&format!("/proc/{}", self.process)).exists()
    }
}

/// A run that this process holds; dropping it gives the run back.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    holder: Holder,
    lost: Arc<AtomicBool>,
    /// Ends the heartbeat when it is dropped.
    end: Option<Sender<()>>,
    heart: Option<JoinHandle<()>>,
}

impl Claim {
    /// Claims a run's folder of a study, or tells who holds it.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn take(study: &Path, folder: &Path) -> Result<std::result::Result<Self, Holder>> {
        Self::take_with(study, folder, HEARTBEAT, STALE)
    }

    fn take_with(
        study: &Path,
        folder: &Path,
        heartbeat: Duration,
        stale: Duration,
    ) -> Result<std::result::Result<Self, Holder>> {
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let _lock = lock(study)?;
        let path = folder.join(FILE);
        if let Some(holder) = alive(&path, stale) {
            return Ok(Err(holder));
        }
        let holder = Holder::this();
        files::write_atomically(&path, &serde_json::to_vec(&holder).expect("a claim is plain values"))?;
        let lost = Arc::new(AtomicBool::new(false));
        let (end, ended) = channel::<()>();
        let heart = {
            let (path, holder, lost) = (path.clone(), holder.clone(), lost.clone());
            std::thread::spawn(move || {
                while ended.recv_timeout(heartbeat) == Err(RecvTimeoutError::Timeout) {
                    if !touch(&path, &holder) {
                        lost.store(true, Ordering::Relaxed);
                        return;
                    }
                }
            })
        };
        Ok(Ok(Self { path, holder, lost, end: Some(end), heart: Some(heart) }))
    }

    /// Whether another process took the run over, since this one gave no sign of life for too long.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed) || holder(&self.path).as_ref() != Some(&self.holder)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.end.take();
        if let Some(heart) = self.heart.take() {
            // It only ever ends; a panic there has nothing to add.
            let _ = heart.join();
        }
        if !self.is_lost() {
            // A claim that stays is stale as soon as this process is gone.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Who holds a run, if that one is alive.
pub fn held(folder: &Path) -> Option<Holder> {
    alive(&folder.join(FILE), STALE)
}

/// The lock of a study's claims, until it is dropped.
fn lock(study: &Path) -> Result<File> {
    let path = study.join(LOCK);
    let file =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(Error::io("write", &path))?;
    file.lock().map_err(Error::io("write", &path))?;
    Ok(file)
}

fn holder(path: &Path) -> Option<Holder> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// The holder of a claim that is not stale.
fn alive(path: &Path, stale: Duration) -> Option<Holder> {
    let holder = holder(path)?;
    let touched = std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()?;
    // A clock that is behind counts as a sign of life just now.
    let age = SystemTime::now().duration_since(touched).unwrap_or_default();
    (age < stale && !holder.is_gone()).then_some(holder)
}

/// A sign of life; false if the claim is no longer this holder's.
fn touch(path: &Path, own: &Holder) -> bool {
    if holder(path).as_ref() != Some(own) {
        return false;
    }
    let touched = File::options().write(true).open(path).and_then(|file| file.set_modified(SystemTime::now()));
    // A file system that is away for a moment is no reason to stop; the next beat tries again.
    touched.is_ok() || path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    fn take(study: &Path, heartbeat: Duration, stale: Duration) -> std::result::Result<Claim, Holder> {
        Claim::take_with(study, &study.join("run"), heartbeat, stale).expect("a folder")
    }

    #[test]
    fn only_one_holds_a_run_and_dropping_gives_it_back() {
        let study = tempfile::tempdir().expect("a folder");
        let first = take(study.path(), SHORT, STALE).expect("nobody holds it");
        let holder = take(study.path(), SHORT, STALE).expect_err("it is held");
        assert_eq!((holder.process, holder.host), (std::process::id(), crate::study::machine::host()));
        assert!(held(&study.path().join("run")).is_some() && !first.is_lost());
        drop(first);
        assert!(held(&study.path().join("run")).is_none());
        assert!(take(study.path(), SHORT, STALE).is_ok());
    }

    #[test]
    fn of_many_threads_one_gets_it() {
        let study = tempfile::tempdir().expect("a folder");
        let claims: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| take(study.path(), HEARTBEAT, STALE))).collect();
            threads.into_iter().map(|thread| thread.join().expect("a thread")).collect()
        });
        assert_eq!(claims.iter().filter(|claim| claim.is_ok()).count(), 1);
    }

    #[test]
    fn a_beating_heart_keeps_a_claim_and_silence_loses_it() {
        let study = tempfile::tempdir().expect("a folder");
        let stale = Duration::from_millis(400);
        let beating = take(study.path(), SHORT, stale).expect("nobody holds it");
        std::thread::sleep(2 * stale);
        assert!(take(study.path(), SHORT, stale).is_err());
        drop(beating);
        let silent = take(study.path(), HEARTBEAT, stale).expect("it was given back");
        std::thread::sleep(2 * stale);
        let heir = take(study.path(), SHORT, stale).expect("the claim is stale");
        assert!(silent.is_lost());
        drop(silent);
        assert!(!heir.is_lost(), "the loser must not remove the heir's claim");
    }

    #[test]
    fn a_process_that_is_gone_holds_nothing() {
        let study = tempfile::tempdir().expect("a folder");
        let run = study.path().join("run");
        std::fs::create_dir(&run).expect("a folder");
        let mut child = std::process::Command::new("true").spawn().expect("a process");
        child.wait().expect("an end");
        let gone = Holder { process: child.id(), ..Holder::this() };
        std::fs::write(run.join(FILE), serde_json::to_vec(&gone).expect("text")).expect("a file");
        assert!(!Path::new("/proc").exists() || take(study.path(), SHORT, STALE).is_ok());
        let elsewhere = Holder { host: "another".into(), ..gone };
        std::fs::write(run.join(FILE), serde_json::to_vec(&elsewhere).expect("text")).expect("a file");
        assert_eq!(take(study.path(), SHORT, STALE).expect_err("it may live"), elsewhere);
    }
}
