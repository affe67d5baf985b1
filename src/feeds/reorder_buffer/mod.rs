//! One instrument's order: which prints pass, which are duplicates, what is missing.
//!
//! ```text
//! print ─► known? ──yes──► repeat; of other content or a later time: a contradiction
//!            │ no
//!            ├─ next id ──► released, with all that waited for it
//!            └─ later id ─► waits; `missing` says for what; REST's prints come in by the same door
//!                           `give_up` ends the wait: a gap, and the order continues
//! ```
//!
//! A reorder buffer has no clock and sends no requests: the session decides how long to wait and
//! where to ask.

use barflow_operators::batch::TradeBatch;
use barflow_operators::gap::Gap;
use barflow_operators::input_batch::LeftOut;
use barflow_operators::order::ids::{IdOrder, Kept, Place, Ready, Settled};
use barflow_operators::order::recent::RecentTrades;
use barflow_operators::position::LatestNames;
use barflow_operators::sequence::FeedOrder;
use barflow_operators::trade::Trade;

pub use self::disposition::Disposition;
use self::supposed::Supposed;
use super::plan::LastTrade;
use super::print::{Ids, Print, Standing};
use super::seen_ids::{SeenIds, SnapshotPosition};
use super::venue::{Missing, MissingTrades};

/// Trades whose content is remembered, to tell a repeated trade from another one of its id.
const REMEMBERED: usize = 1024;

/// What a reorder buffer releases.
#[derive(Debug)]
pub struct Released {
    /// Trades in order, and late ones among them.
    pub trades: TradeBatch,
    /// What is known of them: gaps, which ones are late.
    pub order: FeedOrder,
    /// Prints that are not trades by rule, in order.
    pub left_out: Vec<LeftOut>,
    /// Ids given up as missing that turn out to be no trades.
    pub never: Vec<Gap>,
}

impl Released {
    /// Trades, and nothing else.
    pub fn new(trades: TradeBatch) -> Self {
        Self { trades, order: FeedOrder::default(), left_out: Vec::new(), never: Vec::new() }
    }

    /// Notes a print that is not a trade by rule.
    fn leave_out(&mut self, id: Option<u64>, why: &'static str) {
        let row = self.trades.len() as u32;
        self.left_out.push(LeftOut { row, line: 0, id, reason: why.into() });
    }

    /// Whether there is nothing to release.
    pub fn is_empty(&self) -> bool {
        self.trades.is_empty() && self.order.through.is_none() && self.never.is_empty()
    }
}

/// A gap that was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// The ids, where the venue has any.
    pub gap: Option<Gap>,
    /// Event time of the last print before, ns, where there was one.
    pub after: Option<i64>,
    /// Event time of the first print after it, ns.
    pub before: i64,
}

/// The order of one instrument.
///
/// # Contract
/// Whatever the order, repetition and interleaving of the prints that come in, the trades released
/// have strictly increasing ids, each at most once, also where single trades and aggregates cover the same
/// ids; what is not released is repeated, waits, or
/// lies in a gap that was given up. Prints that fill every gap make the same sequence as an
/// undisturbed stream.
#[derive(Debug)]
pub struct ReorderBuffer {
    ids: Ids,
    /// Which ids are settled, and what waits for a missing one.
    order: IdOrder<Print>,
    /// Event time, ns, of the print whose id is the highest of those that overlapped.
    overlapped: Option<(u64, i64)>,
    /// The first id of what was given up since the last trade: no trade shows yet that it is missing.
    unshown: Option<u64>,
    /// Event time of the last print that was released, where it is known.
    last_time: Option<i64>,
    /// The latest trades that were released, by their ids or numbers.
    recent: RecentTrades,
    room: usize,
    names: SeenIds,
    supposed: Supposed,
}

impl ReorderBuffer {
    /// An order that begins with the first print, in which at most `room` prints wait.
    pub fn new(ids: Ids, room: usize) -> Self {
        let (order, names) = (IdOrder::default(), SeenIds::default());
        let recent = RecentTrades::new(REMEMBERED);
        let supposed = Supposed::default();
        Self {
            ids,
            order,
            overlapped: None,
            unshown: None,
            last_time: None,
            recent,
            room,
            names,
            supposed,
        }
    }

    /// Continues after a trade that was applied before.
    pub fn resume_after(&mut self, last: &LastTrade) {
        let settled = Settled::up_to(Some(last.id), last.gaps.iter().copied());
        self.order.resume(settled.besides(last.forgotten));
        self.last_time = last.time;
        last.recent.iter().for_each(|trade| self.recent.note(trade));
        self.names.resume_after(last);
    }

    /// The latest prints that were released, where prints have names instead of ids.
    pub fn latest(&self) -> Option<LatestNames> {
        self.names.latest()
    }

    /// Id of the last print that is settled, and its event time where it is known.
    pub fn last(&self) -> Option<(u64, Option<i64>)> {
        self.order.last().map(|id| (id, self.last_time))
    }

    /// The latest trades that were released, to compare with those that repeat their ids.
    pub fn recent(&self) -> impl Iterator<Item = &Trade> + '_ {
        self.recent.iter()
    }

    /// How many prints wait.
    pub fn waits(&self) -> usize {
        self.order.waiting().len() + self.names.held()
    }

    /// Takes a print, wherever it comes from.
    #[inline]
    pub fn take(&mut self, print: &Print, out: &mut Released) -> Disposition {
        if self.ids == Ids::Names {
            return self.take_named(print, out);
        }
        let (first, last) = (first_id(self.ids, print), print.trade.trade_id);
        match self.order.place(first, last) {
            place @ (Place::First | Place::Next) => {
                if place == Place::First {
                    out.order.begins = Some(first);
                }
                self.order.settle(first, last);
                self.release(print, out);
                self.release_waiting(out);
                Disposition::Released
            }
            Place::Ahead => self.wait(print),
            Place::Overlaps => self.take_overlapping(print),
            place => self.take_settled(place, print, out),
        }
    }

    /// Takes a print whose id is settled.
    fn take_settled(&mut self, place: Place, print: &Print, out: &mut Released) -> Disposition {
        match self.repeated(print) {
            Disposition::Repeated => return Disposition::Repeated,
            _ if self.is_too_late(print) => return Disposition::BegunAnew,
            _ if place == Place::Before => {
                return self.supposed.before_first(print, self.order.settled().first);
            }
            Disposition::Presumed => {}
            other => return other,
        }
        if print.standing == Standing::Trade && self.supposed.comes(print.trade.trade_id) {
            return Disposition::Unlisted;
        }
        // What came before we began, or so long ago that its gap is forgotten, happened long ago.
        if place != Place::GivenUp {
            return Disposition::Presumed;
        }
        self.take_late(print, out);
        Disposition::Late
    }

    /// Takes a print of which some ids came or wait otherwise: as long as it is not known what the others
    /// are, they are missing.
    fn take_overlapping(&mut self, print: &Print) -> Disposition {
        let (id, time) = (print.trade.trade_id, print.trade.event_time);
        if self.order.last().is_none_or(|last| id > last) {
            self.order.note_existing(id);
            self.overlapped = self.overlapped.max(Some((id, time)));
        } else if self.is_too_late(print) {
            return Disposition::BegunAnew;
        }
        Disposition::Overlaps
    }

    /// What the first waiting print waits for.
    pub fn missing(&self) -> Option<Missing> {
        if self.ids == Ids::Names {
            return self.names.missing(self.last_time);
        }
        let gap = self.order.missing()?;
        let trades = MissingTrades::Ids { first: gap.first_missing, last: gap.last_missing };
        Some(Missing { trades, after: self.last_time })
    }

    /// The moment in which a history ends, where prints of it were dropped and nothing says whether it had
    /// them; said once.
    pub fn take_doubt(&mut self) -> Option<GivenUp> {
        let time = self.names.take_doubt()?;
        Some(GivenUp { gap: None, after: Some(time), before: time })
    }

    /// Whether a print shows where what is missing ends; without ids none may have come since.
    pub fn is_bounded(&self) -> bool {
        self.ids != Ids::Names || self.names.bound().is_some()
    }

    /// Ends the wait for what the first waiting print waits for. Without ids, one gap covers everything
    /// up to the first print since the latest suspicion: before any of those that are held, some may be
    /// missing.
    pub fn give_up(&mut self, out: &mut Released) -> Option<GivenUp> {
        let missing = self.missing()?;
        if self.ids == Ids::Names {
            let before = self.names.bound()?.trade.event_time;
            for print in self.names.take_unplaced() {
                self.release_if_new(&print, out);
            }
            self.names_go_on(out);
            return Some(GivenUp { gap: None, after: missing.after, before });
        }
        let next = self.order.waiting().next().map(|print| print.trade.event_time);
        let before = next.or(self.overlapped.map(|(_, time)| time))?;
        let gap = self.order.give_up();
        self.unshown = self.unshown.or(gap.map(|gap| gap.first_missing));
        self.release_waiting(out);
        Some(GivenUp { gap, after: missing.after, before })
    }

    /// Prints may be missed without anybody telling: a connection broke, or another one begins amid
    /// the stream. Of prints without order, later ones wait until [`reconcile`](Self::reconcile) has
    /// seen a list of recent ones. Nothing for numbered prints, whose ids tell.
    pub fn suspect(&mut self) {
        if self.ids == Ids::Names {
            self.names.suspect();
        }
    }

    /// Takes a list of recent prints, oldest first, after [`suspect`](Self::suspect); `fresh` if it was asked
    /// for since the latest one. Returns how many had been missed; a gap, if the list does not reach
    /// back to what was seen.
    ///
    /// The suspicion ends with a list that has the first print held since: then what was seen, the list and
    /// what is held are one sequence. A list that ends before that print lags behind the websocket:
    /// what it has passes, and another one is needed. One that begins after it is useless, because
    /// whatever it has beyond what is held comes over the websocket, and before it what the list lacks.
    /// While nothing is held, a list that is fresh ends the suspicion if it reaches back; if not, whether it is
    /// ahead of what is still under way is not known yet.
    pub fn reconcile(
        &mut self,
        recent: &[Print],
        fresh: bool,
        out: &mut Released,
    ) -> (u64, Option<GivenUp>) {
        let Some(missing) = self.names.missing(self.last_time) else { return (0, None) };
        // A list has all of a moment, in order: of equal prints the first are those that were applied.
        self.names.find_applied(recent);
        let position = self.names.snapshot_position(recent, fresh);
        let Some(oldest) = recent.first() else {
            // A venue that has no trades has none that we missed. But it had some when we heard them.
            if fresh && !self.names.has_begun() {
                self.names_go_on(out);
            }
            return (0, None);
        };
        if position == SnapshotPosition::Unplaced {
            // What was lost after an older list was made is not known.
            if fresh {
                self.names.set_unplaced(recent);
            }
            return (0, None);
        }
        // The suspicion ends with this gap, so that it has to cover what was lost each time before the
        // latest.
        let first = match position {
            SnapshotPosition::Behind => self.names.anchor(),
            _ => None,
        };
        let before = first.as_ref().unwrap_or(oldest).trade.event_time;
        let gap = GivenUp { gap: None, after: missing.after, before };
        let (news, reaches) = self.names.news(recent);
        let gap = (!reaches).then_some(gap);
        for print in self.names.ahead_of(recent) {
            self.release_if_new(&print, out);
        }
        let anchor = self.names.anchor().map_or(i64::MAX, |print| print.trade.event_time);
        let of_use = |print: &&Print| match position {
            SnapshotPosition::Over | SnapshotPosition::Before => true,
            SnapshotPosition::Around => print.trade.event_time <= anchor,
            SnapshotPosition::Behind | SnapshotPosition::Unplaced | SnapshotPosition::Nowhere => {
                false
            }
        };
        let missed =
            news.iter().filter(of_use).filter(|print| self.release_if_new(print, out)).count();
        if position != SnapshotPosition::Before {
            self.names_go_on(out);
        }
        (missed as u64, gap)
    }

    fn take_late(&mut self, print: &Print, out: &mut Released) {
        let first_missing = first_id(self.ids, print);
        let ids = Gap { first_missing, last_missing: print.trade.trade_id };
        // Once: the graph puts it in its place or sets it aside, a repeat of it is a repeat.
        self.order.came_late(ids);
        if print.standing == Standing::Trade {
            self.recent.note(&print.trade);
        }
        if let Standing::Excluded(why) = print.standing {
            self.supposed.note(print.trade.trade_id, why);
        }
        let unshown = self.unshown.filter(|from| ids.last_missing >= *from);
        match (print.standing, unshown) {
            (Standing::Trade, None) => {
                out.order.late.push(out.trades.len() as u32);
                out.trades.push(&print.trade);
            }
            (Standing::Excluded(_), None) => out.never.push(ids),
            // The graph has not learned of the gap, so nothing is late for it.
            (Standing::Trade, Some(_)) => {
                self.show_gaps(first_missing, out);
                out.trades.push(&print.trade);
                out.order.through = self.through();
            }
            (Standing::Excluded(_), Some(from)) => {
                let mut starts = self.order.given_up().map(|gap| gap.first_missing);
                self.unshown = starts.find(|first| *first >= from);
                out.order.through = self.through();
            }
        }
    }

    /// Lets the graph learn of the gaps before a trade. Until a trade shows them, a job that restarts
    /// asks for them again.
    fn show_gaps(&mut self, trade: u64, out: &mut Released) {
        let Some(from) = self.unshown else { return };
        let unshown = self.order.given_up().filter(|gap| gap.first_missing >= from);
        out.order.gaps.extend(unshown.filter(|gap| gap.last_missing < trade));
        let mut starts = self.order.given_up().map(|gap| gap.first_missing);
        self.unshown = starts.find(|first| *first > trade);
    }

    /// The last id of which the graph need not hear any more.
    fn through(&self) -> Option<u64> {
        self.unshown.map_or(self.order.last(), |from| from.checked_sub(1))
    }

    /// The ids that a print covers.
    pub fn ids_of(&self, print: &Print) -> Gap {
        Gap { first_missing: first_id(self.ids, print), last_missing: print.trade.trade_id }
    }

    fn wait(&mut self, print: &Print) -> Disposition {
        let (first, last) = (first_id(self.ids, print), print.trade.trade_id);
        let earlier = self.order.waiting_at(last);
        if let Some(earlier) = earlier.filter(|earlier| first_id(self.ids, earlier) == first) {
            return match earlier.standing {
                Standing::Trade => self.compare(&earlier.trade, print),
                Standing::Excluded(_) => Disposition::Repeated,
            };
        }
        match self.order.would_keep(first, last) {
            Kept::Known => return Disposition::Repeated,
            Kept::Overlaps => return self.take_overlapping(print),
            Kept::Waits { .. } => {}
        }
        // The print that shows the gap always finds room, so that the gap is known; and earlier ones
        // rather than later ones, since they are released first.
        let is_full = self.order.waiting().len() >= self.room.max(1);
        if is_full && !self.order.drop_beyond(last) {
            return Disposition::NoRoom;
        }
        self.order.wait(first, last, *print);
        Disposition::Waits
    }

    /// Releases a print that is settled; one that is not a trade only counts as come.
    fn release(&mut self, print: &Print, out: &mut Released) {
        match print.standing {
            Standing::Trade => {
                self.show_gaps(print.trade.trade_id, out);
                out.trades.push(&print.trade);
                self.recent.note(&print.trade);
            }
            Standing::Excluded(why) => {
                self.supposed.note(print.trade.trade_id, why);
                out.leave_out(Some(print.trade.trade_id), why);
            }
        }
        self.supposed.goes_on();
        out.order.through = self.through();
        if print.trade.event_time > 0 {
            self.last_time = Some(print.trade.event_time);
        }
    }

    fn release_waiting(&mut self, out: &mut Released) {
        while let Some(ready) = self.order.next_ready() {
            match ready {
                Ready::Next(print) => self.release(&print, out),
                Ready::Overlaps(print) => {
                    self.take_overlapping(&print);
                }
            }
        }
    }

    fn take_named(&mut self, print: &Print, out: &mut Released) -> Disposition {
        if self.names.knows(print) {
            self.names.find_applied(std::slice::from_ref(print));
            return self.repeated(print);
        }
        if self.names.is_suspect() {
            return match self.names.hold(print, self.room) {
                true => Disposition::Waits,
                false => Disposition::NoRoom,
            };
        }
        match self.release_if_new(print, out) {
            true => Disposition::Released,
            false => self.repeated(print),
        }
    }

    fn release_if_new(&mut self, print: &Print, out: &mut Released) -> bool {
        let new = self.names.is_new(print);
        if new {
            self.release_named(print, out);
        }
        new
    }

    fn release_named(&mut self, print: &Print, out: &mut Released) {
        if print.standing == Standing::Trade {
            let mut trade = print.trade;
            trade.trade_id = self.names.number(print.key);
            out.trades.push(&trade);
            self.recent.note(&trade);
            self.order.settle(trade.trade_id, trade.trade_id);
            out.order.through = Some(trade.trade_id);
        }
        if let Standing::Excluded(why) = print.standing {
            out.leave_out(None, why);
        }
        if print.trade.event_time > 0 {
            self.last_time = Some(print.trade.event_time);
        }
    }

    fn names_go_on(&mut self, out: &mut Released) {
        for print in self.names.settle() {
            self.release_if_new(&print, out);
        }
    }
}

/// First id that a print covers.
#[inline]
fn first_id(ids: Ids, print: &Print) -> u64 {
    let id = print.trade.trade_id;
    match ids {
        Ids::Spans => id.saturating_sub(u64::from(print.trade.count).saturating_sub(1)),
        _ => id,
    }
}

mod disposition;
mod repeats;
mod supposed;

#[cfg(test)]
mod contradiction_tests;
#[cfg(test)]
mod named_tests;
#[cfg(test)]
mod tests;
