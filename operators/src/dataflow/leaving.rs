//! When what an instrument's builders give may leave: at once, or in the order of event time.

use std::sync::Arc;

use super::Epoch;
use super::out::Out;
use crate::checkpoint::record::WaitingBar;
use crate::event_time::expected::{Expected, MOST_WAITING};
use crate::event_time::merge::{Merge, Rank};
use crate::instrument::InstrumentId;
use crate::published::PublishedBar;

/// The way out of one worker's builders.
#[derive(Debug)]
pub(super) enum Leaving {
    /// In the order in which instruments are read.
    AtOnce,
    /// In the order of event time.
    InOrder(InOrder),
}

/// What is needed for that order.
#[derive(Debug)]
pub(super) struct InOrder {
    merge: Merge<Waiting>,
    expected: Expected,
    /// Whom too much waits for.
    slowest: Option<InstrumentId>,
}

/// What waits for other instruments.
#[derive(Debug)]
pub(super) enum Waiting {
    /// A bar, +1 published or −1 retracted.
    Bar(PublishedBar, isize),
    /// What is said of the bars before it.
    Said(Out),
}

impl Leaving {
    /// In the order of event time if instruments are expected; `mine` are those of this worker.
    pub(super) fn new(expected: Option<&Expected>, mine: impl Fn(&InstrumentId) -> bool) -> Self {
        let Some(expected) = expected else { return Self::AtOnce };
        let mut merge = Merge::default();
        for (instrument, begin) in expected.begins().filter(|(instrument, _)| mine(instrument)) {
            merge.expect(instrument, begin);
        }
        Self::InOrder(InOrder { merge, expected: expected.clone(), slowest: None })
    }

    /// A bar of an instrument whose event time is `time`, ns, when it closes.
    pub(super) fn bar(
        &mut self,
        time: impl FnOnce() -> i64,
        bar: PublishedBar,
        diff: isize,
        epoch: Epoch,
        give: &mut impl FnMut(Out),
    ) {
        match self {
            Self::AtOnce => give(Out::Bar((bar, epoch, diff))),
            Self::InOrder(InOrder { merge, .. }) => {
                let (instrument, spec) = (bar.feed.instrument.clone(), Arc::clone(&bar.spec));
                merge.push(&instrument, time(), Rank::Bar(spec), Waiting::Bar(bar, diff));
            }
        }
    }

    /// Something about the bars of an instrument whose event time is `time`, ns.
    pub(super) fn say(
        &mut self,
        instrument: &InstrumentId,
        time: Option<i64>,
        out: Out,
        give: &mut impl FnMut(Out),
    ) {
        match self {
            Self::InOrder(InOrder { merge, .. }) => {
                merge.push(instrument, time.unwrap_or(i64::MIN), Rank::After, Waiting::Said(out));
            }
            Self::AtOnce => give(out),
        }
    }

    /// All before this time, ns, is there.
    pub(super) fn reach(&mut self, instrument: &InstrumentId, time: Option<i64>) {
        if let (Self::InOrder(InOrder { merge, .. }), Some(time)) = (self, time) {
            merge.reach(instrument, time);
        }
    }

    /// Nothing of this instrument comes any more.
    pub(super) fn end(&mut self, instrument: &InstrumentId) {
        if let Self::InOrder(InOrder { merge, .. }) = self {
            merge.end(instrument);
        }
    }

    /// Nothing comes any more.
    pub(super) fn end_all(&mut self) {
        if let Self::InOrder(InOrder { merge, .. }) = self {
            merge.end_all();
        }
    }

    /// Gives out what may leave.
    pub(super) fn leave(&mut self, epoch: Epoch, give: &mut impl FnMut(Out)) {
        let Self::InOrder(InOrder { merge, expected, slowest }) = self else { return };
        while let Some(waiting) = merge.pop(MOST_WAITING) {
            give(match waiting {
                Waiting::Bar(bar, diff) => Out::Bar((bar, epoch, diff)),
                Waiting::Said(out) => out,
            });
        }
        let now = merge.slowest().filter(|_| merge.len() > MOST_WAITING);
        if now != slowest.as_ref() {
            expected.wait_for(slowest.as_ref(), now);
            *slowest = now.cloned();
        }
    }

    /// Whether anything of an instrument waits.
    pub(super) fn holds(&self, instrument: &InstrumentId) -> bool {
        self.waiting(instrument).next().is_some()
    }

    /// How many bars of an instrument wait.
    pub(super) fn count(&self, instrument: &InstrumentId) -> usize {
        self.waiting(instrument).filter(|(_, item)| matches!(item, Waiting::Bar(..))).count()
    }

    /// The bars of an instrument that wait, in order.
    pub(super) fn bars(&self, instrument: &InstrumentId) -> Vec<WaitingBar> {
        let bar = |(time, waiting): (i64, &Waiting)| match waiting {
            Waiting::Bar(PublishedBar { spec, bar, synchronised, .. }, diff) => Some(WaitingBar {
                time,
                spec: Arc::clone(spec),
                bar: bar.clone(),
                diff: *diff,
                synchronised: *synchronised,
            }),
            Waiting::Said(_) => None,
        };
        self.waiting(instrument).filter_map(bar).collect()
    }

    fn waiting(&self, instrument: &InstrumentId) -> impl Iterator<Item = (i64, &Waiting)> {
        let merge = match self {
            Self::InOrder(InOrder { merge, .. }) => Some(merge),
            Self::AtOnce => None,
        };
        merge.into_iter().flat_map(|merge| merge.waiting(instrument))
    }
}
