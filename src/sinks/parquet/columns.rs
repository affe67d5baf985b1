//! Bar records in Arrow columns.

use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, TimestampNanosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::sinks::record::{BarRecord, BeyondLong, hex_digest};

/// Builds the columns and the schema from one list, so that they cannot drift apart. Times are
/// `timestamp[ns, UTC]`; ids and counts are signed 64-bit integers, so that differences of two do
/// not wrap in pandas and polars.
macro_rules! columns {
    ($($field:ident: $kind:ident $(? $null:ident)?),* $(,)?) => {
        /// One builder per field of [`BarRecord`], in its order.
        pub struct Columns {
            rows: usize,
            $($field: kind!(builder $kind),)*
        }

        impl Columns {
            /// Empty columns.
            pub fn new() -> Self {
                Self { rows: 0, $($field: kind!(new $kind),)* }
            }

            /// The schema of all bar files.
            pub fn schema(&self) -> SchemaRef {
                Arc::new(Schema::new(vec![
                    $(Field::new(stringify!($field), kind!(type $kind), nullable!($($null)?)),)*
                ]))
            }

            /// Appends a bar.
            pub fn push(&mut self, record: &BarRecord<'_>) -> Result<(), BeyondLong> {
                record.fits_long()?;
                $(append!($kind self.$field, record.$field $(, $null)?);)*
                self.rows += 1;
                Ok(())
            }

            /// The rows so far, leaving the columns empty.
            pub fn take(&mut self) -> Result<RecordBatch, ArrowError> {
                self.rows = 0;
                let arrays: Vec<ArrayRef> = vec![$(Arc::new(self.$field.finish()),)*];
                RecordBatch::try_new(self.schema(), arrays)
            }
        }
    };
}

macro_rules! kind {
    (builder text) => {
        StringBuilder
    };
    (builder id) => {
        StringBuilder
    };
    (builder time) => {
        TimestampNanosecondBuilder
    };
    (builder digest) => {
        StringBuilder
    };
    (builder count) => {
        Int64Builder
    };
    (builder number) => {
        Float64Builder
    };
    (builder flag) => {
        BooleanBuilder
    };
    (new time) => {
        TimestampNanosecondBuilder::new().with_timezone("UTC")
    };
    (new $kind:ident) => {
        Default::default()
    };
    (type text) => {
        DataType::Utf8
    };
    (type id) => {
        DataType::Utf8
    };
    (type time) => {
        DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
    };
    (type digest) => {
        DataType::Utf8
    };
    (type count) => {
        DataType::Int64
    };
    (type number) => {
        DataType::Float64
    };
    (type flag) => {
        DataType::Boolean
    };
}

macro_rules! nullable {
    () => {
        false
    };
    (none) => {
        true
    };
}

macro_rules! append {
    (id $builder:expr, $value:expr) => {
        $builder.append_value(&$value)
    };
    (digest $builder:expr, $value:expr) => {
        $builder.append_value(hex_digest($value))
    };
    (count $builder:expr, $value:expr) => {
        // Checked before: it fits.
        $builder.append_value(i64::try_from($value).unwrap_or(i64::MAX))
    };
    ($kind:ident $builder:expr, $value:expr) => {
        $builder.append_value($value)
    };
    ($kind:ident $builder:expr, $value:expr, none) => {
        $builder.append_option($value)
    };
}

columns! {
    spec: text,
    instrument: text,
    venue: text,
    market: text,
    symbol: text,
    input: text,
    seq: count,
    open_time: time,
    close_time: time,
    first_trade_id: count,
    last_trade_id: count,
    open: number,
    high: number,
    low: number,
    close: number,
    vwap: number,
    volume: number,
    quote_volume: number,
    buy_volume: number,
    buy_quote_volume: number,
    ticks: count,
    buy_ticks: count,
    trade_count: count,
    theta: number,
    theta_buy: number ? none,
    theta_sell: number ? none,
    theta_min: number,
    theta_max: number,
    threshold: number ? none,
    expected_ticks: number ? none,
    expected_imbalance: number ? none,
    sigma: number ? none,
    close_reason: text,
    state_digest: digest,
    revision: count,
    missing_ids: count,
    retracts: flag,
    bar_id: id,
    known_time: time,
    high_time: time,
    low_time: time,
    quadratic_variation: number,
}

impl Columns {
    /// Bars in the columns.
    pub fn len(&self) -> usize {
        self.rows
    }
}
