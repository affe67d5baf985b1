//! Two archives of one day: which of them a store keeps, whatever their order.

use std::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::trades_parquet::facts::Facts;

/// The trades that an archive has of a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Name of the archive.
    pub archive: String,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// How many trades.
    pub rows: u64,
    /// Digest of the trades, in hexadecimal; files of earlier builds have none.
    pub digest: Option<String>,
}

/// Two archives that give a day other trades.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disagreement {
    /// Which day.
    pub day: Date,
    /// The archive that is used.
    pub used: Claim,
    /// The other.
    pub other: Claim,
}

impl Claim {
    /// What the file of a day says; none if it does not name its archive.
    pub fn of_file(facts: &Facts) -> Option<Self> {
        let source = facts.sources.first()?;
        Some(Self {
            archive: source.name.clone(),
            sha256: source.sha256.clone(),
            rows: facts.rows,
            digest: facts.digest.map(hex),
        })
    }

    /// Whether this one is used rather than the other: more trades, then the later name (that of a
    /// month, which is published last, follows those of its days), then the greater checksum.
    pub fn is_before(&self, other: &Self) -> bool {
        let rank = |claim: &Self| (claim.rows, claim.archive.clone(), claim.sha256.clone());
        rank(self) > rank(other)
    }

    /// Whether both have the same trades, as far as is known.
    pub fn agrees(&self, other: &Self) -> bool {
        let digests = self.digest.as_ref().zip(other.digest.as_ref());
        self.rows == other.rows && digests.is_none_or(|(a, b)| a == b)
    }
}

/// A digest as it is written down.
pub fn hex(digest: u64) -> String {
    format!("{digest:016x}")
}

impl Disagreement {
    /// Of two claims to a day; none if they agree or are of the same archive.
    pub fn of(day: Date, used: &Claim, other: &Claim) -> Option<Self> {
        let differ = used.sha256 != other.sha256 && !used.agrees(other);
        differ.then(|| Self { day, used: used.clone(), other: other.clone() })
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { day, used, other } = self;
        let same_name = used.archive == other.archive;
        let name = |claim: &Claim| match same_name {
            true => format!("{} (SHA-256 {:.8}…)", claim.archive, claim.sha256),
            false => claim.archive.clone(),
        };
        let (used_name, other_name) = (name(used), name(other));
        write!(f, "the archives {used_name} and {other_name} disagree about {day}: ")?;
        match used.rows == other.rows {
            true => write!(f, "{} trades each, but not the same", used.rows)?,
            false => write!(f, "{} and {} trades", used.rows, other.rows)?,
        }
        write!(f, "; {used_name} is used")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn claim() -> impl Strategy<Value = Claim> {
        (0u64..3, 0u64..3, 0u64..3).prop_map(|(archive, rows, digest)| Claim {
            archive: format!("BTCUSDT-trades-2024-0{archive}"),
            sha256: format!("{archive}{rows}{digest}"),
            rows,
            digest: Some(hex(digest)),
        })
    }

    proptest! {
        #[test]
        fn the_order_of_archives_decides_nothing(claims in prop::collection::vec(claim(), 1..6)) {
            let used = |claims: &[Claim]| {
                claims.iter().cloned().reduce(|a, b| if b.is_before(&a) { b } else { a })
            };
            let first = used(&claims);
            let mut turned = claims;
            for _ in 0..turned.len() {
                turned.rotate_left(1);
                prop_assert_eq!(used(&turned), first.clone());
                turned.reverse();
                prop_assert_eq!(used(&turned), first.clone());
            }
        }
    }

    #[test]
    fn more_trades_count_and_a_disagreement_is_said() {
        let of = |archive: &str, rows| Claim {
            archive: archive.to_owned(),
            sha256: format!("{archive}-sum"),
            rows,
            digest: Some(hex(rows)),
        };
        let (month, day) = (of("BTCUSDT-trades-2024-03.zip", 100), of("X-2024-03-01.zip", 80));
        assert!(month.is_before(&day) && !day.is_before(&month));
        let text =
            Disagreement::of(Date::constant(2024, 3, 1), &month, &day).map(|d| d.to_string());
        let expected = "the archives BTCUSDT-trades-2024-03.zip and X-2024-03-01.zip disagree about \
                        2024-03-01: 100 and 80 trades; BTCUSDT-trades-2024-03.zip is used";
        assert_eq!(text.as_deref(), Some(expected));
        let same = Claim { digest: None, ..of("other", 100) };
        assert_eq!(Disagreement::of(Date::constant(2024, 3, 1), &month, &same), None);
    }
}
