//! What the tests of several machines share: tapes and drivers.

use super::super::machine::BarMachine;
use crate::bar::Bar;
use crate::measure::Measure;
use crate::sign::SignRule;
use crate::spec::{BarSpec, CompatFlavour, CompatTicks, LimitSpec, MlfinlabSpec, RuleSpec};
use crate::trade::{Aggressor, Trade};

/// A machine for `rule`.
pub(super) fn machine(rule: RuleSpec) -> BarMachine {
    let spec = BarSpec::new("test", SignRule::Aggressor, LimitSpec::default(), rule);
    BarMachine::new(&spec.unwrap_or_else(|wrong| panic!("{wrong:?}")))
}

/// The bars of a tape whose aggressors are told.
pub(super) fn closes(rule: RuleSpec, trades: &[Trade]) -> Vec<Bar> {
    let (mut machine, mut bars) = (machine(rule), Vec::new());
    for trade in trades {
        machine.on_trade(trade, true, &mut bars);
    }
    bars
}

/// Trades of one unit at these prices, a second apart, bought.
pub(super) fn trades(prices: &[f64]) -> Vec<Trade> {
    let rows = prices.iter().enumerate();
    rows.map(|(i, price)| trade(i as u64, *price, 1.0, Aggressor::Buyer)).collect()
}

/// A trade of `qty`, `second` seconds after the epoch.
pub(super) fn trade(second: u64, price: f64, qty: f64, aggressor: Aggressor) -> Trade {
    Trade {
        trade_id: second + 1,
        event_time: second as i64 * 1_000_000_000,
        price,
        qty,
        quote: price * qty,
        aggressor,
        count: 1,
    }
}

/// mlfinlab's `ema` with windows of 4 trades and 3 bars.
pub(super) fn ema(init: f64, min: f64, max: f64) -> MlfinlabSpec {
    MlfinlabSpec {
        flavour: CompatFlavour::Mlfinlab,
        ticks: CompatTicks::Ema,
        num_prev_bars: 3,
        window: 4,
        init,
        min,
        max,
    }
}

fn head(init_ticks: u64, time_reset: f64) -> RuleSpec {
    RuleSpec::PredecessorHead { init_ticks, alpha_ticks: 0.5, alpha_imbalance: 0.5, time_reset }
}

#[test]
fn a_long_bar_starts_the_predecessor_over() {
    // Falling prices buy; bars of 2 trades (threshold 2·1), the third over an hour long.
    let mut tape: Vec<Trade> =
        (0..8).map(|i| trade(i, 100.0 - i as f64 * 1e-9, 0.01, Aggressor::Unknown)).collect();
    let lengths = |tape: &[Trade]| -> Vec<u64> {
        closes(head(3, 1.0), tape).iter().map(|bar| bar.ticks).collect()
    };
    assert_eq!(lengths(&tape), [3, 4]);
    for late in &mut tape[4..] {
        late.event_time += 3_601_000_000_000;
    }
    tape.extend((20..30).map(|i| {
        let mut last = trade(i, 100.0 - i as f64 * 1e-9, 0.01, Aggressor::Unknown);
        last.event_time += 3_601_000_000_000;
        last
    }));
    let bars = closes(head(3, 1.0), &tape);
    let starts: Vec<bool> = bars.iter().map(|bar| bar.threshold.is_none()).collect();
    assert_eq!(starts[..3], [true, false, true]);
    assert_eq!(bars[2].ticks, 3);
}

#[test]
fn finmlkit_leaves_the_first_trade_out_and_carries_dollars_over() {
    let rule = |measure| RuleSpec::Finmlkit { measure, size: 10.0 };
    let tape = trades(&[7.0; 12]);
    let ticks = |measure| -> Vec<u64> {
        closes(rule(measure), &tape).iter().map(|bar| bar.ticks).collect()
    };
    // The first trade counts, but only the other nine are in the bar.
    assert_eq!(ticks(Measure::Tick), [9]);
    // (7), 14 | 4 over, 11 | 1, 8, 15 | 5, 12 | 2, 9, 16 | 6, 13 | 3, 10 | 0, 7, 14
    assert_eq!(ticks(Measure::Dollar), [1, 1, 2, 1, 2, 1, 1, 2]);
    assert_eq!(closes(rule(Measure::Tick), &tape)[0].first_trade_id, 2);
}
