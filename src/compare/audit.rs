//! Are the bars of an output the bars that the trades make? Mark by mark, without keeping whole bars.
//!
//! ```text
//! output:      …before… ┊ ? ? ? ┊ = = = = = = = ┊ …behind…
//! recomputed:           ┊ ? ? ? ┊ = = = = = = = ┊
//!                       ↑       ↑ the first bar on which both agree
//!                       the first trade of the files
//! ```
//!
//! Adaptive bars depend on all history. Where an output has bars before the first trade of the
//! files, the recomputation begins with another past and agrees only from some bar on; what lies
//! before that cannot be judged, and what lies after must agree to the last bit.

use std::collections::{BTreeMap, BTreeSet};

use super::mark::Mark;

/// What became of one series of bars.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Bars that the trades make.
    pub expected: u64,
    /// Bars of the output among the trades of the files.
    pub found: u64,
    /// Bars that are there once, as they should be.
    pub equal: u64,
    /// Bars that are not there.
    pub missing: Vec<Mark>,
    /// Bars that are there again.
    pub repeated: Vec<Mark>,
    /// Bars of the output that the trades do not make.
    pub unexpected: Vec<Mark>,
    /// Bars that come after one with a higher number.
    pub disordered: Vec<Mark>,
    /// Bars of the output before and after the trades of the files.
    pub outside: u64,
    /// Recomputed bars before the first on which both agree.
    pub unjudged: u64,
}

impl Audit {
    /// Whether there was anything to judge: two that never agree may be of other bars altogether.
    pub fn is_judged(&self) -> bool {
        self.expected == 0 || self.unjudged < self.expected
    }

    /// Whether the output is what it should be.
    pub fn is_clean(&self) -> bool {
        self.is_judged()
            && self.missing.is_empty()
            && self.repeated.is_empty()
            && self.unexpected.is_empty()
            && self.disordered.is_empty()
    }
}

/// The current bars of a series, in order.
#[derive(Clone, Debug, Default)]
pub struct Standing(Vec<Mark>);

impl Standing {
    /// Takes a bar as an output lists it: an original, a replacement,
    /// or a retraction.
    pub fn take(&mut self, mark: Mark, retracts: bool, revision: u64) {
        if retracts {
            if let Some(at) = self.0.iter().rposition(|other| other.is_of(&mark)) {
                self.0.remove(at);
            }
        } else if revision == 0 {
            self.0.push(mark);
        } else {
            let before = |other: &Mark| other.trades.1 < mark.trades.1;
            self.0.insert(self.0.partition_point(before), mark);
        }
    }

    /// The bars.
    pub fn bars(&self) -> &[Mark] {
        &self.0
    }
}

/// Judges a series: recomputed bars in order, found bars in the order of the output.
pub fn judge(expected: &[Mark], found: &[Mark]) -> Audit {
    let mut audit = Audit { expected: expected.len() as u64, ..Audit::default() };
    let (Some(first), Some(last)) = (expected.first(), expected.last()) else {
        audit.outside = found.len() as u64;
        return audit;
    };
    let begins = first.trades.0;
    let earlier = found.iter().any(|bar| bar.trades.0 < begins);
    let inside = |bar: &&Mark| bar.trades.0 >= begins && bar.trades.1 <= last.trades.1;
    let judged: Vec<Mark> = found.iter().filter(inside).copied().collect();
    audit.outside = (found.len() - judged.len()) as u64;
    audit.found = judged.len() as u64;

    // A series that began earlier has another past until the two agree.
    let from = match earlier {
        false => 0,
        true => {
            let there: BTreeSet<_> = judged.iter().map(|bar| (bar.trades.1, bar.digest)).collect();
            let agree = |bar: &Mark| there.contains(&(bar.trades.1, bar.digest));
            expected.iter().position(agree).unwrap_or(expected.len())
        }
    };
    audit.unjudged = from as u64;
    let exact = &expected[from..];
    // The bar on which they agree may have begun elsewhere: its end and its state decide.
    let on_agreement = exact.first().filter(|_| earlier);
    let begin = exact.first().map_or(u64::MAX, |bar| bar.trades.1);

    // An output of an earlier version does not have all fields.
    let with_added = judged.iter().all(|bar| bar.values.added.is_some());
    // Corrections decide when the bars are known that they made.
    let with_known = !judged.iter().chain(exact).any(|bar| bar.revised);
    let content = |bar: &Mark| bar.content(with_added, with_known);
    let mut counts: BTreeMap<_, u64> = BTreeMap::new();
    let mut highest = None;
    let wanted: BTreeSet<_> = exact.iter().map(content).collect();
    for bar in judged.iter().filter(|bar| bar.trades.1 >= begin || !earlier) {
        let content = match on_agreement {
            Some(agreed) if (bar.trades.1, bar.digest) == (agreed.trades.1, agreed.digest) => {
                content(agreed)
            }
            _ => content(bar),
        };
        let count = counts.entry(content).or_default();
        *count += 1;
        if *count > 1 {
            audit.repeated.push(*bar);
        } else if !wanted.contains(&content) {
            audit.unexpected.push(*bar);
        } else if highest.is_some_and(|highest| bar.seq < highest) {
            audit.disordered.push(*bar);
        }
        highest = highest.max(Some(bar.seq));
    }
    let is_there = |bar: &&Mark| counts.contains_key(&content(bar));
    audit.missing = exact.iter().filter(|bar| !is_there(bar)).copied().collect();
    audit.equal = (exact.len() - audit.missing.len()) as u64;
    audit
}

/// Numbers as ranges: `3–5, 9`.
pub fn ranges(bars: &[Mark]) -> String {
    let mut seqs: Vec<u64> = bars.iter().map(|bar| bar.seq).collect();
    seqs.sort_unstable();
    let mut text: Vec<String> = Vec::new();
    for run in seqs.chunk_by(|a, b| *b <= a.saturating_add(1)) {
        text.push(match (run.first(), run.last()) {
            (Some(first), Some(last)) if first != last => format!("{first}–{last}"),
            (Some(only), _) => only.to_string(),
            _ => continue,
        });
    }
    let more = text.len().saturating_sub(8);
    text.truncate(8);
    let more = if more > 0 { format!(" and {more} more ranges") } else { String::new() };
    text.join(", ") + &more
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::mark::Values;
    use super::*;

    fn series(bars: u64) -> Vec<Mark> {
        (0..bars)
            .map(|seq| {
                let values = Values { first_version: seq ^ 5, added: Some(seq ^ 6) };
                let (trades, digest) = ((seq * 10, seq * 10 + 9), seq ^ 77);
                Mark { seq, trades, digest, values, known_time: Some(7), revised: false }
            })
            .collect()
    }

    #[test]
    fn what_was_done_to_a_series_is_what_is_found() {
        let expected = series(20);
        assert!(judge(&expected, &expected).is_clean());
        let mut found = expected.clone();
        found.remove(5);
        found.insert(9, found[8]);
        found[12].digest ^= 1;
        let audit = judge(&expected, &found);
        assert_eq!(ranges(&audit.missing), "5, 12");
        assert_eq!(ranges(&audit.repeated), "9");
        assert_eq!(ranges(&audit.unexpected), "12");
        assert_eq!((audit.equal, audit.expected, audit.found), (18, 20, 20));
        found.swap(0, 1);
        assert_eq!(judge(&expected, &found).disordered.len(), 1);
        assert_eq!(ranges(&judge(&expected, &[]).missing), "0–19");
        // Another price, and an output that is older than the added fields.
        let mut found = expected.clone();
        found[3].values.first_version ^= 1;
        assert_eq!(ranges(&judge(&expected, &found).unexpected), "3");
        // Another time from which it is known, unless corrections decide that.
        let mut found = expected.clone();
        found[6].known_time = Some(8);
        assert_eq!(ranges(&judge(&expected, &found).unexpected), "6");
        found[7] = Mark { known_time: None, revised: true, ..found[7] };
        assert!(judge(&expected, &found).is_clean());
        found = expected.clone();
        found[4].values.added = Some(0);
        assert_eq!(ranges(&judge(&expected, &found).missing), "4");
        found.iter_mut().for_each(|bar| bar.values.added = None);
        assert!(judge(&expected, &found).is_clean());
    }

    #[test]
    fn bars_outside_the_files_are_let_be() {
        let topic = series(100);
        let files: Vec<Mark> = topic[40..60]
            .iter()
            .enumerate()
            .map(|(seq, bar)| Mark { seq: seq as u64, ..*bar })
            .collect();
        let audit = judge(&files, &topic);
        assert!(audit.is_clean(), "{audit:?}");
        assert_eq!((audit.equal, audit.outside, audit.unjudged), (20, 80, 0));
    }

    #[test]
    fn a_recomputation_with_another_past_is_judged_from_where_both_agree() {
        let topic = series(100);
        let mut files: Vec<Mark> = topic[40..60].to_vec();
        // Five bars of its own, the last of which ends on the same trade in the same state.
        for (at, bar) in files.iter_mut().enumerate().take(5) {
            bar.trades = (bar.trades.0 + 3, bar.trades.1 + 3);
            bar.digest ^= 1 << 40;
            bar.seq = at as u64;
        }
        files[5].trades.0 += 3;
        let audit = judge(&files, &topic);
        assert!(audit.is_clean(), "{audit:?}");
        assert_eq!((audit.unjudged, audit.equal), (5, 15));
        let mut broken = topic.clone();
        broken[50].digest ^= 1;
        assert_eq!(judge(&files, &broken).missing.len(), 1);
        let others: Vec<Mark> =
            files.iter().map(|bar| Mark { digest: !bar.digest, ..*bar }).collect();
        assert!(!judge(&others, &topic).is_clean(), "no agreement is no proof");
    }

    proptest! {
        #[test]
        fn nothing_done_to_a_series_stays_unseen(
            bars in 2u64..60,
            drop in prop::collection::btree_set(0usize..60, 0..5),
            again in prop::collection::btree_set(0usize..60, 0..5),
        ) {
            let expected = series(bars);
            let mut found = Vec::new();
            for (at, bar) in expected.iter().enumerate() {
                if !drop.contains(&at) {
                    found.push(*bar);
                    if again.contains(&at) {
                        found.push(*bar);
                    }
                }
            }
            let audit = judge(&expected, &found);
            let within = |set: &BTreeSet<usize>| set.iter().filter(|at| **at < bars as usize).count();
            prop_assert_eq!(audit.missing.len(), within(&drop));
            let repeated = again.difference(&drop).filter(|at| **at < bars as usize).count();
            prop_assert_eq!(audit.repeated.len(), repeated);
            prop_assert!(audit.unexpected.is_empty() && audit.disordered.is_empty());
        }
    }
}
