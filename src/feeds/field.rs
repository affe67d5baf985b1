//! Fields of a JSON message, read from their own text, so that numbers keep every digit and a field
//! that is wrong can be named.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use barflow_operators::trade::Aggressor;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::print::{BadFrame, BadRow, Prints};
use crate::printable::excerpt;

/// A field as it appears in the message; none if it is missing.
pub type Field<'a> = Option<&'a RawValue>;

/// Declares an object of a message by the keys that are of interest; others are passed over.
///
/// Unlike a derived struct it takes objects only: serde would also read an array, by position, and
/// an array is another protocol's message.
macro_rules! object {
    ($(#[$doc:meta])* struct $name:ident { $($field:ident: $key:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Default)]
        struct $name<'a> {
            $($field: $crate::feeds::field::Field<'a>),*
        }

        impl<'de: 'a, 'a> serde::Deserialize<'de> for $name<'a> {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                #[allow(non_camel_case_types)] // They are keys of JSON.
                enum Key { $($field,)* Other }
                struct KeyVisitor;
                impl serde::de::Visitor<'_> for KeyVisitor {
                    type Value = Key;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a key")
                    }
                    fn visit_str<E>(self, key: &str) -> Result<Key, E> {
                        Ok(match key { $($key => Key::$field,)* _ => Key::Other })
                    }
                }
                impl<'de> serde::Deserialize<'de> for Key {
                    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                        from.deserialize_identifier(KeyVisitor)
                    }
                }
                struct ObjectVisitor<'a>(std::marker::PhantomData<&'a ()>);
                impl<'de: 'a, 'a> serde::de::Visitor<'de> for ObjectVisitor<'a> {
                    type Value = $name<'a>;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> Result<$name<'a>, A::Error> {
                        let mut object = $name::default();
                        while let Some(key) = map.next_key::<Key>()? {
                            match key {
                                $(Key::$field => {
                                    if object.$field.is_some() {
                                        return Err(serde::de::Error::duplicate_field($key));
                                    }
                                    object.$field = Some(map.next_value()?);
                                })*
                                Key::Other => { map.next_value::<serde::de::IgnoredAny>()?; }
                            }
                        }
                        Ok(object)
                    }
                }
                from.deserialize_map(ObjectVisitor(std::marker::PhantomData))
            }
        }
    };
}
pub(in crate::feeds) use object;

/// How much of a wrong value is shown.
const SHOWN: usize = 80;

/// Names what is wrong with a field.
#[cold]
pub fn wrong(name: &'static str, field: Field<'_>, reason: &str) -> BadRow {
    let value = excerpt(field.map_or("", RawValue::get), SHOWN).into_owned();
    BadRow { slot: None, id: None, field: name, value, reason: reason.to_owned() }
}

/// Checks that a row of an answer is of the instrument that was asked about, where the row names one.
///
/// # Errors
/// When it names another.
pub fn of_symbol(name: &'static str, field: Field<'_>, asked: &str) -> Result<(), BadRow> {
    match field {
        Some(_) if text(name, field)? != asked => {
            Err(wrong(name, field, &format!("is not the instrument that was asked about, {asked}")))
        }
        _ => Ok(()),
    }
}

/// A text.
///
/// # Errors
/// When the field is missing or no text.
pub fn text<'a>(name: &'static str, field: Field<'a>) -> Result<Cow<'a, str>, BadRow> {
    let raw = field.map(RawValue::get).ok_or_else(|| wrong(name, field, "is missing"))?;
    let inner = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inner {
        Some(inner) if !inner.contains('\\') => Ok(Cow::Borrowed(inner)),
        Some(_) => serde_json::from_str(raw)
            .map(Cow::Owned)
            .map_err(|_| wrong(name, field, "is not a string")),
        None => Err(wrong(name, field, "is not a string")),
    }
}

/// A decimal number written as a text, as most venues do.
///
/// # Errors
/// When the field is missing, no text, or its text no decimal number.
pub fn quoted_decimal(name: &'static str, field: Field<'_>) -> Result<f64, BadRow> {
    let text = text(name, field)?;
    decimal(text.as_bytes()).ok_or_else(|| wrong(name, field, "is not a decimal number"))
}

/// A decimal number written as a number.
///
/// # Errors
/// When the field is missing or no number.
pub fn bare_decimal(name: &'static str, field: Field<'_>) -> Result<f64, BadRow> {
    let raw = field.map(RawValue::get).ok_or_else(|| wrong(name, field, "is missing"))?;
    decimal(raw.as_bytes()).ok_or_else(|| wrong(name, field, "is not a number"))
}

/// A whole number of at least 0 written as a text.
///
/// # Errors
/// When the field is missing, no text, or its text no such number.
pub fn quoted_integer(name: &'static str, field: Field<'_>) -> Result<u64, BadRow> {
    let text = text(name, field)?;
    integer(text.as_bytes())
        .ok_or_else(|| wrong(name, field, "is not a whole number of at least 0"))
}

/// A whole number of at least 0 written as a number.
///
/// # Errors
/// When the field is missing or no such number.
pub fn bare_integer(name: &'static str, field: Field<'_>) -> Result<u64, BadRow> {
    let raw = field.map(RawValue::get).ok_or_else(|| wrong(name, field, "is missing"))?;
    integer(raw.as_bytes()).ok_or_else(|| wrong(name, field, "is not a whole number of at least 0"))
}

/// True or false.
///
/// # Errors
/// When the field is missing or neither.
pub fn boolean(name: &'static str, field: Field<'_>) -> Result<bool, BadRow> {
    match field.map(RawValue::get) {
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(_) => Err(wrong(name, field, "is neither true nor false")),
        None => Err(wrong(name, field, "is missing")),
    }
}

/// Milliseconds since the Unix epoch as ns.
///
/// # Errors
/// When that is beyond the range of a time.
pub fn milliseconds(name: &'static str, field: Field<'_>, ms: u64) -> Result<i64, BadRow> {
    let ns = i64::try_from(ms).ok().and_then(|ms| ms.checked_mul(1_000_000));
    ns.ok_or_else(|| wrong(name, field, "is not a time in milliseconds"))
}

/// An RFC 3339 time as ns since the Unix epoch; digits beyond ns are cut.
///
/// # Errors
/// When the field is missing, no text, or no time.
pub fn rfc3339(name: &'static str, field: Field<'_>) -> Result<i64, BadRow> {
    let text = text(name, field)?;
    utc_time(text.as_bytes())
        .or_else(|| {
            let time: jiff::Timestamp = text.parse().ok()?;
            i64::try_from(time.as_nanosecond()).ok()
        })
        .ok_or_else(|| wrong(name, field, "is not an RFC 3339 time"))
}

/// The side of the taker; `buy` and `sell` are the venue's two words.
///
/// # Errors
/// When the field is missing or says something else.
pub fn taker(
    name: &'static str,
    field: Field<'_>,
    buy: &str,
    sell: &str,
) -> Result<Aggressor, BadRow> {
    match text(name, field)? {
        side if side == buy => Ok(Aggressor::Buyer),
        side if side == sell => Ok(Aggressor::Seller),
        _ => Err(wrong(name, field, &format!("is neither {buy} nor {sell}"))),
    }
}

/// A decimal number; `inf`, `nan` and the like are numbers to some parsers and never a price.
#[inline]
pub fn decimal(digits: &[u8]) -> Option<f64> {
    let valid = |byte: &u8| byte.is_ascii_digit() || b".-eE+".contains(byte);
    let first = digits.first()?;
    if *first == b'+' || !digits.iter().all(valid) {
        return None;
    }
    fast_float2::parse(digits).ok()
}

/// A whole number of at least 0.
#[inline]
pub fn integer(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    let mut value: u64 = 0;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

/// Seconds since the Unix epoch with decimals, such as `1762795433.9717445`, as ns; digits beyond
/// ns are cut.
///
/// # Errors
/// When the field is missing or no such number.
pub fn seconds(name: &'static str, field: Field<'_>) -> Result<i64, BadRow> {
    let raw = field.map(RawValue::get).ok_or_else(|| wrong(name, field, "is missing"))?;
    let (whole, fraction) = raw.split_once('.').unwrap_or((raw, "0"));
    // As bytes: if a text is in its place, the ninth may be in the middle of a character.
    let fraction = &fraction.as_bytes()[..fraction.len().min(9)];
    let ns = || {
        let ns = integer(fraction)?.checked_mul(10u64.pow(9 - fraction.len() as u32))?;
        let whole = integer(whole.as_bytes())?.checked_mul(1_000_000_000)?;
        i64::try_from(whole.checked_add(ns)?).ok()
    };
    ns().ok_or_else(|| wrong(name, field, "is not a number of seconds"))
}

/// Hands the objects of an array on, one by one, without a place to keep them.
///
/// # Errors
/// When the field is missing or no array of such objects, or the first error of `take`.
pub fn each<'a, T: Deserialize<'a>>(
    name: &'static str,
    field: Field<'a>,
    take: impl FnMut(T) -> Result<(), BadFrame>,
) -> Result<(), BadFrame> {
    let raw = field
        .map(RawValue::get)
        .ok_or_else(|| BadFrame::new(format!("field \"{name}\" is missing")))?;
    let mut refused = None;
    let each = Each { take, refused: &mut refused, of: PhantomData };
    let read = serde_json::Deserializer::from_str(raw).deserialize_seq(each);
    read.map_err(|error| {
        refused.unwrap_or_else(|| {
            BadFrame::new(format!("field \"{name}\" is not a valid list: {error}"))
        })
    })
}

struct Each<'r, T, F> {
    take: F,
    refused: &'r mut Option<BadFrame>,
    of: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>, F: FnMut(T) -> Result<(), BadFrame>> Visitor<'de>
    for Each<'_, T, F>
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some(item) = seq.next_element()? {
            if let Err(bad) = (self.take)(item) {
                *self.refused = Some(bad);
                return Err(de::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

/// Reads the rows of an array into prints, those that are wrong among the bad ones. If it is no array
/// of rows, none of them counts.
///
/// # Errors
/// When the field is missing or no array of objects.
pub fn rows<'a, T: Deserialize<'a>>(
    name: &'static str,
    field: Field<'a>,
    prints: &mut Prints,
    read: impl Fn(&T, &mut Prints) -> Result<(), BadRow>,
) -> Result<(), BadFrame> {
    let before = (prints.rows.len(), prints.bad.len(), prints.foreign);
    let all = each(name, field, |row: T| {
        if let Err(bad) = read(&row, prints) {
            prints.bad.push(bad);
        }
        Ok(())
    });
    if all.is_err() {
        prints.rows.truncate(before.0);
        prints.bad.truncate(before.1);
        prints.foreign = before.2;
    }
    all
}

/// The objects of an array.
///
/// # Errors
/// When the field is missing or no array of such objects.
pub fn list<'a, T: Deserialize<'a>>(
    name: &'static str,
    field: Field<'a>,
) -> Result<Vec<T>, BadFrame> {
    let raw = field
        .map(RawValue::get)
        .ok_or_else(|| BadFrame::new(format!("field \"{name}\" is missing")))?;
    serde_json::from_str(raw)
        .map_err(|error| BadFrame::new(format!("field \"{name}\" is not a valid list: {error}")))
}

/// A message that is not JSON of the expected kind, in serde's words (they name line and column).
pub fn malformed(error: &serde_json::Error) -> BadFrame {
    BadFrame::new(format!("not a message of this venue: {error}"))
}

/// `2026-08-09T21:05:42.514318Z`, with up to nine decimals, as ns; none for any other form.
#[inline]
pub fn utc_time(text: &[u8]) -> Option<i64> {
    let (date, rest) = text.split_at_checked(19)?;
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if marks.iter().any(|(at, mark)| date[*at] != *mark) {
        return None;
    }
    let part = |from: usize, to: usize| integer(&date[from..to]).map(|n| n as i64);
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
    if !(1..=12).contains(&month)
        || !(1..=days_in_month(year, month)).contains(&day)
        || hour > 23
        || minute > 59
        || second > 59
    {
        return None;
    }
    let rest = rest.strip_suffix(b"Z")?;
    let fraction = match rest.split_first() {
        None => 0,
        Some((b'.', digits)) if (1..=9).contains(&digits.len()) => {
            integer(digits)? as i64 * 10i64.pow(9 - digits.len() as u32)
        }
        Some(_) => return None,
    };
    let seconds = days_since_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    seconds.checked_mul(1_000_000_000)?.checked_add(fraction)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar, counting years from March so that the leap day
/// is a year's last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leaps + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_plain_numbers_are_numbers() {
        assert_eq!(decimal(b"0.1"), Some(0.1));
        assert_eq!(decimal(b"1e-8"), Some(1e-8));
        for text in ["", "inf", "nan", "-inf", "0x1", "+1", " 1", "1 ", "1,5", "."] {
            assert_eq!(decimal(text.as_bytes()), None, "{text}");
        }
        assert_eq!(integer(b"18446744073709551615"), Some(u64::MAX));
        for text in ["", "18446744073709551616", "-1", "1.0", "000000000000000000001"] {
            assert_eq!(integer(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_wrong_field_is_named_with_its_value() {
        let raw: &RawValue = serde_json::from_str("12").unwrap();
        let error = quoted_decimal("price", Some(raw)).unwrap_err();
        assert_eq!(error.to_string(), "field \"price\" is not a string: \"12\"");
        assert_eq!(bare_integer("id", None).unwrap_err().reason, "is missing");
        let raw: &RawValue = serde_json::from_str(r#""1.ééééé""#).unwrap();
        assert_eq!(seconds("time", Some(raw)).unwrap_err().reason, "is not a number of seconds");
        let raw: &RawValue = serde_json::from_str(r#""BTC\/USD""#).unwrap();
        assert_eq!(text("symbol", Some(raw)).unwrap(), "BTC/USD");
    }

    #[test]
    fn of_what_is_no_list_of_rows_nothing_counts() {
        object! { struct Row { price: "p" } }
        let mut prints = Prints { foreign: 1, ..Prints::default() };
        let mut take = |text: &str| {
            let raw: &RawValue = serde_json::from_str(text).unwrap();
            rows("data", Some(raw), &mut prints, |row: &Row<'_>, prints| {
                prints.foreign += 1;
                quoted_decimal("p", row.price).map(|_| ())
            })
            .map(|()| (prints.foreign, prints.bad.len()))
        };
        assert_eq!(take(r#"[{"p":"1"},{"p":2}]"#), Ok((3, 1)));
        for text in [r#"[{"p":2},[7]]"#, r#"{"p":"1"}"#, "7"] {
            let error = take(text).unwrap_err().to_string();
            assert!(error.contains("\"data\" is not a valid list"), "{error}");
        }
        assert_eq!(take("[]"), Ok((3, 1)));
        assert!(rows("data", None, &mut prints, |_: &Row<'_>, _| Ok(())).is_err());
    }

    proptest! {
        #[test]
        fn times_are_those_of_the_calendar(ns in -4_000_000_000_000_000_000i64..8_000_000_000_000_000_000) {
            let time = jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap();
            let text = format!("{time:.9}");
            prop_assert_eq!(utc_time(text.as_bytes()), Some(ns));
            let cut = format!("{time:.6}");
            prop_assert_eq!(utc_time(cut.as_bytes()), Some(ns.div_euclid(1_000) * 1_000));
        }

        #[test]
        fn any_bytes_are_a_time_for_both_or_neither(text in "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z") {
            let ours = utc_time(text.as_bytes());
            let theirs: Option<jiff::Timestamp> = text.parse().ok();
            if let Some(ours) = ours {
                prop_assert_eq!(Some(i128::from(ours)), theirs.map(|t| t.as_nanosecond()));
            }
        }
    }
}
