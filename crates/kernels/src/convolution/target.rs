//! Where a sum is written, and what is taken of it while it is in cache.

use std::mem::MaybeUninit;

/// Mean and mean squared deviation.
pub type Moments = [f64; 2];

/// The planes that a sum is written to.
pub struct Target<'a, T> {
    /// `[samples, channels, h, w]`.
    pub values: &'a mut [MaybeUninit<T>],
    /// Those of the planes, `[samples, channels]`; empty where nobody wants them.
    pub moments: &'a mut [Moments],
}

impl<'a, T> Target<'a, T> {
    /// Planes whose moments nobody wants.
    pub fn plain(values: &'a mut [MaybeUninit<T>]) -> Self {
        Self { values, moments: &mut [] }
    }

    /// Some samples, of so many values and channels, at a time.
    pub(super) fn parts(
        &mut self,
        samples: usize,
        (values, channels): (usize, usize),
    ) -> impl ExactSizeIterator<Item = Target<'_, T>> {
        let mut moments = self.moments.chunks_mut(samples * channels);
        let part = move |values| Target { values, moments: moments.next().unwrap_or_default() };
        self.values.chunks_mut(samples * values).map(part)
    }
}
