//! Corrections of the past: the net of all updates is what a fresh run makes of the corrected
//! history.

use std::collections::BTreeMap;
use std::sync::Arc;

use barflow_operators::bar::Bar;
use barflow_operators::batch::TradeBatch;
use barflow_operators::checkpoint::instrument_state::{InstrumentState, WaitingBars};
use barflow_operators::dataflow::validate::OrderedBatch;
use barflow_operators::gap::Gap;
use barflow_operators::position::{FilePosition, Position};
use barflow_operators::revision::{
    Change, Correction, CorrectionOutcome, Refusal, Revision, Window,
};
use barflow_operators::sequence::FAR_APART;
use barflow_operators::spec::BarSpec;
use barflow_operators::trade::{Aggressor, Trade};
use proptest::prelude::*;

use crate::generate;

/// Published bars, in order, by specification.
type Standing = BTreeMap<String, Vec<Bar>>;

/// The bar under each key: specification and last trade.
type Current = BTreeMap<(String, u64), Bar>;

const EVERYTHING: Window = Window { trades: u64::MAX, time: None, every: 1024 };

fn piece(before: Option<u64>, trades: &[Trade], corrections: Vec<Correction>) -> OrderedBatch {
    let mut last = before;
    let mut gaps = Vec::new();
    for trade in trades {
        if let Some(last) = last.filter(|last| last + 1 < trade.trade_id) {
            gaps.push(Gap { first_missing: last + 1, last_missing: trade.trade_id - 1 });
        }
        last = Some(trade.trade_id);
    }
    OrderedBatch {
        trades: Arc::new(TradeBatch::from_trades(generate::feed(true), trades)),
        position: Position::File(FilePosition {
            trade_id: last,
            ..FilePosition::start("tape".into())
        }),
        gaps,
        open_gap: None,
        received: None,
        ended: Vec::new(),
        specs: None,
        corrections,
    }
}

/// An instrument's instrument state, and what a reader of its updates holds.
struct Job {
    state: InstrumentState,
    last: Option<u64>,
    standing: Standing,
    /// What a reader holds who keeps the last that was said of each key.
    current: Current,
    revisions: Vec<Revision>,
}

impl Job {
    fn new(specs: &[BarSpec], window: Option<Window>) -> Self {
        let mut state = InstrumentState::new(generate::feed(true), specs);
        if let Some(window) = window {
            state.retain(window);
        }
        let (standing, current) = (Standing::new(), Current::new());
        Self { state, last: None, standing, current, revisions: Vec::new() }
    }

    fn take(&mut self, trades: &[Trade], corrections: Vec<Correction>) {
        let piece = piece(self.last, trades, corrections);
        self.last = trades.last().map(|last| last.trade_id).or(self.last);
        let (standing, current) = (&mut self.standing, &mut self.current);
        let taken = self.state.on_ordered_batch(&piece, true, |spec, bar, diff, _| {
            let key = (spec.to_string(), bar.last_trade_id);
            if diff == 1 {
                current.insert(key, bar.clone());
            } else {
                current.remove(&key);
            }
            let bars = standing.entry(spec.to_string()).or_default();
            if diff == 1 {
                // Of several bars that one trade closes, the order is theirs.
                let at = bars.partition_point(|other| other.last_trade_id <= bar.last_trade_id);
                bars.insert(at, bar);
            } else {
                assert_eq!(diff, -1);
                // Withdrawn no earlier than it was known.
                let same = |other: &Bar| Bar { known_time: bar.known_time, ..other.clone() } == bar;
                let at = bars.iter().position(same).unwrap();
                assert!(bars.remove(at).known_time <= bar.known_time);
            }
        });
        self.revisions.extend(taken.revision.map(|revision| *revision));
    }

    /// What readers hold, without what only says how it came about.
    fn net(&self) -> Vec<u8> {
        let mut standing = self.standing.clone();
        standing.retain(|_, bars| !bars.is_empty());
        for bar in standing.values_mut().flatten() {
            (bar.seq, bar.revision, bar.known_time) = (0, 0, 0);
        }
        postcard::to_stdvec(&standing).unwrap()
    }

    /// The same by key.
    fn current(&self) -> Current {
        let mut current = self.current.clone();
        current.values_mut().for_each(|bar| (bar.seq, bar.revision, bar.known_time) = (0, 0, 0));
        current
    }

    fn difference(&self, other: &Self) -> String {
        let empty = Vec::new();
        for spec in self.standing.keys().chain(other.standing.keys()) {
            let ours = self.standing.get(spec).unwrap_or(&empty);
            let its = other.standing.get(spec).unwrap_or(&empty);
            for at in 0..ours.len().max(its.len()) {
                let same = |a: &Bar, b: &Bar| {
                    let (seq, revision, known_time) = (b.seq, b.revision, b.known_time);
                    Bar { seq, revision, known_time, ..a.clone() } == *b
                };
                if !matches!((ours.get(at), its.get(at)), (Some(a), Some(b)) if same(a, b)) {
                    return format!("{spec} bar {at}: {:#?}\n{:#?}", ours.get(at), its.get(at));
                }
            }
        }
        "bytes only".to_owned()
    }

    fn outcomes(&self) -> Vec<CorrectionOutcome> {
        self.revisions.iter().flat_map(|r| r.outcomes.iter().map(|(_, outcome)| *outcome)).collect()
    }
}

fn named(specs: Vec<BarSpec>) -> Vec<BarSpec> {
    let name = |(at, spec): (usize, &BarSpec)| {
        BarSpec::new(&format!("spec{at}"), spec.sign(), spec.limits(), *spec.rule()).unwrap()
    };
    specs.iter().enumerate().map(name).collect()
}

/// What happens to a trade of the true history: it comes in time and as it is, it comes late, it
/// comes though it should not have, or it comes with another price first.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Right,
    Late(usize),
    Struck(usize),
    Wrong(usize),
    /// No trade has this id, and none ever had.
    Nothing,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        20 => Just(Fate::Right),
        1 => (0usize..300).prop_map(Fate::Late),
        1 => (0usize..300).prop_map(Fate::Struck),
        1 => (0usize..300).prop_map(Fate::Wrong),
        1 => Just(Fate::Nothing),
    ]
}

/// Any rule, those of other programs among them.
fn any_spec() -> impl Strategy<Value = BarSpec> {
    prop_oneof![
        3 => generate::spec(),
        1 => generate::compat::rules().prop_map(generate::plain),
    ]
}

/// A history as it was, as it is delivered, and the corrections that follow.
struct Delivery {
    right: Vec<Trade>,
    delivered: Vec<Trade>,
    /// By the number of delivered trades after which it becomes known.
    known: BTreeMap<usize, Vec<Correction>>,
}

/// Delivers trades as their fates are.
fn deliver(trades: &[Trade], fates: &[Fate]) -> Delivery {
    let mut right = Vec::new();
    let mut delivered = Vec::new();
    let mut known: BTreeMap<usize, Vec<Correction>> = BTreeMap::new();
    let mut latest = i64::MIN;
    for ((at, trade), fate) in trades.iter().enumerate().zip(fates.iter().cycle()) {
        // As of trades in order: none is more than ten minutes before an earlier one.
        latest = latest.max(trade.event_time);
        let event_time = trade.event_time.max(latest - FAR_APART);
        let trade = Trade { trade_id: 10 + at as u64, event_time, ..*trade };
        let mut later = |lag: usize, change| {
            let correction =
                Correction { trade_id: trade.trade_id, change, known_after: 0, known_time: None };
            known.entry(delivered.len() + lag).or_default().push(correction);
        };
        match *fate {
            Fate::Right => {}
            Fate::Late(lag) => {
                later(lag, Change::Add(trade));
                right.push(trade);
                continue;
            }
            Fate::Struck(lag) => {
                later(lag, Change::Remove);
                delivered.push(trade);
                continue;
            }
            Fate::Wrong(lag) => {
                later(lag, Change::Replace(trade));
                right.push(trade);
                delivered.push(Trade { price: trade.price + 0.3, qty: 5.0, ..trade });
                continue;
            }
            Fate::Nothing => continue,
        }
        right.push(trade);
        delivered.push(trade);
    }
    Delivery { right, delivered, known }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_net_of_all_updates_is_a_fresh_run_on_the_corrected_history(
        specs in prop::collection::vec(any_spec(), 1..4),
        trades in generate::trades(400),
        fates in prop::collection::vec(fate(), 1..80),
        lengths in prop::collection::vec(1usize..40, 1..6),
        every in 1usize..60,
        ahead in any::<bool>(),
    ) {
        let specs = named(specs);
        let Delivery { mut right, mut delivered, mut known } = deliver(&trades, &fates);
        prop_assume!(!delivered.is_empty());
        // A trade after all of them, so that every correction's place is passed.
        let latest = trades.iter().map(|trade| trade.event_time).max().unwrap();
        let end = Trade { trade_id: 10_000, event_time: latest, ..delivered[0] };
        right.push(end);
        delivered.push(end);

        let mut fresh = Job::new(&specs, None);
        fresh.take(&right, Vec::new());
        let mut revised = Job::new(&specs, Some(Window { every, ..EVERYTHING }));
        let mut lengths = lengths.iter().cycle();
        let mut at = 0;
        let mut ordered = 0;
        while at < delivered.len() {
            let rows = (*lengths.next().unwrap()).min(delivered.len() - at);
            let horizon = if ahead { usize::MAX } else { at };
            let later = match horizon.checked_add(1) {
                Some(horizon) => known.split_off(&horizon),
                None => BTreeMap::new(),
            };
            let due: Vec<Correction> = std::mem::replace(&mut known, later).into_values().flatten().collect();
            ordered += due.len();
            revised.take(&delivered[at..at + rows], due);
            at += rows;
        }
        let rest: Vec<Correction> = known.into_values().flatten().collect();
        ordered += rest.len();
        revised.take(&[], rest);
        prop_assert_eq!(revised.outcomes(), vec![CorrectionOutcome::Applied; ordered]);
        prop_assert!(revised.net() == fresh.net(), "{}", revised.difference(&fresh));
        prop_assert_eq!(revised.current(), fresh.current());
        for bars in revised.standing.values() {
            prop_assert!(bars.windows(2).all(|pair| pair[0].seq <= pair[1].seq), "{:?}", bars);
        }
        // And it continues like the fresh one.
        let more: Vec<Trade> = trades.iter().enumerate()
            .map(|(at, trade)| Trade { trade_id: 10_001 + at as u64, ..*trade }).collect();
        fresh.take(&more, Vec::new());
        revised.take(&more, Vec::new());
        prop_assert!(revised.net() == fresh.net(), "{}", revised.difference(&fresh));
    }
}

fn trade(id: u64) -> Trade {
    Trade {
        trade_id: id,
        event_time: id as i64,
        price: 1.0,
        qty: 1.0,
        quote: 1.0,
        aggressor: Aggressor::Buyer,
        count: 1,
    }
}

#[test]
fn corrections_that_change_nothing_or_cannot_be_applied_say_so() {
    let specs = [generate::wald(barflow_operators::measure::Measure::Dollar, 0.01, 10.0)];
    let window = Window { trades: 20, time: None, every: 10 };
    let mut job = Job::new(&specs, Some(window));
    for start in (1..101).step_by(5) {
        let trades: Vec<Trade> = (start..start + 5).filter(|id| *id != 95).map(trade).collect();
        job.take(&trades, Vec::new());
    }
    let correct =
        |trade_id, change| Correction { trade_id, change, known_after: 0, known_time: None };
    let other = Trade { price: 2.0, ..trade(90) };
    job.take(
        &[],
        vec![
            correct(3, Change::Remove),
            correct(90, Change::Add(trade(90))),
            correct(91, Change::Add(Trade { trade_id: 91, ..other })),
            correct(92, Change::Replace(trade(92))),
            correct(95, Change::Remove),
            correct(96, Change::Remove),
            // The second finds what the first has left.
            correct(96, Change::Replace(trade(96))),
            correct(97, Change::Remove),
            correct(97, Change::Add(trade(97))),
            // Its place has not come.
            correct(200, Change::Remove),
        ],
    );
    let refused = CorrectionOutcome::Refused;
    assert_eq!(
        job.outcomes(),
        [
            refused(Refusal::BeyondWindow),
            CorrectionOutcome::AlreadySo,
            refused(Refusal::OtherTradeThere),
            CorrectionOutcome::AlreadySo,
            CorrectionOutcome::AlreadySo,
            CorrectionOutcome::Applied,
            CorrectionOutcome::Applied,
            refused(Refusal::NoSuchTrade),
            CorrectionOutcome::Applied,
        ]
    );
    let left = job.state.never_reached().unwrap();
    assert_eq!(left.outcomes.len(), 1);
    assert_eq!(left.outcomes[0].1, refused(Refusal::NeverReached));
    let mut none = Job::new(&specs, None);
    none.take(&[trade(1)], vec![correct(1, Change::Remove)]);
    assert_eq!(none.outcomes(), [refused(Refusal::NotRetained)]);
}

#[test]
fn a_time_far_from_the_neighbours_is_refused() {
    let specs = [generate::wald(barflow_operators::measure::Measure::Dollar, 0.01, 10.0)];
    const MINUTE: i64 = 60_000_000_000;
    let at = |id: u64, minute: i64| Trade { event_time: minute * MINUTE, ..trade(id) };
    // An hour passes between 5 and 6, and 8 is missing.
    let minutes = [0, 1, 2, 3, 4, 64, 65, 67, 68];
    let ids = [1, 2, 3, 4, 5, 6, 7, 9, 10];
    let far = CorrectionOutcome::Refused(Refusal::FarFromNeighbours);
    let add = |id, minute| (id, Change::Add(at(id, minute)));
    let replace = |id, minute| (id, Change::Replace(at(id, minute)));
    for ((trade_id, change), outcome) in [
        (replace(3, 500), far),
        (replace(3, 14), far),
        (replace(3, 13), CorrectionOutcome::Applied),
        (replace(5, 60), CorrectionOutcome::Applied),
        (replace(6, 5), CorrectionOutcome::Applied),
        (replace(6, -7), far),
        (replace(1, -11), far),
        (replace(1, -10), CorrectionOutcome::Applied),
        (replace(10, 79), far),
        (replace(10, 78), CorrectionOutcome::Applied),
        (add(8, 66), CorrectionOutcome::Applied),
        (add(8, 50), far),
        (add(8, 80), far),
    ] {
        // Blocks of two trades: neighbours are in other blocks as well.
        let mut job = Job::new(&specs, Some(Window { trades: 100, time: None, every: 2 }));
        for (id, minute) in ids.into_iter().zip(minutes) {
            job.take(&[at(id, minute)], Vec::new());
        }
        job.take(&[], vec![Correction { trade_id, change, known_after: 0, known_time: None }]);
        assert_eq!(job.outcomes(), [outcome], "{trade_id}: {change:?}");
    }
}

#[test]
fn a_restart_goes_on_counting_and_keeps_what_was_corrected() {
    let specs = [generate::wald(barflow_operators::measure::Measure::Dollar, 0.01, 10.0)];
    let sized =
        |id: u64| Trade { qty: 1.0 + (id % 7) as f64, quote: 1.0 + (id % 7) as f64, ..trade(id) };
    let trades: Vec<Trade> = (1..3000).map(sized).collect();
    let correct =
        |trade_id, change| Correction { trade_id, change, known_after: 0, known_time: None };
    let mut job = Job::new(&specs, Some(EVERYTHING));
    job.take(&trades[..2000], Vec::new());
    // The last trade of all: its gap waits for the next one, through the restart as well.
    job.take(&[], vec![correct(1990, Change::Remove), correct(2000, Change::Remove)]);
    let sealed = job.state.cut(WaitingBars::NONE).unwrap();
    let record = barflow_operators::checkpoint::envelope::open(&sealed.bytes).unwrap();
    job.state = InstrumentState::restore(vec![record]).unwrap().unwrap();
    job.state.retain(EVERYTHING);
    job.take(&trades[2000..], Vec::new());
    job.take(&[], vec![correct(1500, Change::Remove), correct(2500, Change::Remove)]);
    let refused = CorrectionOutcome::Refused(Refusal::BeyondWindow);
    let applied = CorrectionOutcome::Applied;
    assert_eq!(job.outcomes(), [applied, applied, refused, applied]);
    assert_eq!(
        job.state.resume().settled.gaps().count(),
        0,
        "a removed trade is not expected any more"
    );
    let made =
        |revision| job.standing["plain"].iter().filter(|bar| bar.revision == revision).count();
    assert!(made(1) > 0 && made(2) > 0);
    let mut fresh = Job::new(&specs, None);
    let right: Vec<Trade> = (trades.iter())
        .filter(|trade| ![1990, 2000, 2500].contains(&trade.trade_id))
        .copied()
        .collect();
    fresh.take(&right, Vec::new());
    assert!(job.net() == fresh.net(), "{}", job.difference(&fresh));
}

#[test]
fn replacements_of_one_trade_that_come_together_are_recomputed_once() {
    let specs = [generate::wald(barflow_operators::measure::Measure::Dollar, 0.01, 10.0)];
    let trades: Vec<Trade> = (1..1000).map(trade).collect();
    let with_price = |price: f64| Trade { price, quote: price, ..trade(500) };
    let replace = |n: u32| {
        let change = Change::Replace(with_price(2.0 + f64::from(n)));
        Correction { trade_id: 500, change, known_after: 0, known_time: None }
    };
    let made = |corrections: u32| {
        let mut job = Job::new(&specs, Some(EVERYTHING));
        job.take(&trades, Vec::new());
        job.take(&[], (0..corrections).map(replace).collect());
        job
    };
    let (one, many) = (made(1), made(300));
    assert_eq!(many.outcomes(), [CorrectionOutcome::Applied; 300]);
    assert!(many.revisions[0].recomputed <= one.revisions[0].recomputed + 1024);
    let mut right = trades.clone();
    right[499] = with_price(301.0);
    let mut fresh = Job::new(&specs, None);
    fresh.take(&right, Vec::new());
    assert!(many.net() == fresh.net(), "{}", many.difference(&fresh));
    // The last of them may say what the first said; then an equal one changes nothing.
    let mut back = Job::new(&specs, Some(EVERYTHING));
    back.take(&trades, Vec::new());
    back.take(&[], vec![replace(7), replace(299), replace(299)]);
    let applied = CorrectionOutcome::Applied;
    assert_eq!(back.outcomes(), [applied, applied, CorrectionOutcome::AlreadySo]);
    assert!(back.net() == fresh.net(), "{}", back.difference(&fresh));
}
