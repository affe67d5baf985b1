//! Gaps that nothing could fill, written down where a person and a program can find them.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use barflow_operators::instrument::InstrumentId;
use serde::Serialize;

use super::lane::GivenUp;

/// A line of the ledger.
#[derive(Debug, Serialize)]
struct Line<'a> {
    feed: &'a str,
    instrument: &'a str,
    /// Null where the venue has no ids.
    first_missing: Option<u64>,
    last_missing: Option<u64>,
    /// Event times of the prints around the gap, ns.
    after_time: i64,
    before_time: i64,
    reason: &'a str,
}

/// A file of JSON lines, appended to, shared by all feeds.
#[derive(Clone, Debug, Default)]
pub struct GapLedger(Option<Arc<(PathBuf, Mutex<File>)>>);

impl GapLedger {
    /// Appends to this file; made if it is not there.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self(Some(Arc::new((path.to_owned(), Mutex::new(file))))))
    }

    /// Writes a gap down.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn note(
        &self,
        feed: &str,
        instrument: &InstrumentId,
        gap: &GivenUp,
        reason: &str,
    ) -> std::io::Result<()> {
        let Some(ledger) = &self.0 else { return Ok(()) };
        let line = Line {
            feed,
            instrument: instrument.as_str(),
            first_missing: gap.gap.map(|gap| gap.first_missing),
            last_missing: gap.gap.map(|gap| gap.last_missing),
            after_time: gap.after,
            before_time: gap.before,
            reason,
        };
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        // One write per line: lines of several feeds never mix.
        ledger.1.lock().unwrap_or_else(PoisonError::into_inner).write_all(&text)
    }

    /// Where it is, if anywhere.
    pub fn path(&self) -> Option<&Path> {
        self.0.as_ref().map(|ledger| ledger.0.as_path())
    }
}
