//! The dataflow makes the bars of the bare machines, whatever the batching and the workers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::graph_runs::{Setup, bare, feed, input_batches, run_fed, run_graph, tape};
use barflow::graph::run::Feeder;
use barflow::graph::sink::{BarSink, Commit, SinkError, SinkReport};
use barflow_operators::bar::Bar;
use barflow_operators::dataflow::ledger::FactKind;
use barflow_operators::input_batch::{InputBatch, Reject};
use barflow_operators::measure::Measure;
use barflow_operators::order::RejectPolicy;
use barflow_operators::sign::SignRule;
use barflow_operators::spec::{BarSpec, LimitSpec, RuleSpec, ThresholdSpec};
use proptest::prelude::*;

fn specs() -> Vec<BarSpec> {
    let limits = LimitSpec::default();
    let text = "dib=imbalance,target=50,warmup=100";
    let mut problems = Default::default();
    let section = barflow::config::bars::cut(text, &mut problems).unwrap();
    let book = barflow::config::bars::BarBook::understand(vec![section], &mut problems);
    let dib = book.orders()[0].spec.clone();
    let tick = RuleSpec::Size { measure: Measure::Tick, size: 7.0 };
    let drb = RuleSpec::Runs {
        measure: Measure::Dollar,
        threshold: ThresholdSpec::Fixed { size: 500.0 },
    };
    vec![
        dib,
        BarSpec::new("tick", SignRule::TickRule, limits, tick).unwrap(),
        BarSpec::new("drb", SignRule::Aggressor, limits, drb).unwrap(),
    ]
}

fn setup(workers: usize) -> Setup {
    Setup { workers, policy: RejectPolicy::Stop, window: 16, specs: specs() }
}

fn reject(row: u32) -> Reject {
    Reject {
        row,
        source: "file.csv".into(),
        line: 1,
        field: "price".into(),
        value: "x".into(),
        reason: "not a number".into(),
        raw: "1,x".into(),
    }
}

#[test]
fn any_number_of_workers_makes_the_bars_of_the_bare_machines() {
    let tapes: Vec<_> = (0..5).map(|i| (feed(&format!("S{i}")), tape(i + 1, 4000))).collect();
    for workers in [1, 2, 3] {
        let inputs = tapes.iter().map(|(feed, tape)| input_batches(feed, tape, 256)).collect();
        let run = run_graph(setup(workers), inputs);
        run.result.as_ref().unwrap();
        let bars = run.bars();
        for (feed, tape) in &tapes {
            for spec in specs() {
                let key = (feed.instrument.clone(), spec.name().to_string());
                let made: Vec<Bar> = bars[&key].iter().map(|p| p.bar.clone()).collect();
                assert_eq!(made, bare(&spec, feed, tape), "{workers} workers, {key:?}");
            }
        }
        let totals = run.tally.totals();
        let trades: isize =
            totals.iter().filter(|(f, _)| f.kind == FactKind::Trades).map(|(_, n)| n).sum();
        assert_eq!(trades, 5 * 4000);
        let counted: isize = totals
            .iter()
            .filter(|(f, _)| matches!(f.kind, FactKind::Bars(_)))
            .map(|(_, n)| n)
            .sum();
        assert_eq!(counted as usize, bars.values().map(Vec::len).sum::<usize>());
    }
}

#[test]
fn progress_comes_with_the_bars_that_it_completes() {
    let (feed, tape) = (feed("A"), tape(9, 3000));
    let run = run_graph(setup(1), vec![input_batches(&feed, &tape, 100)]);
    let mut through = 0;
    let mut bars = 0;
    for commit in &run.commits {
        for at in commit.progress.values() {
            let last = at.trade_id().unwrap();
            assert!(last > through, "progress only advances");
            through = last;
        }
        bars += commit.bars.iter().filter(|(bar, _)| &*bar.spec == "tick").count() as u64;
        assert_eq!(bars, through / 7, "every bar through that trade, and none beyond it");
    }
    assert_eq!(through, 3000);
    assert_eq!(run.tally.positions()[&feed.instrument].trade_id(), Some(3000));
}

#[test]
fn without_quarantine_nothing_after_a_bad_row_makes_a_bar() {
    let (feed, tape) = (feed("A"), tape(3, 700));
    let mut input = input_batches(&feed, &tape, 100);
    input[3].rejects.push(reject(50));
    let run = run_graph(setup(1), vec![input]);
    let tick = &run.bars()[&(feed.instrument.clone(), "tick".to_owned())];
    assert_eq!(tick.len(), 350 / 7);
    assert_eq!(tick.last().unwrap().bar.last_trade_id, 350);
    assert_eq!(run.rejects.len(), 1);
}

#[test]
fn with_quarantine_a_bad_row_is_set_aside_and_the_run_goes_on() {
    let (feed, tape) = (feed("A"), tape(3, 700));
    let mut input = input_batches(&feed, &tape, 100);
    input[3].rejects.push(reject(50));
    let run = run_graph(Setup { policy: RejectPolicy::SetAside, ..setup(1) }, vec![input]);
    let tick = &run.bars()[&(feed.instrument.clone(), "tick".to_owned())];
    assert_eq!(tick.len(), 100);
    assert_eq!(run.rejects, [reject(50)]);
    let rejected = |(fact, n): (&_, &isize)| -> Option<isize> {
        let fact: &barflow_operators::dataflow::ledger::Fact = fact;
        (fact.kind == FactKind::Rejected).then_some(*n)
    };
    assert_eq!(run.tally.totals().iter().find_map(rejected), Some(1));
}

#[test]
fn trades_waiting_at_the_end_of_the_input_are_released_with_their_gap() {
    let (feed, mut tape) = (feed("A"), tape(3, 705));
    tape.retain(|trade| trade.trade_id != 701);
    let run = run_graph(setup(1), vec![input_batches(&feed, &tape, 64)]);
    let tick = &run.bars()[&(feed.instrument.clone(), "tick".to_owned())];
    assert_eq!(tick.len(), 100);
    let totals = run.tally.totals();
    let gaps: Vec<_> = totals
        .keys()
        .filter_map(|fact| match fact.kind {
            FactKind::Gap(gap) => Some((gap.first_missing, gap.last_missing)),
            _ => None,
        })
        .collect();
    assert_eq!(gaps, [(701, 701)]);
    assert_eq!(run.tally.positions()[&feed.instrument].trade_id(), Some(705));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Repeats, disorder within the window, batches of any size and any number of workers make
    /// the bars of the tape in order.
    #[test]
    fn disorder_and_batching_change_no_bar(
        seed in 1u64..1000,
        rows in 1usize..300,
        workers in 1usize..4,
        swaps in proptest::collection::vec((0usize..990, 1usize..8), 0..20),
        repeats in proptest::collection::vec(0usize..900, 0..20),
    ) {
        let ordered = tape(seed, 1000);
        let mut shuffled = ordered.clone();
        for (at, by) in swaps {
            let other = (at + by).min(999);
            shuffled.swap(at, other);
        }
        for at in repeats {
            let again = shuffled[at];
            shuffled.insert(at + 5, again);
        }
        let feed = feed("A");
        let run = run_graph(setup(workers), vec![input_batches(&feed, &shuffled, rows)]);
        let mut expected: BTreeMap<_, _> = BTreeMap::new();
        for spec in specs() {
            let bars = bare(&spec, &feed, &ordered);
            if !bars.is_empty() {
                expected.insert((feed.instrument.clone(), spec.name().to_string()), bars);
            }
        }
        let made: BTreeMap<_, Vec<Bar>> = run
            .bars()
            .into_iter()
            .map(|(key, bars)| (key, bars.into_iter().map(|published| published.bar).collect()))
            .collect();
        // Swaps can add up to more than the window; then the late trade stops the instrument.
        prop_assume!(run.rejects.is_empty());
        prop_assert_eq!(made, expected);
    }
}

#[test]
fn a_history_of_gaps_holds_nothing_back_for_long() {
    // Before a gap is given up there is the next one, from the first trade to the last.
    let feed = feed("GAPS");
    let mut tape = tape(3, 4000);
    tape.iter_mut().for_each(|trade| trade.trade_id *= 2);
    let run = run_graph(setup(1), vec![input_batches(&feed, &tape, 3)]);
    run.result.unwrap();
    let bars = run.commits.iter().map(|commit| commit.bars.len()).sum::<usize>();
    let expected: usize = specs().iter().map(|spec| bare(spec, &feed, &tape).len()).sum();
    assert_eq!(bars, expected);
    // Reading would resume no further back than trades wait.
    for commit in &run.commits {
        for position in commit.progress.values() {
            let released = position.trade_id().unwrap() / 2;
            let byte = position.file().unwrap().byte;
            assert!(released.saturating_sub(byte) <= 20, "{position:?}");
        }
    }
}

/// More epochs of their own than sources may be ahead, of rows that fill an epoch each.
const MANY: usize = 40 * 8192;

#[test]
fn trades_that_wait_hold_no_source_back() {
    // All of them wait, to the end: at first nobody knows whether an earlier one will come.
    let (feed, tape) = (feed("WAITS"), tape(5, MANY));
    let patient = Setup { window: MANY + 1, ..setup(1) };
    let run = run_graph(patient, vec![input_batches(&feed, &tape, 8192)]);
    run.result.unwrap();
    let bars = run.commits.iter().map(|commit| commit.bars.len()).sum::<usize>();
    let expected: usize = specs().iter().map(|spec| bare(spec, &feed, &tape).len()).sum();
    assert_eq!(bars, expected);
}

#[test]
fn an_instrument_whose_trades_wait_holds_no_other_back() {
    // Ten trades of one instrument wait indefinitely, while another continues; on workers of their
    // own too.
    let (quiet, busy) = (feed("QUIET"), feed("BUSY"));
    let (few, many) = (tape(6, 10), tape(7, MANY));
    for workers in [1, 2] {
        let inputs = vec![input_batches(&quiet, &few, 5), input_batches(&busy, &many, 8192)];
        let run = run_graph(setup(workers), inputs);
        run.result.as_ref().unwrap();
        let bars = run.bars();
        for (feed, tape) in [(&quiet, &few), (&busy, &many)] {
            let spec = &specs()[1];
            let made = &bars[&(feed.instrument.clone(), spec.name().to_string())];
            assert_eq!(made.len(), bare(spec, feed, tape).len(), "{workers} workers");
        }
    }
}

#[test]
fn a_batch_without_trades_is_no_trouble() {
    let feed = feed("A");
    let empty: Vec<InputBatch> = input_batches(&feed, &tape(1, 10), 10)
        .into_iter()
        .map(|mut input_batch| {
            input_batch.trades = input_batch.trades.head(0);
            input_batch
        })
        .collect();
    let run = run_graph(setup(2), vec![empty]);
    run.result.as_ref().unwrap();
    assert!(run.bars().is_empty());
}

/// Takes nothing until the feeder has come to rest.
struct Stuck {
    fed: Arc<AtomicUsize>,
    /// What was fed while the first commit was stuck.
    rest: Arc<AtomicUsize>,
}

impl BarSink for Stuck {
    fn commit(&mut self, _: &Commit) -> Result<(), SinkError> {
        let mut before = usize::MAX;
        while self.rest.load(Ordering::SeqCst) == 0 && before != self.fed.load(Ordering::SeqCst) {
            before = self.fed.load(Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = self.rest.compare_exchange(0, before, Ordering::SeqCst, Ordering::SeqCst);
        Ok(())
    }

    fn finish(&mut self) -> Result<SinkReport, SinkError> {
        Ok(SinkReport::default())
    }
}

/// How many input batches are fed to a graph whose sink takes nothing; each batch fills an epoch.
fn fed_while_stuck(workers: usize, specs: Vec<BarSpec>, trades: usize) -> usize {
    let (fed, rest) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let sink = Stuck { fed: Arc::clone(&fed), rest: Arc::clone(&rest) };
    let feed = feed("A");
    let mut input = input_batches(&feed, &tape(5, trades), 8192).into_iter();
    let mine = feed.instrument.shard_hash() as usize % workers;
    let feeders = (0..workers)
        .map(|worker| -> Feeder {
            let input = if worker == mine { input.by_ref().collect() } else { Vec::new() };
            let fed = Arc::clone(&fed);
            Box::new(move |inlets, _stop| {
                for input_batch in input {
                    inlets[worker].send(input_batch)?;
                    fed.fetch_add(1, Ordering::SeqCst);
                }
                Ok(())
            })
        })
        .collect();
    run_fed(Setup { specs, ..setup(workers) }, feeders, Box::new(sink)).unwrap();
    rest.load(Ordering::SeqCst)
}

#[test]
fn a_stuck_sink_stops_the_source_within_its_window() {
    for workers in [1, 2] {
        let fed = fed_while_stuck(workers, specs(), 500_000);
        // The window, the two queues, and what is in somebody's hands.
        let bound = barflow::graph::window::MOST_EPOCHS + 4 + barflow::graph::run::COMMIT_QUEUE + 4;
        assert!(fed > 0 && fed <= bound, "{workers} workers: {fed} input batches, {bound} at most");
    }
}

/// Of an epoch that makes 65,536 bars one is as much as the whole window may hold.
#[test]
fn many_bars_a_trade_leave_few_epochs_under_way() {
    let every = |n: usize| {
        let rule = RuleSpec::Size { measure: Measure::Tick, size: 1.0 };
        BarSpec::new(&format!("t{n}"), SignRule::Aggressor, LimitSpec::default(), rule).unwrap()
    };
    let fed = fed_while_stuck(1, (0..8).map(every).collect(), 120_000);
    // Before the graph, in it, before the sink, in its hands, and one that waits in each of the three.
    let bound = 4 + 1 + 1 + 1 + 3;
    assert!(fed > 0 && fed <= bound, "{fed} input batches, {bound} at most");
}
