//! Gaps that the bars did not wait for: asked about behind their backs, and corrected when the
//! answer comes.

use std::time::{Duration, Instant};

use super::backfill::{About, Backfill, Question};
use super::gaps::{FAILED_PAUSE, FRUITLESS_MOST, FRUITLESS_PAUSE};
use crate::feeds::hub::{Hub, OpenGap};
use crate::feeds::plan::FeedPlan;
use crate::feeds::venue::{Missing, MissingFrom};

/// Gaps of one instrument that are asked about at a time wait in line: the venue's limit is one for
/// all of them anyway.
#[derive(Clone, Copy, Debug)]
pub(in crate::feeds) struct Owed {
    pub(in crate::feeds) missing: Missing,
    pub(in crate::feeds) open: OpenGap,
}

/// Lets the order go on over a gap that is to be asked about.
pub(super) fn pass_over(hub: &mut Hub, at: u32, missing: Missing, now: Instant) {
    let open = OpenGap { since: None, last: missing.last, next: now, asked: None, fruitless: 0 };
    hub.pass_over(at, Owed { missing, open });
}

/// Asks about what is owed.
pub(super) fn look(hub: &mut Hub, plan: &FeedPlan, backfill: &Backfill, now: Instant) {
    for at in hub.owing() {
        let Some(owed) = hub.owed_mut(at).front().copied() else { continue };
        let Some(left) = hub.still_missing(at, &owed.missing) else {
            hub.counters.gaps_filled += 1;
            hub.owed_mut(at).pop_front();
            continue;
        };
        if owed.open.asked.is_some() || now < owed.open.next {
            continue;
        }
        let since = owed.open.since;
        let over_budget =
            since.is_some_and(|since| now.duration_since(since) > plan.backfill_budget);
        let listing = hub.symbol(at).listing.clone();
        let request = plan.venue.backfill(plan.channel, &listing, &left);
        let reason = match &request {
            None => "the venue has no REST for trades this old",
            Some(_) if over_budget => "the backfill budget is used up",
            Some(_) if owed.open.fruitless >= FRUITLESS_MOST => {
                "the venue's REST does not have them"
            }
            Some(_) => "",
        };
        match request.filter(|_| reason.is_empty()) {
            Some(request) => {
                hub.counters.requests += 1;
                let first = left.first;
                backfill.ask(Question { slot: at, about: About::Owed, first, request });
                if let Some(owed) = hub.owed_mut(at).front_mut() {
                    owed.open.asked = Some(first);
                }
            }
            None => {
                hub.give_up_owed(at, &owed.missing, reason);
                hub.owed_mut(at).pop_front();
            }
        }
    }
}

/// The session ends: what is still owed is a gap.
pub(super) fn end(hub: &mut Hub) {
    for at in hub.owing() {
        for owed in std::mem::take(hub.owed_mut(at)) {
            hub.give_up_owed(at, &owed.missing, "the run ended before the venue's REST was asked");
        }
    }
}

/// What an answer means for the next question.
pub(super) fn after_answer(
    hub: &mut Hub,
    at: u32,
    first: MissingFrom,
    news: Result<bool, String>,
    now: Instant,
) {
    let front = hub.owed_mut(at).front_mut();
    // Once what it was about has come, the answer says nothing about the next one.
    let Some(owed) = front.filter(|owed| owed.open.asked == Some(first)) else { return };
    let open = &mut owed.open;
    open.asked = None;
    open.since.get_or_insert(now);
    let pause = match news {
        Ok(true) => {
            (open.fruitless, open.since) = (0, Some(now));
            Duration::ZERO
        }
        Ok(false) => {
            open.fruitless += 1;
            FRUITLESS_PAUSE * open.fruitless
        }
        Err(_) => FAILED_PAUSE,
    };
    open.next = now + pause;
}
