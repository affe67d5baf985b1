//! What a running feed says of itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use barflow_operators::instrument::InstrumentId;
use metrics::gauge;

use super::Session;
use super::supervisor::Fault;
use crate::feeds::counters::Counters;
use crate::feeds::deferred_gaps::Settled;
use crate::telemetry::names;

/// What a running feed says of itself.
#[derive(Clone, Debug, Default)]
pub struct FeedReport(Arc<Mutex<ReportState>>);

#[derive(Debug, Default)]
struct ReportState {
    counters: Counters,
    up: Option<usize>,
    refused: Vec<(InstrumentId, String)>,
    fault: Option<Fault>,
    last_failure: Option<String>,
    /// Whether it is known that instruments are there, as far as that can be known.
    settled: bool,
    instruments: usize,
    lag: Option<Duration>,
    last_price: Option<(InstrumentId, f64)>,
}

impl FeedReport {
    /// The current counts.
    pub fn counters(&self) -> Counters {
        self.told().counters.clone()
    }

    /// Trades handed to the graph.
    pub fn trades(&self) -> u64 {
        self.told().counters.trades
    }

    /// How many connections are up.
    pub fn connections_up(&self) -> usize {
        self.told().up.unwrap_or(0)
    }

    /// Whether a connection was ever up.
    pub fn has_connected(&self) -> bool {
        self.told().counters.connects > 0
    }

    /// Whether a connection was ever up, and the venue lists an instrument of the feed as far as is known.
    pub fn runs(&self) -> bool {
        let told = self.told();
        told.counters.connects > 0 && told.settled
    }

    /// Why nothing has come up, if trying again is of little use.
    pub fn fault(&self) -> Option<Fault> {
        self.told().fault.clone()
    }

    /// Why the last attempt failed, if one did.
    pub fn last_failure(&self) -> Option<String> {
        self.told().last_failure.clone()
    }

    /// How many instruments are wanted.
    pub fn instruments(&self) -> usize {
        self.told().instruments
    }

    /// How far trades are behind the clock; none without recent ones.
    pub fn lag(&self) -> Option<Duration> {
        self.told().lag
    }

    /// The instrument and the price of the latest trade.
    pub fn last_price(&self) -> Option<(InstrumentId, f64)> {
        self.told().last_price.clone()
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

    /// Adds what became of deferred gaps after the feed had ended.
    pub fn add_settled(&self, feed: &str, settled: &Settled) {
        self.told().counters.note_settled(feed, settled);
    }

    fn told(&self) -> MutexGuard<'_, ReportState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// Reports how the feed stands.
    pub(super) fn tell(&self, report: &FeedReport) {
        let (state, roster, mut told) = (self.state.borrow(), self.roster.borrow(), report.told());
        told.counters.clone_from(&state.counters);
        (told.instruments, told.lag) = (state.wanted(), state.lag());
        let last = state.last_price();
        if told.last_price.as_ref().map(|(id, price)| (id, *price)) != last {
            told.last_price = last.map(|(id, price)| (id.clone(), price));
        }
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
        let nothing_listed = self.nothing_listed();
        told.settled = nothing_listed.is_none() && self.lists_awaited.get() == 0;
        told.fault = nothing_listed.or(told.fault.take());
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
