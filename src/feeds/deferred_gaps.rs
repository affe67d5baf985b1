//! Gaps that the order did not wait for, until it is known whether their trades found their places.
//!
//! ```text
//! tracker: put off ─► pursued ─► all has come, or was given up ─┐
//! feed:                 └─► late trades, to the graph ─┐        ├─► filled; or lost after all
//! graph:                                               └─► applied or refused
//! ```
//!
//! The tracker and the graph are on threads of their own, so that either may be the last to say so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use barflow_operators::gap::Gap;
use barflow_operators::instrument::InstrumentId;

use super::reorder_buffer::GivenUp;

/// The deferred gaps of all feeds, shared by them and the graph.
#[derive(Clone, Debug, Default)]
pub struct DeferredGaps(Arc<Mutex<Pending>>);

impl DeferredGaps {
    /// As they are now.
    pub fn lock(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of deferred gaps, of one feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// How long those were open that are filled.
    pub healed: Vec<Duration>,
    /// Trades that came and were refused.
    pub lost: u64,
    /// Their ids.
    pub ids_lost: u64,
}

/// A late trade, or ids that are none, that the graph refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Which feed brought it.
    pub feed: String,
    /// Where it is missing.
    pub gap: GivenUp,
}

/// Deferred gaps that are not settled.
#[derive(Debug, Default)]
pub struct Pending {
    gaps: BTreeMap<InstrumentId, Vec<Deferred>>,
    settled: BTreeMap<String, Settled>,
}

#[derive(Debug)]
struct Deferred {
    feed: String,
    ids: Gap,
    /// Event times of the trades around it.
    around: (Option<i64>, i64),
    /// What was handed to the graph and has not been judged.
    sent: Vec<Gap>,
    refused: bool,
    pursuit: Pursuit,
}

/// How the tracker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pursuit {
    Open,
    /// Everything has come, after so long.
    Came(Duration),
    /// Some of it will not come, which the tracker has reported.
    GivenUp,
}

impl Deferred {
    fn has(&self, id: u64) -> bool {
        (self.ids.first_missing..=self.ids.last_missing).contains(&id)
    }

    /// Whether nothing can change any more.
    fn is_over(&self) -> bool {
        self.sent.is_empty() && self.pursuit != Pursuit::Open
    }

    /// How long it was open, if it is filled.
    fn filled(&self) -> Option<Duration> {
        match self.pursuit {
            Pursuit::Came(after) if !self.refused => Some(after),
            _ => None,
        }
    }
}

impl Pending {
    /// The order of an instrument continues over this gap.
    pub fn put_off(&mut self, feed: &str, instrument: &InstrumentId, gap: GivenUp) {
        let GivenUp { gap: Some(ids), after, before } = gap else { return };
        let deferred = Deferred {
            feed: feed.to_owned(),
            ids,
            around: (after, before),
            sent: Vec::new(),
            refused: false,
            pursuit: Pursuit::Open,
        };
        self.gaps.entry(instrument.clone()).or_default().push(deferred);
    }

    /// These ids of it go to the graph as a correction.
    pub fn send(&mut self, instrument: &InstrumentId, ids: Gap) {
        if let Some(gap) = self.find(instrument, ids.last_missing) {
            gap.sent.push(ids);
        }
    }

    /// The tracker is done with the gap of these ids, and has handed on what came: all of it, after so long;
    /// or it has given up the rest.
    pub fn end_pursuit(&mut self, instrument: &InstrumentId, ids: Gap, came: Option<Duration>) {
        if let Some(gap) = self.find(instrument, ids.first_missing) {
            gap.pursuit = came.map_or(Pursuit::GivenUp, Pursuit::Came);
            self.settle(instrument);
        }
    }

    /// The graph has judged the correction of this id. Returns what is lost by that.
    pub fn judge(&mut self, instrument: &InstrumentId, id: u64, is_lost: bool) -> Option<Lost> {
        let gap = self.find(instrument, id)?;
        let at = gap.sent.iter().position(|sent| sent.last_missing == id)?;
        let ids = gap.sent.swap_remove(at);
        gap.refused |= is_lost;
        let (after, before) = gap.around;
        let lost = is_lost.then(|| Lost {
            feed: gap.feed.clone(),
            gap: GivenUp { gap: Some(ids), after, before },
        });
        if let Some(lost) = &lost {
            let settled = self.settled.entry(lost.feed.clone()).or_default();
            settled.lost += 1;
            settled.ids_lost += ids.len();
        }
        self.settle(instrument);
        lost
    }

    /// What was settled of a feed since it was asked last.
    pub fn take(&mut self, feed: &str) -> Settled {
        self.settled.remove(feed).unwrap_or_default()
    }

    fn find(&mut self, instrument: &InstrumentId, id: u64) -> Option<&mut Deferred> {
        self.gaps.get_mut(instrument)?.iter_mut().find(|gap| gap.has(id))
    }

    fn settle(&mut self, instrument: &InstrumentId) {
        let Some(gaps) = self.gaps.get_mut(instrument) else { return };
        for over in gaps.extract_if(.., |gap| gap.is_over()) {
            if let Some(after) = over.filled() {
                self.settled.entry(over.feed).or_default().healed.push(after);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FEED: &str = "f";

    fn instrument() -> InstrumentId {
        "binance:spot:BTCUSDT".parse().unwrap()
    }

    fn ids(first_missing: u64, last_missing: u64) -> Gap {
        Gap { first_missing, last_missing }
    }

    /// A gap from 11 to 10 + `n`, put off.
    fn put_off(n: u64) -> Pending {
        let mut pending = Pending::default();
        let gap = GivenUp { gap: Some(ids(11, 10 + n)), after: Some(10), before: 20 };
        pending.put_off(FEED, &instrument(), gap);
        pending
    }

    #[test]
    fn a_refused_trade_is_lost_and_its_gap_is_not_filled() {
        let (mut pending, id) = (put_off(1), instrument());
        pending.send(&id, ids(11, 11));
        pending.end_pursuit(&id, ids(11, 11), Some(Duration::from_secs(3)));
        assert_eq!(pending.take(FEED), Settled::default(), "the graph has not said yet");
        let gap = GivenUp { gap: Some(ids(11, 11)), after: Some(10), before: 20 };
        assert_eq!(pending.judge(&id, 11, true), Some(Lost { feed: FEED.to_owned(), gap }));
        let lost = Settled { healed: vec![], lost: 1, ids_lost: 1 };
        assert_eq!(pending.take(FEED), lost);
        assert_eq!(pending.take(FEED), Settled::default(), "once");
    }

    #[test]
    fn what_was_not_put_off_is_nobodys() {
        let (mut pending, id) = (put_off(1), instrument());
        pending.send(&id, ids(9, 9));
        assert_eq!(pending.judge(&id, 9, true), None, "it was reported when it was given up");
        assert_eq!(pending.take(FEED), Settled::default());
    }

    proptest! {
        /// Whatever comes last: a gap is filled, once, if and only if all of it came and none was refused.
        #[test]
        fn a_gap_is_filled_once_or_its_losses_are_told(
            trades in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 1..6),
            came in any::<bool>(),
            done in any::<prop::sample::Index>(),
        ) {
            let (n, id) = (trades.len() as u64, instrument());
            let mut pending = put_off(n);
            for trade in 11..=10 + n {
                pending.send(&id, ids(trade, trade));
            }
            let mut order: Vec<usize> = (0..trades.len()).collect();
            order.sort_by_key(|at| trades[*at].1.index(1000));
            let done = done.index(trades.len() + 1);
            let mut lost = 0;
            for step in 0..=order.len() {
                if step == done {
                    let came = came.then_some(Duration::from_secs(1));
                    pending.end_pursuit(&id, ids(11, 10 + n), came);
                }
                if let Some(at) = order.get(step) {
                    lost += u64::from(pending.judge(&id, 11 + *at as u64, trades[*at].0).is_some());
                }
            }
            let refused = trades.iter().filter(|(refused, _)| *refused).count() as u64;
            let settled = pending.take(FEED);
            prop_assert_eq!((lost, settled.lost, settled.ids_lost), (refused, refused, refused));
            prop_assert_eq!(settled.healed.len(), usize::from(came && refused == 0));
            prop_assert!(pending.gaps[&id].is_empty());
        }
    }
}
