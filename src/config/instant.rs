//! Times and days that people give: `from`, `to`, and the days of archives.

use jiff::civil::{Date, DateTime};
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::{Disambiguation, TimeZone};
use jiff::{Timestamp, Zoned};

/// A number is a time between these two: 1990 and 2200, in seconds.
const YEARS: std::ops::Range<i64> = 631_152_000..7_258_118_400;

/// Units of numbers, as parts of a second. No number is in the range of two of them.
const PER_SECOND: [i64; 4] = [1, 1_000, 1_000_000, 1_000_000_000];

const NS_PER_SECOND: i64 = 1_000_000_000;

/// A local time that happens twice, or never, is nobody's guess.
static ZONED: DateTimeParser = DateTimeParser::new().disambiguation(Disambiguation::Reject);

/// Understands a time, as ns since the epoch: a date (`2024-03-01` or `20240301`, from midnight UTC), a
/// time with an offset, with a zone in brackets, or without either (UTC), or a number since the epoch
/// whose magnitude tells its unit: s, ms, µs or ns.
///
/// # Errors
/// Everything else, in words.
pub fn instant_ns(text: &str) -> Result<i64, String> {
    let text = text.trim();
    let wanted = || {
        "not a time such as 2024-03-01, 2024-03-01T12:00:00Z, 2024-03-01T12:00[Europe/Berlin] or a \
         number of s, ms, µs or ns since 1970"
            .to_owned()
    };
    if let Ok(date) = day(text) {
        return ns(utc(date.at(0, 0, 0, 0)).ok_or_else(wanted)?).ok_or_else(wanted);
    }
    if text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(|b| b.is_ascii_digit()) {
        return by_magnitude(text);
    }
    let timestamp = if text.contains('[') {
        zoned(text)?
    } else {
        // Only with a time of day: dates were understood before.
        let local = || text.contains(':').then(|| text.parse::<DateTime>().ok()).flatten();
        let timestamp = text.parse::<Timestamp>().ok();
        timestamp.or_else(|| local().and_then(utc)).ok_or_else(wanted)?
    };
    ns(timestamp).ok_or_else(wanted)
}

/// Understands a day: `2024-03-01` or `20240301`.
///
/// # Errors
/// Everything else, in words: a time of day would be dropped.
pub fn day(text: &str) -> Result<Date, String> {
    let text = text.trim();
    let digits = |length| text.len() == length && text.is_ascii();
    let is_date = digits(10) && text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-';
    let is_compact = digits(8) && text.bytes().all(|byte| byte.is_ascii_digit());
    let date = (is_date || is_compact).then(|| text.parse().ok()).flatten();
    date.ok_or_else(|| "not a date such as 2024-03-01".to_owned())
}

fn by_magnitude(text: &str) -> Result<i64, String> {
    let number: Option<i64> = text.parse().ok();
    let understood = number.and_then(|number| {
        let fits = |per: &i64| {
            YEARS
                .contains(&number.div_euclid(*per))
                .then(|| number.checked_mul(NS_PER_SECOND / per))
        };
        PER_SECOND.iter().find_map(fits).flatten()
    });
    understood.ok_or_else(|| {
        "not a time: as s, ms, µs or ns since 1970 it is before 1990 or after 2200".to_owned()
    })
}

fn zoned(text: &str) -> Result<Timestamp, String> {
    let zoned: Result<Zoned, _> = ZONED.parse_zoned(text);
    zoned.map(|zoned| zoned.timestamp()).map_err(|error| format!("not a time in a zone: {error}"))
}

fn utc(time: DateTime) -> Option<Timestamp> {
    time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

fn ns(timestamp: Timestamp) -> Option<i64> {
    i64::try_from(timestamp.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FIVE_PAST: i64 = 1_709_251_500_000_000_000;

    #[test]
    fn a_time_is_the_same_however_it_is_written() {
        for text in [
            "2024-03-01T00:05:00Z",
            "2024-03-01T00:05:00.000Z",
            "2024-03-01 00:05:00Z",
            "2024-03-01T00:05",
            "2024-03-01 00:05:00",
            "2024-03-01T01:05:00+01:00",
            "2024-03-01T01:05:00[Europe/Berlin]",
            "2024-03-01T01:05:00+01:00[Europe/Berlin]",
            "2024-02-29T19:05[America/New_York]",
            "1709251500",
            "1709251500000",
            "1709251500000000",
            "1709251500000000000",
            " 1709251500 ",
        ] {
            assert_eq!(instant_ns(text), Ok(FIVE_PAST), "{text}");
        }
        let midnight = FIVE_PAST - 300 * NS_PER_SECOND;
        for text in ["2024-03-01", "20240301", "2024-03-01[UTC]", "2024-03-01T01[Europe/Berlin]"] {
            assert_eq!(instant_ns(text), Ok(midnight), "{text}");
        }
        assert_eq!(day("20240229"), Ok(Date::constant(2024, 2, 29)));
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        for text in [
            "",
            "0",
            "-1709251500",
            "+1709251500",
            "1709251500.5",
            "2024",
            "2024-03",
            "202403",
            "20240230",
            "202403011200",
            "20240301120000",
            "99999999999999999999",
            "today",
            "01.03.2024",
            "03/01/2024",
            "2024-03-01T01:05:00[Europe/Nowhere]",
            "2024-03-01T01:05:00+02:00[Europe/Berlin]",
            // Twice in that night, and never in that one.
            "2024-10-27T02:30:00[Europe/Berlin]",
            "2024-03-31T02:30:00[Europe/Berlin]",
        ] {
            assert!(instant_ns(text).is_err(), "{text}: {:?}", instant_ns(text));
        }
        for text in ["2024-03", "2024-03-01T12:00:00Z", "1709251500", "2024-03-01[Europe/Berlin]"] {
            assert!(day(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_magnitude_of_a_number_tells_its_unit(second in YEARS, unit in 0usize..4) {
            let number = i128::from(second) * i128::from(PER_SECOND[unit]);
            let expected = i128::from(second) * i128::from(NS_PER_SECOND);
            if let (Ok(number), Ok(expected)) = (i64::try_from(number), i64::try_from(expected)) {
                prop_assert_eq!(instant_ns(&number.to_string()), Ok(expected));
            }
        }

        #[test]
        fn a_moment_is_read_back_in_every_zone(
            second in YEARS,
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo"]),
        ) {
            let time = Timestamp::from_second(second).unwrap_or_default();
            let zoned = time.in_tz(zone).map(|zoned| zoned.to_string());
            prop_assert_eq!(zoned.map_err(|e| e.to_string()).and_then(|text| instant_ns(&text)),
                            Ok(second.saturating_mul(NS_PER_SECOND)));
        }
    }
}
