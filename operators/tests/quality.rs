//! Expectations on trades: each is broken once, and neither batches nor pauses change a report.

use std::sync::Arc;

use barflow_operators::batch::{Feed, TradeBatch};
use barflow_operators::input_batch::Reject;
use barflow_operators::position::{FilePosition, Position};
use barflow_operators::quality::DAY_NS;
use barflow_operators::quality::day::DayReport;
use barflow_operators::quality::judge::{Judge, Known};
use barflow_operators::quality::suite::{Check, Expectation, Kind, Severity, Suite};
use barflow_operators::trade::{Aggressor, Trade};
use proptest::prelude::*;

const START: i64 = 19_783 * DAY_NS; // 2024-03-01
const MINUTE: i64 = 60_000_000_000;

fn feed() -> Arc<Feed> {
    Arc::new(Feed::numbered("binance:spot:BTCUSDT".parse().unwrap()))
}

fn position(line: u64) -> Position {
    let source: Arc<str> = "made.csv".into();
    FilePosition { line, ..FilePosition::start(source) }.into()
}

/// One trade a minute, from midnight on, for so many days.
fn trades(days: i64) -> Vec<Trade> {
    (0..days * 1440)
        .map(|n| Trade {
            trade_id: 1000 + n as u64,
            event_time: START + n * MINUTE,
            price: 100.0 + (n % 7) as f64 * 0.01,
            qty: 1.0,
            quote: 100.0 + (n % 7) as f64 * 0.01,
            aggressor: if n % 2 == 0 { Aggressor::Buyer } else { Aggressor::Seller },
            count: 1,
        })
        .collect()
}

fn suite() -> Suite {
    Suite::new(Suite::usual().expectations().iter().copied().chain([Expectation {
        kind: Kind::AggressorShare { min: 0.4, max: 0.6, trades: 100 },
        severity: Severity::Warn,
    }]))
}

fn reports_of(trades: &[Trade], rejects: &[Reject], known: Known) -> Vec<DayReport> {
    let mut judge = Judge::new(suite(), known);
    let mut out = Vec::new();
    judge.on_batch(&TradeBatch::from_trades(feed(), trades), rejects, &[], &position(1), &mut out);
    judge.finish(&mut out);
    out
}

fn offenders(reports: &[DayReport]) -> Vec<(i64, Check, u64)> {
    let mut found = Vec::new();
    for report in reports {
        for (check, _, count) in report.findings(&suite()) {
            if count.offenders > 0 {
                found.push((i64::from(report.day) - START / DAY_NS, check, count.offenders));
            }
        }
    }
    found
}

fn spoiled(days: i64, spoil: impl Fn(&mut Vec<Trade>)) -> Vec<(i64, Check, u64)> {
    let mut trades = trades(days);
    spoil(&mut trades);
    let known = Known { own_quotes: true, ..Known::default() };
    offenders(&reports_of(&trades, &[], known))
}

#[test]
fn a_clean_history_meets_every_expectation() {
    let known = Known { own_quotes: true, ..Known::default() };
    let reports = reports_of(&trades(5), &[], known);
    assert_eq!(offenders(&reports), []);
    assert_eq!(reports.len(), 5);
    assert!(reports.iter().all(|report| report.score(&suite()) == Some(1.0)));
    let last = &reports[4];
    for (check, _, count) in last.findings(&suite()) {
        let rows = match check {
            Check::TradesPerHour => 23,
            Check::RowsAsRecorded | Check::ChecksumRight => 0,
            check if check.is_daily() => 1,
            _ => 1440,
        };
        assert_eq!(count.rows, rows, "{check}");
    }
}

#[test]
fn each_expectation_is_broken_by_what_it_is_about_and_by_nothing_else() {
    let change = |at: usize, f: fn(&mut Trade)| move |trades: &mut Vec<Trade>| f(&mut trades[at]);
    assert_eq!(spoiled(1, |trades| drop(trades.drain(700..703))), [(0, Check::NoIdGaps, 1)]);
    assert_eq!(
        spoiled(1, |trades| {
            let again = trades[700];
            trades.insert(701, again);
        }),
        [(0, Check::NoDuplicateIds, 1)]
    );
    assert_eq!(
        spoiled(1, |trades| {
            let again = Trade { price: 100.5, quote: 100.5, ..trades[700] };
            trades.insert(900, again);
        }),
        [(0, Check::NoConflictingIds, 1)]
    );
    assert_eq!(spoiled(1, |trades| trades.swap(700, 701)), [(0, Check::IdsInOrder, 1)]);
    assert_eq!(
        spoiled(1, change(700, |trade| trade.event_time -= 2 * MINUTE)),
        [(0, Check::TimeMonotone, 1)]
    );
    for days in [-2, -1, 1, 2] {
        let found = spoiled(3, |trades| trades[1440 + 700].event_time += days * DAY_NS);
        assert_eq!(found, [(1, Check::TimeInsideDay, 1)], "{days}");
    }
    assert_eq!(
        spoiled(1, change(700, |trade| (trade.price, trade.quote) = (104.0, 104.0))),
        [(0, Check::PriceNearMedian, 1)]
    );
    assert_eq!(
        spoiled(1, change(700, |trade| (trade.qty, trade.quote) = (2e9, trade.price * 2e9))),
        [(0, Check::QtyWithin, 1)]
    );
    assert_eq!(
        spoiled(1, change(700, |trade| trade.quote *= 1.001)),
        [(0, Check::QuoteIsProduct, 1)]
    );
    assert_eq!(
        spoiled(1, |trades| trades.iter_mut().for_each(|t| t.aggressor = Aggressor::Buyer)),
        [(0, Check::AggressorShare, 1)]
    );
    assert_eq!(
        spoiled(1, |trades| {
            trades[700..].iter_mut().for_each(|trade| trade.event_time += 11 * MINUTE);
            trades.truncate(1400);
        }),
        [(0, Check::NoSilence, 1)]
    );
    // Three days make the profile; an hour of the fourth is empty but for two trades.
    assert_eq!(
        spoiled(5, |trades| {
            for (n, trade) in trades[3 * 1440 + 600..3 * 1440 + 659].iter_mut().enumerate() {
                trade.event_time = START + 3 * DAY_NS + (600 - 1) * MINUTE + n as i64;
            }
        })
        .iter()
        .filter(|(_, check, _)| *check == Check::TradesPerHour)
        .collect::<Vec<_>>(),
        [&(3, Check::TradesPerHour, 1)]
    );
    let missing = spoiled(4, |trades| {
        trades.drain(1440..2 * 1440);
    });
    assert!(missing.contains(&(1, Check::NoMissingDays, 1)), "{missing:?}");
    assert!(missing.contains(&(0, Check::NoSilence, 1)), "{missing:?}");
    assert_eq!(missing.len(), 3, "the ids of the day are missing as well: {missing:?}");
}

fn reject(row: u32, line: u64, field: &str, value: &str) -> Reject {
    Reject {
        row,
        source: "made.csv".into(),
        line,
        field: field.to_owned(),
        value: value.to_owned(),
        reason: "no".to_owned(),
        raw: String::new(),
    }
}

#[test]
fn rows_that_are_no_trades_count_and_move_the_lines_behind_them() {
    let mut trades = trades(1);
    trades[800].qty = 2e9;
    let rejects =
        [reject(10, 11, "price", "-1"), reject(10, 12, "qty", "x"), reject(700, 703, "qty", "-3")];
    let reports = reports_of(&trades, &rejects, Known::default());
    assert_eq!(
        offenders(&reports),
        [(0, Check::RowsValid, 3), (0, Check::PricePositive, 1), (0, Check::QtyWithin, 2)]
    );
    let example = &reports[0].counts.get(Check::QtyWithin).examples[1];
    assert_eq!(example.trade_id, Some(1800));
    assert_eq!(example.place.as_ref().unwrap().line, Some(804));
    let nothing_else = reports_of(&[], &rejects, Known::default());
    assert_eq!(nothing_else.len(), 1);
    assert_eq!(nothing_else[0].counts.get(Check::RowsValid).offenders, 3);
}

#[test]
fn known_ends_of_the_input_are_held_against_it() {
    let known =
        Known { from: Some(START - DAY_NS), to: Some(START + 3 * DAY_NS), own_quotes: false };
    let found = offenders(&reports_of(&trades(2), &[], known));
    assert_eq!(
        found,
        [
            (-1, Check::NoMissingDays, 1),
            (0, Check::NoSilence, 1),
            (1, Check::NoSilence, 1),
            (2, Check::NoMissingDays, 1),
        ]
    );
}

/// Damage at some rows.
fn damaged(marks: &[(u16, u8)]) -> Vec<Trade> {
    let mut trades = trades(5);
    for (at, what) in marks {
        let at = usize::from(*at) % (trades.len() - 2);
        match what % 9 {
            0 => trades[at].event_time += DAY_NS,
            1 => trades[at].event_time -= DAY_NS,
            2 => trades[at].price *= 1.3,
            3 => trades.swap(at, at + 1),
            4 => {
                trades.remove(at);
            }
            5 => {
                let again = trades[at];
                trades.insert(at + 1, again);
            }
            6 => trades[at].qty = -1.0,
            7 => trades[at].event_time += 9 * MINUTE,
            _ => {
                trades.remove(at + 1);
                trades.swap(at, at + 1);
            }
        }
    }
    trades
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn batches_and_pauses_change_no_report(
        marks in prop::collection::vec((any::<u16>(), any::<u8>()), 0..40),
        bad in prop::collection::btree_set(0..7000u32, 0..12),
        cuts in prop::collection::vec(1..1500usize, 1..20),
        pause in 0..20usize,
    ) {
        let trades = damaged(&marks);
        let bad: Vec<u32> = bad.into_iter().filter(|row| *row as usize <= trades.len()).collect();
        let all: Vec<Reject> = bad.iter().enumerate()
            .map(|(n, row)| reject(*row, u64::from(*row) + n as u64 + 1, "qty", "-1"))
            .collect();
        let known = Known { own_quotes: true, ..Known::default() };
        let whole = reports_of(&trades, &all, known);
        let total: u64 = whole.iter().map(|report| report.trades).sum();
        prop_assert_eq!(total, trades.len() as u64);

        let mut judge = Judge::new(suite(), known);
        let mut out = Vec::new();
        let (mut at, mut n) = (0, 0);
        let mut rejects = all.as_slice();
        while at < trades.len() || !rejects.is_empty() {
            let end = trades.len().min(at + cuts[n % cuts.len()]);
            // A reject between two batches may be in either.
            let inside = |r: &Reject| if n % 2 == 0 || end == trades.len() {
                r.row as usize <= end
            } else {
                (r.row as usize) < end
            };
            let here = rejects.iter().take_while(|r| inside(r)).count();
            let line = (at + all.len() - rejects.len()) as u64 + 1;
            let moved: Vec<Reject> = rejects[..here].iter()
                .map(|r| Reject { row: r.row - at as u32, ..r.clone() })
                .collect();
            rejects = &rejects[here..];
            let batch = TradeBatch::from_trades(feed(), &trades[at..end]);
            judge.on_batch(&batch, &moved, &[], &position(line), &mut out);
            if n == pause {
                let saved = postcard::to_stdvec(&judge).unwrap();
                judge = postcard::from_bytes(&saved).unwrap();
            }
            (at, n) = (end, n + 1);
        }
        judge.finish(&mut out);
        prop_assert_eq!(out, whole);
    }
}

/// Times at both ends of all times.
#[test]
fn no_time_is_beyond_the_calendar() {
    let mut all = trades(1);
    all[0].event_time = i64::MIN;
    all[1439].event_time = i64::MAX;
    let known = Known { from: Some(i64::MAX - 1), to: Some(i64::MAX), ..Known::default() };
    let reports = reports_of(&all, &[], known);
    assert!(reports.iter().any(|report| report.trades > 0));
}
