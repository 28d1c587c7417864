use std::io::Write;

use super::fault::{Fault, Injected, Injection, Operation, inject, inject_into};
use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn strike(folder: &Path, at: usize, fault: Fault) -> Injected {
    inject(Injection { under: folder.to_path_buf(), at, fault, lasting: false })
}

/// Calls of one replacement of a file.
fn calls(folder: &Path, path: &Path) -> usize {
    let counted = strike(folder, usize::MAX, Fault::Short);
    write_atomically(path, b"first").expect("a file");
    counted.calls()
}

#[test]
fn a_file_is_replaced_whole_and_nothing_else_is_left() {
    let dir = folder();
    let path = dir.path().join("file");
    for content in ["first", "2nd"] {
        write_atomically(&path, content.as_bytes()).expect("a file");
        assert_eq!(read_text(&path).expect("text"), content);
    }
    assert_eq!(list(dir.path()).expect("a folder").as_slice(), std::slice::from_ref(&path));
    assert!(!write_atomically(&path.join("below"), b"x").expect_err("no folder").is_usage());
}

#[test]
fn at_every_call_that_fails_the_old_file_or_the_new_one_is_there_whole() {
    let dir = folder();
    let path = dir.path().join("file");
    for at in 0..calls(dir.path(), &path) {
        for fault in
            [libc::ENOSPC, libc::EIO, libc::EACCES, libc::ESTALE].map(Fault::Error).into_iter().chain([Fault::Crash])
        {
            write_atomically(&path, b"first").expect("a file");
            let injected = strike(dir.path(), at, fault);
            let written = write_atomically(&path, b"second");
            let (operation, _) = injected.struck().expect("a fault");
            drop(injected);
            let expected: &[u8] = if written.is_ok() { b"second" } else { b"first" };
            assert_eq!(read(&path).expect("a file"), expected, "{operation:?} {fault:?}");
            assert_eq!(written.is_ok(), operation == Operation::SyncFolder, "{operation:?} {fault:?}");
            if let Err(error) = written {
                assert!(error.to_string().contains("file") && !error.is_usage(), "{error}");
            }
        }
    }
    remove_unfinished(dir.path()).expect("a folder");
    assert_eq!(list(dir.path()).expect("a folder"), [path]);
}

/// In a process of its own, which has told of nothing yet.
#[test]
fn a_folder_that_cannot_be_synced_is_told_of_once() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static TOLD: AtomicUsize = AtomicUsize::new(0);
    struct Counter;
    impl log::Log for Counter {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            assert!(record.args().to_string().contains("cannot be brought to the disk"), "{}", record.args());
            TOLD.fetch_add(1, Ordering::SeqCst);
        }
        fn flush(&self) {}
    }
    if std::env::var_os("COUNT_WARNINGS").is_some() {
        log::set_logger(&Counter).expect("the only one");
        log::set_max_level(log::LevelFilter::Warn);
        let dir = folder();
        let plan = Injection { under: dir.path().into(), at: 0, fault: Fault::Error(libc::EINVAL), lasting: true };
        let _away = inject_into(Operation::SyncFolder, plan);
        let told = ["first", "second", "third"].map(|content| {
            write_atomically(&dir.path().join("file"), content.as_bytes()).expect("a file");
            TOLD.load(Ordering::SeqCst)
        });
        assert_eq!(told, [1, 1, 1], "warnings after each file");
        return;
    }
    let (_, own) = module_path!().split_once("::").expect("a module");
    let mut child = std::process::Command::new(std::env::current_exe().expect("this program"));
    child.args(["--exact", &format!("{own}::a_folder_that_cannot_be_synced_is_told_of_once")]);
    let output = child.env("COUNT_WARNINGS", "yes").output().expect("a process");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

#[test]
fn a_file_that_is_made_once_is_never_empty() {
    let dir = folder();
    let path = dir.path().join("file");
    let counted = strike(dir.path(), usize::MAX, Fault::Short);
    assert!(create_whole(&path, b"first").expect("a file").is_some());
    let calls = counted.calls();
    drop(counted);
    assert!(create_whole(&path, b"second").expect("a file").is_none());
    assert_eq!(read(&path).expect("a file"), b"first");
    for at in 0..calls {
        for fault in [Fault::Error(libc::ENOSPC), Fault::Error(libc::EIO), Fault::Crash] {
            remove_if_there(&path).expect("removed");
            let injected = strike(dir.path(), at, fault);
            create_whole(&path, b"second").expect_err("a fault");
            drop(injected);
            assert_eq!(read_if_there(&path).expect("none"), None, "{at} {fault:?}");
        }
    }
    let _injected = strike(dir.path(), calls - 1, Fault::Error(libc::EINVAL));
    let made = create_whole(&path, b"second").expect("a file system without the call");
    assert_eq!((made.is_some(), read(&path).expect("a file")), (true, b"second".to_vec()));
}

#[test]
fn interrupted_and_short_calls_are_made_again() {
    let dir = folder();
    let path = dir.path().join("file");
    for at in 0..calls(dir.path(), &path) {
        for fault in [Fault::Error(libc::EINTR), Fault::Short] {
            let injected = strike(dir.path(), at, fault);
            write_atomically(&path, b"second").expect("a file");
            assert!(injected.struck().is_some());
            drop(injected);
            let _injected = strike(dir.path(), at, fault);
            assert_eq!(read(&path).expect("a file"), b"second");
            assert_eq!(list(dir.path()).expect("a folder").len(), 1);
        }
    }
}

#[test]
fn a_missing_file_is_none_and_any_other_error_is_told() {
    let dir = folder();
    let missing = dir.path().join("missing");
    assert_eq!(read_if_there(&missing).expect("none"), None);
    assert_eq!(kind(&missing).expect("none"), None);
    assert_eq!(list_if_there(&missing).expect("none"), None);
    assert!(!remove_if_there(&missing).expect("none"));
    write_atomically(&missing, b"").expect("a file");
    assert_eq!(kind(&missing.join("below")).expect("none"), None);
    assert_eq!(kind(dir.path()).expect("a folder"), Some(Kind::Folder));
    let refused = |result: Result<()>| {
        let error = result.expect_err("a fault");
        assert!(matches!(&error, Error::Io { source, .. } if source.raw_os_error() == Some(libc::EACCES)), "{error}");
    };
    let _injected =
        inject(Injection { under: dir.path().to_path_buf(), at: 0, fault: Fault::Error(libc::EACCES), lasting: true });
    refused(read_if_there(&missing).map(drop));
    refused(kind(&missing).map(drop));
    refused(list_if_there(dir.path()).map(drop));
    refused(remove_if_there(&missing).map(drop));
}

#[test]
fn text_in_another_encoding_is_named() {
    let dir = folder();
    let path = dir.path().join("text");
    write_atomically(&path, b"\xef\xbb\xbfa = 1").expect("a file");
    assert_eq!(read_text(&path).expect("text"), "a = 1");
    write_atomically(&path, b"\xff\xfea\0").expect("a file");
    assert!(read_text(&path).expect_err("UTF-16").to_string().contains("found UTF-16"));
    write_atomically(&path, b"caf\xe9").expect("a file");
    assert!(read_text(&path).expect_err("Latin-1").to_string().contains("no UTF-8, at 3"));
}

#[test]
fn one_lock_excludes_others_until_it_is_dropped_or_its_file_is_removed() {
    let dir = folder();
    let path = dir.path().join("lock");
    let Locking::Held(mut lock) = try_lock(&path).expect("a lock") else { panic!("nobody holds it") };
    assert!(matches!(try_lock(&path), Ok(Locking::Busy)) && lock.is_current().expect("a file"));
    lock.file().write_all(b"holder").expect("bytes");
    assert_eq!(read(&path).expect("a file"), b"holder");
    remove(&path).expect("removed");
    assert!(!lock.is_current().expect("no file"));
    let Ok(Locking::Held(heir)) = try_lock(&path) else { panic!("the file is another") };
    drop(lock);
    assert!(heir.is_current().expect("a file"));
    drop(heir);
    assert!(matches!(try_lock(&path), Ok(Locking::Held(_))));
}

/// A process that another thread starts has all open files until it runs its own program.
#[cfg(unix)]
#[test]
fn a_lock_that_is_dropped_is_free_while_processes_are_started() {
    let dir = folder();
    let path = dir.path().join("lock");
    let start = || (0..40).for_each(|_| assert!(std::process::Command::new("true").status().is_ok()));
    std::thread::scope(|scope| {
        let starting = scope.spawn(start);
        while !starting.is_finished() {
            assert!(matches!(try_lock(&path), Ok(Locking::Held(_))), "it was dropped, and is held");
        }
    });
}

#[test]
fn a_file_system_without_locks_says_so_and_other_errors_are_told() {
    let dir = folder();
    let path = dir.path().join("lock");
    write_atomically(&path, b"").expect("a file");
    for number in [libc::ENOSYS, libc::ENOLCK, libc::EOPNOTSUPP] {
        let _injected = strike(dir.path(), 1, Fault::Error(number));
        assert!(matches!(try_lock(&path), Ok(Locking::Unsupported)));
    }
    let _injected = strike(dir.path(), 1, Fault::Error(libc::EIO));
    assert!(!try_lock(&path).expect_err("a fault").is_usage());
}

#[test]
fn only_calls_of_the_planned_kind_fail() {
    let dir = folder();
    let path = dir.path().join("lock");
    let plan = Injection { under: dir.path().to_path_buf(), at: 0, fault: Fault::Error(libc::ENOLCK), lasting: true };
    let injected = inject_into(Operation::Lock, plan);
    write_atomically(&path, b"").expect("a file");
    assert!(matches!(try_lock(&path), Ok(Locking::Unsupported)));
    assert_eq!((injected.calls(), injected.struck()), (1, Some((Operation::Lock, path))));
}

#[cfg(unix)]
#[test]
fn links_tell_where_they_lead() {
    let dir = folder();
    let link = dir.path().join("link");
    assert_eq!(link_target(&link).expect("none"), None);
    std::os::unix::fs::symlink("elsewhere", &link).expect("a link");
    assert_eq!(link_target(&link).expect("a link"), Some("elsewhere".into()));
    let Ok(Locking::Held(lock)) = try_lock(&dir.path().join("a")) else { panic!("nobody holds it") };
    let Ok(Locking::Held(other)) = try_lock(&dir.path().join("b")) else { panic!("nobody holds it") };
    assert!(lock.number().expect("a file").is_some() && lock.number().ok() != other.number().ok());
}

#[cfg(unix)]
#[test]
fn a_pasted_path_is_the_path() {
    use std::os::unix::ffi::OsStrExt;
    for name in
        [&b"runs/first"[..], b"two words", b"it's", "Gr\u{f6}\u{df}e \"q\" & <b> $HOME".as_bytes(), b"caf\xe9 d'\n"]
    {
        let path = Path::new(std::ffi::OsStr::from_bytes(name));
        let command = format!("printf %s {}", pasted(path));
        let echoed = std::process::Command::new("bash").args(["-c", &command]).output().expect("a shell");
        assert_eq!(echoed.stdout, name, "{command}");
    }
    assert_eq!(pasted(Path::new("runs/first")), "runs/first");
}
