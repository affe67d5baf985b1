//! Bars of a Parquet file: the columns of a bar, in an amount of memory that no file decides.
//!
//! Texts are decoded as views: one that a dictionary has once and many rows name is there once. Where a
//! file repeats parts of texts in another way, batches have fewer rows.

use std::fs::File;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampNanosecondType, UInt32Type, UInt64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use barflow_replay::parquet_footer;
use barflow_replay::parquet_guard::{GuardedBatches, guarded};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::Encoding;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use super::cell::{Cell, NEEDED, Row};
use crate::sinks::parquet::columns::Columns;

/// Bytes of the longest text of a bar.
const LONGEST: usize = 4096;

/// Rows decoded at once, where texts have no copies.
const ROWS: usize = 1024;

/// Fewest rows decoded at once, whatever is in them.
const FEWEST: usize = 16;

/// Bytes that the texts of a batch may take.
const TEXTS: usize = 64 << 20;

/// Why a file is not read.
#[derive(Debug)]
pub(super) enum Unread {
    /// It is damaged.
    File(String),
    /// Its rows are no bars.
    NotBars(String),
}

/// Reads the bars of a file.
///
/// # Errors
/// When it cannot be read, or its rows are no bars.
pub(super) fn read(file: File, each: &mut dyn FnMut(Row)) -> Result<(), Unread> {
    let footer = footer(&file).map_err(Unread::File)?;
    let columns = columns(&footer).map_err(Unread::NotBars)?;
    let mask = ProjectionMask::roots(footer.metadata().file_metadata().schema_descr(), columns);
    let rows = rows_at_once(footer.metadata(), &mask);
    let batches = GuardedBatches::of_columns(file, footer, mask, rows).map_err(Unread::File)?;
    for batch in batches {
        let batch = batch.map_err(Unread::File)?;
        for row in 0..batch.num_rows() {
            each(bar(&batch, row).map_err(Unread::NotBars)?);
        }
    }
    Ok(())
}

/// The footer; texts are to be decoded without copies.
fn footer(file: &File) -> Result<ArrowReaderMetadata, String> {
    // Dictionaries of another program are as good as their values.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let read = parquet_footer::read(file, options.clone())?;
    let viewed = |field: &Arc<Field>| match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => {
            field.as_ref().clone().with_data_type(DataType::Utf8View)
        }
        _ => field.as_ref().clone(),
    };
    let schema = Schema::new(read.schema().fields().iter().map(viewed).collect::<Vec<Field>>());
    let options = options.with_schema(Arc::new(schema));
    guarded(|| ArrowReaderMetadata::try_new(Arc::clone(read.metadata()), options))
}

/// Which columns are those of a bar.
fn columns(footer: &ArrowReaderMetadata) -> Result<Vec<usize>, String> {
    let known = Columns::new().schema();
    let fields = || footer.schema().fields().iter();
    if let Some(needed) =
        NEEDED.into_iter().find(|needed| fields().all(|field| field.name() != needed))
    {
        return Err(format!("its column \"{needed}\" is missing"));
    }
    let is_known = |field: &Field| known.column_with_name(field.name()).is_some();
    let kept = fields().enumerate().filter(|(_, field)| is_known(field));
    for (_, field) in kept.clone() {
        let kind = field.data_type();
        let is_binary =
            matches!(kind, DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_));
        if kind.is_nested() || is_binary {
            let name = field.name();
            return Err(format!("its column \"{name}\" has values of the type {kind}"));
        }
    }
    Ok(kept.map(|(column, _)| column).collect())
}

/// Fewer rows where every row gets a copy of a text that may be large: a text that is written as the
/// difference from the one before is as long as all its parts.
fn rows_at_once(metadata: &ParquetMetaData, mask: &ProjectionMask) -> usize {
    let is_difference =
        |chunk: &ColumnChunkMetaData| chunk.encodings().any(|e| e == Encoding::DELTA_BYTE_ARRAY);
    let chunks = metadata.row_groups().iter().flat_map(|group| group.columns().iter().enumerate());
    let largest = chunks
        .filter(|(leaf, chunk)| mask.leaf_included(*leaf) && is_difference(chunk))
        .map(|(_, chunk)| chunk.uncompressed_size().max(0) as usize)
        .max()
        .unwrap_or(0);
    (TEXTS / largest.max(1)).clamp(FEWEST, ROWS)
}

fn bar(batch: &RecordBatch, row: usize) -> Result<Row, String> {
    let schema = batch.schema();
    let fields = schema.fields().iter().zip(batch.columns());
    let cells = fields.map(|(field, column)| {
        let name = field.name();
        let cell = match cell(column.as_ref(), row) {
            // Digests are hexadecimal; they were numbers in files of schema version 3.
            Ok(Cell::Whole(digest)) if name == "state_digest" => {
                Cell::Text(format!("{digest:016x}"))
            }
            Ok(cell) => cell,
            Err(bytes) => {
                return Err(format!(
                    "its column \"{name}\" has a text of {bytes} bytes; those of a bar have at most \
                     {LONGEST}"
                ));
            }
        };
        Ok((name.clone(), cell))
    });
    cells.collect::<Result<Vec<_>, String>>().map(Row)
}

/// A value; the length of a text that is too long.
fn cell(column: &dyn Array, row: usize) -> Result<Cell, usize> {
    if column.is_null(row) {
        return Ok(Cell::Null);
    }
    Ok(match column.data_type() {
        DataType::Utf8View => match column.as_string_view().value(row) {
            text if text.len() > LONGEST => return Err(text.len()),
            text => Cell::Text(text.to_owned()),
        },
        DataType::Int64 => Cell::Whole(column.as_primitive::<Int64Type>().value(row).into()),
        DataType::UInt64 => Cell::Whole(column.as_primitive::<UInt64Type>().value(row).into()),
        DataType::UInt32 => Cell::Whole(column.as_primitive::<UInt32Type>().value(row).into()),
        DataType::Boolean => Cell::Text(column.as_boolean().value(row).to_string()),
        DataType::Float64 => Cell::Number(column.as_primitive::<Float64Type>().value(row)),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            Cell::Whole(column.as_primitive::<TimestampNanosecondType>().value(row).into())
        }
        other => Cell::Text(format!("a column of type {other}")),
    })
}
