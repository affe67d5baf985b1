//! Prints with unique names but no order: duplicates are detected within a window.

use std::collections::{HashMap, HashSet, VecDeque};

use barflow_operators::position::LatestNames;

use super::last_moment::LastMoment;
use super::plan::LastTrade;
use super::print::Print;
use super::venue::{Missing, MissingTrades};

/// Names remembered. Bybit's REST lists at most 1,000 recent trades, and redundant connections are
/// seconds apart at most: this is far more than either needs, and half a megabyte.
const REMEMBERED: usize = 32_768;

/// The names seen last, and prints held back while it is uncertain whether some were missed.
#[derive(Debug, Default)]
pub(super) struct SeenIds {
    /// The number of each print in its instrument's order; none where it is not known, or for a print
    /// that is not a trade.
    seen: HashMap<u64, Option<u64>>,
    order: VecDeque<u64>,
    /// Prints up to this event time (ns) were applied before we began; none if none was.
    not_after: Option<i64>,
    /// The moment after that, of which some prints were applied; none where their names are known.
    moment: Option<LastMoment>,
    last_number: u64,
    /// The latest event time, and the names of all prints of it; none before the first print.
    latest: Option<LatestNames>,
    /// Whether any print went on since we began.
    begun: bool,
    suspicions: u64,
    held: Option<Held>,
}

/// Prints that wait until a list of recent ones says what came before them.
#[derive(Debug, Default)]
struct Held {
    prints: Vec<Print>,
    /// How many of them came before the latest suspicion: behind those, others may be missing too.
    before: usize,
    /// Whether some found no room.
    overflowed: bool,
    /// The latest list that could not be placed, requested since the latest suspicion.
    unplaced: Vec<Print>,
}

/// Where a list of recent prints lies, seen from the first print held since the latest suspicion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SnapshotPosition {
    /// It has nothing.
    Nowhere,
    /// No print is held since, and it touches nothing that was heard: what lies between may be under way.
    Unplaced,
    /// It ends before that print.
    Before,
    /// It has that print, or no print is held and it is fresh.
    Over,
    /// Its times are around that print, which it has not.
    Around,
    /// It begins after that print.
    Behind,
}

impl SeenIds {
    pub(super) fn resume_after(&mut self, last: &LastTrade) {
        self.last_number = last.id;
        self.moment = last.time.map(|time| LastMoment::new(time, &last.moment));
        self.not_after = self.moment.as_ref().map(|moment| moment.began().saturating_sub(1));
        if !last.names.is_empty() {
            self.moment = None;
            self.not_after = last.time.map(|time| time.saturating_sub(1));
            self.seen.extend(last.names.iter().map(|name| (*name, None)));
            self.order.extend(&last.names);
            let names = last.names.clone();
            self.latest = last.time.map(|event_time| LatestNames { event_time, names });
        }
    }

    /// Time and names of what was let through last.
    pub(super) fn latest(&self) -> Option<LatestNames> {
        self.latest.clone()
    }

    /// Whether any print was let through since we began.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether a print was let through before.
    pub(super) fn knows(&self, print: &Print) -> bool {
        self.not_after.is_some_and(|time| print.trade.event_time <= time)
            || self.seen.contains_key(&print.key)
            || self.moment.as_ref().is_some_and(|moment| moment.hides(print))
    }

    /// Finds out which of these prints, oldest first, are trades that were applied before we began.
    pub(super) fn find_applied(&mut self, prints: &[Print]) {
        for print in prints {
            let Some(moment) = &mut self.moment else { return };
            if self.seen.contains_key(&print.key) {
                continue;
            }
            moment.note_hidden(print);
            if let Some(trade) = moment.find(print) {
                self.seen.insert(print.key, Some(trade.trade_id));
                // Before everything that was let through.
                self.order.push_front(print.key);
                self.note_latest(print);
            }
        }
    }

    /// The moment of which prints were dropped though nothing says that they were applied; said once.
    pub(super) fn take_doubt(&mut self) -> Option<i64> {
        let moment = self.moment.as_mut()?;
        moment.take_doubt().then_some(moment.began())
    }

    fn note_latest(&mut self, print: &Print) {
        let time = print.trade.event_time;
        let latest = self.latest.get_or_insert_with(|| LatestNames::at(time));
        if time > latest.event_time {
            latest.event_time = time;
            latest.names.clear();
        }
        if time == latest.event_time {
            latest.names.push(print.key);
        }
    }

    /// Remembers the name; false if it was known.
    pub(super) fn is_new(&mut self, print: &Print) -> bool {
        self.find_applied(std::slice::from_ref(print));
        if self.knows(print) {
            return false;
        }
        self.seen.insert(print.key, None);
        self.begun = true;
        self.note_latest(print);
        self.order.push_back(print.key);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }

    /// The next number, for a trade of this name.
    pub(super) fn number(&mut self, name: u64) -> u64 {
        self.last_number += 1;
        self.seen.insert(name, Some(self.last_number));
        self.last_number
    }

    /// The number that the trade of a name was given, as far as it is remembered.
    pub(super) fn number_of(&self, name: u64) -> Option<u64> {
        self.seen.get(&name).copied().flatten()
    }

    pub(super) fn suspect(&mut self) {
        // Before the first print there is nothing to have missed.
        if !self.order.is_empty() || self.not_after.is_some() {
            let held = self.held.get_or_insert_default();
            held.before = held.prints.len();
            held.unplaced.clear();
            self.suspicions += 1;
        }
    }

    pub(super) fn is_suspect(&self) -> bool {
        self.held.is_some()
    }

    pub(super) fn held(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.prints.len())
    }

    /// Holds a print back; false when there is no room.
    pub(super) fn hold(&mut self, print: &Print, room: usize) -> bool {
        let Some(held) = &mut self.held else { return false };
        let fits = held.prints.len() < room.max(1);
        match fits {
            true => held.prints.push(*print),
            false => held.overflowed = true,
        }
        fits
    }

    /// What a list of recent prints has to tell. The number of the suspicion tells whether a list was
    /// requested since.
    pub(super) fn missing(&self, after: Option<i64>) -> Option<Missing> {
        let trades = MissingTrades::Interruption(self.suspicions);
        self.is_suspect().then_some(Missing { trades, after })
    }

    /// Event time up to which prints were seen; none before the first.
    fn seen_until(&self) -> Option<i64> {
        let applied = self.moment.as_ref().map(LastMoment::began).max(self.not_after);
        self.latest.as_ref().map(|latest| latest.event_time).max(applied)
    }

    /// What of a list of recent prints comes after all that was seen, and whether the list reaches
    /// back to that. What it has before happened before we began, or its place has passed.
    pub(super) fn news<'a>(&self, recent: &'a [Print]) -> (&'a [Print], bool) {
        let until = self.seen_until();
        let held = self.held.iter().flat_map(|held| &held.prints);
        let held: HashSet<u64> = held.map(|print| print.key).collect();
        // What is held was heard since, whatever its time.
        let from_first_new = |recent: &'a [Print], is_old: &dyn Fn(i64) -> bool| {
            let old = |print: &&Print| is_old(print.trade.event_time) && !held.contains(&print.key);
            &recent[recent.iter().take_while(old).count()..]
        };
        if let Some(last) = recent.iter().rposition(|print| self.knows(print)) {
            let behind = &recent[last + 1..];
            // A list that ends before the last print seen has behind a known one what was given up.
            return match self.order.back() == Some(&recent[last].key) {
                true => (behind, true),
                false => (from_first_new(behind, &|time| Some(time) < until), true),
            };
        }
        let reaches = recent.first().is_some_and(|oldest| Some(oldest.trade.event_time) < until);
        (from_first_new(recent, &|time| Some(time) <= until), reaches)
    }

    /// Whether a list has any of what is held.
    fn touches_held(&self, recent: &[Print]) -> bool {
        let listed: HashSet<u64> = recent.iter().map(|print| print.key).collect();
        let mut held = self.held.iter().flat_map(|held| &held.prints);
        held.any(|print| listed.contains(&print.key))
    }

    /// The first print held since the latest suspicion.
    pub(super) fn anchor(&self) -> Option<Print> {
        let held = self.held.as_ref()?;
        held.prints.get(held.before).copied()
    }

    /// The first print after everything that may be missing: held since the latest suspicion, or of a list
    /// requested since, where nothing is held.
    pub(super) fn bound(&self) -> Option<Print> {
        let held = self.held.as_ref()?;
        let unplaced = held.unplaced.first().filter(|_| held.prints.is_empty());
        // What finds no room is suspected anew, after the last print that did.
        let last = held.prints.last().filter(|_| held.overflowed);
        self.anchor().or(unplaced.or(last).copied())
    }

    /// Where a list of recent prints lies. One that is not fresh was perhaps made before we listened.
    pub(super) fn snapshot_position(&self, recent: &[Print], fresh: bool) -> SnapshotPosition {
        let (Some(oldest), Some(newest)) = (recent.first(), recent.last()) else {
            return SnapshotPosition::Nowhere;
        };
        let Some(anchor) = self.anchor() else {
            // Where its newest print is older than what was seen, it lags for certain.
            let current = fresh && Some(newest.trade.event_time) >= self.seen_until();
            let touches = self.news(recent).1 || self.touches_held(recent);
            return match (touches, current) {
                (false, _) => SnapshotPosition::Unplaced,
                (true, true) => SnapshotPosition::Over,
                (true, false) => SnapshotPosition::Before,
            };
        };
        let time = anchor.trade.event_time;
        if recent.iter().any(|print| print.key == anchor.key) {
            SnapshotPosition::Over
        } else if newest.trade.event_time <= time {
            SnapshotPosition::Before
        } else if oldest.trade.event_time >= time {
            SnapshotPosition::Behind
        } else {
            SnapshotPosition::Around
        }
    }

    /// Takes out what is held from before the latest suspicion and lies before a list's beginning.
    pub(super) fn ahead_of(&mut self, recent: &[Print]) -> Vec<Print> {
        let (Some(held), Some(oldest)) = (&mut self.held, recent.first()) else {
            return Vec::new();
        };
        let listed: HashSet<u64> = recent.iter().map(|print| print.key).collect();
        let ahead = |print: &&Print| {
            print.trade.event_time <= oldest.trade.event_time && !listed.contains(&print.key)
        };
        let count = held.prints[..held.before].iter().take_while(ahead).count();
        held.before -= count;
        held.prints.drain(..count).collect()
    }

    /// Keeps a list that could not be placed.
    pub(super) fn set_unplaced(&mut self, recent: &[Print]) {
        if let Some(held) = &mut self.held {
            held.unplaced = recent.to_vec();
        }
    }

    /// Such a list, if still nothing is held that would say where it belongs.
    pub(super) fn take_unplaced(&mut self) -> Vec<Print> {
        let held = self.held.as_mut().filter(|held| held.prints.is_empty());
        held.map_or_else(Vec::new, |held| std::mem::take(&mut held.unplaced))
    }

    /// Ends the suspicion; returns what was held. If some of it found no room, that is a suspicion anew.
    pub(super) fn settle(&mut self) -> Vec<Print> {
        let held = self.held.take().unwrap_or_default();
        if held.overflowed {
            self.suspect();
        }
        held.prints
    }
}
