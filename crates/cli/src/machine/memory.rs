//! How the process asks the system for memory, and how much it has.

use std::path::Path;

use foregrad::files;

/// Keeps freed memory for the next step instead of handing every tensor back to the system.
///
/// A training step allocates and frees the same large arrays again and again; by default each of them is mapped afresh, and
/// the system clears every page on first touch. Kept memory is used again at once, and the peak is the same. Only glibc has
/// the switch; elsewhere nothing happens. A build with another allocator leaves glibc as it is, for whoever compares.
#[allow(unsafe_code, reason = "the switch is a function of the C library")]
pub fn keep_freed() {
    if super::ALLOCATOR.is_some() {
        return;
    }
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for (parameter, value) in [(libc::M_MMAP_THRESHOLD, libc::c_int::MAX), (libc::M_TRIM_THRESHOLD, libc::c_int::MAX)] {
        // SAFETY: `mallopt` takes two integers and touches no memory of ours; it refuses values it does not know.
        unsafe { libc::mallopt(parameter, value) };
    }
}

/// The process's largest resident memory so far, in bytes; 0 where the system does not tell.
pub fn peak_memory() -> u64 {
    status("VmHWM:")
}

/// The process's resident memory, in bytes; 0 where the system does not tell.
pub fn resident_memory() -> u64 {
    status("VmRSS:")
}

/// Resident pages of files, the program's own above all, in bytes; 0 where the system does not tell.
pub fn file_memory() -> u64 {
    status("RssFile:")
}

/// What the system says of the process's memory in a line that begins like this.
fn status(name: &str) -> u64 {
    let status = files::read_text_if_there(Path::new("/proc/self/status")).ok().flatten().unwrap_or_default();
    let kilobytes = status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
    kilobytes.map_or(0, |kilobytes: u64| kilobytes * 1024)
}
