//! The bars' definition, transcribed word by word and slowly.
//!
//! Written from the specification alone, not from the machines: it keeps the whole tape, walks it
//! with plain loops, and fills every field of a bar from the slice of trades that the bar holds.
//! Only the order of arithmetic operations is the contract's own, so that every f64 comes out with
//! the same bits. Nothing here is shared with the machines but the types of input and output.
//!
//! Two things it doesn't say: the state digest (always 0 here), and the exact bits of a `wald`
//! bar's threshold, which the specification leaves to an unstated number of Newton steps; here
//! it is found by bisection and compared within a tolerance.

mod levels;
mod rules;

use barflow_operators::bar::{Bar, CloseReason, Levels};
use barflow_operators::measure::Measure;
use barflow_operators::sign::SignRule;
use barflow_operators::spec::{BarSpec, RuleSpec, ThresholdSpec};
use barflow_operators::trade::{Aggressor, Trade};

const DAY_NS: i64 = 86_400_000_000_000;

/// The result of a tape.
pub struct Outcome {
    /// The bars, digests left 0.
    pub bars: Vec<Bar>,
    /// Trades of the bar that is still open.
    pub open: Vec<Trade>,
}

/// What a rule says of one trade.
pub enum Step {
    /// The trade belongs to the warm-up.
    Warming,
    /// The bar continues.
    Open,
    /// The bar closes with this trade.
    Reached,
}

/// A way to close bars. The trade is given as its sign b and measure v; `first` marks the first
/// trade of a bar.
pub trait Rule {
    /// Steps 1 and 2 of §3; a warm-up trade is taken whole.
    fn test(&mut self, b: i8, v: f64, first: bool) -> Step;
    /// Step 3.
    fn learn(&mut self, _b: i8, _v: f64) {}
    /// Step 4: what a close does to the expectations.
    fn closed(&mut self, _ticks: u64) {}
    /// Back to the warm-up.
    fn restart(&mut self) {}
    /// The expectations in force; θ⁺ and θ⁻ too, where the rule keeps them. Between test and
    /// learning they are those of the test; at a session's end those after the last trade.
    fn levels(&self) -> Levels;
}

/// All signs of the tape (§1).
pub fn signs(rule: SignRule, trades: &[Trade], has_aggressor: bool) -> Vec<i8> {
    let mut signs: Vec<i8> = Vec::new();
    for (i, trade) in trades.iter().enumerate() {
        let previous = signs.last().copied().unwrap_or(1);
        let told = rule == SignRule::Aggressor && has_aggressor;
        signs.push(if told {
            match trade.aggressor {
                Aggressor::Buyer => 1,
                Aggressor::Seller => -1,
                Aggressor::Unknown => previous,
            }
        } else if i == 0 || trade.price == trades[i - 1].price {
            previous
        } else if trade.price > trades[i - 1].price {
            1
        } else {
            -1
        });
    }
    signs
}

/// v of one trade.
pub fn measured(measure: Measure, trade: &Trade) -> f64 {
    match measure {
        Measure::Tick => 1.0,
        Measure::Volume => trade.qty,
        Measure::Dollar => trade.quote,
    }
}

/// All bars of the tape under this specification.
pub fn run(spec: &BarSpec, trades: &[Trade], has_aggressor: bool) -> Outcome {
    let signs = signs(spec.sign(), trades, has_aggressor);
    match *spec.rule() {
        RuleSpec::Time { every } => time_bars(every, trades, &signs),
        RuleSpec::Size { measure, size } => {
            walk(spec, measure, &mut rules::Size::new(size), trades, &signs)
        }
        RuleSpec::Imbalance { measure, threshold } => match threshold {
            ThresholdSpec::Fixed { size } => {
                walk(spec, measure, &mut rules::FixedImbalance::new(size), trades, &signs)
            }
            ThresholdSpec::Product(params) => {
                walk(spec, measure, &mut rules::Imbalance::new(params, false), trades, &signs)
            }
            ThresholdSpec::Wald(params) => {
                walk(spec, measure, &mut rules::Imbalance::new(params, true), trades, &signs)
            }
        },
        RuleSpec::Runs { measure, threshold } => match threshold {
            ThresholdSpec::Fixed { size } => {
                walk(spec, measure, &mut rules::FixedRuns::new(size), trades, &signs)
            }
            ThresholdSpec::Product(params) => {
                walk(spec, measure, &mut rules::Runs::new(params), trades, &signs)
            }
            ThresholdSpec::Wald(_) => unreachable!("wald is not for runs"),
        },
        _ => unreachable!("the oracle knows the core bars only"),
    }
}

/// §2, `time`: the first trade past the interval closes the old bar before it and opens the next.
fn time_bars(every: i64, trades: &[Trade], signs: &[i8]) -> Outcome {
    let mut bars = Vec::new();
    let mut from = 0;
    for i in 1..trades.len() {
        let interval = |row: usize| trades[row].event_time.div_euclid(every);
        if interval(i) > interval(from) {
            let levels = Levels::default();
            let rows = (&trades[from..i], &signs[from..i]);
            // A time bar has no measure; §6 wants θ all the same: the signed quote flow.
            let around = (before(trades, from), trades[i].event_time);
            bars.push(bar(
                bars.len(),
                Measure::Dollar,
                rows,
                around,
                levels,
                CloseReason::Interval,
            ));
            from = i;
        }
    }
    Outcome { bars, open: trades[from..].to_vec() }
}

/// §3's frame around every other rule: sessions, warm-up, caps.
fn walk(
    spec: &BarSpec,
    measure: Measure,
    rule: &mut dyn Rule,
    trades: &[Trade],
    signs: &[i8],
) -> Outcome {
    let limits = spec.limits();
    let mut bars = Vec::new();
    let mut open: Option<usize> = None;
    let mut session: Option<i64> = None;
    for (i, trade) in trades.iter().enumerate() {
        let day = trade.event_time.div_euclid(DAY_NS);
        if limits.utc_day && session.is_some_and(|session| day > session) {
            if let Some(from) = open.take() {
                let rows = (&trades[from..i], &signs[from..i]);
                let around = (before(trades, from), trade.event_time);
                let levels = rule.levels();
                bars.push(bar(bars.len(), measure, rows, around, levels, CloseReason::Session));
            }
            rule.restart();
        }
        // Time that runs backwards over midnight doesn't bring yesterday's session back.
        session = Some(session.map_or(day, |session| session.max(day)));
        let v = measured(measure, trade);
        let reached = match rule.test(signs[i], v, open.is_none()) {
            Step::Warming => continue,
            Step::Open => false,
            Step::Reached => true,
        };
        let from = *open.get_or_insert(i);
        let ticks = (i + 1 - from) as u64;
        let lasted = i128::from(trade.event_time) - i128::from(trades[from].event_time);
        let reason = if reached {
            CloseReason::Threshold
        } else if limits.max_ticks.is_some_and(|max| ticks >= max) {
            CloseReason::MaxTicks
        } else if limits.max_duration.is_some_and(|max| lasted >= i128::from(max)) {
            CloseReason::MaxDuration
        } else {
            rule.learn(signs[i], v);
            continue;
        };
        let rows = (&trades[from..=i], &signs[from..=i]);
        let around = (before(trades, from), trade.event_time);
        bars.push(bar(bars.len(), measure, rows, around, rule.levels(), reason));
        rule.learn(signs[i], v);
        rule.closed(ticks);
        open = None;
    }
    let open = open.map_or(Vec::new(), |from| trades[from..].to_vec());
    Outcome { bars, open }
}

/// The trade before this one.
fn before(trades: &[Trade], row: usize) -> Option<&Trade> {
    row.checked_sub(1).map(|row| &trades[row])
}

/// §6: every field from the bar's own trades, the one before and the time of the one that closes it.
fn bar(
    seq: usize,
    measure: Measure,
    (trades, signs): (&[Trade], &[i8]),
    (before, closed): (Option<&Trade>, i64),
    levels: Levels,
    reason: CloseReason,
) -> Bar {
    let (first, last) = (&trades[0], &trades[trades.len() - 1]);
    let bought = |i: &usize| signs[*i] == 1;
    let rows = || 0..trades.len();
    let sum = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, |sum, value| sum + value);
    let mut path = Vec::new();
    let mut theta = 0.0;
    for i in rows() {
        theta += f64::from(signs[i]) * measured(measure, &trades[i]);
        path.push(theta);
    }
    let volume = sum(&mut trades.iter().map(|trade| trade.qty));
    let quote_volume = sum(&mut trades.iter().map(|trade| trade.quote));
    let high = trades.iter().map(|trade| trade.price).fold(first.price, f64::max);
    let low = trades.iter().map(|trade| trade.price).fold(first.price, f64::min);
    let first_at = |price: f64| trades.iter().find(|t| t.price == price).unwrap().event_time;
    let prices: Vec<f64> = before.into_iter().chain(trades).map(|trade| trade.price).collect();
    let mut changes = prices.windows(2).map(|pair| (pair[1] - pair[0]) * (pair[1] - pair[0]));
    Bar {
        seq: seq as u64,
        open_time: first.event_time,
        close_time: last.event_time,
        first_trade_id: first.trade_id,
        last_trade_id: last.trade_id,
        open: first.price,
        high,
        low,
        close: last.price,
        vwap: quote_volume / volume,
        volume,
        quote_volume,
        buy_volume: sum(&mut rows().filter(bought).map(|i| trades[i].qty)),
        buy_quote_volume: sum(&mut rows().filter(bought).map(|i| trades[i].quote)),
        ticks: trades.len() as u64,
        buy_ticks: rows().filter(bought).count() as u64,
        trade_count: trades.iter().map(|trade| u64::from(trade.count)).sum(),
        theta,
        theta_buy: levels.theta_buy,
        theta_sell: levels.theta_sell,
        theta_min: path.iter().copied().fold(f64::INFINITY, f64::min),
        theta_max: path.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        threshold: levels.threshold,
        expected_ticks: levels.expected_ticks,
        expected_imbalance: levels.expected_imbalance,
        sigma: levels.sigma,
        close_reason: reason,
        state_digest: 0,
        revision: 0,
        missing_ids: 0,
        known_time: [trades[0].event_time, last.event_time, first_at(high), first_at(low)]
            .into_iter()
            .fold(closed, i64::max),
        high_time: first_at(high),
        low_time: first_at(low),
        quadratic_variation: sum(&mut changes),
    }
}
