//! Small scenarios as text: trades above the line, bars below it (`tests/bars/*.txt`).
//!
//! A scenario is `spec KEY=VALUE …`, one trade per line (`id seconds side price qty`; side B, S or
//! ? for unknown), `----`, and what comes out. `#` begins a comment. With `BARFLOW_UPDATE=1` the
//! part below each line is written anew; review the difference like code.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use barflow_operators::bar::Bar;
use barflow_operators::bars::machine::BarMachine;
use barflow_operators::bars::product::ExpectationsAt;
use barflow_operators::bars::round::Rounding;
use barflow_operators::measure::Measure;
use barflow_operators::sign::SignRule;
use barflow_operators::spec::{
    AdaptiveSpec, BarSpec, ExpectedTicksSpec, LimitSpec, RuleSpec, ThresholdSpec,
};
use barflow_operators::trade::{Aggressor, Trade};

const SECOND: f64 = 1e9;
const LINE: &str = "----";

/// The keys of a `spec` line; whatever a scenario leaves out is at its plainest.
struct Keys<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Keys<'a> {
    fn parse(line: &'a str) -> Self {
        let pairs = line.split_whitespace().map(|pair| pair.split_once('=').unwrap());
        Self(pairs.collect())
    }

    fn text(&mut self, key: &str, default: &'a str) -> &'a str {
        self.0.remove(key).unwrap_or(default)
    }

    fn number(&mut self, key: &str) -> Option<f64> {
        self.0.remove(key).map(|text| text.parse().unwrap())
    }

    fn seconds(&mut self, key: &str) -> Option<i64> {
        self.number(key).map(|seconds| (seconds * SECOND) as i64)
    }

    fn adaptive(&mut self) -> AdaptiveSpec {
        AdaptiveSpec {
            alpha: self.number("alpha").unwrap(),
            memory: self.number("memory").unwrap_or(0.0),
            warmup: self.number("warmup").unwrap_or(0.0) as u64,
            rounding: Rounding::from(self.number("round_bits").unwrap_or(0.0) as u32),
            expected_ticks: ExpectedTicksSpec {
                target: self.number("target").unwrap(),
                alpha: self.number("alpha_t"),
                min: self.number("min").unwrap_or(1.0),
                max: self.number("max").unwrap_or(1e9),
            },
            expectations: match self.text("expectations", "tick") {
                "bar_open" => ExpectationsAt::BarOpen,
                _ => ExpectationsAt::Tick,
            },
        }
    }

    fn threshold(&mut self) -> ThresholdSpec {
        match self.text("threshold", "wald") {
            "wald" => ThresholdSpec::Wald(self.adaptive()),
            "product" => ThresholdSpec::Product(self.adaptive()),
            "fixed" => ThresholdSpec::Fixed { size: self.number("size").unwrap() },
            other => panic!("threshold {other}"),
        }
    }

    fn spec(mut self) -> BarSpec {
        let measure = match self.text("measure", "tick") {
            "tick" => Measure::Tick,
            "volume" => Measure::Volume,
            "dollar" => Measure::Dollar,
            other => panic!("measure {other}"),
        };
        let rule = match self.text("kind", "") {
            "time" => RuleSpec::Time { every: self.seconds("every").unwrap() },
            "size" => RuleSpec::Size { measure, size: self.number("size").unwrap() },
            "imbalance" => RuleSpec::Imbalance { measure, threshold: self.threshold() },
            "runs" => RuleSpec::Runs { measure, threshold: self.threshold() },
            other => panic!("kind {other:?}"),
        };
        let limits = LimitSpec {
            max_ticks: self.number("max_ticks").map(|ticks| ticks as u64),
            max_duration: self.seconds("max_duration"),
            utc_day: self.text("reset", "none") == "utc_day",
        };
        let sign = match self.text("sign", "aggressor") {
            "tick_rule" => SignRule::TickRule,
            _ => SignRule::Aggressor,
        };
        assert!(self.0.is_empty(), "unknown keys {:?}", self.0.keys());
        BarSpec::new("script", sign, limits, rule).unwrap()
    }
}

fn trade(line: &str) -> Trade {
    let field: Vec<&str> = line.split_whitespace().collect();
    let (price, qty): (f64, f64) = (field[3].parse().unwrap(), field[4].parse().unwrap());
    Trade {
        trade_id: field[0].parse().unwrap(),
        event_time: (field[1].parse::<f64>().unwrap() * SECOND) as i64,
        price,
        qty,
        quote: price * qty,
        aggressor: match field[2] {
            "B" => Aggressor::Buyer,
            "S" => Aggressor::Seller,
            _ => Aggressor::Unknown,
        },
        count: 1,
    }
}

fn bar_line(bar: &Bar) -> String {
    let mut line = format!(
        "bar trades={}..{} time={}..{} reason={} ohlc={}/{}/{}/{} volume={} ticks={} buys={} \
         theta={} in {}..{}",
        bar.first_trade_id,
        bar.last_trade_id,
        bar.open_time as f64 / SECOND,
        bar.close_time as f64 / SECOND,
        bar.close_reason.as_str(),
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.volume,
        bar.ticks,
        bar.buy_ticks,
        bar.theta,
        bar.theta_min,
        bar.theta_max
    );
    for (name, value) in [
        ("theta_buy", bar.theta_buy),
        ("theta_sell", bar.theta_sell),
        ("threshold", bar.threshold),
        ("expected_ticks", bar.expected_ticks),
        ("expected_imbalance", bar.expected_imbalance),
        ("sigma", bar.sigma),
    ] {
        if let Some(value) = value {
            // Six decimals are enough to read; the bits are the oracle's business.
            write!(line, " {name}={}", (value * 1e6).round() / 1e6).unwrap();
        }
    }
    line
}

/// What a scenario's upper part comes to.
fn play(input: &str) -> String {
    let mut lines = input
        .lines()
        .map(|line| line.split('#').next().unwrap().trim())
        .filter(|line| !line.is_empty());
    let spec = Keys::parse(lines.next().unwrap().strip_prefix("spec ").unwrap()).spec();
    let mut machine = BarMachine::new(&spec);
    let (mut bars, mut output) = (Vec::new(), String::new());
    for trade in lines.map(trade) {
        machine.on_trade(&trade, true, &mut bars);
        let in_bar = machine.open().ticks > 0
            || bars.last().is_some_and(|bar| bar.last_trade_id == trade.trade_id);
        for bar in bars.drain(..) {
            writeln!(output, "{}", bar_line(&bar)).unwrap();
        }
        if !in_bar {
            writeln!(output, "warm-up trade={}", trade.trade_id).unwrap();
        }
    }
    let open = machine.open();
    if open.ticks > 0 {
        writeln!(output, "open trades={}..{}", open.first_trade_id, open.last_trade_id).unwrap();
    }
    output
}

/// The whole file with the lower parts played anew.
fn replayed(text: &str) -> String {
    let scenarios: Vec<String> = text
        .trim_end()
        .split("\n\n\n")
        .map(|scenario| {
            let input = scenario.split(LINE).next().unwrap().trim_end();
            format!("{input}\n{LINE}\n{}", play(input))
        })
        .collect();
    scenarios.join("\n\n")
}

#[test]
fn scripts_come_out_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bars");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let written = std::fs::read_to_string(&file).unwrap();
        let played = replayed(&written);
        if std::env::var_os("BARFLOW_UPDATE").is_some() {
            std::fs::write(&file, played).unwrap();
        } else if written != played {
            panic!("{} differs (BARFLOW_UPDATE=1 rewrites it); played:\n{played}", file.display());
        }
    }
}
