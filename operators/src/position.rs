//! The position of an input, and where to resume it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::read_before::{FilesRead, LastRows};

/// A place in an input at or before which everything has been applied.
///
/// The graph carries positions without looking inside, except that it notes the last id that it
/// has settled: trades can be known before they are read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Position {
    /// In a file.
    File(FilePosition),
    /// In what a feed has sent.
    Feed(FeedPosition),
}

/// A place in a file: reading resumes at `byte` of `member` in `source`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FilePosition {
    /// Path of the file.
    pub source: Arc<str>,
    /// Member of the file, if it is an archive.
    pub member: Option<Arc<str>>,
    /// Offset into the decoded file or member, in bytes, of a row start (for Parquet: row number).
    pub byte: u64,
    /// Line number at `byte`, from 1.
    pub line: u64,
    /// Id of the last trade before it; none before the first trade.
    pub trade_id: Option<u64>,
    /// The last rows of this file before it; none at its beginning.
    pub last_rows: Option<LastRows>,
    /// The files before this one.
    pub files_read: FilesRead,
}

/// A place in a feed, which resumes after the last trade that was applied.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FeedPosition {
    /// Name of the feed and symbol of the instrument.
    pub source: Arc<str>,
    /// Frames that the feed had received.
    pub frames: u64,
    /// Id of the last trade applied, or its number where the venue has no ids; none before the
    /// first trade.
    pub trade_id: Option<u64>,
    /// The latest trades applied, where the venue gives them names instead of ids.
    pub latest: Option<Arc<LatestNames>>,
}

/// Names of all trades of the latest event time that were applied.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LatestNames {
    /// That event time, ns.
    pub event_time: i64,
    /// Hashes of the names.
    pub names: Vec<u64>,
}

impl Position {
    /// The place in a file, if that is what it is.
    pub fn file(&self) -> Option<&FilePosition> {
        match self {
            Self::File(at) => Some(at),
            Self::Feed(_) => None,
        }
    }

    /// The file, or the feed and its symbol.
    pub fn source(&self) -> &Arc<str> {
        match self {
            Self::File(at) => &at.source,
            Self::Feed(at) => &at.source,
        }
    }

    /// The file, `archive.zip/member.csv`, or the feed and its symbol.
    pub fn place(&self) -> Arc<str> {
        match self {
            Self::File(at) => at.place(),
            Self::Feed(at) => Arc::clone(&at.source),
        }
    }

    /// What a person looks for in the source: the line of a file, the frame of a feed.
    pub fn line(&self) -> u64 {
        match self {
            Self::File(at) => at.line,
            Self::Feed(at) => at.frames,
        }
    }

    /// Id of the last trade applied; none before the first trade.
    pub fn trade_id(&self) -> Option<u64> {
        match self {
            Self::File(at) => at.trade_id,
            Self::Feed(at) => at.trade_id,
        }
    }

    /// Everything up to this id is settled.
    pub fn set_trade_id(&mut self, id: u64) {
        match self {
            Self::File(at) => at.trade_id = Some(id),
            Self::Feed(at) => at.trade_id = Some(id),
        }
    }
}

impl LatestNames {
    /// Without any name.
    pub fn at(event_time: i64) -> Self {
        Self { event_time, names: Vec::new() }
    }
}

impl FilePosition {
    /// The beginning of a file.
    pub fn start(source: Arc<str>) -> Self {
        Self {
            source,
            member: None,
            byte: 0,
            line: 1,
            trade_id: None,
            last_rows: None,
            files_read: FilesRead::default(),
        }
    }

    /// The file, or `archive.zip/member.csv`.
    pub fn place(&self) -> Arc<str> {
        match &self.member {
            None => Arc::clone(&self.source),
            Some(member) => format!("{}/{member}", self.source).into(),
        }
    }
}

impl From<FilePosition> for Position {
    fn from(at: FilePosition) -> Self {
        Self::File(at)
    }
}

impl From<FeedPosition> for Position {
    fn from(at: FeedPosition) -> Self {
        Self::Feed(at)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} ", self.source(), self.line())?;
        match self.trade_id() {
            Some(id) => write!(f, "(trade {id})"),
            None => f.write_str("(no trade)"),
        }
    }
}
