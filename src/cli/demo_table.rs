//! Bars as a table for people, and their prices as a line of blocks.

use std::fmt::Write as _;

use serde_json::Value;

/// Eight heights of a block.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The most blocks of a line.
const WIDTH: usize = 76;

/// One line for each bar of a day: when it closed, prices, trades, and what closed it. No wider than 80
/// columns, as many terminals are.
pub(super) fn table(bars: &[Value]) -> String {
    let mut text = format!(
        "{:<8}  {:>8} {:>8} {:>8} {:>8}  {:>5}  {:>9} {:>9}  {}\n",
        "closed", "open", "high", "low", "close", "ticks", "imbalance", "threshold", "side"
    );
    for bar in bars {
        let number = |key: &str| bar[key].as_f64();
        let price = |key: &str| number(key).map_or_else(|| "-".to_owned(), |p| format!("{p:.2}"));
        let whole = |key: &str| number(key).map_or_else(|| "-".to_owned(), |x| format!("{x:.0}"));
        let side = match number("theta") {
            Some(theta) if theta > 0.0 => "buy",
            Some(theta) if theta < 0.0 => "sell",
            _ => "-",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:<8}  {:>8} {:>8} {:>8} {:>8}  {:>5}  {:>9} {:>9}  {side}",
            time(bar["close_time"].as_i64().unwrap_or_default()),
            price("open"),
            price("high"),
            price("low"),
            price("close"),
            whole("ticks"),
            whole("theta"),
            whole("threshold"),
        );
    }
    text
}

/// A time of the day without its fraction.
fn time(nanoseconds: i64) -> String {
    let timestamp = jiff::Timestamp::from_nanosecond(i128::from(nanoseconds));
    timestamp.map_or_else(|_| nanoseconds.to_string(), |t| t.strftime("%T").to_string())
}

/// Numbers as blocks, from the lowest to the highest; the last of several that share a block counts.
pub(super) fn sparkline(numbers: &[f64]) -> String {
    let low = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let high = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let width = numbers.len().min(WIDTH);
    let shown = (0..width).map(|at| numbers[(at + 1) * numbers.len() / width - 1]);
    let height = |number: f64| match high > low {
        true => ((number - low) / (high - low) * 7.0).round() as usize,
        false => 3,
    };
    shown.map(|number| BLOCKS[height(number).min(7)]).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_rises_and_falls_with_the_numbers() {
        assert_eq!(sparkline(&[1.0, 2.0, 8.0]), "▁▂█");
        assert_eq!(sparkline(&[5.0, 5.0]), "▄▄");
        assert_eq!(sparkline(&[]), "");
        let many: Vec<f64> = (0..1_000).map(f64::from).collect();
        assert_eq!(sparkline(&many).chars().count(), WIDTH);
        assert!(sparkline(&many).ends_with('█'));
    }

    #[test]
    fn columns_stand_below_their_names() {
        let bar = json!({
            "close_time": 1_709_251_200_123_456_789_i64, "open": 60_000.5, "high": 60_001.0,
            "low": 59_999.0, "close": 60_000.0, "ticks": 1_133, "theta": -123_456.7,
            "threshold": 120_000.4,
        });
        let time_bar = json!({ "close_time": 0, "theta": null });
        let text = table(&[bar, time_bar]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("00:00:00  60000.50"), "{text}");
        assert!(lines[1].ends_with("-123457    120000  sell"), "{text}");
        assert!(lines[2].ends_with("-         -  -"), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{text}");
        let end = |word: &str| lines[0].find(word).unwrap() + word.len();
        assert_eq!(&lines[1][end("ticks") - 4..end("ticks")], "1133");
    }
}
