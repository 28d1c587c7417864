//! Transfers from a server in the test itself, which plays one scripted reply a connection.

use super::*;
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Instant;

/// What the server does with one connection.
struct Reply {
    head: String,
    body: Vec<u8>,
    /// How long it stays silent before it hangs up.
    silence: Duration,
}

impl Reply {
    fn new(head: impl Into<String>, body: &[u8]) -> Self {
        Self { head: head.into(), body: body.to_vec(), silence: Duration::ZERO }
    }

    /// A whole file of which `sent` bytes come.
    fn whole(content: &[u8], sent: usize) -> Self {
        Self::new(format!("200 OK\r\ncontent-length: {}", content.len()), &content[..sent])
    }

    /// The rest of a file from a byte on.
    fn rest(content: &[u8], start: usize) -> Self {
        let (last, total, length) = (content.len() - 1, content.len(), content.len() - start);
        let head =
            format!("206 Partial Content\r\ncontent-range: bytes {start}-{last}/{total}\r\ncontent-length: {length}");
        Self::new(head, &content[start..])
    }
}

/// Waits for a connection, but not for ever.
fn accept(listener: &TcpListener) -> Option<TcpStream> {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(20) {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).expect("a blocking stream");
            stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a limit");
            return Some(stream);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    None
}

/// A server on this machine; it ends after the last reply and gives the requests it got.
fn serve(replies: impl FnOnce(&str) -> Vec<Reply>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a listener that does not block");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let replies = replies(&base);
    let thread = std::thread::spawn(move || {
        let mut requests = Vec::new();
        for reply in replies {
            let Some(mut stream) = accept(&listener) else { break };
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                request.push(byte[0]);
            }
            requests.push(String::from_utf8_lossy(&request).to_lowercase());
            if !reply.head.is_empty() {
                let _ = write!(stream, "HTTP/1.1 {}\r\nconnection: close\r\n\r\n", reply.head);
                let _ = stream.write_all(&reply.body);
            }
            std::thread::sleep(reply.silence);
        }
        requests
    });
    (format!("{base}/file.bin"), thread)
}

fn content() -> Vec<u8> {
    (0..100_000u32).map(|i| (i.wrapping_mul(i) % 251) as u8).collect()
}

const PATIENCE: Patience =
    Patience { silence: Duration::from_millis(400), attempts: 2, pause: Duration::from_millis(5) };

/// A folder with a place for the file, and what a fetch comes to.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("file.bin")
    }

    fn part(&self) -> PathBuf {
        self.0.path().join("file.bin.part")
    }

    fn fetch(&self, address: &str, patience: Patience) -> Result<()> {
        let md5 = places::digest_of(&mut content().as_slice()).expect("a digest");
        let wanted = Wanted { address, path: &self.path(), md5: &md5 };
        fetch(&wanted, &patience, &mut |_| {})
    }

    /// Fetches from a server of these replies; the requests it got.
    fn succeeds(&self, replies: impl FnOnce(&str) -> Vec<Reply>) -> Vec<String> {
        let (address, server) = serve(replies);
        self.fetch(&address, PATIENCE).expect("a file");
        assert_eq!(std::fs::read(self.path()).expect("a file"), content());
        assert!(!self.part().exists());
        server.join().expect("a server")
    }

    fn fails(&self, replies: Vec<Reply>) -> (String, Vec<String>) {
        let (address, server) = serve(|_| replies);
        let error = self.fetch(&address, PATIENCE).expect_err("a failure");
        assert!(!self.path().exists());
        let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        (format!("{error}{source}"), server.join().expect("a server"))
    }
}

#[test]
fn a_whole_transfer_is_put_in_place_and_told_of() {
    let (address, server) = serve(|_| vec![Reply::whole(&content(), 100_000)]);
    let place = Place::new();
    let md5 = places::digest_of(&mut content().as_slice()).expect("a digest");
    let mut told = Vec::new();
    let wanted = Wanted { address: &address, path: &place.path(), md5: &md5 };
    fetch(&wanted, &PATIENCE, &mut |state| told.push((state.done, state.total))).expect("a file");
    assert_eq!(told.first(), Some(&(0, Some(100_000))));
    assert_eq!(told.last(), Some(&(100_000, Some(100_000))));
    assert_eq!(std::fs::read(place.path()).expect("a file"), content());
    assert!(!server.join().expect("a server")[0].contains("range:"));
}

#[test]
fn a_cut_transfer_goes_on_where_it_stopped() {
    let requests = Place::new().succeeds(|_| vec![Reply::whole(&content(), 30_000), Reply::rest(&content(), 30_000)]);
    assert!(requests[1].contains("range: bytes=30000-"), "{requests:?}");
}

#[test]
fn a_transfer_that_was_given_up_goes_on_in_the_next_call() {
    let place = Place::new();
    let silent = || Reply { silence: Duration::from_millis(600), ..Reply::new("", b"") };
    let (error, _) = place.fails(vec![Reply::whole(&content(), 500), silent()]);
    assert!(error.contains("500 bytes are kept") && error.contains("file.bin.part"), "{error}");
    let requests = place.succeeds(|_| vec![Reply::rest(&content(), 500)]);
    assert!(requests[0].contains("range: bytes=500-"), "{requests:?}");
}

#[test]
fn a_silent_server_is_given_up_and_one_that_falls_silent_asked_again() {
    let silent = || Reply { silence: Duration::from_millis(900), ..Reply::new("", b"") };
    let (error, requests) = Place::new().fails(vec![silent(), silent()]);
    assert!(error.contains("silent for too long") && requests.len() == 2, "{error} {requests:?}");
    let halting = Reply { silence: Duration::from_millis(600), ..Reply::whole(&content(), 700) };
    Place::new().succeeds(|_| vec![halting, Reply::rest(&content(), 700)]);
}

#[test]
fn a_corrupted_file_is_removed_and_both_digests_are_said() {
    let place = Place::new();
    let mut bad = content();
    bad[77] ^= 1;
    let (error, _) = place.fails(vec![Reply::whole(&bad, bad.len())]);
    let md5 = |bytes: &[u8]| places::digest_of(&mut &*bytes).expect("a digest");
    assert!(error.contains(&format!("expected MD5 {}, found MD5 {}", md5(&content()), md5(&bad))), "{error}");
    assert_eq!(std::fs::read_dir(place.0.path()).expect("a folder").count(), 0);
}

#[test]
fn redirects_are_followed_and_keep_the_range() {
    let place = Place::new();
    std::fs::write(place.part(), &content()[..900]).expect("a part");
    let requests = place.succeeds(|base| {
        let head = format!("302 Found\r\nlocation: {base}/elsewhere\r\ncontent-length: 0");
        vec![Reply::new(head, b""), Reply::rest(&content(), 900)]
    });
    assert!(requests[1].contains("get /elsewhere") && requests[1].contains("range: bytes=900-"), "{requests:?}");
}

#[test]
fn a_server_that_ignores_the_range_sends_the_whole_file() {
    let place = Place::new();
    std::fs::write(place.part(), b"of another file").expect("a part");
    place.succeeds(|_| vec![Reply::whole(&content(), 100_000)]);
}

#[test]
fn a_range_that_the_server_has_not_ends_the_transfer_or_starts_it_anew() {
    let place = Place::new();
    std::fs::write(place.part(), content()).expect("a part");
    let beyond = |total: usize| {
        Reply::new(format!("416 Range Not Satisfiable\r\ncontent-range: bytes */{total}\r\ncontent-length: 0"), b"")
    };
    place.succeeds(|_| vec![beyond(100_000)]);
    let place = Place::new();
    std::fs::write(place.part(), vec![0; 100_001]).expect("a part");
    let requests = place.succeeds(|_| vec![beyond(100_000), Reply::whole(&content(), 100_000)]);
    assert!(!requests[1].contains("range:"), "{requests:?}");
}

#[test]
fn refusals_end_at_once_and_busy_servers_are_asked_again() {
    let place = Place::new();
    let (error, requests) = place.fails(vec![Reply::new("404 Not Found\r\ncontent-length: 0", b"")]);
    assert!(!place.part().exists(), "an empty part is left");
    assert!(error.contains("could not download http") && error.contains("status 404"), "{error}");
    assert_eq!(requests.len(), 1);
    let busy = Reply::new("503 Service Unavailable\r\ncontent-length: 0", b"");
    Place::new().succeeds(|_| vec![busy, Reply::whole(&content(), 100_000)]);
    let endless = Reply::new(format!("200 OK\r\ncontent-length: {}", crate::data::LARGEST + 1), b"x");
    assert!(Place::new().fails(vec![endless]).0.contains("any data set has"));
}

#[test]
fn two_downloads_do_not_write_one_file() {
    let place = Place::new();
    let held = open(&place.part()).expect("a part");
    let error = place.fetch("http://127.0.0.1:9/file.bin", PATIENCE).expect_err("locked").to_string();
    assert!(error.contains("another download"), "{error}");
    drop(held);
}
