//! Work on the parts of an array, with memory that each thread uses again.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

/// Calls `work` for each of `parts` with its number, on all threads. A thread makes its own memory once, by `own`, whatever the number of parts:
/// large buffers that were made for each part would be cleared each time.
pub(crate) fn for_each_with<P: Send, B>(
    parts: impl Iterator<Item = P> + Send,
    own: impl Fn() -> B + Sync,
    work: impl Fn(&mut B, (usize, P)) + Sync,
) {
    let parts = Mutex::new(parts.enumerate());
    let next = || parts.lock().unwrap_or_else(PoisonError::into_inner).next();
    (0..rayon::current_num_threads()).into_par_iter().with_max_len(1).for_each(|_| {
        let Some(first) = next() else { return };
        let mut buffers = own();
        work(&mut buffers, first);
        while let Some(part) = next() {
            work(&mut buffers, part);
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn every_part_is_worked_on_once_and_no_thread_makes_its_memory_twice() {
        let mut values = [0_usize; 100];
        let made = AtomicUsize::new(0);
        let own = || made.fetch_add(1, Ordering::Relaxed);
        for_each_with(values.chunks_mut(3), own, |_, (index, part)| {
            part.iter_mut().for_each(|value| *value += index + 1)
        });
        assert!(values.iter().enumerate().all(|(place, value)| *value == place / 3 + 1));
        assert!((1..=rayon::current_num_threads()).contains(&made.load(Ordering::Relaxed)));
        for_each_with(std::iter::empty::<()>(), own, |_, _| unreachable!("there is no part"));
    }
}
