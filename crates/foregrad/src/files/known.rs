//! What a file is, judged by its first bytes: for the message when it is not what was asked for.

use crate::Error;
use std::path::Path;

/// Bytes of a file that are looked at.
const LOOK: usize = 4096;

/// Bytes at a place, and what a file is that has them there. The first that fits counts.
const MARKS: &[(usize, &[u8], &str)] = &[
    (
        0,
        b"version https://git-lfs.github.com/spec",
        "a Git LFS pointer, which only names the file: run `git lfs pull` in its repository, or download the file itself",
    ),
    (0, b"MATLAB 7.3 MAT-file", "a MATLAB 7.3 file (HDF5): save it again with `save(FILE, ..., '-v7')`"),
    (0, b"MATLAB 5.0 MAT-file", "a MATLAB 5 file"),
    (512, b"\x89HDF\r\n\x1a\n", "an HDF5 file, as MATLAB 7.3 writes them: save it again with `save(FILE, ..., '-v7')`"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19", PYTORCH),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"BZh", "a bzip2 file: unpack it first"),
    (0, b"\xfd7zXZ\0", "an xz file: unpack it first"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard file: unpack it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive: unpack it first"),
    (0, b"Rar!\x1a\x07", "a RAR archive: unpack it first"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"GIF8", "a GIF picture: save it as JPEG or PNG"),
    (8, b"WEBP", "a WebP picture: save it as JPEG or PNG"),
    (4, b"ftyp", "a HEIF or AVIF picture, or a film: save it as JPEG or PNG"),
    (0, b"II*\0", "a TIFF picture: save it as JPEG or PNG"),
    (0, b"MM\0*", "a TIFF picture: save it as JPEG or PNG"),
    (0, b"\0\x05\x16\x07", "what macOS keeps beside a file (AppleDouble), not the file"),
    (0, b"\x93NUMPY", "a numpy array (.npy)"),
    (0, b"GGUF", "a GGUF file"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\x7fELF", "a program"),
    (0, b"\x80\x02", PICKLE),
    (0, b"\x80\x03", PICKLE),
    (0, b"\x80\x04", PICKLE),
    (0, b"\x80\x05", PICKLE),
];

const PYTORCH: &str =
    "a PyTorch file (torch.save): convert it with `safetensors.torch.save_file(torch.load(FILE), NEW)` in Python";
const PICKLE: &str = "a Python pickle";

/// What a file of these bytes (or one that begins with them) is, and what to do about it; none if that is not known.
pub fn what_is(bytes: &[u8]) -> Option<String> {
    let head = &bytes[..bytes.len().min(LOOK)];
    if head.is_empty() {
        return Some("an empty file: copy or download it again".into());
    }
    let has = |(place, mark, _): &&(usize, &[u8], &str)| head.get(*place..).is_some_and(|rest| rest.starts_with(mark));
    if head.starts_with(b"PK\x03\x04") {
        return Some(zip(head).into());
    }
    if let Some((.., what)) = MARKS.iter().find(has) {
        return Some((*what).into());
    }
    if head.iter().all(|byte| *byte == 0) {
        return Some("nothing but zeros, as a crash or a full disk leaves behind: copy or download it again".into());
    }
    text(head)
}

/// The error of a file that is not what it should be: what it is, if that is known, else the damage that was found.
pub fn unlike(path: &Path, expected: impl Into<String>, bytes: &[u8], damage: impl Into<String>) -> Error {
    Error::bad_file(path, expected, what_is(bytes).unwrap_or_else(|| damage.into()))
}

fn zip(head: &[u8]) -> &'static str {
    let holds = |name: &[u8]| head.windows(name.len()).any(|window| window == name);
    if holds(b"/data.pkl") {
        PYTORCH
    } else if holds(b".npy") {
        "a zip archive of numpy arrays (.npz)"
    } else {
        "a zip archive"
    }
}

/// Texts: pages and messages of web servers above all.
fn text(head: &[u8]) -> Option<String> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A letter may be cut in two where the look ends.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    if text.chars().any(|char| char.is_control() && !char.is_whitespace()) {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    if lower.starts_with("<!doctype html") || lower.contains("<html") {
        return Some("an HTML page, a web server's answer instead of the file: download it again".into());
    }
    if lower.starts_with("<?xml") || lower.starts_with("<error") {
        return Some("an XML text, such as a storage server's error: download it again".into());
    }
    let line = text.lines().next().unwrap_or_default().trim_end();
    let start: String = line.chars().take(40).collect();
    let more = if start.len() < line.len() { "..." } else { "" };
    Some(format!("a text that begins with {start:?}{more}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_for_what_they_are() {
        let matlab =
            [b"MATLAB 7.3 MAT-file, Platform: GLNXA64".to_vec(), vec![b' '; 474], b"\x89HDF\r\n\x1a\n".to_vec()];
        let tar = [vec![b'a'; 257], b"ustar".to_vec()].concat();
        let cases: &[(&[u8], &str)] = &[
            (b"", "an empty file"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n", "git lfs pull"),
            (b"\n<!DOCTYPE html><html></html>", "an HTML page"),
            (b"<head/><HTML>", "an HTML page"),
            (b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", "an XML text"),
            (b"PK\x03\x04....archive/data.pkl", "a PyTorch file"),
            (b"PK\x03\x04....data.npy", "numpy arrays"),
            (b"PK\x03\x04....a.txt", "a zip archive"),
            (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "a PyTorch file"),
            (b"\x80\x04\x95", "a Python pickle"),
            (&matlab.concat(), "a MATLAB 7.3 file"),
            (&tar, "a tar archive"),
            (b"\x1f\x8b\x08", "a gzip file"),
            (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
            (b"\xff\xd8\xff\xe0", "a JPEG picture"),
            (b"RIFF1234WEBPVP8 ", "a WebP picture"),
            (b"\0\0\0\0\0\0", "nothing but zeros"),
            (b"404: Not Found", "a text that begins with \"404: Not Found\""),
        ];
        for (bytes, expected) in cases {
            let start = String::from_utf8_lossy(&bytes[..bytes.len().min(20)]);
            let found = what_is(bytes);
            assert!(found.as_ref().is_some_and(|found| found.contains(expected)), "{start:?} is {found:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_guessed_at() {
        assert_eq!(what_is(&[7, 1, 255, 3]), None);
        assert_eq!(what_is(b"\x01text"), None);
        // A letter of two bytes that the look cuts.
        let long = ["a".repeat(LOOK - 1), "\u{e4}".into()].concat();
        assert!(what_is(long.as_bytes()).expect("a text").contains("a text that begins with"));
    }
}
