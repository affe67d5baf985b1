//! What is traded where: `venue:market:SYMBOL`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::excerpt::excerpt;

/// An instrument, for example `binance:spot:BTCUSDT`.
///
/// Cheap to clone; ordered and hashed by its text. `market` is the venue's own division (for
/// Binance `spot`, `um` for USD-margined and `cm` for coin-margined futures).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstrumentId(Arc<str>);

/// Why a text is not an instrument.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstrumentError {
    /// Not three parts, or parts with other letters.
    #[error(
        "instrument \"{}\" is not of the form venue:market:SYMBOL, such as binance:spot:BTCUSDT",
        excerpt(_0)
    )]
    Form(String),
    /// A part is longer than [`LONGEST_PART`].
    #[error(
        "an instrument has a part of {bytes} bytes, and no part may have more than {LONGEST_PART} bytes"
    )]
    Long {
        /// How long it is.
        bytes: usize,
    },
}

/// Bytes of the longest part of an instrument, and so of a symbol: every bar repeats it.
pub const LONGEST_PART: usize = 256;

impl InstrumentId {
    /// The venue, for example `binance`.
    pub fn venue(&self) -> &str {
        self.part(0)
    }

    /// The venue's market, for example `spot`.
    pub fn market(&self) -> &str {
        self.part(1)
    }

    /// The symbol as the venue writes it, for example `BTCUSDT`.
    pub fn symbol(&self) -> &str {
        self.part(2)
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A hash that is the same on every computer and in every version: where an instrument's
    /// trades are routed.
    pub fn shard_hash(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(self.0.as_bytes())
    }

    fn part(&self, index: usize) -> &str {
        // `from_str` is the only door and lets exactly three parts through.
        self.0.split(':').nth(index).unwrap_or_default()
    }
}

impl FromStr for InstrumentId {
    type Err = InstrumentError;

    fn from_str(text: &str) -> Result<Self, InstrumentError> {
        // Parts become names of folders, files and topics: none may be hidden, point elsewhere or pass
        // for an option.
        let valid = |part: &str| {
            !part.is_empty()
                && !part.starts_with(['.', '-'])
                && part.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
        };
        let parts: Vec<&str> = text.split(':').collect();
        if let Some(bytes) = parts.iter().map(|part| part.len()).find(|bytes| *bytes > LONGEST_PART)
        {
            return Err(InstrumentError::Long { bytes });
        }
        if parts.len() == 3 && parts.iter().all(|part| valid(part)) {
            Ok(Self(text.into()))
        } else {
            Err(InstrumentError::Form(text.to_owned()))
        }
    }
}

impl fmt::Display for InstrumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for InstrumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for InstrumentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for InstrumentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_parts_are_an_instrument_and_anything_else_is_not() {
        let id: InstrumentId = "binance:spot:BTCUSDT".parse().unwrap();
        assert_eq!((id.venue(), id.market(), id.symbol()), ("binance", "spot", "BTCUSDT"));
        for wrong in ["", "BTCUSDT", "binance:BTCUSDT", "a:b:c:d", "a::c", "a:b:c d", "a/b:c:d"] {
            assert_eq!(wrong.parse::<InstrumentId>(), Err(InstrumentError::Form(wrong.into())));
        }
        for odd in [".", "..", "...", ".hidden", "-rf", "--"] {
            for text in [format!("{odd}:b:c"), format!("a:{odd}:c"), format!("a:b:{odd}")] {
                assert_eq!(text.parse::<InstrumentId>(), Err(InstrumentError::Form(text)));
            }
        }
        let longest = "X".repeat(LONGEST_PART);
        assert!(format!("a:b:{longest}").parse::<InstrumentId>().is_ok());
        for text in [format!("a:b:{longest}X"), format!("{longest}X:b:C"), format!("{longest}X")] {
            let long = InstrumentError::Long { bytes: LONGEST_PART + 1 };
            assert_eq!(text.parse::<InstrumentId>(), Err(long));
        }
        let colons = InstrumentError::Form(":".repeat(100_000)).to_string();
        assert!(colons.len() < 1000 && colons.contains("(100000 bytes)"), "{colons}");
        for fine in ["a.b:c-d:E.F-G", "bybit:linear:BTC-PERP", "x:y:BRK.B"] {
            assert_eq!(fine.parse::<InstrumentId>().map(|id| id.to_string()), Ok(fine.into()));
        }
    }

    #[test]
    fn the_shard_hash_is_pinned_because_checkpoints_depend_on_it() {
        let id: InstrumentId = "binance:spot:BTCUSDT".parse().unwrap();
        assert_eq!(id.shard_hash(), xxhash_rust::xxh3::xxh3_64(b"binance:spot:BTCUSDT"));
    }
}
