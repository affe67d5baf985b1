//! What holds for the compatibility machines on any tape.

use crate::generate::compat::{rules, whole_trades};
use crate::golden::feed;
use barflow_operators::bar::Bar;
use barflow_operators::bars::machine::BarMachine;
use barflow_operators::batch::TradeBatch;
use barflow_operators::sign::SignRule;
use barflow_operators::spec::{BarSpec, LimitSpec, RuleSpec};
use barflow_operators::trade::{Aggressor, Trade};
use proptest::collection::vec;
use proptest::prelude::*;

/// Ordinary rows: price in ticks, quantity in thousandths, side, ms since the trade before.
fn tape() -> impl Strategy<Value = Vec<Trade>> {
    let side = prop::sample::select(vec![Aggressor::Buyer, Aggressor::Seller, Aggressor::Unknown]);
    vec((-2..3i64, 1..3000u32, side, 0..5000i64), 1..250).prop_map(|rows| {
        let (mut price, mut time) = (10_000, 0);
        let rows = rows.into_iter().enumerate();
        rows.map(|(row, (change, qty, aggressor, wait))| {
            price += change;
            time += wait * 1_000_000;
            let (price, qty) = (price as f64 / 100.0, f64::from(qty) / 1000.0);
            Trade {
                trade_id: row as u64 + 1,
                event_time: time,
                price,
                qty,
                quote: price * qty,
                aggressor,
                count: 1,
            }
        })
        .collect()
    })
}

/// Any finite numbers, among them the ends of their range; their product may be infinite.
fn absurd_tape() -> impl Strategy<Value = Vec<Trade>> {
    let number = || {
        prop_oneof![
            any::<f64>().prop_filter("finite", |value| value.is_finite()),
            prop::sample::select(vec![
                0.0,
                -0.0,
                1.0,
                -1.0,
                1e-8,
                1e8,
                1e18,
                1e-300,
                5e-324,
                f64::MAX,
                f64::MIN,
                f64::MIN_POSITIVE,
            ]),
        ]
    };
    let side = prop::sample::select(vec![Aggressor::Buyer, Aggressor::Seller, Aggressor::Unknown]);
    vec((number(), number(), side, any::<i64>(), any::<u32>()), 1..60).prop_map(|rows| {
        let row = |(price, qty, aggressor, event_time, count): (f64, f64, _, _, _)| Trade {
            trade_id: u64::MAX,
            event_time,
            price,
            qty,
            quote: price * qty,
            aggressor,
            count,
        };
        rows.into_iter().map(row).collect()
    })
}

fn machine(rule: RuleSpec) -> BarMachine {
    let spec = BarSpec::new("any", SignRule::Aggressor, LimitSpec::default(), rule).unwrap();
    BarMachine::new(&spec)
}

fn one_by_one(machine: &mut BarMachine, trades: &[Trade]) -> Vec<Bar> {
    let mut bars = Vec::new();
    for trade in trades {
        machine.on_trade(trade, true, &mut bars);
    }
    bars
}

/// Bars as bytes, so that a NaN equals itself.
fn bytes(bars: &[Bar]) -> Vec<u8> {
    postcard::to_allocvec(bars).unwrap()
}

proptest! {
    #[test]
    fn batches_make_the_bars_of_single_trades(
        rule in rules(), trades in tape(), cuts in vec(1..60usize, 1..20),
    ) {
        let expected = one_by_one(&mut machine(rule), &trades);
        let (mut machine, mut bars, mut rest) = (machine(rule), Vec::new(), &trades[..]);
        for cut in cuts.iter().cycle() {
            let (part, later) = rest.split_at(rest.len().min(*cut));
            machine.on_batch(&TradeBatch::from_trades(feed(), part), &mut bars);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(bytes(&bars), bytes(&expected));
    }

    #[test]
    fn a_restored_machine_goes_on_as_if_never_stopped(
        rule in rules(), trades in tape(), at in any::<prop::sample::Index>(),
    ) {
        let (before, after) = trades.split_at(at.index(trades.len()));
        let mut running = machine(rule);
        one_by_one(&mut running, before);
        let saved = postcard::to_allocvec(&running).unwrap();
        let mut restored: BarMachine = postcard::from_bytes(&saved).unwrap();
        prop_assert_eq!(&restored, &running);
        let (expected, bars) = (one_by_one(&mut running, after), one_by_one(&mut restored, after));
        prop_assert_eq!(bytes(&bars), bytes(&expected));
        prop_assert_eq!(restored, running);
    }

    #[test]
    fn bars_of_whole_trades_tile_the_tape(rule in whole_trades(), trades in tape()) {
        let bars = one_by_one(&mut machine(rule), &trades);
        let left_out = u64::from(matches!(rule, RuleSpec::Finmlkit { .. }));
        let mut next = 1 + left_out;
        for bar in &bars {
            prop_assert_eq!(bar.first_trade_id, next);
            prop_assert_eq!(bar.ticks, bar.last_trade_id + 1 - next);
            next = bar.last_trade_id + 1;
        }
    }

    /// Two machines with different pasts: from a close with equal digests on, the same bars.
    #[test]
    fn equal_digests_mean_equal_futures(
        rule in rules(), past in tape(), trades in tape(), skip in 0..40usize,
    ) {
        let mut one = machine(rule);
        one_by_one(&mut one, &past);
        let mut other = machine(rule);
        let one = one_by_one(&mut one, &trades);
        let skip = skip.min(trades.len() - 1);
        let other = one_by_one(&mut other, &trades[skip..]);
        let meeting = one.iter().enumerate().find_map(|(i, bar)| {
            let same = |b: &Bar| {
                (b.last_trade_id, b.state_digest) == (bar.last_trade_id, bar.state_digest)
            };
            other.iter().position(same).map(|j| (i + 1, j + 1))
        });
        if let Some((i, j)) = meeting {
            let free_of_ordinals = |bars: &[Bar]| {
                let bars: Vec<Bar> =
                    bars.iter().map(|bar| Bar { seq: 0, ..bar.clone() }).collect();
                bytes(&bars)
            };
            prop_assert_eq!(free_of_ordinals(&one[i..]), free_of_ordinals(&other[j..]));
        }
    }

    #[test]
    fn absurd_trades_neither_panic_nor_flood(rule in rules(), trades in absurd_tape()) {
        let mut machine = machine(rule);
        for trade in &trades {
            let mut bars = Vec::new();
            machine.on_trade(trade, true, &mut bars);
            prop_assert!(bars.len() < 2100, "{} bars of one trade", bars.len());
        }
        machine.on_batch(&TradeBatch::from_trades(feed(), &trades), &mut Vec::new());
    }
}
