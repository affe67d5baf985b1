//! Any batching, any restart, and a slow order to compare with.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::ids::Settled;
use super::*;
use crate::gap::Gap;
use crate::position::FilePosition;
use crate::revision::Change;
use crate::sequence::FeedOrder;
use crate::trade::Aggressor;

/// A row of a source: an id, or something that is not a trade.
#[derive(Clone, Copy, Debug)]
enum Row {
    Trade(u64),
    /// A trade of that id, at another price.
    Other(u64),
    Bad,
}

/// What has come of some rows so far.
#[derive(Clone, Debug, Default, PartialEq)]
struct Outcome {
    trades: Vec<u64>,
    gaps: Vec<Gap>,
    /// Lines that are not trades.
    rejects: BTreeSet<u64>,
    /// Trades that came late, as rejects or corrections.
    late: BTreeSet<u64>,
    duplicates: u64,
    conflicts: u64,
    reordered: u64,
    released: u64,
    time_reversals: u64,
}

impl Outcome {
    fn add(&mut self, ordered: &Ordered) {
        let found = &ordered.findings;
        assert_eq!((found.released as usize, found.late.len()), (ordered.trades.len(), 0));
        self.trades.extend(&ordered.trades.trade_id);
        self.gaps.extend(&found.gaps);
        for reject in &ordered.rejects {
            match reject.field.as_str() {
                "trade_id" => self.late.insert(reject.value.parse().unwrap()),
                _ => self.rejects.insert(reject.line),
            };
        }
        self.late.extend(ordered.corrections.iter().map(|correction| match correction.change {
            Change::Add(late) => late.trade_id,
            _ => panic!("{correction:?}"),
        }));
        self.duplicates += found.duplicates;
        self.conflicts += found.conflicts;
        self.reordered += found.reordered;
        self.released += found.released;
        self.time_reversals += found.time_reversals;
    }

    /// What a restart must not change. Rows between its position and the end of the life before are
    /// read twice, so repeats are counted twice.
    fn lasting(&self) -> (&[u64], &[Gap], &BTreeSet<u64>, &BTreeSet<u64>) {
        (&self.trades, &self.gaps, &self.rejects, &self.late)
    }
}

fn feed() -> Arc<Feed> {
    Arc::new(Feed::numbered("a:b:C".parse().unwrap()))
}

/// Where a row is: `byte` is its number, from 0.
fn at(row: usize) -> Position {
    let (byte, line) = (row as u64, row as u64 + 1);
    FilePosition { byte, line, ..FilePosition::start("file".into()) }.into()
}

/// Not quite in the order of ids, and with a pause after every 64 of them.
fn time(trade_id: u64) -> i64 {
    (trade_id ^ 1) as i64 + (trade_id / 64) as i64 * 2 * crate::sequence::FAR_APART
}

/// The rows `from..to` of a source.
fn batch(rows: &[Row], from: usize, to: usize) -> InputBatch {
    let (mut trades, mut rejects) = (Vec::new(), Vec::new());
    for (line, row) in (from as u64 + 1..).zip(&rows[from..to]) {
        match row {
            Row::Trade(trade_id) | Row::Other(trade_id) => trades.push(Trade {
                trade_id: *trade_id,
                event_time: time(*trade_id),
                price: if matches!(row, Row::Other(_)) { 2.0 } else { 1.0 },
                qty: 1.0,
                quote: 1.0,
                aggressor: Aggressor::Buyer,
                count: 1,
            }),
            Row::Bad => rejects.push(Reject {
                row: trades.len() as u32,
                source: "file".into(),
                line,
                field: "price".to_owned(),
                value: "x".to_owned(),
                reason: "not a number".to_owned(),
                raw: "x".to_owned(),
            }),
        }
    }
    InputBatch::new(TradeBatch::from_trades(feed(), &trades), rejects, at(from), at(to))
}

/// Rows of a source cut into batches of these lengths.
fn batches(rows: &[Row], from: usize, cuts: &[usize]) -> Vec<InputBatch> {
    let mut cuts = cuts.iter().cycle();
    let mut batches = Vec::new();
    let mut begin = from;
    while begin < rows.len() {
        let end = rows.len().min(begin + cuts.next().unwrap());
        batches.push(batch(rows, begin, end));
        begin = end;
    }
    batches
}

fn options(window: usize, policy: RejectPolicy, revises: bool) -> OrderOptions {
    OrderOptions { policy, reorder_window: window, pool: BatchPool::new(8, 4), revises }
}

fn run(rows: &[Row], cuts: &[usize], options: OrderOptions) -> Outcome {
    let mut order = InstrumentOrder::new(feed(), options);
    let mut outcome = Outcome::default();
    for batch in batches(rows, 0, cuts) {
        order.on_batch(batch).iter().for_each(|ordered| outcome.add(ordered));
    }
    order.finish().iter().for_each(|ordered| outcome.add(ordered));
    assert!(!order.is_waiting());
    outcome
}

/// The rule, trade by trade, over sorted sets.
fn slow(rows: &[Row], window: usize) -> Outcome {
    let mut outcome = Outcome::default();
    let mut waiting: BTreeSet<u64> = BTreeSet::new();
    let mut last: Option<u64> = None;
    let go_on = |waiting: &mut BTreeSet<u64>,
                 last: &mut Option<u64>,
                 most: usize,
                 outcome: &mut Outcome| {
        while let Some(first) = waiting.first().copied() {
            let is_next = *last == first.checked_sub(1) && last.is_some();
            if !is_next && waiting.len() <= most {
                break;
            }
            if let Some(last) = last.filter(|_| !is_next) {
                outcome.gaps.push(Gap { first_missing: last + 1, last_missing: first - 1 });
            }
            waiting.pop_first();
            outcome.trades.push(first);
            *last = Some(first);
        }
    };
    for (line, row) in (1..).zip(rows) {
        match row {
            Row::Bad => _ = outcome.rejects.insert(line),
            Row::Other(_) => unreachable!("the slow order knows ids only"),
            Row::Trade(id) if last.is_some_and(|last| *id <= last) => {
                let came = outcome.trades.contains(id) || !outcome.late.insert(*id);
                outcome.duplicates += u64::from(came);
            }
            Row::Trade(id) => {
                outcome.duplicates += u64::from(!waiting.insert(*id));
                go_on(&mut waiting, &mut last, window, &mut outcome);
            }
        }
    }
    go_on(&mut waiting, &mut last, 0, &mut outcome);
    outcome
}

/// Ids that mostly run on: repeated, missing, moved, and rows that are not trades.
fn rows(bad: u32) -> impl Strategy<Value = Vec<Row>> {
    let mishaps = vec((0u32..100, 1usize..9), 1..160);
    (1u64..50, mishaps).prop_map(move |(begin, mishaps)| {
        let mut rows: Vec<Row> = Vec::new();
        let mut id = begin;
        for (mishap, by) in mishaps {
            let place = rows.len().saturating_sub(by);
            match mishap {
                0..10 => id += by as u64,
                10..20 => rows.insert(place, Row::Trade(id)),
                20..28 if !rows.is_empty() => rows.push(rows[place]),
                n if n >= 100 - bad => rows.push(Row::Bad),
                _ => rows.push(Row::Trade(id)),
            }
            id += 1;
        }
        rows
    })
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    vec(1usize..40, 1..5)
}

proptest! {
    #[test]
    fn any_batching_gives_the_same(
        rows in rows(4),
        window in 0usize..12,
        cuts in cuts(),
        revises in any::<bool>(),
    ) {
        let options = options(window, RejectPolicy::SetAside, revises);
        prop_assert_eq!(run(&rows, &cuts, options.clone()), run(&rows, &[1], options));
    }

    #[test]
    fn the_first_bad_row_stops_every_batching_at_the_same_trade(
        rows in rows(4),
        cuts in cuts(),
    ) {
        // So wide that no trade is late: of one that is, those of its batch behind it are out.
        let stopping = options(1000, RejectPolicy::Stop, false);
        let good = rows.iter().take_while(|row| matches!(row, Row::Trade(_)));
        let good: Vec<Row> = good.copied().collect();
        let stopped = run(&rows, &cuts, stopping.clone());
        prop_assert_eq!(stopped.rejects.len(), usize::from(good.len() < rows.len()));
        let expected = run(&good, &[1], stopping);
        let stopped = Outcome { time_reversals: 0, ..stopped };
        prop_assert_eq!(stopped.lasting().0, expected.lasting().0);
    }

    #[test]
    fn a_slow_order_agrees(rows in rows(4), window in 0usize..12, cuts in cuts()) {
        let fast = run(&rows, &cuts, options(window, RejectPolicy::SetAside, false));
        let slow = slow(&rows, window);
        prop_assert_eq!(fast.lasting(), slow.lasting());
        prop_assert_eq!(fast.duplicates, slow.duplicates);
    }

    #[test]
    fn disorder_within_the_window_comes_out_sorted(
        ids in vec((1u64..300, 0usize..6), 1..150),
        cuts in cuts(),
    ) {
        // Each row is moved by less than the window, so nothing that comes is given up.
        let sorted: BTreeSet<u64> = ids.iter().map(|(id, _)| *id).collect();
        let keys: BTreeMap<(usize, u64), Row> = (sorted.iter().zip(&ids).enumerate())
            .map(|(place, (id, (_, by)))| ((place + by, *id), Row::Trade(*id)))
            .collect();
        let rows: Vec<Row> = keys.into_values().collect();
        let outcome = run(&rows, &cuts, options(6, RejectPolicy::SetAside, false));
        prop_assert_eq!(outcome.trades, sorted.into_iter().collect::<Vec<_>>());
        prop_assert!(outcome.rejects.is_empty() && outcome.duplicates == 0);
    }

    #[test]
    fn a_restart_anywhere_continues_as_if_nothing_had_happened(
        rows in rows(4),
        window in 0usize..12,
        cuts in cuts(),
        cuts_after in cuts(),
        stop in any::<prop::sample::Index>(),
        revises in any::<bool>(),
    ) {
        let options = options(window, RejectPolicy::SetAside, revises);
        let mut order = InstrumentOrder::new(feed(), options.clone());
        order.leave_waiting_to_next_run();
        let mut outcome = Outcome::default();
        let mut position = at(0);
        let batches_before = batches(&rows, 0, &cuts);
        let stop = stop.index(batches_before.len() + 1);
        // What a checkpoint holds.
        let mut last = None;
        for batch in batches_before.into_iter().take(stop) {
            let ordered = order.on_batch(batch).unwrap();
            last = ordered.trades.trade_id.last().copied().or(last);
            outcome.add(&ordered);
            position = ordered.position;
        }
        let mut order = InstrumentOrder::new(feed(), options.clone());
        let mut settled = Settled::up_to(last, outcome.gaps.iter().copied());
        settled.first = outcome.trades.first().copied();
        order.resume(Resume { settled, last_time: last.map(time) });
        for batch in batches(&rows, position.file().unwrap().byte as usize, &cuts_after) {
            outcome.add(&order.on_batch(batch).unwrap());
        }
        order.finish().iter().for_each(|ordered| outcome.add(ordered));
        let whole = run(&rows, &[1], options);
        prop_assert_eq!(outcome.lasting(), whole.lasting());
    }

    /// What one order has let through passes a second one as a feed's: nothing changes.
    #[test]
    fn what_is_in_order_passes_as_it_is(rows in rows(0), window in 0usize..12, cuts in cuts()) {
        let options = options(window, RejectPolicy::SetAside, false);
        let mut first = InstrumentOrder::new(feed(), options.clone());
        let mut second = InstrumentOrder::new(feed(), options);
        let mut pieces: Vec<Ordered> =
            batches(&rows, 0, &cuts).into_iter().filter_map(|batch| first.on_batch(batch)).collect();
        pieces.extend(first.finish());
        for piece in pieces {
            let (trades, gaps) = (TradeBatch::clone(&piece.trades), piece.findings.gaps);
            let through = trades.trade_id.last().copied();
            let mut input = InputBatch::new(trades, Vec::new(), at(0), piece.position);
            input.order = Some(FeedOrder { gaps: gaps.clone(), through, ..FeedOrder::default() });
            let passed = second.on_batch(input).unwrap();
            prop_assert_eq!((&passed.trades, passed.findings.gaps), (&piece.trades, gaps));
            prop_assert_eq!(passed.findings.time_reversals, piece.findings.time_reversals);
            prop_assert!(!second.is_waiting());
        }
    }
}

#[test]
fn at_the_end_the_position_is_behind_all_that_was_applied() {
    // Too few trades for the window to say where ids begin: all of them wait for the end.
    let rows = [1, 2, 3].map(Row::Trade);
    let mut order = InstrumentOrder::new(feed(), options(9, RejectPolicy::SetAside, false));
    for batch in batches(&rows, 0, &[1]) {
        assert_eq!(order.on_batch(batch).unwrap().position, at(0));
    }
    let last = order.finish().unwrap();
    assert_eq!(last.trades.len(), rows.len());
    let (Position::File(found), Position::File(end)) = (last.position, at(rows.len())) else {
        panic!("not in a file")
    };
    assert_eq!((found.byte, found.line), (end.byte, end.line));
}

#[test]
fn what_lies_beyond_a_row_that_stops_a_feed_is_left_to_the_next_run() {
    let rows = [Row::Trade(1), Row::Trade(2), Row::Bad, Row::Trade(5), Row::Trade(6)];
    let known = |gaps| FeedOrder { gaps, through: Some(6), ..FeedOrder::default() };
    let gap = Gap { first_missing: 3, last_missing: 4 };
    let stop = options(8, RejectPolicy::Stop, false);
    let mut order = InstrumentOrder::new(feed(), stop.clone());
    let mut input = batch(&rows, 0, 5);
    input.order = Some(known(vec![gap]));
    let stopped = order.on_batch(input).unwrap();
    assert_eq!((&stopped.trades.trade_id, stopped.findings.gaps), (&vec![1, 2], vec![]));
    assert_eq!(stopped.position.trade_id(), Some(2));

    let mut next = InstrumentOrder::new(feed(), stop);
    next.resume(Resume { settled: Settled::up_to(Some(2), []), last_time: Some(0) });
    let repaired = [Row::Trade(1), Row::Trade(2), Row::Trade(5), Row::Trade(6)];
    let mut input = batch(&repaired, 0, 4);
    input.order = Some(known(vec![gap]));
    let ordered = next.on_batch(input).unwrap();
    assert_eq!((&ordered.trades.trade_id, ordered.findings.gaps), (&vec![5, 6], vec![gap]));
}

/// Ids from 10 on, and one of them once more, `later` rows behind it.
fn with_a_second_row(ids: u64, of: u64, later: usize, first: Row, second: Row) -> Vec<Row> {
    let mut rows: Vec<Row> = (10..10 + ids).map(Row::Trade).collect();
    let place = of as usize;
    rows[place] = first;
    rows.insert((place + 1 + later).min(rows.len()), second);
    rows
}

proptest! {
    /// Whether the second row lies beside the first one or far behind it.
    #[test]
    fn an_equal_second_row_is_dropped_and_another_one_is_always_reported(
        (ids, of) in (2u64..150).prop_flat_map(|ids| (Just(ids), 0..ids)),
        later in 0usize..150,
        window in 0usize..12,
        cuts in cuts(),
    ) {
        let options = options(window, RejectPolicy::SetAside, false);
        let (id, all) = (10 + of, (10..10 + ids).collect::<Vec<_>>());
        let equal = with_a_second_row(ids, of, later, Row::Trade(id), Row::Trade(id));
        let outcome = run(&equal, &cuts, options.clone());
        prop_assert_eq!((&outcome.trades, outcome.duplicates), (&all, 1));
        prop_assert!(outcome.late.is_empty() && outcome.conflicts == 0);

        let without: Vec<u64> = all.iter().copied().filter(|other| *other != id).collect();
        let one = with_a_second_row(ids, of, later, Row::Trade(id), Row::Other(id));
        let other = with_a_second_row(ids, of, later, Row::Other(id), Row::Trade(id));
        for rows in [&one, &other] {
            let outcome = run(rows, &cuts, options.clone());
            prop_assert!(outcome.trades == all || outcome.trades == without);
            prop_assert_eq!((outcome.conflicts, outcome.duplicates), (1, 0));
            prop_assert_eq!(outcome.late, BTreeSet::from([id]));
        }
        // In one batch neither is used, in whichever order they come.
        let in_one = |rows: &[Row]| run(rows, &[rows.len()], options.clone());
        prop_assert_eq!(&in_one(&one).trades, &without);
        prop_assert_eq!(in_one(&one), in_one(&other));
    }

    /// Where the first bad row stops everything, nothing behind it counts as applied: with the row
    /// repaired, the next run has all of it.
    #[test]
    fn after_a_contradiction_that_stops_the_next_run_loses_nothing(
        (ids, of) in (2u64..150).prop_flat_map(|ids| (Just(ids), 0..ids)),
        later in 0usize..150,
        window in 0usize..12,
        cuts in cuts(),
    ) {
        let stop = options(window, RejectPolicy::Stop, false);
        let rows = with_a_second_row(ids, of, later, Row::Trade(10 + of), Row::Other(10 + of));
        let mut order = InstrumentOrder::new(feed(), stop.clone());
        let (mut outcome, mut position) = (Outcome::default(), at(0));
        for batch in batches(&rows, 0, &cuts) {
            let Some(ordered) = order.on_batch(batch) else { break };
            outcome.add(&ordered);
            position = ordered.position;
        }
        prop_assert!(order.is_stopped() && outcome.late.len() == 1);
        let mut next = InstrumentOrder::new(feed(), stop);
        let last = outcome.trades.last().copied();
        next.resume(Resume { settled: Settled::up_to(last, []), last_time: last.map(time) });
        let repaired = with_a_second_row(ids, of, later, Row::Trade(10 + of), Row::Trade(10 + of));
        for batch in batches(&repaired, position.file().unwrap().byte as usize, &cuts) {
            outcome.trades.extend(&next.on_batch(batch).unwrap().trades.trade_id);
        }
        next.finish().iter().for_each(|rest| outcome.trades.extend(&rest.trades.trade_id));
        prop_assert_eq!(outcome.trades, (10..10 + ids).collect::<Vec<_>>());
    }

    /// Ids below the first one, or after a restart: whatever never came is used or reported.
    #[test]
    fn what_never_came_is_never_called_a_duplicate(
        ids in prop::collection::hash_set(1u64..400, 1..150),
        window in 0usize..12,
        cuts in cuts(),
    ) {
        // A hash set's order, that is none, and every id once.
        let rows: Vec<Row> = ids.iter().copied().map(Row::Trade).collect();
        let outcome = run(&rows, &cuts, options(window, RejectPolicy::SetAside, false));
        prop_assert_eq!(outcome.duplicates, 0);
        prop_assert_eq!(outcome.trades.len() + outcome.late.len(), ids.len());
    }
}
