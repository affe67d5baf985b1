//! The one line that shows on a terminal how a live job is doing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use barflow_operators::open_bars::OpenState;
use indicatif::{ProgressBar, ProgressStyle};

use super::shown::Shown;
use crate::graph::tally::NewestBar;
use crate::job::live::status::{Snapshot, Status};
use crate::telemetry::terminal::BottomLine;
use crate::thousands::{counted, grouped};

/// Between two looks at the job.
const LOOK: Duration = Duration::from_millis(250);

/// Time over which the rate is measured.
const RATE_WINDOW: Duration = Duration::from_secs(2);

/// Specifications whose open bars have room in the line.
const SPECS_SHOWN: usize = 3;

/// Shows how the job is doing until dropped.
pub(super) fn show(status: Status) -> Shown {
    Shown::spawn("status line", move |done| draw(&status, done))
}

fn draw(status: &Status, done: &AtomicBool) {
    let style = ProgressStyle::with_template("{wide_msg}");
    let bar = ProgressBar::new_spinner()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    let shown = BottomLine::show(bar);
    let mut rate = Rate::default();
    while !done.load(Ordering::Acquire) {
        let now = status.now();
        let trades_per_second = rate.note(now.elapsed, now.trades);
        shown.line().set_message(line(&now, trades_per_second));
        thread::park_timeout(LOOK);
    }
}

/// Trades per second over the last moments.
#[derive(Debug, Default)]
struct Rate(VecDeque<(Duration, u64)>);

impl Rate {
    fn note(&mut self, now: Duration, trades: u64) -> f64 {
        self.0.push_back((now, trades));
        while self.0.get(1).is_some_and(|(then, _)| now.saturating_sub(*then) >= RATE_WINDOW) {
            self.0.pop_front();
        }
        let (then, before) = self.0.front().copied().unwrap_or_default();
        let seconds = now.saturating_sub(then).as_secs_f64();
        if seconds > 0.0 { trades.saturating_sub(before) as f64 / seconds } else { 0.0 }
    }
}

fn line(now: &Snapshot, trades_per_second: f64) -> String {
    let mut parts = Vec::new();
    if now.stopping {
        parts.push("stopping".to_owned());
    } else if now.connections == 0 {
        parts.push("not connected".to_owned());
    }
    parts.push(match trades_per_second {
        few @ ..10.0 => format!("{few:.1} trades/s"),
        many => format!("{} trades/s", grouped(many as u64)),
    });
    let one = now.instruments == 1;
    if let Some(lag) = now.lag {
        parts.push(format!("{} {}", if one { "lag" } else { "worst lag" }, time(lag)));
    }
    match one {
        true => {
            parts.extend(now.last_prices.first().map(|(_, price)| price.to_string()));
            let open = now.open_bars.values().next();
            parts.extend(open.into_iter().flatten().take(SPECS_SHOWN).map(reached));
        }
        false if now.instruments == 0 => {}
        false => parts.push(counted(now.instruments as u64, "instrument")),
    }
    parts.extend(now.newest.as_ref().map(|bar| newest(bar, one)));
    parts.join(" · ")
}

/// How far an open bar is.
fn reached(open: &OpenState) -> String {
    let OpenState { spec, ticks, reached, warmup_left } = open;
    match reached {
        _ if *warmup_left > 0 => format!("{spec} warm-up, {} left", grouped(*warmup_left)),
        Some(share) => format!("{spec} {:.0} %", share * 100.0),
        None => format!("{spec} {}", counted(*ticks, "trade")),
    }
}

fn newest(bar: &NewestBar, one_instrument: bool) -> String {
    let closed = jiff::Timestamp::from_nanosecond(i128::from(bar.close_time));
    let closed = closed.map_or_else(|_| String::new(), |t| t.strftime(", %H:%M:%S").to_string());
    let whose = if one_instrument { String::new() } else { format!("{} ", bar.instrument) };
    format!(
        "last bar {whose}{} #{}: {}, {}{closed}",
        bar.spec,
        bar.seq,
        counted(bar.ticks, "trade"),
        bar.close
    )
}

/// A time in the unit that people would say it in.
fn time(lag: Duration) -> String {
    match lag.as_secs() {
        0 => format!("{} ms", lag.as_millis()),
        1..100 => format!("{:.1} s", lag.as_secs_f64()),
        seconds @ 100..6_000 => format!("{} min", seconds / 60),
        seconds @ 6_000..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", grouped(seconds / 86_400)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let state = |spec: &str, ticks, reached, warmup_left| OpenState {
            spec: spec.into(),
            ticks,
            reached,
            warmup_left,
        };
        let states = vec![
            state("imb", 5, Some(0.434), 0),
            state("slow", 0, None, 1_200),
            state("t1m", 1, None, 0),
            state("more", 1, None, 0),
        ];
        Snapshot {
            instruments: 1,
            connections: 1,
            lag: Some(Duration::from_millis(12)),
            last_prices: vec![("a:b:C".parse().unwrap(), 67_012.5)],
            open_bars: [("a:b:C".parse().unwrap(), states)].into(),
            newest: Some(NewestBar {
                instrument: "a:b:C".parse().unwrap(),
                spec: "imb".into(),
                seq: 7,
                ticks: 1_034,
                close: 67_000.1,
                close_time: 1_709_251_200_500_000_000,
            }),
            ..Snapshot::default()
        }
    }

    #[test]
    fn one_instrument_is_shown_with_its_price_and_open_bars() {
        assert_eq!(
            line(&snapshot(), 1_234.5),
            "1,234 trades/s · lag 12 ms · 67012.5 · imb 43 % · slow warm-up, 1,200 left · t1m 1 trade · \
             last bar imb #7: 1,034 trades, 67000.1, 00:00:00"
        );
    }

    #[test]
    fn several_instruments_are_shown_by_the_worst_lag_and_the_newest_bar() {
        let several = Snapshot { instruments: 300, stopping: true, ..snapshot() };
        assert_eq!(
            line(&several, 0.25),
            "stopping · 0.2 trades/s · worst lag 12 ms · 300 instruments · \
             last bar a:b:C imb #7: 1,034 trades, 67000.1, 00:00:00"
        );
        assert_eq!(line(&Snapshot::default(), 0.0), "not connected · 0.0 trades/s");
    }

    #[test]
    fn the_rate_is_that_of_the_last_moments() {
        let mut rate = Rate::default();
        let seconds = |s: f64| Duration::from_secs_f64(s);
        assert_eq!(rate.note(seconds(0.5), 100), 0.0);
        assert_eq!(rate.note(seconds(1.5), 300), 200.0);
        assert_eq!(rate.note(seconds(2.5), 300), 100.0);
        // What was before counts no longer.
        assert_eq!(rate.note(seconds(3.5), 300), 0.0);
        assert_eq!(rate.note(seconds(60.0), 300), 0.0);
    }

    #[test]
    fn times_are_said_as_people_say_them() {
        let said = [0, 1_500, 100_000, 6_000_000, 87_257_242_800]
            .map(|ms| time(Duration::from_millis(ms)));
        assert_eq!(said, ["0 ms", "1.5 s", "1 min", "1 h", "1,009 d"]);
    }
}
