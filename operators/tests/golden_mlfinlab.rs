//! mlfinlab and mlfinpy, bar by bar.

use crate::golden::{Table, agg_trades, archived_trades, bar_files, bars_of, ms, shared};
use barflow_operators::bar::Bar;
use barflow_operators::bars::boundary::Boundary;
use barflow_operators::bars::builder::{Builder, Caps};
use barflow_operators::bars::compat::mlfinlab_imbalance::MlfinlabImbalance;
use barflow_operators::measure::Measure;
use barflow_operators::sign::{SignRule, Signer};
use barflow_operators::spec::{CompatFlavour, CompatTicks, MlfinlabSpec, RuleSpec};
use barflow_operators::trade::{Aggressor, Trade};

fn params(bars: usize, window: usize, init: f64, bounds: Option<(f64, f64)>) -> MlfinlabSpec {
    let (min, max) = bounds.unwrap_or((0.0, f64::INFINITY));
    let (flavour, ticks) = (CompatFlavour::Mlfinlab, CompatTicks::Ema);
    MlfinlabSpec { flavour, ticks, num_prev_bars: bars, window, init, min, max }
}

fn measure(name: &str) -> Measure {
    match name.rsplit('_').next() {
        Some("tick") => Measure::Tick,
        Some("volume") => Measure::Volume,
        Some("dollar") => Measure::Dollar,
        _ => panic!("{name} names no measure"),
    }
}

/// The rule behind a file, from its name and the parameters of its folder.
fn rule(name: &str, usual: MlfinlabSpec, sizes: [f64; 3]) -> RuleSpec {
    let measure = measure(name);
    let constant = MlfinlabSpec { ticks: CompatTicks::Const, ..usual };
    let unbounded = MlfinlabSpec { min: 0.0, max: f64::INFINITY, ..usual };
    let second = params(4, 3000, 60.0, Some((40.0, 160.0)));
    let imbalance = |params| RuleSpec::MlfinlabImbalance { measure, params };
    let runs = |params| RuleSpec::MlfinlabRuns { measure, params };
    match name.rsplit_once('_').unwrap().0 {
        "standard" => RuleSpec::Size { measure, size: sizes[measure as usize] },
        "ema_imbalance" => imbalance(usual),
        "ema_imbalance_b" => imbalance(second),
        "ema_imbalance_unbounded" => imbalance(unbounded),
        "const_imbalance" => imbalance(constant),
        "ema_run" => runs(usual),
        "ema_run_b" => runs(second),
        "const_run" => runs(constant),
        _ => panic!("no test knows {name}"),
    }
}

fn assert_same(name: &str, bars: &[Bar], table: &Table) {
    for (row, bar) in bars.iter().enumerate().take(table.rows.len()) {
        assert_eq!(bar.last_trade_id.to_string(), table.text(row, "tick_num"), "{name}: {row}");
    }
    assert_eq!(bars.len(), table.rows.len(), "{name}");
    table.assert_ohlc(name, bars);
    table.assert_column(name, "date_time", bars, |bar| ms(bar.close_time));
    table.assert_column(name, "volume", bars, |bar| bar.volume);
    table.assert_column(name, "cum_buy_volume", bars, |bar| bar.buy_volume);
    table.assert_column(name, "cum_ticks", bars, |bar| bar.ticks as f64);
    table.assert_column(name, "cum_dollar_value", bars, |bar| bar.quote_volume);
}

/// Compares a folder; returns how many files it held.
fn compare(folder: &str, trades: &[Trade], usual: MlfinlabSpec, sizes: [f64; 3]) {
    let Some(folder) = shared(folder) else { return };
    for (name, path) in bar_files(&folder) {
        if name == "ema_imbalance_dollar_thresholds_per_tick" {
            compare_per_tick(trades, usual, &Table::read(&path));
            continue;
        }
        let bars = bars_of(rule(&name, usual, sizes), SignRule::TickRuleFromZero, trades);
        assert_same(&name, &bars, &Table::read(&path));
    }
}

/// θ, E\[x\] and E\[T\] in the test of every single trade.
fn compare_per_tick(trades: &[Trade], usual: MlfinlabSpec, table: &Table) {
    let mut builder = Builder::new(
        MlfinlabImbalance::new(&usual),
        Measure::Dollar,
        Signer::new(SignRule::TickRuleFromZero),
        Boundary::NONE,
        Caps::NONE,
    );
    assert_eq!(table.rows.len(), trades.len());
    let mut bars: Vec<Bar> = Vec::new();
    for (row, trade) in trades.iter().enumerate() {
        let made = bars.len();
        builder.on_trade(trade, true, &mut bars);
        let (theta, expected, ticks) = match bars.get(made) {
            Some(bar) => (bar.theta, bar.expected_imbalance, bar.expected_ticks),
            None => {
                use barflow_operators::bars::rule::Rule;
                let levels = builder.rule().levels();
                (builder.open().theta, levels.expected_imbalance, levels.expected_ticks)
            }
        };
        let same = |ours: f64, column: &str| {
            let theirs = table.f64(row, column);
            assert!((ours - theirs).abs() <= 1e-12 * theirs.abs(), "{row}: {column}: {ours}");
        };
        same(theta, "cum_theta");
        same(ticks.unwrap(), "exp_num_ticks");
        match expected {
            Some(expected) => same(expected, "expected_imbalance"),
            None => assert_eq!(table.text(row, "expected_imbalance"), "", "{row}"),
        }
    }
}

#[test]
fn mlfinpy_on_a_day_of_real_trades() {
    let Some(path) = shared("data/binance-layout/XBTUSD-trades-2018-01-01.zip") else { return };
    let mut trades = archived_trades(&path);
    trades.truncate(60_000);
    for trade in &mut trades {
        trade.quote = trade.price * trade.qty;
    }
    let usual = params(3, 2000, 500.0, Some((100.0, 2000.0)));
    compare("golden/mlfinpy-0.1.2", &trades, usual, [500.0, 50.0, 1e6]);
}

#[test]
fn mlfinpy_on_aggregates() {
    let Some(path) = shared("golden/mlfinpy-0.1.2-agg20k/trades.csv") else { return };
    let usual = params(3, 500, 200.0, Some((50.0, 1000.0)));
    compare("golden/mlfinpy-0.1.2-agg20k", &agg_trades(&path), usual, [100.0, 2.0, 1e5]);
}

#[test]
fn mlfinlabs_own_tests() {
    let Some(folder) = shared("data/mlfinlab") else { return };
    let text = std::fs::read_to_string(folder.join("expected_imbalance_bars.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
    let rows = expected["input_rows"].as_u64().unwrap() as usize;
    let text = std::fs::read_to_string(folder.join("imbalance_sample_data.csv")).unwrap();
    let trades: Vec<Trade> = text.lines().skip(1).take(rows).enumerate().map(sample).collect();
    assert_eq!(trades.len(), rows);
    let cases = expected["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 7);
    for case in cases {
        own_test(case, &trades);
    }
}

/// A row `Date and Time, Price, Volume`; its time plays no part in these bars.
fn sample((row, line): (usize, &str)) -> Trade {
    let fields: Vec<&str> = line.split(',').collect();
    let (price, qty): (f64, f64) = (fields[1].parse().unwrap(), fields[2].parse().unwrap());
    Trade {
        trade_id: row as u64 + 1,
        event_time: row as i64,
        price,
        qty,
        quote: price * qty,
        aggressor: Aggressor::Unknown,
        count: 1,
    }
}

fn own_test(case: &serde_json::Value, trades: &[Trade]) {
    let name = case["function"].as_str().unwrap();
    let given = &case["parameters"];
    let number = |value: &serde_json::Value| value.as_f64();
    let bounds = &given["exp_num_ticks_constraints"];
    let bounds = number(&bounds[0]).zip(number(&bounds[1]));
    let usual = params(
        given["num_prev_bars"].as_u64().unwrap_or(1) as usize,
        given["expected_imbalance_window"].as_u64().unwrap() as usize,
        number(&given["exp_num_ticks_init"]).unwrap(),
        bounds,
    );
    let ticks = match &name[..7] {
        "get_ema" => CompatTicks::Ema,
        "get_con" => CompatTicks::Const,
        _ => panic!("no test knows {name}"),
    };
    let params = MlfinlabSpec { ticks, ..usual };
    let measure = measure(name.strip_suffix("_imbalance_bars").unwrap());
    let rule = RuleSpec::MlfinlabImbalance { measure, params };
    let bars = bars_of(rule, SignRule::TickRuleFromZero, trades);
    assert_eq!(bars.len() as u64, case["bars"].as_u64().unwrap(), "{}", case["test"]);
    for (position, values) in case["bar_at"].as_object().unwrap() {
        let bar = &bars[position.parse::<usize>().unwrap()];
        for (column, ours) in
            [("open", bar.open), ("high", bar.high), ("low", bar.low), ("close", bar.close)]
        {
            assert_eq!(Some(ours), values[column].as_f64(), "{}: {position}", case["test"]);
        }
    }
}
