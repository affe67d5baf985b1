//! The end of an input: no trade is lost in silence, and what is over is closed.

use barflow_operators::bar::{Bar, CloseReason};
use barflow_operators::bars::machine::BarMachine;
use barflow_operators::end::InputEnd;
use barflow_operators::measure::Measure;
use barflow_operators::sign::SignRule;
use barflow_operators::spec::{BarSpec, LimitSpec, RuleSpec, ThresholdSpec};
use barflow_operators::trade::{Aggressor, Trade};
use proptest::prelude::*;

use crate::generate;

fn ticks(bars: &[Bar]) -> u64 {
    bars.iter().map(|bar| bar.ticks).sum()
}

/// A machine after these trades, its bars, and how many trades its warm-ups took.
fn run(spec: &BarSpec, trades: &[Trade], has_aggressor: bool) -> (BarMachine, Vec<Bar>, u64) {
    let (mut machine, mut bars, mut warmed) = (BarMachine::new(spec), Vec::new(), 0);
    for trade in trades {
        let before = bars.len();
        let was_open = machine.open().ticks;
        machine.on_trade(trade, has_aggressor, &mut bars);
        // A trade of the warm-up is in no bar, neither closed nor open.
        let after = ticks(&bars[before..]) + machine.open().ticks;
        warmed += u64::from(after == was_open);
    }
    (machine, bars, warmed)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bars_and_the_open_bar_hold_every_trade_after_the_warm_up(
        spec in generate::spec(),
        trades in generate::trades(300),
        has_aggressor: bool,
    ) {
        let (machine, bars, warmed) = run(&spec, &trades, has_aggressor);
        let all = trades.len() as u64 - warmed;
        prop_assert_eq!(ticks(&bars) + machine.open().ticks, all);

        let (mut flushed, mut closed) = (machine.clone(), Vec::new());
        flushed.on_end(InputEnd { until: None, flush: true }, &spec, &mut closed);
        prop_assert_eq!(ticks(&bars) + ticks(&closed), all);
        prop_assert_eq!(flushed.open().ticks, 0);
        prop_assert!(closed.len() <= 1);
        for bar in &closed {
            prop_assert_eq!(bar.close_reason, CloseReason::End);
            prop_assert_eq!(bar.seq, bars.len() as u64);
            prop_assert_eq!(Some(bar.last_trade_id), trades.last().map(|trade| trade.trade_id));
        }
        // A second time there is nothing to close, and later bars hold every later trade.
        flushed.on_end(InputEnd { until: None, flush: true }, &spec, &mut closed);
        prop_assert!(closed.len() <= 1);
        let mut later = Vec::new();
        for trade in &trades {
            flushed.on_trade(trade, has_aggressor, &mut later);
        }
        prop_assert!(ticks(&later) + flushed.open().ticks <= trades.len() as u64);
        let next = (bars.len() + closed.len()) as u64;
        prop_assert!(later.iter().zip(next..).all(|(bar, seq)| bar.seq == seq));
    }

    #[test]
    fn an_input_that_ends_where_a_period_does_closes_what_the_next_trade_would(
        every in 1..200i64,
        times in prop::collection::vec(0..2_000i64, 1..60),
        gap in 0..50i64,
    ) {
        let rule = RuleSpec::Time { every };
        let spec = BarSpec::new("x", SignRule::Aggressor, LimitSpec::default(), rule).unwrap();
        let mut times = times;
        times.sort_unstable();
        let trades: Vec<Trade> = times.iter().zip(1..).map(|(time, id)| trade(id, *time)).collect();
        let last = *times.last().unwrap();
        let until = last + 1 + gap;
        let (machine, mut bars, _) = run(&spec, &trades, true);
        let (mut ended, mut waited) = (machine.clone(), machine);
        let mut expected = bars.clone();
        ended.on_end(InputEnd { until: Some(until), flush: false }, &spec, &mut bars);
        waited.on_trade(&trade(1_000, until), true, &mut expected);
        prop_assert_eq!(&bars, &expected);
        // And nothing is closed twice.
        ended.on_trade(&trade(1_000, until), true, &mut bars);
        prop_assert_eq!(&bars, &expected);
        prop_assert_eq!(ended, waited);
    }
}

fn trade(trade_id: u64, event_time: i64) -> Trade {
    let (price, qty) = (10.0 + (trade_id % 3) as f64, 1.0);
    let aggressor = Aggressor::Buyer;
    Trade { trade_id, event_time, price, qty, quote: price * qty, aggressor, count: 1 }
}

#[test]
fn a_run_of_fixed_size_begins_anew_after_a_flush() {
    let threshold = ThresholdSpec::Fixed { size: 5.0 };
    let rule = RuleSpec::Runs { measure: Measure::Tick, threshold };
    let spec = BarSpec::new("x", SignRule::Aggressor, LimitSpec::default(), rule).unwrap();
    let trades: Vec<Trade> = (1..=4).map(|id| trade(id, id as i64)).collect();
    let (mut machine, mut bars, _) = run(&spec, &trades, true);
    machine.on_end(InputEnd { until: None, flush: true }, &spec, &mut bars);
    for id in 5..=9 {
        machine.on_trade(&trade(id, id as i64), true, &mut bars);
    }
    let lengths: Vec<u64> = bars.iter().map(|bar| bar.ticks).collect();
    assert_eq!(lengths, [4, 5]);
}
