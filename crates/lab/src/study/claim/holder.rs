//! Who holds a run, and whether that one is known to be gone.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Result;
use foregrad::files;

/// A process that works on a run. Host names and process numbers are for people: containers share both.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Holder {
    /// The host's name.
    pub host: String,
    /// The process's number there.
    pub process: u32,
    /// The running kernel, which is another after every start of a machine; empty where the system does not tell.
    boot: String,
    /// The processes among which the number means something; empty where the system does not tell.
    namespace: String,
    /// When the process started, in the kernel's ticks: tells processes of the same number apart.
    started: u64,
    /// Drawn at random: tells claims of the same process apart.
    token: u64,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.as_str() {
            "" => f.write_str("another process"),
            host => write!(f, "process {} on {host}", self.process),
        }
    }
}

impl Holder {
    /// This process.
    pub(super) fn this() -> Self {
        let process = std::process::id();
        let started = started(process).ok().flatten();
        Self {
            host: crate::study::machine::host(),
            process,
            boot: boot(),
            // Without its start a process cannot be told from a later one of its number.
            namespace: started.and_then(|_| namespace(process)).unwrap_or_default(),
            started: started.unwrap_or(0),
            token: RandomState::new().hash_one(process),
        }
    }

    /// The kernel that it runs on, where the system tells.
    pub(super) fn boot(&self) -> Option<&str> {
        Some(self.boot.as_str()).filter(|boot| !boot.is_empty())
    }

    /// Whether it is known to be gone: a process of this kernel and of numbers that mean the same here, which is no more.
    pub(super) fn is_gone(&self, this: &Self) -> bool {
        let is_known = self.boot().is_some() && !self.namespace.is_empty();
        let is_near = (&self.boot, &self.namespace) == (&this.boot, &this.namespace);
        // What cannot be looked at may live.
        is_known && is_near && started(self.process).is_ok_and(|started| started != Some(self.started))
    }
}

fn boot() -> String {
    let told = files::read_text(Path::new("/proc/sys/kernel/random/boot_id"));
    told.map(|text| text.trim().to_string()).unwrap_or_default()
}

/// The name of this process's numbers. None where `/proc` shows other processes than those (a folder of another container),
/// or hides those of other users.
fn namespace(process: u32) -> Option<String> {
    let own = files::link_target(Path::new("/proc/self")).ok()??;
    let shows_all = files::kind(Path::new("/proc/1/stat")).ok()?.is_some();
    if own != Path::new(&process.to_string()) || !shows_all {
        return None;
    }
    let name = files::link_target(Path::new("/proc/self/ns/pid")).ok()??;
    name.to_str().map(str::to_string)
}

/// When a process started; none if there is none of this number, or only what is left of one that has ended.
fn started(process: u32) -> Result<Option<u64>> {
    let stat = files::read_if_there(&PathBuf::from(format!("/proc/{process}/stat")))?;
    Ok(stat.as_deref().and_then(start_of))
}

/// The start in a line of `/proc/N/stat`: the twentieth field after the name, which is in brackets and may hold anything.
fn start_of(stat: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(stat);
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    if ["Z", "X", "x"].contains(&state) {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_found_behind_any_name() {
        let stat = |state: &str| format!("7 (a) (b 1 2) {state} 1 {} 4711 0\n", ["0"; 17].join(" "));
        assert_eq!(start_of(stat("S").as_bytes()), Some(4711));
        assert_eq!(start_of(stat("Z").as_bytes()), None, "what has ended holds nothing");
        assert_eq!(start_of(b"7 (a"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_a_process_that_is_no_more_is_gone() {
        let this = Holder::this();
        assert!(this.boot().is_some() && !this.namespace.is_empty() && this.started > 0, "{this:?}");
        assert_ne!(Holder::this().token, this.token);
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("a process");
        let started = started(child.id()).expect("readable").expect("it runs");
        let living = Holder { process: child.id(), started, ..this.clone() };
        assert!(!living.is_gone(&this) && !this.is_gone(&this));
        assert!(Holder { started: started + 1, ..living.clone() }.is_gone(&this), "a later one of the same number");
        child.kill().expect("a signal");
        // Ended but not waited for: its number is not free yet.
        while !living.is_gone(&this) {
            std::thread::yield_now();
        }
        child.wait().expect("an end");
        assert!(living.is_gone(&this));
        let elsewhere = [
            Holder { boot: "another".into(), ..living.clone() },
            Holder { namespace: "pid:[1]".into(), ..living.clone() },
        ];
        assert!(elsewhere.iter().all(|holder| !holder.is_gone(&this)), "a number that means nothing here");
        let untold =
            [Holder { boot: String::new(), ..living.clone() }, Holder { namespace: String::new(), ..living.clone() }];
        assert!(untold.iter().all(|holder| !holder.is_gone(holder)), "not where the system tells nothing");
    }
}
