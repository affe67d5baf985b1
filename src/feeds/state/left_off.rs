//! Where instruments were left that no feed carries any more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use barflow_operators::instrument::InstrumentId;

use crate::feeds::plan::LastTrade;

/// The last trades of instruments that were removed from the job's feeds, shared by all feeds: one that is
/// added again, to whichever feed, continues there. Otherwise its trades would be numbered from the
/// beginning where the venue has no numbers, and pass for repeated ones.
#[derive(Clone, Debug, Default)]
pub struct LeftOff(Arc<Mutex<BTreeMap<InstrumentId, LastTrade>>>);

impl LeftOff {
    /// Instruments that an earlier run left off.
    pub fn new(last: BTreeMap<InstrumentId, LastTrade>) -> Self {
        Self(Arc::new(Mutex::new(last)))
    }

    /// An instrument is left off after this trade.
    pub fn put(&self, instrument: &InstrumentId, last: LastTrade) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(instrument.clone(), last);
    }

    /// Where an instrument was left off.
    pub fn get(&self, instrument: &InstrumentId) -> Option<LastTrade> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(instrument).cloned()
    }
}
