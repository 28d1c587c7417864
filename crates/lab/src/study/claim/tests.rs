use std::io::Write;
use std::sync::mpsc::Receiver;

use super::*;
use foregrad::files::fault::{Fault, Injected, Injection, Operation, inject_into};

/// A heart that beats at once and one that never does.
const LIVELY: Rhythm = Rhythm { beat: Duration::from_millis(1), ..SILENT };
const SILENT: Rhythm = Rhythm { beat: Duration::from_secs(3600), longest: Duration::ZERO, pause: Duration::ZERO };

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn failing(folder: &Path, kind: Operation, number: i32) -> Injected {
    inject_into(kind, Injection { under: folder.into(), at: 0, fault: Fault::Error(number), lasting: true })
}

fn without_locks(folder: &Path) -> Injected {
    failing(folder, Operation::Lock, libc::ENOSYS)
}

fn attempt(folder: &Path, silent: Option<&Sighting>, rhythm: Rhythm) -> std::result::Result<Claim, Holder> {
    Claim::take_with(folder, silent, || {}, rhythm).expect("a folder that can be read")
}

fn take(folder: &Path) -> std::result::Result<Claim, Holder> {
    attempt(folder, None, LIVELY)
}

/// A claim that tells when it is lost.
fn watched(folder: &Path, rhythm: Rhythm) -> (Claim, Receiver<()>) {
    let (lose, lost) = channel();
    let claim = Claim::take_with(folder, None, move || lose.send(()).expect("a listener"), rhythm);
    (claim.expect("a folder").expect("nobody holds it"), lost)
}

/// What a waiter finds that has seen the same for its whole waiting time.
fn after_waiting(folder: &Path) -> Standing {
    let mut watch = Watch::default();
    let now = Instant::now();
    let first = watch.look_at(folder, now, PATIENCE).expect("readable");
    assert!(!matches!(first, Standing::Silent(_)), "one look says nothing");
    watch.look_at(folder, now + PATIENCE, PATIENCE).expect("readable")
}

fn silent(folder: &Path) -> Sighting {
    match after_waiting(folder) {
        Standing::Silent(sighting) => sighting,
        other => panic!("{other:?}"),
    }
}

/// Writes a claim as another process would.
fn write(folder: &Path, number: u64, content: &Content) {
    std::fs::write(file::path_of(folder, number), serde_json::to_vec(content).expect("text")).expect("a file");
}

fn elsewhere() -> Content {
    let text = serde_json::to_string(&Content::new(None)).expect("text");
    let boot = Holder::this().boot().unwrap_or("none").to_string();
    let text = text.replace(&boot, "another-kernel").replace(r#""boot":"""#, r#""boot":"another-kernel""#);
    serde_json::from_str(&text).expect("a claim")
}

#[test]
fn only_one_holds_a_run_and_dropping_gives_it_back() {
    for has_locks in [true, false] {
        let dir = folder();
        let _without = (!has_locks).then(|| without_locks(dir.path()));
        for round in 0..3 {
            let first = take(dir.path()).unwrap_or_else(|holder| panic!("round {round}: held by {holder}"));
            let holder = take(dir.path()).expect_err("it is held");
            assert_eq!((holder.process, holder.host.clone()), (std::process::id(), crate::study::machine::host()));
            assert_eq!(holder.to_string(), format!("process {} on {}", holder.process, holder.host));
            assert!(matches!(Watch::default().look(dir.path()), Ok(Standing::Held(seen)) if seen == holder));
            assert_eq!(first.loss().expect("readable"), None);
            drop(first);
            assert_eq!(Watch::default().look(dir.path()).expect("readable"), Standing::Free);
        }
        let claims = |path: &Path| path.extension().is_some_and(|extension| extension == "json");
        let left = files::list(dir.path()).expect("files").into_iter().filter(|path| claims(path)).count();
        assert_eq!(left, 1, "the last note, not one a claim");
    }
}

#[test]
fn of_many_that_try_at_once_one_gets_it() {
    for (has_locks, is_silent) in [(true, false), (false, false), (true, true), (false, true)] {
        let dir = folder();
        let _without = (!has_locks).then(|| without_locks(dir.path()));
        if is_silent {
            write(dir.path(), 7, &elsewhere());
        }
        let sighting = is_silent.then(|| silent(dir.path()));
        let claims: Vec<_> = std::thread::scope(|scope| {
            let one = || scope.spawn(|| attempt(dir.path(), sighting.as_ref(), LIVELY));
            let threads: Vec<_> = (0..16).map(|_| one()).collect();
            threads.into_iter().map(|thread| thread.join().expect("a thread")).collect()
        });
        let taken: Vec<&Claim> = claims.iter().flatten().collect();
        assert_eq!(taken.len(), 1, "{has_locks} {is_silent}");
        assert_eq!(taken[0].loss().expect("readable"), None);
    }
}

#[test]
fn every_way_in_which_a_file_system_has_no_locks_is_enough() {
    for number in [libc::ENOSYS, libc::ENOLCK, libc::EOPNOTSUPP] {
        let dir = folder();
        let _without = failing(dir.path(), Operation::Lock, number);
        let _claim = take(dir.path()).expect("nobody holds it");
        assert!(take(dir.path()).is_err());
    }
}

#[test]
fn a_sign_of_life_keeps_a_claim_and_silence_loses_it() {
    let dir = folder();
    let _without = without_locks(dir.path());
    let beating = take(dir.path()).expect("nobody holds it");
    let seen = Found::newest(dir.path()).expect("readable").expect("a claim").sighting();
    while Found::newest(dir.path()).expect("readable").expect("a claim").sighting() == seen {
        std::thread::yield_now();
    }
    assert!(attempt(dir.path(), Some(&seen), LIVELY).is_err(), "it lives, whatever was seen before");
    drop(beating);
    let (silent_one, _lost) = watched(dir.path(), SILENT);
    let sighting = silent(dir.path());
    assert!(take(dir.path()).is_err(), "not without having waited");
    let heir = attempt(dir.path(), Some(&sighting), LIVELY).expect("the claim is silent");
    let loss = silent_one.loss().expect("readable").expect("lost");
    assert!(loss.contains("took it over"), "{loss}");
    drop(silent_one);
    assert_eq!(heir.loss().expect("readable"), None, "the loser gives nothing back");
    assert!(take(dir.path()).is_err());
}

/// No clock but the waiter's own has a say: not that of the host that wrote the claim, nor that of the file system.
#[test]
fn only_silence_that_the_waiter_saw_for_its_whole_waiting_time_counts() {
    let dir = folder();
    let _without = without_locks(dir.path());
    let mut content = elsewhere();
    write(dir.path(), 1, &content);
    let file = std::fs::File::options().write(true).open(file::path_of(dir.path(), 1)).expect("a claim");
    file.set_modified(std::time::UNIX_EPOCH).expect("a time");
    let (mut watch, begin, second) = (Watch::default(), Instant::now(), Duration::from_secs(1));
    let mut is_silent = |after| matches!(watch.look_at(dir.path(), begin + after, PATIENCE), Ok(Standing::Silent(_)));
    assert!(!is_silent(Duration::ZERO), "the file is old by another's clock only");
    assert!(!is_silent(PATIENCE - second), "a part of the waiting time is not enough");
    content.beats += 1;
    write(dir.path(), 1, &content);
    assert!(!is_silent(PATIENCE + second), "it has just given a sign of life");
    assert!(!is_silent(2 * PATIENCE), "the waiting time begins anew with every sign of life");
    assert!(is_silent(2 * PATIENCE + second), "nothing for the whole waiting time");
}

#[test]
fn a_lock_that_is_held_is_never_taken_over() {
    let dir = folder();
    let _silent = attempt(dir.path(), None, SILENT).expect("nobody holds it");
    assert!(matches!(after_waiting(dir.path()), Standing::Held(_)));
    let found = Found::newest(dir.path()).expect("readable").expect("a claim");
    assert!(attempt(dir.path(), Some(&found.sighting()), LIVELY).is_err());
}

#[test]
fn a_holder_learns_of_its_loss_by_itself() {
    let dir = folder();
    let (claim, lost) = watched(dir.path(), LIVELY);
    write(dir.path(), 2, &elsewhere());
    lost.recv().expect("told");
    assert!(claim.loss().expect("known").expect("lost").contains("took it over"));
    drop(claim);
    assert!(take(dir.path()).is_err(), "the other's claim is untouched");

    let dir = folder();
    let (claim, lost) = watched(dir.path(), LIVELY);
    std::fs::remove_file(file::path_of(dir.path(), 1)).expect("a claim");
    lost.recv().expect("told");
    assert!(claim.loss().expect("known").is_some());
}

#[test]
fn a_holder_that_cannot_give_signs_of_life_gives_up() {
    for kind in [Operation::Write, Operation::Sync, Operation::List, Operation::Read] {
        let dir = folder();
        let (claim, lost) = watched(dir.path(), LIVELY);
        let _away = failing(dir.path(), kind, libc::EIO);
        lost.recv().expect("told");
        let loss = claim.loss().expect("known").expect("lost");
        assert!(loss.contains("no sign of life") && loss.contains("claim-1.json") || kind == Operation::List, "{loss}");
    }
}

#[test]
fn what_cannot_be_read_is_not_free() {
    let dir = folder();
    drop(take(dir.path()));
    for kind in [Operation::Read, Operation::List, Operation::Open, Operation::Inspect] {
        let _away = failing(dir.path(), kind, libc::EIO);
        assert!(Claim::take(dir.path(), None, || {}).is_err(), "{kind:?}");
        assert!(Watch::default().look(dir.path()).is_err(), "{kind:?}");
    }
    let claim = take(dir.path()).expect("free");
    let _away = failing(dir.path(), Operation::List, libc::ESTALE);
    assert!(claim.loss().is_err() || claim.loss().expect("known").is_some(), "unknown is no yes");
}

#[test]
fn a_claim_that_cannot_be_written_is_none() {
    let dir = folder();
    {
        let _full = failing(dir.path(), Operation::Write, libc::ENOSPC);
        assert!(!Claim::take(dir.path(), None, || {}).expect_err("a full disk").is_usage());
    }
    assert!(take(dir.path()).is_ok(), "nobody has to wait for it");
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_left_of_a_process_that_is_gone_holds_nothing() {
    let mut child = std::process::Command::new("true").spawn().expect("a process");
    child.wait().expect("an end");
    let this = Content::new(None);
    let mut gone = this.holder.clone();
    gone.process = child.id();
    for has_locks in [true, false] {
        let dir = folder();
        let _without = (!has_locks).then(|| without_locks(dir.path()));
        write(dir.path(), 3, &Content { holder: gone.clone(), ..this.clone() });
        assert_eq!(Watch::default().look(dir.path()).expect("readable"), Standing::Free);
        assert!(take(dir.path()).is_ok());
    }
}

#[test]
fn a_process_of_another_kernel_or_container_may_live() {
    for has_locks in [true, false] {
        let dir = folder();
        let _without = (!has_locks).then(|| without_locks(dir.path()));
        // The same host name and process number say nothing.
        write(dir.path(), 3, &elsewhere());
        assert_eq!(take(dir.path()).expect_err("it may live"), elsewhere_as(dir.path()));
        let sighting = silent(dir.path());
        let text = serde_json::to_string(&sighting).expect("text");
        assert_eq!(serde_json::from_str::<Sighting>(&text).expect("a sighting"), sighting);
        assert!(attempt(dir.path(), Some(&sighting), LIVELY).is_ok());
    }
}

fn elsewhere_as(folder: &Path) -> Holder {
    Found::newest(folder).expect("readable").expect("a claim").holder()
}

#[cfg(target_os = "linux")]
#[test]
fn a_lock_that_its_holder_no_longer_has_tells_that_it_is_gone() {
    let dir = folder();
    let Ok(Locking::Held(lock)) = files::try_lock(&dir.path().join(LOCK)) else { panic!("nobody holds it") };
    let mut content = Content::new(lock.number().expect("a file"));
    drop(lock);
    // In another container, so that its number means nothing here: this very process stands in for it.
    write(dir.path(), 1, &content);
    assert!(take(dir.path()).is_ok(), "its lock is free");
    // The same file by another mount is another lock.
    content.lock = Some("another".into());
    write(dir.path(), 5, &content);
    assert!(take(dir.path()).is_err());
}

#[test]
fn damage_is_waited_for_as_life_is() {
    let dir = folder();
    for damaged in [&b""[..], b"{\"holder\"", b"\xff\xfe"] {
        std::fs::write(file::path_of(dir.path(), 1), damaged).expect("a file");
        assert_eq!(take(dir.path()).expect_err("it may live").to_string(), "another process");
        assert!(attempt(dir.path(), Some(&silent(dir.path())), LIVELY).is_ok());
        std::fs::remove_dir_all(dir.path()).expect("a folder");
        std::fs::create_dir(dir.path()).expect("a folder");
    }
    let mut other = std::fs::File::create(dir.path().join("claim-x.json")).expect("a file");
    other.write_all(b"no claim").expect("a file");
    assert!(take(dir.path()).is_ok());
}

#[test]
fn a_number_that_was_seen_late_holds_nothing() {
    let dir = folder();
    let _without = without_locks(dir.path());
    let newest = take(dir.path()).expect("nobody holds it");
    write(dir.path(), 9, &elsewhere());
    let late = file::Own::make(dir.path(), 4, Content::new(None)).expect("readable");
    assert!(late.is_none(), "9 was there before 5");
    drop(newest);
}
