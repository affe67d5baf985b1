//! The rule about ids: what comes next, what repeats, what is missing.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::gap::Gap;
use crate::revision::missing::subtract;

/// Gaps remembered per instrument. A trade older than the oldest of them counts as a duplicate.
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
    /// Its id is settled.
    Repeated,
    /// Its id was given up as missing.
    GivenUp,
}

/// Items of one instrument by their ids: which are settled, and which wait for missing ones.
///
/// An item covers one id or, where a venue aggregates, for several. How long to wait is up to the
/// caller, as is what becomes of an item once it is settled.
///
/// # Contract
/// Ids settle in ascending order, each once: by an item, or by being given up as missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdOrder<T> {
    /// The last id that is settled.
    last: Option<u64>,
    /// By id; all beyond `last + 1`.
    waiting: VecDeque<Waiting<T>>,
    /// The latest gaps, to tell a late item from a repeated one.
    given_up: VecDeque<Gap>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Waiting<T> {
    first: u64,
    last: u64,
    item: T,
}

impl<T> Default for IdOrder<T> {
    fn default() -> Self {
        Self { last: None, waiting: VecDeque::new(), given_up: VecDeque::new() }
    }
}

impl<T> IdOrder<T> {
    /// Continues after ids that were settled before.
    pub fn resume(&mut self, last: Option<u64>, given_up: VecDeque<Gap>) {
        (self.last, self.given_up) = (last, given_up);
    }

    /// The last id that is settled.
    pub fn last(&self) -> Option<u64> {
        self.last
    }

    /// The gaps that were given up, oldest first, without what came late.
    pub fn given_up(&self) -> impl Iterator<Item = Gap> + '_ {
        self.given_up.iter().copied()
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
        match self.last {
            None => Place::First,
            Some(settled) if last <= settled => {
                let contains = |gap: &Gap| gap.first_missing <= last && last <= gap.last_missing;
                match self.given_up.iter().any(contains) {
                    true => Place::GivenUp,
                    false => Place::Repeated,
                }
            }
            Some(settled) if first > settled.saturating_add(1) => Place::Ahead,
            Some(_) => Place::Next,
        }
    }

    /// Everything up to this id is settled.
    #[inline]
    pub fn settle(&mut self, last: u64) {
        self.last = Some(last);
    }

    /// Makes an item wait; false if one of its id does already.
    pub fn wait(&mut self, first: u64, last: u64, item: T) -> bool {
        let waiting = Waiting { first, last, item };
        if self.waiting.back().is_none_or(|newest| newest.last < last) {
            self.waiting.push_back(waiting);
            return true;
        }
        match self.waiting.binary_search_by_key(&last, |waiting| waiting.last) {
            Ok(_) => false,
            Err(place) => {
                self.waiting.insert(place, waiting);
                true
            }
        }
    }

    /// Whether an item of this id waits.
    pub fn has(&self, id: u64) -> bool {
        self.waiting.binary_search_by_key(&id, |waiting| waiting.last).is_ok()
    }

    /// Drops the waiting item of the highest id, if that is beyond `id`.
    pub fn drop_beyond(&mut self, id: u64) -> bool {
        let drops = self.waiting.back().is_some_and(|newest| newest.last > id);
        drops && self.waiting.pop_back().is_some()
    }

    /// Settles the first waiting item if nothing is missing before it.
    pub fn next_ready(&mut self) -> Option<T> {
        while let Some(next) = self.waiting.front() {
            let settled = self.last;
            if settled.is_some_and(|settled| next.first > settled.saturating_add(1)) {
                break;
            }
            let next = self.waiting.pop_front()?;
            // Of overlapping items the later one may bring nothing new.
            if settled.is_none_or(|settled| next.last > settled) {
                self.last = Some(next.last);
                return Some(next.item);
            }
        }
        None
    }

    /// What the first waiting item waits for; none before the first item is settled.
    pub fn missing(&self) -> Option<Gap> {
        let first_missing = self.last?.saturating_add(1);
        let last_missing = self.waiting.front()?.first.saturating_sub(1);
        Some(Gap { first_missing, last_missing })
    }

    /// Gives up what the first waiting item waits for.
    pub fn give_up(&mut self) -> Option<Gap> {
        let gap = self.missing()?;
        self.remember(gap);
        self.last = Some(gap.last_missing);
        Some(gap)
    }

    /// Remembers a gap that was given up.
    pub fn remember(&mut self, gap: Gap) {
        if self.given_up.len() == GAPS_REMEMBERED {
            self.given_up.pop_front();
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
