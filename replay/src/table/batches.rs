//! The rows of a file batch by batch, from either end.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};

use crate::error::ReplayError;
use crate::parquet_guard::{GuardedBatches, guarded};
use crate::spool;

pub(super) fn open(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>, ReplayError> {
    let file = spool::open(path).map_err(|e| ReplayError::io("open", path, e))?;
    // What a writer's own types were does not matter, and dictionaries are as good as their values.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    guarded(|| ParquetRecordBatchReaderBuilder::try_new_with_options(file, options))
        .map_err(|e| ReplayError::corrupt(path, "Parquet footer", "a complete Parquet file", e))
}

pub(super) fn damaged(path: &Path, error: &impl ToString) -> ReplayError {
    ReplayError::corrupt(path, "Parquet data", "pages that can be decoded", error.to_string())
}

/// Rows of some columns of a file.
pub(super) enum Batches {
    /// From the first row on.
    Forwards(PathBuf, Box<GuardedBatches>),
    /// From the last row on; each batch still has its rows in the file's order.
    Backwards(Backwards),
}

impl Batches {
    /// Starts after the first `skip` rows, as they are read.
    pub(super) fn open(
        path: &Path,
        builder: ParquetRecordBatchReaderBuilder<File>,
        wanted: Wanted,
        skip: usize,
        backwards: bool,
    ) -> Result<Self, ReplayError> {
        if backwards {
            let groups = builder.metadata().row_groups().iter();
            let groups = groups.map(|group| group.num_rows().max(0) as usize).collect();
            let path = path.to_owned();
            return Ok(Self::Backwards(Backwards { path, wanted, groups, skip, left: Vec::new() }));
        }
        let rows = builder.metadata().file_metadata().num_rows().max(0) as usize;
        let mut builder = wanted.of(builder);
        if skip > 0 {
            let rest = RowSelector::select(rows.saturating_sub(skip));
            let selection = RowSelection::from(vec![RowSelector::skip(skip), rest]);
            builder = builder.with_row_selection(selection);
        }
        let reader = guarded(|| builder.build()).map_err(|error| damaged(path, &error))?;
        Ok(Self::Forwards(path.to_owned(), Box::new(reader.into())))
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

/// Which columns are read, and how many rows at a time.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) columns: ProjectionMask,
    pub(super) rows: usize,
}

impl Wanted {
    fn of(
        &self,
        builder: ParquetRecordBatchReaderBuilder<File>,
    ) -> ParquetRecordBatchReaderBuilder<File> {
        builder.with_projection(self.columns.clone()).with_batch_size(self.rows)
    }
}

/// A row group is decoded whole, since pages can only be decoded forwards.
pub(super) struct Backwards {
    path: PathBuf,
    wanted: Wanted,
    /// Rows of the groups that are still to be read.
    groups: Vec<usize>,
    /// Rows to leave out at the end of those.
    skip: usize,
    /// What is left of the last group that was decoded.
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
            if skip == rows {
                continue;
            }
            let group = self.groups.len();
            let select = RowSelection::from(vec![RowSelector::select(rows - skip)]);
            let builder = self.wanted.of(open(&self.path)?);
            let builder = builder.with_row_groups(vec![group]).with_row_selection(select);
            let read = guarded(|| builder.build()).and_then(|reader| {
                GuardedBatches::from(reader).collect::<Result<Vec<_>, String>>()
            });
            self.left = read.map_err(|error| damaged(&self.path, &error))?;
        }
    }
}
