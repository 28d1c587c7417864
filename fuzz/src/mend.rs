//! Lengths and checksums made right again, so that a changed file is not refused before its content is looked at.

use std::io::{Cursor, Write};

/// The bytes as a file of a format whose lengths and checksums fit; as they are where the format has none.
pub fn mended(format: &str, bytes: &[u8]) -> Vec<u8> {
    match format {
        "weights" | "batch" | "guesses" => safetensors(bytes),
        "gzip" => gzip(bytes),
        "tar" => gzip(&tar(bytes)),
        "matlab" => matlab(bytes),
        "npz" | "imagenet32" => npz(bytes, &["data.npy", "labels.npy"]),
        "arrays" if bytes.starts_with(b"PK") => npz(bytes, &["images.npy", "values.npy"]),
        "arrays" => safetensors(bytes),
        "photo" => png(bytes),
        _ => bytes.to_vec(),
    }
}

/// The length of the header before it: up to the brace that closes it.
fn safetensors(bytes: &[u8]) -> Vec<u8> {
    let Some(header) = bytes.get(8..) else { return bytes.to_vec() };
    let mut depth = 0i64;
    let closing = header.iter().position(|byte| {
        depth += i64::from(*byte == b'{') - i64::from(*byte == b'}');
        depth <= 0
    });
    let length = closing.map_or(header.len(), |place| place + 1) as u64;
    [&length.to_le_bytes(), header].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).unwrap_or_default()
}

/// The checksum of every header: the sum of its bytes, those of the checksum counted as blanks.
fn tar(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for header in bytes.chunks_exact_mut(512).filter(|block| block[257..].starts_with(b"ustar")) {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    bytes
}

/// What follows the header of 128 bytes, packed by zlib into one element.
fn matlab(bytes: &[u8]) -> Vec<u8> {
    let Some((header, element)) = bytes.split_at_checked(128) else { return bytes.to_vec() };
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let packed = encoder.write_all(element).and_then(|()| encoder.finish()).unwrap_or_default();
    [header, &15u32.to_le_bytes(), &(packed.len() as u32).to_le_bytes(), &packed].concat()
}

/// The first numpy array of the bytes as every member of an archive.
fn npz(bytes: &[u8], members: &[&str]) -> Vec<u8> {
    let mark = b"\x93NUMPY";
    let Some(start) = bytes.windows(mark.len()).position(|window| window == mark) else { return bytes.to_vec() };
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for name in members {
        let options = zip::write::SimpleFileOptions::default();
        if archive.start_file(*name, options).is_err() || archive.write_all(&bytes[start..]).is_err() {
            return bytes.to_vec();
        }
    }
    archive.finish().map(Cursor::into_inner).unwrap_or_default()
}

/// The checksum of every chunk of a PNG; other pictures have none.
fn png(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut place = 8;
    while bytes.starts_with(b"\x89PNG") && place + 12 <= bytes.len() {
        let length = u32::from_be_bytes([bytes[place], bytes[place + 1], bytes[place + 2], bytes[place + 3]]) as usize;
        let end = place.saturating_add(8).saturating_add(length);
        let Some(chunk) = bytes.get(place + 4..end) else { break };
        let mut sum = flate2::Crc::new();
        sum.update(chunk);
        let Some(checksum) = bytes.get_mut(end..end + 4) else { break };
        checksum.copy_from_slice(&sum.sum().to_be_bytes());
        place = end + 4;
    }
    bytes
}
