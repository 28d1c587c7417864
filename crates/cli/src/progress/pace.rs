//! Lines at least every minute, and not more often than that unless there is news.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;

/// The longest silence.
const PERIOD: Duration = Duration::from_secs(60);

/// Remembers when something was said last; times are passed in.
#[derive(Debug)]
struct Pace {
    said: Instant,
}

impl Pace {
    /// How long nothing needs to be said yet; none if a line is due.
    fn left(&self, now: Instant) -> Option<Duration> {
        let left = PERIOD.saturating_sub(now.saturating_duration_since(self.said));
        (!left.is_zero()).then_some(left)
    }
}

/// What the thread that speaks is told.
enum News {
    /// Said at once.
    Line(String),
    /// How things stand: said if nothing else was for a whole period.
    State(String),
}

/// A thread that says lines, so that a long step or evaluation is no silence.
pub struct Lines {
    news: Sender<News>,
    thread: JoinHandle<()>,
}

impl Lines {
    /// Starts the thread.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(say: impl Fn(String) + Send + 'static) -> Result<Self> {
        let (sender, news) = channel();
        let thread = std::thread::Builder::new().name("progress".into()).spawn(move || speak(&news, &say))?;
        Ok(Self { news: sender, thread })
    }

    /// Says a line.
    pub fn say(&self, line: &str) {
        // The thread ends with this sender only.
        let _ = self.news.send(News::Line(line.into()));
    }

    /// Says how things stand when it is time.
    pub fn update(&self, state: String) {
        let _ = self.news.send(News::State(state));
    }

    /// Waits until everything is said.
    pub fn end(self) {
        drop(self.news);
        // A thread that has panicked has said so itself.
        let _ = self.thread.join();
    }
}

fn speak(news: &Receiver<News>, say: &impl Fn(String)) {
    let mut state = "no step is done yet".to_string();
    let mut pace = Pace { said: Instant::now() };
    loop {
        let heard = match pace.left(Instant::now()) {
            Some(left) => news.recv_timeout(left),
            None => Err(RecvTimeoutError::Timeout),
        };
        let line = match heard {
            Ok(News::State(new)) => {
                state = new;
                continue;
            }
            Ok(News::Line(line)) => line,
            Err(RecvTimeoutError::Timeout) => state.clone(),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        say(line);
        pace.said = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_due_after_a_minute_of_silence() {
        let now = Instant::now();
        let pace = Pace { said: now };
        let left = |seconds| pace.left(now + Duration::from_secs(seconds)).map(|left| left.as_secs());
        assert_eq!([0, 59, 60, 61].map(left), [Some(60), Some(1), None, None]);
    }

    #[test]
    fn lines_are_said_in_order_and_states_wait() {
        let (sender, said) = channel();
        let lines = Lines::start(move |line| sender.send(line).expect("a listener")).expect("a thread");
        lines.say("first");
        lines.update("step 1".into());
        lines.say("second");
        lines.end();
        assert_eq!(said.iter().collect::<Vec<_>>(), ["first", "second"]);
    }
}
