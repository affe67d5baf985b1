//! The Parquet library, held so that nothing a file says ends the program.
//!
//! The decoder panics at some damaged pages and footers: where a length does not fit, or an offset
//! lies outside. To a reader of files that is damage like any other, and becomes an error here. What
//! has panicked is not used again.

use std::any::Any;
use std::cell::Cell;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use arrow_array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};

use crate::parquet_pages::{BoundedFile, Refusal};

thread_local! {
    /// Whether this thread is in the library, so that a panic is an error that somebody reports.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs what reads Parquet; a panic is an error with its message.
///
/// # Errors
/// What the library says.
pub fn guarded<T, E: ToString>(read: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                before(info);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let read = catch_unwind(AssertUnwindSafe(read));
    GUARDED.set(outer);
    match read {
        Ok(read) => read.map_err(|error| error.to_string()),
        Err(panic) => Err(format!("what cannot be decoded ({})", message(&*panic))),
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given")
}

/// Chooses the rows of a file that are read.
pub(crate) type Builder = ParquetRecordBatchReaderBuilder<BoundedFile>;

/// A file's batches; the last item is an error if the file is damaged, or takes too much memory.
pub struct GuardedBatches {
    /// None after an error.
    reader: Option<ParquetRecordBatchReader>,
    refusal: Refusal,
}

impl GuardedBatches {
    /// All rows of some columns of a file, whose footer was read, so many rows at a time.
    ///
    /// # Errors
    /// What the library says, and when the footer contradicts itself.
    pub fn of_columns(
        file: File,
        footer: ArrowReaderMetadata,
        columns: ProjectionMask,
        rows: usize,
    ) -> Result<Self, String> {
        Self::open(file, footer, columns, |builder| builder.with_batch_size(rows))
    }

    /// What is chosen of some columns of a file, whose footer was read.
    pub(crate) fn open(
        file: File,
        footer: ArrowReaderMetadata,
        columns: ProjectionMask,
        choose: impl FnOnce(Builder) -> Builder,
    ) -> Result<Self, String> {
        let file = BoundedFile::new(file, footer.metadata(), &columns)?;
        let refusal = file.refusal();
        let reader = guarded(|| {
            let builder = Builder::new_with_metadata(file, footer).with_projection(columns);
            choose(builder).build()
        })?;
        Ok(Self { reader: Some(reader), refusal })
    }
}

impl Iterator for GuardedBatches {
    type Item = Result<RecordBatch, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.reader.as_mut()?;
        let batch = guarded(|| reader.next().transpose()).transpose();
        if !matches!(batch, Some(Ok(_))) {
            self.reader = None;
        }
        batch.map(|batch| batch.map_err(|error| self.refusal.reason().unwrap_or(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_message() {
        let read: Result<(), String> = guarded(|| {
            if !GUARDED.get() {
                return Err("not guarded".to_owned());
            }
            panic!("range end index {} out of range", 9)
        });
        assert_eq!(read, Err("what cannot be decoded (range end index 9 out of range)".to_owned()));
        let read: Result<(), String> = guarded(|| -> Result<(), String> { panic!("short") });
        assert_eq!(read, Err("what cannot be decoded (short)".to_owned()));
        assert!(!GUARDED.get());
        assert_eq!(guarded(|| Ok::<_, String>(1)), Ok(1));
    }
}
