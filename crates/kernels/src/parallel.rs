//! Work on the parts of an array, with memory that each thread uses again.

use std::any::Any;
use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::account::{self, Role};

/// Bytes up to which a thread keeps its memory of a kind for the next call: small arrays cost as much to make and clear as to use.
const KEPT: usize = 3 << 18;

/// Bytes of a thread's memory, times how often it is used in a call, from which nothing is kept: making and clearing it once costs little of that.
const LONG: usize = 4 << 20;

/// A thread's memory for one kind of work. Whoever gets it finds there whatever the work before left.
pub(crate) trait Own: Any + Default {
    /// What it holds.
    fn bytes(&self) -> usize;
}

thread_local! {
    /// At most one of a kind.
    static OWN: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with this thread's memory of a kind; work inside of work gets other memory. It uses it so often, about.
fn with_own<B: Own, R>(uses: usize, work: impl FnOnce(&mut B) -> R) -> R {
    let kept = OWN.with_borrow_mut(|kept| {
        let place = kept.iter().position(|own| own.is::<B>())?;
        kept.swap_remove(place).downcast::<B>().ok()
    });
    let mut own = kept.unwrap_or_default();
    let result = work(&mut own);
    if own.bytes() <= KEPT && own.bytes() * uses < LONG {
        OWN.with_borrow_mut(|kept| {
            kept.retain(|other| !other.is::<B>());
            kept.push(own);
        });
    }
    result
}

/// Calls `work` for each of `parts` with its number, on all threads. A thread takes its memory once, whatever the number of parts: large
/// buffers that were made for each part would be cleared each time.
pub(crate) fn for_each_with<P: Send, B: Own>(
    parts: impl ExactSizeIterator<Item = P> + Send,
    work: impl Fn(&mut B, (usize, P)) + Sync,
) {
    // Not how many a thread happens to get: what is kept would differ from run to run.
    let uses = parts.len().div_ceil(rayon::current_num_threads());
    let parts = Mutex::new(parts.enumerate());
    let next = || parts.lock().unwrap_or_else(PoisonError::into_inner).next();
    let on_a_thread = || {
        let Some(first) = next() else { return };
        with_own(uses, |own: &mut B| {
            work(own, first);
            while let Some(part) = next() {
                work(own, part);
            }
        });
    };
    // Said once by the caller: the owner is all threads', and they would leave each other's behind.
    account::within(Role::Scratch, || {
        (0..rayon::current_num_threads()).into_par_iter().with_max_len(1).for_each(|_| on_a_thread());
    });
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// How often this thread's memory was used.
    #[derive(Default)]
    struct Uses(usize);

    impl Own for Uses {
        fn bytes(&self) -> usize {
            self.0 << 19
        }
    }

    /// How often memory that is too much to be kept was made.
    static MADE: AtomicUsize = AtomicUsize::new(0);

    struct Large;

    impl Default for Large {
        fn default() -> Self {
            MADE.fetch_add(1, Ordering::Relaxed);
            Self
        }
    }

    impl Own for Large {
        fn bytes(&self) -> usize {
            KEPT + 1
        }
    }

    #[test]
    fn every_part_is_worked_on_once_and_no_thread_makes_its_memory_twice() {
        let mut values = [0_usize; 100];
        for_each_with(values.chunks_mut(3), |_: &mut Large, (index, part)| {
            part.iter_mut().for_each(|value| *value += index + 1)
        });
        assert!(values.iter().enumerate().all(|(place, value)| *value == place / 3 + 1));
        assert!((1..=rayon::current_num_threads()).contains(&MADE.load(Ordering::Relaxed)));
        for_each_with(std::iter::empty::<()>(), |_: &mut Large, _| unreachable!("there is no part"));
    }

    #[test]
    fn little_memory_is_kept_for_the_next_call() {
        let use_often = |uses| {
            with_own(uses, |own: &mut Uses| {
                with_own(1, |inner: &mut Uses| assert_eq!(inner.0, 0, "another than the one in use"));
                own.0 += 1;
                own.0
            })
        };
        assert_eq!([1, 1, 1, 1].map(use_often), [1, 2, 1, 2], "much is not kept");
        assert_eq!([8, 7, 1, 1].map(use_often), [1, 1, 2, 1], "what was used often is not kept");
    }
}
