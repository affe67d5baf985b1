//! How many bad rows a run accepts.

use std::fmt;
use std::str::FromStr;

/// Before so many bad rows nothing is said: a small file is read to its end.
pub(crate) const FEWEST: u64 = 10_000;

/// The largest share of bad rows that a run accepts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaxBad(f64);

impl Default for MaxBad {
    fn default() -> Self {
        Self(0.5)
    }
}

impl FromStr for MaxBad {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        match percent {
            Some(percent) if (0.0..=100.0).contains(&percent) => Ok(Self(percent / 100.0)),
            _ => Err("not a percentage between 0% and 100%".to_owned()),
        }
    }
}

impl fmt::Display for MaxBad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0 * 100.0)
    }
}

impl MaxBad {
    /// All rows may be bad.
    pub fn all() -> Self {
        Self(1.0)
    }

    /// Whether so many bad rows beside so many others are too many.
    pub fn is_exceeded(self, bad: u64, others: u64) -> bool {
        bad >= FEWEST && bad as f64 > self.0 * (bad + others) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_read_and_shown() {
        for (text, shown) in [("50%", "50%"), ("0.5%", "0.5%"), ("100 %", "100%"), ("0%", "0%")] {
            assert_eq!(text.parse::<MaxBad>().unwrap().to_string(), shown);
        }
        for wrong in ["50", "", "%", "101%", "-1%", "NaN%", "half"] {
            assert!(wrong.parse::<MaxBad>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn most_of_many_rows_is_too_much_and_all_of_a_few_is_not() {
        let most = MaxBad::default();
        assert!(!most.is_exceeded(FEWEST - 1, 0));
        assert!(most.is_exceeded(FEWEST, FEWEST - 1));
        assert!(!most.is_exceeded(FEWEST, FEWEST));
        assert!(!MaxBad(1.0).is_exceeded(u64::MAX / 2, 0));
        assert!(MaxBad(0.0).is_exceeded(FEWEST, 1 << 40));
    }
}
