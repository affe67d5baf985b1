//! Builders that join a stream late forget their different pasts (docs/BARS.md), on real trades.

use std::collections::BTreeMap;

use barflow_operators::bar::Bar;
use barflow_operators::bars::machine::BarMachine;
use barflow_operators::batch::TradeBatch;
use barflow_operators::measure::Measure;
use barflow_operators::spec::BarSpec;

use crate::market::Tape;
use crate::{generate, market};

fn run(tape: &Tape, spec: &BarSpec, from: usize) -> Vec<Bar> {
    let mut machine = BarMachine::new(spec);
    let mut bars = Vec::new();
    for rows in tape.trades[from..].chunks(8192) {
        let batch = TradeBatch::from_trades(generate::feed(tape.has_aggressor), rows);
        machine.on_batch(&batch, &mut bars);
    }
    bars
}

/// How long a builder that joined late needed.
struct Met {
    trades: usize,
    bars: usize,
}

/// Where the late builder's bars coincide with the full run's, and that they do so ever after.
fn meet(tape: &Tape, full: &[Bar], late: &[Bar], from: usize) -> Option<Met> {
    let closes: BTreeMap<(u64, u64), usize> = full
        .iter()
        .enumerate()
        .map(|(place, bar)| ((bar.last_trade_id, bar.state_digest), place))
        .collect();
    let (bars, there) = late.iter().enumerate().find_map(|(place, bar)| {
        Some((place, *closes.get(&(bar.last_trade_id, bar.state_digest))?))
    })?;
    let (after, expected) = (&late[bars + 1..], &full[there + 1..]);
    assert_eq!(after.len(), expected.len(), "{}: bars after synchronising", tape.name);
    for (bar, expected) in after.iter().zip(expected) {
        let renumbered = Bar { seq: expected.seq, ..bar.clone() };
        assert_eq!(&renumbered, expected, "{}: a bar after synchronising", tape.name);
    }
    let close = late[bars].last_trade_id;
    let trades = tape.trades[from..].partition_point(|trade| trade.trade_id <= close);
    Some(Met { trades, bars: bars + 1 })
}

#[test]
fn a_builder_that_joins_late_becomes_the_one_that_ran_from_the_start() {
    let mut failed = Vec::new();
    for tape in market::all(3) {
        // α, and twice the trades that docs/BARS.md measured: joining anywhere else costs some bars.
        for (alpha, most) in [(1e-2, 6_000), (1e-3, 50_000), (3e-4, 130_000)] {
            let spec = generate::wald(Measure::Dollar, alpha, 1000.0);
            let full = run(&tape, &spec, 0);
            let mut met = Vec::new();
            for place in 1..=5 {
                let from = tape.trades.len() * place / 6;
                // Near the tape's end there may not be enough trades left to tell.
                let judged = tape.trades.len() - from >= most;
                match meet(&tape, &full, &run(&tape, &spec, from), from) {
                    Some(Met { trades, bars }) => {
                        met.push(format!("{trades} ({bars} bars)"));
                        if judged && trades > most {
                            failed.push(format!("{} α = {alpha}: {trades} trades", tape.name));
                        }
                    }
                    None => {
                        let left = tape.trades.len() - from;
                        met.push(format!("not within the {left} left"));
                        if judged {
                            failed.push(format!("{} α = {alpha}: not in {left}", tape.name));
                        }
                    }
                }
            }
            println!("{:8} α = {alpha}: identical after {}", tape.name, met.join(", "));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// The bars don't depend on whether the digest is compared: a builder with other parameters is
/// never taken for the same one, however equal its trades.
#[test]
fn builders_with_other_parameters_do_not_meet() {
    let Some(tape) = market::bitmex(1) else { return };
    let full = run(&tape, &generate::wald(Measure::Dollar, 1e-3, 1000.0), 0);
    let other = run(&tape, &generate::wald(Measure::Dollar, 2e-3, 1000.0), 0);
    let shared = other.iter().filter(|bar| {
        let same = |full: &&Bar| {
            (full.last_trade_id, full.state_digest) == (bar.last_trade_id, bar.state_digest)
        };
        full.iter().any(|full| same(&full))
    });
    assert_eq!(shared.count(), 0);
}
