//! A server of one page on this machine's own address: no more of HTTP than a browser needs for it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use foregrad::{Error, Result};

/// Requests that are answered at the same time; a browser opens some connections that it may never use.
const WORKERS: usize = 8;

/// A request's head may be as long, in bytes, and take as long.
const LONGEST: usize = 8192;
const SLOWEST: Duration = Duration::from_secs(5);

/// What a path of the server holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A page, made anew for every request.
    Page(String),
    /// A script that never changes.
    Script(String),
}

/// A server on 127.0.0.1, which no other machine can reach.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Takes a port; 0 takes one that is free.
    ///
    /// # Errors
    /// A port that is taken or forbidden.
    pub fn bind(port: u16) -> Result<Self> {
        let refused = |error| Error::out_of_range("--port", port, format!("a port that is free ({error})"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests for as long as the process lives: `answer` has what a path holds, if anything.
    pub fn run(&self, answer: impl Fn(&str) -> Option<Answer> + Sync) {
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| self.work(&answer));
            }
        });
    }

    fn work(&self, answer: &impl Fn(&str) -> Option<Answer>) {
        loop {
            match self.listener.accept() {
                // A connection that breaks is the browser's to open again.
                Ok((stream, _)) => drop(self.serve(stream, answer)),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn serve(&self, mut stream: TcpStream, answer: &impl Fn(&str) -> Option<Answer>) -> std::io::Result<()> {
        let head = head(&mut stream)?;
        let request = request(&head);
        let has_body = request.as_ref().is_none_or(|request| request.method != "HEAD");
        let response = self.respond(request, answer);
        stream.set_write_timeout(Some(SLOWEST))?;
        stream.write_all(response.head().as_bytes())?;
        if has_body {
            stream.write_all(response.body.as_bytes())?;
        }
        stream.flush()
    }

    fn respond(&self, request: Option<Request<'_>>, answer: &impl Fn(&str) -> Option<Answer>) -> Response {
        let Some(request) = request else { return Response::refusal("400 Bad Request") };
        if !self.is_own(request.host) {
            return Response::refusal("403 Forbidden");
        }
        if !["GET", "HEAD"].contains(&request.method) {
            return Response::refusal("405 Method Not Allowed");
        }
        let (kind, cache, body) = match answer(request.path) {
            Some(Answer::Page(page)) => ("text/html", "no-store", page),
            Some(Answer::Script(script)) => ("text/javascript", "max-age=86400", script),
            None => return Response::refusal("404 Not Found"),
        };
        Response { status: "200 OK", kind, cache, body }
    }

    /// Whether a request is meant for this server, not for a name that some page elsewhere has pointed at it.
    fn is_own(&self, host: &str) -> bool {
        let port = self.address.port();
        [format!("127.0.0.1:{port}"), format!("localhost:{port}")].iter().any(|own| own == host)
    }
}

/// The first lines of a request, up to the empty one.
fn head(stream: &mut TcpStream) -> std::io::Result<String> {
    let (began, mut bytes, mut chunk) = (Instant::now(), Vec::new(), [0; 1024]);
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = SLOWEST.checked_sub(began.elapsed()).filter(|left| !left.is_zero()).ok_or(ErrorKind::TimedOut)?;
        stream.set_read_timeout(Some(left))?;
        let count = stream.read(&mut chunk)?;
        if count == 0 || bytes.len() + count > LONGEST {
            return Err(ErrorKind::InvalidData.into());
        }
        bytes.extend(&chunk[..count]);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What is read of a request.
struct Request<'a> {
    method: &'a str,
    path: &'a str,
    host: &'a str,
}

fn request(head: &str) -> Option<Request<'_>> {
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target, version) = (first.next()?, first.next()?, first.next()?);
    if !version.starts_with("HTTP/1.") || first.next().is_some() {
        return None;
    }
    let mut headers = lines.filter_map(|line| line.split_once(':'));
    let (_, host) = headers.find(|(name, _)| name.eq_ignore_ascii_case("host"))?;
    let path = target.split(['?', '#']).next()?;
    Some(Request { method, path, host: host.trim() })
}

/// What is sent back.
struct Response {
    status: &'static str,
    kind: &'static str,
    cache: &'static str,
    body: String,
}

impl Response {
    fn refusal(status: &'static str) -> Self {
        Self { status, kind: "text/plain", cache: "no-store", body: format!("{status}\n") }
    }

    fn head(&self) -> String {
        let Self { status, kind, cache, body } = self;
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\n\
             Cache-Control: {cache}\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
            body.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the server says to some bytes.
    fn told(address: SocketAddr, bytes: &str) -> String {
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.write_all(bytes.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    #[test]
    fn pages_are_served_and_everything_else_is_refused() {
        let server = Server::bind(0).expect("a port");
        let address = server.address();
        assert!(address.ip().is_loopback());
        let taken = Server::bind(address.port()).expect_err("the port is taken").to_string();
        assert!(taken.contains("--port"), "{taken}");
        std::thread::spawn(move || {
            server.run(|path| match path {
                "/" => Some(Answer::Page("<p>page</p>".into())),
                "/plotly.js" => Some(Answer::Script("script".into())),
                _ => None,
            });
        });
        let ask = |line: &str, host: &str| told(address, &format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let own = address.to_string();
        let page = ask("GET /?a=b", &own);
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.ends_with("\r\n\r\n<p>page</p>"), "{page}");
        let head = ask("HEAD /", &format!("localhost:{}", address.port()));
        assert!(head.contains("Content-Length: 11\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(ask("GET /plotly.js", &own).contains("text/javascript"));
        assert!(ask("GET /../secret", &own).starts_with("HTTP/1.1 404"));
        assert!(ask("POST /", &own).starts_with("HTTP/1.1 405"));
        assert!(ask("GET /", "elsewhere.example").starts_with("HTTP/1.1 403"));
        assert!(told(address, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
        assert!(told(address, "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 400"));
    }
}
