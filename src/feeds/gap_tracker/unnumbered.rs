//! Unnumbered trades: a list of recent ones settles whether any are missing.

use std::time::Instant;

use super::pursuit::{Outcome, Pursuit};
use super::{Ask, Question, Reply, ReportedGap, RequestFor, Step, Unanswered};
use crate::feeds::reorder_buffer::{Disposition, GivenUp, ReorderBuffer};
use crate::feeds::venue::{Missing, MissingTrades};

/// Why trades of the moment of the last one may be missing.
const LAST_MOMENT: &str =
    "trades of this time cannot be told from those that were applied before the run began";

/// Why a suspicion is not settled.
const ENDED: &str = "the run ended before a list of recent trades showed whether any are missing";

/// The suspicion that trades are missing.
#[derive(Debug, Default)]
pub(super) struct Unnumbered {
    /// Whether a connection carries the instrument.
    listening: bool,
    gap: Option<OpenGap>,
}

#[derive(Debug)]
struct OpenGap {
    seen: Instant,
    pursuit: Pursuit,
}

impl Unnumbered {
    pub(super) fn set_listening(&mut self, listening: bool) {
        self.listening = listening;
    }

    /// Since when trades are suspected to be missing.
    pub(super) fn open_since(&self, order: &ReorderBuffer) -> Option<Instant> {
        self.gap.as_ref().filter(|_| order.missing().is_some()).map(|gap| gap.seen)
    }

    pub(super) fn forget_gap(&mut self) {
        self.gap = None;
    }

    pub(super) fn on_tick(&mut self, mut step: Step<'_>, request_for: RequestFor<'_>) {
        if let Some(gap) = step.order.take_doubt().filter(|_| step.wanted) {
            step.effects.opened += 1;
            step.effects.gaps.push(ReportedGap { gap, reason: LAST_MOMENT });
        }
        let Some(missing) = step.order.missing() else {
            step.effects.healed.extend(self.gap.take().map(|gap| step.now - gap.seen));
            return;
        };
        // Trades that come after a list was made have to come over a connection.
        if !step.wanted || !self.listening {
            return;
        }
        let Some(gap) = &mut self.gap else {
            let pursuit = Pursuit::new(step.now + step.policy.reorder_wait);
            self.gap = Some(OpenGap { seen: step.now, pursuit });
            step.effects.opened += 1;
            return;
        };
        if !gap.pursuit.is_due(step.now) {
            return;
        }
        let Some(question) = latest_question(&missing) else { return };
        let attempts = gap.pursuit.attempts();
        match gap.pursuit.ask(question, request_for(&missing), step.now, &step.policy) {
            Ok(request) => step.effects.asks.push(Ask { question, request, attempts }),
            // Where it ends shows with the next trade; until then nothing waits.
            Err(_) if !step.order.is_bounded() => gap.pursuit = Pursuit::new(step.now),
            Err(why) => {
                step.give_up(why.reason());
                self.gap = None;
            }
        }
    }

    /// The feed ends at this time, ns. That no connection carries the instrument any more is its end, and no
    /// suspicion.
    pub(super) fn end(&mut self, order: &mut ReorderBuffer, now_ns: i64) -> Vec<ReportedGap> {
        let doubt = order.take_doubt().map(|gap| ReportedGap { gap, reason: LAST_MOMENT });
        let is_open = self.gap.take().is_some() || order.waits() > 0;
        let missing = order.missing().filter(|_| is_open);
        let open = missing.map(|Missing { after, .. }| {
            let before = after.map_or(now_ns, |after| now_ns.max(after));
            ReportedGap { gap: GivenUp { gap: None, after, before }, reason: ENDED }
        });
        doubt.into_iter().chain(open).collect()
    }

    pub(super) fn on_answer(&mut self, step: Step<'_>, question: Question, reply: Reply<'_>) {
        // The place of a list that was given up has passed.
        if !self.gap.as_ref().is_some_and(|gap| gap.pursuit.awaits(question)) {
            return;
        }
        let outcome = match reply.rows {
            Err(Unanswered::Failed) => Outcome::Failed,
            Err(Unanswered::Refused) => Outcome::Refused,
            Ok(rows) => {
                let rows_of_known_names =
                    rows.iter().filter_map(|row| step.order.contradiction_in_list(row));
                let contradictions = rows_of_known_names.map(|bad| (Disposition::Conflict, bad));
                step.effects.contradictions.extend(contradictions);
                let latest = step.order.missing().as_ref().and_then(latest_question);
                let fresh = latest == Some(question);
                let (missed, gap) = step.order.reconcile(rows, fresh, step.out);
                step.effects.backfilled += missed;
                if let Some(gap) = gap {
                    if step.order.missing().is_none() {
                        // It was given up, not filled.
                        self.gap = None;
                    }
                    let reason = "the venue's list of recent trades does not reach back far enough";
                    step.effects.gaps.push(ReportedGap { gap, reason });
                }
                if step.order.missing().is_none() {
                    // What is suspected from here on is another gap.
                    step.effects.healed.extend(self.gap.take().map(|gap| step.now - gap.seen));
                }
                if missed > 0 { Outcome::News } else { Outcome::Nothing }
            }
        };
        if let Some(gap) = &mut self.gap {
            gap.pursuit.on_answer(question, outcome, reply.took, step.now);
        }
    }
}

/// The question that follows the latest interruption: only its answer was asked for since.
fn latest_question(missing: &Missing) -> Option<Question> {
    match missing.trades {
        MissingTrades::Interruption(interruption) => Some(Question::RecentTrades { interruption }),
        MissingTrades::Ids { .. } | MissingTrades::Since(_) => None,
    }
}
