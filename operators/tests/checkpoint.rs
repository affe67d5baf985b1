//! An instrument state that is lost at any moment and restored from its records makes the bars of
//! one that was never lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use barflow_operators::bar::Bar;
use barflow_operators::batch::TradeBatch;
use barflow_operators::checkpoint::envelope::open;
use barflow_operators::checkpoint::instrument_state::{InstrumentState, WaitingBars};
use barflow_operators::checkpoint::record::{Broken, Record};
use barflow_operators::dataflow::validate::OrderedBatch;
use barflow_operators::gap::Gap;
use barflow_operators::measure::Measure;
use barflow_operators::position::{FilePosition, Position};
use barflow_operators::sign::SignRule;
use barflow_operators::spec::{BarSpec, RuleSpec};
use barflow_operators::trade::{Aggressor, Trade};
use proptest::prelude::*;

use crate::generate;

/// What a compacted topic keeps: the newest record under each key.
type Topic = BTreeMap<String, Vec<u8>>;

fn restore(topic: &Topic) -> Option<InstrumentState> {
    let records = topic.values().map(|bytes| open::<Record>(bytes).unwrap()).collect();
    InstrumentState::restore(records).unwrap()
}

/// The tape in pieces of these lengths, here and there with a gap before one.
fn pieces(trades: &[Trade], cuts: &[usize], gaps: &[bool], live: bool) -> Vec<OrderedBatch> {
    let feed = generate::feed(true);
    let (mut cuts, mut gaps) = (cuts.iter().cycle(), gaps.iter().cycle());
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < trades.len() {
        let rows = (*cuts.next().unwrap()).min(trades.len() - at);
        let missing = u64::from(*gaps.next().unwrap());
        let mut batch = TradeBatch::from_trades(feed.clone(), &trades[at..at + rows]);
        batch.trade_id = (at as u64..(at + rows) as u64).map(|id| id + 1).collect();
        let gap = Gap { first_missing: at as u64, last_missing: at as u64 };
        pieces.push(OrderedBatch {
            trades: Arc::new(batch),
            position: Position::File(FilePosition {
                byte: pieces.len() as u64 + 1,
                trade_id: Some((at + rows) as u64),
                ..FilePosition::start("tape".into())
            }),
            gaps: (0..missing).map(|_| gap).collect(),
            open_gap: None,
            received: live.then_some(1),
            ended: Vec::new(),
            specs: None,
            corrections: Vec::new(),
        });
        at += rows;
    }
    pieces
}

type Made = Vec<(String, Bar)>;

fn apply(state: &mut InstrumentState, piece: &OrderedBatch, bars: &mut Made) {
    state.on_ordered_batch(piece, true, |spec, bar, _, _| bars.push((spec.to_string(), bar)));
}

fn bytes(bars: &Made) -> Vec<u8> {
    postcard::to_stdvec(bars).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn losing_an_account_loses_nothing(
        mut specs in prop::collection::vec(generate::spec(), 1..4),
        trades in generate::trades(400),
        lengths in prop::collection::vec(1usize..12, 1..6),
        gaps in prop::collection::vec(prop::bool::weighted(0.1), 1..9),
        live in any::<bool>(),
        // Of each piece: whether it is followed by a cut, and whether by a crash.
        fates in prop::collection::vec((prop::bool::weighted(0.5), prop::bool::weighted(0.1)), 1..40),
    ) {
        prop_assume!(!trades.is_empty());
        specs = specs.iter().enumerate().map(|(at, spec)| {
            BarSpec::new(&format!("spec{at}"), spec.sign(), spec.limits(), *spec.rule()).unwrap()
        }).collect();
        let pieces = pieces(&trades, &lengths, &gaps, live);
        let feed = generate::feed(true);
        let mut never_lost = InstrumentState::new(feed.clone(), &specs);
        let mut expected = Made::new();
        for piece in &pieces {
            apply(&mut never_lost, piece, &mut expected);
        }

        let (mut topic, mut kept) = (Topic::new(), Made::new());
        let mut state = InstrumentState::new(feed.clone(), &specs);
        let mut open_transaction = Made::new();
        let mut at = 0;
        let mut fates = fates.iter().cycle();
        // Every crash uses a fate up, so this ends when the list has been through some times.
        let mut patience = pieces.len() * 20;
        while at < pieces.len() {
            apply(&mut state, &pieces[at], &mut open_transaction);
            at += 1;
            let (cut, crash) = *fates.next().unwrap();
            patience = patience.saturating_sub(1);
            if (cut || at == pieces.len() || patience == 0)
                && let Some(sealed) = state.cut(WaitingBars::NONE)
            {
                topic.insert(sealed.key, sealed.bytes);
                kept.append(&mut open_transaction);
            }
            if crash && patience > 0 {
                open_transaction.clear();
                let restored = restore(&topic);
                at = restored.as_ref().map_or(0, |r| r.position().unwrap().file().unwrap().byte as usize);
                state = restored.unwrap_or_else(|| InstrumentState::new(feed.clone(), &specs));
            }
        }
        prop_assert!(bytes(&kept) == bytes(&expected), "{:?}\n{:?}", kept, expected);
        let again = restore(&topic).unwrap();
        prop_assert_eq!(again.resume(), never_lost.resume());
        let counts = |state: &InstrumentState| state.bars().map(|(_, n)| n).collect::<Vec<_>>();
        prop_assert_eq!(counts(&again), counts(&never_lost));
    }
}

/// Several bars, so that a state is larger than a few trades.
fn ticks() -> Vec<BarSpec> {
    let spec = |size: u32| {
        let rule = RuleSpec::Size { measure: Measure::Tick, size: f64::from(size) };
        BarSpec::new(&format!("tick{size}"), SignRule::Aggressor, Default::default(), rule).unwrap()
    };
    (3..8).map(spec).collect()
}

fn consecutive(trades: u64) -> Vec<Trade> {
    let trade = |trade_id: u64| Trade {
        trade_id,
        event_time: trade_id as i64,
        price: 1.0,
        qty: 1.0,
        quote: 1.0,
        aggressor: Aggressor::Buyer,
        count: 1,
    };
    (1..=trades).map(trade).collect()
}

/// The records after each of these pieces.
fn records(state: &mut InstrumentState, pieces: &[OrderedBatch]) -> Vec<Record> {
    let mut records = Vec::new();
    for piece in pieces {
        apply(state, piece, &mut Made::new());
        records.push(open(&state.cut(WaitingBars::NONE).unwrap().bytes).unwrap());
        assert_eq!(state.cut(WaitingBars::NONE), None, "nothing has moved");
    }
    records
}

#[test]
fn quiet_instruments_cost_steps_and_busy_ones_whole_states() {
    let mut state = InstrumentState::new(generate::feed(true), &ticks());
    let quiet = records(&mut state, &pieces(&consecutive(30), &[1], &[false], true));
    let steps: Vec<u32> = quiet.iter().map(|record| record.step).collect();
    assert_eq!(steps[..4], [0, 1, 2, 3], "a trade is shorter than a state");
    assert!(steps[4..].contains(&0), "steps together never outgrow a state: {steps:?}");
    let busy = records(&mut state, &pieces(&consecutive(200), &[100], &[false], true));
    let steps: Vec<u32> = busy.iter().map(|record| record.step).collect();
    assert_eq!(steps, [0, 0], "a state is shorter than a hundred trades");
}

#[test]
fn a_missing_record_is_noticed_and_an_outdated_one_passed_over() {
    let mut state = InstrumentState::new(generate::feed(true), &ticks());
    let mut all = records(&mut state, &pieces(&consecutive(4), &[1], &[false], true));
    let without = |step| all.iter().filter(|r| r.step != step).cloned().collect::<Vec<_>>();
    let missing = InstrumentState::restore(without(1)).unwrap_err();
    assert!(matches!(missing, Broken::Missing { step: 1, last: 3, .. }), "{missing}");
    assert!(matches!(InstrumentState::restore(without(0)), Err(Broken::NoState(_))));
    all[3].generation = 0;
    let state = InstrumentState::restore(all).unwrap().unwrap();
    assert_eq!(state.position().unwrap().trade_id(), Some(3));
    assert!(InstrumentState::restore(Vec::new()).unwrap().is_none());
}
