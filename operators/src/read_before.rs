//! What was read before a place in a history: by that a later run tells whether the files are still the same.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::Digest;
use crate::trade::Trade;

/// The last rows of a file before a place in it, and where they begin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LastRows {
    /// The member of an archive in which they begin.
    pub member: Option<Arc<str>>,
    /// Offset of the first of them.
    pub byte: u64,
    /// Its line, from 1.
    pub line: u64,
    /// How many trades they are.
    pub trades: u64,
    /// What the first of them said.
    first: u64,
    /// What the last of them said.
    last: u64,
    /// The id of the last of them.
    pub last_id: u64,
}

/// A file of a history, by what does not change when it is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeenFile {
    /// Event time of its first trade, ns.
    pub first_time: i64,
    /// Its length.
    pub bytes: u64,
}

/// Files that are remembered: those of two years where each holds an hour.
pub const FILES_REMEMBERED: usize = 16_384;

/// The files that were read before a place: the latest [`FILES_REMEMBERED`] of them.
#[derive(Clone, Debug)]
pub struct FilesRead {
    /// Those of the whole history.
    all: Arc<[SeenFile]>,
    /// How many of them were read.
    read: usize,
}

impl LastRows {
    /// Rows that begin there: so many trades, of which these are the first and the last.
    pub fn new(
        (member, byte, line): (Option<Arc<str>>, u64, u64),
        trades: u64,
        (first, last): (&Trade, &Trade),
    ) -> Self {
        let last_id = last.trade_id;
        let (first, last) = (digest(first), digest(last));
        Self { member, byte, line, trades, first, last, last_id }
    }

    /// Whether the first and the last of the trades there are these.
    pub fn are(&self, (first, last): (&Trade, &Trade)) -> bool {
        self.begin_with(first) && self.last == digest(last)
    }

    /// Whether the first of them is this one.
    pub fn begin_with(&self, first: &Trade) -> bool {
        self.first == digest(first)
    }

    /// Whether a trade has the id of the last of them, and says something else.
    pub fn contradict(&self, last: &Trade) -> bool {
        self.last_id == last.trade_id && self.last != digest(last)
    }
}

/// Without its id: rows that have none are numbered as they are read.
fn digest(trade: &Trade) -> u64 {
    let mut digest = Digest::of("rows");
    digest.u64(trade.event_time.cast_unsigned());
    digest.f64s(&[trade.price, trade.qty]);
    digest.byte(trade.aggressor.sign().to_le_bytes()[0]);
    digest.finish()
}

impl FilesRead {
    /// The first `read` of these.
    pub fn first_of(all: &Arc<[SeenFile]>, read: usize) -> Self {
        Self { all: Arc::clone(all), read: read.min(all.len()) }
    }

    /// The files, in the order in which they were read.
    pub fn files(&self) -> &[SeenFile] {
        &self.all[self.read.saturating_sub(FILES_REMEMBERED)..self.read]
    }
}

impl Default for FilesRead {
    fn default() -> Self {
        Self { all: Arc::new([]), read: 0 }
    }
}

impl PartialEq for FilesRead {
    fn eq(&self, other: &Self) -> bool {
        self.files() == other.files()
    }
}

impl Eq for FilesRead {}

impl PartialOrd for FilesRead {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for FilesRead {
    fn cmp(&self, other: &Self) -> Ordering {
        self.files().cmp(other.files())
    }
}

impl Hash for FilesRead {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.files().hash(state);
    }
}

impl Serialize for FilesRead {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.files().serialize(to)
    }
}

impl<'de> Deserialize<'de> for FilesRead {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let all: Vec<SeenFile> = Vec::deserialize(from)?;
        Ok(Self { read: all.len(), all: all.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_files_are_forgotten() {
        let all: Arc<[SeenFile]> =
            (0..20_000).map(|n| SeenFile { first_time: n, bytes: 1 }).collect();
        assert_eq!(FilesRead::first_of(&all, 2).files(), &all[..2]);
        let most = FilesRead::first_of(&all, 20_000);
        assert_eq!(most.files(), &all[20_000 - FILES_REMEMBERED..]);
        let again: FilesRead =
            postcard::from_bytes(&postcard::to_allocvec(&most).unwrap()).unwrap();
        assert_eq!(again, most);
    }
}
