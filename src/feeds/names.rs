//! Prints that have unique names but no order: repeats are told within a window.

use std::collections::{HashSet, VecDeque};

use super::plan::LastTrade;
use super::print::Print;
use super::venue::Missing;

/// Names remembered. Bybit's REST lists at most 1,000 recent trades, and redundant connections are
/// seconds apart at most: this is far more than either needs, and half a megabyte.
const REMEMBERED: usize = 32_768;

/// The names seen last, and prints held back while it is doubtful whether some were missed.
#[derive(Debug, Default)]
pub(super) struct Names {
    seen: HashSet<u64>,
    order: VecDeque<u64>,
    /// Prints up to this event time were applied before we began, ns.
    not_after: i64,
    last_number: u64,
    /// The latest event time, and the names of all prints of it.
    latest: (i64, Vec<u64>),
    held: Option<Vec<Print>>,
}

impl Names {
    pub(super) fn resume_after(&mut self, last: &LastTrade) {
        self.last_number = last.id;
        self.not_after = last.time;
        if !last.names.is_empty() {
            // Names tell which prints of the last moment were applied; without them all count.
            self.not_after = last.time.saturating_sub(1);
            self.seen.extend(&last.names);
            self.order.extend(&last.names);
            self.latest = (last.time, last.names.clone());
        }
    }

    /// Number, time and names of what was let through last.
    pub(super) fn last(&self) -> LastTrade {
        LastTrade { id: self.last_number, time: self.latest.0, names: self.latest.1.clone() }
    }

    /// Remembers the name; false if it was known.
    pub(super) fn is_new(&mut self, print: &Print) -> bool {
        if print.trade.event_time <= self.not_after || !self.seen.insert(print.key) {
            return false;
        }
        let time = print.trade.event_time;
        if time > self.latest.0 {
            self.latest = (time, Vec::new());
        }
        if time == self.latest.0 {
            self.latest.1.push(print.key);
        }
        self.order.push_back(print.key);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }

    /// The next number for a trade that the venue has not numbered.
    pub(super) fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    pub(super) fn doubt(&mut self) {
        // Before the first print there is nothing to have missed.
        if !self.order.is_empty() || self.not_after > 0 {
            self.held.get_or_insert_default();
        }
    }

    pub(super) fn is_doubtful(&self) -> bool {
        self.held.is_some()
    }

    pub(super) fn held(&self) -> usize {
        self.held.as_ref().map_or(0, Vec::len)
    }

    /// Holds a print back; false when there is no room.
    pub(super) fn hold(&mut self, print: &Print, room: usize) -> bool {
        let Some(held) = &mut self.held else { return false };
        let fits = held.len() < room.max(1);
        if fits {
            held.push(*print);
        }
        fits
    }

    pub(super) fn missing(&self, after: i64) -> Option<Missing> {
        let held = self.held.as_ref()?;
        let before = held.first().map_or(0, |print| print.trade.event_time);
        Some(Missing { first: 0, last: 0, after, before })
    }

    /// Whether a list of recent prints touches what was seen before.
    pub(super) fn reaches(&self, recent: &[Print]) -> bool {
        let known = |print: &Print| {
            self.seen.contains(&print.key) || print.trade.event_time <= self.not_after
        };
        recent.iter().any(known)
    }

    /// Ends the doubt; returns what was held.
    pub(super) fn settle(&mut self) -> Vec<Print> {
        self.held.take().unwrap_or_default()
    }
}
