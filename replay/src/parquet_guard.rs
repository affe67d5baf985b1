//! The Parquet library, held so that nothing a file says ends the program.
//!
//! The decoder panics at some damaged pages and footers: where a length does not fit, or an offset
//! lies outside. To a reader of files that is damage like any other, and becomes an error here. What
//! has panicked is not used again.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use arrow_array::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

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

/// A file's batches; the last item is an error if the file is damaged.
pub struct GuardedBatches(Option<ParquetRecordBatchReader>);

impl From<ParquetRecordBatchReader> for GuardedBatches {
    fn from(reader: ParquetRecordBatchReader) -> Self {
        Self(Some(reader))
    }
}

impl Iterator for GuardedBatches {
    type Item = Result<RecordBatch, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.0.as_mut()?;
        let batch = guarded(|| reader.next().transpose()).transpose();
        if !matches!(batch, Some(Ok(_))) {
            self.0 = None;
        }
        batch
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
