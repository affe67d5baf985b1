//! Reading trades back.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float64Type, Int8Type, TimestampMicrosecondType, TimestampNanosecondType, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use barflow_operators::batch::{Feed, TradeBatch};
use barflow_operators::input_batch::InputBatch;
use barflow_operators::pool::BatchPool;
use barflow_operators::position::{FilePosition, Position};
use barflow_operators::trade::Aggressor;
use barflow_operators::validation;
use crossbeam::channel::{Receiver, bounded};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, RowSelection, RowSelector,
};
use parquet::file::metadata::FileMetaData;

use super::layout::COLUMNS;
use super::left_out::{self, Interleave, LeftOutIds};
use super::write::Unit;
use super::{FEED_KEY, VERSION, VERSION_KEY, seal};
use crate::error::ReplayError;
use crate::parquet_guard::{Builder, GuardedBatches};
use crate::read_options::ReadOptions;
use crate::spool;
use crate::wanted_end::WantedEnd;

/// What a file says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// What its trades have in common.
    pub feed: Feed,
    /// Event time of its first trade, ns; none if it has no trades.
    pub first_time: Option<i64>,
    /// Whether it has a seal, which then is right.
    pub is_sealed: bool,
}

/// Who decodes.
enum Batches {
    /// A thread of its own, a few batches ahead.
    Ahead(Receiver<Decoded>, JoinHandle<()>),
    /// The caller.
    Here(Box<GuardedBatches>),
    /// Nobody any more.
    Done,
}

/// What a thread that decodes says.
enum Decoded {
    Batch(RecordBatch),
    Failed(String),
    /// All was read. A thread that is gone without having said so has panicked.
    End,
}

/// Batches decoded ahead.
const AHEAD: usize = 4;

/// Reads a file's metadata.
///
/// # Errors
/// When it is not a trades file of barflow.
pub fn head(path: &Path) -> Result<Head, ReplayError> {
    let footer = Footer::read(path)?;
    let metadata = footer.file_metadata();
    let feed = feed_of(path, metadata)?;
    let first_time = note(metadata, "barflow.first_event_time").and_then(|text| text.parse().ok());
    if first_time.is_none() && metadata.num_rows() > 0 {
        let expected = "the time of the first trade";
        return Err(ReplayError::corrupt(path, "barflow.first_event_time", expected, "none"));
    }
    let is_sealed = note(metadata, seal::KEY).is_some();
    Ok(Head { feed, first_time, is_sealed })
}

/// Whether a file says that barflow has written it.
///
/// # Errors
/// When its footer cannot be read.
pub fn is_own(path: &Path) -> Result<bool, ReplayError> {
    let footer = Footer::read(path)?;
    let pairs = footer.file_metadata().key_value_metadata();
    // Any of them: with a damaged version it is still not another writer's.
    Ok(pairs.is_some_and(|pairs| pairs.iter().any(|pair| pair.key.starts_with("barflow."))))
}

fn note(metadata: &FileMetaData, key: &str) -> Option<String> {
    let pairs = metadata.key_value_metadata()?;
    pairs.iter().find(|pair| pair.key == key)?.value.clone()
}

/// What the trades of a file have in common.
pub(super) fn feed_of(path: &Path, metadata: &FileMetaData) -> Result<Feed, ReplayError> {
    match note(metadata, VERSION_KEY) {
        Some(version) if version == VERSION => {}
        Some(version) => {
            let expected = format!("the layout version {VERSION}, which this barflow reads");
            return Err(ReplayError::corrupt(path, VERSION_KEY, expected, version));
        }
        None => {
            let reason = "it is a Parquet file, but not one of barflow's trades (write those with \
                          `barflow convert` or --sink-trades)";
            return Err(ReplayError::layout(path, reason));
        }
    }
    let feed = note(metadata, FEED_KEY)
        .ok_or_else(|| "none".to_owned())
        .and_then(|text| serde_json::from_str(&text).map_err(|error| format!("{error}: {text}")));
    feed.map_err(|found| ReplayError::corrupt(path, FEED_KEY, "the feed as JSON", found))
}

/// Rows that were not trades, by what a file says.
fn left_out(path: &Path, metadata: &FileMetaData) -> Result<LeftOutIds, ReplayError> {
    let key = format!("barflow.{}", left_out::KEY);
    let Some(text) = note(metadata, &key) else { return Ok(LeftOutIds::default()) };
    LeftOutIds::parse(&text)
        .map_err(|found| ReplayError::corrupt(path, key, "ranges of ids as JSON", found))
}

/// A file's footer, read once for all readers of its row groups.
#[derive(Clone, Debug)]
pub struct Footer(ArrowReaderMetadata);

impl Footer {
    /// Reads it.
    ///
    /// # Errors
    /// When the file cannot be opened or its footer is damaged.
    pub fn read(path: &Path) -> Result<Self, ReplayError> {
        let mut file = spool::open(path).map_err(|e| ReplayError::io("open", path, e))?;
        seal::verify_footer(path, &mut file)?;
        let read = crate::parquet_footer::read(&file, ArrowReaderOptions::default());
        read.map(Self).map_err(|e| bad_footer(path, &e))
    }

    /// What the file says of itself.
    pub fn file_metadata(&self) -> &FileMetaData {
        self.0.metadata().file_metadata()
    }

    /// Rows that were not trades when the file was written.
    ///
    /// # Errors
    /// When the footer has something else in their place.
    pub fn left_out(&self, path: &Path) -> Result<LeftOutIds, ReplayError> {
        left_out(path, self.file_metadata())
    }

    /// The columns of trades, and no others that a file may have.
    fn columns(&self, path: &Path) -> Result<ProjectionMask, ReplayError> {
        let schema = self.0.schema();
        let mut columns = Vec::new();
        for (name, is_written) in COLUMNS {
            let Some((at, field)) = schema.column_with_name(name) else { continue };
            if !is_written(field.data_type()) {
                return Err(other_column(path, name));
            }
            columns.push(at);
        }
        Ok(ProjectionMask::roots(self.file_metadata().schema_descr(), columns))
    }

    /// A reader of the trades that are chosen, the first of which is in row `from_row`.
    fn batches(
        &self,
        path: &Path,
        from_row: u64,
        choose: impl FnOnce(Builder) -> Builder,
    ) -> Result<GuardedBatches, ReplayError> {
        let file = spool::open(path).map_err(|e| ReplayError::io("open", path, e))?;
        let columns = self.columns(path)?;
        let batches = GuardedBatches::open(file, self.0.clone(), columns, choose);
        batches.map_err(|error| damaged(path, from_row, &error))
    }

    /// Unit of its times.
    pub fn unit(&self) -> Unit {
        let time = self.0.schema().field_with_name("event_time").map(|field| field.data_type());
        match time {
            Ok(DataType::Timestamp(TimeUnit::Microsecond, _)) => Unit::Microseconds,
            _ => Unit::Nanoseconds,
        }
    }

    /// Whether the quote value is a column of its own.
    pub fn with_quote(&self) -> bool {
        self.0.schema().field_with_name("quote").is_ok()
    }

    /// Rows of each row group.
    pub fn group_rows(&self) -> Vec<u64> {
        let groups = self.0.metadata().row_groups().iter();
        groups.map(|group| group.num_rows().max(0) as u64).collect()
    }
}

fn bad_footer(path: &Path, found: &str) -> ReplayError {
    ReplayError::undecoded(path, "Parquet footer", "a complete Parquet file", found)
}

/// Trades of one file.
pub struct ParquetTrades {
    path: PathBuf,
    batches: Batches,
    feed: Arc<Feed>,
    pool: BatchPool,
    from: i64,
    to: i64,
    to_may_move: bool,
    wanted_end: WantedEnd,
    at: FilePosition,
    /// The row after the last, by the footer.
    end: u64,
    left_out: Interleave,
    /// Whether rows after the last trade are told: all of the file is wanted, and its end is read.
    tells_rest: bool,
}

impl ParquetTrades {
    /// Starts to decode at row `from_row`.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(
        path: &Path,
        feed: Arc<Feed>,
        from_row: u64,
        options: &ReadOptions,
    ) -> Result<Self, ReplayError> {
        let footer = Footer::read(path)?;
        let rows = footer.file_metadata().num_rows().max(0) as u64;
        let left_out = (Interleave::new(footer.left_out(path)?, from_row > 0), true);
        let skip = from_row.min(rows) as usize;
        let selection = RowSelection::from(vec![
            RowSelector::skip(skip),
            RowSelector::select(rows as usize - skip),
        ]);
        let reader = footer.batches(path, from_row, |builder| {
            let builder = builder.with_batch_size(options.batch_rows);
            if skip > 0 { builder.with_row_selection(selection) } else { builder }
        })?;
        let (send, batches) = bounded(AHEAD);
        let bytes = spool::length(path).unwrap_or(0);
        let progress = options.progress.clone();
        let decoding = thread::Builder::new()
            .name("decode".to_owned())
            .spawn(move || {
                let mut done = 0;
                for batch in reader {
                    let batch = match batch {
                        Ok(batch) => batch,
                        Err(error) => {
                            let _ = send.send(Decoded::Failed(error));
                            return;
                        }
                    };
                    let share = bytes * batch.num_rows() as u64 / rows.max(1);
                    progress.add_bytes(share);
                    done += share;
                    if send.send(Decoded::Batch(batch)).is_err() {
                        return;
                    }
                }
                progress.add_bytes(bytes.saturating_sub(done));
                // Nobody listens any more if the stream was dropped.
                let _ = send.send(Decoded::End);
            })
            .map_err(|e| ReplayError::io("start a thread to decode", path, e))?;
        let batches = Batches::Ahead(batches, decoding);
        Ok(Self::new(path, batches, feed, from_row..rows, left_out, options))
    }

    /// The trades of these row groups, the first of which begins at row `from_row`, decoded by
    /// the thread that asks for them.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open_groups(
        path: &Path,
        footer: &Footer,
        feed: Arc<Feed>,
        groups: Range<usize>,
        from_row: u64,
        options: &ReadOptions,
    ) -> Result<Self, ReplayError> {
        let reader = footer.batches(path, from_row, |builder| {
            builder.with_batch_size(options.batch_rows).with_row_groups(groups.clone().collect())
        })?;
        let all = footer.group_rows();
        let ends_file = groups.end >= all.len();
        let rows = groups.filter_map(|group| all.get(group)).copied().fold(0, u64::saturating_add);
        let rows = from_row..from_row.saturating_add(rows);
        let left_out = (Interleave::new(footer.left_out(path)?, from_row > 0), ends_file);
        Ok(Self::new(path, Batches::Here(Box::new(reader)), feed, rows, left_out, options))
    }

    fn new(
        path: &Path,
        batches: Batches,
        feed: Arc<Feed>,
        rows: Range<u64>,
        (left_out, ends_file): (Interleave, bool),
        options: &ReadOptions,
    ) -> Self {
        let from_row = rows.start;
        let source: Arc<str> = path.display().to_string().into();
        Self {
            path: path.to_owned(),
            batches,
            feed,
            pool: options.pool.clone(),
            from: options.from.unwrap_or(i64::MIN),
            to: options.to.unwrap_or(i64::MAX),
            to_may_move: options.to_may_move,
            wanted_end: WantedEnd::default(),
            end: rows.end.max(rows.start),
            left_out,
            tells_rest: ends_file && options.from.is_none() && options.to.is_none(),
            at: FilePosition { byte: from_row, line: from_row + 1, ..FilePosition::start(source) },
        }
    }

    /// The next input batch; None at the file's end.
    ///
    /// # Errors
    /// When the file is damaged or contains values that no valid trade can have.
    pub fn next_batch(&mut self) -> Result<Option<InputBatch>, ReplayError> {
        let decoded = match &mut self.batches {
            Batches::Ahead(batches, _) => match batches.recv() {
                Ok(decoded) => decoded,
                Err(_) => return Err(ReplayError::decoder_crashed(&self.path)),
            },
            Batches::Here(reader) => match reader.next() {
                Some(Ok(batch)) => Decoded::Batch(batch),
                Some(Err(error)) => Decoded::Failed(error),
                None => Decoded::End,
            },
            Batches::Done => return Ok(None),
        };
        let batch = match decoded {
            Decoded::Batch(batch) => batch,
            Decoded::Failed(error) => return Err(damaged(&self.path, self.at.byte, &error)),
            Decoded::End if self.at.byte == self.end => {
                self.batches = Batches::Done;
                return Ok(self.after_last());
            }
            Decoded::End => {
                let (expected, found) = (self.end.to_string(), self.at.byte.to_string());
                return Err(ReplayError::corrupt(&self.path, "number of rows", expected, found));
            }
        };
        let start = Position::File(self.at.clone());
        let mut trades = self.pool.take(&self.feed);
        fill(&mut trades, &batch).map_err(|column| other_column(&self.path, column))?;
        self.check(&trades)?;
        self.at.byte += batch.num_rows() as u64;
        self.at.line += batch.num_rows() as u64;
        if let Some(last) = trades.trade_id.last() {
            self.at.trade_id = Some(*last);
        }
        let mut left_out = self.left_out.among(&trades, self.at.line - trades.len() as u64);
        let inside = |time: &i64| (self.from..self.to).contains(time);
        if self.to_may_move {
            let times = &trades.event_time;
            let wanted = |times: &[i64]| times.iter().filter(|time| inside(time)).count();
            let behind = times.iter().position(|time| *time >= self.to);
            let before = behind.map(|behind| wanted(&times[..behind]));
            self.wanted_end.check(&self.path, wanted(times), before)?;
        }
        if !trades.event_time.iter().all(inside) {
            let mut kept = self.pool.take(&self.feed);
            for trade in trades.iter().filter(|trade| inside(&trade.event_time)) {
                kept.push(&trade);
            }
            // They have no time: those between wanted trades are wanted.
            let (first, last) = (kept.trade_id.first(), kept.trade_id.last());
            left_out.retain(|row| row.id.as_ref() > first && row.id.as_ref() < last);
            for row in &mut left_out {
                let id = row.id.unwrap_or_default();
                row.row = kept.trade_id.partition_point(|trade| *trade < id) as u32;
            }
            self.pool.give_back(Arc::new(std::mem::replace(&mut trades, kept)));
        }
        let batch = InputBatch::new(trades, Vec::new(), start, self.at.clone().into());
        Ok(Some(InputBatch { left_out, ..batch }))
    }

    /// Rows that were not trades after the last trade of the file.
    fn after_last(&mut self) -> Option<InputBatch> {
        let left_out = self.left_out.rest(self.at.line);
        if !self.tells_rest || left_out.is_empty() {
            return None;
        }
        let (at, trades) = (Position::File(self.at.clone()), self.pool.take(&self.feed));
        Some(InputBatch { left_out, ..InputBatch::new(trades, Vec::new(), at.clone(), at) })
    }

    /// The writer writes only valid trades; anything else means that the file was changed.
    fn check(&self, trades: &TradeBatch) -> Result<(), ReplayError> {
        let rows = trades.price.iter().zip(&trades.qty).zip(&trades.quote).zip(&trades.event_time);
        let sound = rows.fold(true, |sound, (((price, qty), quote), time)| {
            sound & validation::check(*price, *qty, *quote, *time).is_ok()
        });
        let sound =
            trades.trade_id.iter().fold(sound, |sound, id| sound & (*id < validation::IDS_END));
        if sound {
            return Ok(());
        }
        let bad = (0..trades.len()).find_map(|row| {
            let t = trades.trade(row);
            let valid = validation::check(t.price, t.qty, t.quote, t.event_time);
            let defect = valid.and_then(|()| validation::check_id(t.trade_id)).err()?;
            Some((row as u64 + self.at.line, defect))
        });
        let (row, defect) = bad.map_or((self.at.line, "a field"), |(row, d)| (row, d.field));
        Err(ReplayError::corrupt(
            &self.path,
            format!("row {row}"),
            "a valid trade",
            format!("an impossible {defect}"),
        ))
    }
}

impl Drop for ParquetTrades {
    fn drop(&mut self) {
        let Batches::Ahead(batches, decoding) = std::mem::replace(&mut self.batches, Batches::Done)
        else {
            return;
        };
        // Closing the channel is what ends the decoder.
        drop(batches);
        let _ = decoding.join();
    }
}

fn other_column(path: &Path, column: &str) -> ReplayError {
    let expected = "the column types that barflow writes, without nulls";
    ReplayError::corrupt(path, format!("column \"{column}\""), expected, "others")
}

/// Copies columns; Err names the one that is not as written.
fn fill(trades: &mut TradeBatch, batch: &RecordBatch) -> Result<(), &'static str> {
    let column = |name: &'static str| {
        batch.column_by_name(name).filter(|column| column.null_count() == 0).ok_or(name)
    };
    let ids = column("trade_id")?.as_primitive_opt::<UInt64Type>().ok_or("trade_id")?;
    trades.trade_id.extend_from_slice(ids.values());
    let times = column("event_time")?;
    if let Some(times) = times.as_primitive_opt::<TimestampNanosecondType>() {
        trades.event_time.extend_from_slice(times.values());
    } else {
        let times = times.as_primitive_opt::<TimestampMicrosecondType>().ok_or("event_time")?;
        trades.event_time.extend(times.values().iter().map(|time| time.saturating_mul(1000)));
    }
    let prices = column("price")?.as_primitive_opt::<Float64Type>().ok_or("price")?;
    trades.price.extend_from_slice(prices.values());
    let qtys = column("qty")?.as_primitive_opt::<Float64Type>().ok_or("qty")?;
    trades.qty.extend_from_slice(qtys.values());
    let sides = column("aggressor")?.as_primitive_opt::<Int8Type>().ok_or("aggressor")?;
    trades.aggressor.extend(sides.values().iter().map(|side| match side {
        1.. => Aggressor::Buyer,
        0 => Aggressor::Unknown,
        _ => Aggressor::Seller,
    }));
    if let Ok(counts) = column("count") {
        let counts = counts.as_primitive_opt::<UInt32Type>().ok_or("count")?;
        trades.count.extend_from_slice(counts.values());
    }
    match column("quote") {
        Ok(quotes) => {
            let quotes = quotes.as_primitive_opt::<Float64Type>().ok_or("quote")?;
            trades.quote.extend_from_slice(quotes.values());
        }
        Err(_) => {
            let rows = prices.values().iter().zip(qtys.values());
            trades.quote.extend(rows.map(|(price, qty)| price * qty));
        }
    }
    Ok(())
}

/// Damage after so many rows.
fn damaged(path: &Path, rows: u64, error: &str) -> ReplayError {
    let what = format!("Parquet data after row {rows}");
    ReplayError::corrupt(path, what, "complete row groups", error.to_owned())
}
