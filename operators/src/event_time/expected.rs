//! What the readers of trades and the builders of bars tell each other about several instruments.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::instrument::InstrumentId;

/// Bars and reports that may wait for other instruments before the slowest of these is read first, of 300 bytes
/// each.
pub const MOST_WAITING: usize = 16_384;

/// The instruments of a run whose bars leave in the order of event time.
///
/// Readers go by the times that they read, which may be wrong, and trades may wait for others to be put in order:
/// so builders say whom they wait for when much waits. That changes what is read when, and not the order of bars.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    begins: Arc<BTreeMap<InstrumentId, i64>>,
    slowest: Arc<Mutex<BTreeSet<InstrumentId>>>,
}

impl Expected {
    /// Instruments by when their trades begin at the earliest, ns.
    pub fn new(begins: BTreeMap<InstrumentId, i64>) -> Self {
        Self { begins: Arc::new(begins), slowest: Arc::default() }
    }

    /// Instruments and when their trades begin at the earliest, ns.
    pub fn begins(&self) -> impl Iterator<Item = (&InstrumentId, i64)> {
        self.begins.iter().map(|(instrument, begin)| (instrument, *begin))
    }

    /// A worker waits for another instrument than before, or for none.
    pub(crate) fn wait_for(&self, before: Option<&InstrumentId>, now: Option<&InstrumentId>) {
        let mut slowest = self.slowest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = before {
            slowest.remove(before);
        }
        slowest.extend(now.cloned());
    }

    /// An instrument of which `is_read` is true, and for which too much waits.
    pub fn slowest(&self, is_read: impl Fn(&InstrumentId) -> bool) -> Option<InstrumentId> {
        let slowest = self.slowest.lock().unwrap_or_else(PoisonError::into_inner);
        slowest.iter().find(|instrument| is_read(instrument)).cloned()
    }
}
