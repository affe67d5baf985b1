//! Is a file what it says? Everything is read back and counted again.

use std::path::Path;
use std::sync::Arc;

use crate::error::ReplayError;
use crate::progress::Progress;
use crate::read_options::ReadOptions;
use crate::trades_parquet::digest::ColumnDigest;
use crate::trades_parquet::facts::Facts;
use crate::trades_parquet::read::{Footer, ParquetTrades};
use crate::trades_parquet::seal;

/// Rows decoded at a time.
const BATCH_ROWS: usize = 8192;

/// What was counted in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Trades.
    pub rows: u64,
    /// First and last id.
    pub ids: Option<(u64, u64)>,
    /// See [`ColumnDigest`].
    pub digest: u64,
}

/// Reads a file and holds it against what its own metadata says.
///
/// # Errors
/// When it differs, or cannot be read; [`ReplayError::Stopped`].
pub fn audit(path: &Path, progress: &Progress) -> Result<Counted, ReplayError> {
    seal::verify_all(path, progress)?;
    let facts = Facts::read(path)?;
    let counted = count(path, &facts, progress)?;
    let wrong = |what: &str, expected: String, found: String| {
        Err(ReplayError::corrupt(path, what, expected, found))
    };
    if counted.rows != facts.rows {
        return wrong("rows", facts.rows.to_string(), counted.rows.to_string());
    }
    let ids = facts.first.zip(facts.last).map(|(first, last)| (first.0, last.0));
    if counted.ids != ids {
        return wrong("ids", format!("{ids:?}"), format!("{:?}", counted.ids));
    }
    if let Some(digest) = facts.digest.filter(|digest| *digest != counted.digest) {
        let (expected, found) = (format!("{digest:016x}"), format!("{:016x}", counted.digest));
        return wrong("digest of its trades", expected, found);
    }
    Ok(counted)
}

fn count(path: &Path, facts: &Facts, progress: &Progress) -> Result<Counted, ReplayError> {
    let footer = Footer::read(path)?;
    let groups = footer.group_rows().len();
    let feed = Arc::new(facts.feed.clone());
    let options = ReadOptions::new(BATCH_ROWS);
    let mut trades = ParquetTrades::open_groups(path, &footer, feed, 0..groups, 0, &options)?;
    let mut counted = Counted::default();
    let mut digest = ColumnDigest::default();
    while let Some(input_batch) = trades.next_batch()? {
        if progress.is_stopped() {
            return Err(ReplayError::Stopped);
        }
        let batch = input_batch.trades;
        digest.add(&batch);
        counted.rows += batch.len() as u64;
        let before = counted.ids.map(|(_, last)| last);
        let rises = before.into_iter().chain(batch.trade_id.iter().copied()).is_sorted();
        if !rises {
            let (what, expected) = ("order of its trades", "increasing ids");
            return Err(ReplayError::corrupt(path, what, expected, "decreasing ids"));
        }
        if let (Some(first), Some(last)) = (batch.trade_id.first(), batch.trade_id.last()) {
            counted.ids = Some((counted.ids.map_or(*first, |(first, _)| first), *last));
        }
        options.pool.give_back(Arc::new(batch));
    }
    counted.digest = digest.value();
    Ok(counted)
}
