//! Chunks joined against one pass: any chunks, any kept heads, any specifications, any
//! disorder of the ids.

use std::sync::Arc;

use barflow_operators::bar::Bar;
use barflow_operators::batch::{Feed, IdKind, TradeBatch};
use barflow_operators::builder_set::BuilderSet;
use barflow_operators::gap::Gap;
use barflow_operators::input_batch::{InputBatch, Reject, lines};
use barflow_operators::measure::Measure;
use barflow_operators::order::RejectPolicy;
use barflow_operators::parallel::{
    ChunkBatch, ChunkJoiner, JoinedBatch, JoinerOptions, Recomputed, SpeculativeChunk,
    SpeculativeOptions,
};
use barflow_operators::pool::BatchPool;
use barflow_operators::position::{FilePosition, Position};
use barflow_operators::sequence::{Findings, Sequencer};
use barflow_operators::sign::SignRule;
use barflow_operators::spec::{
    BarSpec, CompatFlavour, CompatTicks, LimitSpec, MlfinlabSpec, NautilusAggregation,
    NautilusSpec, RuleSpec,
};
use barflow_operators::trade::Trade;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{generate, market};

/// What comes out of a history.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    bars: Vec<(String, Vec<u8>)>,
    counts: [u64; 6],
    gaps: Vec<Gap>,
    late: Vec<(u64, String)>,
}

impl Outcome {
    fn bar(&mut self, spec: &str, bar: &Bar) {
        self.bars.push((spec.to_owned(), postcard::to_stdvec(bar).unwrap()));
    }

    fn findings(&mut self, f: &Findings) {
        let repeated = [f.duplicates, f.not_compared, f.conflicts];
        let news = [[f.released, f.time_reversals, f.reordered], repeated].concat();
        self.counts.iter_mut().zip(news).for_each(|(count, n)| *count += n);
        self.gaps.extend(&f.gaps);
    }

    fn joined_batch(&mut self, joined_batch: &JoinedBatch) {
        joined_batch.bars.iter().for_each(|(spec, bar)| self.bar(spec, bar));
        self.findings(&joined_batch.findings);
        let late = joined_batch.rejects.iter().map(|reject| (reject.line, reject.value.clone()));
        self.late.extend(late);
    }
}

/// How a history lies in chunks of input batches, and how the chunks are worked on.
#[derive(Clone, Debug)]
struct Cut {
    chunks: Vec<Vec<Vec<Trade>>>,
    keep: usize,
    ahead: Vec<bool>,
    window: usize,
}

fn position(line: u64) -> Position {
    let source: Arc<str> = "made up".into();
    FilePosition { line, ..FilePosition::start(source) }.into()
}

/// Rows without ids are numbered as they are read: within each chunk, or over all of them.
fn input_batches(feed: &Arc<Feed>, cut: &Cut, chunk: usize, whole: bool) -> Vec<InputBatch> {
    let rows = |chunk: &Vec<Vec<Trade>>| chunk.iter().map(Vec::len).sum::<usize>() as u64;
    let rows_before = cut.chunks[..chunk].iter().map(rows).sum::<u64>();
    let mut ordinal = if whole { rows_before } else { 0 };
    let mut line = 1 + rows_before;
    let input_batches = cut.chunks[chunk].iter().map(|rows| {
        let mut batch = TradeBatch::from_trades(Arc::clone(feed), rows);
        if feed.ids == IdKind::Ordinal {
            for id in &mut batch.trade_id {
                ordinal += 1;
                *id = ordinal;
            }
        }
        let start = position(line);
        line += rows.len() as u64;
        InputBatch::new(batch, Vec::new(), start, position(line))
    });
    input_batches.collect()
}

fn sequential(feed: &Arc<Feed>, specs: &[BarSpec], cut: &Cut) -> Outcome {
    let pool = BatchPool::new(64, 8);
    let mut outcome = Outcome::default();
    let (mut order, mut builder_set) = (Sequencer::new(cut.window), BuilderSet::new(specs));
    let mut take = |trades: &TradeBatch, findings: &Findings, line: u64| {
        builder_set.on_batch(trades, &findings.gaps, false, |spec, bar| outcome.bar(spec, &bar));
        outcome.findings(findings);
        let late = findings.late.iter();
        let mut set_aside: Vec<(u64, String)> =
            late.map(|late| (line + late.row as u64, late.trade.trade_id.to_string())).collect();
        let refused = findings.refused.iter();
        set_aside.extend(refused.map(|refused| {
            let line = refused.place.as_ref().unwrap().line;
            (line, refused.why.value(&refused.trade))
        }));
        outcome.late.extend(set_aside);
    };
    for chunk in 0..cut.chunks.len() {
        for input_batch in input_batches(feed, cut, chunk, true) {
            let mut findings = Findings::default();
            let line = input_batch.start.line();
            let lines = lines(&input_batch.start, &[], &[], &[]);
            let trades = order.on_batch(input_batch.trades, lines, &pool, &mut findings);
            take(&trades, &findings, line);
        }
    }
    let mut rest = TradeBatch::with_capacity(Arc::clone(feed), 0);
    let mut findings = Findings::default();
    order.flush(&mut rest, &mut findings);
    take(&rest, &findings, 0);
    outcome
}

fn joined_batch(feed: &Arc<Feed>, specs: &[BarSpec], cut: &Cut) -> (Outcome, Recomputed) {
    let pool = BatchPool::new(64, 8);
    let mut outcome = Outcome::default();
    let mut joiner = ChunkJoiner::new(JoinerOptions {
        feed: Arc::clone(feed),
        specs: specs.to_vec(),
        policy: RejectPolicy::SetAside,
        reorder_window: cut.window,
        pool: pool.clone(),
    });
    let wanted = cut.ahead.iter().copied().cycle();
    let options = SpeculativeOptions {
        specs: specs.iter().cloned().zip(wanted).collect(),
        keep: cut.keep,
        policy: RejectPolicy::SetAside,
        reorder_window: cut.window,
        pool,
    };
    let mut rows = 0;
    for chunk in 0..cut.chunks.len() {
        let mut ahead = SpeculativeChunk::new(options.clone());
        let read = || input_batches(feed, cut, chunk, false);
        let batches: Vec<ChunkBatch> = read().into_iter().map(|i| ahead.on_batch(i)).collect();
        joiner.begin_chunk(if feed.ids == IdKind::Ordinal { rows } else { 0 });
        let mut all = Ok(());
        for batch in batches {
            match joiner.on_batch(batch) {
                Ok(joined_batch) => outcome.joined_batch(&joined_batch),
                Err(again) => {
                    all = Err(again);
                    break;
                }
            }
        }
        match all {
            Ok(()) => joiner.end_chunk(Some(ahead.finish())),
            Err(_) => {
                joiner.read_again();
                for input_batch in read() {
                    outcome.joined_batch(&joiner.on_batch(ChunkBatch::read(input_batch)).unwrap());
                }
                joiner.end_chunk(None);
            }
        }
        rows += cut.chunks[chunk].iter().map(Vec::len).sum::<usize>() as u64;
    }
    outcome.joined_batch(&joiner.finish());
    (outcome, joiner.recomputed().clone())
}

fn feed(ids: IdKind, has_aggressor: bool) -> Arc<Feed> {
    Arc::new(Feed { ids, ..Feed::clone(&generate::feed(has_aggressor)) })
}

fn mlfinlab() -> impl Strategy<Value = RuleSpec> {
    let ticks = prop::sample::select(vec![CompatTicks::Ema, CompatTicks::Const]);
    let flavour = prop::sample::select(vec![CompatFlavour::Mlfinlab, CompatFlavour::RiskLabAi]);
    (flavour, ticks, 1..4usize, 1..12usize, 1..8u32, any::<bool>()).prop_map(
        |(flavour, ticks, num_prev_bars, window, init, of_runs)| {
            let (min, max, init) = (2.0, 9.0, f64::from(init));
            let params = MlfinlabSpec { flavour, ticks, num_prev_bars, window, init, min, max };
            match of_runs {
                true => RuleSpec::MlfinlabRuns { measure: Measure::Dollar, params },
                false => RuleSpec::MlfinlabImbalance { measure: Measure::Dollar, params },
            }
        },
    )
}

fn compat() -> BoxedStrategy<BarSpec> {
    let aggregation = prop::sample::select(vec![
        NautilusAggregation::Tick,
        NautilusAggregation::Volume,
        NautilusAggregation::Value,
        NautilusAggregation::VolumeImbalance,
        NautilusAggregation::ValueRuns,
        NautilusAggregation::TickRuns,
    ]);
    let nautilus = (aggregation, 1..300u64).prop_map(|(aggregation, step)| {
        let (price_precision, size_precision) = (2, 3);
        RuleSpec::Nautilus(NautilusSpec { aggregation, step, price_precision, size_precision })
    });
    let head = (1..9u64, 1e-4..2e-2).prop_map(|(init_ticks, time_reset)| {
        let (alpha_ticks, alpha_imbalance) = (0.5, 0.5);
        RuleSpec::PredecessorHead { init_ticks, alpha_ticks, alpha_imbalance, time_reset }
    });
    let seed = (1.0..900.0).prop_map(|init_t| RuleSpec::PredecessorSeed {
        init_t,
        alpha_volume: 0.5,
        alpha_imbalance: 1.0,
    });
    let finmlkit =
        (1.0..500.0).prop_map(|size| RuleSpec::Finmlkit { measure: Measure::Dollar, size });
    prop_oneof![3 => mlfinlab(), 2 => nautilus, 1 => head, 1 => seed, 1 => finmlkit]
        .prop_map(|rule| {
            BarSpec::new("compat", SignRule::Aggressor, LimitSpec::default(), rule).unwrap()
        })
        .boxed()
}

/// What happens to a row on its way: mostly nothing.
#[derive(Clone, Copy, Debug)]
enum Mishap {
    None,
    Missing(u64),
    Recomputed,
    Earlier(usize),
    /// A row some way back comes again at another price.
    Contradicted(usize),
    /// An id that is below all others.
    Below,
}

/// Ids that run on, with a few mishaps.
fn rows(most: usize) -> BoxedStrategy<Vec<Trade>> {
    let mishap = prop_oneof![
        300 => Just(Mishap::None),
        1 => (1..40u64).prop_map(Mishap::Missing),
        1 => Just(Mishap::Recomputed),
        2 => (1..12usize).prop_map(Mishap::Earlier),
        1 => (1..300usize).prop_map(Mishap::Contradicted),
        1 => Just(Mishap::Below),
    ];
    (generate::trades(most), vec(mishap, most), any::<bool>())
        .prop_map(|(mut trades, mishaps, smooth)| {
            let mut id = 7;
            for (trade, mishap) in trades.iter_mut().zip(&mishaps) {
                id += 1;
                match mishap {
                    Mishap::Missing(ids) if !smooth => id += ids,
                    _ => {}
                }
                (trade.trade_id, trade.count) = (id, 1);
            }
            for (row, mishap) in mishaps.iter().enumerate().filter(|_| !smooth) {
                match mishap {
                    Mishap::Recomputed if row < trades.len() => trades.insert(row, trades[row]),
                    Mishap::Earlier(by) if row >= *by && row < trades.len() => {
                        let moved = trades.remove(row);
                        trades.insert(row - by, moved);
                    }
                    Mishap::Contradicted(by) if row >= *by && row < trades.len() => {
                        let price = trades[row - by].price * 2.0;
                        trades.insert(row, Trade { price, ..trades[row - by] });
                    }
                    Mishap::Below if row < trades.len() => {
                        trades.insert(row, Trade { trade_id: 3, ..trades[row] });
                    }
                    _ => {}
                }
            }
            trades
        })
        .boxed()
}

fn cut(trades: Vec<Trade>, sizes: &[usize], per_chunk: &[usize]) -> Vec<Vec<Vec<Trade>>> {
    let mut sizes = sizes.iter().cycle();
    let mut rest = trades.as_slice();
    let mut input_batches = Vec::new();
    while !rest.is_empty() {
        let (one, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
        input_batches.push(one.to_vec());
        rest = later;
    }
    let mut chunks = Vec::new();
    let mut per_chunk = per_chunk.iter().cycle();
    let mut input_batches = input_batches.into_iter().peekable();
    while input_batches.peek().is_some() {
        chunks.push(input_batches.by_ref().take(*per_chunk.next().unwrap()).collect());
    }
    chunks
}

fn cuts(most: usize) -> BoxedStrategy<Cut> {
    let sizes = vec(1..120usize, 1..6);
    let per_chunk = vec(1..9usize, 1..4);
    let keep = prop_oneof![Just(0), Just(usize::MAX), 0..400usize];
    let ahead = vec(prop::bool::weighted(0.85), 1..4);
    let window = prop_oneof![Just(0usize), 1..20usize];
    (rows(most), sizes, per_chunk, keep, ahead, window)
        .prop_map(|(rows, sizes, per_chunk, keep, ahead, window)| {
            let chunks = cut(rows, &sizes, &per_chunk);
            Cut { chunks, keep, ahead, window }
        })
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_chunks_give_the_bars_of_one_pass(
        specs in vec(prop_oneof![3 => generate::spec(), 1 => compat()], 1..4),
        cut in cuts(900),
        ordinal in prop::bool::weighted(0.3),
        has_aggressor in any::<bool>(),
    ) {
        let feed = feed(if ordinal { IdKind::Ordinal } else { IdKind::Venue }, has_aggressor);
        let expected = sequential(&feed, &specs, &cut);
        let (found, _) = joined_batch(&feed, &specs, &cut);
        prop_assert_eq!(found.counts, expected.counts);
        prop_assert_eq!(&found.gaps, &expected.gaps);
        // Which of them an input batch sets aside first depends on which were late.
        let sorted = |late: &[(u64, String)]| {
            let mut late = late.to_vec();
            late.sort();
            late
        };
        prop_assert_eq!(sorted(&found.late), sorted(&expected.late));
        prop_assert_eq!(found.bars.len(), expected.bars.len());
        prop_assert!(found.bars == expected.bars);
    }
}

/// On real trades, with gaps and disorder at and beside the borders; and it pays.
#[test]
fn real_days_in_chunks_give_the_bars_of_one_pass() {
    let Some(tape) = market::bitmex(2) else { return };
    let spec = |name: &str, rule| {
        BarSpec::new(name, SignRule::Aggressor, LimitSpec::default(), rule).unwrap()
    };
    let of = |measure, alpha| generate::wald(measure, alpha, 200.0).rule().to_owned();
    let specs = [
        spec("quick", of(Measure::Dollar, 1e-2)),
        spec("volume", of(Measure::Volume, 3e-3)),
        spec("minute", RuleSpec::Time { every: 60_000_000_000 }),
    ];
    let mut trades = tape.trades;
    trades.drain(200_000..200_777);
    trades.swap(350_000, 350_003);
    let chunks = cut(trades, &[4096], &[12]);
    let feed = feed(IdKind::Venue, true);
    let mut cut = Cut { chunks, keep: usize::MAX, ahead: vec![true], window: 1024 };
    let expected = sequential(&feed, &specs, &cut);
    assert!(expected.bars.len() > 2000 && expected.gaps.len() == 1);
    let all: u64 = expected.counts[0];
    for keep in [usize::MAX, 30_000, 0] {
        cut.keep = keep;
        let (found, recomputed) = joined_batch(&feed, &specs, &cut);
        assert!(found == expected, "keeping {keep}");
        match keep {
            0 => assert!(recomputed.read_again > 0, "{recomputed:?}"),
            _ => assert!(
                recomputed.trades < all / 2 && recomputed.apart == 0,
                "{all} {recomputed:?}"
            ),
        }
    }
    // A builder that never falls into step costs nothing but its work ahead.
    (cut.ahead, cut.keep) = (vec![false], usize::MAX);
    let (found, recomputed) = joined_batch(&feed, &specs, &cut);
    assert!(found == expected && recomputed.trades == 0);
}

fn rejecting(mut input_batch: InputBatch, row: u32) -> InputBatch {
    input_batch.rejects.push(Reject {
        row,
        source: "made up".into(),
        line: 1,
        field: "price".to_owned(),
        value: "x".to_owned(),
        reason: "not a number".to_owned(),
        raw: "x".to_owned(),
    });
    input_batch
}

/// The first bad row ends everything, exactly where it stands.
#[test]
fn a_bad_row_stops_a_history_in_chunks_where_it_stands() {
    let Some(tape) = market::bitmex(1) else { return };
    let specs = [generate::wald(Measure::Dollar, 1e-2, 100.0)];
    let feed = feed(IdKind::Venue, true);
    let pool = BatchPool::new(64, 8);
    let trades = tape.trades[..60_000].to_vec();
    let good: Vec<Trade> = trades[..50_100].to_vec();
    let whole =
        Cut { chunks: cut(good, &[1000], &[20]), keep: 5000, ahead: vec![true], window: 1024 };
    let expected = sequential(&feed, &specs, &whole);
    let mut joiner = ChunkJoiner::new(JoinerOptions {
        feed: Arc::clone(&feed),
        specs: specs.to_vec(),
        policy: RejectPolicy::Stop,
        reorder_window: 1024,
        pool: pool.clone(),
    });
    let with_bad_row =
        Cut { chunks: cut(trades, &[1000], &[20]), keep: 5000, ahead: vec![true], window: 1024 };
    let mut outcome = Outcome::default();
    let mut stopped = false;
    'chunks: for chunk in 0..3 {
        let read = || {
            let mut read = input_batches(&feed, &with_bad_row, chunk, true);
            if chunk == 2 {
                let bad = rejecting(read.remove(10), 100);
                read.insert(10, bad);
            }
            read
        };
        let mut ahead = SpeculativeChunk::new(SpeculativeOptions {
            specs: vec![(specs[0].clone(), true)],
            keep: 5000,
            policy: RejectPolicy::Stop,
            reorder_window: 1024,
            pool: pool.clone(),
        });
        joiner.begin_chunk(0);
        let batches: Vec<ChunkBatch> = read().into_iter().map(|i| ahead.on_batch(i)).collect();
        for batch in batches {
            let Ok(joined_batch) = joiner.on_batch(batch) else {
                joiner.read_again();
                for input_batch in read() {
                    let joined_batch = joiner.on_batch(ChunkBatch::read(input_batch)).unwrap();
                    outcome.joined_batch(&joined_batch);
                    if joined_batch.stopped {
                        stopped = true;
                        break 'chunks;
                    }
                }
                panic!("the bad row was passed over");
            };
            outcome.joined_batch(&joined_batch);
        }
        joiner.end_chunk(Some(ahead.finish()));
    }
    assert!(stopped);
    assert_eq!(outcome.counts, expected.counts);
    assert!(outcome.bars == expected.bars, "{} {}", outcome.bars.len(), expected.bars.len());
}
