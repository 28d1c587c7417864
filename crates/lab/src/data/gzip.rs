//! Layers of gzip, taken off by what a file holds, whatever its name says.
//!
//! A proxy may have taken the layer off and kept the name, another put a second one on; `bgzip` and `cat` write several members
//! one after another.

use std::io::{BufRead, BufReader, Cursor, Read, Result};

use flate2::bufread::GzDecoder;

const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// More layers than anybody puts on by accident.
const LAYERS: usize = 3;

/// Deflate packs no more than this many bytes into one: more comes only of layers that were made to burst.
const DENSEST: u64 = 1032;

/// The most that a whole file of so many bytes unpacks to, if it was not made to burst.
fn most(packed: usize) -> u64 {
    (packed as u64).saturating_mul(DENSEST).min(super::LARGEST)
}

/// What a file holds below its layers of gzip.
pub(super) fn unpacked(bytes: Vec<u8>) -> Result<Vec<u8>> {
    if !bytes.starts_with(&MAGIC) {
        return Ok(bytes);
    }
    let most = most(bytes.len());
    let mut whole = Vec::new();
    stream(&bytes)?.take(most + 1).read_to_end(&mut whole)?;
    if whole.len() as u64 > most {
        return Err(std::io::Error::other(format!("more than {most} bytes when unpacked")));
    }
    Ok(whole)
}

/// The same piece by piece, for what is larger than should be in memory; it ends at the most that can be meant.
pub(super) fn stream(bytes: &[u8]) -> Result<Box<dyn Read + '_>> {
    let mut reader: Box<dyn BufRead> = Box::new(bytes);
    for _ in 0..LAYERS {
        let mut head = Vec::new();
        reader.by_ref().take(MAGIC.len() as u64).read_to_end(&mut head)?;
        let packed = head == MAGIC;
        reader = Box::new(Cursor::new(head).chain(reader));
        if !packed {
            break;
        }
        reader = Box::new(BufReader::new(Members { member: Some(GzDecoder::new(reader)) }));
    }
    Ok(Box::new(reader.take(most(bytes.len()).max(bytes.len() as u64) + 1)))
}

/// Members one after another; zeros may fill up the end, and what else follows is left unread.
struct Members<R> {
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while let Some(member) = &mut self.member {
            let count = member.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            self.member = self.member.take().and_then(|member| next(member.into_inner()).transpose()).transpose()?;
        }
        Ok(0)
    }
}

/// The member that follows, if one does.
fn next<R: BufRead>(mut rest: R) -> Result<Option<GzDecoder<R>>> {
    loop {
        let bytes = rest.fill_buf()?;
        match bytes.iter().position(|byte| *byte != 0) {
            Some(place) => {
                let begins = bytes[place] == MAGIC[0];
                rest.consume(place);
                if !begins {
                    log::warn!("bytes after the end of a gzip file are passed over");
                }
                return Ok(begins.then(|| GzDecoder::new(rest)));
            }
            None if bytes.is_empty() => return Ok(None),
            None => {
                let count = bytes.len();
                rest.consume(count);
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::Write;

    /// A gzip member.
    pub fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).expect("bytes");
        encoder.finish().expect("a member")
    }

    #[test]
    fn layers_and_members_are_taken_off_by_content() {
        let text = b"what the file holds".repeat(50);
        let (start, end) = text.split_at(300);
        let cases = [
            ("plain", text.clone()),
            ("one layer", packed(&text)),
            ("two layers", packed(&packed(&text))),
            ("two members", [packed(start), packed(end)].concat()),
            ("an empty member", [packed(b""), packed(&text), packed(b"")].concat()),
            ("filled up with zeros", [packed(&text), vec![0; 9000]].concat()),
            ("other bytes behind", [packed(&text), b"a note".to_vec()].concat()),
        ];
        for (name, bytes) in cases {
            let mut streamed = Vec::new();
            stream(&bytes).and_then(|mut reader| reader.read_to_end(&mut streamed)).expect(name);
            assert!(streamed == text, "{name}");
            assert!(unpacked(bytes).expect(name) == text, "{name}");
        }
    }

    #[test]
    fn cut_and_changed_layers_are_errors() {
        let whole = [packed(b"one"), packed(b"two")].concat();
        let first = packed(b"one").len();
        for length in 2..whole.len() {
            assert_eq!(unpacked(whole[..length].to_vec()).is_ok(), length == first, "cut to {length} bytes");
        }
        let mut changed = packed(b"what the file holds");
        let last = changed.len() - 6;
        changed[last] ^= 1;
        assert!(unpacked(changed).is_err(), "a wrong checksum");
    }

    #[test]
    fn layers_that_burst_are_refused() {
        let burst = packed(&packed(&vec![0; 1 << 26]));
        assert!(burst.len() < 1000, "{}", burst.len());
        assert!(unpacked(burst).expect_err("too much").to_string().contains("when unpacked"));
    }
}
