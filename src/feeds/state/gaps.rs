//! Drives the gap trackers of a feed: time and answers in, requests and reports out.

use std::time::{Duration, Instant};

use barflow_operators::gap::OpenGap;
use barflow_operators::instrument::InstrumentId;
use metrics::gauge;

use super::{FeedState, GapNews, Slot};
use crate::feeds::gap_tracker::{Ask, Effects, Pursued, Question, Reply, ReportedGap, Unanswered};
use crate::feeds::lag::LagNews;
use crate::feeds::plan::Symbol;
use crate::feeds::print::{BadRow, Prints};
use crate::telemetry::clock::{now_ns, received_ns};
use crate::telemetry::names;

/// How long an instrument may bring nothing at all before somebody should look at its name: Binance
/// confirms subscriptions to what it does not have.
const SILENCE: Duration = Duration::from_secs(300);

impl Slot {
    /// Looks which gap is open.
    pub(super) fn look_at_gap(&mut self) {
        let open = self.tracker.open_gap();
        self.gap.open = open.map(|(seen, first_missing)| match self.gap.open {
            Some((known, gap)) if known == seen => (seen, OpenGap { first_missing, ..gap }),
            _ => {
                let age = i64::try_from(seen.elapsed().as_nanos()).unwrap_or(i64::MAX);
                let since = now_ns().saturating_sub(age);
                (seen, OpenGap { since, first_missing })
            }
        });
    }
}

impl GapNews {
    /// Whether there is something to tell.
    pub(super) fn is_news(&self) -> bool {
        self.told != self.open.map(|(_, gap)| gap)
    }

    /// What there is to tell.
    pub(super) fn tell(&mut self) -> Option<OpenGap> {
        self.told = self.open.map(|(_, gap)| gap);
        self.told
    }
}

/// A request on behalf of an instrument.
pub(in crate::feeds) struct Query {
    pub(in crate::feeds) slot: u32,
    pub(in crate::feeds) ask: Ask,
}

/// What came of it.
pub(in crate::feeds) struct Answer {
    pub(in crate::feeds) slot: u32,
    pub(in crate::feeds) question: Question,
    /// How long the request itself was out.
    pub(in crate::feeds) took: Duration,
    pub(in crate::feeds) body: Result<Vec<u8>, NoAnswer>,
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::feeds) enum NoAnswer {
    /// The venue refused it for now: a rate limit, a ban, a server error.
    Refused(String),
    /// It failed.
    Failed(String),
    /// It was not sent, since another one could not reach the venue.
    Unsent,
}

impl FeedState {
    pub(in crate::feeds) fn symbol(&self, at: u32) -> &Symbol {
        &self.slots[at as usize].symbol
    }

    /// No connection carries these slots any more, or another one begins to.
    pub(in crate::feeds) fn on_disconnect(&mut self, slots: &[u32]) {
        for at in slots {
            self.slots[*at as usize].tracker.on_disconnect();
        }
    }

    /// A connection carries these slots.
    pub(in crate::feeds) fn on_subscribed(&mut self, slots: &[u32], now: Instant) {
        for at in slots {
            let slot = &mut self.slots[*at as usize];
            slot.tracker.on_subscribed();
            if slot.tracker.last().is_none() {
                slot.silent_since.get_or_insert(now);
            }
        }
    }

    /// A connection carries these slots, after a time without any.
    pub(in crate::feeds) fn on_reconnect(&mut self, slots: &[u32], now: Instant) {
        for at in slots {
            self.slots[*at as usize].tracker.on_reconnect(now);
        }
    }

    /// Looks after the gaps of all instruments; returns the requests to send, in this order.
    pub(in crate::feeds) fn on_tick(&mut self, now: Instant) -> Vec<Query> {
        let mut queries = Vec::new();
        let settled = self.outlets.deferred.lock().take(&self.plan.name);
        self.counters.note_settled(&self.plan.name, &settled);
        for at in 0..self.slots.len() as u32 {
            let plan = &self.plan;
            let slot = &mut self.slots[at as usize];
            let listing = &slot.symbol.listing;
            let request_for = |missing: &_| plan.venue.backfill(plan.channel, listing, missing);
            let effects = slot.tracker.on_tick(now, &request_for, &mut slot.released);
            slot.look_at_gap();
            if slot.gap.is_news() {
                self.touch(at, now_ns());
            }
            let asks = self.apply(at, effects);
            queries.extend(asks.into_iter().map(|ask| Query { slot: at, ask }));
        }
        self.watch_lag();
        queries.sort_by_key(|query| query.ask.question.priority());
        for instrument in self.silent(now) {
            tracing::warn!(
                feed = %self.plan.name,
                %instrument,
                "no trade since the subscription; check the symbol"
            );
        }
        queries
    }

    fn watch_lag(&mut self) {
        let Some((lag, news)) = self.lag.on_tick(now_ns()) else { return };
        let feed = &self.plan.name;
        gauge!(names::LAG, "feed" => feed.clone()).set(lag.as_secs_f64());
        match news {
            Some(LagNews::Large(lag)) => tracing::warn!(
                %feed,
                "trades come {lag:.1?} after their time; is this machine, its network or its clock slow?"
            ),
            Some(LagNews::Normal(lag)) => {
                tracing::info!(%feed, "trades come {lag:.1?} after their time again");
            }
            None => {}
        }
    }

    /// Takes the answer to a request.
    pub(in crate::feeds) fn on_answer(&mut self, answer: &Answer, now: Instant) {
        let (at, took) = (answer.slot, answer.took);
        let read = self.read_answer(answer);
        self.counters.requests += u64::from(read != Err(NoAnswer::Unsent));
        if let Err(NoAnswer::Refused(error) | NoAnswer::Failed(error)) = &read {
            self.counters.request_failures += 1;
            tracing::warn!(
                feed = %self.plan.name,
                instrument = %self.symbol(at).instrument,
                error,
                "the request for missing trades failed; trying again"
            );
        }
        let rows = match &read {
            Ok(prints) => Ok(&prints.rows[..]),
            Err(NoAnswer::Refused(_)) => Err(Unanswered::Refused),
            Err(NoAnswer::Failed(_) | NoAnswer::Unsent) => Err(Unanswered::Failed),
        };
        let reply = Reply { rows, took };
        let slot = &mut self.slots[at as usize];
        let mut effects = slot.tracker.on_answer(answer.question, reply, now, &mut slot.released);
        for (taken, bad) in std::mem::take(&mut effects.contradictions) {
            self.report_contradiction(at, taken, &bad, answer.body.as_deref().unwrap_or_default());
        }
        // An answer only makes room for the next request, which the next tick sends.
        self.apply(at, effects);
    }

    /// The feed ends: what is still deferred is reported.
    pub(in crate::feeds) fn end(&mut self) {
        for at in 0..self.slots.len() as u32 {
            let slot = &mut self.slots[at as usize];
            if slot.tracker.is_wanted() {
                slot.leave_off(&self.outlets.left_off);
            }
            if slot.tracker.is_wanted() && slot.tracker.waits() > 0 {
                self.counters.waiting_at_end += slot.tracker.waits() as u64;
                tracing::warn!(
                    feed = %self.plan.name,
                    instrument = %slot.symbol.instrument,
                    trades = slot.tracker.waits(),
                    "the feed ended while trades waited for missing ones: no bar contains them; a job that \
                     resumes requests them again"
                );
            }
            let gaps = slot.tracker.end(now_ns());
            self.apply(at, Effects { gaps, ..Effects::default() });
        }
    }

    /// Instruments that are listened to and have brought nothing for long; each is named once.
    pub(super) fn silent(&mut self, now: Instant) -> Vec<InstrumentId> {
        let silent = |slot: &&mut Slot| {
            let since = slot.silent_since.filter(|_| slot.tracker.is_wanted());
            since.is_some_and(|since| now.duration_since(since) > SILENCE)
        };
        let name = |slot: &mut Slot| {
            slot.silent_since = None;
            slot.symbol.instrument.clone()
        };
        self.slots.iter_mut().filter(silent).map(name).collect()
    }

    fn read_answer(&mut self, answer: &Answer) -> Result<Prints, NoAnswer> {
        let body = answer.body.as_ref().map_err(NoAnswer::clone)?;
        let (at, plan) = (answer.slot, &self.plan);
        let listing = &self.slots[at as usize].symbol.listing;
        let mut prints = Prints::default();
        // The feed's own slot: the rows of a REST answer are all of one instrument.
        let read = plan.venue.read_backfill(plan.channel, at, listing, body, &mut prints);
        if let Some(latest) = plan.latest_time(received_ns()) {
            prints.set_future_aside(latest, plan.venue.ids(plan.channel));
        }
        read.map_err(|bad| match bad.refusal {
            true => NoAnswer::Refused(bad.what),
            false => NoAnswer::Failed(bad.what),
        })?;
        for bad in prints.bad.drain(..) {
            self.counters.rows_lost += 1;
            // All rows of an answer are of one instrument.
            self.report_row(&BadRow { slot: Some(0), ..bad }, &[at], body);
        }
        Ok(prints)
    }

    /// Counts, reports and hands on what a tracker came to; returns its requests.
    fn apply(&mut self, at: u32, effects: Effects) -> Vec<Ask> {
        self.apply_deferred(at, &effects);
        let counters = &mut self.counters;
        counters.gaps_opened += effects.opened;
        for time in &effects.healed {
            counters.note_healed(&self.plan.name, *time);
        }
        counters.backfilled += effects.backfilled;
        for why in effects.excluded {
            *counters.excluded.entry(why).or_insert(0) += 1;
        }
        for gap in &effects.gaps {
            self.report_gap(at, gap);
        }
        for stray in &effects.strays {
            self.report_stray(at, stray);
        }
        if effects.released {
            self.touch(at, now_ns());
        }
        effects.asks
    }

    /// A deferred gap is settled when the graph has judged the trades that came of it.
    fn apply_deferred(&mut self, at: u32, effects: &Effects) {
        if !effects.pursued.is_empty() {
            self.hand_over(at);
        }
        if effects.deferred.is_empty() && effects.pursued.is_empty() {
            return;
        }
        let instrument = &self.slots[at as usize].symbol.instrument;
        let mut deferred = self.outlets.deferred.lock();
        for gap in &effects.deferred {
            deferred.put_off(&self.plan.name, instrument, *gap);
        }
        for Pursued { ids, came } in &effects.pursued {
            deferred.end_pursuit(instrument, *ids, *came);
        }
    }

    fn report_gap(&mut self, at: u32, reported: &ReportedGap) {
        let ReportedGap { gap, reason } = reported;
        let instrument = &self.slots[at as usize].symbol.instrument;
        self.counters.gaps_given_up += 1;
        self.counters.ids_given_up += gap.gap.map_or(0, |gap| gap.len());
        let what = match gap.gap {
            Some(_) => "trades are missing; the next bar spans a gap",
            None => "trades may be missing; no bar shows it, since this venue has no trade ids",
        };
        tracing::error!(
            feed = %self.plan.name,
            %instrument,
            first_missing = gap.gap.map(|gap| gap.first_missing),
            last_missing = gap.gap.map(|gap| gap.last_missing),
            after_time = gap.after,
            before_time = gap.before,
            reason,
            "{what}"
        );
        (self.outlets.on_gap)(&self.plan.name, instrument, reported);
    }
}
