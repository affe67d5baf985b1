//! Is a file the one that was written?

use std::path::Path;
use std::sync::Arc;

use super::digest::ColumnDigest;
use super::facts::Facts;
use super::read::{Footer, ParquetTrades, is_own};
use super::seal;
use crate::error::ReplayError;
use crate::progress::Progress;
use crate::read_options::ReadOptions;

/// Rows decoded at a time.
const BATCH_ROWS: usize = 8192;

/// Holds a file against its seal; one of an earlier build, which has none, against the digest of its
/// trades, for which it is decoded.
///
/// # Errors
/// When they differ, or the file cannot be read.
pub fn verify(path: &Path, progress: &Progress) -> Result<(), ReplayError> {
    if seal::verify_all(path, progress)? {
        return Ok(());
    }
    if !is_own(path)? {
        // Another writer's, which says nothing that could be checked.
        return Ok(());
    }
    let facts = Facts::read(path)?;
    let Some(expected) = facts.digest else { return Ok(()) };
    let footer = Footer::read(path)?;
    let groups = footer.group_rows().len();
    let feed = Arc::new(facts.feed);
    let options = ReadOptions { progress: progress.uncounted(), ..ReadOptions::new(BATCH_ROWS) };
    let mut trades = ParquetTrades::open_groups(path, &footer, feed, 0..groups, 0, &options)?;
    let (mut rows, mut digest) = (0, ColumnDigest::default());
    while let Some(input_batch) = trades.next_batch()? {
        if progress.is_stopped() {
            return Err(ReplayError::Stopped);
        }
        rows += input_batch.trades.len() as u64;
        digest.add(&input_batch.trades);
        options.pool.give_back(Arc::new(input_batch.trades));
    }
    let found = digest.value();
    if (rows, found) == (facts.rows, expected) {
        return Ok(());
    }
    let expected = format!("{} trades with digest {expected:016x}", facts.rows);
    let found = format!("{rows} trades with digest {found:016x} (it is damaged)");
    Err(ReplayError::corrupt(path, "Parquet data", expected, found))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::atomic::AtomicBool;

    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use parquet::file::properties::WriterProperties;

    use super::super::write::five_trades;
    use super::*;

    /// A file as an earlier build wrote it: with the digest of its trades, and without a seal.
    fn without_seal(folder: &Path) -> std::path::PathBuf {
        let path = folder.join("sealed.parquet");
        let from = File::open(five_trades(&path).0).unwrap();
        let from = ParquetRecordBatchReaderBuilder::try_new(from).unwrap();
        let says = from.metadata().file_metadata().key_value_metadata().cloned().unwrap();
        let says = says.into_iter();
        let says =
            says.filter(|pair| pair.key.starts_with("barflow.") && pair.key != "barflow.seal");
        let says = WriterProperties::builder().set_key_value_metadata(Some(says.collect())).build();
        let path = folder.join("unsealed.parquet");
        let (to, schema) = (File::create(&path).unwrap(), Arc::clone(from.schema()));
        let mut to = ArrowWriter::try_new(to, schema, Some(says)).unwrap();
        from.build().unwrap().for_each(|batch| to.write(&batch.unwrap()).unwrap());
        to.close().unwrap();
        path
    }

    #[test]
    fn the_digest_of_a_file_without_a_seal_is_not_made_once_nobody_wants_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = without_seal(folder.path());
        let verify =
            |stopped| verify(&path, &Progress::until(Arc::new(AtomicBool::new(stopped)).into()));
        assert!(!seal::verify_all(&path, &Progress::default()).unwrap());
        assert!(verify(false).is_ok());
        assert!(matches!(verify(true), Err(ReplayError::Stopped)));
    }
}
