//! What a running feed says of itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use barflow_operators::instrument::InstrumentId;
use metrics::gauge;

use super::Session;
use super::supervisor::Fault;
use crate::feeds::counters::Counters;
use crate::telemetry::names;

/// What a running feed says of itself.
#[derive(Clone, Debug, Default)]
pub struct FeedReport(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    counters: Counters,
    up: Option<usize>,
    refused: Vec<(InstrumentId, String)>,
    fault: Option<Fault>,
    last_failure: Option<String>,
}

impl FeedReport {
    /// The current counts.
    pub fn counters(&self) -> Counters {
        self.told().counters.clone()
    }

    /// How many connections are up.
    pub fn connections_up(&self) -> usize {
        self.told().up.unwrap_or(0)
    }

    /// Whether a connection was ever up.
    pub fn has_connected(&self) -> bool {
        self.told().counters.connects > 0
    }

    /// Why nothing has come up, if trying again is of little use.
    pub fn fault(&self) -> Option<Fault> {
        self.told().fault.clone()
    }

    /// Why the last attempt failed, if one did.
    pub fn last_failure(&self) -> Option<String> {
        self.told().last_failure.clone()
    }

    /// Instruments that the venue refuses, and its words.
    pub fn refused(&self) -> Vec<(InstrumentId, String)> {
        self.told().refused.clone()
    }

    /// A few lines for a person.
    pub fn lines(&self) -> Vec<String> {
        let told = self.told();
        let mut lines = told.counters.lines();
        if told.counters.connects == 0
            && let Some(why) = &told.last_failure
        {
            lines.push(format!("never connected: {why}"));
        }
        let refused = told.refused.iter();
        lines.extend(refused.map(|(instrument, said)| format!("refused: {instrument}: {said}")));
        lines
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// Reports how the feed stands.
    pub(super) fn tell(&self, report: &FeedReport) {
        let (state, roster, mut told) = (self.state.borrow(), self.roster.borrow(), report.told());
        told.counters.clone_from(&state.counters);
        let up = Some(self.up.get());
        if told.up != up {
            told.up = up;
            let connections = self.up.get() as f64;
            gauge!(names::CONNECTIONS, "feed" => self.plan.name.clone()).set(connections);
        }
        if told.refused.len() != roster.refused().count() || !told.refused.is_empty() {
            let words = |(slot, refused): (u32, &super::roster::Refused)| {
                (state.symbol(slot).instrument.clone(), refused.said.clone())
            };
            told.refused = roster.refused().map(words).collect();
        }
        let all_faulty = self.faults.borrow().len() >= self.supervisors.get();
        told.fault = match self.ever_up.get() || !all_faulty {
            true => None,
            false => self.faults.borrow().values().next().cloned(),
        };
        if told.last_failure != *self.last_failure.borrow() {
            told.last_failure.clone_from(&self.last_failure.borrow());
        }
    }

    /// Shows in the metrics whether the venue refuses an instrument.
    pub(super) fn show_refused(&self, instrument: &InstrumentId, refused: bool) {
        let (feed, instrument) = (self.plan.name.clone(), instrument.to_string());
        let value = if refused { 1.0 } else { 0.0 };
        gauge!(names::REFUSED, "feed" => feed, "instrument" => instrument).set(value);
    }
}
