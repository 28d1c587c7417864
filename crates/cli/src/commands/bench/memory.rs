//! `foregrad bench --memory`: whose a step's peak of memory is.

use std::collections::BTreeMap;
use std::ops::Range;

use foregrad::account::{Movement, Owner, Role};
use foregrad_lab::report::{self, Stack};
use serde::{Deserialize, Serialize};

/// The account of a method's step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    /// Resident memory of the process before the network is made, bytes.
    program: u64,
    /// Pages of the program's file (code, constants) that have become resident since: what a step calls for the first time, bytes.
    code: u64,
    /// Its largest resident memory, bytes.
    resident: u64,
    /// The arrays that were alive when there were most bytes of them.
    shares: Vec<Share>,
    /// Living bytes by role during the last step, in the order of [`Role::ALL`]: of each stretch of it the moment when there were most.
    course: Vec<Vec<u64>>,
}

/// What an owner had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Share {
    owner: String,
    bytes: u64,
}

/// Stretches that a step is cut into.
const STRETCHES: usize = 400;

/// Bytes below which an owner has no line of its own, as a part of the peak.
const LEAST: f64 = 0.001;

/// The layers of the chart, the lowest first: no more than there are colours.
const LAYERS: [(&str, &[Role]); 7] = [
    ("program, mini-batch, others", &[Role::Other, Role::Batch]),
    ("weights, averages, optimiser", &[Role::Weights, Role::Averages, Role::Optimizer]),
    ("guesses, update", &[Role::Guesses, Role::Update]),
    ("heads, kernels' scratch", &[Role::Head, Role::Scratch]),
    ("values", &[Role::Values]),
    ("tangents", &[Role::Tangents]),
    ("cotangents", &[Role::Cotangents]),
];

const MEBIBYTE: f64 = (1 << 20) as f64;

impl Account {
    /// The account of movements of which the last step's are `last`, of a process that began with `program` bytes, read `code` bytes more of its
    /// file and had `resident` at most.
    pub fn new(movements: &[Movement], last: Range<usize>, [program, code]: [u64; 2], resident: u64) -> Self {
        let peak = highest(movements, 0..movements.len());
        let shares = Living::after(&movements[..peak]).0.into_iter().filter(|(_, bytes)| *bytes > 0);
        let share = |(owner, bytes): (Owner, i64)| Share { owner: name(owner), bytes: bytes.unsigned_abs() };
        let (length, mut living) = (last.len().div_ceil(STRETCHES).max(1), Living::after(&movements[..last.start]));
        let (mut done, mut course) = (last.start, Vec::new());
        for from in last.clone().step_by(length) {
            let moment = highest(movements, from..last.end.min(from + length));
            movements[done..moment].iter().for_each(|movement| living.add(movement));
            done = moment;
            course.push(living.by_role());
        }
        Self { program, code, resident, shares: shares.map(share).collect(), course }
    }

    /// What neither the program nor any owner has, bytes.
    fn remainder(&self) -> i64 {
        let known = self.program + self.code + self.shares.iter().map(|share| share.bytes).sum::<u64>();
        self.resident as i64 - known as i64
    }

    /// Lines of a table: the method, what it is, MiB, and its part of the peak.
    pub fn rows(&self, method: &str) -> Vec<Vec<String>> {
        let least = LEAST * self.resident as f64;
        let (large, small): (Vec<_>, Vec<_>) = self.shares.iter().partition(|share| share.bytes as f64 >= least);
        let small = small.iter().map(|share| share.bytes).sum::<u64>() as i64;
        let head = [("program, before the network", self.program), ("program, its code since", self.code)];
        let head = head.map(|(name, bytes)| (name.to_string(), bytes as i64));
        let owners = large.into_iter().map(|share| (share.owner.clone(), share.bytes as i64));
        let tail = [("all smaller ones", small), ("remainder", self.remainder()), ("peak", self.resident as i64)];
        let lines = head.into_iter().chain(owners).chain(tail.map(|(name, bytes)| (name.to_string(), bytes)));
        let row = |(number, (name, bytes)): (usize, (String, i64))| {
            let part = format!("{:.1} %", 100.0 * bytes as f64 / self.resident.max(1) as f64);
            let method = if number == 0 { method } else { "" };
            vec![method.to_string(), name, format!("{:.1}", bytes as f64 / MEBIBYTE), part]
        };
        lines.enumerate().map(row).collect()
    }

    /// The chart of the last step.
    fn stack(&self, method: &str) -> Stack {
        let bytes = |moment: &[u64], roles: &[Role]| {
            let has_program = roles.contains(&Role::Other);
            let of_roles =
                Role::ALL.iter().zip(moment).filter(|(role, _)| roles.contains(role)).map(|(_, bytes)| bytes);
            of_roles.sum::<u64>() + if has_program { self.program + self.code } else { 0 }
        };
        let mebibytes = |bytes: u64| bytes as f64 / MEBIBYTE;
        let layer = |(name, roles): &(&str, &[Role])| {
            (name.to_string(), self.course.iter().map(|moment| mebibytes(bytes(moment, roles))).collect())
        };
        let title = format!("{method}: {:.0} MiB", mebibytes(self.resident));
        Stack { title, axes: ["moment of the step", "MiB"], layers: LAYERS.iter().map(layer).collect() }
    }
}

/// The page of some methods' accounts.
pub fn page<'a>(accounts: impl Iterator<Item = (String, &'a Account)>, about: &str) -> String {
    let stacks: Vec<_> = accounts.map(|(method, account)| account.stack(&method)).collect();
    report::stacks("Memory of a step", about, &stacks)
}

fn name(owner: Owner) -> String {
    let Owner { role, block } = owner;
    if role.is_of_block() { format!("{} of block {block}", role.name()) } else { role.name().to_string() }
}

/// Living bytes by owner.
#[derive(Default)]
struct Living(BTreeMap<Owner, i64>);

impl Living {
    fn after(movements: &[Movement]) -> Self {
        let mut living = Self::default();
        movements.iter().for_each(|movement| living.add(movement));
        living
    }

    fn add(&mut self, movement: &Movement) {
        *self.0.entry(movement.owner).or_default() += movement.bytes;
    }

    fn by_role(&self) -> Vec<u64> {
        let of = |role: &Role| self.0.iter().filter(|(owner, _)| owner.role == *role).map(|(_, bytes)| *bytes).sum();
        Role::ALL.iter().map(|role| i64::max(of(role), 0).unsigned_abs()).collect()
    }
}

/// The number of movements after which, within a range, there were most living bytes.
fn highest(movements: &[Movement], range: Range<usize>) -> usize {
    let (mut total, mut most, mut place) = (0, i64::MIN, range.start);
    for (number, movement) in movements.iter().enumerate().take(range.end).skip(range.start) {
        total += movement.bytes;
        if total > most {
            (most, place) = (total, number + 1);
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    fn movement(owner: impl Into<Owner>, mebibytes: i64) -> Movement {
        Movement { owner: owner.into(), bytes: mebibytes << 20 }
    }

    fn account() -> Account {
        let values = [0, 1].map(|block| Role::Values.of(block));
        let first = [movement(Role::Weights, 40), movement(values[0], 10), movement(values[0], -10)];
        let last = [
            movement(values[0], 20),
            movement(values[1], 30),
            movement(values[0], -20),
            movement(Role::Update, 5),
            movement(values[1], -30),
        ];
        let all = [&first[..], &last[..]].concat();
        Account::new(&all, 3..8, [6 << 20, 1 << 20], 100 << 20)
    }

    #[test]
    fn the_peak_is_that_of_its_owners_and_what_is_left_has_a_line() {
        let rows = account().rows("backprop");
        let expected = [
            ["backprop", "program, before the network", "6.0", "6.0 %"],
            ["", "program, its code since", "1.0", "1.0 %"],
            ["", "weights", "40.0", "40.0 %"],
            ["", "values of block 0", "20.0", "20.0 %"],
            ["", "values of block 1", "30.0", "30.0 %"],
            ["", "all smaller ones", "0.0", "0.0 %"],
            ["", "remainder", "3.0", "3.0 %"],
            ["", "peak", "100.0", "100.0 %"],
        ];
        assert_eq!(rows, expected.map(|row| row.map(String::from).to_vec()));
    }

    #[test]
    fn the_course_is_that_of_the_last_step() {
        let stack = account().stack("backprop");
        let expected = [
            ("program, mini-batch, others", vec![7.0; 5]),
            ("weights, averages, optimiser", vec![40.0; 5]),
            ("guesses, update", vec![0.0, 0.0, 0.0, 5.0, 5.0]),
            ("heads, kernels' scratch", vec![0.0; 5]),
            ("values", vec![20.0, 50.0, 30.0, 30.0, 0.0]),
            ("tangents", vec![0.0; 5]),
            ("cotangents", vec![0.0; 5]),
        ];
        let expected = expected.map(|(name, values)| (name.to_string(), values));
        assert_eq!((stack.title.as_str(), &stack.layers[..]), ("backprop: 100 MiB", &expected[..]));
    }
}
