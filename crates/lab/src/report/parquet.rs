//! Columns as a Parquet file.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{Type, TypePtr};

use super::field::Field;

/// The bytes of a file of equally long columns; a cell without a value is null.
pub(super) fn file(columns: &[(String, Vec<Field>)]) -> Vec<u8> {
    written(columns).expect("memory takes every column, and columns have the type of their cells")
}

fn written(columns: &[(String, Vec<Field>)]) -> Result<Vec<u8>> {
    let fields = columns.iter().map(|(name, cells)| field(name, cells.first())).collect::<Result<Vec<_>>>()?;
    let schema = Type::group_type_builder("runs").with_fields(fields).build()?;
    let properties = Arc::new(WriterProperties::builder().build());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, Arc::new(schema), properties)?;
    let mut group = writer.next_row_group()?;
    for (_, cells) in columns {
        let mut column = group.next_column()?.expect("as many columns as fields");
        write(&mut column, cells)?;
        column.close()?;
    }
    group.close()?;
    writer.close()?;
    Ok(bytes)
}

/// A column's type: that of its cells, text if there are none.
fn field(name: &str, cell: Option<&Field>) -> Result<TypePtr> {
    let (physical, logical) = match cell {
        Some(Field::Integer(_)) => (Physical::INT64, Some(LogicalType::integer(64, false))),
        Some(Field::Number(_)) => (Physical::DOUBLE, None),
        Some(Field::Text(_)) | None => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let builder = Type::primitive_type_builder(name, physical).with_logical_type(logical);
    Ok(Arc::new(builder.with_repetition(Repetition::OPTIONAL).build()?))
}

/// Writes the values that are there, and a level a cell: 1 where there is one.
fn write(column: &mut SerializedColumnWriter<'_>, cells: &[Field]) -> Result<()> {
    let (mut texts, mut integers, mut numbers, mut levels) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for cell in cells {
        let before = texts.len() + integers.len() + numbers.len();
        match cell {
            Field::Text(value) => texts.extend(value.as_deref().map(ByteArray::from)),
            // Unsigned by the column's logical type: the bits are the same.
            Field::Integer(value) => integers.extend(value.map(u64::cast_signed)),
            Field::Number(value) => numbers.extend(value),
        }
        levels.push((texts.len() + integers.len() + numbers.len() - before) as i16);
    }
    let levels = Some(levels.as_slice());
    match cells.first() {
        Some(Field::Integer(_)) => column.typed::<Int64Type>().write_batch(&integers, levels, None)?,
        Some(Field::Number(_)) => column.typed::<DoubleType>().write_batch(&numbers, levels, None)?,
        Some(Field::Text(_)) | None => column.typed::<ByteArrayType>().write_batch(&texts, levels, None)?,
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use std::io::Write;

    fn read(columns: &[(String, Vec<Field>)]) -> SerializedFileReader<std::fs::File> {
        let mut place = tempfile::tempfile().expect("a file");
        place.write_all(&file(columns)).expect("room for it");
        SerializedFileReader::new(place).expect("a Parquet file")
    }

    #[test]
    fn what_is_written_is_read_again() {
        let columns = [
            (
                "name".to_string(),
                vec![Field::Text(Some("a, \"b\"".into())), Field::Text(None), Field::Text(Some(String::new()))],
            ),
            ("count".to_string(), vec![Field::Integer(None), Field::Integer(Some(u64::MAX)), Field::Integer(Some(3))]),
            ("loss".to_string(), vec![Field::Number(Some(0.1)), Field::Number(None), Field::Number(Some(f64::NAN))]),
        ];
        let reader = read(&columns);
        let rows = reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row").to_string());
        let expected = [
            "{name: \"a, \"b\"\", count: null, loss: 0.1}",
            "{name: null, count: 18446744073709551615, loss: null}",
            "{name: \"\", count: 3, loss: NaN}",
        ];
        assert_eq!(rows.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_study_without_runs_is_a_file_too() {
        assert_eq!(read(&[("run".to_string(), Vec::new())]).metadata().file_metadata().num_rows(), 0);
    }
}
