//! UTC days as numbers.

/// Ns of a day.
pub const DAY_NS: i64 = 86_400_000_000_000;

/// Ns of an hour.
pub(super) const HOUR_NS: i64 = DAY_NS / 24;

/// The UTC day of an event time, in days since 1970-01-01.
pub fn day_of(time: i64) -> i32 {
    // Any i64 of ns is within ±106,752 days.
    time.div_euclid(DAY_NS) as i32
}

/// First ns of a day; of one that begins before or after all times, the first or last of them.
pub(super) fn start_of(day: i32) -> i64 {
    i64::from(day).saturating_mul(DAY_NS)
}

/// A length of time with one decimal, in the unit in which people would say it.
pub(super) fn length(ns: i64) -> String {
    let seconds = ns as f64 / 1e9;
    match seconds.abs() {
        ..1e-6 => format!("{ns} ns"),
        1e-6..1e-3 => format!("{:.1} µs", seconds * 1e6),
        1e-3..1.0 => format!("{:.1} ms", seconds * 1e3),
        1.0..120.0 => format!("{seconds:.1} s"),
        120.0..7_200.0 => format!("{:.1} min", seconds / 60.0),
        7_200.0..172_800.0 => format!("{:.1} h", seconds / 3_600.0),
        _ => format!("{:.1} days", seconds / 86_400.0),
    }
}

/// A time as `2024-03-01T12:00:00.123Z`; finer than ms only where it is.
pub(super) fn utc(time: i64) -> String {
    // Days to a civil date: H. Hinnant, *chrono-compatible low-level date algorithms*.
    let from_march_0000 = i64::from(day_of(time)) + 719_468;
    let era = from_march_0000.div_euclid(146_097);
    let of_era = from_march_0000.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + next_year;
    let ns = time.rem_euclid(DAY_NS);
    let second = ns / 1_000_000_000;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = match ns % 1_000_000_000 {
        fraction if fraction % 1_000_000 == 0 => format!("{:03}", fraction / 1_000_000),
        fraction if fraction % 1_000 == 0 => format!("{:06}", fraction / 1_000),
        fraction => format!("{fraction:09}"),
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_has_a_start() {
        assert_eq!(start_of(day_of(i64::MIN)), i64::MIN);
        assert_eq!(start_of(day_of(i64::MAX)), i64::MAX - i64::MAX % DAY_NS);
        assert_eq!((start_of(i32::MIN), start_of(i32::MAX)), (i64::MIN, i64::MAX));
    }

    #[test]
    fn lengths_and_times_are_for_people() {
        let said =
            [5, 2_500, 30_000_000, 94_000_000_000, 18_000_000_000_000, 2_419_201_300_000_000]
                .map(length);
        assert_eq!(said, ["5 ns", "2.5 µs", "30.0 ms", "94.0 s", "5.0 h", "28.0 days"]);
        assert_eq!(utc(1_709_948_124_030_000_000), "2024-03-09T01:35:24.030Z");
        assert_eq!(utc(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(utc(-1), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(utc(951_782_400_000_000_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(utc(1_704_067_199_999_999_000), "2023-12-31T23:59:59.999999Z");
    }
}
