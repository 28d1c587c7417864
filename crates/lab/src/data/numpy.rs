//! Arrays as numpy writes them: in memory, in `.npy` members of `.npz` archives.
//!
//! Source: *NEP 1*: `\x93NUMPY`, a version, the length of a header, the header as a Python dictionary, the numbers.

use std::borrow::Cow;
use std::io::{Read, Seek};

use half::{bf16, f16};
use zip::ZipArchive;

/// An array of numbers, row by row; errors are what was found instead of one.
#[derive(Debug, PartialEq)]
pub(super) struct Array<'a> {
    pub shape: Vec<usize>,
    /// Its type as numpy names it: byte order, `i`, `u`, `b` or `f`, bytes; [`BFLOAT`], which numpy has no name for.
    kind: String,
    pub bytes: Cow<'a, [u8]>,
}

impl<'a> Array<'a> {
    /// An array whose shape and type account for its bytes.
    pub fn new(kind: &str, columns_first: bool, shape: Vec<usize>, bytes: Cow<'a, [u8]>) -> Result<Self, String> {
        let width = width(kind).ok_or_else(|| format!("numbers of type {kind}"))?;
        if shape.iter().try_fold(width, |size, axis| size.checked_mul(*axis)) != Some(bytes.len()) {
            return Err(format!("{} bytes for {shape:?} of type {kind}", bytes.len()));
        }
        let bytes = match shape[..] {
            [rows, columns] if columns_first => Cow::Owned(row_by_row(&bytes, rows, columns, width)),
            [_, _, _, ..] if columns_first => return Err("an array of three or more axes, column by column".into()),
            _ => bytes,
        };
        Ok(Self { shape, kind: kind.to_string(), bytes })
    }

    /// Whether every number is a byte.
    pub fn is_bytes(&self) -> bool {
        self.kind.ends_with("u1")
    }

    /// Whether its numbers are whole.
    pub fn is_whole(&self) -> bool {
        !self.kind.contains('f')
    }

    /// Shape and type, for errors.
    pub fn described(&self) -> String {
        format!("{:?} of type {}", self.shape, self.kind)
    }

    /// The numbers of an array of whole ones.
    pub fn numbers(&self) -> Result<Vec<i64>, String> {
        if !self.is_whole() {
            return Err(format!("numbers of type {}", self.kind));
        }
        let signed = self.kind.contains('i');
        Ok(self.chunks().map(|chunk| little_endian(chunk, signed)).collect())
    }

    /// The numbers, of whatever type.
    pub fn reals(&self) -> Box<dyn Iterator<Item = f64> + '_> {
        let signed = self.kind.contains('i');
        let two = |bytes: &[u8]| [bytes[0], bytes[1]];
        match self.kind.trim_start_matches(BYTE_ORDERS) {
            BFLOAT => Box::new(self.chunks().map(move |chunk| bf16::from_le_bytes(two(chunk)).to_f64())),
            "f2" => Box::new(self.chunks().map(move |chunk| f16::from_le_bytes(two(chunk)).to_f64())),
            "f4" => Box::new(self.bytes.as_chunks().0.iter().map(|chunk| f64::from(f32::from_le_bytes(*chunk)))),
            "f8" => Box::new(self.bytes.as_chunks().0.iter().map(|chunk| f64::from_le_bytes(*chunk))),
            _ => Box::new(self.chunks().map(move |chunk| little_endian(chunk, signed) as f64)),
        }
    }

    /// The bytes of each number.
    fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(width(&self.kind).unwrap_or(1))
    }
}

/// The half of an `f32` that bfloat16 is.
pub(super) const BFLOAT: &str = "bf16";

/// What stands before a type whose bytes come the least first, or alone.
const BYTE_ORDERS: [char; 3] = ['<', '|', '='];

/// The numbers of a matrix that is stored column by column.
fn row_by_row(bytes: &[u8], rows: usize, columns: usize, width: usize) -> Vec<u8> {
    if bytes.is_empty() {
        // One axis may then be as long as it likes.
        return Vec::new();
    }
    let number = |row: usize, column: usize| (column * rows + row) * width;
    let places = (0..rows).flat_map(|row| (0..columns).map(move |column| number(row, column)));
    places.flat_map(|place| &bytes[place..place + width]).copied().collect()
}

/// Bytes of a number, for types that are known here.
fn width(kind: &str) -> Option<usize> {
    match kind.trim_start_matches(BYTE_ORDERS) {
        "u1" | "i1" | "b1" => Some(1),
        "u2" | "i2" | "f2" | BFLOAT => Some(2),
        "u4" | "i4" | "f4" => Some(4),
        "u8" | "i8" | "f8" => Some(8),
        _ => None,
    }
}

/// A number of at most 8 bytes, the least first.
pub(super) fn little_endian(bytes: &[u8], signed: bool) -> i64 {
    let negative = signed && bytes.last().is_some_and(|last| *last >= 128);
    let mut whole = [if negative { 255 } else { 0 }; 8];
    whole[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(whole)
}

/// The array of a name in an `.npz` archive.
pub(super) fn member(archive: &mut ZipArchive<impl Read + Seek>, name: &str) -> Result<Array<'static>, String> {
    let file = archive.by_name(&format!("{name}.npy")).map_err(|error| format!("no array {name}: {error}"))?;
    let mut bytes = Vec::new();
    file.take(super::LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("a damaged array {name}: {error}"))?;
    if bytes.len() as u64 > super::LARGEST {
        return Err(format!("an array {name} of more than {} bytes", super::LARGEST));
    }
    parse(bytes).map_err(|found| format!("{found} as {name}"))
}

pub(super) fn parse(mut bytes: Vec<u8>) -> Result<Array<'static>, String> {
    let version = bytes.get(..8).filter(|head| head.starts_with(b"\x93NUMPY")).map(|head| head[6]);
    let width = match version {
        Some(1) => 2,
        Some(2 | 3) => 4,
        _ => return Err("no numpy array".into()),
    };
    let length = bytes.get(8..8 + width).map(|length| little_endian(length, false) as usize);
    let start = 8 + width;
    let head = length.and_then(|length| bytes.get(start..start + length)).ok_or("a numpy array without its header")?;
    let head = String::from_utf8_lossy(head).into_owned();
    let after = |key: &str| head.split_once(key).map(|(_, rest)| rest.trim_start_matches([':', ' ']));
    let unclear = || format!("a numpy array with the header {head:?}");
    let kind = after("'descr'").and_then(|rest| rest.split('\'').nth(1)).ok_or_else(unclear)?;
    let columns_first = after("'fortran_order'").ok_or_else(unclear)?.starts_with("True");
    let shape = after("'shape'").and_then(|rest| rest.strip_prefix('(')?.split(')').next()).ok_or_else(unclear)?;
    let axes = shape.split(',').map(str::trim).filter(|axis| !axis.is_empty());
    let shape = axes.map(str::parse).collect::<Result<Vec<usize>, _>>().map_err(|_| unclear())?;
    let kind = kind.to_string();
    let numbers = bytes.split_off(start + length.unwrap_or_default());
    Array::new(&kind, columns_first, shape, Cow::Owned(numbers))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An array as numpy saves it.
    pub fn written(kind: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
        let mut head = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
        while (10 + head.len() + 1) % 64 != 0 {
            head.push(' ');
        }
        head.push('\n');
        [b"\x93NUMPY\x01\x00".to_vec(), (head.len() as u16).to_le_bytes().to_vec(), head.into_bytes(), bytes.to_vec()]
            .concat()
    }

    #[test]
    fn arrays_of_every_width_are_read() {
        let numbers = |kind: &str, shape: &str, bytes: &[u8]| {
            parse(written(kind, shape, bytes)).expect(kind).numbers().expect(kind)
        };
        assert_eq!(numbers("|u1", "(1, 2)", &[1, 255]), [1, 255]);
        assert_eq!(numbers("|i1", "(2,)", &[1, 255]), [1, -1]);
        assert_eq!(numbers("<i8", "(1,)", &[0xfe, 255, 255, 255, 255, 255, 255, 255]), [-2]);
        assert_eq!(numbers("<u2", "()", &[1, 1]), [257]);
        assert_eq!(parse(written("|u1", "(3, 0)", &[])).expect("none").shape, [3, 0]);
    }

    #[test]
    fn floating_point_numbers_are_read_and_are_not_whole() {
        let reals = |kind: &str, shape: &str, bytes: &[u8]| -> Vec<f64> {
            parse(written(kind, shape, bytes)).expect(kind).reals().collect()
        };
        assert_eq!(reals("<f8", "(1,)", &(-0.1f64).to_le_bytes()), [-0.1]);
        assert_eq!(reals("<f4", "(1, 1)", &1.5f32.to_le_bytes()), [1.5]);
        assert_eq!(reals("<f2", "(2,)", &[0, 60, 0, 188]), [1.0, -1.0]);
        assert_eq!(reals("<i2", "(1,)", &[0xff, 0xff]), [-1.0]);
        assert_eq!(reals("|b1", "(2,)", &[0, 1]), [0.0, 1.0]);
        let halves = Array::new(BFLOAT, false, vec![1], Cow::Borrowed(&[0x80, 0x3f])).expect("an array");
        assert_eq!(halves.reals().collect::<Vec<_>>(), [1.0]);
        assert_eq!(halves.numbers().expect_err("not whole"), "numbers of type bf16");
    }

    #[test]
    fn matrices_column_by_column_are_turned() {
        let turned = |kind: &str, shape: &str, bytes: &[u8]| {
            let mut array = written(kind, shape, bytes);
            let place = array.windows(5).position(|window| window == b"False").expect("an order");
            array[place..place + 5].copy_from_slice(b"True ");
            parse(array).and_then(|array| array.numbers())
        };
        assert_eq!(turned("|u1", "(2, 3)", &[1, 4, 2, 5, 3, 6]).expect("a matrix"), [1, 2, 3, 4, 5, 6]);
        assert_eq!(turned("<u2", "(2, 2)", &[1, 0, 3, 0, 2, 0, 4, 0]).expect("a matrix"), [1, 2, 3, 4]);
        assert_eq!(turned("|u1", "(3,)", &[1, 2, 3]).expect("a row"), [1, 2, 3]);
        assert!(turned("|u1", "(99999999999, 0)", &[]).expect("nothing").is_empty());
        assert!(turned("|u1", "(1, 1, 1)", &[1]).expect_err("refused").contains("three or more axes"));
    }

    #[test]
    fn damaged_arrays_are_errors() {
        let good = written("|u1", "(1, 2)", &[1, 2]);
        for length in 0..good.len() {
            assert!(parse(good[..length].to_vec()).is_err(), "cut to {length} bytes");
        }
        let found = |kind: &str, shape: &str| parse(written(kind, shape, &[1, 2])).expect_err("damage");
        assert!(found("<f16", "(2,)").contains("type <f16"));
        assert!(found(">u2", "(1,)").contains("type >u2"));
        assert!(found("|u1", "(3,)").contains("2 bytes for [3]"));
        assert!(found("|u1", "(99999999999, 99999999999)").contains("2 bytes for"));
        assert!(found("|u1", "(-1,)").contains("header"));
    }
}
