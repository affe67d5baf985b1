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
