//! Photographs: JPEG and PNG files, judged by their content and read strictly, so that a file that was cut is never half grey.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, GrayImage, ImageFormat, ImageReader, Limits, RgbImage};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use crate::{Error, Result};
use foregrad::files;

/// The longest side of a picture, and the most of its picture elements.
const LONGEST: usize = 8192;
const MOST: usize = 1 << 25;

/// The most picture elements that a byte stands for: in JPEG a bit for a square of 8 x 8, in PNG eight elements a byte that
/// deflate has packed. A header that claims more is damaged, and is not trusted with memory.
const DENSEST_JPEG: usize = 8 * 64;
const DENSEST_PNG: usize = 8 * 1032;

/// A picture in colour or grey.
pub(super) fn decode(path: &Path, bytes: &[u8]) -> Result<DynamicImage> {
    if bytes.starts_with(b"\xff\xd8") {
        jpeg(bytes).map_err(|found| Error::bad_file(path, "a whole JPEG file", format!("a damaged one: {found}")))
    } else if bytes.starts_with(b"\x89PNG") {
        png(bytes).map_err(|found| Error::bad_file(path, "a whole PNG file", format!("a damaged one: {found}")))
    } else {
        Err(files::unlike(path, "a JPEG or PNG file", bytes, format!("{} bytes that are neither", bytes.len())))
    }
}

/// Reads a JPEG; errors are what is wrong with it.
fn jpeg(bytes: &[u8]) -> std::result::Result<DynamicImage, String> {
    let text = |error: zune_jpeg::errors::DecodeErrors| error.to_string();
    let options = DecoderOptions::default().set_strict_mode(true).set_max_width(LONGEST).set_max_height(LONGEST);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(text)?;
    let info = decoder.info().ok_or("no header")?;
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    check_size(width, height, bytes.len(), DENSEST_JPEG)?;
    let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let wanted = if grey { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(options.jpeg_set_out_colorspace(wanted));
    let pixels = decoder.decode().map_err(text)?;
    if !has_end(bytes) {
        return Err("no mark of its end".into());
    }
    let (width, height) = (width as u32, height as u32);
    let image = match grey {
        true => GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        false => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
    };
    image.ok_or_else(|| "fewer picture elements than it should have".into())
}

/// Whether the mark of the end stands behind the last scan; inside a scan no mark can stand.
fn has_end(bytes: &[u8]) -> bool {
    let last = |mark: [u8; 2]| bytes.windows(2).rposition(|window| window == mark);
    last([0xff, 0xd9]) > last([0xff, 0xda])
}

/// Reads a PNG; errors are what is wrong with it.
fn png(bytes: &[u8]) -> std::result::Result<DynamicImage, String> {
    let text = |error: image::ImageError| error.to_string();
    let reader = || ImageReader::with_format(Cursor::new(bytes), ImageFormat::Png);
    let (width, height) = reader().into_dimensions().map_err(text)?;
    check_size(width as usize, height as usize, bytes.len(), DENSEST_PNG)?;
    let mut reader = reader();
    let mut limits = Limits::default();
    limits.max_alloc = Some(8 * MOST as u64);
    reader.limits(limits);
    reader.decode().map_err(text)
}

fn check_size(width: usize, height: usize, bytes: usize, densest: usize) -> std::result::Result<(), String> {
    let size = width.saturating_mul(height);
    if size == 0 {
        return Err("no picture elements".into());
    }
    if width.max(height) > LONGEST || size > MOST {
        return Err(format!("{width}x{height}, more than {LONGEST} a side or {MOST} in all"));
    }
    if size > bytes.saturating_mul(densest) {
        return Err(format!("{bytes} bytes, too few for {width}x{height}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::ExtendedColorType;
    use image::codecs::jpeg::JpegEncoder;

    fn pixels() -> Vec<u8> {
        (0..64 * 48 * 3u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect()
    }

    fn written() -> Vec<u8> {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 90)
            .encode(&pixels(), 64, 48, ExtendedColorType::Rgb8)
            .expect("a file");
        bytes
    }

    fn found(bytes: &[u8]) -> std::result::Result<(u32, u32), String> {
        let image = decode(Path::new("x.JPEG"), bytes);
        image.map(|image| (image.width(), image.height())).map_err(|error| error.to_string())
    }

    #[test]
    fn whole_files_of_both_formats_are_read() {
        let mut grey = Vec::new();
        JpegEncoder::new(&mut grey).encode(&pixels()[..64 * 48], 64, 48, ExtendedColorType::L8).expect("a file");
        let mut png = Cursor::new(Vec::new());
        let image = RgbImage::from_raw(64, 48, pixels()).expect("a picture");
        image.write_to(&mut png, ImageFormat::Png).expect("a file");
        let mut followed = written();
        followed.extend(b"what a camera adds");
        for bytes in [written(), grey, png.into_inner(), followed] {
            assert_eq!(found(&bytes), Ok((64, 48)));
        }
    }

    /// What cameras and printers write, too: files of the parsers' corpus.
    #[test]
    fn progressive_files_and_those_in_the_colours_of_print_are_read() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/photo");
        for name in ["progressive.jpg", "cmyk.jpg", "grey.jpg", "colour.jpg"] {
            let bytes = std::fs::read(corpus.join(name)).expect("a file");
            assert_eq!(found(&bytes), Ok((24, 16)), "{name}");
        }
    }

    #[test]
    fn cut_and_zeroed_files_are_refused_wherever_they_end() {
        let whole = written();
        for kept in [2, 20, whole.len() / 3, whole.len() / 2, whole.len() - 40, whole.len() - 3] {
            assert!(found(&whole[..kept]).expect_err("cut").contains("a damaged one"), "cut to {kept} bytes");
            let zeroed = [&whole[..kept], &vec![0; whole.len() - kept]].concat();
            assert!(found(&zeroed).expect_err("zeroed").contains("a damaged one"), "zeros from {kept}");
        }
        // A download that was cut, and began again behind the cut: its end is there.
        let again = [&whole[..whole.len() / 2], &whole].concat();
        assert!(found(&again).expect_err("begun again").contains("a damaged one"));
        let mut png = Cursor::new(Vec::new());
        let image = RgbImage::from_raw(64, 48, pixels()).expect("a picture");
        image.write_to(&mut png, ImageFormat::Png).expect("a file");
        let whole = png.into_inner();
        assert!(found(&whole[..whole.len() / 2]).expect_err("cut").contains("a damaged one"));
    }

    #[test]
    fn claims_of_size_are_not_trusted_and_other_files_named() {
        let mut claim = written();
        let frame = claim.windows(2).position(|mark| mark == [0xff, 0xc0]).expect("a frame");
        claim[frame + 5..frame + 9].copy_from_slice(&[0x20, 0, 0x0f, 0xff]);
        assert!(found(&claim).expect_err("a claim").contains("too few for 4095x8192"));
        assert!(found(b"").expect_err("refused").contains("an empty file"));
        assert!(found(b"RIFF0000WEBPVP8 ").expect_err("refused").contains("a WebP picture"));
        assert!(found(b"<html>").expect_err("refused").contains("an HTML page"));
    }
}
