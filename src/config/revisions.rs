//! How much of the past is retained, as text.

use barflow_operators::revision::Window;
use jiff::Span;
use jiff::SpanRelativeTo;

/// Default of retained trades with corrections.
pub const DEFAULT: Window = Window { trades: 1_000_000, time: None, every: Window::EVERY };

/// Limit of retained trades for a window given as time alone: 400 MB per instrument.
pub const MOST: u64 = 10_000_000;

/// `1h`, `500000` (trades), or both: `1h,500000`; the less of both counts. A time alone is limited
/// to [`MOST`] trades, so that memory has a bound on the busiest day.
///
/// # Errors
/// What would have been understood.
pub fn window(text: &str) -> Result<Window, String> {
    let mut window = Window { trades: MOST, time: None, every: Window::EVERY };
    for part in text.split(',').map(str::trim) {
        if let Ok(trades) = part.parse::<u64>() {
            window.trades = trades;
            continue;
        }
        let time = duration_ns(part).ok_or(
            "not a time such as 1h, a number of trades such as 500000, or both: 1h,500000",
        )?;
        window.time = Some(time);
    }
    Ok(window)
}

fn duration_ns(text: &str) -> Option<i64> {
    let span: Span = text.parse().ok()?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    i64::try_from(duration.as_nanos()).ok().filter(|ns| *ns > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_a_time_a_number_of_trades_or_both() {
        let hour = Some(3_600_000_000_000);
        assert_eq!(window("1h").unwrap(), Window { trades: MOST, time: hour, every: 1024 });
        let more = Window { trades: 2 * MOST, time: hour, every: 1024 };
        assert_eq!(window("1h,20000000").unwrap(), more);
        assert_eq!(window("7").unwrap(), Window { trades: 7, time: None, every: 1024 });
        let both = Window { trades: 500_000, time: hour.map(|ns| ns / 2), every: 1024 };
        assert_eq!(window("30m, 500000").unwrap(), both);
        for wrong in ["", "soon", "-1h", "1h,"] {
            assert!(window(wrong).unwrap_err().contains("1h,500000"), "{wrong}");
        }
    }
}
