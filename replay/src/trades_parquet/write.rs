//! Writing trades.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Float64Array, Int8Array, RecordBatch, TimestampMicrosecondArray,
    TimestampNanosecondArray, UInt32Array, UInt64Array,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use barflow_operators::batch::{Feed, InputKind, TradeBatch};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use super::digest::ColumnDigest;
use super::left_out::{self, LeftOutIds};
use super::seal::{self, Sealing};
use super::{FEED_KEY, VERSION, VERSION_KEY};
use crate::atomic_file::AtomicFile;
use crate::error::ReplayError;

/// Rows per row group: 40 MB decoded, small enough to stay well within a replay's memory.
const GROUP_ROWS: usize = 1 << 17;

/// Level of zstd: 3 takes 6 to 10 % less room than 1 and a tenth more time (docs/PERFORMANCE.md).
const ZSTD_LEVEL: i32 = 3;

/// Unit of the times in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds: every time there is.
    #[default]
    Nanoseconds,
    /// Microseconds: a quarter less room where the venue has no more digits.
    Microseconds,
}

/// How a file is written.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// Whether the quote value is a column of its own; without it every trade's must be
    /// `price * qty`.
    pub with_quote: bool,
    /// Unit of times.
    pub unit: Unit,
}

/// A whole file on disk that does not have its name yet. Dropped, it is gone.
#[derive(Debug)]
pub struct Unpublished {
    atomic: AtomicFile,
    file: File,
    /// Trades in it.
    pub rows: u64,
    /// See [`ColumnDigest`].
    pub digest: u64,
}

impl Unpublished {
    /// Where it lies until it is published.
    pub fn unfinished(&self) -> &Path {
        self.atomic.unfinished()
    }

    /// Its name once it is published.
    pub fn path(&self) -> &Path {
        self.atomic.path()
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn publish(self) -> Result<PathBuf, ReplayError> {
        let path = self.atomic.path().to_owned();
        self.atomic.commit(&self.file).map_err(|e| ReplayError::io("write", &path, e))
    }
}

/// Appends trades to a file that appears under its name when finished.
pub struct TradeWriter {
    atomic: AtomicFile,
    writer: ArrowWriter<Sealing>,
    schema: SchemaRef,
    options: WriteOptions,
    digest: ColumnDigest,
    notes: Vec<(String, String)>,
    left_out: LeftOutIds,
    rows: u64,
    first: Option<(u64, i64)>,
    last: Option<(u64, i64)>,
}

impl TradeWriter {
    /// A writer of one feed's trades.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: &Path, feed: &Feed, options: WriteOptions) -> Result<Self, ReplayError> {
        let (atomic, file) =
            AtomicFile::create(path).map_err(|e| ReplayError::io("write", path, e))?;
        let schema = schema(feed, &options);
        let writer =
            ArrowWriter::try_new(Sealing::new(file), Arc::clone(&schema), Some(properties(feed)))
                .map_err(|e| write_error(path, &e.to_string()))?;
        Ok(Self {
            atomic,
            writer,
            schema,
            options,
            digest: ColumnDigest::default(),
            notes: Vec::new(),
            left_out: LeftOutIds::default(),
            rows: 0,
            first: None,
            last: None,
        })
    }

    /// Trades so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds `barflow.KEY` to the file's metadata.
    pub fn note(&mut self, key: &str, value: String) {
        self.notes.push((key.to_owned(), value));
    }

    /// Notes rows that are not trades: their ids leave no gap when the file is read.
    pub fn leave_out(&mut self, ids: &LeftOutIds) {
        self.left_out.extend(ids);
    }

    /// Appends a batch.
    ///
    /// # Errors
    /// When the disk refuses, or when a quote value would be lost.
    pub fn write(&mut self, batch: &TradeBatch) -> Result<(), ReplayError> {
        if batch.is_empty() {
            return Ok(());
        }
        if !self.options.with_quote {
            let rows = batch.price.iter().zip(&batch.qty).zip(&batch.quote);
            let lost =
                rows.into_iter().position(|((p, q), quote)| (p * q).to_bits() != quote.to_bits());
            if let Some(row) = lost {
                let id = batch.trade_id[row];
                let text = format!(
                    "trade {id} has its own quote value, but the file has no column for it"
                );
                return Err(write_error(self.atomic.path(), &text));
            }
        }
        if self.options.unit == Unit::Microseconds
            && let Some(row) = batch.event_time.iter().position(|time| time % 1000 != 0)
        {
            let (id, time) = (batch.trade_id[row], batch.event_time[row]);
            let text =
                format!("trade {id} has the time {time} ns, which is not a whole microsecond");
            return Err(write_error(self.atomic.path(), &text));
        }
        self.digest.add(batch);
        let written = self.record(batch).map_err(ParquetError::from);
        written
            .and_then(|record| self.writer.write(&record))
            .map_err(|e| write_error(self.atomic.path(), &e.to_string()))?;
        self.rows += batch.len() as u64;
        let edge = |row: usize| (batch.trade_id[row], batch.event_time[row]);
        self.first.get_or_insert(edge(0));
        self.last = Some(edge(batch.len() - 1));
        Ok(())
    }

    /// Completes the file, makes it durable and gives it its name.
    ///
    /// # Errors
    /// When the disk refuses; then there is no file.
    pub fn finish(self) -> Result<PathBuf, ReplayError> {
        self.close()?.publish()
    }

    /// Completes the file, without its name yet.
    ///
    /// # Errors
    /// When the disk refuses; then there is no file.
    pub fn close(mut self) -> Result<Unpublished, ReplayError> {
        let left_out = self.left_out.count();
        if left_out > left_out::MOST {
            let text = format!(
                "{left_out} rows of its sources are no trades, and a file may note {} of them",
                left_out::MOST
            );
            return Err(write_error(self.atomic.path(), &text));
        }
        let mut note = |key: &str, value: String| {
            self.writer.append_key_value_metadata(KeyValue::new(format!("barflow.{key}"), value));
        };
        note("rows", self.rows.to_string());
        note("digest", format!("{:016x}", self.digest.value()));
        if let (Some((first, first_time)), Some((last, last_time))) = (self.first, self.last) {
            note("first_trade_id", first.to_string());
            note("last_trade_id", last.to_string());
            note("first_event_time", first_time.to_string());
            note("last_event_time", last_time.to_string());
        }
        if !self.left_out.is_empty() {
            // Plain data always has a JSON form.
            note(left_out::KEY, serde_json::to_string(&self.left_out).unwrap_or_default());
        }
        for (key, value) in self.notes.drain(..) {
            note(&key, value);
        }
        self.writer.append_key_value_metadata(KeyValue::new(
            seal::KEY.to_owned(),
            seal::UNSEALED.to_owned(),
        ));
        let Self { atomic, writer, rows, digest, .. } = self;
        let written =
            writer.into_inner().map_err(|e| write_error(atomic.path(), &e.to_string()))?;
        let sealed = written.seal(atomic.unfinished());
        let file = sealed.map_err(|e| ReplayError::io("write", atomic.path(), e))?;
        Ok(Unpublished { atomic, file, rows, digest: digest.value() })
    }

    fn record(&self, batch: &TradeBatch) -> Result<RecordBatch, ArrowError> {
        let sides = batch.aggressor.iter().map(|side| side.sign());
        let times: ArrayRef = match self.options.unit {
            Unit::Nanoseconds => {
                let times = TimestampNanosecondArray::from(batch.event_time.clone());
                Arc::new(times.with_timezone("UTC"))
            }
            Unit::Microseconds => {
                let times = batch.event_time.iter().map(|time| time / 1000);
                Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
            }
        };
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from(batch.trade_id.clone())),
            times,
            Arc::new(Float64Array::from(batch.price.clone())),
            Arc::new(Float64Array::from(batch.qty.clone())),
            Arc::new(Int8Array::from_iter_values(sides)),
        ];
        if batch.feed.input == InputKind::AggTrades {
            let counts =
                if batch.count.is_empty() { vec![1; batch.len()] } else { batch.count.clone() };
            columns.push(Arc::new(UInt32Array::from(counts)));
        }
        if self.options.with_quote {
            columns.push(Arc::new(Float64Array::from(batch.quote.clone())));
        }
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}

fn schema(feed: &Feed, options: &WriteOptions) -> SchemaRef {
    let unit = match options.unit {
        Unit::Nanoseconds => TimeUnit::Nanosecond,
        Unit::Microseconds => TimeUnit::Microsecond,
    };
    let time = DataType::Timestamp(unit, Some("UTC".into()));
    let mut fields = vec![
        Field::new("trade_id", DataType::UInt64, false),
        Field::new("event_time", time, false),
        Field::new("price", DataType::Float64, false),
        Field::new("qty", DataType::Float64, false),
        Field::new("aggressor", DataType::Int8, false),
    ];
    if feed.input == InputKind::AggTrades {
        fields.push(Field::new("count", DataType::UInt32, false));
    }
    if options.with_quote {
        fields.push(Field::new("quote", DataType::Float64, false));
    }
    Arc::new(Schema::new(fields))
}

fn properties(feed: &Feed) -> WriterProperties {
    // A feed is plain data: it always has a JSON form.
    let feed = serde_json::to_string(feed).unwrap_or_default();
    let mut properties = WriterProperties::builder()
        .set_created_by(format!("barflow {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).unwrap_or_default()))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_key_value_metadata(Some(vec![
            KeyValue::new(VERSION_KEY.to_owned(), VERSION.to_owned()),
            KeyValue::new(FEED_KEY.to_owned(), feed),
        ]));
    // Ids and times grow in small steps; the differences pack into a few bits.
    for column in ["trade_id", "event_time"] {
        properties = properties
            .set_column_encoding(ColumnPath::from(column), Encoding::DELTA_BINARY_PACKED)
            .set_column_dictionary_enabled(ColumnPath::from(column), false);
    }
    properties.build()
}

fn write_error(path: &Path, text: &str) -> ReplayError {
    ReplayError::io("write", path, std::io::Error::other(text.to_owned()))
}

/// A file of five trades for tests, and what they have in common.
#[cfg(test)]
pub(crate) fn five_trades(path: &Path) -> (PathBuf, Arc<Feed>) {
    use barflow_operators::trade::{Aggressor, Trade};

    let feed = Arc::new(Feed::numbered("a:b:C".parse().unwrap()));
    let trade = |trade_id: u64| {
        let (price, qty, quote, count) = (2.0, 3.0, 6.0, 1);
        let event_time = 1_709_251_200_000_000_000 + trade_id as i64;
        let aggressor = Aggressor::Buyer;
        Trade { trade_id, event_time, price, qty, quote, aggressor, count }
    };
    let trades: Vec<Trade> = (1..=5).map(trade).collect();
    let mut writer = TradeWriter::create(path, &feed, WriteOptions::default()).unwrap();
    writer.write(&TradeBatch::from_trades(Arc::clone(&feed), &trades)).unwrap();
    (writer.finish().unwrap(), feed)
}
