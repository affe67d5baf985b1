//! The first difference of two outputs, in words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::cell::Row;
use crate::sinks::record::{ADDED, added};

/// How two outputs are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Skip what comes before both have a bar that ends on the same trade in the same state; from
    /// there on everything but the bar's number must be equal. For runs that began at different
    /// trades.
    pub synchronise: bool,
    /// Corrections have changed one of the two: current bars are compared without their numbers.
    /// Found out by [`compare`].
    pub revised: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Bars that are equal.
    pub equal: u64,
    /// The first difference of each sequence of bars that differs.
    pub differences: Vec<String>,
    /// What is worth saying besides.
    pub remarks: Vec<String>,
}

type Sequences = BTreeMap<(String, String), Sequence>;

/// The current bars of a sequence.
#[derive(Default)]
struct Sequence {
    bars: Vec<Row>,
    /// Whether corrections have changed it: then numbers tell only how that came about.
    revised: bool,
    /// Rows that take back what was never there.
    unfounded: Vec<Row>,
    /// The first original that comes after one with a higher number, and that one.
    disordered: Option<(Row, Row)>,
}

impl Sequence {
    fn take(&mut self, row: Row) {
        self.revised |= row.retracts() || row.whole("revision") != 0;
        if !row.retracts() {
            let is_original = |row: &Row| row.whole("revision") == 0;
            if let Some(before) = self.bars.last()
                && is_original(before)
                && is_original(&row)
                && self.disordered.is_none()
                && row.whole("seq") < before.whole("seq")
            {
                self.disordered = Some((row.clone(), before.clone()));
            }
            return self.bars.push(row);
        }
        let same = |bar: &Row| {
            ["last_trade_id", "seq", "revision", "state_digest"]
                .iter()
                .all(|field| bar.get(field) == row.get(field))
        };
        match self.bars.iter().rposition(same) {
            Some(at) => drop(self.bars.remove(at)),
            None => self.unfounded.push(row),
        }
    }
}

/// Compares all sequences of bars of two outputs.
pub fn compare(a: Vec<Row>, b: Vec<Row>, rules: Rules) -> Verdict {
    let mut verdict = Verdict { remarks: older(a.first(), b.first()), ..Verdict::default() };
    let (a, b) = (sequences(a), sequences(b));
    let keys: BTreeSet<_> = a.keys().chain(b.keys()).cloned().collect();
    for key in keys {
        let name = format!("{} {}", key.0, key.1);
        match (a.get(&key), b.get(&key)) {
            (Some(a), Some(b)) => {
                let rules = Rules { revised: a.revised || b.revised, ..rules };
                if rules.revised {
                    verdict.remarks.push(format!(
                        "{name}: has corrections; comparing the current bars, without seq, \
                         revision and known_time"
                    ));
                }
                sequence(&name, &a.bars, &b.bars, rules, &mut verdict);
            }
            (Some(a), None) => verdict.differences.push(none(&name, [a.bars.len(), 0])),
            (None, Some(b)) => verdict.differences.push(none(&name, [0, b.bars.len()])),
            (None, None) => {}
        }
        for (which, found) in [("A", a.get(&key)), ("B", b.get(&key))] {
            if let Some((row, before)) = found.and_then(|found| found.disordered.as_ref()) {
                let (seq, before) = (row.get("seq"), before.get("seq"));
                let text = format!("{name}: {which} has bar {seq} after bar {before}");
                verdict.differences.push(text);
            }
            for row in found.iter().flat_map(|found| &found.unfounded) {
                verdict.differences.push(format!(
                    "{name}: {which} retracts bar {} (trades {} to {}), which does not exist",
                    row.get("seq"),
                    row.get("first_trade_id"),
                    row.get("last_trade_id")
                ));
            }
        }
    }
    verdict
}

/// Only one of the two has bars of a series.
pub(super) fn none(name: &str, [a, b]: [usize; 2]) -> String {
    match b {
        0 => format!("{name}: A has {a} bars, B none"),
        b => format!("{name}: B has {b} bars, A none"),
    }
}

/// Says which fields are not compared, because an output, of which this is the first bar, is of an earlier
/// version.
pub(super) fn older(a: Option<&Row>, b: Option<&Row>) -> Vec<String> {
    let (Some(first_a), Some(first_b)) = (a, b) else { return Vec::new() };
    let lacks = |name: &str, row: &Row, other: &Row| !row.has(name) && other.has(name);
    [("A", first_a, first_b), ("B", first_b, first_a)]
        .into_iter()
        .filter_map(|(which, row, other)| {
            let missing: Vec<&str> = added().filter(|name| lacks(name, row, other)).collect();
            (!missing.is_empty()).then(|| {
                let missing = missing.join(", ");
                format!("{which} is of an earlier version, without {missing}: not compared")
            })
        })
        .collect()
}

fn sequences(rows: Vec<Row>) -> Sequences {
    let mut sequences = Sequences::new();
    for row in rows {
        sequences.entry(row.key()).or_default().take(row);
    }
    for sequence in sequences.values_mut() {
        // A topic with several partitions comes in any order; a stable sort keeps repeats apart.
        sequence.bars.sort_by_key(|row| (row.whole("seq"), row.whole("last_trade_id")));
    }
    sequences
}

fn sequence(name: &str, a: &[Row], b: &[Row], rules: Rules, verdict: &mut Verdict) {
    let (mut a, mut b) = (a, b);
    if rules.synchronise {
        let Some((at_a, at_b)) = meeting(a, b) else {
            let text =
                format!("{name}: no bar of A ends on the same trade in the same state as one of B");
            verdict.differences.push(text);
            return;
        };
        verdict.remarks.push(format!(
            "{name}: equal states at trade {}, after {at_a} bars of A and {at_b} of B",
            a[at_a].whole("last_trade_id")
        ));
        (a, b) = (&a[at_a + 1..], &b[at_b + 1..]);
    }
    for (a, b) in a.iter().zip(b) {
        if let Some(difference) = bar(a, b, rules) {
            verdict.differences.push(format!("{name}: {difference}"));
            return;
        }
        verdict.equal += 1;
    }
    let (bars, shorter) = ([a.len(), b.len()], a.len().min(b.len()));
    let behind = a.get(shorter).or(b.get(shorter));
    verdict.differences.extend(behind.map(|row| longer(name, bars, row)));
}

/// One of the two has bars behind those that are equal, from this one on.
pub(super) fn longer(name: &str, [a, b]: [usize; 2], row: &Row) -> String {
    let (longer, shorter) = if a > b { ("A", b) } else { ("B", a) };
    format!(
        "{name}: A has {a} bars, B has {b}; the first {shorter} are equal, then {longer} has bar {} \
         (trades {} to {})",
        row.get("seq"),
        row.get("first_trade_id"),
        row.get("last_trade_id")
    )
}

/// The first bars that end on the same trade in the same state.
fn meeting(a: &[Row], b: &[Row]) -> Option<(usize, usize)> {
    let digest = |row: &Row| (row.whole("last_trade_id"), row.get("state_digest").to_string());
    let places: BTreeMap<_, usize> =
        b.iter().enumerate().map(|(at, row)| (digest(row), at)).collect();
    a.iter().enumerate().find_map(|(at, row)| Some((at, *places.get(&digest(row))?)))
}

/// Whether a bar is of a version before the one that brought the field: then it has none of those that
/// this version and later ones brought.
fn is_older(bar: &Row, field: &str) -> bool {
    let since = ADDED.iter().position(|fields| fields.contains(&field));
    since.is_some_and(|since| !ADDED[since..].iter().copied().flatten().any(|name| bar.has(name)))
}

/// How a bar differs, the telling fields first.
pub(super) fn bar(a: &Row, b: &Row, rules: Rules) -> Option<String> {
    let skipped = |field: &str| match field {
        _ if is_older(a, field) || is_older(b, field) => true,
        "seq" => rules.synchronise || rules.revised,
        "revision" | "known_time" => rules.revised,
        // An original retracts nothing, and older outputs do not say so.
        "retracts" => true,
        _ => false,
    };
    let names: BTreeSet<&str> =
        a.0.iter()
            .chain(&b.0)
            .map(|(name, _)| name.as_str())
            .filter(|name| !skipped(name))
            .collect();
    let differing: Vec<&str> =
        names.into_iter().filter(|name| a.get(name) != b.get(name)).collect();
    let telling =
        ["seq", "first_trade_id", "last_trade_id", "close_reason", "state_digest", "close"];
    let first = telling
        .iter()
        .copied()
        .find(|name| differing.contains(name))
        .or(differing.first().copied())?;
    let mut text = format!(
        "bar {} (trades {} to {}) differs in {first}: {} in A, {} in B",
        a.get("seq"),
        a.get("first_trade_id"),
        a.get("last_trade_id"),
        a.get(first),
        b.get(first)
    );
    if differing.len() > 1 {
        let others: Vec<&str> = differing.into_iter().filter(|name| *name != first).collect();
        // Writing to a String cannot fail.
        let _ = write!(text, " (and in {})", others.join(", "));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::super::cell::Cell;
    use super::*;

    fn row(seq: i128, last: i128, digest: &str, close: f64) -> Row {
        let fields = [
            ("instrument", Cell::Text("a:b:C".into())),
            ("spec", Cell::Text("dib".into())),
            ("seq", Cell::Whole(seq)),
            ("first_trade_id", Cell::Whole(last - 9)),
            ("last_trade_id", Cell::Whole(last)),
            ("state_digest", Cell::Text(digest.into())),
            ("close", Cell::Number(close)),
        ];
        Row(fields.map(|(name, cell)| (name.to_owned(), cell)).to_vec())
    }

    #[test]
    fn series_may_come_in_any_order_and_their_bars_may_not() {
        let of = |spec: &str, mut row: Row| {
            row.0.retain(|(field, _)| field != "spec");
            row.0.push(("spec".to_owned(), Cell::Text(spec.to_owned())));
            row
        };
        let [a, b] = [row(0, 10, "aa", 1.0), row(1, 20, "bb", 2.0)];
        let other = of("vib", row(0, 15, "cc", 1.5));
        let rows = vec![a.clone(), b.clone(), other.clone()];
        let mixed = vec![other.clone(), a.clone(), b.clone()];
        let verdict = compare(rows.clone(), mixed, Rules::default());
        assert_eq!((verdict.equal, verdict.differences.len()), (3, 0), "{verdict:?}");
        let verdict = compare(rows, vec![b, other, a], Rules::default());
        assert_eq!(verdict.differences, ["a:b:C dib: B has bar 0 after bar 1"]);
    }

    #[test]
    fn a_bar_that_lacks_a_part_of_its_version_is_no_older_one() {
        let with = |names: &[&str]| {
            let mut bar = row(0, 10, "aa", 1.0);
            bar.0.extend(names.iter().map(|name| ((*name).to_owned(), Cell::Whole(1))));
            bar
        };
        let all: Vec<&str> = added().collect();
        let compare = |a: &[&str], b: &[&str]| {
            compare(vec![with(a)], vec![with(b)], Rules::default()).differences.len()
        };
        assert_eq!((compare(&all, &all[..1]), compare(&all[..2], &all)), (0, 0));
        let torn: Vec<&str> = all.iter().copied().filter(|name| *name != "known_time").collect();
        assert_eq!((compare(&all, &torn), compare(&torn, &all)), (1, 1));
    }

    #[test]
    fn the_first_difference_is_named_in_words() {
        let a = vec![row(0, 10, "aa", 1.0), row(1, 20, "bb", 2.0), row(2, 30, "cc", 3.0)];
        let b = vec![row(0, 10, "aa", 1.0), row(1, 21, "bb", 2.5)];
        let verdict = compare(a.clone(), b, Rules::default());
        assert_eq!(
            verdict.differences,
            ["a:b:C dib: bar 1 (trades 11 to 20) differs in first_trade_id: 11 in A, 12 in B \
              (and in close, last_trade_id)"]
        );
        let verdict = compare(a.clone(), a[..2].to_vec(), Rules::default());
        assert!(verdict.differences[0].contains("A has 3 bars, B has 2"), "{verdict:?}");
        assert_eq!(compare(a, Vec::new(), Rules::default()).differences.len(), 1);
    }

    #[test]
    fn what_was_taken_back_does_not_count() {
        let with = |row: &Row, name: &str, cell: Cell| {
            let mut row = row.clone();
            row.0.retain(|(field, _)| field != name);
            row.0.push((name.to_owned(), cell));
            row
        };
        let fresh = vec![row(0, 10, "aa", 1.0), row(1, 15, "xx", 5.0), row(2, 20, "bb", 2.0)];
        let wrong = row(0, 12, "cc", 9.0);
        let gone = with(&wrong, "retracts", Cell::Text("true".into()));
        let mut revised = vec![wrong, row(1, 20, "bb", 2.0), gone.clone()];
        // Both take the number of the bar within which they close.
        revised.push(with(&row(0, 10, "aa", 1.0), "revision", Cell::Whole(1)));
        revised.push(with(&row(1, 15, "xx", 5.0), "revision", Cell::Whole(1)));
        let verdict = compare(revised.clone(), fresh.clone(), Rules::default());
        assert_eq!((verdict.equal, verdict.differences.len()), (3, 0), "{verdict:?}");
        revised.push(gone);
        let verdict = compare(revised, fresh, Rules::default());
        assert!(verdict.differences[0].contains("A retracts bar 0"), "{verdict:?}");
    }

    #[test]
    fn runs_that_began_apart_are_compared_from_where_they_agree() {
        let a = vec![row(0, 10, "aa", 1.0), row(1, 20, "bb", 2.0), row(2, 30, "cc", 3.0)];
        let b = vec![row(0, 20, "bb", 9.0), row(1, 30, "cc", 3.0)];
        let rules = Rules { synchronise: true, revised: false };
        let verdict = compare(a.clone(), b, rules);
        assert_eq!((verdict.equal, verdict.differences.len()), (1, 0), "{verdict:?}");
        assert!(verdict.remarks[0].contains("equal states at trade 20"), "{verdict:?}");
        let apart = vec![row(0, 20, "xx", 2.0)];
        assert_eq!(compare(a, apart, rules).differences.len(), 1);
    }
}
