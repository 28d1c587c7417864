//! An account of memory: for whom each array is allocated, and how much of it is alive at any moment.
//!
//! Code at work says for whom ([`within`], [`hand_over`]); the program's allocator tells of its arrays ([`allocated`], [`freed`]). Until
//! [`open`] nothing is noted, and each of these costs one look at a flag. The owner is the whole process's, so that a kernel's threads
//! allocate for whoever called it: an account is of one step at a time.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Whose memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// What it is used for.
    pub role: Role,
    /// The number of the block that it belongs to; 0 of a role that is not a block's.
    pub block: u16,
}

/// What memory is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum Role {
    /// Nobody has said.
    Other,
    /// The mini-batch.
    Batch,
    /// Parameters.
    Weights,
    /// Moving averages.
    Averages,
    /// What an optimiser carries from step to step, and what it works in.
    Optimizer,
    /// Directions of weights or outputs.
    Guesses,
    /// The estimate of the gradient.
    Update,
    /// Memory that a kernel works in.
    Scratch,
    /// A block's output, and what its layers save.
    Values,
    /// Tangents through a block.
    Tangents,
    /// Cotangents through a block, those of its parameters among them until somebody takes them.
    Cotangents,
    /// All of a block's head, or of the classifier, but its weights.
    Head,
}

impl Role {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::Other,
        Self::Batch,
        Self::Weights,
        Self::Averages,
        Self::Optimizer,
        Self::Guesses,
        Self::Update,
        Self::Scratch,
        Self::Values,
        Self::Tangents,
        Self::Cotangents,
        Self::Head,
    ];

    /// Its name in tables and charts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Other => "other arrays",
            Self::Batch => "mini-batch",
            Self::Weights => "weights",
            Self::Averages => "averages",
            Self::Optimizer => "optimiser",
            Self::Guesses => "guesses",
            Self::Update => "update",
            Self::Scratch => "kernels' scratch",
            Self::Values => "values",
            Self::Tangents => "tangents",
            Self::Cotangents => "cotangents",
            Self::Head => "head",
        }
    }

    /// Whether every block has memory of this kind.
    pub fn is_of_block(self) -> bool {
        matches!(self, Self::Values | Self::Tangents | Self::Cotangents | Self::Head)
    }

    /// This memory of a block.
    pub fn of(self, block: usize) -> Owner {
        Owner { role: self, block: u16::try_from(block).unwrap_or(u16::MAX) }
    }
}

impl From<Role> for Owner {
    fn from(role: Role) -> Self {
        Self { role, block: 0 }
    }
}

impl Owner {
    const fn code(self) -> u32 {
        (self.role as u32) << 16 | self.block as u32
    }

    fn of_code(code: u32) -> Self {
        let role = Role::ALL.get((code >> 16) as usize).copied().unwrap_or(Role::Other);
        Self { role, block: (code & 0xffff) as u16 }
    }
}

/// A line of the account: so many bytes more, or fewer, of an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Movement {
    /// Whose.
    pub owner: Owner,
    /// More than 0 of what was allocated, less of what was freed.
    pub bytes: i64,
}

/// Bytes from which an array has a line; smaller ones are not counted.
pub const SMALLEST: usize = 4096;

/// Arrays that can be alive at once.
const ARRAYS: usize = 1 << 14;

/// Lines at most.
const MOVEMENTS: usize = 1 << 17;

/// A living array.
#[derive(Clone, Copy)]
struct Array {
    address: usize,
    size: usize,
    owner: Owner,
}

struct Book {
    /// In the order of their addresses.
    arrays: [Array; ARRAYS],
    count: usize,
    movements: [Movement; MOVEMENTS],
    noted: usize,
    /// There was no room for something.
    is_full: bool,
}

const NOBODY: Owner = Owner { role: Role::Other, block: 0 };

static IS_OPEN: AtomicBool = AtomicBool::new(false);

static AT_WORK: AtomicU32 = AtomicU32::new(NOBODY.code());

/// All of it is 0 until it is written to, so that it takes no memory before.
static BOOK: Mutex<Book> = Mutex::new(Book {
    arrays: [Array { address: 0, size: 0, owner: NOBODY }; ARRAYS],
    count: 0,
    movements: [Movement { owner: NOBODY, bytes: 0 }; MOVEMENTS],
    noted: 0,
    is_full: false,
});

fn book() -> MutexGuard<'static, Book> {
    BOOK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether movements are noted.
pub fn is_open() -> bool {
    IS_OPEN.load(Ordering::Relaxed)
}

/// Notes from now on.
pub fn open() {
    let mut book = book();
    (book.count, book.noted, book.is_full) = (0, 0, false);
    IS_OPEN.store(true, Ordering::Relaxed);
}

/// The number of lines so far.
pub fn length() -> usize {
    book().noted
}

/// Ends the account: its lines in order, or nothing if there was no room for all of them.
pub fn close() -> Option<Vec<Movement>> {
    // Before the book is held: the list of lines is an array of the allocator's too.
    IS_OPEN.store(false, Ordering::Relaxed);
    let book = book();
    (!book.is_full).then(|| book.movements[..book.noted].to_vec())
}

/// What is allocated while `work` runs is an owner's, unless `work` says otherwise.
pub fn within<R>(owner: impl Into<Owner>, work: impl FnOnce() -> R) -> R {
    let before = AT_WORK.swap(owner.into().code(), Ordering::Relaxed);
    let result = work();
    AT_WORK.store(before, Ordering::Relaxed);
    result
}

/// Makes the array with this address an owner's.
pub fn hand_over(address: usize, owner: impl Into<Owner>) {
    if is_open() {
        book().hand_over(address, owner.into());
    }
}

/// An allocator's: an array is there.
pub fn allocated(address: usize, size: usize) {
    if is_open() && size >= SMALLEST {
        let owner = Owner::of_code(AT_WORK.load(Ordering::Relaxed));
        book().add(Array { address, size, owner });
    }
}

/// An allocator's: an array is gone.
pub fn freed(address: usize, size: usize) {
    if is_open() && size >= SMALLEST {
        book().remove(address);
    }
}

impl Book {
    /// Where the array with an address is, or would be.
    fn place(&self, address: usize) -> Result<usize, usize> {
        self.arrays[..self.count].binary_search_by_key(&address, |array| array.address)
    }

    fn note(&mut self, owner: Owner, bytes: i64) {
        match self.movements.get_mut(self.noted) {
            Some(line) => *line = Movement { owner, bytes },
            None => return self.is_full = true,
        }
        self.noted += 1;
    }

    fn add(&mut self, array: Array) {
        let Err(place) = self.place(array.address) else { return };
        if self.count == ARRAYS {
            return self.is_full = true;
        }
        self.arrays.copy_within(place..self.count, place + 1);
        self.arrays[place] = array;
        self.count += 1;
        self.note(array.owner, array.size as i64);
    }

    /// Arrays from before the account was opened are none of it.
    fn remove(&mut self, address: usize) {
        let Ok(place) = self.place(address) else { return };
        let Array { size, owner, .. } = self.arrays[place];
        self.arrays.copy_within(place + 1..self.count, place);
        self.count -= 1;
        self.note(owner, -(size as i64));
    }

    fn hand_over(&mut self, address: usize, owner: Owner) {
        let Ok(place) = self.place(address) else { return };
        let array = &mut self.arrays[place];
        let (before, bytes) = (std::mem::replace(&mut array.owner, owner), array.size as i64);
        if before != owner {
            self.note(before, -bytes);
            self.note(owner, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test: the account is the process's.
    #[test]
    fn every_array_has_its_owner_from_its_first_moment_to_its_last() {
        allocated(1, SMALLEST);
        assert!(!is_open());
        open();
        freed(1, SMALLEST);
        let values = Role::Values.of(3);
        within(values, || {
            allocated(200_000, 5000);
            within(Role::Scratch, || allocated(100_000, 8000));
            allocated(300_000, SMALLEST - 1);
            allocated(400_000, 6000);
        });
        allocated(500_000, 7000);
        freed(100_000, 8000);
        hand_over(200_000, Role::Update);
        hand_over(200_000, Role::Update);
        hand_over(1, Role::Update);
        freed(300_000, SMALLEST - 1);
        freed(200_000, 5000);
        let length = length();
        let lines = close().expect("there was room");
        let line = |owner: Owner, bytes| Movement { owner, bytes };
        let expected = [
            line(values, 5000),
            line(Role::Scratch.into(), 8000),
            line(values, 6000),
            line(Role::Other.into(), 7000),
            line(Role::Scratch.into(), -8000),
            line(values, -5000),
            line(Role::Update.into(), 5000),
            line(Role::Update.into(), -5000),
        ];
        assert_eq!((lines.as_slice(), length), (&expected[..], expected.len()));
        assert!(!is_open());
        open();
        (0..=ARRAYS).for_each(|array| allocated(10 * array + 1, SMALLEST));
        assert_eq!(close(), None, "more arrays than there is room for");
    }

    #[test]
    fn owners_have_numbers_of_their_own() {
        for role in Role::ALL {
            let owner = role.of(7);
            assert_eq!(Owner::of_code(owner.code()), owner);
        }
        assert_eq!(Role::Head.of(1 << 20).block, u16::MAX);
    }
}
