//! Sums over ranks, and what all of them must agree on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Alone, Ranks};
use crate::{Error, Result};

/// Bytes of a total that the root sends to every rank itself: the time of a message, not its size, is what such a one costs.
const SMALL: usize = 1 << 16;

/// The last byte of what the root sends to all: whether that is all of it, or it comes along the tree.
const WHOLE: u8 = 0;
const LARGE: u8 = 1;

/// The ranks of a run, with a count of what this one has sent.
#[derive(Debug, Clone)]
pub struct Team {
    ranks: Arc<dyn Ranks>,
    sent: Arc<AtomicU64>,
}

impl Default for Team {
    fn default() -> Self {
        Self::new(Arc::new(Alone))
    }
}

impl Team {
    /// Of processes that can reach each other.
    pub fn new(ranks: Arc<dyn Ranks>) -> Self {
        Self { ranks, sent: Arc::default() }
    }

    /// This process's number.
    pub fn rank(&self) -> usize {
        self.ranks.rank()
    }

    /// The number of processes.
    pub fn count(&self) -> usize {
        self.ranks.count()
    }

    /// Whether there is no other process.
    pub fn is_alone(&self) -> bool {
        self.count() == 1
    }

    /// Whether this is the process that writes files and shows progress.
    pub fn is_root(&self) -> bool {
        self.rank() == 0
    }

    /// Bytes that this process has sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// The total over all ranks of what has a form as bytes; `read` is given the bytes of another rank and what this rank has itself.
    ///
    /// # Errors
    /// A rank that has ended; what `read` and `add` refuse.
    pub fn total<T>(
        &self,
        mut own: T,
        written: impl Fn(&T) -> Vec<u8>,
        read: impl Fn(&[u8], &T) -> Result<T>,
        add: impl Fn(T, T) -> T,
    ) -> Result<T> {
        if self.is_alone() {
            return Ok(own);
        }
        let (rank, count) = (self.rank(), self.count());
        let mut step = 1;
        while step < count && rank.is_multiple_of(2 * step) {
            if rank + step < count {
                let later = read(&self.ranks.receive(rank + step)?, &own)?;
                own = add(own, later);
            }
            step *= 2;
        }
        if rank > 0 {
            self.send(rank - step, written(&own))?;
            return read(&self.of_the_root(Vec::new())?, &own);
        }
        self.of_the_root(written(&own))?;
        Ok(own)
    }

    /// Sums of numbers, place by place.
    ///
    /// # Errors
    /// A rank that has ended, or that has another number of them.
    pub fn sum(&self, own: Vec<f64>) -> Result<Vec<f64>> {
        self.by_place(own, |own, later| own + later)
    }

    /// The largest of numbers, place by place.
    ///
    /// # Errors
    /// As [`Self::sum`].
    pub fn largest(&self, own: Vec<f64>) -> Result<Vec<f64>> {
        self.by_place(own, f64::max)
    }

    fn by_place(&self, own: Vec<f64>, add: impl Fn(f64, f64) -> f64) -> Result<Vec<f64>> {
        let add =
            |own: Vec<f64>, later: Vec<f64>| own.into_iter().zip(later).map(|(own, later)| add(own, later)).collect();
        self.total(own, |own| bytes(own), |bytes, own: &Vec<f64>| numbers(bytes, own), add)
    }

    /// Waits until all ranks have come as far.
    ///
    /// # Errors
    /// A rank that has ended.
    pub fn wait(&self) -> Result<()> {
        self.sum(vec![0.0]).map(drop)
    }

    /// The most bytes that a rank other than the root has sent, of what each says of itself.
    ///
    /// # Errors
    /// A rank that has ended.
    pub fn most_sent(&self, own: u64) -> Result<u64> {
        let own = if self.is_root() { 0 } else { own };
        Ok(self.largest(vec![own as f64])?[0] as u64)
    }

    /// The root's text, known to all.
    ///
    /// # Errors
    /// A rank that has ended.
    pub fn of_root(&self, own: String) -> Result<String> {
        if self.is_alone() {
            return Ok(own);
        }
        let text = self.of_the_root(own.into_bytes())?;
        String::from_utf8(text).map_err(|_| Error::Worker("the root sent what is no text".into()))
    }

    /// Refuses ranks that differ from the root in what `what` names.
    ///
    /// # Errors
    /// At every rank, with the first that differs, what it has and what the root has.
    pub fn agree(&self, what: &str, own: &str) -> Result<()> {
        let of_root = self.of_root(own.to_string())?;
        let differs = if own == of_root { f64::INFINITY } else { self.rank() as f64 };
        // The least number of a rank that differs.
        let first = -self.largest(vec![-differs])?[0];
        if first.is_infinite() {
            return Ok(());
        }
        let first = first as usize;
        let of_first = self.of_rank(first, own.to_string())?;
        Err(Error::Worker(format!("{what} of rank {first} is {of_first}; expected {of_root}, as rank 0 has")))
    }

    /// A rank's text, known to all.
    fn of_rank(&self, rank: usize, own: String) -> Result<String> {
        let mut text = own;
        if self.rank() == rank {
            self.send(0, text.clone().into_bytes())?;
        } else if self.is_root() {
            text = String::from_utf8_lossy(&self.ranks.receive(rank)?).into_owned();
        }
        self.of_root(text)
    }

    /// The root's message at every rank: from the root itself if it is small, else along a binary tree.
    fn of_the_root(&self, own: Vec<u8>) -> Result<Vec<u8>> {
        let (rank, count) = (self.rank(), self.count());
        if rank == 0 {
            let is_large = own.len() > SMALL;
            let note = if is_large { vec![LARGE] } else { [&own[..], &[WHOLE]].concat() };
            (1..count).try_for_each(|to| self.send(to, note.clone()))?;
            if is_large {
                self.send_on(&own, count.next_power_of_two())?;
            }
            return Ok(own);
        }
        let mut note = self.ranks.receive(0)?;
        if note.pop() == Some(WHOLE) {
            return Ok(note);
        }
        let lowest_bit = 1 << rank.trailing_zeros();
        let message = self.ranks.receive(rank - lowest_bit)?;
        self.send_on(&message, lowest_bit)?;
        Ok(message)
    }

    /// Sends a message to the ranks that have it from this one: this one's number with one more bit, below `bit`.
    fn send_on(&self, message: &[u8], bit: usize) -> Result<()> {
        let steps = std::iter::successors(Some(bit / 2), |step| Some(step / 2)).take_while(|step| *step > 0);
        let others = steps.map(|step| self.rank() + step).filter(|to| *to < self.count());
        others.into_iter().try_for_each(|to| self.send(to, message.to_vec()))
    }

    fn send(&self, to: usize, message: Vec<u8>) -> Result<()> {
        self.sent.fetch_add(message.len() as u64, Ordering::Relaxed);
        self.ranks.send(to, message)
    }
}

/// Numbers as bytes.
pub(super) fn bytes(numbers: &[f64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// As many numbers as this rank has itself.
fn numbers(bytes: &[u8], own: &[f64]) -> Result<Vec<f64>> {
    if bytes.len() != 8 * own.len() {
        return Err(Error::Worker(format!("a rank sent {} bytes instead of {}", bytes.len(), 8 * own.len())));
    }
    Ok(bytes.chunks_exact(8).map(|chunk| f64::from_le_bytes(chunk.try_into().expect("eight bytes"))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranks::threads;
    use foregrad::estimate::Tree;

    /// What every rank of a team gives.
    fn each<R: Send>(count: usize, work: impl Fn(Team) -> R + Sync) -> Vec<R> {
        std::thread::scope(|scope| {
            let own = |ranks: Arc<dyn Ranks>| scope.spawn(|| work(Team::new(ranks)));
            let running: Vec<_> = threads(count).into_iter().map(own).collect();
            running.into_iter().map(|thread| thread.join().expect("a rank's thread")).collect()
        })
    }

    #[test]
    fn sums_are_those_of_one_tree_and_the_same_everywhere() {
        for count in 1..=9 {
            let text = |team: Team| {
                let add = |own, later| format!("({own}{later})");
                let read = |bytes: &[u8], _: &String| Ok(String::from_utf8_lossy(bytes).into_owned());
                team.total(team.rank().to_string(), |own| own.clone().into_bytes(), read, add).expect("a total")
            };
            let tree =
                (0..count).fold(Tree::default(), |tree, rank| tree.with(rank.to_string(), |a, b| format!("({a}{b})")));
            let expected = tree.total(|a, b| format!("({a}{b})")).expect("ranks");
            assert_eq!(each(count, text), vec![expected; count]);
        }
    }

    #[test]
    fn large_totals_come_along_the_tree_and_small_ones_from_the_root() {
        for (length, is_large) in [(2, false), (SMALL / 8, false), (SMALL / 8 + 1, true)] {
            for count in [2, 3, 4, 5, 8] {
                let sums = each(count, |team| (team.sum(vec![1.0; length]).expect("a sum"), team.sent()));
                for (rank, (sum, sent)) in sums.into_iter().enumerate() {
                    assert_eq!(sum, vec![count as f64; length], "rank {rank} of {count}");
                    let up = 8 * length as u64 * u64::from(rank > 0);
                    assert!(
                        rank == 0 || sent == up || (is_large && sent > up),
                        "rank {rank} of {count} sent {sent} bytes"
                    );
                    assert!(is_large || rank == 0 || sent == up);
                }
            }
        }
    }

    #[test]
    fn the_most_bytes_are_those_of_a_rank_other_than_the_root() {
        for count in 1..=5 {
            let most = each(count, |team| team.most_sent([100, 3, 7, 5, 1][team.rank()]).expect("all say"));
            assert_eq!(most, vec![[0, 3, 7, 7, 7][count - 1]; count]);
        }
    }

    #[test]
    fn whoever_differs_is_named_to_all() {
        for count in [2, 5] {
            let agreed = each(count, |team| team.agree("the build", "a"));
            assert!(agreed.iter().all(Result::is_ok));
            let refused = each(count, |team| team.agree("the build", if team.rank() == 1 { "b" } else { "a" }));
            for refused in refused {
                let error = refused.expect_err("rank 1 differs").to_string();
                assert_eq!(error, "the build of rank 1 is b; expected a, as rank 0 has");
            }
        }
    }

    #[test]
    fn a_rank_that_ends_is_an_error_to_those_that_wait_for_it() {
        let results = each(3, |team| if team.rank() == 1 { Ok(vec![]) } else { team.sum(vec![1.0]) });
        assert!(results[0].as_ref().is_err_and(|error| error.to_string().contains("rank 1")), "{results:?}");
        assert!(results[2].is_err());
    }
}
