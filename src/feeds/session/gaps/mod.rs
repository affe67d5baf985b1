//! From "something is missing" to "it is here" or "it is a gap".

use std::time::{Duration, Instant};

use super::backfill::{About, Answer, Backfill, Question};
use super::{Session, owed};
use crate::feeds::hub::{Hub, OpenGap, Tail};
use crate::feeds::print::Prints;
use crate::feeds::venue::MissingFrom;

/// Answers in a row without news after which REST is believed not to have what is missing. More
/// than one: REST may lag behind the websocket by a moment.
pub(super) const FRUITLESS_MOST: u32 = 3;

/// Pauses after an answer without news, growing with their number.
pub(super) const FRUITLESS_PAUSE: Duration = Duration::from_millis(150);

/// Pause after a failed request; the backfill itself has waited out what the venue asked for, and
/// longer with every failure.
pub(super) const FAILED_PAUSE: Duration = Duration::from_millis(50);

/// Failures after which the question about the latest trades is left to the next trade.
const TAIL_FAILURES: u32 = 10;

/// Opens, asks about and closes gaps.
pub(super) fn look(session: &Session, backfill: &Backfill, now: Instant) {
    let mut hub = session.hub.borrow_mut();
    let waiting = hub.waiting();
    for at in hub.open_gaps() {
        if hub.missing(at).is_none() {
            // It came, by whichever way.
            *hub.gap_mut(at) = None;
            hub.counters.gaps_filled += 1;
        }
    }
    let plan = &session.plan;
    for (at, missing) in waiting {
        let gap = hub.gap_mut(at);
        let passed = gap.zip(missing.first.id()).is_some_and(|(open, first)| first > open.last);
        let open = match gap {
            Some(open) if !passed => *open,
            _ => {
                // What is late may come by itself; and REST may be a moment behind the websocket.
                let next = now + plan.reorder_wait;
                let last = missing.last;
                *gap = Some(OpenGap { since: None, last, next, asked: None, fruitless: 0 });
                hub.counters.gaps_opened += 1;
                hub.counters.gaps_filled += u64::from(passed);
                continue;
            }
        };
        if open.asked.is_some() || now < open.next {
            continue;
        }
        if plan.revises {
            owed::pass_over(&mut hub, at, missing, now);
            *hub.gap_mut(at) = None;
            continue;
        }
        let over_budget =
            open.since.is_some_and(|since| now.duration_since(since) > plan.backfill_budget);
        if over_budget || open.fruitless >= FRUITLESS_MOST {
            let reason = if over_budget {
                "the backfill budget is used up"
            } else {
                "the venue's REST does not have them"
            };
            hub.give_up(at, reason);
            // Another gap behind this one starts afresh.
            *hub.gap_mut(at) = None;
            continue;
        }
        let listing = hub.symbol(at).listing.clone();
        match plan.venue.backfill(plan.channel, &listing, &missing) {
            None => {
                hub.give_up(at, "the venue has no REST for trades this old");
                *hub.gap_mut(at) = None;
            }
            Some(request) => {
                hub.counters.requests += 1;
                let first = missing.first;
                backfill.ask(Question { slot: at, about: About::Gap, first, request });
                if let Some(open) = hub.gap_mut(at) {
                    open.asked = Some(first);
                }
            }
        }
    }
    owed::look(&mut hub, plan, backfill, now);
    for instrument in hub.silent(now) {
        tracing::warn!(
            feed = %plan.name,
            %instrument,
            "no trade has come since it was subscribed; check its symbol"
        );
    }
    for (at, tail, missing) in hub.tails() {
        // A known gap comes first; what follows it shows by itself.
        if tail.asked || now < tail.next || hub.gap_mut(at).is_some() {
            continue;
        }
        let listing = hub.symbol(at).listing.clone();
        match plan.venue.backfill(plan.channel, &listing, &missing) {
            None => *hub.tail_mut(at) = None,
            Some(request) => {
                hub.counters.requests += 1;
                let first = missing.first;
                backfill.ask(Question { slot: at, about: About::Tail, first, request });
                *hub.tail_mut(at) = Some(Tail { asked: true, ..tail });
            }
        }
    }
    hub.flush();
}

/// Takes an answer in.
pub(super) fn answer(session: &Session, answer: Answer, now: Instant) {
    let mut hub = session.hub.borrow_mut();
    let plan = &session.plan;
    let at = answer.slot;
    let news = match &answer.body {
        Ok(body) => {
            let listing = hub.symbol(at).listing.clone();
            let mut prints = Prints::default();
            // The hub's own slot: the rows of a REST answer are all of one instrument.
            match plan.venue.read_backfill(plan.channel, at, &listing, body, &mut prints) {
                Ok(()) => Ok(hub.take_backfill(at, answer.first, &prints, body)),
                Err(error) => Err(error.to_string()),
            }
        }
        Err(error) => Err(error.clone()),
    };
    if let Err(error) = &news {
        hub.counters.request_failures += 1;
        tracing::warn!(
            feed = %plan.name,
            instrument = %hub.symbol(at).instrument,
            error,
            "REST could not be asked for missing trades; trying again"
        );
    }
    match answer.about {
        About::Tail => return after_tail(&mut hub, at, news, now),
        About::Owed => return owed::after_answer(&mut hub, at, answer.first, news, now),
        About::Gap => {}
    }
    let Some(open) = forget(&mut hub, at, answer.first) else { return };
    open.since.get_or_insert(now);
    match news {
        Ok(true) => {
            open.fruitless = 0;
            open.next = now;
            // As long as trades keep coming in, the wait is worth it.
            open.since = Some(now);
        }
        Ok(false) => {
            open.fruitless += 1;
            open.next = now + FRUITLESS_PAUSE * open.fruitless;
        }
        Err(_) => open.next = now + FAILED_PAUSE,
    }
}

/// The gap of a slot whose question this was, which is no longer under way; none if it is another's.
fn forget(hub: &mut Hub, at: u32, first: MissingFrom) -> Option<&mut OpenGap> {
    let open = hub.gap_mut(at).as_mut().filter(|open| open.asked == Some(first))?;
    open.asked = None;
    Some(open)
}

/// What an answer about the latest trades means for the question: news asks on, no news ends it,
/// a failure asks again a few times.
fn after_tail(hub: &mut Hub, at: u32, news: Result<bool, String>, now: Instant) {
    let Some(tail) = *hub.tail_mut(at) else { return };
    // What it brought may have shown a gap; that is looked after on its own.
    *hub.tail_mut(at) = match news {
        Ok(true) => Some(Tail { asked: false, next: now, failures: 0 }),
        Ok(false) => None,
        Err(_) if tail.failures >= TAIL_FAILURES => None,
        Err(_) => {
            let next = now + FAILED_PAUSE;
            Some(Tail { asked: false, next, failures: tail.failures + 1 })
        }
    };
}

#[cfg(test)]
mod tests;
