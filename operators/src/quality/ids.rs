//! Ids as they come: holes, repeats, disorder.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::calendar::length;
use super::columns::Rows;
use super::day::{Count, Counts, Example, Place};
use super::memory::Memory;
use super::suite::Check;
use crate::batch::IdKind;
use crate::order::recent::{difference, is_same};
use crate::sequence::GOES_ON;

/// Holes that can still be filled by a late id. Beyond them the one of the lowest ids is final, and
/// its ids count as repeated if they come. 4096 holes of ~100 B are 0.4 MB.
const HOLES: usize = 4096;

/// Ids that are missing so far, up to `last`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Hole {
    last: u64,
    /// The day that was read when it opened.
    day: i32,
    /// The trade after it.
    behind: u64,
    place: Place,
}

/// What is known of an instrument's ids.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Ids {
    /// Lowest and highest id so far.
    seen: Option<(u64, u64)>,
    /// Event time of the row with the highest id, ns.
    time: i64,
    /// By first missing id.
    holes: BTreeMap<u64, Hole>,
    /// What the latest rows said.
    memory: Memory,
}

/// Whether a row's id was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
enum Occurrence {
    New,
    Repeated,
}

/// A row's ids (one, but for spans) and its time.
#[derive(Clone, Copy, Debug)]
struct Row {
    first: u64,
    last: u64,
    time: i64,
}

impl Ids {
    /// Judges rows in their order. `timed`: whether their times are to be believed; `tells_conflicts`:
    /// whether rows of one id and other content are an expectation of their own, or count as repeated.
    pub(super) fn judge(
        &mut self,
        rows: &Rows<'_>,
        (kind, tells_conflicts): (IdKind, bool),
        day: i32,
        timed: bool,
        counts: &mut Counts,
    ) {
        let n = rows.len() as u64;
        counts.of(Check::TimeMonotone).rows += n;
        if kind == IdKind::Ordinal {
            // Rows were numbered as they came: only their times can be out of order.
            if timed {
                self.judge_times(rows, counts);
            }
            return;
        }
        for check in
            [Check::NoIdGaps, Check::NoDuplicateIds, Check::NoConflictingIds, Check::IdsInOrder]
        {
            counts.of(check).rows += n;
        }
        let number = self.memory.note(rows);
        for at in 0..rows.len() {
            let first = rows.first_id(at, kind);
            let row = Row { first, last: rows.ids[at], time: rows.times[at] };
            if !(timed && self.follows(row))
                && self.take(row, day, timed, counts, || rows.place(at)) == Occurrence::Repeated
            {
                let again = self.begin_again(row, timed);
                self.repeated(rows, at, number + at as u64, (tells_conflicts, again), counts);
            }
        }
    }

    fn judge_times(&mut self, rows: &Rows<'_>, counts: &mut Counts) {
        for (at, time) in rows.times.iter().enumerate() {
            if self.seen.is_some() && *time < self.time {
                let value =
                    format!("{} before the previous row", length(self.time.saturating_sub(*time)));
                counts.of(Check::TimeMonotone).offend(|| rows.example(at, value));
            }
            self.seen = Some((0, 0));
            self.time = *time;
        }
    }

    /// Whether a row of this id follows the one before without a word, and takes it if so. The way
    /// of nearly all rows.
    #[inline(always)]
    fn follows(&mut self, row: Row) -> bool {
        match &mut self.seen {
            Some((_, highest)) if row.first == *highest + 1 && row.time >= self.time => {
                *highest = row.last;
                self.time = row.time;
                true
            }
            _ => false,
        }
    }

    /// Takes the id of a row that is not a trade by rule; it has no time that counts.
    pub(super) fn leave_out(
        &mut self,
        id: u64,
        day: i32,
        counts: &mut Counts,
        place: impl Fn() -> Place,
    ) {
        let row = Row { first: id, last: id, time: self.time };
        if !(self.seen.is_some() && self.follows(row))
            && self.take(row, day, false, counts, &place) == Occurrence::Repeated
        {
            let example = Example::of_trade(id, "seen before".to_owned());
            let example = || Example { place: Some(place()), ..example };
            counts.of(Check::NoDuplicateIds).offend(example);
        }
    }

    /// A row whose id was seen before: the same trade once more, or a contradiction.
    fn repeated(
        &self,
        rows: &Rows<'_>,
        at: usize,
        number: u64,
        (tells_conflicts, again): (bool, Option<String>),
        counts: &mut Counts,
    ) {
        let trade = rows.trade(at);
        let again = again.map_or_else(String::new, |again| format!("; {again}"));
        match self.memory.find(trade.trade_id, number) {
            Some((earlier, place)) if tells_conflicts && !is_same(&earlier, &trade) => {
                counts.of(Check::NoConflictingIds).offend(|| {
                    let said = difference(&earlier, &trade);
                    let value = format!("{said}; the first is {place}{again}");
                    Example { other: Some(place), ..rows.example(at, value) }
                });
            }
            _ => counts
                .of(Check::NoDuplicateIds)
                .offend(|| rows.example(at, format!("seen before{again}"))),
        }
    }

    /// What is said of a row with an id below the highest at a time after it: ids have begun again.
    fn begin_again(&self, row: Row, timed: bool) -> Option<String> {
        let (_, highest) = self.seen?;
        let later = row.time.saturating_sub(self.time);
        (timed && row.last < highest && later > GOES_ON)
            .then(|| format!("the id sequence was reset {} after trade {highest}", length(later)))
    }

    /// Takes a row that does not just follow. `timed`: whether its time is to be believed. What a
    /// repeated one is counted as is for the caller to say.
    fn take(
        &mut self,
        row: Row,
        day: i32,
        timed: bool,
        counts: &mut Counts,
        place: impl Fn() -> Place,
    ) -> Occurrence {
        let example =
            |value| Example { place: Some(place()), ..Example::of_trade(row.last, value) };
        let Some((lowest, highest)) = self.seen else {
            self.seen = Some((row.first, row.last));
            self.time = if timed { row.time } else { i64::MIN };
            return Occurrence::New;
        };
        if row.first > highest {
            if row.first > highest + 1 {
                self.open(highest + 1, row.first - 1, day, row.last, place(), counts);
            }
            if timed {
                if row.time < self.time {
                    let before = self.time;
                    counts.of(Check::TimeMonotone).offend(|| {
                        let length = length(before.saturating_sub(row.time));
                        example(format!("{length} before trade {highest}"))
                    });
                }
                self.time = row.time;
            }
            self.seen = Some((lowest, row.last));
            return Occurrence::New;
        }
        if row.last < lowest {
            self.seen = Some((row.first, highest));
            if row.last + 1 < lowest {
                self.open(row.last + 1, lowest - 1, day, lowest, place(), counts);
            }
        } else if !self.fill(row, day, counts) {
            return Occurrence::Repeated;
        }
        counts.of(Check::IdsInOrder).offend(|| example(format!("comes after {highest}")));
        if timed && row.time > self.time {
            let ahead = length(row.time.saturating_sub(self.time));
            counts.of(Check::TimeMonotone).offend(|| {
                example(format!("{ahead} after trade {highest}, which has the higher id"))
            });
        }
        Occurrence::New
    }

    /// Holes of this day that are still open, as examples after those of final ones.
    pub(super) fn add_examples(&self, day: i32, count: &mut Count) {
        let open = self.holes.iter().filter(|(_, hole)| hole.day == day);
        for (first, hole) in open {
            count.keep(|| hole.example(*first));
        }
    }

    fn open(
        &mut self,
        first: u64,
        last: u64,
        day: i32,
        behind: u64,
        place: Place,
        counts: &mut Counts,
    ) {
        let count = counts.of(Check::NoIdGaps);
        count.offenders += 1;
        self.holes.insert(first, Hole { last, day, behind, place });
        if self.holes.len() > HOLES
            && let Some((first, hole)) = self.holes.pop_first()
            && hole.day == day
        {
            count.keep(|| hole.example(first));
        }
    }

    /// Fills (a part of) a hole; false if these ids were not missing. What was counted on an
    /// earlier day stays counted.
    fn fill(&mut self, row: Row, day: i32, counts: &mut Counts) -> bool {
        let Some((start, hole)) = self.holes.range(..=row.first).next_back() else { return false };
        let start = *start;
        if hole.last < row.last {
            return false;
        }
        let Some(hole) = self.holes.remove(&start) else { return false };
        let today = hole.day == day;
        let mut pieces = 0;
        if start < row.first {
            self.holes.insert(start, Hole { last: row.first - 1, ..hole.clone() });
            pieces += 1;
        }
        if row.last < hole.last {
            self.holes.insert(row.last + 1, hole);
            pieces += 1;
        }
        if today {
            let count = counts.of(Check::NoIdGaps);
            // One hole became none, one or two.
            count.offenders = (count.offenders + pieces).saturating_sub(1);
        }
        true
    }
}

impl Hole {
    fn example(&self, first: u64) -> Example {
        let value = match self.last - first {
            0 => format!("id {first} is missing"),
            more => format!("ids {first} to {} are missing ({})", self.last, more + 1),
        };
        Example { place: Some(self.place.clone()), ..Example::of_trade(self.behind, value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(ids: &[u64]) -> [u64; 3] {
        let (mut machine, mut counts) = (Ids::default(), Counts::default());
        for (n, id) in ids.iter().enumerate() {
            let row = Row { first: *id, last: *id, time: n as i64 };
            if !machine.follows(row) {
                let place = || Place { source: "x".into(), line: Some(n as u64 + 1) };
                let taken = machine.take(row, 0, true, &mut counts, place);
                counts.of(Check::NoDuplicateIds).offenders +=
                    u64::from(taken == Occurrence::Repeated);
            }
        }
        [Check::NoIdGaps, Check::NoDuplicateIds, Check::IdsInOrder]
            .map(|check| counts.get(check).offenders)
    }

    #[test]
    fn holes_open_split_and_close_and_only_what_came_before_is_repeated() {
        assert_eq!(counts(&[5, 6, 7]), [0, 0, 0]);
        assert_eq!(counts(&[5, 9]), [1, 0, 0]);
        assert_eq!(counts(&[5, 9, 7]), [2, 0, 1]);
        assert_eq!(counts(&[5, 9, 7, 6, 8]), [0, 0, 3]);
        assert_eq!(counts(&[5, 9, 7, 7, 5, 9]), [2, 3, 1]);
        // Before the first.
        assert_eq!(counts(&[5, 2, 3]), [1, 0, 2]);
    }

    #[test]
    fn the_oldest_of_too_many_holes_is_final() {
        let ids: Vec<u64> = (0..=HOLES as u64 + 1).map(|n| 10 * n).chain([5]).collect();
        assert_eq!(counts(&ids), [HOLES as u64 + 1, 1, 0]);
    }
}
