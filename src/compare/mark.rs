//! What is kept of a bar to find it again in an output.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::cell::{Cell, Row};
use crate::sinks::record::{ADDED, added};

/// What identifies a bar: its position, its trades, the state after it, and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its number in its series.
    pub seq: u64,
    /// First and last trade.
    pub trades: (u64, u64),
    /// The state after it.
    pub digest: u64,
    /// What it says.
    pub values: Values,
}

/// Hashes of the values of a bar, without those that tell how an output came about: `seq`, `revision`,
/// `retracts` and `known_time`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Values {
    /// Of the fields of all versions.
    pub first_version: u64,
    /// Of the fields that were added since; none for a bar of an earlier version than the last.
    pub added: Option<u64>,
}

const NOT_COMPARED: [&str; 4] = ["seq", "revision", "retracts", "known_time"];

impl Mark {
    /// What is comparable of the bar; without the fields added since the first version if the output is
    /// older than they are.
    pub(super) fn content(&self, with_added: bool) -> ((u64, u64), u64, Values) {
        let added = self.values.added.filter(|_| with_added);
        (self.trades, self.digest, Values { added, ..self.values })
    }
}

impl From<&Row> for Mark {
    fn from(row: &Row) -> Self {
        let whole = |name| u64::try_from(row.whole(name)).unwrap_or_default();
        let digest = match row.get("state_digest") {
            Cell::Text(text) => u64::from_str_radix(text, 16).unwrap_or_default(),
            _ => 0,
        };
        let trades = (whole("first_trade_id"), whole("last_trade_id"));
        Self { seq: whole("seq"), trades, digest, values: Values::from(row) }
    }
}

impl From<&Row> for Values {
    fn from(row: &Row) -> Self {
        let compared = |name: &&str| !NOT_COMPARED.contains(name);
        let mut names: Vec<&str> = row.0.iter().map(|(name, _)| name.as_str()).collect();
        names.retain(|name| compared(name) && !added().any(|later| later == *name));
        names.sort_unstable();
        // A bar that has some of those that the last version brought has to have all.
        let has_any = ADDED.last().is_some_and(|last| last.iter().any(|name| row.has(name)));
        let later = || hash(row, added().filter(compared));
        Self { first_version: hash(row, names.into_iter()), added: has_any.then(later) }
    }
}

/// Cells that are equal have equal hashes, but for the sign of a zero.
fn hash<'a>(row: &Row, names: impl Iterator<Item = &'a str>) -> u64 {
    // With fixed keys: the same in every run.
    let mut hasher = DefaultHasher::new();
    for name in names {
        name.hash(&mut hasher);
        match row.get(name) {
            Cell::Number(number) if number.is_finite() => of_number(*number, &mut hasher),
            Cell::Null | Cell::Number(_) => 0u8.hash(&mut hasher),
            // JSON writes some numbers as whole ones.
            Cell::Whole(whole) if (*whole as f64) as i128 == *whole => {
                of_number(*whole as f64, &mut hasher);
            }
            Cell::Whole(whole) => (2u8, whole).hash(&mut hasher),
            Cell::Text(text) => (3u8, text).hash(&mut hasher),
        }
    }
    hasher.finish()
}

fn of_number(number: f64, hasher: &mut DefaultHasher) {
    let number = if number == 0.0 { 0.0 } else { number };
    (1u8, number.to_bits()).hash(hasher);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[(&str, Cell)]) -> Row {
        Row(cells.iter().map(|(name, cell)| ((*name).to_owned(), cell.clone())).collect())
    }

    #[test]
    fn equal_bars_of_all_encodings_have_equal_values() {
        let json = row(&[
            ("close", Cell::Whole(100)),
            ("sigma", Cell::Null),
            ("open_time", Cell::Whole(1_709_251_200_000_000_001)),
            ("seq", Cell::Whole(7)),
        ]);
        let parquet = row(&[
            ("open_time", Cell::Whole(1_709_251_200_000_000_001)),
            ("close", Cell::Number(100.0)),
            ("sigma", Cell::Number(f64::NAN)),
            ("seq", Cell::Whole(8)),
        ]);
        assert_eq!(Values::from(&json), Values::from(&parquet));
        for (name, cell) in [
            ("close", Cell::Number(100.5)),
            ("open_time", Cell::Whole(1_709_251_200_000_000_002)),
            ("sigma", Cell::Number(0.0)),
        ] {
            let mut other = json.clone();
            other
                .0
                .iter_mut()
                .filter(|(field, _)| field == name)
                .for_each(|(_, at)| *at = cell.clone());
            assert_ne!(Values::from(&json), Values::from(&other), "{name}");
        }
    }

    #[test]
    fn fields_that_were_added_later_count_where_both_have_them() {
        let mut bar = row(&[("close", Cell::Number(1.0))]);
        let old = Mark::from(&bar);
        bar.0.extend(added().map(|name| (name.to_owned(), Cell::Whole(5))));
        let new = Mark::from(&bar);
        assert_eq!(old.content(false), new.content(false));
        bar.0
            .iter_mut()
            .filter(|(name, _)| name == "high_time")
            .for_each(|(_, at)| *at = Cell::Whole(6));
        let other = Mark::from(&bar);
        assert_eq!(other.content(false), new.content(false));
        assert_ne!(other.content(true), new.content(true));
    }
}
