//! Pickled dictionaries of numpy arrays and lists of numbers: a small part of the pickle machine.
//!
//! Nothing is ever called or built: values are nodes that refer to each other by number, so that no file, however nested or
//! recursive, costs more memory than its own size allows. Source: Python's `pickletools`, protocols 2 to 5.

use std::borrow::Cow;
use std::collections::HashMap;

use super::numpy::{Array, little_endian};

/// No file of a known data set has more values than this.
const NODES: usize = 1 << 22;

type Found<T> = Result<T, String>;
type Place = usize;

/// A value; its parts by their places.
#[derive(Debug)]
enum Node<'a> {
    /// Nothing that is of use here: `None`, fractions.
    Other,
    Number(i64),
    /// Text or bytes.
    Bytes(&'a [u8]),
    Global(&'a [u8]),
    /// A list or tuple.
    Items(Vec<Place>),
    /// Keys and values in turn.
    Pairs(Vec<Place>),
    /// What a call would make, and the state it would be given.
    Made {
        by: Place,
        from: Place,
        state: Option<Place>,
    },
}

/// The name of what makes a value, its arguments and its state.
type Made<'a> = (&'a [u8], &'a [Place], Option<&'a [Place]>);

/// A pickled dictionary.
#[derive(Debug)]
pub(super) struct Dictionary<'a> {
    nodes: Vec<Node<'a>>,
    pairs: Vec<Place>,
}

impl<'a> Dictionary<'a> {
    /// Reads a file; errors are what was found instead of a dictionary.
    pub fn parse(bytes: &'a [u8]) -> Found<Self> {
        let mut machine = Machine { bytes, ..Machine::default() };
        let top = loop {
            if let Some(top) = machine.step()? {
                break top;
            }
        };
        match machine.nodes.get_mut(top) {
            Some(Node::Pairs(pairs)) => Ok(Self { pairs: std::mem::take(pairs), nodes: machine.nodes }),
            _ => Err("a pickle of something else than a dictionary".into()),
        }
    }

    /// An array under a key.
    pub fn array(&self, key: &str) -> Found<Array<'_>> {
        let (by, from, state) = self.made(self.get(key)?).ok_or_else(|| format!("no array as {key}"))?;
        let damaged = || format!("no array that is understood as {key}");
        let (kind, shape, order, bytes) = match (by, from, state) {
            (b"_reconstruct", _, Some([_, shape, kind, order, bytes])) => (*kind, *shape, self.number(*order), *bytes),
            (b"_frombuffer", [bytes, kind, shape, order], _) => {
                (*kind, *shape, self.bytes(*order).map(|order| i64::from(&*order == b"F")), *bytes)
            }
            _ => return Err(damaged()),
        };
        let kind = self.kind(kind).ok_or_else(damaged)?;
        let shape = self.items(shape).and_then(|axes| {
            axes.iter().map(|axis| self.number(*axis).and_then(|axis| usize::try_from(axis).ok())).collect()
        });
        let (shape, bytes) = (shape.ok_or_else(damaged)?, self.bytes(bytes).ok_or_else(damaged)?);
        Array::new(&kind, order != Some(0), shape, bytes)
    }

    /// Whole numbers under a key, in a list or an array.
    pub fn numbers(&self, key: &str) -> Found<Vec<i64>> {
        match self.items(self.get(key)?) {
            Some(items) => items.iter().map(|item| self.scalar(*item)).collect::<Option<_>>().ok_or(()),
            None => return self.array(key).and_then(|array| array.numbers()),
        }
        .map_err(|()| format!("something else than numbers as {key}"))
    }

    fn get(&self, key: &str) -> Found<Place> {
        let is_key = |pair: &&[Place; 2]| self.bytes(pair[0]).is_some_and(|found| *found == *key.as_bytes());
        self.pairs.as_chunks::<2>().0.iter().find(is_key).map(|pair| pair[1]).ok_or_else(|| format!("no {key}"))
    }

    /// How a value is made.
    fn made(&self, place: Place) -> Option<Made<'_>> {
        match self.nodes.get(place)? {
            Node::Made { by, from, state } => match self.nodes.get(*by)? {
                Node::Global(name) => Some((name, self.items(*from)?, state.and_then(|state| self.items(state)))),
                _ => None,
            },
            _ => None,
        }
    }

    fn number(&self, place: Place) -> Option<i64> {
        match self.nodes.get(place)? {
            Node::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// A number, Python's or numpy's.
    fn scalar(&self, place: Place) -> Option<i64> {
        let Some((b"scalar", [kind, bytes], _)) = self.made(place) else { return self.number(place) };
        let one = Array::new(&self.kind(*kind)?, false, Vec::new(), self.bytes(*bytes)?).ok()?;
        one.numbers().ok()?.first().copied()
    }

    fn items(&self, place: Place) -> Option<&[Place]> {
        match self.nodes.get(place)? {
            Node::Items(items) => Some(items),
            _ => None,
        }
    }

    /// Text or bytes; before protocol 3 bytes are the call of an encoder.
    fn bytes(&self, place: Place) -> Option<Cow<'_, [u8]>> {
        if let Some((b"encode", [text, _], _)) = self.made(place) {
            let Node::Bytes(text) = self.nodes.get(*text)? else { return None };
            let text = std::str::from_utf8(text).ok()?;
            return text.chars().map(|char| u8::try_from(u32::from(char)).ok()).collect::<Option<_>>().map(Cow::Owned);
        }
        match self.nodes.get(place)? {
            Node::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
            _ => None,
        }
    }

    /// A numpy type: its byte order is in its state, the rest its first argument.
    fn kind(&self, place: Place) -> Option<String> {
        let Some((b"dtype", [name, ..], state)) = self.made(place) else { return None };
        let order = state.and_then(|state| state.get(1)).and_then(|order| self.bytes(*order)).unwrap_or_default();
        let name = self.bytes(*name)?;
        Some(format!("{}{}", String::from_utf8_lossy(&order), String::from_utf8_lossy(&name)))
    }
}

/// The machine that runs a pickle.
#[derive(Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node<'a>>,
    stack: Vec<Place>,
    /// Where lists that are not yet closed begin in the stack.
    marks: Vec<usize>,
    memo: HashMap<u64, Place>,
    recalls: usize,
}

impl<'a> Machine<'a> {
    /// One instruction; the last one gives the whole value.
    fn step(&mut self) -> Found<Option<Place>> {
        let code = self.take(1)?[0];
        match code {
            b'.' => return self.pop().map(Some),
            0x80 => drop(self.take(1)?), // protocol
            0x95 => drop(self.take(8)?), // frame
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.push(Node::Other)?,
            b'G' => self.take(8).and_then(|_| self.push(Node::Other))?,
            0x88 | 0x89 => self.push(Node::Number(i64::from(code == 0x88)))?,
            b'I' | b'L' => self.decimal()?,
            b'F' => self.line().and_then(|_| self.push(Node::Other))?,
            b'J' => self.whole(4, true)?,
            b'K' => self.whole(1, false)?,
            b'M' => self.whole(2, false)?,
            0x8a => {
                let length = self.length(1)?;
                self.whole(length, true)?;
            }
            b'C' | b'U' | 0x8c => self.text(1)?,
            b'B' | b'T' | b'X' => self.text(4)?,
            0x8d | 0x8e | 0x96 => self.text(8)?,
            b'c' => self.global()?,
            0x93 => self.stacked_global()?,
            b')' | b']' => self.push(Node::Items(Vec::new()))?,
            b'}' => self.push(Node::Pairs(Vec::new()))?,
            0x85..=0x87 => {
                let start = self.stack.len().checked_sub(usize::from(code - 0x84)).ok_or("an empty stack")?;
                let items = self.stack.split_off(start);
                self.push(Node::Items(items))?;
            }
            b't' | b'l' => {
                let items = self.marked()?;
                self.push(Node::Items(items))?;
            }
            b'a' => self.pop().map(|item| vec![item]).and_then(|items| self.extend(items))?,
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.extend(vec![key, value])?;
            }
            b'e' | b'u' => self.marked().and_then(|items| self.extend(items))?,
            b'R' => {
                let (from, by) = (self.pop()?, self.pop()?);
                self.push(Node::Made { by, from, state: None })?;
            }
            b'b' => self.build()?,
            b'q' => self.length(1).and_then(|key| self.remember(key as u64))?,
            b'r' => self.length(4).and_then(|key| self.remember(key as u64))?,
            0x94 => self.remember(self.memo.len() as u64)?,
            b'h' => self.length(1).and_then(|key| self.recall(key as u64))?,
            b'j' => self.length(4).and_then(|key| self.recall(key as u64))?,
            b'0' => drop(self.pop()?),
            b'S' | b'V' | b'd' | b'g' | b'p' => {
                let code = char::from(code);
                return Err(format!("a pickle of protocol 0 (instruction {code:?}): save it with protocol=2 or newer"));
            }
            other => return Err(format!("a pickle with the instruction {:?}", char::from(other))),
        }
        Ok(None)
    }

    fn take(&mut self, count: usize) -> Found<&'a [u8]> {
        let bytes = self.bytes.get(self.at..).and_then(|rest| rest.get(..count)).ok_or("a pickle that is cut short")?;
        self.at += count;
        Ok(bytes)
    }

    fn length(&mut self, width: usize) -> Found<usize> {
        usize::try_from(little_endian(self.take(width)?, false)).map_err(|_| "an impossible length".to_string())
    }

    fn push(&mut self, node: Node<'a>) -> Found<()> {
        if self.nodes.len() >= NODES {
            return Err(format!("a pickle of more than {NODES} values"));
        }
        self.stack.push(self.nodes.len());
        self.nodes.push(node);
        Ok(())
    }

    fn pop(&mut self) -> Found<Place> {
        self.stack.pop().ok_or_else(|| "a pickle that takes from an empty stack".into())
    }

    /// What lies above the last mark.
    fn marked(&mut self) -> Found<Vec<Place>> {
        let start = self.marks.pop().filter(|start| *start <= self.stack.len()).ok_or("a pickle without a mark")?;
        Ok(self.stack.split_off(start))
    }

    fn whole(&mut self, width: usize, signed: bool) -> Found<()> {
        if width > 8 {
            return Err("a number of more than 64 bits".into());
        }
        let number = little_endian(self.take(width)?, signed);
        self.push(Node::Number(number))
    }

    /// A number as text: `7`, `7L`, or `01` for truth.
    fn decimal(&mut self) -> Found<()> {
        let line = std::str::from_utf8(self.line()?).unwrap_or_default();
        let number = line.trim_end_matches('L').parse().map_err(|_| format!("a pickle with the number {line:?}"))?;
        self.push(Node::Number(number))
    }

    fn text(&mut self, width: usize) -> Found<()> {
        let length = self.length(width)?;
        let bytes = self.take(length)?;
        self.push(Node::Bytes(bytes))
    }

    fn line(&mut self) -> Found<&'a [u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == b'\n').ok_or("a pickle that is cut short")?;
        self.at += length + 1;
        Ok(&rest[..length])
    }

    fn global(&mut self) -> Found<()> {
        self.line()?;
        let name = self.line()?;
        self.push(Node::Global(name))
    }

    fn stacked_global(&mut self) -> Found<()> {
        let (name, _) = (self.pop()?, self.pop()?);
        match self.nodes.get(name) {
            Some(Node::Bytes(name)) => self.push(Node::Global(name)),
            _ => Err("a pickle with a nameless global".into()),
        }
    }

    fn extend(&mut self, items: Vec<Place>) -> Found<()> {
        match self.stack.last().and_then(|top| self.nodes.get_mut(*top)) {
            Some(Node::Items(list)) => list.extend(items),
            Some(Node::Pairs(pairs)) if items.len().is_multiple_of(2) => pairs.extend(items),
            _ => return Err("a pickle that adds to no list".into()),
        }
        Ok(())
    }

    fn build(&mut self) -> Found<()> {
        let given = self.pop()?;
        match self.stack.last().and_then(|top| self.nodes.get_mut(*top)) {
            Some(Node::Made { state, .. }) => *state = Some(given),
            _ => return Err("a pickle that gives a state to no object".into()),
        }
        Ok(())
    }

    fn remember(&mut self, key: u64) -> Found<()> {
        let top = *self.stack.last().ok_or("a pickle that remembers nothing")?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u64) -> Found<()> {
        let place = *self.memo.get(&key).ok_or("a pickle that recalls what it never knew")?;
        self.recalls += 1;
        if self.recalls > NODES {
            return Err(format!("a pickle of more than {NODES} values"));
        }
        self.stack.push(place);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
