//! Reports of progress as the graph gives them: of exactly the bars before them, whatever the batches and
//! workers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use barflow::graph::checkpoints::Checkpoints;
use barflow::graph::options::GraphOptions;
use barflow::graph::sink::Commit;
use barflow_operators::bars::machine::BarMachine;
use barflow_operators::measure::Measure;
use barflow_operators::order::RejectPolicy;
use barflow_operators::sign::SignRule;
use barflow_operators::spec::{BarSpec, LimitSpec, RuleSpec, ThresholdSpec};
use proptest::prelude::*;

use crate::support::graph_runs::{Kept, Run, Setup, feed, input_batches, options, run_with, tape};

const TRADES: usize = 3_000;

fn specs() -> Vec<BarSpec> {
    let tick = RuleSpec::Size { measure: Measure::Tick, size: 7.0 };
    let threshold = ThresholdSpec::Fixed { size: 300.0 };
    let imbalance = RuleSpec::Imbalance { measure: Measure::Dollar, threshold };
    let spec =
        |name, rule| BarSpec::new(name, SignRule::Aggressor, LimitSpec::default(), rule).unwrap();
    vec![spec("t", tick), spec("dib", imbalance)]
}

fn checkpoints() -> Checkpoints {
    let restored = Arc::new(Mutex::new(BTreeMap::new()));
    Checkpoints { restored, interval: Duration::ZERO, bars: 50 }
}

fn run(workers: usize, rows: usize, keeps: bool, reports: Option<Duration>) -> Run {
    let setup = Setup { workers, policy: RejectPolicy::Stop, window: 0, specs: specs() };
    let options = GraphOptions { checkpoints: keeps.then(checkpoints), reports, ..options(&setup) };
    let inputs = ["A", "B", "C"].map(|symbol| {
        input_batches(&feed(symbol), &tape(u64::from(symbol.as_bytes()[0]), TRADES), rows)
    });
    run_with(workers, options, inputs.into(), Kept::default())
}

/// Holds every report against the bars that were handed over before it.
fn assert_at_its_bars(commits: &[Commit], keeps: bool) {
    let mut bars: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for commit in commits {
        assert!(
            !keeps || commit.reports.is_empty() || commit.cut.is_some(),
            "outside a transaction"
        );
        for (bar, _) in &commit.bars {
            let key = format!("{}/{}", bar.feed.instrument, bar.spec);
            bars.entry(key).or_default().push(bar.bar.last_trade_id);
        }
        for report in &commit.reports {
            let key = report.key();
            let came = bars.get(&key).map_or(&[][..], Vec::as_slice);
            let made = report.builder.bars as usize;
            assert!(made <= came.len(), "{key}: ahead: {made} of {}", came.len());
            assert!(!keeps || made == came.len(), "{key}: {made} of {}", came.len());
            let closed = made.checked_sub(1).map(|at| came[at]);
            let open = report.builder.open.map_or(0, |bar| bar.ticks);
            assert_eq!(closed.unwrap_or(0) + open, report.complete_trade_id, "{key}");
            assert!(report.gap_since.is_none());
            assert!(last.insert(key, report.complete_trade_id) <= Some(report.complete_trade_id));
        }
    }
    for (key, through) in &last {
        assert_eq!(*through, TRADES as u64, "{key}: the end");
    }
    assert_eq!(last.len(), 6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn reports_speak_of_the_bars_before_them(
        workers in 1_usize..4,
        rows in 1_usize..700,
        keeps in any::<bool>(),
    ) {
        let run = run(workers, rows, keeps, Some(Duration::ZERO));
        run.result.unwrap();
        assert_at_its_bars(&run.commits, keeps);
    }
}

#[test]
fn an_interval_that_never_ends_leaves_the_report_of_the_end() {
    for keeps in [true, false] {
        let run = run(2, 100, keeps, Some(Duration::from_secs(3600)));
        run.result.unwrap();
        let reports = run.commits.iter().flat_map(|commit| &commit.reports);
        assert_eq!(reports.count(), 6, "one of each series");
        assert_at_its_bars(&run.commits, keeps);
    }
}

#[test]
fn nobody_who_does_not_ask_is_told() {
    let run = run(1, 100, true, None);
    run.result.unwrap();
    assert!(run.commits.iter().all(|commit| commit.reports.is_empty()));
}

#[test]
fn the_open_bar_is_what_a_bare_machine_gathers() {
    let run = run(1, 100, false, Some(Duration::from_secs(3600)));
    run.result.unwrap();
    for report in run.commits.iter().flat_map(|commit| &commit.reports) {
        let symbol = report.feed.instrument.symbol();
        let spec = specs().into_iter().find(|spec| *spec.name() == report.spec).unwrap();
        let mut machine = BarMachine::new(&spec);
        let feed = feed(symbol);
        for batch in input_batches(&feed, &tape(u64::from(symbol.as_bytes()[0]), TRADES), TRADES) {
            machine.on_batch(&batch.trades, &mut Vec::new());
        }
        let open = Some(machine.open()).filter(|open| open.ticks > 0);
        assert_eq!(report.builder.open.as_ref(), open);
        assert_eq!(report.builder.reached, machine.reached());
        assert_eq!(report.builder.levels, machine.levels());
        assert_eq!(report.builder.bars, machine.bars());
    }
}
