//! The requests about one gap: when the next one is due, and when to give up.

use std::time::{Duration, Instant};

use super::{GapPolicy, Question};
use crate::feeds::venue::Request;

/// Answers in a row without news after which REST is believed not to have what is missing. More
/// than one: REST may lag behind the websocket by a moment.
const FRUITLESS_MAX: u32 = 3;

/// Pauses after an answer without news, growing with their number.
const FRUITLESS_PAUSE: Duration = Duration::from_millis(150);

/// Pause after a failed request; the sender of requests itself has waited out what the venue demanded,
/// and longer with every failure.
pub(super) const FAILED_PAUSE: Duration = Duration::from_millis(50);

/// The requests about one gap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pursuit {
    /// Since when answers bring nothing new; none before the first one, however long the queue.
    since: Option<Instant>,
    /// No request before this.
    not_before: Instant,
    /// The question whose answer is awaited.
    asked: Option<Question>,
    /// Answers in a row without news.
    fruitless: u32,
}

impl Pursuit {
    /// One that has not asked yet.
    pub(super) fn new(not_before: Instant) -> Self {
        Self { since: None, not_before, asked: None, fruitless: 0 }
    }

    /// Whether it is time for the next step.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.asked.is_none() && now >= self.not_before
    }

    /// The request to send, noted as sent.
    ///
    /// # Errors
    /// The reason for which there is none to send any more.
    pub(super) fn ask(
        &mut self,
        question: Question,
        request: Option<Request>,
        now: Instant,
        policy: &GapPolicy,
    ) -> Result<Request, &'static str> {
        let request = request.ok_or("the venue's REST does not reach back this far")?;
        if self.since.is_some_and(|since| now.duration_since(since) > policy.backfill_budget) {
            return Err("the backfill budget is exhausted");
        }
        if self.fruitless >= FRUITLESS_MAX {
            return Err("the venue's REST does not have them");
        }
        self.asked = Some(question);
        Ok(request)
    }

    /// Takes an answer: whether it brought news, or none if it failed. One to an earlier question says
    /// nothing about this gap.
    pub(super) fn on_answer(&mut self, question: Question, news: Option<bool>, now: Instant) {
        if self.asked != Some(question) {
            return;
        }
        self.asked = None;
        self.since.get_or_insert(now);
        let pause = match news {
            Some(true) => {
                // As long as trades keep coming in, the wait is worth it.
                (self.fruitless, self.since) = (0, Some(now));
                Duration::ZERO
            }
            Some(false) => {
                self.fruitless += 1;
                FRUITLESS_PAUSE * self.fruitless
            }
            None => FAILED_PAUSE,
        };
        self.not_before = now + pause;
    }
}
