#![allow(clippy::unwrap_used)]

use barflow_operators::trade::Aggressor;

use super::*;
use crate::feeds::print::{Contract, Listing};
use crate::feeds::venue::Channel;
use crate::graph::flow::{Intakes, inlet};
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

/// A hub, and the graph's end of what it hands over.
pub(in crate::feeds) fn hub(plan: FeedPlan) -> (Hub, Intakes) {
    let (inlet, intakes) = inlet(64);
    let outlets = Outlets {
        inlets: vec![inlet],
        share: Workers::Threads(1).share(),
        pool: BatchPool::new(16, 4),
        stop: Stop::new(),
        on_reject: Arc::new(|_| ()),
        gaps: GapLedger::default(),
    };
    (Hub::new(Arc::new(plan), outlets, Latency::default().venue("v")), intakes)
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

impl Hub {
    /// As if a connection had brought it.
    pub(in crate::feeds) fn bring(&mut self, slot: u32, id: u64) -> Taken {
        self.take(slot, &print(slot, id), 1)
    }
}

#[test]
fn once_the_graph_has_ended_nobody_waits_for_it_again() {
    let (mut hub, intakes) = hub(plan("binance-spot", &["A", "B"]));
    hub.bring(0, 1);
    hub.flush();
    assert!(!hub.graph_is_idle());
    drop(intakes);
    hub.bring(0, 2);
    hub.flush();
    assert!(hub.ended);
    let (inlet, _intakes) = inlet(64);
    hub.outlets.inlets = vec![inlet];
    hub.bring(0, 3);
    hub.bring(1, 1);
    hub.flush();
    assert!(hub.graph_is_idle(), "something was handed over");
}

#[test]
fn an_instrument_that_brings_nothing_is_named_once() {
    let (mut hub, _intakes) = hub(plan("binance-spot", &["GOOD", "MISSPELT"]));
    let begun = Instant::now();
    hub.listened(&[0, 1], begun);
    hub.bring(0, 1);
    assert_eq!(hub.silent(begun + Duration::from_secs(200)), []);
    let later = begun + Duration::from_secs(400);
    assert_eq!(hub.silent(later), ["binance:spot:MISSPELT".parse().unwrap()]);
    assert_eq!(hub.silent(later), []);
}

#[test]
fn an_instrument_that_comes_back_asks_what_it_missed() {
    let (mut hub, _intakes) = hub(plan("bybit-spot", &["A"]));
    hub.bring(0, 1);
    let symbol = hub.symbol(0).clone();
    hub.remove(&symbol.instrument);
    assert_eq!(hub.add(symbol, None), 0);
    assert_eq!(hub.bring(0, 5), Taken::Waits);
}
