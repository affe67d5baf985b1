//! The rule about ids: what comes next, what repeats, what is missing.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::gap::Gap;
use crate::revision::missing::subtract;

/// Gaps remembered per instrument. Of an id among older ones it is not known whether it came.
pub const GAPS_REMEMBERED: usize = 4096;

/// Where an item belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nothing has come before it, so nothing says whether it is the first.
    First,
    /// It comes next.
    Next,
    /// Ids before it are missing.
    Ahead,
    /// Its id lies among those that came.
    Repeated,
    /// Its id was given up as missing.
    GivenUp,
    /// Its id is below the first one that came: it never came.
    Before,
    /// Its id lies among gaps so old that they are forgotten: it may have come or not.
    Forgotten,
    /// Some of its ids came, and others did not: it cannot count, since it cannot be divided.
    Overlaps,
}

/// What became of an item that had to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It waits, instead of so many that its ids contain.
    Waits {
        /// How many it replaces.
        instead_of: usize,
    },
    /// All of its ids wait already.
    Known,
    /// Some of its ids wait with items that cover others as well. It was not kept.
    Overlaps,
}

/// An item that need not wait any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready<T> {
    /// It comes next, and is settled.
    Next(T),
    /// Some of its ids came otherwise while it waited: it does not count, and the others are missing.
    Overlaps(T),
}

/// Which ids are settled: they came, or were given up as missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The first id; none where the beginning is not known.
    pub first: Option<u64>,
    /// The last id; none before the first item.
    pub last: Option<u64>,
    /// The latest gaps, oldest first, to tell a late item from a repeated one.
    given_up: VecDeque<Gap>,
    /// From the first to the last id of the gaps that are no longer known one by one.
    forgotten: Option<Gap>,
}

impl Settled {
    /// Ids up to `last`, with these gaps; nothing is known of where they begin.
    pub fn up_to(last: Option<u64>, gaps: impl IntoIterator<Item = Gap>) -> Self {
        let mut settled = Self { last, ..Self::default() };
        gaps.into_iter().for_each(|gap| settled.remember(gap));
        settled
    }

    /// The same, where the ids of `forgotten` may be missing or not.
    pub fn besides(self, forgotten: Option<Gap>) -> Self {
        let forgotten = joined(self.forgotten, forgotten);
        Self { forgotten, ..self }
    }

    /// The gaps that are known one by one, oldest first, without what came late.
    pub fn gaps(&self) -> impl Iterator<Item = Gap> + '_ {
        self.given_up.iter().copied()
    }

    /// From the first to the last id of the gaps that are no longer known one by one.
    pub fn forgotten(&self) -> Option<Gap> {
        self.forgotten
    }

    /// The place of an item that covers these ids.
    #[inline]
    pub fn place(&self, first: u64, last: u64) -> Place {
        match self.last {
            None => Place::First,
            Some(settled) if last <= settled => self.place_settled(first, last),
            Some(settled) if first > settled.saturating_add(1) => Place::Ahead,
            Some(settled) if first <= settled => Place::Overlaps,
            Some(_) => Place::Next,
        }
    }

    fn place_settled(&self, first: u64, last: u64) -> Place {
        if self.first.is_some_and(|begins| last < begins) {
            return Place::Before;
        }
        // How many of its ids a gap has.
        let in_gap = |gap: &Gap| {
            let (from, to) = (gap.first_missing.max(first), gap.last_missing.min(last));
            to.checked_sub(from).map_or(0, |beyond| beyond.saturating_add(1))
        };
        let missing = self.given_up.iter().map(in_gap).fold(0, u64::saturating_add);
        if missing > 0 {
            let all = (last - first.min(last)).saturating_add(1);
            return if missing >= all { Place::GivenUp } else { Place::Overlaps };
        }
        match self.forgotten.as_ref().is_some_and(|gap| in_gap(gap) > 0) {
            true => Place::Forgotten,
            false => Place::Repeated,
        }
    }

    /// Remembers a gap that was given up.
    pub fn remember(&mut self, gap: Gap) {
        if self.given_up.len() >= GAPS_REMEMBERED
            && let Some(oldest) = self.given_up.pop_front()
        {
            self.forgotten = joined(self.forgotten, Some(oldest));
        }
        self.given_up.push_back(gap);
    }

    /// Ids that were given up have come after all: from now on they are repeated.
    pub fn came_late(&mut self, ids: Gap) {
        let mut given_up: Vec<Gap> = self.given_up.drain(..).collect();
        subtract(&mut given_up, ids);
        self.given_up = given_up.into();
    }
}

/// From the first to the last id of both.
pub fn joined(one: Option<Gap>, other: Option<Gap>) -> Option<Gap> {
    let (Some(a), Some(b)) = (one, other) else { return one.or(other) };
    Some(Gap {
        first_missing: a.first_missing.min(b.first_missing),
        last_missing: a.last_missing.max(b.last_missing),
    })
}

/// Items of one instrument by their ids: which are settled, and which wait for missing ones.
///
/// An item covers one id or, where a venue aggregates, several. How long to wait is up to the
/// caller, as is what becomes of an item once it is settled.
///
/// # Contract
/// Ids settle in ascending order, each once: by an item, or by being given up as missing. An item of
/// which some ids are settled otherwise never settles the others.
#[derive(Clone, Debug, PartialEq)]
pub struct IdOrder<T> {
    settled: Settled,
    /// By id; all beyond the last settled one's successor. No two share an id.
    waiting: VecDeque<Waiting<T>>,
    /// Ids up to this one are known to exist, by an item that could not count.
    exist_through: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
struct Waiting<T> {
    first: u64,
    last: u64,
    item: T,
}

impl<T> Default for IdOrder<T> {
    fn default() -> Self {
        Self { settled: Settled::default(), waiting: VecDeque::new(), exist_through: None }
    }
}

impl<T> IdOrder<T> {
    /// Continues after ids that were settled before.
    pub fn resume(&mut self, settled: Settled) {
        self.settled = settled;
    }

    /// Which ids are settled.
    pub fn settled(&self) -> &Settled {
        &self.settled
    }

    /// The last id that is settled.
    pub fn last(&self) -> Option<u64> {
        self.settled.last
    }

    /// The gaps that were given up, oldest first, without what came late.
    pub fn given_up(&self) -> impl Iterator<Item = Gap> + '_ {
        self.settled.gaps()
    }

    /// The items that wait, by id.
    pub fn waiting(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        self.waiting.iter().map(|waiting| &waiting.item)
    }

    /// The highest id that waits.
    pub fn last_waiting(&self) -> Option<u64> {
        self.waiting.back().map(|waiting| waiting.last)
    }

    /// Whether an item waits.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The place of an item that covers these ids.
    #[inline]
    pub fn place(&self, first: u64, last: u64) -> Place {
        self.settled.place(first, last)
    }

    /// An item of these ids has come, and everything up to it is settled.
    #[inline]
    pub fn settle(&mut self, first: u64, last: u64) {
        if self.settled.last.is_none() {
            self.settled.first = Some(first);
        }
        self.settled.last = Some(last);
    }

    /// Everything up to this id is settled, whether it came or not.
    pub fn settle_through(&mut self, last: u64) {
        self.settled.last = Some(last);
    }

    /// Makes an item wait that is [ahead](Place::Ahead).
    pub fn wait(&mut self, first: u64, last: u64, item: T) -> Kept {
        let waiting = Waiting { first, last, item };
        if self.waiting.back().is_none_or(|newest| newest.last < first) {
            self.waiting.push_back(waiting);
            return Kept::Waits { instead_of: 0 };
        }
        let (from, kept) = self.among_waiting(first, last);
        match kept {
            Kept::Waits { instead_of: 0 } => self.waiting.insert(from, waiting),
            Kept::Waits { instead_of } => {
                self.waiting.drain(from + 1..from + instead_of);
                self.waiting[from] = waiting;
            }
            Kept::Overlaps => self.note_existing(last),
            Kept::Known => {}
        }
        kept
    }

    /// What would become of an item that had to wait.
    pub fn would_keep(&self, first: u64, last: u64) -> Kept {
        self.among_waiting(first, last).1
    }

    /// The place of ids among those that wait, and what becomes of an item that covers them.
    fn among_waiting(&self, first: u64, last: u64) -> (usize, Kept) {
        let from = self.waiting.partition_point(|waiting| waiting.last < first);
        let shared = self.waiting.range(from..).take_while(|waiting| waiting.first <= last);
        let (mut count, mut is_whole, mut is_within, mut next) = (0, true, true, first);
        for other in shared {
            is_whole &= other.first <= next;
            is_within &= first <= other.first && other.last <= last;
            next = other.last.saturating_add(1);
            count += 1;
        }
        let kept = match count > 0 && is_whole && next > last {
            true => Kept::Known,
            false if is_within => Kept::Waits { instead_of: count },
            false => Kept::Overlaps,
        };
        (from, kept)
    }

    /// Ids up to this one exist, although no item has brought the last of them: they are missing.
    pub fn note_existing(&mut self, last: u64) {
        self.exist_through = self.exist_through.max(Some(last));
    }

    /// Whether an item of this id waits.
    pub fn has(&self, id: u64) -> bool {
        self.waiting_at(id).is_some()
    }

    /// The item of this id, if it waits.
    pub fn waiting_at(&self, id: u64) -> Option<&T> {
        let found = self.waiting.binary_search_by_key(&id, |waiting| waiting.last);
        found.ok().map(|place| &self.waiting[place].item)
    }

    /// The item of this id, if it waits.
    pub fn waiting_at_mut(&mut self, id: u64) -> Option<&mut T> {
        let found = self.waiting.binary_search_by_key(&id, |waiting| waiting.last);
        found.ok().map(|place| &mut self.waiting[place].item)
    }

    /// Drops all items that wait, and returns them.
    pub fn drop_waiting(&mut self) -> Vec<T> {
        self.exist_through = None;
        self.waiting.drain(..).map(|waiting| waiting.item).collect()
    }

    /// Drops the waiting item of the highest id, if that is beyond `id`.
    pub fn drop_beyond(&mut self, id: u64) -> bool {
        let drops = self.waiting.back().is_some_and(|newest| newest.last > id);
        drops && self.waiting.pop_back().is_some()
    }

    /// Takes the first waiting item if nothing is missing before it.
    pub fn next_ready(&mut self) -> Option<Ready<T>> {
        while let Some(next) = self.waiting.front() {
            let place = match self.settled.last {
                Some(settled) if next.last <= settled => Place::Repeated,
                _ => self.place(next.first, next.last),
            };
            if place == Place::Ahead {
                break;
            }
            let next = self.waiting.pop_front()?;
            match place {
                // Another one has brought all of its ids meanwhile.
                Place::Repeated => {}
                Place::Overlaps => {
                    self.note_existing(next.last);
                    return Some(Ready::Overlaps(next.item));
                }
                _ => {
                    self.settle(next.first, next.last);
                    return Some(Ready::Next(next.item));
                }
            }
        }
        None
    }

    /// What the first waiting item waits for, or what is known to exist beyond all; none before the
    /// first item is settled.
    pub fn missing(&self) -> Option<Gap> {
        let settled = self.settled.last?;
        let last_missing = match self.waiting.front() {
            Some(next) => next.first.saturating_sub(1),
            None => self.exist_through.filter(|last| *last > settled)?,
        };
        let first_missing = settled.saturating_add(1);
        (first_missing <= last_missing).then_some(Gap { first_missing, last_missing })
    }

    /// Gives up what is missing.
    pub fn give_up(&mut self) -> Option<Gap> {
        let gap = self.missing()?;
        self.settled.remember(gap);
        self.settled.last = Some(gap.last_missing);
        Some(gap)
    }

    /// Remembers a gap that was given up.
    pub fn remember(&mut self, gap: Gap) {
        self.settled.remember(gap);
    }

    /// Ids that were given up have come after all: from now on they are repeated.
    pub fn came_late(&mut self, ids: Gap) {
        self.settled.came_late(ids);
    }
}

#[cfg(test)]
mod overlap_tests;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Settles every tenth id, so that all others are missing.
    fn every_tenth(items: u64) -> IdOrder<u64> {
        let mut order = IdOrder::default();
        for id in (1..=items).map(|n| 10 * n) {
            match order.place(id, id) {
                Place::First => order.settle(id, id),
                _ => {
                    assert_eq!(order.wait(id, id, id), Kept::Waits { instead_of: 0 });
                    order.give_up().unwrap();
                    assert_eq!(order.next_ready(), Some(Ready::Next(id)));
                }
            }
        }
        order
    }

    #[test]
    fn an_id_below_the_first_never_came() {
        let order = every_tenth(3);
        let places = [9, 10, 11, 20, 30, 31, 32].map(|id| order.place(id, id));
        let [before, first, missing, came, last, next, ahead] = places;
        assert_eq!((before, first, missing), (Place::Before, Place::Repeated, Place::GivenUp));
        assert_eq!((came, last), (Place::Repeated, Place::Repeated));
        assert_eq!((next, ahead), (Place::Next, Place::Ahead));
    }

    #[test]
    fn where_the_beginning_is_not_known_nothing_is_before_it() {
        let mut order: IdOrder<u64> = IdOrder::default();
        order.resume(Settled::up_to(Some(100), []));
        assert_eq!(order.place(1, 1), Place::Repeated);
        assert_eq!(order.place(101, 101), Place::Next);
    }

    #[test]
    fn among_forgotten_gaps_no_id_is_called_repeated() {
        let items = GAPS_REMEMBERED as u64 + 10;
        let order = every_tenth(items);
        // Nine gaps are forgotten: those after the trades 10 to 90.
        let places = [10, 11, 50, 55, 99].map(|id| order.place(id, id));
        let forgotten = Place::Forgotten;
        assert_eq!(places, [Place::Repeated, forgotten, forgotten, forgotten, forgotten]);
        assert_eq!(order.place(100, 100), Place::Repeated);
        assert_eq!(order.place(101, 101), Place::GivenUp);
        assert_eq!(order.place(10 * items, 10 * items), Place::Repeated);
    }

    proptest! {
        /// However ids jump: one that never came is never called repeated.
        #[test]
        fn what_is_called_repeated_came(
            jumps in prop::collection::vec(1u64..4, 1..60),
            start in 5u64..50,
        ) {
            let (mut order, mut came, mut id) = (IdOrder::default(), Vec::new(), start);
            for jump in jumps {
                if came.is_empty() {
                    order.settle(id, id);
                } else {
                    order.wait(id, id, id);
                    order.give_up();
                    while order.next_ready().is_some() {}
                }
                came.push(id);
                id += jump;
            }
            for id in 0..id {
                let repeated = order.place(id, id) == Place::Repeated;
                prop_assert_eq!(repeated, came.contains(&id), "{}", id);
            }
        }
    }
}
