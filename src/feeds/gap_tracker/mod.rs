//! What is missing of one instrument, and what is done about it.
//!
//! ```text
//!             a later id              reorder_wait               answers
//! complete ─────────────► gap is open ────────────► backfilled ──┬──► filled
//!                             │ (defers)                         └──► given up: reported as a gap
//!                             └─► deferred: the order continues at once; trades that REST brings
//!                                 later are late ones, which correct the bars
//! ```
//!
//! A tracker is pure: trades, answers and the time come in; trades in order, requests and reports come
//! out. It has no clock and no socket, so the same inputs give the same outputs, and the properties in
//! `properties.rs` hold for every schedule.
//!
//! **Invariants:** every missing id is either filled or reported, and reported at most once; an id is not
//! asked for again while the same question awaits its answer, nor after it was reported; absence is
//! proved by an answer that lists what comes after, never assumed; the budget counts our own requests and
//! pauses, not the time that a question waits in the queue of requests, nor what the venue imposes.

use std::time::{Duration, Instant};

use barflow_operators::gap::Gap;
use barflow_operators::position::LatestNames;

use self::numbered::Numbered;
use self::unnumbered::Unnumbered;
use super::plan::{FeedPlan, LastTrade};
use super::print::{BadRow, Ids, Print};
use super::reorder_buffer::{Disposition, GivenUp, Released, ReorderBuffer};
use super::venue::{Missing, Request};

mod numbered;
mod pursuit;
mod unnumbered;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod unnumbered_properties;

/// How long to wait, and how long to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GapPolicy {
    /// How long a missing trade may still arrive by itself before REST is asked.
    pub reorder_wait: Duration,
    /// How long our own requests and the pauses between them may bring nothing new before a gap is given
    /// up.
    pub backfill_budget: Duration,
    /// Whether the order continues over a gap at once; only where the venue numbers its trades.
    pub defers: bool,
}

impl GapPolicy {
    /// The policy of a feed.
    pub fn of(plan: &FeedPlan) -> Self {
        Self {
            reorder_wait: plan.reorder_wait,
            backfill_budget: plan.backfill_budget,
            defers: plan.revises,
        }
    }
}

/// What a request is about; an answer carries it back, since by then something else may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// The ids, from this one on, that the order waits for.
    Gap {
        /// The first of them.
        first: u64,
    },
    /// A list of recent trades, where trades have no numbers.
    RecentTrades {
        /// Number of the interruption that it follows.
        interruption: u64,
    },
    /// The ids, from this one on, of a gap that the order did not wait for.
    Deferred {
        /// The first of them.
        first: u64,
    },
    /// Whatever came after the last trade.
    Tail {
        /// The id after the last one.
        first: u64,
    },
}

impl Question {
    /// The lower, the sooner it is asked where several instruments have one: gaps hold bars up.
    pub fn priority(self) -> u8 {
        match self {
            Self::Gap { .. } | Self::RecentTrades { .. } => 0,
            Self::Deferred { .. } => 1,
            Self::Tail { .. } => 2,
        }
    }
}

/// A request to the venue's REST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// What it is about.
    pub question: Question,
    /// The request itself.
    pub request: Request,
    /// How often it was asked in vain; those with fewest attempts go first.
    pub attempts: u32,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reply<'a> {
    /// The rows of the answer, oldest first.
    pub rows: Result<&'a [Print], Unanswered>,
    /// How long the request itself was out, without the time that it waited to be sent.
    pub took: Duration,
}

/// The end of the search for the ids of a gap that the order did not wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pursued {
    /// The whole gap.
    pub ids: Gap,
    /// How long it was open until everything had come; none if something was given up.
    pub came: Option<Duration>,
}

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// It failed.
    Failed,
    /// The venue refused it for now: a rate limit, a ban, a server error.
    Refused,
}

/// Trades that will not come, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportedGap {
    /// Where they are missing.
    pub gap: GivenUp,
    /// Why they were given up.
    pub reason: &'static str,
}

/// The result of a step of the tracker, apart from the trades that it releases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Requests to send.
    pub asks: Vec<Ask>,
    /// Gaps to report.
    pub gaps: Vec<ReportedGap>,
    /// Gaps that were seen for the first time.
    pub opened: u64,
    /// How long those gaps had been open that were filled, by whichever way, before the order went on.
    pub healed: Vec<Duration>,
    /// Gaps over which the order continues.
    pub deferred: Vec<GivenUp>,
    /// Those of them that need nothing more from here.
    pub pursued: Vec<Pursued>,
    /// Trades that REST brought.
    pub backfilled: u64,
    /// Why ids that REST brought are not trades, one entry each.
    pub excluded: Vec<&'static str>,
    /// What contradicts trades that came before, with its disposition.
    pub contradictions: Vec<(Disposition, BadRow)>,
    /// Trades whose ids belong to no sequence.
    pub strays: Vec<BadRow>,
    /// Whether anything may have been released.
    pub released: bool,
}

/// Builds the request for what is missing; none if REST cannot supply it.
pub type RequestFor<'a> = &'a dyn Fn(&Missing) -> Option<Request>;

/// What a step works with.
struct Step<'a> {
    now: Instant,
    policy: GapPolicy,
    /// Whether the instrument's trades count.
    wanted: bool,
    order: &'a mut ReorderBuffer,
    out: &'a mut Released,
    effects: &'a mut Effects,
}

impl Step<'_> {
    /// Ends the wait: what is missing is reported, and the order continues.
    fn give_up(&mut self, reason: &'static str) {
        if let Some(gap) = self.order.give_up(self.out) {
            self.effects.gaps.push(ReportedGap { gap, reason });
            self.effects.released = true;
        }
    }
}

/// The order of one instrument and its gaps.
#[derive(Debug)]
pub struct GapTracker {
    policy: GapPolicy,
    wanted: bool,
    order: ReorderBuffer,
    gaps: Gaps,
}

/// What is known to be missing, by how the venue identifies trades.
#[derive(Debug)]
enum Gaps {
    /// Ids show what is missing.
    Numbered(Numbered),
    /// Nothing shows what is missing: after a lost connection a list of recent trades has to be compared.
    Unnumbered(Unnumbered),
}

impl GapTracker {
    /// A tracker that begins with the first trade, or after one that was applied before; at most
    /// `waiting_room` trades wait for a missing one.
    pub fn new(
        ids: Ids,
        waiting_room: usize,
        policy: GapPolicy,
        resume_after: Option<&LastTrade>,
    ) -> Self {
        let mut order = ReorderBuffer::new(ids, waiting_room);
        if let Some(last) = resume_after {
            order.resume_after(last);
            order.suspect();
        }
        let gaps = match ids {
            Ids::Consecutive | Ids::Spans => Gaps::Numbered(Numbered::default()),
            Ids::Names => Gaps::Unnumbered(Unnumbered::default()),
        };
        Self { policy, wanted: true, order, gaps }
    }

    /// The instrument was removed from the feed: its trades no longer count.
    pub fn remove(&mut self) {
        self.wanted = false;
        match &mut self.gaps {
            Gaps::Numbered(gaps) => gaps.forget_gap(),
            Gaps::Unnumbered(gaps) => gaps.forget_gap(),
        }
    }

    /// The instrument was added again: its trades did not count meanwhile.
    pub fn add_again(&mut self) {
        self.wanted = true;
        self.order.suspect();
    }

    /// Whether the instrument's trades count.
    pub fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Id of the last trade that is settled, and its event time where it is known.
    pub fn last(&self) -> Option<(u64, Option<i64>)> {
        self.order.last()
    }

    /// The last trade that is settled, to continue after.
    pub fn last_trade(&self) -> Option<LastTrade> {
        let (id, time) = self.order.last()?;
        Some(match self.order.latest() {
            Some(latest) => LastTrade {
                id,
                time: Some(latest.event_time),
                names: latest.names,
                ..LastTrade::default()
            },
            None => {
                let recent = self.order.recent().copied().collect();
                LastTrade { id, time, recent, ..LastTrade::default() }
            }
        })
    }

    /// What is wrong with a trade of such a disposition; none if nothing is.
    pub fn contradiction(&self, print: &Print, taken: Disposition) -> Option<BadRow> {
        self.order.contradiction(print, taken)
    }

    /// How many trades wait for missing ones.
    pub fn waits(&self) -> usize {
        self.order.waits()
    }

    /// The gap that is open: since when, and its first id if the order continues over it.
    pub fn open_gap(&self) -> Option<(Instant, Option<u64>)> {
        if !self.wanted {
            return None;
        }
        match &self.gaps {
            Gaps::Numbered(gaps) => gaps.open_gap(&self.order),
            Gaps::Unnumbered(gaps) => Some((gaps.open_since(&self.order)?, None)),
        }
    }

    /// The latest trades that were released, where trades have no numbers.
    pub fn latest(&self) -> Option<LatestNames> {
        self.order.latest()
    }

    /// Takes a trade that a connection brought; none if the instrument's trades do not count.
    #[inline]
    pub fn on_trade(&mut self, print: &Print, out: &mut Released) -> Option<Disposition> {
        if let Gaps::Numbered(gaps) = &mut self.gaps {
            gaps.cancel_tail_query();
        }
        if !self.wanted {
            return None;
        }
        let taken = self.order.take(print, out);
        if let Gaps::Numbered(gaps) = &mut self.gaps {
            gaps.on_stream(taken, self.order.waits());
            if taken == Disposition::Late {
                gaps.on_late(self.order.ids_of(print));
            }
        }
        Some(taken)
    }

    /// No connection carries the instrument any more, or another one begins to. Unnumbered trades are
    /// suspect from here on: the first one of a new connection must not pass for the one after the last.
    pub fn on_disconnect(&mut self) {
        self.order.suspect();
        if let Gaps::Unnumbered(gaps) = &mut self.gaps {
            gaps.set_listening(false);
        }
    }

    /// A connection carries the instrument. Only now is a list of recent trades of use: it has to end
    /// with what the connection brought.
    pub fn on_subscribed(&mut self) {
        if let Gaps::Unnumbered(gaps) = &mut self.gaps {
            gaps.set_listening(true);
        }
    }

    /// A connection carries the instrument, after a time without any.
    pub fn on_reconnect(&mut self, now: Instant) {
        if let Gaps::Numbered(gaps) = &mut self.gaps
            && self.order.last().is_some()
        {
            gaps.query_tail(now);
        }
    }

    /// Opens, asks about and closes gaps, as far as it is time.
    pub fn on_tick(
        &mut self,
        now: Instant,
        request_for: RequestFor<'_>,
        out: &mut Released,
    ) -> Effects {
        let mut effects = Effects::default();
        let Self { policy, wanted, order, gaps } = self;
        let step =
            Step { now, policy: *policy, wanted: *wanted, order, out, effects: &mut effects };
        match gaps {
            Gaps::Numbered(gaps) => gaps.on_tick(step, request_for),
            Gaps::Unnumbered(gaps) => gaps.on_tick(step, request_for),
        }
        effects
    }

    /// Takes what came of a request.
    pub fn on_answer(
        &mut self,
        question: Question,
        reply: Reply<'_>,
        now: Instant,
        out: &mut Released,
    ) -> Effects {
        let mut effects = Effects { released: reply.rows.is_ok(), ..Effects::default() };
        let Self { policy, wanted, order, gaps } = self;
        let step =
            Step { now, policy: *policy, wanted: *wanted, order, out, effects: &mut effects };
        match gaps {
            Gaps::Numbered(gaps) => gaps.on_answer(step, question, reply),
            Gaps::Unnumbered(gaps) => gaps.on_answer(step, question, reply),
        }
        effects
    }

    /// The feed ends at this time, ns: deferred gaps are reported, and where trades have no numbers that some
    /// may be missing. Ids that the order waits for are not, since a run that resumes asks for them again.
    pub fn end(&mut self, now_ns: i64) -> Vec<ReportedGap> {
        match &mut self.gaps {
            Gaps::Numbered(gaps) => gaps.end(),
            Gaps::Unnumbered(gaps) if self.wanted => gaps.end(&mut self.order, now_ns),
            Gaps::Unnumbered(_) => Vec::new(),
        }
    }
}
