//! The requests about one gap: when the next one is due, and when to give up.

use std::time::{Duration, Instant};

use super::{GapPolicy, Question};
use crate::feeds::venue::Request;

/// Answers that list what comes after the missing trades and not these, after which REST is believed
/// not to have them. More than one: a venue has several servers.
const ABSENT_MAX: u32 = 3;

/// First pause after an answer that proves nothing, or after a failure; it doubles with every one.
const FIRST_PAUSE: Duration = Duration::from_millis(150);

/// Longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// First pause after a request that was refused; the sender of requests itself waits as long as the
/// venue demands.
pub(super) const REFUSED_PAUSE: Duration = Duration::from_millis(50);

/// How long a gap may stay without news in any case, whatever is refused and however long the queue.
pub(super) const LONGEST: Duration = Duration::from_secs(3600);

/// What came of a request, as far as one gap is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It brought some of what is missing.
    News,
    /// It lists what comes after the missing trades, and not these.
    Absent,
    /// It proves nothing: it may lag behind the websocket.
    Nothing,
    /// It failed.
    Failed,
    /// The venue refused it for now: a rate limit, a ban, a server error.
    Refused,
}

/// Why nothing is requested any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GiveUp {
    /// There is no request for it.
    OutOfReach,
    /// REST has proved that it does not have it.
    Absent,
    /// The budget is exhausted.
    Budget,
    /// There was no answer for too long.
    Overdue,
}

impl GiveUp {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::OutOfReach => "the venue's REST does not reach back this far",
            Self::Absent => "the venue's REST does not have them",
            Self::Budget => "the backfill budget is exhausted",
            Self::Overdue => "the venue's REST refused every request for an hour",
        }
    }
}

/// The requests about one gap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pursuit {
    /// Since when there is no news; none before the first request.
    since: Option<Instant>,
    /// Time that requests without news were out, and pauses of ours after them. Time in the queue of
    /// requests, and time that the venue imposes, are not in it.
    spent: Duration,
    /// No request before this.
    not_before: Instant,
    /// The question whose answer is awaited.
    asked: Option<Question>,
    /// Requests without news, refused ones among them.
    attempts: u32,
    /// Of these, requests that were not refused.
    fruitless: u32,
    /// Of these, answers that prove that REST does not have what is missing.
    absent: u32,
    /// Requests in a row that were refused.
    refused: u32,
}

impl Pursuit {
    /// One that has not asked yet.
    pub(super) fn new(not_before: Instant) -> Self {
        Self {
            since: None,
            spent: Duration::ZERO,
            not_before,
            asked: None,
            attempts: 0,
            fruitless: 0,
            absent: 0,
            refused: 0,
        }
    }

    /// Whether it is time for the next step.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.asked.is_none() && now >= self.not_before || self.is_overdue(now)
    }

    fn is_overdue(&self, now: Instant) -> bool {
        self.since.is_some_and(|since| now.duration_since(since) > LONGEST)
    }

    /// Whether this is the question whose answer is awaited.
    pub(super) fn awaits(&self, question: Question) -> bool {
        self.asked == Some(question)
    }

    /// Requests without news so far.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The request to send, noted as sent.
    ///
    /// # Errors
    /// When there is none to send any more.
    pub(super) fn ask(
        &mut self,
        question: Question,
        request: Option<Request>,
        now: Instant,
        policy: &GapPolicy,
    ) -> Result<Request, GiveUp> {
        let request = request.ok_or(GiveUp::OutOfReach)?;
        if self.absent >= ABSENT_MAX {
            return Err(GiveUp::Absent);
        }
        if self.spent >= policy.backfill_budget {
            return Err(GiveUp::Budget);
        }
        if self.is_overdue(now) {
            return Err(GiveUp::Overdue);
        }
        self.since.get_or_insert(now);
        self.asked = Some(question);
        Ok(request)
    }

    /// Takes what came of a request that was out for so long. One about an earlier question says
    /// nothing about this gap.
    pub(super) fn on_answer(
        &mut self,
        question: Question,
        outcome: Outcome,
        took: Duration,
        now: Instant,
    ) {
        if !self.awaits(question) {
            return;
        }
        self.asked = None;
        self.attempts += 1;
        let pause = match outcome {
            // As long as trades keep coming in, the wait is worth it.
            Outcome::News => {
                *self = Self { since: Some(now), ..Self::new(now) };
                return;
            }
            // The venue's doing, which counts against nobody.
            Outcome::Refused => {
                self.refused += 1;
                doubled(REFUSED_PAUSE, self.refused)
            }
            Outcome::Absent | Outcome::Nothing | Outcome::Failed => {
                self.absent += u32::from(outcome == Outcome::Absent);
                self.fruitless += 1;
                self.refused = 0;
                let pause = doubled(FIRST_PAUSE, self.fruitless);
                self.spent += took + pause;
                pause
            }
        };
        self.not_before = now + pause;
    }
}

/// The n-th of pauses that double.
fn doubled(first: Duration, n: u32) -> Duration {
    (first * (1 << n.saturating_sub(1).min(16))).min(LONGEST_PAUSE)
}
