//! Unnumbered trades: a list of recent ones settles whether any are missing.

use super::pursuit::Pursuit;
use super::{Ask, Question, ReportedGap, RequestFor, Step};
use crate::feeds::print::Print;
use crate::feeds::venue::{Missing, MissingFrom};

/// The suspicion that trades are missing.
#[derive(Debug, Default)]
pub(super) struct Unnumbered {
    /// Whether a connection carries the instrument.
    listening: bool,
    gap: Option<Pursuit>,
}

impl Unnumbered {
    pub(super) fn set_listening(&mut self, listening: bool) {
        self.listening = listening;
    }

    pub(super) fn forget_gap(&mut self) {
        self.gap = None;
    }

    pub(super) fn on_tick(&mut self, mut step: Step<'_>, request_for: RequestFor<'_>) {
        let Some(missing) = step.order.missing() else {
            step.effects.filled += u64::from(self.gap.take().is_some());
            return;
        };
        // Trades that come after a list was made have to come over a connection.
        if !step.wanted || !self.listening {
            return;
        }
        let Some(pursuit) = &mut self.gap else {
            self.gap = Some(Pursuit::new(step.now + step.policy.reorder_wait));
            step.effects.opened += 1;
            return;
        };
        if !pursuit.is_due(step.now) {
            return;
        }
        let Some(question) = latest_question(&missing) else { return };
        match pursuit.ask(question, request_for(&missing), step.now, &step.policy) {
            Ok(request) => step.effects.asks.push(Ask { question, request }),
            Err(reason) => {
                step.give_up(reason);
                self.gap = None;
            }
        }
    }

    pub(super) fn on_answer(&mut self, step: Step<'_>, question: Question, rows: Option<&[Print]>) {
        let news = rows.map(|rows| {
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
            missed > 0
        });
        if let Some(pursuit) = &mut self.gap {
            pursuit.on_answer(question, news, step.now);
        }
    }
}

/// The question that follows the latest interruption: only its answer was asked for since.
fn latest_question(missing: &Missing) -> Option<Question> {
    match missing.first {
        MissingFrom::Interruption(interruption) => Some(Question::RecentTrades { interruption }),
        MissingFrom::Id(_) => None,
    }
}
