//! What a trades Parquet says of itself.

use std::path::Path;

use barflow_replay::files;
use barflow_replay::parquet_footer;
use parquet::arrow::arrow_reader::ArrowReaderOptions;

/// Its footer, as far as it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footer {
    /// Rows written.
    pub rows: Option<u64>,
    /// Ids of the first and the last row.
    pub ids: Option<(u64, u64)>,
    /// Event times of the first and the last row, ns.
    pub times: Option<(i64, i64)>,
    /// Names of all columns.
    pub columns: Vec<String>,
}

impl Footer {
    /// Reads it; none if the file is not Parquet.
    pub fn read(path: &Path) -> Option<Self> {
        let file = files::open(path).ok()?;
        let footer = parquet_footer::read(&file, ArrowReaderOptions::default()).ok()?;
        let pairs = footer.metadata().file_metadata().key_value_metadata();
        let find = |key: &str| {
            let pair = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == key))?;
            pair.value.clone()
        };
        let number = |key: &str| find(key)?.parse::<u64>().ok();
        let time = |key: &str| find(key)?.parse::<i64>().ok();
        Some(Self {
            rows: number("barflow.rows"),
            ids: number("barflow.first_trade_id").zip(number("barflow.last_trade_id")),
            times: time("barflow.first_event_time").zip(time("barflow.last_event_time")),
            columns: footer.schema().fields().iter().map(|field| field.name().clone()).collect(),
        })
    }

    /// Whether quote values are a column of their own.
    pub fn has_quotes(&self) -> bool {
        self.columns.iter().any(|column| column == "quote")
    }
}
