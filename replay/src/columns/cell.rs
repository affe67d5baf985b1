//! One value of a row, however its file has it, as the kinds of numbers that trades are made of.

use std::borrow::Cow;

use barflow_operators::trade::Aggressor;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::TimeForm;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    /// None.
    Null,
    /// A whole number.
    Int(i128),
    /// A floating-point number.
    Float(f64),
    /// A 32-bit floating-point number; it means the shortest decimal that is written so.
    Single(f32),
    /// A truth.
    Bool(bool),
    /// A time, in ns since 1970.
    Instant(i64),
    /// Text, or anything that has a textual form.
    Text(Cow<'a, str>),
}

impl Cell<'_> {
    /// Its text, for messages.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Null => Cow::Borrowed("null"),
            Self::Int(value) => value.to_string().into(),
            Self::Float(value) => value.to_string().into(),
            Self::Single(value) => value.to_string().into(),
            Self::Bool(value) => value.to_string().into(),
            Self::Instant(ns) => Timestamp::from_nanosecond((*ns).into())
                .map_or_else(|_| ns.to_string(), |time| time.to_string())
                .into(),
            Self::Text(text) => Cow::Borrowed(text),
        }
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => is_nothing(text.trim()),
            _ => false,
        }
    }

    /// As a number; none if it is not a decimal number.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Float(value) => Some(*value).filter(|value| value.is_finite()),
            Self::Single(value) => decimal(&value.to_string()),
            Self::Text(text) => decimal(text.trim()),
            Self::Null | Self::Bool(_) | Self::Instant(_) => None,
        }
    }

    /// As an id; none if it is not a whole number of at least 0.
    pub fn id(&self) -> Option<u64> {
        match self {
            Self::Int(value) => u64::try_from(*value).ok(),
            Self::Float(value) => whole(*value),
            // Beyond 2^24 neighbours are lost.
            Self::Single(value) => whole((*value).into()).filter(|id| *id < 1 << 24),
            Self::Text(text) => {
                let text = text.trim();
                // What was a decimal or floating-point number is whole all the same.
                let text = match text.split_once('.') {
                    Some((whole, zeros))
                        if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') =>
                    {
                        whole
                    }
                    _ => text,
                };
                let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                is_plain.then(|| text.parse().ok()).flatten()
            }
            Self::Null | Self::Bool(_) | Self::Instant(_) => None,
        }
    }

    /// As a truth.
    pub fn truth(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            Self::Int(0) => Some(false),
            Self::Int(1) => Some(true),
            Self::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "1" | "t" => Some(true),
                "false" | "0" | "f" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// As a time in ns since 1970.
    pub fn time(&self, form: TimeForm) -> Option<i64> {
        match (self, form) {
            (Self::Instant(ns), _) => Some(*ns),
            (Self::Int(value), TimeForm::Number { unit }) => {
                value.checked_mul(unit.into()).and_then(|ns| i64::try_from(ns).ok())
            }
            // The shortest text that means the number has the digits that were meant.
            // A 32-bit float cannot: a time of today is 2 minutes away from the next one.
            (Self::Float(value), TimeForm::Number { unit }) => scaled(&value.to_string(), unit),
            (Self::Text(text), TimeForm::Number { unit }) => scaled(text.trim(), unit),
            (Self::Text(text), TimeForm::Text) => iso(text.trim()),
            _ => None,
        }
    }

    /// Whether it is a number of units that was rounded where it was written: `1.70925E+12`.
    pub fn is_rounded(&self) -> bool {
        matches!(self, Self::Text(text) if is_rounded(text.trim()))
    }

    /// As a side by the usual words and signs.
    pub fn side(&self, zero_is_unknown: bool) -> Option<Aggressor> {
        match self {
            Self::Null => Some(Aggressor::Unknown),
            Self::Int(value) => sign(*value as f64, zero_is_unknown),
            Self::Float(value) => sign(*value, zero_is_unknown),
            Self::Single(value) => sign((*value).into(), zero_is_unknown),
            Self::Text(text) => {
                let word = text.trim();
                if is_nothing(word) {
                    return Some(Aggressor::Unknown);
                }
                match word.to_ascii_lowercase().as_str() {
                    "buy" | "b" | "buyer" | "bought" => Some(Aggressor::Buyer),
                    "sell" | "s" | "seller" | "sold" => Some(Aggressor::Seller),
                    "unknown" | "u" => Some(Aggressor::Unknown),
                    number => sign(decimal(number)?, zero_is_unknown),
                }
            }
            Self::Bool(_) | Self::Instant(_) => None,
        }
    }
}

/// What exporters write where there is nothing.
pub(super) fn is_nothing(text: &str) -> bool {
    let words = ["nan", "null", "none", "na", "n/a", "<na>"];
    text.is_empty() || words.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// What is wrong with a time that [was rounded](Cell::is_rounded).
pub(super) const ROUNDED: &str = "rounded where it was written, as Excel does it: its digits end before its unit; \
                                  write times with all digits, or as text";

/// Digits of a number that is not rounded, as Excel and `%g` do it: they write six or some more, and a sign before the
/// exponent. Java and Spark write as many as the number has, without a sign: `1.70925120012E12`.
const DIGITS: usize = 10;

/// Whether a number with an exponent has fewer digits than down to its unit, and as few as those write who round.
fn is_rounded(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else { return false };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let Some(exponent) = exponent.strip_prefix('+') else { return false };
    let lacks = exponent.parse::<usize>().is_ok_and(|exponent| exponent > fraction.len());
    lacks && whole.len() + fraction.len() < DIGITS && decimal(text).is_some()
}

/// ±1, and 0 where it means that the side is not known. Other numbers are codes that differ between
/// venues.
fn sign(value: f64, zero_is_unknown: bool) -> Option<Aggressor> {
    if value == 1.0 {
        Some(Aggressor::Buyer)
    } else if value == -1.0 {
        Some(Aggressor::Seller)
    } else if value == 0.0 && zero_is_unknown {
        Some(Aggressor::Unknown)
    } else {
        None
    }
}

fn whole(value: f64) -> Option<u64> {
    // Beyond 2^53 neighbours are lost.
    let exact = (0.0..9_007_199_254_740_992.0).contains(&value) && value.fract() == 0.0;
    exact.then_some(value as u64)
}

/// "inf", "nan" and the like are numbers to some parsers and never a price.
fn decimal(text: &str) -> Option<f64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || b".-+eE".contains(&byte));
    is_plain.then(|| fast_float2::parse(text).ok()).flatten()
}

/// A decimal number of units in ns, exactly; what is finer than 1 ns is cut off.
fn scaled(text: &str, unit: i64) -> Option<i64> {
    if text.contains(['e', 'E']) {
        return scaled(&without_exponent(text)?, unit);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let mut ns = whole.parse::<i64>().ok()?.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.bytes() {
        place /= 10;
        ns = ns.checked_add(place.checked_mul(i64::from(digit - b'0'))?)?;
    }
    Some(ns)
}

/// A number written with an exponent as one without, digit by digit; none if it was rounded.
fn without_exponent(text: &str) -> Option<String> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).filter(|_| !is_rounded(text))?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let exponent = exponent.parse::<usize>().ok().filter(|exponent| *exponent <= 18)?;
    let places = whole.len() + exponent;
    Some(match digits.split_at_checked(places) {
        Some((whole, fraction)) => format!("{whole}.{fraction}"),
        None => format!("{digits:0<places$}"),
    })
}

/// ISO 8601 with `T` or a blank, with a zone or in UTC.
fn iso(text: &str) -> Option<i64> {
    // A compact date is a number to everybody else.
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let text = text.strip_suffix(" UTC").unwrap_or(text);
    if let Some((second_before, zone)) = leap_second(text) {
        return iso(&format!("{second_before}:59{zone}"))?.checked_add(1_000_000_000);
    }
    let time = text.parse::<Timestamp>().ok().or_else(|| {
        // A zone in brackets says no offset, and would be passed over; a date alone is not the time
        // of a trade, and would be taken for midnight.
        let is_whole = !text.contains('[') && text.contains(':');
        let local = text.parse::<DateTime>().ok().filter(|_| is_whole)?;
        Some(local.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })?;
    i64::try_from(time.as_nanosecond()).ok()
}

/// What stands before and after a second that is the 60th: it is that of the next minute's begin, as times count no
/// leap seconds. A fraction of it is left out, or times would run backwards after it.
fn leap_second(text: &str) -> Option<(&str, &str)> {
    let (minute, rest) = text.split_at_checked(text.rfind(":60")?)?;
    let is_minute = minute.get(minute.len().checked_sub(3)?..)?.starts_with(':');
    let zone = rest[3..].trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    is_minute.then_some((minute, zone))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> Cell<'_> {
        Cell::Text(Cow::Borrowed(text))
    }

    #[test]
    fn times_are_read_in_every_form() {
        let ns = 1_709_251_200_123_000_000;
        let ms = TimeForm::Number { unit: 1_000_000 };
        let s = TimeForm::Number { unit: 1_000_000_000 };
        for (cell, form) in [
            (text("1709251200123"), ms),
            (text("1709251200.123"), s),
            (Cell::Int(1_709_251_200_123), ms),
            (Cell::Float(1_709_251_200.123), s),
            (Cell::Float(1_709_251_200_123.0), ms),
            (text("1.709251200123e12"), ms),
            (text("1.709251200123e9"), s),
            (text("1.709251200123e+18"), TimeForm::Number { unit: 1 }),
            (Cell::Instant(ns), ms),
            (text("2024-03-01T00:00:00.123Z"), TimeForm::Text),
            (text("2024-03-01 00:00:00.123"), TimeForm::Text),
            (text("2024-03-01 00:00:00.123+00:00"), TimeForm::Text),
            (text("2024-03-01T01:00:00.123+0100"), TimeForm::Text),
            (text("2024-03-01 00:00:00.123 UTC"), TimeForm::Text),
        ] {
            assert_eq!(cell.time(form), Some(ns), "{cell:?}");
        }
        for (cell, form) in [
            (text("12:00:00"), TimeForm::Text),
            (text("2024-03-01"), TimeForm::Text),
            (text("2024-03-01T01:00:00.123[Europe/Berlin]"), TimeForm::Text),
            (text(""), ms),
            (text("-5"), ms),
            (text("1.70925E+12"), ms),
            (text("1.7092512e+9"), s),
            (text("17e+11"), ms),
            (text("2016-12-31T23:60:00Z"), TimeForm::Text),
            (text("x"), TimeForm::Text),
            (Cell::Null, ms),
        ] {
            assert_eq!(cell.time(form), None, "{cell:?}");
        }
    }

    #[test]
    fn numbers_as_java_writes_them_are_exact() {
        for (written, whole, form) in [
            ("1.70925120012E12", "1709251200120", TimeForm::Number { unit: 1_000_000 }),
            ("1.7092512E9", "1709251200", TimeForm::Number { unit: 1_000_000_000 }),
        ] {
            assert!(text(whole).time(form).is_some());
            assert_eq!(text(written).time(form), text(whole).time(form), "{written}");
        }
    }

    #[test]
    fn a_leap_second_is_the_begin_of_the_next_minute() {
        let begin = text("2017-01-01T00:00:00Z").time(TimeForm::Text);
        assert!(begin.is_some());
        for leap in [
            "2016-12-31T23:59:60Z",
            "2016-12-31T23:59:60.9Z",
            "2016-12-31 23:59:60.5",
            "2016-12-31 23:59:60 UTC",
            "2017-01-01T00:59:60.1+01:00",
        ] {
            assert_eq!(text(leap).time(TimeForm::Text), begin, "{leap}");
        }
    }

    #[test]
    fn sides_are_words_or_signs_and_codes_are_refused() {
        for (word, side) in [
            ("Buy", Some(Aggressor::Buyer)),
            ("SELL", Some(Aggressor::Seller)),
            ("b", Some(Aggressor::Buyer)),
            ("-1", Some(Aggressor::Seller)),
            ("1", Some(Aggressor::Buyer)),
            ("unknown", Some(Aggressor::Unknown)),
            ("", Some(Aggressor::Unknown)),
            ("nan", Some(Aggressor::Unknown)),
            ("2", None),
            ("0", None),
            ("ask", None),
        ] {
            assert_eq!(text(word).side(false), side, "{word}");
        }
        assert_eq!(Cell::Int(0).side(true), Some(Aggressor::Unknown));
    }

    proptest! {
        #[test]
        fn a_number_of_units_is_exact_whatever_its_unit(
            ns in 1_230_940_800_000_000_000i64..4_102_444_800_000_000_000,
        ) {
            for (unit, places) in [(1_000_000_000, 9), (1_000_000, 6), (1_000, 3)] {
                let written = format!("{}.{:0places$}", ns / unit, ns % unit);
                let read = text(&written).time(TimeForm::Number { unit });
                prop_assert_eq!(read, Some(ns));
            }
        }
    }
}
