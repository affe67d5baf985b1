//! Numbered trades: ids show gaps; what came after the last trade has to be asked for.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use barflow_operators::gap::Gap;
use barflow_operators::revision::missing::subtract;

use super::pursuit::{GiveUp, Outcome, Pursuit, REFUSED_PAUSE};
use super::{Ask, Pursued, Question, Reply, ReportedGap, RequestFor, Step, Unanswered};
use crate::feeds::print::{Print, Standing};
use crate::feeds::reorder_buffer::{Disposition, GivenUp, ReorderBuffer};
use crate::feeds::venue::{Missing, MissingTrades};

/// How long an instrument may show by a trade of its own what was missed, before REST is asked: of the
/// busy ones of a large feed hardly any question remains.
const TAIL_WAIT: Duration = Duration::from_secs(2);

/// Pause after a failed or refused question about the latest trades.
const TAIL_PAUSE: Duration = REFUSED_PAUSE;

/// Failures in a row after which the question about the latest trades is left to the next trade.
const TAIL_FAILURES_MAX: u32 = 10;

/// Trades that the stream brings below a waiting one, and none above it, after which that one's id is not of
/// the sequence if it is [far ahead](FAR_AHEAD): the venue did not skip what is missing, it is not there yet.
const BELOW_A_STRAY: u32 = 3;

/// Missing ids that no reordering explains.
const FAR_AHEAD: u64 = 1_000_000;

/// The gaps of one instrument.
#[derive(Debug, Default)]
pub(super) struct Numbered {
    open: Option<OpenGap>,
    stream: StreamSince,
    /// Gaps that the order did not wait for, oldest first; REST is asked about one at a time.
    deferred: VecDeque<DeferredGap>,
    tail: Tail,
}

/// The gap that the order waits for.
#[derive(Clone, Copy, Debug)]
struct OpenGap {
    /// The last id of it when it was seen.
    last: u64,
    seen: Instant,
    pursuit: Pursuit,
}

/// Trades that the stream has brought since one waits: those below it and those above. Counted from that
/// trade on and not from the next tick, since all of them may come before the next tick.
#[derive(Clone, Copy, Debug, Default)]
struct StreamSince {
    below: u32,
    above: u32,
}

impl StreamSince {
    #[inline]
    fn count(&mut self, taken: Disposition, waiting: usize) {
        match taken {
            Disposition::Waits if waiting == 1 => *self = Self::default(),
            Disposition::Waits | Disposition::NoRoom => self.above = self.above.saturating_add(1),
            Disposition::Released if waiting > 0 => self.below = self.below.saturating_add(1),
            _ => {}
        }
    }

    fn shows_a_stray(self, missing: u64) -> bool {
        self.may_be_after_a_stray(missing) && self.below >= BELOW_A_STRAY
    }

    /// Whether the waiting trade may turn out to be a stray: nothing confirms an id that is far ahead.
    fn may_be_after_a_stray(self, missing: u64) -> bool {
        missing >= FAR_AHEAD && self.above == 0
    }
}

#[derive(Clone, Debug)]
struct DeferredGap {
    /// All of it.
    ids: Gap,
    /// Event times of the trades around it.
    around: (Option<i64>, i64),
    /// What of it has not come, in order.
    left: Vec<Gap>,
    seen: Instant,
    pursuit: Pursuit,
}

impl DeferredGap {
    /// What has not come, as gaps to report.
    fn report(&self, left: &[Gap], reason: &'static str) -> Vec<ReportedGap> {
        let (after, before) = self.around;
        let report =
            |gap: &Gap| ReportedGap { gap: GivenUp { gap: Some(*gap), after, before }, reason };
        left.iter().map(report).collect()
    }
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
    /// Takes the rows of an answer; whether they changed what is missing.
    fn take_rows(&mut self, step: &mut Step<'_>, rows: &[Print]) -> bool {
        if !step.wanted {
            return false;
        }
        let before = (step.order.missing(), step.order.last());
        let mut late = false;
        for print in rows {
            let taken = step.order.take(print, step.out);
            if taken == Disposition::Late {
                late = true;
                self.on_late(step.order.ids_of(print));
            }
            if let Some(bad) = step.order.contradiction(print, taken) {
                step.effects.contradictions.push((taken, bad));
            }
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

    pub(super) fn forget_gap(&mut self) {
        self.open = None;
    }

    /// Since when a gap is open, and its first id if the order continues over it.
    pub(super) fn open_gap(&self, order: &ReorderBuffer) -> Option<(Instant, Option<u64>)> {
        if let Some(deferred) = self.deferred.front() {
            return Some((deferred.seen, Some(deferred.ids.first_missing)));
        }
        let open = self.open.as_ref()?;
        // It may have been closed since it was looked at.
        let MissingTrades::Ids { first, .. } = order.missing()?.trades else { return None };
        (first <= open.last).then_some((open.seen, None))
    }

    pub(super) fn query_tail(&mut self, now: Instant) {
        self.tail.query = Some(TailQuery::new(now + TAIL_WAIT));
    }

    /// The id of a trade shows whether anything is missing before it.
    #[inline]
    pub(super) fn cancel_tail_query(&mut self) {
        self.tail.query = None;
    }

    /// What became of a trade that the stream brought, and how many wait now.
    #[inline]
    pub(super) fn on_stream(&mut self, taken: Disposition, waiting: usize) {
        self.stream.count(taken, waiting);
    }

    pub(super) fn on_tick(&mut self, mut step: Step<'_>, request_for: RequestFor<'_>) {
        self.look_at_gap(&mut step, request_for);
        self.look_at_deferred(&mut step, request_for);
        self.look_at_tail(&mut step, request_for);
    }

    pub(super) fn on_answer(&mut self, mut step: Step<'_>, question: Question, reply: Reply<'_>) {
        let news = reply.rows.map(|rows| self.take_rows(&mut step, rows));
        let newest =
            reply.rows.ok().and_then(|rows| rows.iter().map(|row| row.trade.trade_id).max());
        // Only a list that continues after what is missing says that it is not there.
        let outcome = |last: Option<u64>| match news {
            Err(Unanswered::Failed) => Outcome::Failed,
            Err(Unanswered::Refused) => Outcome::Refused,
            Ok(true) => Outcome::News,
            Ok(false) if last.is_some_and(|last| newest > Some(last)) => Outcome::Absent,
            Ok(false) => Outcome::Nothing,
        };
        match question {
            Question::Gap { .. } => {
                let outcome =
                    outcome(step.order.missing().and_then(|missing| missing.trades.last_id()));
                if let Some(open) = &mut self.open {
                    open.pursuit.on_answer(question, outcome, reply.took, step.now);
                }
            }
            Question::Deferred { .. } => {
                if let Some(deferred) = self.deferred.front_mut() {
                    let outcome = outcome(deferred.left.first().map(|gap| gap.last_missing));
                    deferred.pursuit.on_answer(question, outcome, reply.took, step.now);
                }
            }
            Question::Tail { .. } => self.tail.on_answer(news, step.now),
            // Of no venue that numbers its trades.
            Question::RecentTrades { .. } => {}
        }
    }

    /// Ids that had been given up have come.
    pub(super) fn on_late(&mut self, ids: Gap) {
        for deferred in &mut self.deferred {
            subtract(&mut deferred.left, ids);
        }
    }

    pub(super) fn end(&mut self) -> Vec<ReportedGap> {
        let reason = "the run ended before the backfill request";
        let deferred = self.deferred.drain(..);
        deferred.flat_map(|deferred| deferred.report(&deferred.left, reason)).collect()
    }

    fn look_at_gap(&mut self, step: &mut Step<'_>, request_for: RequestFor<'_>) {
        let Some(missing) = step.order.missing() else {
            step.effects.healed.extend(self.open.take().map(|open| step.now - open.seen));
            return;
        };
        if !step.wanted {
            return;
        }
        let MissingTrades::Ids { first, last } = missing.trades else { return };
        let passed = self.open.filter(|open| first > open.last);
        step.effects.healed.extend(passed.map(|open| step.now - open.seen));
        let Some(open) = self.open.as_mut().filter(|_| passed.is_none()) else {
            // What is late may come by itself; and REST may be a moment behind the websocket.
            let pursuit = Pursuit::new(step.now + step.policy.reorder_wait);
            self.open = Some(OpenGap { last, seen: step.now, pursuit });
            if passed.is_some() {
                self.stream = StreamSince::default();
            }
            step.effects.opened += 1;
            return;
        };
        if !open.pursuit.is_due(step.now) {
            return;
        }
        // An order that continued after a stray would take every later trade for a late one.
        let missing_ids = last.saturating_sub(first);
        if step.policy.defers && !self.stream.may_be_after_a_stray(missing_ids) {
            let seen = open.seen;
            self.open = None;
            if let Some(given_up @ GivenUp { gap: Some(ids), after, before }) =
                step.order.give_up(step.out)
            {
                let (around, pursuit) = ((after, before), Pursuit::new(step.now));
                let left = vec![ids];
                self.deferred.push_back(DeferredGap { ids, around, left, seen, pursuit });
                step.effects.deferred.push(given_up);
                step.effects.released = true;
            }
            return;
        }
        let question = Question::Gap { first };
        let attempts = open.pursuit.attempts();
        match open.pursuit.ask(question, request_for(&missing), step.now, &step.policy) {
            Ok(request) => step.effects.asks.push(Ask { question, request, attempts }),
            Err(_) if self.stream.shows_a_stray(missing_ids) => {
                step.effects.strays.extend(step.order.drop_strays());
                self.open = None;
            }
            // Neither the stream nor REST says that ids have jumped so far: one trade alone, in a quiet
            // market, may be a stray one, and whatever follows it would count as late.
            Err(_) if self.stream.may_be_after_a_stray(missing_ids) => {
                open.pursuit = Pursuit::new(step.now + TAIL_PAUSE);
            }
            Err(why) => {
                step.give_up(why.reason());
                // Another gap after this one starts afresh.
                self.open = None;
            }
        }
    }

    fn look_at_deferred(&mut self, step: &mut Step<'_>, request_for: RequestFor<'_>) {
        let Some(deferred) = self.deferred.front_mut() else { return };
        let Some(left) = deferred.left.first().copied() else {
            let came = Some(step.now - deferred.seen);
            step.effects.pursued.push(Pursued { ids: deferred.ids, came });
            self.deferred.pop_front();
            return;
        };
        if !deferred.pursuit.is_due(step.now) {
            return;
        }
        let first = left.first_missing;
        let question = Question::Deferred { first };
        let trades = MissingTrades::Ids { first, last: left.last_missing };
        let request = request_for(&Missing { trades, after: deferred.around.0 });
        let attempts = deferred.pursuit.attempts();
        match deferred.pursuit.ask(question, request, step.now, &step.policy) {
            Ok(request) => step.effects.asks.push(Ask { question, request, attempts }),
            Err(why) => {
                // What is proved of these ids says nothing about others of the gap.
                let kept =
                    if why == GiveUp::Absent { deferred.left.split_off(1) } else { Vec::new() };
                step.effects.gaps.extend(deferred.report(&deferred.left, why.reason()));
                (deferred.left, deferred.pursuit) = (kept, Pursuit::new(step.now));
                if deferred.left.is_empty() {
                    step.effects.pursued.push(Pursued { ids: deferred.ids, came: None });
                    self.deferred.pop_front();
                }
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
        let missing = Missing { trades: MissingTrades::Since(first), after };
        match request_for(&missing) {
            None => self.tail.query = None,
            Some(request) => {
                (query.asked, self.tail.in_flight) = (true, true);
                let (question, attempts) = (Question::Tail { first }, query.failures);
                step.effects.asks.push(Ask { question, request, attempts });
            }
        }
    }
}

impl Tail {
    /// News asks again, no news ends the query, a failure asks again a few times, a refusal until there
    /// is an answer. An answer that was asked for before the latest reconnect says nothing about what came
    /// since.
    fn on_answer(&mut self, news: Result<bool, Unanswered>, now: Instant) {
        self.in_flight = false;
        let Some(query) = self.query.filter(|query| query.asked) else { return };
        let again = |failures| TailQuery { failures, ..TailQuery::new(now + TAIL_PAUSE) };
        // What it brought may have shown a gap, which is pursued on its own.
        self.query = match news {
            Ok(true) => Some(TailQuery::new(now)),
            Err(Unanswered::Refused) => Some(again(query.failures)),
            Err(Unanswered::Failed) if query.failures < TAIL_FAILURES_MAX => {
                Some(again(query.failures + 1))
            }
            Ok(false) | Err(Unanswered::Failed) => None,
        };
    }
}
