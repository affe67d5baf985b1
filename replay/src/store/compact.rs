//! Files of days become files of months and years: fewer to open, the same trades.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use barflow_operators::batch::Feed;
use jiff::civil::Date;

use super::audit::audit;
use super::days::count;
use super::layout;
use super::series::{Series, days, range};
use crate::error::ReplayError;
use crate::progress::Progress;
use crate::read_options::ReadOptions;
use crate::trades_parquet::facts::Facts;
use crate::trades_parquet::read::{Footer, ParquetTrades};
use crate::trades_parquet::verify::verify;
use crate::trades_parquet::write::{TradeWriter, Unit, WriteOptions};

/// Rows per batch.
const BATCH_ROWS: usize = 8192;

/// Files that are to become one.
#[derive(Clone, Debug, PartialEq)]
pub struct Merge {
    /// First day.
    pub first: Date,
    /// Last day.
    pub last: Date,
    /// The files, in order.
    pub files: Vec<Facts>,
}

impl Merge {
    /// Bytes that are read.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|facts| facts.bytes).sum()
    }
}

/// What is to be done to a series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CompactPlan {
    /// Merges; none overlaps another.
    pub merges: Vec<Merge>,
    /// Months that are not whole, in words.
    pub remarks: Vec<String>,
}

/// Whole years, else whole months, of which all days are there and whose files together take at most
/// `target` bytes.
pub fn plan(series: &Series, target: u64) -> CompactPlan {
    let mut plan = CompactPlan::default();
    let Some((first, last)) = series.span() else { return plan };
    let whole = |from: Date, to: Date| -> Option<Merge> {
        let inside = |file: &&Facts| days(file).is_some_and(|(a, b)| from <= a && b <= to);
        let files: Vec<Facts> = series.files.iter().filter(inside).cloned().collect();
        let held: usize = files.iter().filter_map(days).map(|(a, b)| count(a, b)).sum();
        let merge = Merge { first: from, last: to, files };
        (held == count(from, to)).then_some(merge)
    };
    let fits = |merge: &Merge| merge.files.len() > 1 && merge.bytes() <= target;
    let mut year = first.first_of_year();
    while year <= last {
        if let Some(merge) = whole(year, year.last_of_year()).filter(fits) {
            plan.merges.push(merge);
        } else {
            for month in (1..=12).filter_map(|month| Date::new(year.year(), month, 1).ok()) {
                let end = month.last_of_month();
                if end < first || month > last {
                    continue;
                }
                match whole(month, end) {
                    Some(merge) => plan.merges.extend(Some(merge).filter(fits)),
                    None => {
                        let name = layout::period(month, end);
                        let instrument = &series.feed.instrument;
                        plan.remarks
                            .push(format!("{instrument}: {name} has missing days; not merged"));
                    }
                }
            }
        }
        let Ok(next) = Date::new(year.year() + 1, 1, 1) else { break };
        year = next;
    }
    plan
}

/// Whether a file's ids begin after those of the file before it.
fn follows(before: Option<&Facts>, file: &Facts) -> Result<(), ReplayError> {
    let ids = before.and_then(|before| Some((before.last?.0, file.first?.0)));
    if let (Some((last, first)), Some(before)) = (ids, before)
        && first <= last
    {
        let found = format!("trade {first}, and trade {last} in {}", before.path.display());
        let expected = "ids after the previous day";
        return Err(ReplayError::corrupt(&file.path, "first id", expected, found));
    }
    Ok(())
}

/// Writes the trades of these files one after the other.
fn copy(
    merge: &Merge,
    footers: &[Footer],
    feed: &Arc<Feed>,
    writer: &mut TradeWriter,
    progress: &Progress,
) -> Result<(), ReplayError> {
    let read = ReadOptions::new(BATCH_ROWS);
    let mut before: Option<&Facts> = None;
    for (file, footer) in merge.files.iter().zip(footers) {
        follows(before, file)?;
        writer.leave_out(&footer.left_out(&file.path)?);
        let (feed, groups) = (Arc::clone(feed), 0..footer.group_rows().len());
        let mut trades = ParquetTrades::open_groups(&file.path, footer, feed, groups, 0, &read)?;
        while let Some(input_batch) = trades.next_batch()? {
            if progress.is_stopped() {
                return Err(ReplayError::Stopped);
            }
            writer.write(&input_batch.trades)?;
            read.pool.give_back(Arc::new(input_batch.trades));
        }
        before = Some(file);
    }
    Ok(())
}

/// Makes one file of several, reads it back, gives it its name, and removes the others. Cut short, it
/// leaves either the old files or the new one, and perhaps old ones that are not used any more.
///
/// # Errors
/// When the files overlap or are damaged, or the disk refuses; [`ReplayError::Stopped`].
pub fn merge(
    store: &Path,
    series: &Series,
    merge: &Merge,
    progress: &Progress,
) -> Result<PathBuf, ReplayError> {
    let feed = Arc::new(series.feed.clone());
    let path = layout::file(store, &feed, merge.first, merge.last);
    layout::check_folders(store, &path)?;
    let mut footers = Vec::new();
    for file in &merge.files {
        // What is damaged would get a digest of its own, and the file that shows it would be removed.
        verify(&file.path, progress)?;
        footers.push(Footer::read(&file.path)?);
    }
    let unit = match footers.iter().all(|footer| footer.unit() == Unit::Microseconds) {
        true => Unit::Microseconds,
        false => Unit::Nanoseconds,
    };
    let with_quote = footers.iter().any(Footer::with_quote);
    let mut writer = TradeWriter::create(&path, &feed, WriteOptions { with_quote, unit })?;
    copy(merge, &footers, &feed, &mut writer, progress)?;
    let sources: Vec<_> = merge.files.iter().flat_map(|file| &file.sources).collect();
    // Plain data always has a JSON form.
    writer.note("sources", serde_json::to_string(&sources).unwrap_or_default());
    writer.note("days", format!("{}/{}", merge.first, merge.last));
    let source_rows = merge.files.iter().map(|file| file.source_rows).sum::<Option<u64>>();
    if let Some(rows) = source_rows {
        writer.note("source_rows", rows.to_string());
    }
    let rows: u64 = merge.files.iter().map(|file| file.rows).sum();
    let made = writer.close()?;
    let found = audit(made.unfinished(), progress)?;
    if (found.rows, found.digest, made.rows) != (rows, made.digest, rows) {
        let days = range(&(merge.first, merge.last));
        let expected = format!("{rows} trades of {days}");
        return Err(ReplayError::corrupt(
            &path,
            "read back",
            expected,
            format!("{} trades", found.rows),
        ));
    }
    let path = made.publish()?;
    for file in merge.files.iter().filter(|file| file.path != path) {
        layout::remove(store, &file.path)?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::trades_parquet::write::five_trades;

    #[test]
    fn a_merge_that_is_stopped_copies_no_further() {
        let folder = tempfile::tempdir().unwrap();
        let (day_file, feed) = five_trades(&folder.path().join("day.parquet"));
        let facts = Facts::read(&day_file).unwrap();
        let footers = [Footer::read(&facts.path).unwrap()];
        let day = Date::constant(2024, 3, 1);
        let merge = Merge { first: day, last: day, files: vec![facts] };
        for (stopped, rows) in [(true, 0), (false, 5)] {
            let path = folder.path().join("month.parquet");
            let mut writer = TradeWriter::create(&path, &feed, WriteOptions::default()).unwrap();
            let progress = Progress::until(Arc::new(AtomicBool::new(stopped)).into());
            let copied = copy(&merge, &footers, &feed, &mut writer, &progress);
            let is_stopped = matches!(copied, Err(ReplayError::Stopped));
            assert_eq!((is_stopped, writer.rows()), (stopped, rows), "{copied:?}");
        }
    }
}
