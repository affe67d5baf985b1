//! Writing trades.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Float64Array, Int8Array, RecordBatch, TimestampNanosecondArray, UInt32Array,
    UInt64Array,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use barflow_operators::batch::{Feed, InputKind, TradeBatch};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use super::{FEED_KEY, VERSION, VERSION_KEY};
use crate::error::ReplayError;

/// Rows per row group: 40 MB decoded, small enough to stay well within a replay's memory.
const GROUP_ROWS: usize = 1 << 17;

/// Appends trades to a file that appears under its name when finished.
pub struct TradeWriter {
    path: PathBuf,
    unfinished: PathBuf,
    writer: Option<ArrowWriter<File>>,
    schema: SchemaRef,
    with_quote: bool,
    rows: u64,
    first: Option<(u64, i64)>,
    last: Option<(u64, i64)>,
}

impl TradeWriter {
    /// A writer of one feed's trades. `with_quote` stores the quote value as a column of its own;
    /// without it every trade's must be `price * qty`.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: &Path, feed: &Feed, with_quote: bool) -> Result<Self, ReplayError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)
                .map_err(|e| ReplayError::io("make the folder of", path, e))?;
        }
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".unfinished-{}", std::process::id()));
        let unfinished = path.with_file_name(name);
        let file = File::create(&unfinished).map_err(|e| ReplayError::io("write", path, e))?;
        let schema = schema(feed, with_quote);
        let writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties(feed)))
            .map_err(|e| write_error(path, &e.to_string()))?;
        Ok(Self {
            path: path.to_owned(),
            unfinished,
            writer: Some(writer),
            schema,
            with_quote,
            rows: 0,
            first: None,
            last: None,
        })
    }

    /// Appends a batch.
    ///
    /// # Errors
    /// When the disk refuses, or when a quote value would be lost.
    pub fn write(&mut self, batch: &TradeBatch) -> Result<(), ReplayError> {
        if batch.is_empty() {
            return Ok(());
        }
        if !self.with_quote {
            let rows = batch.price.iter().zip(&batch.qty).zip(&batch.quote);
            let lost =
                rows.into_iter().position(|((p, q), quote)| (p * q).to_bits() != quote.to_bits());
            if let Some(row) = lost {
                let id = batch.trade_id[row];
                let text = format!("trade {id} has a quote value of its own, and no column for it");
                return Err(write_error(&self.path, &text));
            }
        }
        let record = self.record(batch).map_err(|e| write_error(&self.path, &e.to_string()))?;
        let Some(writer) = self.writer.as_mut() else { return Ok(()) };
        writer.write(&record).map_err(|e| write_error(&self.path, &e.to_string()))?;
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
    pub fn finish(mut self) -> Result<PathBuf, ReplayError> {
        let Some(mut writer) = self.writer.take() else { return Ok(self.path.clone()) };
        let mut note = |key: &str, value: String| {
            writer.append_key_value_metadata(KeyValue::new(format!("barflow.{key}"), value));
        };
        note("rows", self.rows.to_string());
        if let (Some((first, first_time)), Some((last, last_time))) = (self.first, self.last) {
            note("first_trade_id", first.to_string());
            note("last_trade_id", last.to_string());
            note("first_event_time", first_time.to_string());
            note("last_event_time", last_time.to_string());
        }
        let file = writer.into_inner().map_err(|e| write_error(&self.path, &e.to_string()))?;
        file.sync_all().map_err(|e| ReplayError::io("write", &self.path, e))?;
        fs::rename(&self.unfinished, &self.path)
            .map_err(|e| ReplayError::io("name", &self.path, e))?;
        Ok(self.path.clone())
    }

    fn record(&self, batch: &TradeBatch) -> Result<RecordBatch, ArrowError> {
        let sides = batch.aggressor.iter().map(|side| side.sign());
        let times = TimestampNanosecondArray::from(batch.event_time.clone()).with_timezone("UTC");
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from(batch.trade_id.clone())),
            Arc::new(times),
            Arc::new(Float64Array::from(batch.price.clone())),
            Arc::new(Float64Array::from(batch.qty.clone())),
            Arc::new(Int8Array::from_iter_values(sides)),
        ];
        if batch.feed.input == InputKind::AggTrades {
            let counts =
                if batch.count.is_empty() { vec![1; batch.len()] } else { batch.count.clone() };
            columns.push(Arc::new(UInt32Array::from(counts)));
        }
        if self.with_quote {
            columns.push(Arc::new(Float64Array::from(batch.quote.clone())));
        }
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}

impl Drop for TradeWriter {
    fn drop(&mut self) {
        // After `finish` the name is gone already; an unfinished file must not stay.
        let _ = fs::remove_file(&self.unfinished);
    }
}

fn schema(feed: &Feed, with_quote: bool) -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
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
    if with_quote {
        fields.push(Field::new("quote", DataType::Float64, false));
    }
    Arc::new(Schema::new(fields))
}

fn properties(feed: &Feed) -> WriterProperties {
    // A feed is plain data: it always has a JSON form.
    let feed = serde_json::to_string(feed).unwrap_or_default();
    let mut properties = WriterProperties::builder()
        .set_created_by(format!("barflow {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
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
