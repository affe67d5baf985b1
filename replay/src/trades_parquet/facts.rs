//! What a file of trades says of itself, without reading a trade.

use std::path::{Path, PathBuf};

use barflow_operators::batch::Feed;
use jiff::civil::Date;
use parquet::file::metadata::KeyValue;
use serde::{Deserialize, Serialize};

use super::read::{Footer, feed_of};
use crate::error::ReplayError;
use crate::spool;

/// Where trades come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// Name of the archive.
    pub name: String,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// The metadata of a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Facts {
    /// The file.
    pub path: PathBuf,
    /// Bytes on disk.
    pub bytes: u64,
    /// What its trades have in common.
    pub feed: Feed,
    /// Trades.
    pub rows: u64,
    /// Rows of the archives that they come from, repeated trades included.
    pub source_rows: Option<u64>,
    /// First id and event time, ns; none in an empty file.
    pub first: Option<(u64, i64)>,
    /// Last id and event time, ns.
    pub last: Option<(u64, i64)>,
    /// First and last day that it covers: all days between are in it.
    pub days: Option<(Date, Date)>,
    /// The archives.
    pub sources: Vec<Origin>,
    /// See [`super::digest::ColumnDigest`]; files of earlier builds have none.
    #[serde(serialize_with = "hex_digits")]
    pub digest: Option<u64>,
    /// Which barflow wrote it.
    pub written_by: Option<String>,
}

impl Facts {
    /// Reads a file's footer.
    ///
    /// # Errors
    /// When it is not a trades file of barflow, or its metadata is damaged.
    pub fn read(path: &Path) -> Result<Self, ReplayError> {
        let bytes = spool::length(path).map_err(|e| ReplayError::io("open", path, e))?;
        let footer = Footer::read(path)?;
        let metadata = footer.file_metadata();
        let pairs: &[KeyValue] =
            metadata.key_value_metadata().map(Vec::as_slice).unwrap_or_default();
        let find = |key: &str| {
            let is_it = |pair: &&KeyValue| pair.key.strip_prefix("barflow.") == Some(key);
            pairs.iter().find(is_it)?.value.clone()
        };
        let feed = feed_of(path, metadata)?;
        let pages = Note { path, find: &find };
        let edge = |id: &str, time: &str| Ok(pages.number(id)?.zip(pages.number(time)?));
        let rows = footer.group_rows().into_iter().fold(0, u64::saturating_add);
        let digest = find("digest").map(|text| {
            u64::from_str_radix(&text, 16).map_err(|_| pages.wrong("digest", "16 hex digits", text))
        });
        let sources = find("sources").map(|text| {
            serde_json::from_str(&text).map_err(|_| pages.wrong("sources", "names and sums", text))
        });
        let days = find("days").map(|text| {
            let days = text.split_once('/').and_then(|(a, b)| a.parse().ok().zip(b.parse().ok()));
            days.ok_or_else(|| pages.wrong("days", "FIRST/LAST", text))
        });
        Ok(Self {
            path: path.to_owned(),
            bytes,
            feed,
            rows,
            source_rows: pages.number("source_rows")?,
            first: edge("first_trade_id", "first_event_time")?,
            last: edge("last_trade_id", "last_event_time")?,
            days: days.transpose()?,
            sources: sources.transpose()?.unwrap_or_default(),
            digest: digest.transpose()?,
            written_by: metadata.created_by().map(ToOwned::to_owned),
        })
    }
}

/// Readers of JSON often have no 64-bit integers.
fn hex_digits<S: serde::Serializer>(digest: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
    digest.map(|digest| format!("{digest:016x}")).serialize(to)
}

struct Note<'a> {
    path: &'a Path,
    find: &'a dyn Fn(&str) -> Option<String>,
}

impl Note<'_> {
    fn number<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>, ReplayError> {
        let Some(text) = (self.find)(key) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| self.wrong(key, "a number", text))
    }

    fn wrong(&self, key: &str, expected: &str, found: String) -> ReplayError {
        ReplayError::corrupt(self.path, format!("metadata \"barflow.{key}\""), expected, found)
    }
}
