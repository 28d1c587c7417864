//! One file over HTTP: into a `.part` file beside its place, which a later try goes on with, and into place once it is whole.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::http::Response;
use ureq::{Agent, Body};

use super::{certificates, places};
use crate::{Error, Result};
use foregrad::files::{self, File, Lock, Locking};

/// Bytes read at a time.
const CHUNK: usize = 1 << 16;

/// When a transfer is given up.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How long a server may be silent.
    pub silence: Duration,
    /// Tries in a row that bring nothing.
    pub attempts: u32,
    /// The rest between two of them.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { silence: Duration::from_secs(60), attempts: 5, pause: Duration::from_secs(2) }
    }
}

/// How far the transfer of a file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transferred<'a> {
    /// The file's name.
    pub file: &'a str,
    /// Bytes that are here, those of earlier tries included.
    pub done: u64,
    /// Its size, if the server says it.
    pub total: Option<u64>,
}

/// What is told how far a transfer has come.
pub(super) type Progress<'a> = dyn FnMut(Transferred<'_>) + 'a;

/// A file to fetch.
pub(super) struct Wanted<'a> {
    pub address: &'a str,
    /// Where it goes.
    pub path: &'a Path,
    pub md5: &'a str,
}

/// Why a try ended before the file was whole.
enum Failure {
    /// Another try may do better.
    Passing(std::io::Error),
    /// It would not.
    Final(Error),
}

/// What a try comes to.
type Try = std::result::Result<(), Failure>;

impl Wanted<'_> {
    fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// Where the bytes wait until all are there.
    fn part(&self) -> PathBuf {
        self.path.with_file_name(format!("{}.part", self.name()))
    }

    fn failed(&self, reason: std::io::Error) -> Error {
        Error::io("download", self.address)(reason)
    }

    /// An answer that no further try would change.
    fn refused(&self, reason: String) -> Failure {
        Failure::Final(self.failed(std::io::Error::other(reason)))
    }

    fn unwritable(&self, reason: std::io::Error) -> Failure {
        Failure::Final(Error::io("write", self.part())(reason))
    }
}

/// The file that bytes are added to, for one process alone where the file system has locks; elsewhere the digest alone guards it.
enum Part {
    Locked(Lock),
    Open(File),
}

impl Part {
    fn file(&mut self) -> &mut File {
        match self {
            Part::Locked(lock) => lock.file(),
            Part::Open(file) => file,
        }
    }

    fn length(&mut self) -> Result<u64> {
        self.file().length()
    }
}

/// Fetches a file, or what is missing of it, and checks its digest; a file in its place is always whole.
pub(super) fn fetch(wanted: &Wanted, patience: &Patience, progress: &mut Progress) -> Result<()> {
    let path = wanted.part();
    let mut part = open(&path)?;
    let agent = agent(wanted.address, patience)?;
    let mut futile = 0;
    loop {
        let before = part.length()?;
        let reason = match attempt(&agent, wanted, part.file(), progress) {
            Ok(()) => break,
            Err(Failure::Final(error)) => return Err(given_up(error, &path, part)),
            Err(Failure::Passing(reason)) => reason,
        };
        let here = part.length()?;
        futile = if here > before { 1 } else { futile + 1 };
        if futile >= patience.attempts {
            let advice = match here {
                0 => reason.to_string(),
                _ => format!("{reason}; {here} bytes are kept in {}: try again to go on", path.display()),
            };
            return Err(given_up(wanted.failed(std::io::Error::new(reason.kind(), advice)), &path, part));
        }
        std::thread::sleep(patience.pause);
    }
    settle(wanted, &path, part)
}

/// Takes an empty file away, for which no later try has a use.
fn given_up(error: Error, path: &Path, mut part: Part) -> Error {
    if part.length().is_ok_and(|length| length == 0) {
        drop(part);
        // What matters to the user is why the transfer failed.
        let _ = files::remove(path);
    }
    error
}

/// Opens the file of an earlier try, or a new one.
fn open(path: &Path) -> Result<Part> {
    match files::try_lock(path)? {
        Locking::Held(lock) => Ok(Part::Locked(lock)),
        Locking::Unsupported => Ok(Part::Open(File::append(path)?)),
        Locking::Busy => Err(Error::bad_file(
            path,
            "a file that nobody else writes",
            "another download at work on it: let it finish",
        )),
    }
}

fn agent(address: &str, patience: &Patience) -> Result<Agent> {
    let silence = Some(patience.silence);
    let mut settings = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(5)
        .user_agent(concat!("foregrad/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(silence)
        .timeout_connect(silence)
        .timeout_recv_response(silence)
        .timeout_per_read(silence);
    // A mirror on this machine is not to be reached through a proxy.
    let host = address.split_once("://").map_or(address, |(_, host)| host);
    if ["127.0.0.1", "localhost", "[::1]"].iter().any(|local| host.starts_with(local)) {
        settings = settings.proxy(None);
    }
    settings = settings.tls_config(certificates::settings()?);
    Ok(settings.build().new_agent())
}

/// One request for what is missing, written to the end of the file.
fn attempt(agent: &Agent, wanted: &Wanted, file: &mut File, progress: &mut Progress) -> Try {
    let mut here = file.seek(SeekFrom::End(0)).map_err(|reason| wanted.unwritable(reason))?;
    let mut request = agent.get(wanted.address);
    if here > 0 {
        request = request.header("range", format!("bytes={here}-"));
    }
    let mut response = request.call().map_err(|error| classify(wanted, error))?;
    let status = response.status().as_u16();
    match (status, range(&response)) {
        (206, Some((Some(start), _))) if start == here && here > 0 => {}
        (200, _) => {
            // The server sends the whole file, whatever was asked for.
            restart(wanted, file)?;
            here = 0;
        }
        (416, Some((None, Some(total)))) if total == here => return Ok(()),
        (206 | 416, _) if here > 0 => {
            restart(wanted, file)?;
            return Err(Failure::Passing(std::io::Error::other(
                "the server has no such range: from the beginning again",
            )));
        }
        (408 | 429 | 500.., _) => {
            return Err(Failure::Passing(std::io::Error::other(format!("the server answers with status {status}"))));
        }
        _ => return Err(wanted.refused(format!("the server answers with status {status}"))),
    }
    let total = response.body().content_length().map(|rest| here.saturating_add(rest));
    receive(wanted, response.body_mut(), file, Transferred { file: wanted.name(), done: here, total }, progress)
}

fn receive(wanted: &Wanted, body: &mut Body, file: &mut File, mut state: Transferred, progress: &mut Progress) -> Try {
    let mut reader = body.as_reader();
    let mut buffer = vec![0; CHUNK];
    loop {
        progress(state);
        if state.done.max(state.total.unwrap_or(0)) > super::LARGEST {
            restart(wanted, file)?;
            return Err(wanted.refused(format!("more than the {} bytes that any data set has", super::LARGEST)));
        }
        let count = reader.read(&mut buffer).map_err(Failure::Passing)?;
        if count == 0 {
            break;
        }
        file.write_all(&buffer[..count]).map_err(|reason| wanted.unwritable(reason))?;
        state.done += count as u64;
    }
    match state.total {
        Some(total) if state.done < total => {
            let reason = format!("the connection was cut after {} of {total} bytes", state.done);
            Err(Failure::Passing(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, reason)))
        }
        _ => Ok(()),
    }
}

fn restart(wanted: &Wanted, file: &mut File) -> Try {
    file.set_length(0).map_err(Failure::Final)?;
    file.rewind().map_err(|reason| wanted.unwritable(reason))
}

/// The first byte and the size that an answer tells of.
fn range(response: &Response<Body>) -> Option<(Option<u64>, Option<u64>)> {
    parse_range(response.headers().get("content-range")?.to_str().ok()?)
}

/// The first byte and the size of `bytes 7-9/10`, or of `bytes */10`.
pub(super) fn parse_range(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (part, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let start = part.split_once('-').and_then(|(start, _)| start.parse().ok());
    Some((start, total.parse().ok()))
}

fn classify(wanted: &Wanted, error: ureq::Error) -> Failure {
    use ureq::Error::{BodyStalled, ConnectionFailed, Io, Protocol, Timeout};
    match error {
        Timeout(_) => {
            let reason = "the server is silent for too long";
            Failure::Passing(std::io::Error::new(std::io::ErrorKind::TimedOut, reason))
        }
        Io(reason) if reason.to_string().contains("certificate") => {
            let advice = "a private authority's certificate is named by the variable SSL_CERT_FILE";
            wanted.refused(format!("{reason}; {advice}"))
        }
        Io(_) | ConnectionFailed | Protocol(_) | BodyStalled => Failure::Passing(error.into_io()),
        error => Failure::Final(wanted.failed(error.into_io())),
    }
}

/// Checks the digest and moves the file into its place; a wrong one is removed.
fn settle(wanted: &Wanted, path: &Path, mut part: Part) -> Result<()> {
    let file = part.file();
    let digest = file.rewind().and_then(|()| places::digest_of(file));
    let found = digest.map_err(Error::io("read", path))?;
    if found != wanted.md5 {
        let what = described(path)?;
        drop(part);
        files::remove(path)?;
        let found =
            format!("MD5 {found}{what} from {}; it was removed: try again, or another --mirror", wanted.address);
        return Err(Error::bad_file(wanted.path, format!("MD5 {}", wanted.md5), found));
    }
    file.sync()?;
    drop(part);
    files::rename(path, wanted.path)
}

/// What arrived, if it is not what files of data sets are.
fn described(path: &Path) -> Result<String> {
    let mut head = Vec::new();
    File::open(path)?.take(4096).read_to_end(&mut head).map_err(Error::io("read", path))?;
    let what = files::what_is(&head).filter(|what| what.contains("HTML") || what.contains("text"));
    Ok(what.map(|what| format!(" of {what}")).unwrap_or_default())
}

#[cfg(test)]
mod tests;
