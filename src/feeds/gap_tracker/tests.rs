use std::sync::Arc;

use barflow_operators::batch::{Feed, TradeBatch};
use barflow_operators::trade::{Aggressor, Trade};

use super::*;
use crate::feeds::print::{BadRow, Standing};

/// An hour of trades would fit.
pub(super) const ROOM: usize = 10_000;

pub(super) const POLICY: GapPolicy = GapPolicy {
    reorder_wait: Duration::from_millis(100),
    backfill_budget: Duration::from_secs(60),
    defers: false,
};

pub(super) fn released() -> Released {
    let feed = Arc::new(Feed::numbered("a:b:C".parse().unwrap()));
    Released::new(TradeBatch::with_capacity(feed, 16))
}

/// A trade; without numbers its price tells which one it is.
pub(super) fn print(id: u64) -> Print {
    let event_time = id as i64 * 1_000_000;
    let (price, aggressor) = (id as f64, Aggressor::Buyer);
    let trade =
        Trade { trade_id: id, event_time, price, qty: 1.0, quote: price, aggressor, count: 1 };
    Print { slot: 0, standing: Standing::Trade, key: id, trade }
}

/// A request that names the ids it is about.
pub(super) fn request(missing: &Missing) -> Option<Request> {
    let first = missing.trades.first_id().unwrap_or_default();
    let last = missing.trades.last_id().unwrap_or(u64::MAX);
    Some(Request { path: format!("{first} {last}"), weight: 1 })
}

/// A tracker and what came out of it.
struct Tracked {
    tracker: GapTracker,
    out: Released,
    begun: Instant,
    gaps: Vec<ReportedGap>,
    filled: u64,
}

impl Tracked {
    fn new(ids: Ids, policy: GapPolicy) -> Self {
        let tracker = GapTracker::new(ids, ROOM, policy, None);
        let (out, begun) = (released(), Instant::now());
        Self { tracker, out, begun, gaps: Vec::new(), filled: 0 }
    }

    fn at(&self, seconds: f64) -> Instant {
        self.begun + Duration::from_secs_f64(seconds)
    }

    fn bring(&mut self, ids: &[u64]) {
        for id in ids {
            self.tracker.on_trade(&print(*id), &mut self.out);
        }
    }

    /// The question that is asked at this time, if one is.
    fn tick(&mut self, seconds: f64) -> Option<Question> {
        let now = self.at(seconds);
        let effects = self.tracker.on_tick(now, &request, &mut self.out);
        self.gaps.extend(effects.gaps);
        self.filled += effects.healed.len() as u64;
        self.filled += effects.pursued.iter().filter(|gap| gap.came.is_some()).count() as u64;
        assert!(effects.asks.len() < 2, "{:?}", effects.asks);
        effects.asks.first().map(|ask| ask.question)
    }

    fn answer(&mut self, question: Question, ids: Option<&[u64]>, seconds: f64) -> Effects {
        self.reply(question, ids.ok_or(Unanswered::Failed), 0.0, seconds)
    }

    fn reply(
        &mut self,
        question: Question,
        ids: Result<&[u64], Unanswered>,
        took: f64,
        seconds: f64,
    ) -> Effects {
        let rows = ids.map(|ids| ids.iter().map(|id| print(*id)).collect::<Vec<_>>());
        let rows = rows.as_deref().map_err(|unanswered| *unanswered);
        let reply = Reply { rows, took: Duration::from_secs_f64(took) };
        let now = self.at(seconds);
        let effects = self.tracker.on_answer(question, reply, now, &mut self.out);
        self.gaps.extend(effects.gaps.iter().copied());
        effects
    }

    /// A tick and answers without rows to what it asks; the strays that it drops.
    fn strays(&mut self, seconds: f64) -> Vec<BadRow> {
        let now = self.at(seconds);
        let effects = self.tracker.on_tick(now, &request, &mut self.out);
        assert_eq!(effects.gaps, []);
        for ask in effects.asks {
            let reply = Reply { rows: Ok(&[]), took: Duration::from_millis(10) };
            self.tracker.on_answer(ask.question, reply, now, &mut self.out);
        }
        effects.strays
    }

    fn reasons(&self) -> Vec<&'static str> {
        self.gaps.iter().map(|gap| gap.reason).collect()
    }
}

fn gap(first: u64) -> Option<Question> {
    Some(Question::Gap { first })
}

fn tail(first: u64) -> Option<Question> {
    Some(Question::Tail { first })
}

#[test]
fn neither_the_queue_of_requests_nor_what_a_venue_imposes_counts() {
    let mut tracked = Tracked::new(Ids::Consecutive, POLICY);
    tracked.bring(&[1, 5]);
    assert_eq!(tracked.tick(0.0), None);
    let question = Question::Gap { first: 2 };
    let mut seconds = 0.2;
    // More than the budget of a minute, in the queue and refused by turns.
    for _ in 0..10 {
        assert_eq!(tracked.tick(seconds), Some(question));
        tracked.reply(question, Err(Unanswered::Refused), 9.0, seconds + 100.0);
        seconds += 110.0;
    }
    assert_eq!(tracked.tick(seconds), Some(question));
    tracked.reply(question, Err(Unanswered::Failed), 59.0, seconds + 100.0);
    assert_eq!(tracked.tick(seconds + 110.0), Some(question));
    tracked.reply(question, Err(Unanswered::Failed), 1.0, seconds + 120.0);
    assert_eq!(tracked.tick(seconds + 130.0), None);
    assert_eq!(tracked.reasons(), ["the backfill budget is exhausted"]);
}

#[test]
fn whoever_is_refused_for_an_hour_gives_up() {
    let mut tracked = Tracked::new(Ids::Consecutive, POLICY);
    tracked.bring(&[1, 5]);
    tracked.tick(0.0);
    assert_eq!(tracked.tick(0.2), gap(2));
    assert_eq!(tracked.tick(3600.0), None);
    assert_eq!(tracked.reasons(), [""; 0]);
    // Even while the request waits in the queue.
    assert_eq!(tracked.tick(3601.0), None);
    assert_eq!(tracked.reasons(), ["the venue's REST refused every request for an hour"]);
}

#[test]
fn only_a_list_of_what_comes_after_proves_absence() {
    for (rows, proves) in [(&[][..], false), (&[1], false), (&[1, 5], true), (&[6, 7], true)] {
        let mut tracked = Tracked::new(Ids::Consecutive, POLICY);
        tracked.bring(&[1, 5]);
        let (mut seconds, mut asked) = (0.0, 0);
        let mut longest = 0.0_f64;
        let mut last = 0.0;
        while tracked.gaps.is_empty() {
            seconds += 0.02;
            if let Some(question) = tracked.tick(seconds) {
                asked += 1;
                longest = longest.max(seconds - last);
                last = seconds;
                tracked.answer(question, Some(rows), seconds);
            }
        }
        let reason = match proves {
            true => "the venue's REST does not have them",
            false => "the backfill budget is exhausted",
        };
        assert_eq!(tracked.reasons(), [reason], "{rows:?}");
        match proves {
            true => assert!(asked == 3 && seconds < 2.0, "{asked} in {seconds} s"),
            false => assert!((59.0..67.0).contains(&seconds), "{seconds}"),
        }
        assert!(longest < 5.1 && asked < 20, "{asked} requests, {longest} s apart");
    }
}

#[test]
fn a_proof_about_some_ids_of_a_deferred_gap_says_nothing_about_the_others() {
    let mut tracked = Tracked::new(Ids::Consecutive, GapPolicy { defers: true, ..POLICY });
    tracked.bring(&[1, 9]);
    tracked.tick(0.0);
    let question = tracked.tick(0.2).unwrap();
    // Not the first, and two of the others.
    tracked.answer(question, Some(&[3, 5]), 0.3);
    let mut seconds = 0.3;
    while tracked.gaps.is_empty() {
        seconds += 0.1;
        if let Some(question) = tracked.tick(seconds) {
            assert_eq!(question, Question::Deferred { first: 2 });
            tracked.answer(question, Some(&[3, 5]), seconds);
        }
    }
    let ids = |tracked: &Tracked| -> Vec<(u64, u64)> {
        let gaps = tracked.gaps.iter().filter_map(|reported| reported.gap.gap);
        gaps.map(|gap| (gap.first_missing, gap.last_missing)).collect()
    };
    assert_eq!(ids(&tracked), [(2, 2)]);
    assert_eq!(tracked.tick(seconds + 0.1), Some(Question::Deferred { first: 4 }));
    tracked.answer(Question::Deferred { first: 4 }, Some(&[4, 6, 7, 8]), seconds + 0.2);
    assert_eq!((tracked.tick(seconds + 0.3), tracked.filled), (None, 1));
    assert_eq!(ids(&tracked).len(), 1);
}

#[test]
fn of_more_deferred_gaps_than_are_remembered_none_is_lost() {
    let mut tracked = Tracked::new(Ids::Consecutive, GapPolicy { defers: true, ..POLICY });
    let gaps = barflow_operators::order::ids::GAPS_REMEMBERED as u64 + 100;
    let mut seconds = 0.0;
    tracked.bring(&[1]);
    for n in 1..=gaps {
        tracked.bring(&[1 + 2 * n]);
        tracked.tick(seconds);
        seconds += 0.2;
        tracked.tick(seconds);
    }
    tracked.gaps.extend(tracked.tracker.end(0));
    assert_eq!(tracked.filled + tracked.gaps.len() as u64, gaps);
    assert_eq!(tracked.filled, 0);
}

#[test]
fn an_answer_about_one_gap_says_nothing_about_the_next() {
    let mut tracked = Tracked::new(Ids::Consecutive, POLICY);
    tracked.bring(&[1, 3]);
    tracked.tick(0.0);
    assert_eq!(tracked.tick(0.2), gap(2));
    tracked.bring(&[2, 5]);
    assert_eq!((tracked.tick(0.3), tracked.filled), (None, 1));
    assert_eq!(tracked.tick(0.6), gap(4));
    // Were this one counted, the gap would be due again at once, and one of three answers used up.
    tracked.answer(Question::Gap { first: 2 }, Some(&[5]), 0.7);
    assert_eq!(tracked.tick(3.0), None);
    for seconds in [4.0, 5.0, 6.0] {
        tracked.answer(Question::Gap { first: 4 }, Some(&[5]), seconds);
        assert_eq!(tracked.tick(seconds + 0.9), if seconds < 6.0 { gap(4) } else { None });
    }
    assert_eq!(tracked.reasons(), ["the venue's REST does not have them"]);
}

#[test]
fn what_a_pause_hid_is_asked_about_only_if_no_trade_shows_it() {
    for shown in [false, true] {
        let mut tracked = Tracked::new(Ids::Consecutive, POLICY);
        tracked.bring(&[1]);
        tracked.tracker.on_reconnect(tracked.at(0.0));
        assert_eq!(tracked.tick(1.0), None);
        if shown {
            tracked.bring(&[2]);
        }
        assert_eq!(tracked.tick(3.0), if shown { None } else { tail(2) });
    }
}

#[test]
fn a_tail_query_continues_while_it_brings_news_and_an_old_answer_does_not_end_a_new_one() {
    let mut tracked = Tracked::new(Ids::Consecutive, POLICY);
    tracked.bring(&[1]);
    tracked.tracker.on_reconnect(tracked.at(0.0));
    assert_eq!(tracked.tick(2.0), tail(2));
    tracked.answer(Question::Tail { first: 2 }, Some(&[2, 3]), 2.1);
    assert_eq!(tracked.tick(2.2), tail(4));
    // Lost and connected again before the answer comes: it cannot show what came since.
    tracked.tracker.on_disconnect();
    tracked.tracker.on_reconnect(tracked.at(2.3));
    assert_eq!(tracked.tick(5.0), None, "asked twice at once");
    tracked.answer(Question::Tail { first: 4 }, Some(&[]), 5.1);
    assert_eq!(tracked.tick(5.2), tail(4));
    tracked.answer(Question::Tail { first: 4 }, Some(&[]), 5.3);
    assert_eq!(tracked.tick(60.0), None);
    assert_eq!(tracked.out.trades.trade_id, [1, 2, 3]);
}

#[test]
fn a_tail_query_that_fails_is_left_to_the_next_trade_after_a_while() {
    let mut tracked = Tracked::new(Ids::Consecutive, POLICY);
    tracked.bring(&[1]);
    tracked.tracker.on_reconnect(tracked.at(0.0));
    let mut seconds = 2.0;
    let mut asked = 0;
    while tracked.tick(seconds) == tail(2) {
        asked += 1;
        tracked.answer(Question::Tail { first: 2 }, None, seconds);
        assert_eq!(tracked.tick(seconds + 0.04), None, "too soon");
        seconds += 0.06;
    }
    assert_eq!(asked, 11);
}

#[test]
fn a_deferred_gap_holds_nothing_up_and_is_filled_with_late_trades() {
    let mut tracked = Tracked::new(Ids::Consecutive, GapPolicy { defers: true, ..POLICY });
    tracked.bring(&[1, 5]);
    tracked.tick(0.0);
    let question = Question::Deferred { first: 2 };
    assert_eq!(tracked.tick(0.2), Some(question));
    assert_eq!(tracked.out.trades.trade_id, [1, 5]);
    assert_eq!(tracked.answer(question, Some(&[2, 4]), 0.3).backfilled, 2);
    let rest = Question::Deferred { first: 3 };
    assert_eq!(tracked.tick(0.4), Some(rest));
    tracked.answer(rest, Some(&[2, 3, 4]), 0.5);
    assert_eq!((tracked.tick(0.6), tracked.filled), (None, 1));
    assert_eq!(tracked.out.trades.trade_id, [1, 5, 2, 4, 3]);
    assert_eq!(tracked.tracker.end(0), []);
}

#[test]
fn what_is_deferred_is_reported_when_the_feed_ends() {
    let mut tracked = Tracked::new(Ids::Consecutive, GapPolicy { defers: true, ..POLICY });
    tracked.bring(&[1, 5]);
    tracked.tick(0.0);
    tracked.tick(0.2);
    tracked.answer(Question::Deferred { first: 2 }, Some(&[3]), 0.3);
    let gaps = tracked.tracker.end(0).into_iter().filter_map(|reported| reported.gap.gap);
    let ids: Vec<(u64, u64)> = gaps.map(|gap| (gap.first_missing, gap.last_missing)).collect();
    assert_eq!(ids, [(2, 2), (4, 4)]);
    assert_eq!(tracked.tracker.end(0), []);
}

#[test]
fn a_list_that_does_not_reach_back_is_a_gap() {
    let mut tracked = Tracked::new(Ids::Names, POLICY);
    tracked.bring(&[1]);
    tracked.tracker.on_disconnect();
    assert_eq!((tracked.tick(0.0), tracked.tick(0.2)), (None, None), "nobody listens");
    tracked.tracker.on_subscribed();
    tracked.bring(&[9]);
    tracked.tick(0.3);
    let question = tracked.tick(0.5).unwrap();
    tracked.answer(question, Some(&[7, 8, 9]), 0.6);
    assert_eq!(
        tracked.reasons(),
        ["the venue's list of recent trades does not reach back far enough"]
    );
    assert_eq!((tracked.tick(0.7), tracked.filled), (None, 0));
    assert_eq!(tracked.out.trades.price, [1.0, 7.0, 8.0, 9.0]);
}

#[test]
fn a_removed_instrument_asks_for_nothing_until_it_is_added_again() {
    let mut tracked = Tracked::new(Ids::Consecutive, POLICY);
    tracked.bring(&[1, 5]);
    tracked.tick(0.0);
    tracked.tracker.remove();
    tracked.bring(&[2]);
    assert_eq!(tracked.tick(0.2), None);
    tracked.tracker.add_again();
    tracked.tick(0.3);
    assert_eq!(tracked.tick(0.5), gap(2));
}

/// One stray id must not make every later trade count as late.
#[test]
fn a_stray_id_is_dropped_when_the_stream_continues_below_it() {
    for defers in [false, true] {
        let mut tracked = Tracked::new(Ids::Consecutive, GapPolicy { defers, ..POLICY });
        tracked.bring(&[1, 2, 3, 1 << 40]);
        let (mut next, mut seconds, mut strays) = (4, 0.0, Vec::new());
        while strays.is_empty() && seconds < 200.0 {
            tracked.bring(&[next]);
            next += 1;
            seconds += 1.0;
            strays.extend(tracked.strays(seconds));
        }
        assert_eq!(strays.len(), 1, "after {seconds} s");
        assert_eq!(strays[0].id, Some(1 << 40));
        tracked.bring(&[next, next + 1]);
        assert_eq!(tracked.out.trades.trade_id, (1..next + 2).collect::<Vec<_>>());
        assert!(tracked.out.order.late.is_empty());
    }
}

/// A loaded machine may look for the first time when all of it has come.
#[test]
fn a_stray_id_is_dropped_although_all_came_before_the_first_look() {
    for defers in [false, true] {
        let mut tracked = Tracked::new(Ids::Consecutive, GapPolicy { defers, ..POLICY });
        tracked.bring(&[1, 2, 3, 1 << 40, 4, 5, 6]);
        let (mut seconds, mut strays) = (0.0, Vec::new());
        while strays.is_empty() && seconds < 200.0 {
            seconds += 1.0;
            strays.extend(tracked.strays(seconds));
        }
        assert_eq!(strays.len(), 1, "after {seconds} s");
        tracked.bring(&[7]);
        assert_eq!(tracked.out.trades.trade_id, (1..8).collect::<Vec<_>>());
    }
}

/// Where the order does not wait, a gap of any length that the venue has gone on above is not waited for.
#[test]
fn a_gap_of_a_million_ids_is_deferred_as_soon_as_it_is_confirmed() {
    let mut tracked = Tracked::new(Ids::Consecutive, GapPolicy { defers: true, ..POLICY });
    tracked.bring(&[1, 2, 2_000_000]);
    tracked.tick(0.0);
    assert_eq!(tracked.tick(1.0), gap(3));
    tracked.answer(Question::Gap { first: 3 }, Some(&[]), 1.1);
    assert_eq!(tracked.out.trades.trade_id, [1, 2]);
    tracked.bring(&[2_000_001]);
    assert_eq!(tracked.tick(100.0), Some(Question::Deferred { first: 3 }));
    assert_eq!(tracked.out.trades.trade_id, [1, 2, 2_000_000, 2_000_001]);
}

/// Where trades come above what is missing, the venue has gone on there.
#[test]
fn a_gap_above_which_the_stream_continues_is_a_gap() {
    let mut tracked = Tracked::new(Ids::Consecutive, POLICY);
    tracked.bring(&[1, 2, 10, 11]);
    tracked.tick(0.0);
    // A second connection that lags.
    tracked.bring(&[3, 4, 5, 6, 12]);
    let mut seconds = 0.0;
    while tracked.gaps.is_empty() && seconds < 200.0 {
        seconds += 1.0;
        if let Some(question) = tracked.tick(seconds) {
            let reply = Reply { rows: Ok(&[]), took: Duration::from_millis(10) };
            let now = tracked.at(seconds);
            tracked.tracker.on_answer(question, reply, now, &mut tracked.out);
        }
    }
    let gap = tracked.gaps[0].gap.gap.unwrap();
    assert_eq!((gap.first_missing, gap.last_missing), (7, 9));
    assert_eq!(tracked.out.trades.trade_id, [1, 2, 3, 4, 5, 6, 10, 11, 12]);
}

#[test]
fn a_suspicion_that_is_open_at_the_end_is_reported_and_the_end_itself_is_none() {
    let last = LastTrade { id: 7, time: Some(20_000_000), ..LastTrade::default() };
    let (begun, now_ns) = (Instant::now(), 90_000_000);
    let after = |ms| begun + Duration::from_millis(ms);
    for list in [&[][..], &[30], &[19, 21]] {
        let (mut tracker, mut out) =
            (GapTracker::new(Ids::Names, ROOM, POLICY, Some(&last)), released());
        tracker.on_subscribed();
        let opened = tracker.on_tick(begun, &request, &mut out).opened;
        let asks = tracker.on_tick(after(200), &request, &mut out).asks;
        let rows: Vec<Print> = list.iter().map(|id| print(*id)).collect();
        if !rows.is_empty() {
            let reply = Reply { rows: Ok(&rows), took: Duration::ZERO };
            tracker.on_answer(asks[0].question, reply, after(300), &mut out);
        }
        // So do all feeds before they end.
        tracker.on_disconnect();
        let reported: Vec<_> = tracker.end(now_ns).iter().map(|reported| reported.gap).collect();
        let open = GivenUp { gap: None, after: Some(20_000_000), before: now_ns };
        let expected = if list == [19, 21] { vec![] } else { vec![open] };
        assert_eq!(
            (opened, reported, out.trades.len()),
            (1, expected, usize::from(list == [19, 21]))
        );
        assert_eq!(tracker.end(now_ns), []);
    }
}
