use barflow_operators::trade::Aggressor;

use super::*;
use crate::feeds::gap_tracker::Question;
use crate::feeds::print::{Contract, Ids, Listing};
use crate::feeds::venue::Channel;
use crate::graph::flow::{InputQueue, inlet};
use crate::graph::workers::Workers;
use crate::telemetry::latency::Latency;

/// A plan of a feed with these symbols.
pub(in crate::feeds) fn plan(protocol: &str, symbols: &[&str]) -> FeedPlan {
    let venue = crate::feeds::venue(protocol).unwrap();
    let symbol = |symbol: &&str| Symbol {
        instrument: venue.instrument(symbol).unwrap(),
        listing: Listing { symbol: (*symbol).into(), contract: Contract::Base },
        resume_after: None,
    };
    let symbols = symbols.iter().map(symbol).collect();
    FeedPlan::new("f".to_owned(), Arc::clone(&venue), Channel::Trades, symbols)
}

/// The state of a feed, and the graph's end of what it hands over.
pub(in crate::feeds) fn state(plan: FeedPlan) -> (FeedState, InputQueue) {
    let (inlet, input_batches) = inlet(64);
    let outlets = FeedOutputs {
        inlets: vec![inlet],
        share: Workers::Threads(1).share(),
        pool: BatchPool::new(16, 4),
        stop: Stop::new(),
        on_reject: Arc::new(|_| ()),
        on_contradiction: Arc::new(|_| ()),
        on_gap: Arc::new(|_, _, _| ()),
        deferred: Default::default(),
        left_off: LeftOff::default(),
    };
    (FeedState::new(Arc::new(plan), outlets, Latency::default().venue("v")), input_batches)
}

/// A print of a slot; its id, written out, is its name as well.
pub(in crate::feeds) fn print(slot: u32, id: u64) -> Print {
    let trade = barflow_operators::trade::Trade {
        trade_id: id,
        event_time: id as i64 * 1_000_000,
        price: 1.0,
        qty: 1.0,
        quote: 1.0,
        aggressor: Aggressor::Buyer,
        count: 1,
    };
    let key = xxhash_rust::xxh3::xxh3_64(id.to_string().as_bytes());
    Print { slot, standing: Standing::Trade, key, trade }
}

impl FeedState {
    /// As if a connection had brought it.
    pub(in crate::feeds) fn bring(&mut self, slot: u32, id: u64) -> Disposition {
        self.take(slot, &print(slot, id), 1).unwrap()
    }
}

#[test]
fn once_the_graph_has_ended_nobody_waits_for_it_again() {
    let (mut state, input_batches) = state(plan("binance-spot", &["A", "B"]));
    state.bring(0, 1);
    state.flush();
    assert!(!state.graph_is_idle());
    drop(input_batches);
    state.bring(0, 2);
    state.flush();
    assert!(state.ended);
    let (inlet, _inputs) = inlet(64);
    state.outlets.inlets = vec![inlet];
    state.bring(0, 3);
    state.bring(1, 1);
    state.flush();
    assert!(state.graph_is_idle(), "something was handed over");
}

#[test]
fn an_instrument_that_brings_nothing_is_named_once() {
    let (mut state, _inputs) = state(plan("binance-spot", &["GOOD", "MISSPELT"]));
    let begun = Instant::now();
    state.on_subscribed(&[0, 1], begun);
    state.bring(0, 1);
    assert_eq!(state.silent(begun + Duration::from_secs(200)), []);
    let later = begun + Duration::from_secs(400);
    assert_eq!(state.silent(later), ["binance:spot:MISSPELT".parse().unwrap()]);
    assert_eq!(state.silent(later), []);
}

#[test]
fn an_instrument_that_comes_back_asks_what_it_missed() {
    let (mut state, _inputs) = state(plan("bybit-spot", &["A"]));
    state.bring(0, 1);
    let symbol = state.symbol(0).clone();
    state.remove(&symbol.instrument);
    assert_eq!(state.add(symbol), 0);
    assert_eq!(state.bring(0, 5), Disposition::Waits);
}

#[test]
fn an_instrument_that_another_feed_takes_over_continues_its_numbers() {
    let (mut state, _inputs) = state(plan("bybit-spot", &["A"]));
    for id in 1..=5 {
        state.bring(0, id);
    }
    state.end();
    // Its feed is gone; the next one knows where it was left.
    let outlets = state.outlets.clone();
    let plan = Arc::new(plan("bybit-spot", &["A"]));
    let mut next = FeedState::new(plan, outlets, Latency::default().venue("v"));
    assert_eq!(next.bring(0, 5), Disposition::Presumed);
    assert_eq!((next.counters.duplicates, next.counters.not_compared), (1, 1));
    assert_eq!(next.bring(0, 9), Disposition::Waits);
    assert_eq!(next.slots[0].tracker.last(), Some((5, Some(5_000_000))));
}

#[test]
fn a_time_in_the_future_is_a_bad_row_whose_id_leaves_no_gap() {
    let latest = 1_000_000_000;
    let mut far = print(0, 7);
    far.trade.event_time = latest + 1;
    let near = print(0, 8);
    let rows = || Prints { rows: vec![near, far], ..Prints::default() };
    let mut numbered = rows();
    numbered.set_future_aside(latest, Ids::Consecutive);
    let standings: Vec<Standing> = numbered.rows.iter().map(|print| print.standing).collect();
    assert_eq!(standings, [Standing::Trade, Standing::Excluded("time in the future")]);
    assert_eq!((numbered.bad.len(), numbered.bad[0].id), (1, Some(7)));
    assert_eq!(numbered.rows[1].trade.event_time, 0);
    let mut named = rows();
    named.set_future_aside(latest, Ids::Names);
    assert_eq!((named.rows, named.bad.len()), (vec![near], 1));
}

/// An answer of Bybit's REST that lists these trades.
fn recent_trades(keys: &[u64]) -> Vec<u8> {
    let row = |key: &u64| {
        format!(
            r#"{{"execId":"{key}","price":"1","size":"1","side":"Buy","time":"170000000000{key}","isBlockTrade":false}}"#
        )
    };
    let rows: Vec<String> = keys.iter().rev().map(row).collect();
    format!(r#"{{"retCode":0,"result":{{"list":[{}]}}}}"#, rows.join(",")).into_bytes()
}

#[test]
fn a_list_that_was_requested_before_a_second_loss_does_not_end_the_suspicion() {
    let (mut state, _inputs) = state(plan("bybit-linear", &["A"]));
    let begun = Instant::now();
    let at = |ms| begun + Duration::from_millis(ms);
    let lose = |state: &mut FeedState| {
        state.on_disconnect(&[0]);
        state.on_subscribed(&[0], begun);
    };
    let question = |state: &mut FeedState, ms| {
        let queries = state.on_tick(at(ms));
        assert_eq!(queries.len(), 1);
        queries[0].ask.question
    };
    state.bring(0, 1);
    lose(&mut state);
    assert!(state.on_tick(at(0)).is_empty());
    let first = question(&mut state, 200);
    lose(&mut state);
    let list = |question, keys| Answer {
        slot: 0,
        question,
        took: Duration::ZERO,
        body: Ok(recent_trades(keys)),
    };
    state.on_answer(&list(first, &[1, 2, 3]), at(300));
    let second = question(&mut state, 400);
    assert_ne!(first, second);
    state.on_answer(&list(second, &[1, 2, 3, 4]), at(500));
    assert!(state.on_tick(at(600)).is_empty());
    assert_eq!((state.counters.backfilled, state.counters.gaps_given_up), (3, 0));
    assert_eq!((state.counters.gaps_opened, state.counters.gaps_filled), (1, 1));
}

#[test]
fn gaps_are_requested_before_tails_and_every_failure_is_counted() {
    let (mut state, _inputs) = state(plan("binance-spot", &["QUIET", "LOSSY"]));
    let begun = Instant::now();
    let at = |ms| begun + Duration::from_millis(ms);
    state.bring(0, 1);
    state.bring(1, 1);
    state.on_reconnect(&[0], begun);
    state.bring(1, 5);
    state.on_tick(at(0));
    let queries = state.on_tick(at(2_000));
    let asked: Vec<(u32, Question)> = queries.iter().map(|q| (q.slot, q.ask.question)).collect();
    assert_eq!(asked, [(1, Question::Gap { first: 2 }), (0, Question::Tail { first: 2 })]);
    for (slot, question) in asked {
        let body = Err(NoAnswer::Failed("the venue is away".to_owned()));
        state.on_answer(&Answer { slot, question, took: Duration::ZERO, body }, at(2_100));
    }
    assert_eq!((state.counters.requests, state.counters.request_failures), (2, 2));
    assert_eq!(state.on_tick(at(2_149)).len(), 0);
    assert_eq!(state.on_tick(at(2_250)).len(), 2);
}
