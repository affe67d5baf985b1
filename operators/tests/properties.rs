//! Properties of every builder, for arbitrary trades and parameters.

use barflow_operators::bar::Bar;
use barflow_operators::bars::machine::BarMachine;
use barflow_operators::bars::round::Rounding;
use barflow_operators::batch::TradeBatch;
use barflow_operators::spec::BarSpec;
use barflow_operators::trade::Trade;
use proptest::prelude::*;

use crate::generate;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// The bytes of a machine: equal bytes mean equal bits, NaNs included.
fn state(machine: &BarMachine) -> Vec<u8> {
    postcard::to_stdvec(machine).unwrap()
}

/// The bytes of bars, digests included.
fn bytes(bars: &[Bar]) -> Vec<u8> {
    postcard::to_stdvec(bars).unwrap()
}

fn one_by_one(spec: &BarSpec, trades: &[Trade], has_aggressor: bool) -> (BarMachine, Vec<Bar>) {
    let mut machine = BarMachine::new(spec);
    let mut bars = Vec::new();
    for trade in trades {
        machine.on_trade(trade, has_aggressor, &mut bars);
    }
    (machine, bars)
}

fn batched(
    spec: &BarSpec,
    trades: &[Trade],
    has_aggressor: bool,
    cuts: &[usize],
) -> (BarMachine, Vec<Bar>) {
    let feed = generate::feed(has_aggressor);
    let mut machine = BarMachine::new(spec);
    let mut bars = Vec::new();
    let mut rest = trades;
    let mut cuts = cuts.iter().cycle();
    while !rest.is_empty() {
        let (batch, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
        machine.on_batch(&TradeBatch::from_trades(feed.clone(), batch), &mut bars);
        rest = later;
    }
    (machine, bars)
}

fn cuts() -> BoxedStrategy<Vec<usize>> {
    // Empty batches are valid too, but not only those.
    prop::collection::vec(prop_oneof![Just(1usize), 0..8usize, 1..200usize], 1..6)
        .prop_filter("some trades", |cuts| cuts.iter().any(|cut| *cut > 0))
        .boxed()
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn any_batching_gives_the_bytes_of_trade_by_trade(
        spec in generate::spec(),
        trades in generate::trades(300),
        has_aggressor in any::<bool>(),
        cuts in cuts(),
    ) {
        let (machine, bars) = one_by_one(&spec, &trades, has_aggressor);
        let (batched_machine, batched_bars) = batched(&spec, &trades, has_aggressor, &cuts);
        prop_assert!(bytes(&bars) == bytes(&batched_bars), "{:?}\n{:?}", bars, batched_bars);
        prop_assert!(
            state(&machine) == state(&batched_machine),
            "{:?}\n{:?}",
            machine,
            batched_machine
        );
    }

    #[test]
    fn a_machine_restored_at_any_trade_never_stopped(
        spec in generate::spec(),
        trades in generate::trades(200),
        has_aggressor in any::<bool>(),
        stop in any::<prop::sample::Index>(),
    ) {
        let (machine, bars) = one_by_one(&spec, &trades, has_aggressor);
        let stop = stop.index(trades.len() + 1);
        let (saved, first) = one_by_one(&spec, &trades[..stop], has_aggressor);
        let json = serde_json::to_string(&saved).unwrap();
        for mut restored in [
            postcard::from_bytes::<BarMachine>(&state(&saved)).unwrap(),
            serde_json::from_str::<BarMachine>(&json).unwrap(),
        ] {
            let mut all = first.clone();
            for trade in &trades[stop..] {
                restored.on_trade(trade, has_aggressor, &mut all);
            }
            prop_assert_eq!(bytes(&bars), bytes(&all));
            prop_assert_eq!(state(&machine), state(&restored));
        }
    }

    #[test]
    fn bars_open_bar_and_warm_up_hold_the_whole_tape(
        spec in generate::spec(),
        trades in generate::trades(300),
        has_aggressor in any::<bool>(),
    ) {
        let mut machine = BarMachine::new(&spec);
        let mut bars = Vec::new();
        // A trade after which a bar holds it went there; any other went to a warm-up.
        let mut warmup = Vec::new();
        for trade in &trades {
            machine.on_trade(trade, has_aggressor, &mut bars);
            let open = machine.open();
            let in_open = open.ticks > 0 && open.last_trade_id == trade.trade_id;
            let in_last = bars.last().is_some_and(|bar| bar.last_trade_id == trade.trade_id);
            if !in_open && !in_last {
                warmup.push(*trade);
            }
        }
        let open = machine.open();
        let count = |bar: fn(&Bar) -> u64, open: u64| bars.iter().map(bar).sum::<u64>() + open;
        prop_assert_eq!(
            count(|bar| bar.ticks, open.ticks) + warmup.len() as u64,
            trades.len() as u64
        );
        let counted = |trades: &[Trade]| trades.iter().map(|t| u64::from(t.count)).sum::<u64>();
        prop_assert_eq!(
            count(|bar| bar.trade_count, open.trade_count) + counted(&warmup),
            counted(&trades)
        );
        let sum = |bar: fn(&Bar) -> f64, open: f64, trade: fn(&Trade) -> f64| {
            let made: f64 = bars.iter().map(bar).sum::<f64>() + open;
            let given: f64 = trades.iter().map(trade).sum();
            (made + warmup.iter().map(trade).sum::<f64>(), given)
        };
        for (made, given) in [
            sum(|bar| bar.volume, open.volume, |trade| trade.qty),
            sum(|bar| bar.quote_volume, open.quote_volume, |trade| trade.quote),
        ] {
            prop_assert!((made - given).abs() <= 1e-12 * given, "{} of {}", made, given);
        }
        // Bars tile the tape: each begins right after the one before, or after a warm-up.
        for pair in bars.windows(2) {
            prop_assert!(pair[0].last_trade_id < pair[1].first_trade_id);
            prop_assert_eq!(pair[0].seq + 1, pair[1].seq);
        }
    }

    #[test]
    fn no_finite_input_panics_and_batching_still_does_not_matter(
        spec in generate::spec(),
        trades in generate::extreme_trades(60),
        has_aggressor in any::<bool>(),
        cuts in cuts(),
    ) {
        let (machine, bars) = one_by_one(&spec, &trades, has_aggressor);
        let (batched_machine, batched_bars) = batched(&spec, &trades, has_aggressor, &cuts);
        prop_assert_eq!(bars.len(), batched_bars.len());
        for (bar, batched) in bars.iter().zip(&batched_bars) {
            prop_assert_eq!((bar.last_trade_id, bar.ticks), (batched.last_trade_id, batched.ticks));
            prop_assert_eq!(bar.close_reason, batched.close_reason);
        }
        prop_assert_eq!(machine.open().ticks, batched_machine.open().ticks);
        let restored: BarMachine = postcard::from_bytes(&state(&machine)).unwrap();
        prop_assert_eq!(state(&restored), state(&machine));
    }

    #[test]
    fn equal_digests_at_the_close_on_the_same_trade_mean_equal_bars_for_ever(
        spec in generate::spec(),
        trades in generate::trades(300),
        join in any::<prop::sample::Index>(),
    ) {
        let (_, bars) = one_by_one(&spec, &trades, true);
        let join = join.index(trades.len() + 1);
        let (_, joined) = one_by_one(&spec, &trades[join..], true);
        let met = joined.iter().enumerate().find_map(|(place, late)| {
            let same = |bar: &&Bar| {
                (bar.last_trade_id, bar.state_digest) == (late.last_trade_id, late.state_digest)
            };
            let there = bars.iter().find(same)?;
            Some((there.seq as usize, place))
        });
        if let Some((there, place)) = met {
            let unnumbered = |bars: &[Bar]| {
                let bars: Vec<Bar> = bars.iter().map(|bar| Bar { seq: 0, ..bar.clone() }).collect();
                bytes(&bars)
            };
            prop_assert_eq!(unnumbered(&bars[there + 1..]), unnumbered(&joined[place + 1..]));
        }
    }
}

/// The digest of a session's bars must know the session: a trade that ran backwards over midnight
/// leaves the builder in the later day, which one that joined there can't know.
#[test]
fn digest_tells_sessions_apart_when_time_ran_backwards() {
    use barflow_operators::sign::SignRule;
    use barflow_operators::spec::{LimitSpec, RuleSpec};
    let day = 86_400_000_000_000;
    let limits = LimitSpec { utc_day: true, ..LimitSpec::default() };
    let measure = barflow_operators::measure::Measure::Tick;
    let rule = RuleSpec::Size { measure, size: 1.0 };
    let spec = BarSpec::new("sessions", SignRule::Aggressor, limits, rule).unwrap();
    let trade = |trade_id, event_time| Trade {
        trade_id,
        event_time,
        price: 1.0,
        qty: 1.0,
        quote: 1.0,
        aggressor: barflow_operators::trade::Aggressor::Buyer,
        count: 1,
    };
    let trades = [trade(1, day), trade(2, day - 1)];
    let (_, bars) = one_by_one(&spec, &trades, true);
    let (_, joined) = one_by_one(&spec, &trades[1..], true);
    assert_eq!(bars[1].last_trade_id, joined[0].last_trade_id);
    assert_ne!(bars[1].state_digest, joined[0].state_digest);
}

mod refusals {
    //! A refused configuration names key, value and rule, all problems at once; any other runs.

    use barflow_operators::bars::product::ExpectationsAt;
    use barflow_operators::measure::Measure;
    use barflow_operators::sign::SignRule;
    use barflow_operators::spec::{
        AdaptiveSpec, ExpectedTicksSpec, Invalid, LimitSpec, RuleSpec, ThresholdSpec,
    };

    use super::*;

    fn refused(name: &str, limits: LimitSpec, rule: RuleSpec) -> Vec<(String, String)> {
        let wrong = BarSpec::new(name, SignRule::Aggressor, limits, rule).unwrap_err();
        assert!(wrong.iter().all(|invalid| !invalid.rule.is_empty()));
        for Invalid { key, value, rule } in &wrong {
            let text = Invalid::new(key.clone(), value, rule.clone()).to_string();
            assert_eq!(text, format!("{key} = {value}: {rule}"));
        }
        wrong.into_iter().map(|invalid| (invalid.key, invalid.value)).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    }

    #[test]
    fn every_impossible_parameter_is_named_at_once() {
        let adaptive = AdaptiveSpec {
            alpha: 1.5,
            memory: 1.0,
            warmup: 0,
            rounding: Rounding::from(53),
            expected_ticks: ExpectedTicksSpec {
                target: 0.5,
                alpha: Some(f64::NAN),
                min: 9.0,
                max: 3.0,
            },
            expectations: ExpectationsAt::Tick,
        };
        let limits = LimitSpec { max_ticks: Some(0), max_duration: Some(-5), utc_day: true };
        let rule =
            RuleSpec::Runs { measure: Measure::Tick, threshold: ThresholdSpec::Wald(adaptive) };
        let expected = pairs(&[
            ("name", "\"a/b\""),
            ("max_ticks", "0"),
            ("max_duration", "-5 ns"),
            ("threshold", "wald"),
            ("alpha", "1.5"),
            ("memory", "1"),
            ("round_bits", "53"),
            ("target", "0.5"),
            ("alpha_t", "NaN"),
            ("min", "9"),
        ]);
        assert_eq!(refused("a/b", limits, rule), expected);
    }

    #[test]
    fn sizes_intervals_and_misplaced_limits_are_refused() {
        let none = LimitSpec::default();
        let measure = Measure::Tick;
        for size in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let text = size.to_string();
            let expected = pairs(&[("size", &text)]);
            let threshold = ThresholdSpec::Fixed { size };
            assert_eq!(refused("x", none, RuleSpec::Size { measure, size }), expected);
            assert_eq!(refused("x", none, RuleSpec::Imbalance { measure, threshold }), expected);
            assert_eq!(refused("x", none, RuleSpec::Runs { measure, threshold }), expected);
        }
        let limits = LimitSpec { max_ticks: Some(5), max_duration: Some(5), utc_day: true };
        let expected = pairs(&[
            ("max_ticks", "set"),
            ("max_duration", "set"),
            ("reset", "set"),
            ("every", "0 ns"),
        ]);
        assert_eq!(refused("x", limits, RuleSpec::Time { every: 0 }), expected);
        assert_eq!(refused("", none, RuleSpec::Time { every: 1 }), pairs(&[("name", "\"\"")]));
    }

    /// Any number a user might type, sensible or not.
    fn number() -> BoxedStrategy<f64> {
        prop_oneof![any::<f64>(), -1.0..2.0f64, 1.0..100.0f64, Just(f64::NAN), Just(f64::MAX)]
            .boxed()
    }

    fn any_rule() -> BoxedStrategy<RuleSpec> {
        let ticks = (number(), prop::option::of(number()), number(), number());
        let adaptive = (number(), number(), 0..20u64, 0..60u32, ticks).prop_map(
            |(alpha, memory, warmup, round_bits, (target, alpha_t, min, max))| AdaptiveSpec {
                alpha,
                memory,
                warmup,
                rounding: Rounding::from(round_bits),
                expected_ticks: ExpectedTicksSpec { target, alpha: alpha_t, min, max },
                expectations: ExpectationsAt::Tick,
            },
        );
        (adaptive, number(), any::<i64>(), 0..7u8)
            .prop_map(|(adaptive, size, every, kind)| {
                let measure = Measure::Dollar;
                let wald = ThresholdSpec::Wald(adaptive);
                let product = ThresholdSpec::Product(adaptive);
                let fixed = ThresholdSpec::Fixed { size };
                match kind {
                    0 => RuleSpec::Time { every },
                    1 => RuleSpec::Size { measure, size },
                    2 => RuleSpec::Imbalance { measure, threshold: wald },
                    3 => RuleSpec::Imbalance { measure, threshold: product },
                    4 => RuleSpec::Imbalance { measure, threshold: fixed },
                    5 => RuleSpec::Runs { measure, threshold: product },
                    _ => RuleSpec::Runs { measure, threshold: fixed },
                }
            })
            .boxed()
    }

    proptest! {
        #![proptest_config(config(500))]

        #[test]
        fn what_is_not_refused_runs(
            rule in any_rule(),
            max_ticks in prop::option::of(0..5u64),
            max_duration in prop::option::of(any::<i64>()),
            trades in generate::trades(40),
        ) {
            let limits = LimitSpec { max_ticks, max_duration, utc_day: false };
            match BarSpec::new("any", SignRule::TickRule, limits, rule) {
                Ok(spec) => {
                    one_by_one(&spec, &trades, true);
                }
                Err(wrong) => prop_assert!(!wrong.is_empty()),
            }
        }
    }
}
