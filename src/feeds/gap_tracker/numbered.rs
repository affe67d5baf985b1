//! Numbered trades: ids show gaps; what came after the last trade has to be asked for.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::pursuit::{FAILED_PAUSE, Pursuit};
use super::{Ask, Question, ReportedGap, RequestFor, Step};
use crate::feeds::print::{Print, Standing};
use crate::feeds::reorder_buffer::{Disposition, GivenUp, ReorderBuffer};
use crate::feeds::venue::{Missing, MissingFrom};

/// How long an instrument may show by a trade of its own what was missed, before REST is asked: of the
/// busy ones of a large feed hardly any question remains.
const TAIL_WAIT: Duration = Duration::from_secs(2);

/// Failures in a row after which the question about the latest trades is left to the next trade.
const TAIL_FAILURES_MAX: u32 = 10;

/// The gaps of one instrument.
#[derive(Debug, Default)]
pub(super) struct Numbered {
    open: Option<OpenGap>,
    /// Gaps that the order did not wait for, oldest first; REST is asked about one at a time.
    deferred: VecDeque<DeferredGap>,
    tail: Tail,
}

/// The gap that the order waits for.
#[derive(Clone, Copy, Debug)]
struct OpenGap {
    /// The last id of it when it was seen.
    last: u64,
    pursuit: Pursuit,
}

#[derive(Clone, Copy, Debug)]
struct DeferredGap {
    missing: Missing,
    pursuit: Pursuit,
}

/// The question what came after the last trade, asked when no connection carried the instrument for a
/// while: without it, trades before a pause of the market would only show when the pause ends.
#[derive(Clone, Copy, Debug, Default)]
struct Tail {
    query: Option<TailQuery>,
    /// Whether an answer is under way, be it to a query that is no longer wanted.
    in_flight: bool,
}

#[derive(Clone, Copy, Debug)]
struct TailQuery {
    /// Not asked before this.
    not_before: Instant,
    /// Whether the answer under way is to this query.
    asked: bool,
    failures: u32,
}

impl TailQuery {
    fn new(not_before: Instant) -> Self {
        Self { not_before, asked: false, failures: 0 }
    }
}

impl Numbered {
    pub(super) fn forget_gap(&mut self) {
        self.open = None;
    }

    pub(super) fn query_tail(&mut self, now: Instant) {
        self.tail.query = Some(TailQuery::new(now + TAIL_WAIT));
    }

    /// The id of a trade shows whether anything is missing before it.
    #[inline]
    pub(super) fn cancel_tail_query(&mut self) {
        self.tail.query = None;
    }

    pub(super) fn on_tick(&mut self, mut step: Step<'_>, request_for: RequestFor<'_>) {
        self.look_at_gap(&mut step, request_for);
        self.look_at_deferred(&mut step, request_for);
        self.look_at_tail(&mut step, request_for);
    }

    pub(super) fn on_answer(
        &mut self,
        mut step: Step<'_>,
        question: Question,
        rows: Option<&[Print]>,
    ) {
        let news = rows.map(|rows| take_rows(&mut step, rows));
        match question {
            Question::Gap { .. } => {
                if let Some(open) = &mut self.open {
                    open.pursuit.on_answer(question, news, step.now);
                }
            }
            Question::Deferred { .. } => {
                if let Some(deferred) = self.deferred.front_mut() {
                    deferred.pursuit.on_answer(question, news, step.now);
                }
            }
            Question::Tail { .. } => self.tail.on_answer(news, step.now),
            // Of no venue that numbers its trades.
            Question::RecentTrades { .. } => {}
        }
    }

    pub(super) fn end(&mut self, order: &ReorderBuffer) -> Vec<ReportedGap> {
        let reason = "the run ended before the backfill request";
        let deferred = self.deferred.drain(..);
        deferred.flat_map(|deferred| remaining(order, &deferred.missing, reason)).collect()
    }

    fn look_at_gap(&mut self, step: &mut Step<'_>, request_for: RequestFor<'_>) {
        let Some(missing) = step.order.missing() else {
            step.effects.filled += u64::from(self.open.take().is_some());
            return;
        };
        if !step.wanted {
            return;
        }
        let MissingFrom::Id(first) = missing.first else { return };
        let passed = self.open.is_some_and(|open| first > open.last);
        let Some(open) = self.open.as_mut().filter(|_| !passed) else {
            // What is late may come by itself; and REST may be a moment behind the websocket.
            let pursuit = Pursuit::new(step.now + step.policy.reorder_wait);
            self.open = Some(OpenGap { last: missing.last, pursuit });
            step.effects.opened += 1;
            step.effects.filled += u64::from(passed);
            return;
        };
        if !open.pursuit.is_due(step.now) {
            return;
        }
        if step.policy.defers {
            self.open = None;
            if step.order.give_up(step.out).is_some() {
                self.deferred.push_back(DeferredGap { missing, pursuit: Pursuit::new(step.now) });
                step.effects.released = true;
            }
            return;
        }
        let question = Question::Gap { first };
        match open.pursuit.ask(question, request_for(&missing), step.now, &step.policy) {
            Ok(request) => step.effects.asks.push(Ask { question, request }),
            Err(reason) => {
                step.give_up(reason);
                // Another gap after this one starts afresh.
                self.open = None;
            }
        }
    }

    fn look_at_deferred(&mut self, step: &mut Step<'_>, request_for: RequestFor<'_>) {
        let Some(deferred) = self.deferred.front_mut() else { return };
        let Some(left) = step.order.unfilled(&deferred.missing).next() else {
            step.effects.filled += 1;
            self.deferred.pop_front();
            return;
        };
        if !deferred.pursuit.is_due(step.now) {
            return;
        }
        let first = left.first_missing;
        let question = Question::Deferred { first };
        let request = request_for(&Missing {
            first: MissingFrom::Id(first),
            last: left.last_missing,
            ..deferred.missing
        });
        match deferred.pursuit.ask(question, request, step.now, &step.policy) {
            Ok(request) => step.effects.asks.push(Ask { question, request }),
            Err(reason) => {
                step.effects.gaps.extend(remaining(step.order, &deferred.missing, reason));
                self.deferred.pop_front();
            }
        }
    }

    fn look_at_tail(&mut self, step: &mut Step<'_>, request_for: RequestFor<'_>) {
        // A known gap comes first; what follows it shows by itself.
        if !step.wanted || self.open.is_some() || self.tail.in_flight {
            return;
        }
        let Some(query) = &mut self.tail.query else { return };
        let Some((id, after)) = step.order.last().filter(|_| step.now >= query.not_before) else {
            return;
        };
        let first = id.saturating_add(1);
        let last = u64::MAX;
        let missing = Missing { first: MissingFrom::Id(first), last, after, before: i64::MAX };
        match request_for(&missing) {
            None => self.tail.query = None,
            Some(request) => {
                (query.asked, self.tail.in_flight) = (true, true);
                step.effects.asks.push(Ask { question: Question::Tail { first }, request });
            }
        }
    }
}

impl Tail {
    /// News asks again, no news ends the query, a failure asks again a few times. An answer that was asked
    /// for before the latest reconnect says nothing about what came since.
    fn on_answer(&mut self, news: Option<bool>, now: Instant) {
        self.in_flight = false;
        let Some(query) = self.query.filter(|query| query.asked) else { return };
        // What it brought may have shown a gap, which is pursued on its own.
        self.query = match news {
            Some(true) => Some(TailQuery::new(now)),
            None if query.failures < TAIL_FAILURES_MAX => Some(TailQuery {
                failures: query.failures + 1,
                ..TailQuery::new(now + FAILED_PAUSE)
            }),
            Some(false) | None => None,
        };
    }
}

/// Takes the rows of an answer; whether they changed what is missing.
fn take_rows(step: &mut Step<'_>, rows: &[Print]) -> bool {
    if !step.wanted {
        return false;
    }
    let before = (step.order.missing(), step.order.last());
    let mut late = false;
    for print in rows {
        let taken = step.order.take(print, step.out);
        late |= taken == Disposition::Late;
        if matches!(taken, Disposition::Released | Disposition::Late | Disposition::Waits) {
            step.effects.backfilled += 1;
        }
        if let (Disposition::Released | Disposition::Late, Standing::Excluded(why)) =
            (taken, print.standing)
        {
            step.effects.excluded.push(why);
        }
    }
    late || (step.order.missing(), step.order.last()) != before
}

/// What of a deferred gap has not come, as gaps to report.
fn remaining(order: &ReorderBuffer, missing: &Missing, reason: &'static str) -> Vec<ReportedGap> {
    let report = |gap| {
        let gap = GivenUp { gap: Some(gap), after: missing.after, before: missing.before };
        ReportedGap { gap, reason }
    };
    order.unfilled(missing).map(report).collect()
}
