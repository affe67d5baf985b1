//! Gaps that could not be filled, written down where a person and a program can find them.

use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::json_lines::LineFile;
use super::limits::Limits;
use crate::stop::Stop;

/// A gap of one instrument.
#[derive(Debug, Serialize)]
pub struct UnfilledGap<'a> {
    /// Name of the feed.
    pub feed: &'a str,
    /// Instrument.
    pub instrument: &'a str,
    /// First missing id; none where the venue has no ids.
    pub first_missing: Option<u64>,
    /// Last missing id.
    pub last_missing: Option<u64>,
    /// Event time of the print before the gap, ns; none if none was seen.
    pub after_time: Option<i64>,
    /// Event time of the print after the gap, ns.
    pub before_time: i64,
    /// Why it was not filled.
    pub reason: &'a str,
}

/// A file of gaps, appended to, shared by all feeds; or none.
#[derive(Clone, Debug, Default)]
pub struct GapLedger(Option<Arc<LineFile>>);

impl GapLedger {
    /// Appends to this file; made if it is not there.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path, stop: &Stop) -> io::Result<Self> {
        Ok(Self(Some(Arc::new(LineFile::open(path, Limits::default(), &stop.flag().into())?))))
    }

    /// Writes a gap down.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn note(&self, gap: &UnfilledGap<'_>) -> io::Result<()> {
        self.0.as_ref().map_or(Ok(()), |file| file.add(gap))
    }
}
