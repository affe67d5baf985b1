//! When a live job begins the next part of its Parquet files.

use std::str::FromStr;

use barflow_operators::bar::Bar;
use serde::{Deserialize, Serialize};

use super::limits::bytes;

/// Where one part ends and the next begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Roll {
    /// At each hour of event time (UTC).
    Hour,
    /// At each day of event time (UTC).
    Day,
    /// When so many bytes of bars have gathered, before they are compressed.
    Bytes(u64),
}

impl Roll {
    /// The period that a bar belongs to; the same for all bars where size decides.
    pub fn period(self, bar: &Bar) -> i64 {
        match self.length() {
            Some(length) => bar.close_time.div_euclid(length),
            None => 0,
        }
    }

    /// Whether so many bytes are enough.
    pub fn is_full(self, bytes: u64) -> bool {
        matches!(self, Self::Bytes(most) if bytes >= most)
    }

    /// A period as part of a file's name: `2024-03-01T13`, `2024-03-01`, or nothing.
    pub fn name(self, period: i64) -> Option<String> {
        let start = self.length()?.checked_mul(period)?;
        let time = jiff::Timestamp::from_nanosecond(start.into()).ok()?;
        let form = if self == Self::Hour { "%Y-%m-%dT%H" } else { "%Y-%m-%d" };
        Some(time.strftime(form).to_string())
    }

    fn length(self) -> Option<i64> {
        match self {
            Self::Hour => Some(3_600_000_000_000),
            Self::Day => Some(86_400_000_000_000),
            Self::Bytes(_) => None,
        }
    }
}

impl FromStr for Roll {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "must be hour, day or a size such as 64MB".to_owned();
        match text {
            "hour" => return Ok(Self::Hour),
            "day" => return Ok(Self::Day),
            _ => {}
        }
        // A number alone is easily meant for something else.
        let has_unit = text.ends_with(|c: char| c.is_ascii_alphabetic());
        let size = bytes(text).filter(|size| has_unit && *size > 0);
        size.map(Self::Bytes).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_named_after_their_period() {
        assert_eq!(Roll::Hour.name(475_092).unwrap(), "2024-03-13T12");
        assert_eq!(Roll::Day.name(19_795).unwrap(), "2024-03-13");
        assert_eq!(Roll::Day.name(-1).unwrap(), "1969-12-31");
        assert_eq!(Roll::Bytes(1).name(0), None);
    }

    #[test]
    fn sizes_have_a_unit() {
        assert_eq!("64MB".parse(), Ok(Roll::Bytes(64 << 20)));
        assert_eq!("1 k".parse(), Ok(Roll::Bytes(1 << 10)));
        for wrong in ["", "64", "0MB", "MB", "week", "99999999999999999999GB"] {
            assert!(wrong.parse::<Roll>().is_err(), "{wrong}");
        }
    }
}
