//! Times as recorders write them, in integers: an `f64` holds a time of today to 0.2 µs only.

use super::error::excerpt;

/// Decimal seconds ("1617566591.326123") in ns.
pub(super) fn seconds(text: &[u8]) -> Result<i64, String> {
    let (whole, fraction) = match memchr::memchr(b'.', text) {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, &b"0"[..]),
    };
    let wrong = || format!("{} is not a time in seconds", excerpt(text));
    if whole.is_empty() || fraction.is_empty() {
        return Err(wrong());
    }
    let (kept, rest) = fraction.split_at(fraction.len().min(9));
    if rest.iter().any(|digit| *digit != b'0') {
        return Err(format!("the time {} is finer than a nanosecond", excerpt(text)));
    }
    let whole = digits(whole).ok_or_else(wrong)?;
    let mut nanos = digits(kept).ok_or_else(wrong)?;
    for _ in kept.len()..9 {
        nanos *= 10;
    }
    whole
        .checked_mul(1_000_000_000)
        .and_then(|ns| ns.checked_add(nanos))
        .ok_or_else(|| format!("the time {} is beyond the year 2262", excerpt(text)))
}

/// A count of ms, µs or ns, recognised by its number of digits (true from 2001 to 2286), in ns.
pub(super) fn count(text: &[u8]) -> Result<i64, String> {
    let unit = match text.len() {
        13 => 1_000_000,
        16 => 1_000,
        19 => 1,
        _ => return Err(format!("{} is not a time with 13, 16 or 19 digits", excerpt(text))),
    };
    digits(text)
        .and_then(|time| time.checked_mul(unit))
        .ok_or_else(|| format!("{} is not a time with 13, 16 or 19 digits", excerpt(text)))
}

/// A number of nothing but digits.
pub(super) fn digits(text: &[u8]) -> Option<i64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0i64, |sum, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        sum.checked_mul(10)?.checked_add(i64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_exact_to_the_nanosecond() {
        for (text, ns) in [
            ("1617566591.326123", 1_617_566_591_326_123_000),
            ("1633998512.0633569", 1_633_998_512_063_356_900),
            ("1617647648.0", 1_617_647_648_000_000_000),
            ("1617647648", 1_617_647_648_000_000_000),
            ("1.123456789000", 1_123_456_789),
        ] {
            assert_eq!(seconds(text.as_bytes()), Ok(ns), "{text}");
        }
        for text in ["", ".5", "5.", "1.2.3", "1e9", "-1.0", "1.1234567891", "99999999999.0"] {
            assert!(seconds(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn the_unit_of_a_count_is_told_by_its_digits() {
        assert_eq!(count(b"1680652700423"), Ok(1_680_652_700_423_000_000));
        assert_eq!(count(b"1680652700423575"), Ok(1_680_652_700_423_575_000));
        assert_eq!(count(b"1723161256172216566"), Ok(1_723_161_256_172_216_566));
        assert!(count(b"1680652700").is_err());
        assert!(count(b"168065270042x").is_err());
        assert!(count(b"9999999999999999999").is_err());
    }
}
