//! A contact sheet of a data set.

use std::path::Path;

use image::{ImageFormat, RgbImage};

use super::{Label, Source};
use crate::{Error, Result};
use foregrad::files;
use foregrad::losses::LabelKind;

/// Side of a picture element on the sheet, and the gap between images.
const SCALE: usize = 2;
const GAP: usize = 4;

/// Pixels of a sheet at most: half a gigabyte in memory.
const MOST_PIXELS: usize = 1 << 27;

/// Classes on a sheet at most: more than these make a picture that few programs show.
const ROWS: usize = 100;

/// Writes a PNG with one row a class (the first 100) and `columns` images in each, the first ones of the class; of data with values
/// the first images.
///
/// # Errors
/// A sample that cannot be had, a file that cannot be written.
pub fn write_preview(set: &dyn Source, columns: usize, path: &Path) -> Result<()> {
    let [_, height, width] = set.shape();
    let (cell_height, cell_width) = (height * SCALE + GAP, width * SCALE + GAP);
    let rows = rows(set, columns)?;
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let size = [columns * cell_width + GAP, rows.len() * cell_height + GAP];
    if size[0].saturating_mul(size[1]) > MOST_PIXELS {
        let expected = format!("at most {MOST_PIXELS} pixels: fewer or smaller pictures");
        return Err(Error::out_of_range("the preview", format!("{}x{} pixels", size[0], size[1]), expected));
    }
    let mut sheet = RgbImage::from_pixel(size[0] as u32, size[1] as u32, image::Rgb([24, 24, 28]));
    for (row, members) in rows.iter().enumerate() {
        for (column, index) in members.iter().enumerate() {
            let corner = [GAP + row * cell_height, GAP + column * cell_width];
            place(&mut sheet, set.shape(), &set.picture(*index)?, corner);
        }
    }
    let mut png = std::io::Cursor::new(Vec::new());
    sheet.write_to(&mut png, ImageFormat::Png).expect("a picture in memory");
    files::write_atomically(path, png.get_ref())
}

/// The images of each row.
fn rows(set: &dyn Source, columns: usize) -> Result<Vec<Vec<usize>>> {
    let LabelKind::Classes(classes) = set.kind() else {
        let shown: Vec<usize> = (0..set.len().min(ROWS * columns)).collect();
        return Ok(shown.chunks(columns).map(<[usize]>::to_vec).collect());
    };
    let mut rows = vec![Vec::new(); classes.min(ROWS)];
    let mut input = vec![0.0; set.shape().iter().product()];
    for index in 0..set.len() {
        if rows.iter().all(|row| row.len() == columns) {
            break;
        }
        if let Label::Class(class) = set.sample(index, None, &mut input)?
            && let Some(row) = rows.get_mut(class).filter(|row| row.len() < columns)
        {
            row.push(index);
        }
    }
    Ok(rows)
}

fn place(sheet: &mut RgbImage, [channels, height, width]: [usize; 3], pixels: &[u8], [top, left]: [usize; 2]) {
    for row in 0..height * SCALE {
        for column in 0..width * SCALE {
            let at = row / SCALE * width + column / SCALE;
            let level = |channel: usize| pixels[channel.min(channels - 1) * height * width + at];
            let colour = image::Rgb([level(0), level(1), level(2)]);
            sheet.put_pixel((left + column) as u32, (top + row) as u32, colour);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{LoadOptions, load};

    #[test]
    fn a_sheet_has_a_row_a_class_and_failing_to_write_is_said() {
        let options = LoadOptions { train_limit: Some(60), test_limit: Some(1), ..Default::default() };
        let set = load("glyphs-colour", &options).expect("glyphs").train;
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("sheet.png");
        write_preview(&*set, 3, &path).expect("a sheet");
        let sheet = image::open(&path).expect("a picture");
        assert_eq!((sheet.width(), sheet.height()), (3 * 68 + 4, 10 * 68 + 4));
        assert!(write_preview(&*set, 3, &dir.path().join("none/sheet.png")).is_err());
    }
}
