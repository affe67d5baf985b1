//! What is missing of the instruments of a feed, and what became of the questions about it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use barflow_operators::batch::IdKind;
use barflow_operators::instrument::InstrumentId;
use barflow_operators::sequence::Gap;

use super::{Hub, Slot};
use crate::feeds::lane::{GivenUp, Lane, Taken};
use crate::feeds::plan::Symbol;
use crate::feeds::print::Prints;
use crate::feeds::session::owed::Owed;
use crate::feeds::venue::{Ids, Missing, MissingFrom};
use crate::sinks::gaps::UnfilledGap;
use crate::telemetry::clock::now_ns;

/// How long an instrument may bring nothing at all before somebody should look at its name: Binance
/// confirms subscriptions to what it does not have.
const SILENCE: Duration = Duration::from_secs(300);

/// How long an instrument may show by a trade of its own what was missed, before REST is asked: of the
/// busy ones of a large feed hardly any question remains.
const TAIL_WAIT: Duration = Duration::from_secs(2);

/// A question about what came after the last trade, asked when nobody had listened for a while:
/// without it, the trades before a pause of the market would only show when the pause ends.
#[derive(Clone, Copy, Debug)]
pub(in crate::feeds) struct Tail {
    pub(in crate::feeds) asked: bool,
    pub(in crate::feeds) next: Instant,
    pub(in crate::feeds) failures: u32,
}

/// A gap that is being waited for or asked about.
#[derive(Clone, Copy, Debug)]
pub(in crate::feeds) struct OpenGap {
    /// Since when answers bring nothing; none before the first one, however long the line of questions.
    pub(in crate::feeds) since: Option<Instant>,
    /// The last id of it.
    pub(in crate::feeds) last: u64,
    /// No question before this.
    pub(in crate::feeds) next: Instant,
    /// Where that which is asked about begins, while an answer is awaited.
    pub(in crate::feeds) asked: Option<MissingFrom>,
    /// Answers in a row that brought nothing.
    pub(in crate::feeds) fruitless: u32,
}

impl Hub {
    /// Nobody listens to these slots any more, or a connection begins to. Prints without numbers are
    /// held from here on: the first one of a new connection must not pass for the one after the last.
    pub(in crate::feeds) fn deaf(&mut self, slots: &[u32]) {
        for at in slots {
            let slot = &mut self.slots[*at as usize];
            slot.heard = false;
            slot.lane.doubt();
        }
    }

    /// These slots are listened to: a list of recent trades is of use, which ends with what is held.
    pub(in crate::feeds) fn listened(&mut self, slots: &[u32], now: Instant) {
        for at in slots {
            let slot = &mut self.slots[*at as usize];
            slot.heard = true;
            if slot.lane.last().is_none() {
                slot.silent_since.get_or_insert(now);
            }
        }
    }

    /// Nobody had listened to these slots until now.
    pub(in crate::feeds) fn doubt(&mut self, slots: &[u32], now: Instant) {
        for at in slots {
            let slot = &mut self.slots[*at as usize];
            // Of prints without numbers the lane itself waits for a list.
            if slot.lane.last().is_some() && slot.feed.ids != IdKind::Ordinal {
                slot.tail = Some(Tail { asked: false, next: now + TAIL_WAIT, failures: 0 });
            }
        }
    }

    /// Instruments that are listened to and have brought nothing for long; each is named once.
    pub(in crate::feeds) fn silent(&mut self, now: Instant) -> Vec<InstrumentId> {
        let silent = |slot: &&mut Slot| {
            let since = slot.silent_since.filter(|_| slot.active);
            since.is_some_and(|since| now.duration_since(since) > SILENCE)
        };
        let name = |slot: &mut Slot| {
            slot.silent_since = None;
            slot.symbol.instrument.clone()
        };
        self.slots.iter_mut().filter(silent).map(name).collect()
    }

    /// Slots whose latest trades are in question, with where the question begins.
    pub(in crate::feeds) fn tails(&self) -> Vec<(u32, Tail, Missing)> {
        let slots = self.slots.iter().enumerate().filter(|(_, slot)| slot.active);
        slots
            .filter_map(|(at, slot)| {
                let (id, time) = slot.lane.last()?;
                let first = MissingFrom::Id(id.saturating_add(1));
                let missing = Missing { first, last: u64::MAX, after: time, before: i64::MAX };
                Some((at as u32, slot.tail?, missing))
            })
            .collect()
    }

    pub(in crate::feeds) fn tail_mut(&mut self, at: u32) -> &mut Option<Tail> {
        &mut self.slots[at as usize].tail
    }

    /// Slots that wait for something, with what they wait for.
    pub(in crate::feeds) fn waiting(&self) -> Vec<(u32, Missing)> {
        // A list of recent prints is of use once the prints after it are listened to.
        let numbered = self.plan.venue.ids(self.plan.channel) != Ids::Names;
        let ready = |slot: &Slot| slot.active && (numbered || slot.heard);
        let slots = self.slots.iter().enumerate().filter(|(_, slot)| ready(slot));
        slots.filter_map(|(at, slot)| Some((at as u32, slot.lane.missing()?))).collect()
    }

    /// What a slot waits for, whether or not anybody listens.
    pub(in crate::feeds) fn missing(&self, at: u32) -> Option<Missing> {
        self.slots[at as usize].lane.missing()
    }

    pub(in crate::feeds) fn gap_mut(&mut self, at: u32) -> &mut Option<OpenGap> {
        &mut self.slots[at as usize].gap
    }

    /// Slots whose gap is noted as open.
    pub(in crate::feeds) fn open_gaps(&self) -> Vec<u32> {
        let slots = self.slots.iter().enumerate();
        slots.filter(|(_, slot)| slot.gap.is_some()).map(|(at, _)| at as u32).collect()
    }

    pub(in crate::feeds) fn symbol(&self, at: u32) -> &Symbol {
        &self.slots[at as usize].symbol
    }

    /// Takes the rows of an answer to a question about what begins at `first`; true if they changed
    /// what is missing.
    pub(in crate::feeds) fn take_backfill(
        &mut self,
        at: u32,
        first: MissingFrom,
        prints: &Prints,
        body: &[u8],
    ) -> bool {
        let state = |lane: &Lane| (lane.missing(), lane.last());
        let before = state(&self.slots[at as usize].lane);
        let received = now_ns();
        let duplicates = self.counters.duplicates;
        for bad in &prints.bad {
            self.report_row(bad, &[at], body);
        }
        if self.plan.venue.ids(self.plan.channel) == Ids::Names {
            let slot = &mut self.slots[at as usize];
            let fresh = slot.lane.missing().is_some_and(|missing| missing.first == first);
            let (missed, gap) = slot.lane.reconcile(&prints.rows, fresh, &mut slot.released);
            self.counters.backfilled += missed;
            if let Some(gap) = gap {
                if slot.lane.missing().is_none() {
                    // It was given up, not filled.
                    slot.gap = None;
                }
                self.note_gap(at, &gap, "the venue's list of recent trades does not reach back");
            }
            self.touch(at, received);
            return missed > 0;
        }
        let mut late = false;
        for print in &prints.rows {
            let taken = self.take(at, print, received);
            if matches!(taken, Taken::Released | Taken::Waits | Taken::Late) {
                late |= taken == Taken::Late;
                self.counters.backfilled += 1;
            }
        }
        // Rows of the list that had come already are no news.
        self.counters.duplicates = duplicates;
        self.touch(at, received);
        late || state(&self.slots[at as usize].lane) != before
    }

    /// Ends the wait of a slot: what is missing becomes a gap on the ledger.
    pub(in crate::feeds) fn give_up(&mut self, at: u32, reason: &str) {
        let slot = &mut self.slots[at as usize];
        let Some(gap) = slot.lane.give_up(&mut slot.released) else { return };
        self.note_gap(at, &gap, reason);
        self.touch(at, now_ns());
    }

    /// Ends the wait of a slot for now: its order goes on, and what is missing is owed.
    pub(in crate::feeds) fn pass_over(&mut self, at: u32, owed: Owed) {
        let slot = &mut self.slots[at as usize];
        if slot.lane.give_up(&mut slot.released).is_some() {
            slot.owed.push_back(owed);
            self.touch(at, now_ns());
        }
    }

    /// Slots that are owed something.
    pub(in crate::feeds) fn owing(&self) -> Vec<u32> {
        let slots = self.slots.iter().enumerate();
        slots.filter(|(_, slot)| !slot.owed.is_empty()).map(|(at, _)| at as u32).collect()
    }

    pub(in crate::feeds) fn owed_mut(&mut self, at: u32) -> &mut VecDeque<Owed> {
        &mut self.slots[at as usize].owed
    }

    /// The first part of what was missing that still is.
    pub(in crate::feeds) fn still_missing(&self, at: u32, missing: &Missing) -> Option<Missing> {
        let gap = self.slots[at as usize].lane.owed(missing).next()?;
        let first = MissingFrom::Id(gap.first_missing);
        Some(Missing { first, last: gap.last_missing, ..*missing })
    }

    /// What is owed will not come: it becomes a gap on the ledger.
    pub(in crate::feeds) fn give_up_owed(&mut self, at: u32, missing: &Missing, reason: &str) {
        let gaps: Vec<Gap> = self.slots[at as usize].lane.owed(missing).collect();
        for gap in gaps {
            let gap = GivenUp { gap: Some(gap), after: missing.after, before: missing.before };
            self.note_gap(at, &gap, reason);
        }
    }

    fn note_gap(&mut self, at: u32, gap: &GivenUp, reason: &str) {
        let instrument = &self.slots[at as usize].symbol.instrument;
        self.counters.gaps_given_up += 1;
        self.counters.ids_given_up += gap.gap.map_or(0, |gap| gap.len());
        let (first, last) = gap.gap.map_or((0, 0), |gap| (gap.first_missing, gap.last_missing));
        let what = match gap.gap {
            Some(_) => "trades are missing; the next bar spans a gap",
            None => "trades are missing; no bar tells, since this venue has no ids",
        };
        tracing::error!(
            feed = %self.plan.name,
            %instrument,
            first_missing = first,
            last_missing = last,
            after_time = gap.after,
            before_time = gap.before,
            reason,
            "{what}"
        );
        let unfilled = UnfilledGap {
            feed: &self.plan.name,
            instrument: instrument.as_str(),
            first_missing: gap.gap.map(|gap| gap.first_missing),
            last_missing: gap.gap.map(|gap| gap.last_missing),
            after_time: gap.after,
            before_time: gap.before,
            reason,
        };
        if let Err(error) = self.outlets.gaps.note(&unfilled) {
            tracing::error!(%error, "the gap could not be written to the ledger");
        }
    }
}
