//! UTC days of event times.

use jiff::civil::{Date, date};

const DAY_NS: i64 = 86_400_000_000_000;
const EPOCH: Date = date(1970, 1, 1);

/// The UTC day of a time in ns since the epoch.
pub fn day_of(time: i64) -> Date {
    let days = time.div_euclid(DAY_NS);
    // Every i64 of ns lies within 300 years of 1970.
    EPOCH.checked_add(jiff::Span::new().days(days)).unwrap_or(EPOCH)
}

/// When a day begins, ns since the epoch.
pub fn start_of(day: Date) -> i64 {
    let days = day.since(EPOCH).map_or(0, |span| i64::from(span.get_days()));
    days.saturating_mul(DAY_NS)
}

/// All days from `first` to `last`.
pub fn each(first: Date, last: Date) -> impl Iterator<Item = Date> {
    std::iter::successors(Some(first), |day| day.tomorrow().ok())
        .take_while(move |day| *day <= last)
}

/// How many days there are from `first` to `last`.
pub fn count(first: Date, last: Date) -> usize {
    let between = last.since(first).map_or(-1, |span| i64::from(span.get_days()));
    usize::try_from(between + 1).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_and_not_walked() {
        let day = date(2024, 2, 28);
        for (last, expected) in [(date(2024, 2, 27), 0), (day, 1), (date(2025, 3, 1), 368)] {
            assert_eq!((count(day, last), each(day, last).count()), (expected, expected));
        }
        assert_eq!(count(date(1, 1, 1), date(9999, 12, 31)), 3_652_059);
        assert_eq!(count(date(-9999, 1, 1), date(9999, 12, 31)), 7_304_484);
    }

    #[test]
    fn days_begin_at_midnight_utc() {
        let day = date(2024, 2, 29);
        let start = start_of(day);
        assert_eq!(start, 1_709_164_800_000_000_000);
        assert_eq!((day_of(start), day_of(start - 1)), (day, date(2024, 2, 28)));
        assert_eq!(each(day, date(2024, 3, 2)).count(), 3);
    }
}
