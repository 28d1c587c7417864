//! Mini-batches in seeded order, made ahead on a thread of their own.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use super::{Label, Source};
use crate::{Error, Result};
use foregrad::estimate::MicroBatch;
use foregrad::losses::{LabelKind, Labels};
use foregrad::rng::Stream;

/// Batches made ahead of the one in use.
const AHEAD: usize = 2;

/// The order of the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As they stand; the last batch may be smaller.
    InOrder,
    /// Drawn from the seed for an epoch; a last batch that would be smaller is left out.
    Shuffled {
        /// The run's seed.
        seed: u64,
        /// The epoch, from 0.
        epoch: u64,
    },
}

/// How batches are made.
#[derive(Debug, Clone, Copy)]
pub struct BatchOptions {
    /// Images a batch.
    pub size: usize,
    /// Their order.
    pub order: Order,
    /// Whether images are cropped and flipped at random (shuffled order only).
    pub augment: bool,
    /// Batches to leave out at the beginning, when a run is resumed.
    pub skip: usize,
    /// The part of every batch that is made, where others make the rest.
    pub part: MicroBatch,
}

/// A mini-batch in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct HostBatch {
    /// Normalised images, row by row.
    pub images: Vec<f32>,
    /// `[n, channels, height, width]`.
    pub shape: [usize; 4],
    /// The label of each.
    pub labels: Labels,
}

/// An iterator over mini-batches; dropping it ends its thread.
#[derive(Debug)]
pub struct Batches {
    receiver: Receiver<Result<HostBatch>>,
    remaining: usize,
}

impl Batches {
    /// Starts making batches of a data set.
    ///
    /// # Errors
    /// A size of 0; in shuffled order a batch larger than the data set.
    pub fn new(set: Arc<dyn Source>, options: BatchOptions) -> Result<Self> {
        if options.size == 0 {
            return Err(Error::out_of_range("batch", 0, "at least 1 image"));
        }
        let total = match options.order {
            Order::InOrder => set.len().div_ceil(options.size),
            Order::Shuffled { .. } if options.size > set.len() => {
                let expected = format!("at most the {} training images", set.len());
                return Err(Error::out_of_range("batch", options.size, expected));
            }
            Order::Shuffled { .. } => set.len() / options.size,
        };
        let (sender, receiver) = sync_channel(AHEAD);
        let work = move || {
            let order = order(&*set, options.order);
            if order.len() != set.len() {
                let expected = format!("{}, one a sample", set.len());
                let wrong = Error::out_of_range("the length of an epoch's order", order.len(), expected);
                sender.send(Err(wrong)).ok();
                return;
            }
            for chunk in order.chunks(options.size).take(total).skip(options.skip) {
                let each = chunk.len() / options.part.count;
                let own = options.part.index * each;
                let batch = batch(&*set, &chunk[own..own + each], &options);
                let is_wrong = batch.is_err();
                // The receiver is gone once the iterator is dropped: nothing is wanted any more.
                if sender.send(batch).is_err() || is_wrong {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("batches".into());
        let failed = |error| Error::Worker(format!("the thread that makes batches could not be started: {error}"));
        thread.spawn(work).map_err(failed)?;
        Ok(Self { receiver, remaining: total.saturating_sub(options.skip) })
    }
}

impl Iterator for Batches {
    type Item = Result<HostBatch>;

    /// The next batch; an error, and then nothing more, if the thread ended before the last one.
    fn next(&mut self) -> Option<Self::Item> {
        let left = std::mem::take(&mut self.remaining);
        if left == 0 {
            return None;
        }
        let Ok(batch) = self.receiver.recv() else {
            let reason = format!("the thread that makes batches ended with {left} of them still to come");
            return Some(Err(Error::Worker(reason)));
        };
        self.remaining = if batch.is_ok() { left - 1 } else { 0 };
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl ExactSizeIterator for Batches {}

fn order(set: &dyn Source, order: Order) -> Vec<usize> {
    match order {
        Order::InOrder => (0..set.len()).collect(),
        Order::Shuffled { seed, epoch } => set.order(Stream::new(seed, "data-order").at(epoch)),
    }
}

fn batch(set: &dyn Source, indices: &[usize], options: &BatchOptions) -> Result<HostBatch> {
    let moves = match options.order {
        Order::Shuffled { seed, epoch } if options.augment => Some(Stream::new(seed, "augment").at(epoch)),
        _ => None,
    };
    let [channels, height, width] = set.shape();
    let size = channels * height * width;
    let mut images = vec![0.0; indices.len() * size];
    let sample = |(index, out): (&usize, &mut [f32])| set.sample(*index, moves.map(|all| all.at(*index as u64)), out);
    let labels = indices.iter().zip(images.chunks_mut(size)).map(sample).collect::<Result<_>>()?;
    let labels = gathered(set.kind(), labels).and_then(|labels| labels.validate(indices.len()).map(|()| labels))?;
    Ok(HostBatch { images, shape: [indices.len(), channels, height, width], labels })
}

/// The labels of samples, which have to be of the kind that their source names.
fn gathered(kind: LabelKind, labels: Vec<Label>) -> Result<Labels> {
    let wrong = |label: &Label| Error::out_of_range("a label of the data", format!("{label:?}"), kind.to_string());
    match kind {
        LabelKind::Classes(classes) => {
            let class = |label: Label| if let Label::Class(class) = label { Ok(class) } else { Err(wrong(&label)) };
            Ok(Labels::classes(labels.into_iter().map(class).collect::<Result<_>>()?, classes))
        }
        LabelKind::Values(width) => {
            let mut rows = Vec::with_capacity(labels.len() * width);
            for label in labels {
                match label {
                    Label::Values(values) if values.len() == width => rows.extend(values),
                    label => return Err(wrong(&label)),
                }
            }
            Ok(Labels::values(rows, width))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{LoadOptions, load};

    /// A source whose samples end early, in an error or a panic; or that gives a label of another kind.
    struct Broken {
        all: Arc<dyn Source>,
        at: usize,
        how: fn() -> Result<Label>,
    }

    impl Source for Broken {
        fn len(&self) -> usize {
            self.all.len()
        }

        fn shape(&self) -> [usize; 3] {
            self.all.shape()
        }

        fn kind(&self) -> LabelKind {
            self.all.kind()
        }

        fn sample(&self, index: usize, vary: Option<Stream>, input: &mut [f32]) -> Result<Label> {
            if index == self.at { (self.how)() } else { self.all.sample(index, vary, input) }
        }
    }

    fn broken(how: fn() -> Result<Label>) -> Vec<Result<HostBatch>> {
        let options = BatchOptions { size: 5, order: Order::InOrder, augment: false, skip: 0, part: MicroBatch::WHOLE };
        Batches::new(Arc::new(Broken { all: set(), at: 12, how }), options).expect("batches").collect()
    }

    fn set() -> Arc<dyn Source> {
        let options = LoadOptions { train_limit: Some(25), test_limit: Some(1), ..Default::default() };
        load("glyphs", &options).expect("glyphs").train
    }

    fn shuffled(size: usize, epoch: u64) -> BatchOptions {
        BatchOptions {
            size,
            order: Order::Shuffled { seed: 3, epoch },
            augment: true,
            skip: 0,
            part: MicroBatch::WHOLE,
        }
    }

    fn all(options: BatchOptions) -> Vec<HostBatch> {
        Batches::new(set(), options).expect("batches").collect::<Result<_>>().expect("all of them")
    }

    #[test]
    fn a_thread_that_ends_early_is_an_error_and_no_shorter_epoch() {
        let batches = broken(|| panic!("a mistake of its author"));
        assert!(batches[..2].iter().all(Result::is_ok), "the first ten images are there");
        let [_, _, Err(error)] = &batches[..] else { panic!("{} batches", batches.len()) };
        assert!(!error.is_usage() && error.to_string().contains("3 of them still to come"), "{error}");
    }

    #[test]
    fn samples_that_cannot_be_had_and_labels_of_another_kind_end_it_with_their_error() {
        type Case = (fn() -> Result<Label>, &'static str);
        let cases: [Case; 4] = [
            (|| Err(Error::bad_file("twelve.png", "a picture", "none")), "twelve.png"),
            (|| Ok(Label::Class(10)), "the label of sample 2 is 10; expected a class below 10"),
            (|| Ok(Label::Values(vec![0.5])), "a label of the data is Values([0.5]); expected 10 classes"),
            (|| Ok(Label::Values(Vec::new())), "expected 10 classes"),
        ];
        for (how, words) in cases {
            let batches = broken(how);
            let [Ok(_), Ok(_), Err(error)] = &batches[..] else { panic!("{} batches", batches.len()) };
            assert!(error.is_usage() && error.to_string().contains(words), "{error}");
        }
        assert!(gathered(LabelKind::Values(2), vec![Label::Values(vec![1.0])]).is_err());
        let rows = vec![Label::Values(vec![1.0, 2.0]), Label::Values(vec![3.0, 4.0])];
        assert_eq!(gathered(LabelKind::Values(2), rows).expect("rows"), Labels::values(vec![1.0, 2.0, 3.0, 4.0], 2));
    }

    #[test]
    fn shuffled_order_leaves_out_the_rest_and_depends_on_the_epoch_alone() {
        let eights = all(shuffled(8, 0));
        assert_eq!(eights.len(), 3);
        let joined = |batches: &[HostBatch]| batches.iter().flat_map(|b| b.images.clone()).collect::<Vec<_>>();
        let fours = joined(&all(shuffled(4, 0)));
        assert_eq!(joined(&eights)[..], fours[..eights.len() * 8 * 784]);
        assert_ne!(eights[0], all(shuffled(8, 1))[0]);
    }

    #[test]
    fn skipping_gives_the_rest_of_the_same_epoch() {
        let whole = all(shuffled(8, 2));
        assert_eq!(all(BatchOptions { skip: 2, ..shuffled(8, 2) }), whole[2..]);
        assert_eq!(all(BatchOptions { skip: 9, ..shuffled(8, 2) }), []);
    }

    #[test]
    fn in_order_everything_comes_and_nothing_moves() {
        let options = BatchOptions { size: 10, order: Order::InOrder, augment: true, skip: 0, part: MicroBatch::WHOLE };
        let batches = all(options);
        assert_eq!(batches.iter().map(|b| b.labels.len()).collect::<Vec<_>>(), [10, 10, 5]);
        let first = (f32::from(set().picture(0).expect("a picture")[0]) / 255.0 - 0.5) / 0.25;
        assert!((batches[0].images[0] - first).abs() < 1e-5);
    }

    #[test]
    fn an_iterator_may_be_dropped_early_and_sizes_are_checked() {
        drop(Batches::new(set(), shuffled(2, 0)).expect("batches").next());
        assert!(Batches::new(set(), shuffled(0, 0)).is_err());
        let error = Batches::new(set(), shuffled(26, 0)).expect_err("too large").to_string();
        assert!(error.contains("at most the 25 training images"), "{error}");
    }
}
