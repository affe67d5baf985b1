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
    /// When it was known, where its trades alone decide that; none for a bar that a correction made, or
    /// that a period or the end of the input closed.
    pub known_time: Option<i64>,
    /// Whether a correction made it.
    pub revised: bool,
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

/// What is compared of a bar.
pub(super) type Content = ((u64, u64), u64, Values, Option<i64>);

/// Reasons for which a bar is closed that is known only after them: by the next trade, or at the end of an
/// input, which another run may not have.
const KNOWN_LATER: [&str; 3] = ["interval", "session", "end"];

impl Mark {
    /// What is comparable of the bar; without the fields added since the first version if the output is
    /// older than they are, and without `known_time` if corrections have changed it.
    pub(super) fn content(&self, with_added: bool, with_known: bool) -> Content {
        let added = self.values.added.filter(|_| with_added);
        let known = self.known_time.filter(|_| with_added && with_known);
        (self.trades, self.digest, Values { added, ..self.values }, known)
    }

    /// Whether this is the bar that a retraction takes back.
    pub(super) fn is_of(&self, retraction: &Self) -> bool {
        self.seq == retraction.seq && self.content(true, false) == retraction.content(true, false)
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
        let by_trade = match row.get("close_reason") {
            Cell::Text(reason) => !KNOWN_LATER.contains(&reason.as_str()),
            _ => false,
        };
        let revised = row.whole("revision") != 0;
        let known_time = row.has("known_time").then(|| row.whole("known_time"));
        let known_time = known_time.filter(|_| by_trade && !revised);
        Self {
            seq: whole("seq"),
            trades,
            digest,
            values: Values::from(row),
            known_time: known_time.and_then(|time| i64::try_from(time).ok()),
            revised,
        }
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
        assert_eq!(old.content(false, true), new.content(false, true));
        bar.0
            .iter_mut()
            .filter(|(name, _)| name == "high_time")
            .for_each(|(_, at)| *at = Cell::Whole(6));
        let other = Mark::from(&bar);
        assert_eq!(other.content(false, true), new.content(false, true));
        assert_ne!(other.content(true, true), new.content(true, true));
    }

    #[test]
    fn the_time_from_which_a_bar_is_known_counts_where_its_trades_decide_it() {
        let bar = |reason: &str, known: i128, revision: i128| {
            let mut bar = row(&[("close_reason", Cell::Text(reason.into()))]);
            bar.0.extend(added().map(|name| (name.to_owned(), Cell::Whole(known))));
            bar.0.retain(|(name, _)| name == "close_reason" || name == "known_time");
            bar.0.push(("high_time".to_owned(), Cell::Whole(1)));
            bar.0.push(("revision".to_owned(), Cell::Whole(revision)));
            Mark::from(&bar)
        };
        let differ = |a: Mark, b: Mark, with| a.content(true, with) != b.content(true, with);
        assert!(differ(bar("threshold", 5, 0), bar("threshold", 6, 0), true));
        assert!(!differ(bar("threshold", 5, 0), bar("threshold", 6, 0), false));
        assert!(bar("threshold", 5, 0).is_of(&bar("threshold", 6, 0)));
        for reason in KNOWN_LATER {
            assert!(!differ(bar(reason, 5, 0), bar(reason, 6, 0), true), "{reason}");
        }
        assert_eq!((bar("size", 5, 1).known_time, bar("size", 5, 1).revised), (None, true));
    }
}
