//! Changes to files, drawn from a seed: the same seed gives the same files.

/// Values at which code goes wrong.
const EDGES: [u64; 10] = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX];

/// Numbers drawn from a seed. Source: Steele et al., *SplitMix64* (2014).
pub struct Draws(pub u64);

impl Draws {
    /// A number below `bound`, 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % (bound.max(1) as u64)) as usize
    }
}

/// One of the files with a few changes.
pub fn changed(files: &[Vec<u8>], draws: &mut Draws, longest: usize) -> Vec<u8> {
    let mut bytes = files[draws.below(files.len())].clone();
    for _ in 0..=draws.below(4) {
        change(&mut bytes, files, draws);
    }
    bytes.truncate(longest);
    bytes
}

fn change(bytes: &mut Vec<u8>, files: &[Vec<u8>], draws: &mut Draws) {
    let place = draws.below(bytes.len());
    let end = place + draws.below((bytes.len() - place).min(64) + 1);
    match draws.below(9) {
        0 => bytes.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= 1 << draws.below(8)),
        1 => bytes.iter_mut().skip(place).take(1).for_each(|byte| *byte = draws.below(256) as u8),
        2 => overwrite(bytes, place, &EDGES[draws.below(EDGES.len())].to_le_bytes()[..1 << draws.below(4)]),
        3 => overwrite(bytes, place, &EDGES[draws.below(EDGES.len())].to_be_bytes()[4..]),
        4 => bytes.truncate(place),
        5 => drop(bytes.drain(place..end)),
        6 => {
            let part = bytes[place..end].repeat(1 + draws.below(3));
            bytes.splice(place..place, part);
        }
        7 => {
            let other = &files[draws.below(files.len())];
            let from = draws.below(other.len());
            bytes.splice(place..end, other[from..].iter().copied());
        }
        _ => {
            let digit = bytes.iter().skip(place).position(u8::is_ascii_digit);
            let number = EDGES[draws.below(EDGES.len())].to_string();
            if let Some(digit) = digit {
                bytes.splice(place + digit..place + digit + 1, number.into_bytes());
            }
        }
    }
}

fn overwrite(bytes: &mut [u8], place: usize, with: &[u8]) {
    bytes.iter_mut().skip(place).zip(with).for_each(|(byte, new)| *byte = *new);
}
