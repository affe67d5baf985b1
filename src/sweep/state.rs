//! The saved state with which a stopped sweep resumes.

use std::path::Path;

use barflow_operators::checkpoint::envelope::{open, seal};
use barflow_replay::{atomic_file, files};
use serde::{Deserialize, Serialize};

use super::totals::Totals;
use super::worker::Part;

/// The state of a sweep.
#[derive(Serialize, Deserialize)]
pub struct State {
    /// Of what: the grid, the files, the settings that matter.
    pub of: u64,
    /// Last trade taken.
    pub last_trade_id: u64,
    /// What the trades taken come to.
    pub totals: Totals,
    /// Trades before the holdout; none without one.
    pub border: Option<u64>,
    /// The workers' parts.
    parts: Vec<Vec<u8>>,
}

/// Bytes of a file that are read: far above any state.
const LONGEST: u64 = 4 << 30;

impl State {
    /// Of this sweep, from what the workers wrote down.
    pub fn new(
        (of, border): (u64, Option<u64>),
        last_trade_id: u64,
        totals: Totals,
        parts: Vec<Vec<u8>>,
    ) -> Self {
        Self { of, last_trade_id, totals, border, parts }
    }

    /// Reads a file; none if it is not there, not whole, or of another sweep.
    pub fn read(path: &Path, of: u64, workers: usize) -> Option<(Self, Vec<Part>)> {
        let bytes = files::read(path, LONGEST).ok()?;
        let state: Self = open(&bytes)
            .map_err(|error| {
                tracing::warn!("{}: {error}; starting from the beginning", path.display())
            })
            .ok()?;
        if state.of != of || state.parts.len() != workers {
            tracing::warn!(
                "{} belongs to another sweep; starting from the beginning",
                path.display()
            );
            return None;
        }
        let parts = state.parts.iter().map(|bytes| postcard::from_bytes(bytes).ok());
        let parts = parts.collect::<Option<Vec<Part>>>()?;
        Some((state, parts))
    }

    /// Where the holdout of this sweep begins, if a state says so.
    pub fn border(path: &Path, of: u64) -> Option<u64> {
        let state: Self = open(&files::read(path, LONGEST).ok()?).ok()?;
        state.border.filter(|_| state.of == of)
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        atomic_file::write(path, &seal(self))
    }
}
