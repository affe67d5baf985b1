//! However often the graph is cut off between two cuts, and on however many workers it resumes:
//! the bars of all its lives together are those of one undisturbed run.

use std::sync::Arc;

use crate::support::graph_runs::{Setup, feed, tape};
use crate::support::lives::{Job, Life, Row, Tape};
use barflow::config::bars::{BarBook, cut};
use barflow_operators::batch::{Feed, IdKind};
use barflow_operators::order::RejectPolicy;
use barflow_operators::spec::BarSpec;
use proptest::prelude::*;

fn specs() -> Vec<BarSpec> {
    let texts = [
        "dib=imbalance,target=50,warmup=100",
        "tick=tick,size=7",
        "large=mlfinlab-const-imbalance,init=40,window=200",
    ];
    let mut problems = Default::default();
    let sections = texts.iter().map(|text| cut(text, &mut problems).unwrap()).collect();
    let book = BarBook::understand(sections, &mut problems);
    book.orders().iter().map(|order| order.spec.clone()).collect()
}

fn setup(workers: usize, policy: RejectPolicy) -> Setup {
    Setup { workers, policy, window: 16, specs: specs() }
}

/// What is wrong with a tape: rows that come later than they should, ids that never come.
#[derive(Clone, Debug)]
struct Trouble {
    swaps: Vec<(usize, usize)>,
    missing: Vec<usize>,
}

const ROWS: usize = 900;

fn trouble() -> impl Strategy<Value = Trouble> {
    let swaps = proptest::collection::vec((0usize..ROWS - 60, 1usize..8), 0..30);
    let missing = proptest::collection::vec(1usize..ROWS - 60, 0..8);
    (swaps, missing).prop_map(|(swaps, missing)| Trouble { swaps, missing })
}

/// A file with ids, a file without, a feed with ids that are no trades, and another file.
fn tapes(seed: u64, trouble: &Trouble) -> Vec<Tape> {
    let rows = |seed| tape(seed, ROWS);
    let disordered = |seed| {
        let mut rows = rows(seed);
        rows.retain(|row| !trouble.missing.contains(&(row.trade_id as usize)));
        for (at, by) in &trouble.swaps {
            let other = (at + by).min(rows.len() - 1);
            rows.swap(*at, other);
        }
        rows
    };
    let void = |row: &barflow_operators::trade::Trade| row.trade_id.is_multiple_of(5);
    let from_feed = rows(seed + 2)
        .into_iter()
        .filter(|row| !row.trade_id.is_multiple_of(97))
        .map(|row| if void(&row) { Row::Void(row.trade_id) } else { Row::Trade(row) });
    let unnumbered = Feed { ids: IdKind::Ordinal, ..Feed::clone(&feed("UNNUMBERED")) };
    let trades = |rows: Vec<_>| rows.into_iter().map(Row::Trade).collect();
    let file = |feed, rows| Tape { feed, rows, live: false, bad: None };
    vec![
        file(feed("NUMBERED"), trades(disordered(seed))),
        file(Arc::new(unnumbered), trades(rows(seed + 1))),
        Tape { feed: feed("FEED"), rows: from_feed.collect(), live: true, bad: None },
        file(feed("OTHER"), trades(disordered(seed + 3))),
    ]
}

fn life() -> impl Strategy<Value = Life> {
    let kept = proptest::collection::vec(0.0..=1.0, 3);
    (1usize..4, 1usize..200, 0u64..12, kept).prop_map(|(workers, piece, bars_per_cut, kept)| Life {
        workers,
        piece,
        bars_per_cut,
        kept,
    })
}

fn undisturbed() -> Life {
    Life { workers: 1, piece: 64, bars_per_cut: u64::MAX, kept: vec![1.0] }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn lives_that_were_cut_off_make_the_bars_of_one_that_was_not(
        seed in 1u64..1000,
        trouble in trouble(),
        lives in proptest::collection::vec(life(), 1..6),
        last in life(),
    ) {
        let tapes = tapes(seed, &trouble);
        let mut whole = Job::default();
        whole.live(&tapes, setup(1, RejectPolicy::SetAside), &undisturbed()).result.unwrap();
        let mut job = Job::default();
        for life in &lives {
            job.live(&tapes, setup(life.workers, RejectPolicy::SetAside), life).result.unwrap();
        }
        let last = Life { kept: vec![1.0], ..last };
        job.live(&tapes, setup(last.workers, RejectPolicy::SetAside), &last).result.unwrap();
        prop_assert!(whole.bars.len() == 12, "{:?}", whole.bars.keys());
        prop_assert!(job.bars == whole.bars);
    }

    /// A bad row ends the run for every instrument, wherever the others are; corrected, it is read.
    #[test]
    fn a_run_that_stopped_at_a_bad_row_goes_on_once_it_is_mended(
        seed in 1u64..1000,
        swaps in proptest::collection::vec((0usize..ROWS - 60, 1usize..8), 0..30),
        bad in 20usize..ROWS,
        before in life(),
        after in life(),
    ) {
        let mended = tapes(seed, &Trouble { swaps, missing: Vec::new() });
        let mut whole = Job::default();
        whole.live(&mended, setup(1, RejectPolicy::SetAside), &undisturbed()).result.unwrap();
        let (mut job, mut tapes) = (Job::default(), mended.clone());
        tapes[0].bad = Some(bad);
        tapes[1].bad = Some(bad);
        job.live(&tapes, setup(before.workers, RejectPolicy::Stop), &before).result.unwrap();
        let last = Life { kept: vec![1.0], ..after };
        job.live(&mended, setup(last.workers, RejectPolicy::Stop), &last).result.unwrap();
        prop_assert!(job.bars == whole.bars);
    }
}
