//! Arrays in MATLAB 5 files, packed or not; only those that are asked for are kept.
//!
//! Source: MathWorks, *MAT-File Format*, level 5: a header of 128 bytes, then elements (type, size, bytes). An array is an element
//! of elements: flags, dimensions, name, numbers; it may be packed by zlib as a whole.

use std::io::{BufRead, Error as Damage, Read, Result};
use std::path::Path;

use flate2::bufread::ZlibDecoder;

use crate::Error;
use foregrad::files;

const BYTE: u32 = 2;
const ARRAY: u32 = 14;
const PACKED: u32 = 15;

/// An array of real numbers, its first axis the fastest.
#[derive(Debug, PartialEq)]
pub(super) struct Array {
    name: String,
    pub dimensions: Vec<usize>,
    /// The type that its numbers are stored in, whatever its class.
    stored: u32,
    bytes: Vec<u8>,
}

impl Array {
    /// The numbers, if they are stored as bytes.
    pub fn into_bytes(self) -> Option<Vec<u8>> {
        (self.stored == BYTE).then_some(self.bytes)
    }

    /// The numbers, stored in whatever type.
    pub fn numbers(&self) -> Vec<f64> {
        fn each<const N: usize>(bytes: &[u8], number: fn([u8; N]) -> f64) -> Vec<f64> {
            bytes.as_chunks::<N>().0.iter().map(|chunk| number(*chunk)).collect()
        }
        match self.stored {
            1 => each(&self.bytes, |bytes| f64::from(i8::from_le_bytes(bytes))),
            3 => each(&self.bytes, |bytes| f64::from(i16::from_le_bytes(bytes))),
            4 => each(&self.bytes, |bytes| f64::from(u16::from_le_bytes(bytes))),
            5 => each(&self.bytes, |bytes| f64::from(i32::from_le_bytes(bytes))),
            6 => each(&self.bytes, |bytes| f64::from(u32::from_le_bytes(bytes))),
            7 => each(&self.bytes, |bytes| f64::from(f32::from_le_bytes(bytes))),
            9 => each(&self.bytes, f64::from_le_bytes),
            12 => each(&self.bytes, |bytes| i64::from_le_bytes(bytes) as f64),
            13 => each(&self.bytes, |bytes| u64::from_le_bytes(bytes) as f64),
            _ => each(&self.bytes, |bytes| f64::from(u8::from_le_bytes(bytes))),
        }
    }
}

/// Bytes of a number of a type.
fn width(stored: u32) -> Option<usize> {
    match stored {
        1 | 2 => Some(1),
        3 | 4 => Some(2),
        5..=7 => Some(4),
        9 | 12 | 13 => Some(8),
        _ => None,
    }
}

/// The arrays of these names, in their order.
pub(super) fn read<const N: usize>(path: &Path, bytes: &[u8], names: [&str; N]) -> crate::Result<[Array; N]> {
    let damaged = |found: String| Error::bad_file(path, "a whole MATLAB 5 file", found);
    let mut found = arrays(bytes, &names).map_err(|damage| match files::what_is(bytes) {
        Some(what) if !what.contains("MATLAB 5") => damaged(what),
        _ => damaged(format!("a damaged one: {damage}")),
    })?;
    let mut arrays = Vec::new();
    for name in names {
        let place = found.iter().position(|array| array.name == name);
        let place = place.ok_or_else(|| damaged(format!("one without an array {name}")))?;
        arrays.push(found.swap_remove(place));
    }
    Ok(arrays.try_into().expect("as many arrays as names"))
}

fn arrays(mut file: impl BufRead, names: &[&str]) -> Result<Vec<Array>> {
    let header: [u8; 128] = exactly(&mut file)?;
    if header[126..] == *b"MI" {
        return Err(Damage::other("it was written on a machine of the other byte order (the largest first)"));
    }
    if header[124..] != [0, 1, b'I', b'M'] {
        return Err(Damage::other(format!("its header ends in {:?}, not [0, 1, 73, 77]", &header[124..])));
    }
    let mut found: Vec<Array> = Vec::new();
    while !file.fill_buf()?.is_empty() {
        let (kind, size) = (word(&mut file)?, word(&mut file)?);
        let size = u64::from(size);
        let mut element = (&mut file).take(if kind == PACKED { size } else { size.next_multiple_of(8) });
        let array = match kind {
            PACKED => {
                let mut unpacked = ZlibDecoder::new(&mut element).take(super::LARGEST);
                let (kind, _) = (word(&mut unpacked)?, word(&mut unpacked)?);
                let array = if kind == ARRAY { array(&mut unpacked, names)? } else { None };
                // The checksum comes last.
                std::io::copy(&mut unpacked, &mut std::io::sink())?;
                array
            }
            ARRAY => array(&mut element, names)?,
            _ => None,
        };
        std::io::copy(&mut element, &mut std::io::sink())?;
        if element.limit() > 0 {
            return Err(Damage::other(format!("{} bytes are missing", element.limit())));
        }
        found.extend(array.filter(|array| found.iter().all(|other| other.name != array.name)));
    }
    Ok(found)
}

/// An array of full numbers, if its name is wanted.
fn array(reader: &mut impl Read, names: &[&str]) -> Result<Option<Array>> {
    let (_, flags) = element(reader, 8)?;
    let full = flags.first().is_some_and(|class| (6..=15).contains(class));
    if !full {
        return Ok(None);
    }
    let (_, dimensions) = element(reader, 64)?;
    let dimensions: Vec<usize> =
        dimensions.as_chunks::<4>().0.iter().map(|axis| u32::from_le_bytes(*axis) as usize).collect();
    let (_, name) = element(reader, 64)?;
    let name = String::from_utf8_lossy(&name).into_owned();
    if !names.contains(&name.as_str()) {
        return Ok(None);
    }
    let (stored, bytes) = element(reader, super::LARGEST)?;
    let width =
        width(stored).ok_or_else(|| Damage::other(format!("{name} has numbers of the unknown type {stored}")))?;
    let size = dimensions.iter().try_fold(width, |size, axis| size.checked_mul(*axis));
    if size != Some(bytes.len()) {
        return Err(Damage::other(format!("{name} of {dimensions:?} has {} bytes", bytes.len())));
    }
    Ok(Some(Array { name, dimensions, stored, bytes }))
}

/// The type and the bytes of an element, which end at a multiple of 8.
fn element(reader: &mut impl Read, largest: u64) -> Result<(u32, Vec<u8>)> {
    let first = word(reader)?;
    let (kind, size) = (first & 0xffff, first >> 16);
    if size > 0 {
        let bytes: [u8; 4] = exactly(reader)?;
        let bytes =
            bytes.get(..size as usize).ok_or_else(|| Damage::other(format!("{size} bytes in a short element")))?;
        return Ok((kind, bytes.to_vec()));
    }
    let size = u64::from(word(reader)?);
    if size > largest {
        return Err(Damage::other(format!("{size} bytes where at most {largest} are expected")));
    }
    let mut bytes = Vec::new();
    // As many as there are: the size that is claimed is not yet trusted with memory.
    reader.by_ref().take(size).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != size {
        return Err(Damage::other(format!("{} bytes instead of {size}", bytes.len())));
    }
    let padding = size.next_multiple_of(8) - size;
    std::io::copy(&mut reader.by_ref().take(padding), &mut std::io::sink())?;
    Ok((kind, bytes))
}

fn word(reader: &mut impl Read) -> Result<u32> {
    exactly(reader).map(u32::from_le_bytes)
}

fn exactly<const N: usize>(reader: &mut impl Read) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::Write;

    fn long(kind: u32, bytes: &[u8]) -> Vec<u8> {
        let mut element = [kind.to_le_bytes(), (bytes.len() as u32).to_le_bytes()].concat();
        element.extend(bytes);
        element.resize(element.len().next_multiple_of(8), 0);
        element
    }

    /// An array with a one-letter name in a short element.
    pub fn written(name: u8, class: u8, dimensions: &[u32], stored: u32, bytes: &[u8]) -> Vec<u8> {
        let axes: Vec<u8> = dimensions.iter().flat_map(|axis| axis.to_le_bytes()).collect();
        let flags = [class, 0, 0, 0, 0, 0, 0, 0];
        let name = [1, 0, 1, 0, name, 0, 0, 0].to_vec();
        long(ARRAY, &[long(6, &flags), long(5, &axes), name, long(stored, bytes)].concat())
    }

    /// The same, packed.
    pub fn packed(array: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(array).expect("bytes");
        let bytes = encoder.finish().expect("bytes");
        [PACKED.to_le_bytes().to_vec(), (bytes.len() as u32).to_le_bytes().to_vec(), bytes].concat()
    }

    /// A file of arrays.
    pub fn file(arrays: &[Vec<u8>]) -> Vec<u8> {
        let mut header = b"MATLAB 5.0 MAT-file".to_vec();
        header.resize(124, b' ');
        [header, vec![0, 1, b'I', b'M'], arrays.concat()].concat()
    }

    fn parse(bytes: &[u8]) -> Result<Vec<Array>> {
        arrays(bytes, &["X", "y"])
    }

    #[test]
    fn packed_and_plain_arrays_are_read_and_others_left_out() {
        let cell = written(b'X', 1, &[1, 1], 2, &[9]);
        let other = written(b'z', 9, &[1, 1], 2, &[9]);
        let x = packed(&written(b'X', 9, &[3, 1], 2, &[1, 2, 3]));
        let y = written(b'y', 6, &[1, 2], 3, &[1, 0, 255, 255]);
        let found = parse(&file(&[cell, other, long(99, b"unknown"), x, y])).expect("arrays");
        assert_eq!(found.iter().map(|array| array.name.as_str()).collect::<Vec<_>>(), ["X", "y"]);
        assert_eq!((found[1].dimensions.as_slice(), found[1].numbers()), ([1usize, 2].as_slice(), vec![1.0, -1.0]));
        assert_eq!(found.into_iter().next().and_then(Array::into_bytes), Some(vec![1, 2, 3]));
    }

    #[test]
    fn numbers_of_every_type_are_read() {
        for (class, stored, bytes) in [
            (8, 1, vec![255]),
            (10, 3, vec![255; 2]),
            (12, 5, vec![255; 4]),
            (14, 12, vec![255; 8]),
            (7, 7, (-1f32).to_le_bytes().to_vec()),
            (6, 9, (-1f64).to_le_bytes().to_vec()),
        ] {
            let found = parse(&file(&[written(b'y', class, &[1, 1], stored, &bytes)])).expect("an array");
            assert_eq!(found[0].numbers(), [-1.0], "class {class}");
        }
        let found = parse(&file(&[written(b'y', 15, &[1, 1], 13, &[7, 0, 0, 0, 0, 0, 0, 0])])).expect("an array");
        assert_eq!(found[0].numbers(), [7.0]);
    }

    #[test]
    fn other_versions_are_told_for_what_they_are() {
        let text = |bytes: &[u8]| read(Path::new("x.mat"), bytes, ["X"]).expect_err("refused").to_string();
        let newer = [b"MATLAB 7.3 MAT-file".to_vec(), vec![b' '; 493], b"\x89HDF\r\n\x1a\n".to_vec()].concat();
        assert!(text(&newer).contains("save it again with `save(FILE, ..., '-v7')`"));
        let mut turned = file(&[]);
        turned[124..128].copy_from_slice(&[1, 0, b'M', b'I']);
        assert!(text(&turned).contains("the other byte order"));
        assert!(text(b"<html>").contains("an HTML page"));
    }

    #[test]
    fn damaged_files_are_errors() {
        let good = file(&[packed(&written(b'X', 9, &[3, 1], 2, &[1, 2, 3]))]);
        for length in 0..good.len() {
            let whole = length == 128;
            assert_eq!(parse(&good[..length]).is_ok(), whole, "cut to {length} bytes");
        }
        let text = |arrays: &[Vec<u8>]| parse(&file(arrays)).expect_err("damage").to_string();
        assert!(text(&[written(b'X', 9, &[4, 1], 2, &[1, 2, 3])]).contains("[4, 1] has 3 bytes"));
        assert!(text(&[written(b'X', 9, &[u32::MAX; 9], 9, &[1; 8])]).contains("has 8 bytes"));
        assert!(text(&[written(b'X', 9, &[3, 1], 16, &[1, 2, 3])]).contains("unknown type 16"));
        let mut newer = good;
        newer[125] = 2;
        assert!(parse(&newer).expect_err("another version").to_string().contains("[0, 2, 73, 77]"));
    }
}
