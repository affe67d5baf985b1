use super::super::tests::{closes, trade};
use crate::bar::Bar;
use crate::sign::SignRule;
use crate::spec::{BarSpec, LimitSpec, NautilusAggregation, NautilusSpec, RuleSpec};
use crate::trade::Aggressor::{Buyer, Seller, Unknown};
use crate::trade::{Aggressor, Trade};

use NautilusAggregation::*;

fn rule(aggregation: NautilusAggregation, step: u64) -> RuleSpec {
    RuleSpec::Nautilus(NautilusSpec { aggregation, step, price_precision: 2, size_precision: 3 })
}

/// Trades of these sizes and sides at a price of 100.
fn tape(rows: &[(f64, Aggressor)]) -> Vec<Trade> {
    let rows = rows.iter().enumerate();
    rows.map(|(i, (qty, side))| trade(i as u64, 100.0, *qty, *side)).collect()
}

fn volumes(bars: &[Bar]) -> Vec<f64> {
    bars.iter().map(|bar| bar.volume).collect()
}

#[test]
fn a_trade_is_split_over_as_many_bars_as_it_fills() {
    let trades = tape(&[(0.5, Buyer), (3.75, Buyer), (0.75, Seller)]);
    let bars = closes(rule(Volume, 1), &trades);
    assert_eq!(volumes(&bars), [1.0; 5]);
    let ticks: Vec<u64> = bars.iter().map(|bar| bar.ticks).collect();
    assert_eq!(ticks, [2, 1, 1, 1, 2]);
    assert_eq!((bars[4].first_trade_id, bars[4].last_trade_id), (2, 3));
    assert_eq!(volumes(&closes(rule(Value, 100), &trades)), [1.0; 5]);
}

#[test]
fn only_the_rest_of_the_trade_tells_closes_inside_it_apart() {
    let bars = closes(rule(Volume, 1), &tape(&[(3.0, Buyer), (1.0, Buyer)]));
    assert_ne!(bars[0].state_digest, bars[1].state_digest);
    assert_eq!(bars[2].state_digest, bars[3].state_digest);
}

#[test]
fn an_absurd_trade_makes_one_bar_and_keeps_its_volume() {
    for (aggregation, step) in [(Volume, 1), (Value, 1), (VolumeImbalance, 1), (ValueImbalance, 1)]
    {
        let trades = tape(&[(0.005, Seller), (5e12, Buyer), (0.005, Seller)]);
        let bars = closes(rule(aggregation, step), &trades);
        assert_eq!(volumes(&bars), [5e12 + 0.005], "{aggregation:?}");
    }
    for (aggregation, step) in [(VolumeRuns, 1), (ValueRuns, 1)] {
        let bars = closes(rule(aggregation, step), &tape(&[(0.005, Seller), (5e12, Buyer)]));
        assert_eq!(volumes(&bars), [5e12], "{aggregation:?}");
    }
}

#[test]
fn a_change_of_side_drops_what_a_runs_bar_gathered() {
    let trades = tape(&[(0.4, Buyer), (0.9, Seller), (0.3, Seller), (0.9, Buyer), (0.1, Buyer)]);
    let bars = closes(rule(VolumeRuns, 1), &trades);
    assert_eq!(volumes(&bars), [1.0, 1.0]);
    // The rest 0.2 of the third trade is dropped by the fourth.
    assert_eq!((bars[1].first_trade_id, bars[1].theta_buy), (4, Some(1.0)));
    assert_eq!(bars[0].theta_sell, Some(1.0));
    assert_eq!(volumes(&closes(rule(ValueRuns, 100), &trades)), [1.0, 1.0]);
    assert_eq!(closes(rule(TickRuns, 2), &trades).len(), 2);
}

#[test]
fn an_unknown_aggressor_moves_the_bar_but_no_imbalance() {
    let trades = tape(&[(1.0, Buyer), (5.0, Unknown), (1.0, Buyer)]);
    for (aggregation, step) in [(TickImbalance, 2), (VolumeImbalance, 2), (ValueImbalance, 200)] {
        let bars = closes(rule(aggregation, step), &trades);
        assert_eq!(volumes(&bars), [7.0], "{aggregation:?}");
        assert_eq!(bars[0].ticks, 3);
    }
    assert_eq!(volumes(&closes(rule(TickRuns, 2), &trades)), [7.0]);
}

#[test]
fn an_opposite_trade_is_cut_on_its_way_and_counts_once() {
    let trades = tape(&[(0.75, Buyer), (2.0, Seller)]);
    for (aggregation, step) in [(VolumeImbalance, 1), (ValueImbalance, 100)] {
        let bars = closes(rule(aggregation, step), &trades);
        assert_eq!(volumes(&bars), [2.5], "{aggregation:?}");
        assert_eq!((bars[0].ticks, bars[0].theta), (2, if step == 1 { -1.0 } else { -100.0 }));
    }
}

#[test]
fn sizes_round_to_units_while_the_rest_keeps_its_value() {
    // 100/30 = 3.333…: each bar holds 3.333, the rest is carried unrounded.
    let bars = closes(rule(Value, 100), &[trade(0, 30.0, 10.0, Buyer)]);
    assert_eq!(volumes(&bars), [3.333, 3.333, 3.333]);
    // A step below half a unit takes a whole one.
    let bars = closes(rule(Value, 1), &[trade(0, 5000.0, 0.002, Buyer)]);
    assert_eq!(volumes(&bars), [0.001, 0.001]);
}

#[test]
fn precisions_beyond_the_machines_integers_are_refused() {
    let with = |price_precision, size_precision| {
        let params =
            NautilusSpec { aggregation: Value, step: u64::MAX, price_precision, size_precision };
        let (sign, limits) = (SignRule::Aggressor, LimitSpec::default());
        BarSpec::new("test", sign, limits, RuleSpec::Nautilus(params)).is_ok()
    };
    assert!(with(9, 9) && with(16, 2) && with(0, 16));
    assert!(!with(10, 9) && !with(17, 0) && !with(u32::MAX, u32::MAX));
}

#[test]
fn price_changes_count_once_however_a_trade_is_split() {
    let (sizes, prices) = ([0.5, 3.75, 0.25, 2.5, 1.0], [100.0, 101.5, 101.0, 99.0, 99.25]);
    let rows = sizes.iter().zip(prices).enumerate();
    let trades: Vec<Trade> =
        rows.map(|(i, (qty, price))| trade(i as u64, price, *qty, Buyer)).collect();
    let bars = closes(rule(Volume, 1), &trades);
    assert_eq!(volumes(&bars), [1.0; 8]);
    let changes: Vec<f64> = bars.iter().map(|bar| bar.quadratic_variation).collect();
    // Bars 1 to 3 and 5 to 6 lie within one trade.
    assert_eq!(changes, [2.25, 0.0, 0.0, 0.0, 0.25 + 4.0, 0.0, 0.0, 0.0625]);
    assert!(bars.iter().all(|bar| bar.known_time == bar.close_time));
}
