//! The rows of a file batch by batch, from either end, in an amount of memory that no file decides.
//!
//! Texts are decoded as views: a text that a dictionary has once and a million rows name is there once.
//! Where a file repeats parts of texts in another way, batches have fewer rows.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, RowSelection, RowSelector,
};
use parquet::basic::Encoding;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use crate::error::ReplayError;
use crate::parquet_footer;
use crate::parquet_guard::{GuardedBatches, guarded};
use crate::spool;

/// Rows that are decoded at once of a file that is read from its end.
const BLOCK: usize = 1 << 20;

/// Batches of such a block at most, where the batches have few rows.
const BATCHES: usize = 128;

/// Bytes that the texts of a batch may take.
const TEXTS: usize = 64 << 20;

/// Bytes that the rows of a block may take: a block of the longest numbers takes half of it.
const BLOCK_BYTES: usize = 256 << 20;

/// Fewest rows of a batch, whatever is in them.
const FEWEST: usize = 16;

/// Bytes of the longest value of a fixed length.
const LONGEST_FIXED: i32 = 4096;

fn damaged(path: &Path, error: &impl ToString) -> ReplayError {
    ReplayError::undecoded(path, "Parquet data", "pages that can be decoded", &error.to_string())
}

/// A file whose footer was read.
#[derive(Clone, Debug)]
pub(super) struct Opened(ArrowReaderMetadata);

impl Opened {
    pub(super) fn open(path: &Path) -> Result<Self, ReplayError> {
        let file = spool::open(path).map_err(|e| ReplayError::io("open", path, e))?;
        // What a writer's own types were does not matter, and dictionaries are as good as their values.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let read = parquet_footer::read(&file, options.clone());
        let read = read.and_then(|read| {
            guarded(|| {
                let fields = read.schema().fields().iter().map(|field| viewed(field));
                let schema = Schema::new(fields.collect::<Vec<Field>>());
                let options = options.with_schema(Arc::new(schema));
                ArrowReaderMetadata::try_new(Arc::clone(read.metadata()), options)
            })
        });
        read.map(Self).map_err(|error| {
            ReplayError::undecoded(path, "Parquet footer", "a complete Parquet file", &error)
        })
    }

    fn metadata(&self) -> &ParquetMetaData {
        self.0.metadata()
    }

    /// Names of the columns.
    pub(super) fn names(&self) -> Vec<String> {
        self.0.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    pub(super) fn rows(&self) -> u64 {
        self.metadata().file_metadata().num_rows().max(0) as u64
    }

    /// A reader of some rows of some columns.
    fn reader(
        &self,
        path: &Path,
        wanted: &ReadPlan,
        group: Option<usize>,
        rows: Option<RowSelection>,
    ) -> Result<GuardedBatches, ReplayError> {
        let file = spool::open(path).map_err(|e| ReplayError::io("open", path, e))?;
        let columns = wanted.columns.clone();
        let batches = GuardedBatches::open(file, self.0.clone(), columns, |builder| {
            let mut builder = builder.with_batch_size(wanted.rows);
            if let Some(group) = group {
                builder = builder.with_row_groups(vec![group]);
            }
            if let Some(rows) = rows {
                builder = builder.with_row_selection(rows);
            }
            builder
        });
        batches.map_err(|error| damaged(path, &error))
    }
}

/// As it is decoded: texts without copies.
fn viewed(field: &Field) -> Field {
    match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => field.clone().with_data_type(DataType::Utf8View),
        DataType::Binary | DataType::LargeBinary => {
            field.clone().with_data_type(DataType::BinaryView)
        }
        _ => field.clone(),
    }
}

/// Which columns are read, and how many rows at a time.
#[derive(Clone)]
pub(super) struct ReadPlan {
    columns: ProjectionMask,
    rows: usize,
    /// Rows of a block, from the end.
    block: usize,
}

impl ReadPlan {
    /// These columns, in batches of `rows`, or of fewer where texts may be large.
    ///
    /// # Errors
    /// When a column has several values in a row, or values that are none of a trade.
    pub(super) fn of(
        path: &Path,
        opened: &Opened,
        needed: &[usize],
        rows: usize,
    ) -> Result<Self, ReplayError> {
        let schema = opened.0.schema();
        for column in needed {
            let field = schema.field(*column);
            let (name, kind) = (field.name(), field.data_type());
            let is_long = matches!(kind, DataType::FixedSizeBinary(most) if *most > LONGEST_FIXED);
            if kind.is_nested() || is_long {
                let reason = format!(
                    "its column \"{name}\" has values of the type {kind}, which are none of a trade; \
                     name another column with --columns time=…,price=…,qty=…"
                );
                return Err(ReplayError::layout(path, reason));
            }
        }
        let parquet = opened.metadata().file_metadata().schema_descr();
        let columns = ProjectionMask::roots(parquet, needed.iter().copied());
        let groups = opened.metadata().row_groups().iter();
        let chunks = groups.flat_map(|group| group.columns().iter().enumerate());
        let largest = chunks.filter(|(leaf, _)| columns.leaf_included(*leaf));
        let largest = largest.map(|(_, chunk)| longest_text(chunk)).max().unwrap_or(0);
        let fits = (TEXTS / largest.max(1)).max(FEWEST);
        let block = if fits < rows { fits.saturating_mul(BATCHES) } else { BLOCK };
        Ok(Self { columns, rows: rows.min(fits), block })
    }
}

/// How long a text of a column may be of which every row gets a copy: a text that is written as the
/// difference from the one before is as long as all its parts.
fn longest_text(chunk: &ColumnChunkMetaData) -> usize {
    let is_difference = chunk.encodings().any(|encoding| encoding == Encoding::DELTA_BYTE_ARRAY);
    if is_difference { chunk.uncompressed_size().max(0) as usize } else { 0 }
}

/// Rows of some columns of a file.
pub(super) enum Batches {
    /// From the first row on.
    Forwards(PathBuf, Box<GuardedBatches>),
    /// From the last row on; each batch still has its rows in the file's order.
    Backwards(Box<Backwards>),
}

impl Batches {
    /// Starts after the first `skip` rows, as they are read.
    pub(super) fn open(
        path: &Path,
        opened: Opened,
        wanted: ReadPlan,
        skip: usize,
        backwards: bool,
    ) -> Result<Self, ReplayError> {
        if backwards {
            let groups = opened.metadata().row_groups().iter();
            let groups = groups.map(|group| group.num_rows().max(0) as usize).collect();
            let (path, left) = (path.to_owned(), Vec::new());
            let backwards = Backwards { path, opened, wanted, groups, skip, left };
            return Ok(Self::Backwards(Box::new(backwards)));
        }
        let rest = (opened.rows() as usize).saturating_sub(skip);
        let selection =
            || RowSelection::from(vec![RowSelector::skip(skip), RowSelector::select(rest)]);
        let reader = opened.reader(path, &wanted, None, (skip > 0).then(selection))?;
        Ok(Self::Forwards(path.to_owned(), Box::new(reader)))
    }

    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>, ReplayError> {
        match self {
            Self::Forwards(path, reader) => {
                reader.next().transpose().map_err(|error| damaged(path, &error))
            }
            Self::Backwards(backwards) => backwards.next(),
        }
    }
}

/// Pages can only be decoded forwards: a block of rows is decoded, and given out from its end.
pub(super) struct Backwards {
    path: PathBuf,
    opened: Opened,
    wanted: ReadPlan,
    /// Rows of the groups that are still to be read; of the last one, those before the last block.
    groups: Vec<usize>,
    /// Rows to leave out at the end of those.
    skip: usize,
    /// What is left of the last block that was decoded.
    left: Vec<RecordBatch>,
}

impl Backwards {
    fn next(&mut self) -> Result<Option<RecordBatch>, ReplayError> {
        loop {
            if let Some(batch) = self.left.pop() {
                return Ok(Some(batch));
            }
            let Some(rows) = self.groups.pop() else { return Ok(None) };
            let skip = self.skip.min(rows);
            self.skip -= skip;
            let end = rows - skip;
            if end == 0 {
                continue;
            }
            let group = self.groups.len();
            let begin = end.saturating_sub(self.wanted.block);
            if begin > 0 {
                self.groups.push(begin);
            }
            let block = vec![RowSelector::skip(begin), RowSelector::select(end - begin)];
            let block = Some(RowSelection::from(block));
            let reader = self.opened.reader(&self.path, &self.wanted, Some(group), block)?;
            let read = limited(reader);
            self.left = read.map_err(|error| damaged(&self.path, &error))?;
        }
    }
}

/// The batches of a block, as long as they take a limited amount of memory.
fn limited(
    batches: impl Iterator<Item = Result<RecordBatch, String>>,
) -> Result<Vec<RecordBatch>, String> {
    let (mut read, mut bytes, mut texts) = (Vec::new(), 0, HashSet::new());
    for batch in batches {
        let batch = batch?;
        bytes += batch.columns().iter().map(|column| size(column, &mut texts)).sum::<usize>();
        if bytes > BLOCK_BYTES {
            let most = BLOCK_BYTES >> 20;
            return Err(format!(
                "values above {most} MiB in rows that are read from the last to the first; write the \
                 file again with the oldest trade first"
            ));
        }
        read.push(batch);
    }
    Ok(read)
}

/// Bytes of the values of a column, without the texts that are known by where they are.
fn size(column: &ArrayRef, texts: &mut HashSet<(usize, usize)>) -> usize {
    let data = column.to_data();
    let buffers = data.buffers().iter();
    let new = buffers.filter(|buffer| texts.insert((buffer.as_ptr() as usize, buffer.len())));
    new.map(|buffer| buffer.len()).sum()
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use arrow_array::cast::AsArray;
    use arrow_array::types::UInt64Type;
    use arrow_array::{StringArray, StringViewArray, UInt64Array};
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;

    use super::*;

    /// A file of so many rows in groups of 100, with a text of one of the encodings.
    fn file(path: &Path, rows: u64, encoding: Encoding, text: &str) {
        let numbers: ArrayRef = Arc::new(UInt64Array::from_iter_values(0..rows));
        let texts = StringArray::from_iter_values((0..rows).map(|_| text));
        let texts: ArrayRef = Arc::new(texts);
        let batch = RecordBatch::try_from_iter([("id", numbers), ("side", texts)]).unwrap();
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(100))
            .set_data_page_row_count_limit(10)
            .set_write_batch_size(10)
            .set_dictionary_enabled(false)
            .set_column_encoding("side".into(), encoding)
            .build();
        let to = File::create(path).unwrap();
        let mut writer = ArrowWriter::try_new(to, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    #[test]
    fn rows_from_the_end_come_in_blocks_of_a_limited_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        file(&path, 250, Encoding::PLAIN, "buy");
        for (rows, block) in [(8, 20), (7, 7), (64, 1 << 20), (1, 3)] {
            for skip in [0, 1, 49, 50, 130, 249, 250] {
                let opened = Opened::open(&path).unwrap();
                let wanted = ReadPlan::of(&path, &opened, &[0], rows).unwrap();
                let wanted = ReadPlan { block, ..wanted };
                let mut batches = Batches::open(&path, opened, wanted, skip, true).unwrap();
                let mut came = Vec::<u64>::new();
                while let Some(batch) = batches.next().unwrap() {
                    let Batches::Backwards(backwards) = &batches else { panic!("forwards") };
                    let left = backwards.left.iter().map(RecordBatch::num_rows).sum::<usize>();
                    assert!(batch.num_rows() <= rows && batch.num_rows() + left <= block);
                    let ids = batch.column(0).as_primitive::<UInt64Type>();
                    came.extend(ids.values().iter().rev());
                }
                let expected: Vec<u64> = (0..250 - skip as u64).rev().collect();
                assert_eq!(came, expected, "{rows} rows of {block}, without {skip}");
            }
        }
    }

    #[test]
    fn a_block_whose_texts_are_copies_of_a_large_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        file(&path, 100, Encoding::DELTA_BYTE_ARRAY, &"x".repeat(4 << 20));
        let opened = Opened::open(&path).unwrap();
        let wanted = ReadPlan::of(&path, &opened, &[0, 1], 8192).unwrap();
        let error = Batches::open(&path, opened, wanted, 0, true).unwrap().next().unwrap_err();
        assert!(error.to_string().contains("the oldest trade first"), "{error}");
        // A million rows that name one text have it once.
        let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values(["x".repeat(1 << 20)]));
        let batch = RecordBatch::try_from_iter([("side", texts)]).unwrap();
        let batches = std::iter::repeat_n(batch, 1000).map(Ok);
        assert_eq!(limited(batches).map(|batches| batches.len()), Ok(1000));
    }

    #[test]
    fn batches_have_fewer_rows_only_where_every_row_gets_a_copy_of_a_large_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        let large = "x".repeat(1 << 20);
        for (encoding, text, rows) in [
            (Encoding::PLAIN, "buy", 8192),
            (Encoding::DELTA_BYTE_ARRAY, "buy", 8192),
            (Encoding::DELTA_BYTE_ARRAY, &*large, 10),
        ] {
            file(&path, 10, encoding, text);
            let opened = Opened::open(&path).unwrap();
            let wanted = ReadPlan::of(&path, &opened, &[0, 1], 8192).unwrap();
            assert!(wanted.rows >= rows.min(FEWEST) && wanted.rows <= 8192, "{encoding}");
            assert_eq!(wanted.rows == 8192, rows == 8192, "{encoding}: {}", wanted.rows);
        }
    }
}
