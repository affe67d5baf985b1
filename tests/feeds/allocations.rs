//! From frame to graph nothing is allocated for a trade: neither for reading it nor for its place in the
//! order. Only every few thousand trades a new batch is taken; and serde_json takes a few bytes for
//! each list in a frame that it passes over.

use std::sync::Arc;

use barflow::feeds::plan::{FeedPlan, Symbol};
use barflow::feeds::print::{Contract, FrameKind, Listing};
use barflow::feeds::state::{FeedOutputs, FeedState};
use barflow::feeds::venue;
use barflow::graph::flow::inlet;
use barflow::graph::workers::Workers;
use barflow::stop::Stop;
use barflow::telemetry::latency::Latency;
use barflow_operators::pool::BatchPool;

const FRAMES: u64 = 20_000;

/// After all trades of the frames, ns.
const RECEIVED: i64 = 1_790_000_000_000_000_000;

/// A protocol, a symbol, the lists around a frame's trades, and the frame of its trade of this number.
type Case = (&'static str, &'static str, u64, fn(u64) -> String);

const CASES: [Case; 6] = [
    ("binance-spot", "BTCUSDT", 0, |id| {
        format!(
            r#"{{"stream":"btcusdt@trade","data":{{"e":"trade","E":1700000000000000,"s":"BTCUSDT","t":{id},"p":"42000.10000000","q":"0.00500000","T":1700000000000000,"m":true,"M":true}}}}"#
        )
    }),
    ("coinbase", "BTC-USD", 2, |id| {
        format!(
            r#"{{"channel":"market_trades","timestamp":"2026-08-09T21:05:48.228568804Z","sequence_num":{id},"events":[{{"type":"update","trades":[{{"product_id":"BTC-USD","trade_id":"{id}","price":"65083.67","size":"0.002","time":"2026-08-09T21:05:42.514318Z","side":"SELL"}}]}}]}}"#
        )
    }),
    ("coinbase-exchange", "BTC-USD", 0, |id| {
        format!(
            r#"{{"type":"match","trade_id":{id},"maker_order_id":"4c","taker_order_id":"24","side":"buy","size":"0.97133855","price":"4.97800000","product_id":"BTC-USD","sequence":253395153,"time":"2019-08-01T00:00:03.816000Z"}}"#
        )
    }),
    ("kraken", "BTC-USD", 1, |id| {
        format!(
            r#"{{"channel":"trade","type":"update","data":[{{"symbol":"BTC/USD","side":"buy","price":105944.20,"qty":2.7625e-4,"ord_type":"limit","trade_id":{id},"timestamp":"2023-10-06T17:35:55.440295Z"}}]}}"#
        )
    }),
    ("bybit-linear", "BTCUSDT", 1, |id| {
        format!(
            r#"{{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1786310820347,"data":[{{"T":{},"s":"BTCUSDT","S":"Buy","v":"0.01","p":"1922.50","L":"PlusTick","i":"19d7df56-4f10-5290-a969-d9d9{id:08}","BT":false,"RPI":false,"seq":430879434439}}]}}"#,
            1786310820346 + id / 3
        )
    }),
    ("okx", "BTC-USDT", 1, |id| {
        format!(
            r#"{{"arg":{{"channel":"trades-all","instId":"BTC-USDT"}},"data":[{{"instId":"BTC-USDT","tradeId":"{id}","px":"42.52","sz":"3.75","side":"sell","ts":"1697760012017"}}]}}"#
        )
    }),
];

fn plan(protocol: &str, symbol: &str) -> FeedPlan {
    let venue = venue(protocol).unwrap();
    let instrument = venue.instrument(symbol).unwrap();
    // As its messages write it.
    let symbol = if protocol == "kraken" { symbol.replace('-', "/") } else { symbol.to_owned() };
    let listing = Listing { symbol, contract: Contract::Base };
    let symbols = vec![Symbol { instrument, listing, resume_after: None }];
    let channel = venue.channels()[0];
    FeedPlan::new(protocol.to_owned(), venue, channel, symbols)
}

#[test]
fn a_trade_allocates_nothing_on_its_way_to_the_graph() {
    for (protocol, symbol, lists, frame) in CASES {
        let plan = plan(protocol, symbol);
        let listings: Arc<[Listing]> = [plan.symbols[0].listing.clone()].into();
        let mut decoder = plan.venue.decoder(plan.channel, listings);
        let (inlet, _inputs) = inlet(64);
        let outlets = FeedOutputs {
            inlets: vec![inlet],
            share: Workers::Threads(1).share(),
            pool: BatchPool::new(4096, 4),
            stop: Stop::new(),
            on_reject: Arc::new(|reject| panic!("{reject:?}")),
            on_contradiction: Arc::new(|reject| panic!("{reject:?}")),
            on_gap: Arc::new(|_, _, _| ()),
            deferred: Default::default(),
            left_off: Default::default(),
        };
        let mut state = FeedState::new(Arc::new(plan), outlets, Latency::default().venue(protocol));
        // More than the names that are remembered.
        let warm = 40_000;
        let frames: Vec<String> = (1..=warm + FRAMES).map(frame).collect();
        let (before, after) = frames.split_at(warm as usize);
        let mut hear = |frame: &String| {
            let heard = state.on_frame(frame.as_bytes(), decoder.as_mut(), &[0], RECEIVED);
            assert_eq!(heard, FrameKind::Trades, "{frame}");
        };
        before.iter().for_each(&mut hear);
        let counted = allocation_counter::measure(|| after.iter().for_each(&mut hear));
        assert_eq!(state.counters.bad_frames + state.counters.bad_rows, 0);
        state.flush();
        assert_eq!(state.counters.trades, warm + FRAMES, "{protocol}");
        // A batch of columns every 4,096 trades.
        let few = FRAMES / 4096 * 30;
        let counted = counted.count_total;
        assert!(counted < lists * FRAMES + few, "{protocol}: {counted} allocations");
    }
}
