//! Random trades and specifications, wilder than any market.

pub mod compat;

use std::sync::Arc;

use barflow_operators::bars::product::ExpectationsAt;
use barflow_operators::bars::round::Rounding;
use barflow_operators::batch::{Feed, IdKind, InputKind};
use barflow_operators::measure::Measure;
use barflow_operators::sign::SignRule;
use barflow_operators::spec::{
    AdaptiveSpec, BarSpec, ExpectedTicksSpec, LimitSpec, RuleSpec, ThresholdSpec,
};
use barflow_operators::trade::{Aggressor, Trade};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

/// The parameters of the behaviour tests: φ = 0.99, rounding to 24 bits, warm-up 1000.
pub fn adaptive(alpha: f64, target: f64) -> AdaptiveSpec {
    AdaptiveSpec {
        alpha,
        memory: 0.99,
        warmup: 1000,
        rounding: Rounding::from(24),
        expected_ticks: ExpectedTicksSpec { target, alpha: None, min: 1.0, max: f64::INFINITY },
        expectations: ExpectationsAt::Tick,
    }
}

/// A specification without limits.
pub fn plain(rule: RuleSpec) -> BarSpec {
    BarSpec::new("plain", SignRule::Aggressor, LimitSpec::default(), rule).unwrap()
}

/// Imbalance bars with the Wald threshold.
pub fn wald(measure: Measure, alpha: f64, target: f64) -> BarSpec {
    plain(RuleSpec::Imbalance { measure, threshold: ThresholdSpec::Wald(adaptive(alpha, target)) })
}

/// Everything that interacts with limits, sized for a busy day.
pub fn limited_on_real_trades() -> Vec<BarSpec> {
    let measure = Measure::Dollar;
    let book = AdaptiveSpec {
        expectations: ExpectationsAt::BarOpen,
        expected_ticks: ExpectedTicksSpec {
            target: 500.0,
            alpha: Some(0.1),
            min: 50.0,
            max: 2000.0,
        },
        ..adaptive(1e-3, 500.0)
    };
    let day = LimitSpec { utc_day: true, ..LimitSpec::default() };
    let caps = LimitSpec { max_ticks: Some(800), max_duration: Some(120 * SECOND), utc_day: true };
    let threshold = ThresholdSpec::Wald(adaptive(1e-3, 1000.0));
    [
        (day, RuleSpec::Imbalance { measure, threshold }),
        (caps, RuleSpec::Imbalance { measure, threshold }),
        (caps, RuleSpec::Imbalance { measure, threshold: ThresholdSpec::Product(book) }),
        (caps, RuleSpec::Runs { measure, threshold: ThresholdSpec::Product(book) }),
        (caps, RuleSpec::Size { measure, size: 1e6 }),
    ]
    .into_iter()
    .map(|(limits, rule)| BarSpec::new("limited", SignRule::TickRule, limits, rule).unwrap())
    .collect()
}

/// The feed of random trades.
pub fn feed(has_aggressor: bool) -> Arc<Feed> {
    Arc::new(Feed {
        instrument: "sim:spot:XY".parse().unwrap(),
        input: InputKind::Trades,
        ids: IdKind::Venue,
        has_aggressor,
    })
}

fn side() -> BoxedStrategy<Aggressor> {
    prop_oneof![
        4 => Just(Aggressor::Buyer),
        4 => Just(Aggressor::Seller),
        1 => Just(Aggressor::Unknown),
    ]
    .boxed()
}

/// Steps in time: none, small, several days, and backwards.
fn time_step() -> BoxedStrategy<i64> {
    prop_oneof![
        6 => Just(0),
        8 => 0..5 * SECOND,
        2 => 0..3600 * SECOND,
        1 => 0..4 * DAY,
        1 => -2 * DAY..0,
        1 => -10 * SECOND..0,
    ]
    .boxed()
}

/// Sizes from dust to giant, many of them equal.
fn quantity() -> BoxedStrategy<f64> {
    prop_oneof![
        6 => 1e-3..10.0f64,
        3 => Just(1.0),
        1 => (-12i32..12).prop_map(|exponent| 10f64.powi(exponent)),
    ]
    .boxed()
}

/// Up to `most` trades whose sides stay for a while, as real ones do.
pub fn trades(most: usize) -> BoxedStrategy<Vec<Trade>> {
    let row = (side(), any::<bool>(), time_step(), 0i32..6, quantity(), 0u32..4);
    (vec(row, 0..most), -3 * DAY..20_000 * DAY)
        .prop_map(|(rows, start)| {
            let mut time = start;
            let mut previous = Aggressor::Buyer;
            rows.into_iter()
                .enumerate()
                .map(|(i, (side, stays, step, level, qty, count))| {
                    time += step;
                    let aggressor = if stays { previous } else { side };
                    previous = aggressor;
                    // Six prices only, so that the tick rule meets ties.
                    let price = 100.0 + f64::from(level) * 0.1;
                    Trade {
                        trade_id: 10 + 2 * i as u64,
                        event_time: time,
                        price,
                        qty,
                        quote: price * qty,
                        aggressor,
                        count: count.max(1),
                    }
                })
                .collect()
        })
        .boxed()
}

/// Trades made of the most extreme finite numbers.
pub fn extreme_trades(most: usize) -> BoxedStrategy<Vec<Trade>> {
    let number = prop_oneof![
        Just(f64::MAX),
        Just(f64::MIN_POSITIVE),
        Just(f64::from_bits(1)),
        Just(0.0),
        Just(-1.0),
        Just(f64::MIN),
        any::<f64>().prop_filter("finite", |value| value.is_finite()),
        1.0..100.0,
    ];
    let time = prop_oneof![
        Just(i64::MIN),
        Just(i64::MIN + 1),
        Just(i64::MAX),
        Just(i64::MAX - 1),
        Just(0),
        any::<i64>(),
    ];
    let row = (side(), time, number.clone(), number.clone(), number, any::<u32>(), any::<u64>());
    vec(row, 0..most)
        .prop_map(|rows| {
            rows.into_iter()
                .map(|(aggressor, event_time, price, qty, quote, count, trade_id)| Trade {
                    trade_id,
                    event_time,
                    price,
                    qty,
                    quote,
                    aggressor,
                    count,
                })
                .collect()
        })
        .boxed()
}

/// Real-looking numbers at the extremes of time only.
pub fn trades_at_extreme_times(most: usize) -> BoxedStrategy<Vec<Trade>> {
    let time = prop_oneof![
        (0i64..3).prop_map(|back| i64::MAX - back),
        (0i64..3).prop_map(|on| i64::MIN + on),
        -5i64..5,
        any::<i64>(),
    ];
    (trades(most), vec(time, most))
        .prop_map(|(mut trades, times)| {
            for (trade, time) in trades.iter_mut().zip(times) {
                trade.event_time = time;
            }
            trades
        })
        .boxed()
}

fn measure() -> BoxedStrategy<Measure> {
    prop_oneof![Just(Measure::Tick), Just(Measure::Volume), Just(Measure::Dollar)].boxed()
}

fn adaptive_spec() -> BoxedStrategy<AdaptiveSpec> {
    let alpha = prop_oneof![Just(1.0), Just(0.1), 1e-4..0.5f64];
    let memory = prop_oneof![Just(0.0), Just(0.99), 0.0..1.0f64];
    let warmup = prop_oneof![Just(0u64), Just(1), 1..30u64];
    let bits = prop_oneof![Just(0u32), Just(24), Just(52), Just(51), Just(1), 1..52u32];
    let target = prop_oneof![Just(1.0), 1.0..60.0f64];
    let ewma = option::of(prop_oneof![Just(1.0), 0.01..1.0f64]);
    let bounds = (0.0..20.0f64, prop_oneof![Just(0.0), 0.1..50.0f64, Just(f64::INFINITY)]);
    let at = prop_oneof![Just(ExpectationsAt::Tick), Just(ExpectationsAt::BarOpen)];
    (alpha, memory, warmup, bits, target, ewma, bounds, at)
        .prop_map(|(alpha, memory, warmup, bits, target, ewma, (min, span), expectations)| {
            let max = (min + span).max(0.5);
            let expected_ticks = ExpectedTicksSpec { target, alpha: ewma, min, max };
            let rounding = Rounding::from(bits);
            AdaptiveSpec { alpha, memory, warmup, rounding, expected_ticks, expectations }
        })
        .boxed()
}

fn size() -> BoxedStrategy<f64> {
    prop_oneof![1.0..20.0f64, 20.0..3000.0f64, Just(3.0), Just(1e-9)].boxed()
}

/// Any core rule.
pub fn rule() -> BoxedStrategy<RuleSpec> {
    let fixed = || size().prop_map(|size| ThresholdSpec::Fixed { size });
    let product = || adaptive_spec().prop_map(ThresholdSpec::Product);
    let wald = adaptive_spec().prop_map(ThresholdSpec::Wald);
    let imbalance = prop_oneof![2 => wald, 2 => product(), 1 => fixed()];
    let runs = prop_oneof![2 => product(), 1 => fixed()];
    let every = prop_oneof![Just(1i64), Just(60 * SECOND), Just(3 * DAY), 1..DAY, Just(i64::MAX)];
    prop_oneof![
        2 => every.prop_map(|every| RuleSpec::Time { every }),
        2 => (measure(), size()).prop_map(|(measure, size)| RuleSpec::Size { measure, size }),
        5 => (measure(), imbalance)
            .prop_map(|(measure, threshold)| RuleSpec::Imbalance { measure, threshold }),
        4 => (measure(), runs)
            .prop_map(|(measure, threshold)| RuleSpec::Runs { measure, threshold }),
    ]
    .boxed()
}

/// Any core specification that is accepted.
pub fn spec() -> BoxedStrategy<BarSpec> {
    let sign = prop_oneof![Just(SignRule::Aggressor), Just(SignRule::TickRule)];
    let limits = (
        option::weighted(0.3, 1..40u64),
        option::weighted(0.3, prop_oneof![Just(1i64), 1..20 * SECOND, 1..3 * DAY]),
        prop::bool::weighted(0.3),
    );
    (sign, limits, rule())
        .prop_map(|(sign, (max_ticks, max_duration, utc_day), rule)| {
            let limits = match rule {
                RuleSpec::Time { .. } => LimitSpec::default(),
                _ => LimitSpec { max_ticks, max_duration, utc_day },
            };
            BarSpec::new("random", sign, limits, rule).unwrap()
        })
        .boxed()
}
