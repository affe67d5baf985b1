//! Which faults the archive server injects: chosen by a seed, the file, and which request for it this is,
//! so that the same client meets the same faults whatever else happens.

use std::str::FromStr;
use std::time::Duration;

use crate::fault_text::{FaultsError, parts};

/// Names of the faults, as in `--faults` and in the summary.
pub const KINDS: [&str; 9] =
    ["cut", "stall", "corrupt", "429", "5xx", "redirect", "no-range", "missing", "wrong-sum"];

/// One of [`KINDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Each is its name; the table is docs/fetch.md.
pub enum Kind {
    Cut,
    Stall,
    Corrupt,
    TooMany,
    Server,
    Redirect,
    NoRange,
    Missing,
    WrongSum,
}

/// Which faults, how often. Probabilities are per request, but for the last two, which are per file and
/// do not go away.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// The connection ends within the file.
    pub cut: f64,
    /// Nothing comes for so long, somewhere within the file.
    pub stall: Option<(f64, Duration)>,
    /// A bit of the file is another.
    pub corrupt: f64,
    /// Too many requests; come back after so many seconds.
    pub too_many: Option<(f64, u64)>,
    /// 503.
    pub server: f64,
    /// The file is elsewhere (it is not).
    pub redirect: f64,
    /// A range is not heeded.
    pub no_range: f64,
    /// The file is listed but missing.
    pub missing: f64,
    /// The published checksum is another file's.
    pub wrong_sum: f64,
    /// Bytes a second that a connection gets.
    pub rate: Option<u64>,
}

impl FromStr for Faults {
    type Err = FaultsError;

    /// `cut=0.2,stall=0.05:2s,429=0.1:1s,5xx=0.05,rate=1000000`.
    fn from_str(text: &str) -> Result<Self, FaultsError> {
        let mut faults = Self::default();
        for part in parts(text) {
            let part = part?;
            match part.name {
                "cut" => faults.cut = part.chance()?,
                "stall" => faults.stall = Some(part.chance_of_pause(None)?),
                "corrupt" => faults.corrupt = part.chance()?,
                "429" => {
                    let (chance, after) = part.chance_of_pause(Some(Duration::ZERO))?;
                    faults.too_many = Some((chance, after.as_secs()));
                }
                "5xx" => faults.server = part.chance()?,
                "redirect" => faults.redirect = part.chance()?,
                "no-range" => faults.no_range = part.chance()?,
                "missing" => faults.missing = part.chance()?,
                "wrong-sum" => faults.wrong_sum = part.chance()?,
                "rate" => {
                    let rate = part.value.parse().ok().filter(|rate| *rate > 0);
                    let wrong = || part.wrong("must be bytes per second, such as 1000000");
                    faults.rate = Some(rate.ok_or_else(wrong)?);
                }
                _ => {
                    let names = KINDS.join(", ");
                    return Err(part.wrong(&format!("is not one of {names}, rate")));
                }
            }
        }
        Ok(faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_names_are_understood_and_others_refused() {
        let text = "cut=0.1,stall=0.2:300ms,corrupt=0.3,429=0.4:2s,5xx=0.5,redirect=0.6,\
                    no-range=0.7,missing=0.8,wrong-sum=0.9,rate=5";
        let faults: Faults = text.parse().unwrap();
        let expected = Faults {
            cut: 0.1,
            stall: Some((0.2, Duration::from_millis(300))),
            corrupt: 0.3,
            too_many: Some((0.4, 2)),
            server: 0.5,
            redirect: 0.6,
            no_range: 0.7,
            missing: 0.8,
            wrong_sum: 0.9,
            rate: Some(5),
        };
        assert_eq!(faults, expected);
        for (text, part) in [
            ("cut", "name=value"),
            ("cut=2", "between 0 and 1"),
            ("stall=0.1", "probability:pause"),
            ("rate=0", "bytes per second"),
            ("drop=0.1", "not one of cut"),
        ] {
            let error = text.parse::<Faults>().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
