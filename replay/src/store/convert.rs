//! An archive becomes files of days: streamed, put in the order of its ids, written, read back, named.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use barflow_operators::batch::{Feed, IdKind, TradeBatch};
use barflow_operators::input_batch::{InputBatch, LeftOut, Reject, lines};
use barflow_operators::pool::BatchPool;
use barflow_operators::sequence::{Findings, Refused, Sequencer};
use jiff::civil::Date;

use super::audit::audit;
use super::claim::{self, Claim, Disagreement};
use super::days::{day_of, each, start_of};
use super::journal::{Conversion, Journal};
use super::layout;
use crate::checksum::{published_sum, sum_of};
use crate::error::ReplayError;
use crate::history::consistent;
use crate::naming;
use crate::plan::{FileKind, InstrumentPlan, PlanOptions};
use crate::progress::Progress;
use crate::read_options::ReadOptions;
use crate::recognise::recognise;
use crate::spool;
use crate::stream::{InstrumentStream, stores_quote};
use crate::trades_parquet::facts::{Facts, Origin};
use crate::trades_parquet::left_out::LeftOutIds;
use crate::trades_parquet::write::{TradeWriter, Unit, Unpublished, WriteOptions};

/// Rows per batch.
const BATCH_ROWS: usize = 8192;

/// How archives are converted.
#[derive(Clone, Debug)]
pub struct ConvertOptions {
    /// What the user says of the files.
    pub plan: PlanOptions,
    /// How many trades may wait for a missing id; one that comes later than that makes the archive
    /// unusable.
    pub reorder_window: usize,
    /// Convert archives again that were converted before.
    pub again: bool,
    /// How far reading has got.
    pub progress: Progress,
}

/// What became of an archive.
#[derive(Clone, Debug, PartialEq)]
pub enum ConvertOutcome {
    /// It was converted.
    Converted(Conversion),
    /// It was before.
    Already(Conversion),
}

impl ConvertOutcome {
    /// What the journal says of it.
    pub fn conversion(&self) -> &Conversion {
        let (Self::Converted(conversion) | Self::Already(conversion)) = self;
        conversion
    }
}

/// Converts one archive. Nothing has a name in the store before everything of the archive was found
/// valid, written and read back.
///
/// # Errors
/// When the archive is damaged, contains a row that is not a valid trade, or cannot be divided into
/// days; when the disk refuses.
pub fn convert(
    archive: &Path,
    store: &Path,
    options: &ConvertOptions,
    journal: &Mutex<Journal>,
) -> Result<ConvertOutcome, ReplayError> {
    let sum = checked_sum(archive, &options.progress)?;
    let known = lock(journal).find(&sum).cloned();
    if let Some(known) = known.filter(|_| !options.again)
        && is_there(store, &known, journal, &options.progress)?
    {
        options.progress.add_bytes(spool::length(archive).unwrap_or(0));
        return Ok(ConvertOutcome::Already(known));
    }
    let name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let origin = Origin { name: name.clone(), sha256: sum.clone() };
    let history = history_of(archive, &options.plan)?;
    let days = naming::read(archive).days;
    let split = Split {
        store: store.to_owned(),
        feed: Arc::clone(&history.feed),
        write: WriteOptions { with_quote: stores_quote(&history.files), unit: unit_of(&history) },
        origin: origin.clone(),
        days,
        current: None,
        left_out: LeftOutIds::default(),
        closed: Vec::new(),
    };
    let read = read(archive, history, options, split)?;
    let first_day = days.map(|days| days.0).or(read.files.first().map(|(day, _)| *day));
    let last_day = days.map(|days| days.1).or(read.files.last().map(|(day, _)| *day));
    let (Some(first_day), Some(last_day)) = (first_day, last_day) else {
        return Err(ReplayError::NothingToRead(format!("{} has no trades", archive.display())));
    };
    for (_, file) in &read.files {
        read_back(file, &options.progress)?;
    }
    // One archive at a time: another one may have the same days.
    let mut journal = lock(journal);
    let mut disagreements = Vec::new();
    for (day, file) in read.files {
        disagreements.extend(publish(day, file, &origin)?);
    }
    let conversion = Conversion {
        archive: name,
        sha256: sum,
        instrument: read.feed.instrument.to_string(),
        kind: layout::kind(read.feed.input).to_owned(),
        first_day,
        last_day,
        source_rows: read.source_rows,
        rows: read.rows,
        disagreements,
    };
    journal.note(conversion.clone())?;
    Ok(ConvertOutcome::Converted(conversion))
}

fn read_back(file: &Unpublished, progress: &Progress) -> Result<(), ReplayError> {
    let found = audit(file.unfinished(), progress)?;
    if (found.rows, found.digest) == (file.rows, file.digest) {
        return Ok(());
    }
    let words = |rows: u64, digest: u64| format!("{rows} trades, digest {digest:016x}");
    let (expected, found) = (words(file.rows, file.digest), words(found.rows, found.digest));
    Err(ReplayError::corrupt(file.unfinished(), "read back", expected, found))
}

/// Gives the file of a day its name, unless the file that has it is the one to use.
fn publish(
    day: Date,
    file: Unpublished,
    origin: &Origin,
) -> Result<Option<Disagreement>, ReplayError> {
    let here = Claim {
        archive: origin.name.clone(),
        sha256: origin.sha256.clone(),
        rows: file.rows,
        digest: Some(claim::hex(file.digest)),
    };
    // A damaged file is replaced.
    let there = Facts::read(file.path()).ok();
    let there = there.as_ref().and_then(Claim::of_file);
    let Some(there) = there.filter(|there| there.sha256 != here.sha256) else {
        file.publish()?;
        return Ok(None);
    };
    if there.is_before(&here) {
        return Ok(Disagreement::of(day, &there, &here));
    }
    file.publish()?;
    Ok(Disagreement::of(day, &here, &there))
}

fn lock(journal: &Mutex<Journal>) -> std::sync::MutexGuard<'_, Journal> {
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The checksum, held against the published one.
fn checked_sum(archive: &Path, progress: &Progress) -> Result<String, ReplayError> {
    let found = sum_of(archive, progress)?;
    match published_sum(archive)? {
        Some((checksum_file, expected)) if expected != found => {
            let path = archive.to_owned();
            Err(ReplayError::Checksum { path, checksum_file, expected, found })
        }
        _ => Ok(found),
    }
}

/// Whether some file covers each day that the archive gave trades to: its own, its month's or its
/// year's. Of each the footer is read and held against the journal; that finds a file that was cut, emptied or
/// exchanged, and not a changed byte amid its trades, which only reading all of it does. The day of a damaged
/// file is not there, and is written anew.
///
/// # Errors
/// When a file of several archives is damaged: one of them does not make it anew; [`ReplayError::Stopped`].
fn is_there(
    store: &Path,
    conversion: &Conversion,
    journal: &Mutex<Journal>,
    progress: &Progress,
) -> Result<bool, ReplayError> {
    let Some(folder) = layout::folder_of(store, conversion) else { return Ok(false) };
    let symbol = conversion.instrument.rsplit(':').next().unwrap_or_default();
    let find = |(first, last)| {
        let period = layout::period(first, last);
        let path = folder.join(format!("{symbol}-{}-{period}.parquet", conversion.kind));
        path.exists().then_some(path)
    };
    // An archive of a month without any trade on some day has no file for it.
    let is_long = conversion.first_day != conversion.last_day;
    let mut any = false;
    for day in each(conversion.first_day, conversion.last_day) {
        if progress.is_stopped() {
            return Err(ReplayError::Stopped);
        }
        let merged = [
            (day.first_of_month(), day.last_of_month()),
            (day.first_of_year(), day.last_of_year()),
        ];
        let of_day = find((day, day));
        let is_own = of_day.is_some();
        match of_day.or_else(|| merged.into_iter().find_map(find)) {
            None if is_long => {}
            None => return Ok(false),
            Some(path) => {
                let facts = Facts::read(&path);
                match facts.and_then(|facts| lock(journal).agrees(&facts)) {
                    Ok(()) => any = true,
                    Err(error @ ReplayError::Io { .. }) => return Err(error),
                    Err(_) if is_own => return Ok(false),
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(any)
}

fn history_of(archive: &Path, options: &PlanOptions) -> Result<InstrumentPlan, ReplayError> {
    let recognised = recognise(archive, options)?;
    let history = match (recognised.trades, recognised.empty) {
        (Some((feed, file)), _) => InstrumentPlan { feed: Arc::new(feed), files: vec![file] },
        // A day without trades.
        (None, Some(feed)) => InstrumentPlan { feed: Arc::new(feed), files: Vec::new() },
        (None, None) => {
            let text = format!(
                "{} has no trades, and its name does not contain the instrument and \
                                the days without them",
                archive.display()
            );
            return Err(ReplayError::NothingToRead(text));
        }
    };
    if history.feed.ids == IdKind::Ordinal {
        let reason = "its rows have no ids, so a store cannot hold it; keep such a history with \
                      `barflow replay --sink-trades`";
        return Err(ReplayError::layout(archive, reason));
    }
    consistent(&history, &options.stop)?;
    Ok(history)
}

fn unit_of(history: &InstrumentPlan) -> Unit {
    let coarse = |kind: &FileKind| match kind {
        FileKind::Rows(format) | FileKind::Table(format) => format.unit % 1000 == 0,
        FileKind::Parquet => false,
    };
    match history.files.iter().all(|file| coarse(&file.kind)) {
        true => Unit::Microseconds,
        false => Unit::Nanoseconds,
    }
}

/// What reading an archive came to.
struct ReadArchive {
    feed: Arc<Feed>,
    files: Vec<(Date, Unpublished)>,
    source_rows: u64,
    rows: u64,
}

fn read(
    archive: &Path,
    history: InstrumentPlan,
    options: &ConvertOptions,
    mut split: Split,
) -> Result<ReadArchive, ReplayError> {
    let feed = Arc::clone(&history.feed);
    let pool = BatchPool::new(BATCH_ROWS, 32);
    // Checksum and CRC are checked anyhow: the one before, the other while reading, and nothing has its
    // name until all was read.
    let read = ReadOptions {
        pool: pool.clone(),
        verify: false,
        progress: options.progress.clone(),
        ..ReadOptions::new(BATCH_ROWS)
    };
    let mut order = Sequencer::new(options.reorder_window);
    let mut source_rows = 0;
    for input_batch in InstrumentStream::open(history, read)? {
        let input_batch = input_batch?;
        if let Some(reject) = input_batch.rejects.first() {
            return Err(bad_row(archive, reject));
        }
        source_rows += input_batch.trades.len() as u64;
        let InputBatch { trades, rejects, left_out, start, places, .. } = input_batch;
        let lines = lines(&start, &rejects, &left_out, &places);
        let mut findings = Findings::default();
        let batch = order.on_rows(trades, &left_out, lines.clone(), &pool, &mut findings);
        if let Some(late) = findings.late.first() {
            let (line, id) = (lines.of(late.row).line, late.trade.trade_id);
            let found = format!("trade {id} far out of order at line {line}");
            return Err(ReplayError::corrupt(archive, "order of its ids", "increasing ids", found));
        }
        no_refused(archive, &findings)?;
        split.take(&batch, &pool)?;
        split.leave_out(&left_out);
        pool.give_back(batch);
    }
    let mut rest = TradeBatch::with_capacity(Arc::clone(&feed), 0);
    let mut findings = Findings::default();
    order.flush(&mut rest, &mut findings);
    no_refused(archive, &findings)?;
    split.take(&rest, &pool)?;
    // All of them may have waited until now for a day to begin.
    split.leave_out(&[]);
    let files = split.finish(source_rows)?;
    let rows = files.iter().map(|(_, file)| file.rows).sum();
    Ok(ReadArchive { feed, files, source_rows, rows })
}

/// A store holds what the rows say only if none of them contradicts another.
fn no_refused(archive: &Path, findings: &Findings) -> Result<(), ReplayError> {
    let Some(refused) = findings.refused.first() else { return Ok(()) };
    let Refused { trade, place, why, .. } = refused;
    let line = place.as_ref().map_or_else(String::new, |at| format!("line {}, ", at.line));
    let what = format!("{line}field \"{}\"", why.field());
    let found = format!("\"{}\" ({})", why.value(trade), refused.reason());
    Err(ReplayError::corrupt(archive, what, "a valid trade", found))
}

fn bad_row(archive: &Path, reject: &Reject) -> ReplayError {
    let what = format!("line {}, field \"{}\"", reject.line, reject.field);
    ReplayError::corrupt(
        archive,
        what,
        "a valid trade",
        format!("\"{}\" ({})", reject.value, reject.reason),
    )
}

/// Cuts trades at midnight.
struct Split {
    store: PathBuf,
    feed: Arc<Feed>,
    write: WriteOptions,
    origin: Origin,
    /// The days that the archive is about: what lies outside goes to the first or last of them, where
    /// `barflow quality` sees it.
    days: Option<(Date, Date)>,
    current: Option<Day>,
    /// Rows that are not trades before the first day has begun.
    left_out: LeftOutIds,
    closed: Vec<(Date, TradeWriter)>,
}

struct Day {
    date: Date,
    writer: TradeWriter,
    /// First time of the next day, ns; never for the archive's last day.
    until: i64,
}

impl Split {
    /// Rows that are not trades go to the day that is being written: only their ids matter.
    fn leave_out(&mut self, rows: &[LeftOut]) {
        rows.iter().for_each(|row| self.left_out.add(row));
        if let Some(current) = &mut self.current {
            current.writer.leave_out(&std::mem::take(&mut self.left_out));
        }
    }

    fn take(&mut self, batch: &TradeBatch, pool: &BatchPool) -> Result<(), ReplayError> {
        let Some(first) = batch.event_time.first() else { return Ok(()) };
        if self.current.is_none() {
            self.current = Some(self.begin(day_of(*first))?);
        }
        let mut from = 0;
        while let Some(current) = &mut self.current {
            let times = &batch.event_time[from..];
            let Some(next) = times.iter().position(|time| *time >= current.until) else {
                if from == 0 {
                    current.writer.write(batch)?;
                } else {
                    write_part(current, batch, from..batch.len(), pool)?;
                }
                break;
            };
            write_part(current, batch, from..from + next, pool)?;
            from += next;
            let day = self.begin(day_of(batch.event_time[from]))?;
            let ended = self.current.replace(day);
            self.closed.extend(ended.map(|day| (day.date, day.writer)));
        }
        Ok(())
    }

    fn begin(&self, day: Date) -> Result<Day, ReplayError> {
        let date = self.days.map_or(day, |(first, last)| day.clamp(first, last));
        let path = layout::file(&self.store, &self.feed, date, date);
        let month = (date.first_of_month(), date.last_of_month());
        let year = (date.first_of_year(), date.last_of_year());
        for (first, last) in [month, year] {
            let longer = layout::file(&self.store, &self.feed, first, last);
            if longer.exists() {
                let text = format!(
                    "{} already covers {date} from other archives; remove it, and convert its \
                     archives and {} again",
                    longer.display(),
                    self.origin.name
                );
                return Err(ReplayError::Mixed(text));
            }
        }
        layout::check_folders(&self.store, &path)?;
        let mut writer = TradeWriter::create(&path, &self.feed, self.write.clone())?;
        // Plain data always has a JSON form.
        writer.note("sources", serde_json::to_string(&[&self.origin]).unwrap_or_default());
        writer.note("days", format!("{date}/{date}"));
        let is_last = self.days.is_some_and(|(_, last)| date == last);
        let until = date.tomorrow().ok().filter(|_| !is_last).map_or(i64::MAX, start_of);
        Ok(Day { date, writer, until })
    }

    fn finish(mut self, source_rows: u64) -> Result<Vec<(Date, Unpublished)>, ReplayError> {
        let last = self.current.take().map(|day| (day.date, day.writer));
        self.closed.extend(last);
        if self.closed.is_empty()
            && let Some((first, last)) = self.days
        {
            // That there were no trades is known as well.
            let nothing_yet =
                |day: &Date| !layout::file(&self.store, &self.feed, *day, *day).exists();
            for day in each(first, last).filter(nothing_yet) {
                let day = self.begin(day)?;
                self.closed.push((day.date, day.writer));
            }
        }
        if let [(_, writer)] = &mut self.closed[..] {
            writer.note("source_rows", source_rows.to_string());
        }
        self.closed.into_iter().map(|(date, writer)| Ok((date, writer.close()?))).collect()
    }
}

fn write_part(
    day: &mut Day,
    batch: &TradeBatch,
    rows: std::ops::Range<usize>,
    pool: &BatchPool,
) -> Result<(), ReplayError> {
    let mut part = pool.take(&batch.feed);
    rows.for_each(|row| part.push(&batch.trade(row)));
    day.writer.write(&part)?;
    pool.give_back(Arc::new(part));
    Ok(())
}
