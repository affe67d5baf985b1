//! One instrument's order: which prints go on, which are repeats, what is missing.
//!
//! ```text
//! print ─► known? ──yes──► repeat
//!            │ no
//!            ├─ next id ──► released, with all that waited for it
//!            └─ later id ─► waits; `missing` says for what; REST's prints come in by the same door
//!                           `give_up` ends the wait: a gap, and the order goes on
//! ```
//!
//! A lane has no clock and asks nobody: how long to wait and where to ask is the session's.

use std::collections::{BTreeMap, VecDeque};

use barflow_operators::batch::TradeBatch;
use barflow_operators::revision::missing::subtract;
use barflow_operators::sequence::Gap;

use super::names::Names;
use super::plan::LastTrade;
use super::print::{Print, Standing};
use super::venue::{Ids, Missing};

/// What became of a print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It went on, perhaps with others that had waited for it.
    Released,
    /// It was seen before, or lies before the start.
    Repeated,
    /// It waits for what is missing before it.
    Waits,
    /// Its id had been given up as missing. It goes on out of order, for the graph to set aside.
    Late,
    /// So many wait already that it was dropped: it will be missed, and asked for, in its turn.
    NoRoom,
}

/// What a lane lets go on.
#[derive(Debug)]
pub struct Released {
    /// Trades in order.
    pub trades: TradeBatch,
    /// Ids that are no trades, in order.
    pub voids: Vec<Gap>,
    /// Ids given up as missing that turn out to be no trades.
    pub never: Vec<Gap>,
}

impl Released {
    /// Trades, and nothing else.
    pub fn new(trades: TradeBatch) -> Self {
        Self { trades, voids: Vec::new(), never: Vec::new() }
    }

    /// Whether there is nothing to go on.
    pub fn is_empty(&self) -> bool {
        self.trades.is_empty() && self.voids.is_empty() && self.never.is_empty()
    }
}

/// A gap that was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// The ids, where the venue has any.
    pub gap: Option<Gap>,
    /// Event time of the last print before, ns; 0 if there was none.
    pub after: i64,
    /// Event time of the first print behind, ns.
    pub before: i64,
}

/// The order of one instrument.
///
/// # Contract
/// Whatever the order, repetition and interleaving of the prints that come in, the trades released
/// have strictly increasing ids, each at most once; what is not released is repeated, waits, or
/// lies in a gap that was given up. Prints that fill every gap make the same sequence as an
/// undisturbed stream.
#[derive(Debug)]
pub struct Lane {
    ids: Ids,
    /// Last id that is settled: released, void or given up.
    last: Option<u64>,
    last_time: i64,
    /// By id: what waits for a missing one.
    waiting: BTreeMap<u64, Print>,
    room: usize,
    given_up: VecDeque<Gap>,
    names: Names,
}

/// Gaps remembered, to tell a late trade from a repeated one.
const GAPS_REMEMBERED: usize = 4096;

impl Lane {
    /// An order that begins with the first print, in which at most `room` prints wait.
    pub fn new(ids: Ids, room: usize) -> Self {
        Self {
            ids,
            last: None,
            last_time: 0,
            waiting: BTreeMap::new(),
            room,
            given_up: VecDeque::new(),
            names: Names::default(),
        }
    }

    /// Goes on after a trade that was applied before.
    pub fn resume_after(&mut self, last: &LastTrade) {
        self.last = Some(last.id);
        self.last_time = last.time;
        self.names.resume_after(last);
    }

    /// What to resume after, where prints have names instead of ids.
    pub fn last_named(&self) -> Option<LastTrade> {
        (self.ids == Ids::Names).then(|| self.names.last())
    }

    /// Id and event time of the last print that is settled.
    pub fn last(&self) -> Option<(u64, i64)> {
        self.last.map(|id| (id, self.last_time))
    }

    /// How many prints wait.
    pub fn waits(&self) -> usize {
        self.waiting.len() + self.names.held()
    }

    /// Takes a print, wherever it comes from.
    #[inline]
    pub fn take(&mut self, print: &Print, out: &mut Released) -> Taken {
        if self.ids == Ids::Names {
            return self.take_named(print, out);
        }
        match self.last {
            Some(last) if print.trade.trade_id <= last => self.take_old(print, out),
            Some(last) if first_id(self.ids, print) > last.saturating_add(1) => self.wait(print),
            _ => {
                self.release(print, out);
                self.release_waiting(out);
                Taken::Released
            }
        }
    }

    /// What the first waiting print waits for.
    pub fn missing(&self) -> Option<Missing> {
        if self.ids == Ids::Names {
            return self.names.missing(self.last_time);
        }
        let (_, first) = self.waiting.first_key_value()?;
        Some(Missing {
            first: self.last?.saturating_add(1),
            last: first_id(self.ids, first).saturating_sub(1),
            after: self.last_time,
            before: first.trade.event_time,
        })
    }

    /// Ends the wait for what the first waiting print waits for.
    pub fn give_up(&mut self, out: &mut Released) -> Option<GivenUp> {
        let missing = self.missing()?;
        if self.ids == Ids::Names {
            self.names_go_on(out);
            return Some(GivenUp { gap: None, after: missing.after, before: missing.before });
        }
        let gap = Gap { first_missing: missing.first, last_missing: missing.last };
        if self.given_up.len() == GAPS_REMEMBERED {
            self.given_up.pop_front();
        }
        self.given_up.push_back(gap);
        self.last = Some(missing.last);
        self.release_waiting(out);
        Some(GivenUp { gap: Some(gap), after: missing.after, before: missing.before })
    }

    /// A connection broke and prints may have been missed without anybody telling: of prints
    /// without order, later ones wait until [`reconcile`](Self::reconcile) has seen a list of
    /// recent ones. Nothing for numbered prints, whose ids tell.
    pub fn doubt(&mut self) {
        if self.ids == Ids::Names {
            self.names.doubt();
        }
    }

    /// Takes a list of recent prints, oldest first, after [`doubt`](Self::doubt). Returns how many
    /// had been missed; the gap, if the list does not reach back to what was seen.
    pub fn reconcile(&mut self, recent: &[Print], out: &mut Released) -> (u64, Option<GivenUp>) {
        let Some(missing) = self.names.missing(self.last_time) else { return (0, None) };
        let reaches = self.names.reaches(recent);
        let mut missed = 0;
        for print in recent {
            if self.names.is_new(print) {
                missed += 1;
                self.release_named(print, out);
            }
        }
        self.names_go_on(out);
        let gap = GivenUp { gap: None, after: missing.after, before: missing.before };
        (missed, (!reaches).then_some(gap))
    }

    fn take_old(&mut self, print: &Print, out: &mut Released) -> Taken {
        let id = print.trade.trade_id;
        if !self.given_up.iter().any(|gap| gap.first_missing <= id && id <= gap.last_missing) {
            return Taken::Repeated;
        }
        // Once: the graph puts it in its place or sets it aside, a repeat of it is a repeat.
        let ids = Gap { first_missing: first_id(self.ids, print), last_missing: id };
        let mut given_up: Vec<Gap> = self.given_up.drain(..).collect();
        subtract(&mut given_up, ids);
        self.given_up = given_up.into();
        match print.standing {
            Standing::Trade => out.trades.push(&print.trade),
            Standing::Excluded(_) => out.never.push(ids),
        }
        Taken::Late
    }

    /// What of this is still given up as missing.
    pub fn owed(&self, missing: &Missing) -> impl Iterator<Item = Gap> + '_ {
        let (first, last) = (missing.first, missing.last);
        self.given_up.iter().filter_map(move |gap| {
            let first_missing = gap.first_missing.max(first);
            let last_missing = gap.last_missing.min(last);
            (first_missing <= last_missing).then_some(Gap { first_missing, last_missing })
        })
    }

    fn wait(&mut self, print: &Print) -> Taken {
        let id = print.trade.trade_id;
        if self.waiting.contains_key(&id) {
            return Taken::Repeated;
        }
        // The print that shows the gap always finds room, so that the gap is known.
        if self.waiting.len() >= self.room.max(1) {
            return match self.waiting.last_entry() {
                // Rather the earlier ones: those are released first.
                Some(last) if *last.key() > id => {
                    last.remove();
                    self.waiting.insert(id, *print);
                    Taken::Waits
                }
                _ => Taken::NoRoom,
            };
        }
        self.waiting.insert(id, *print);
        Taken::Waits
    }

    fn release(&mut self, print: &Print, out: &mut Released) {
        let id = print.trade.trade_id;
        match print.standing {
            Standing::Trade => out.trades.push(&print.trade),
            Standing::Excluded(_) => {
                let first_missing = first_id(self.ids, print);
                match out.voids.last_mut() {
                    Some(void) if void.last_missing + 1 == first_missing => void.last_missing = id,
                    _ => out.voids.push(Gap { first_missing, last_missing: id }),
                }
            }
        }
        self.last = Some(id);
        if print.trade.event_time > 0 {
            self.last_time = print.trade.event_time;
        }
    }

    fn release_waiting(&mut self, out: &mut Released) {
        while let (Some(next), Some(last)) = (self.waiting.first_entry(), self.last) {
            if first_id(self.ids, next.get()) > last.saturating_add(1) {
                break;
            }
            let print = next.remove();
            if print.trade.trade_id > last {
                self.release(&print, out);
            }
        }
    }

    fn take_named(&mut self, print: &Print, out: &mut Released) -> Taken {
        if self.names.is_doubtful() {
            return match self.names.hold(print, self.room) {
                true => Taken::Waits,
                false => Taken::NoRoom,
            };
        }
        if !self.names.is_new(print) {
            return Taken::Repeated;
        }
        self.release_named(print, out);
        Taken::Released
    }

    fn release_named(&mut self, print: &Print, out: &mut Released) {
        if print.standing == Standing::Trade {
            let mut trade = print.trade;
            trade.trade_id = self.names.number();
            out.trades.push(&trade);
            self.last = Some(trade.trade_id);
        }
        self.last_time = print.trade.event_time;
    }

    fn names_go_on(&mut self, out: &mut Released) {
        for print in self.names.settle() {
            if self.names.is_new(&print) {
                self.release_named(&print, out);
            }
        }
    }
}

/// First id that a print stands for.
#[inline]
fn first_id(ids: Ids, print: &Print) -> u64 {
    let id = print.trade.trade_id;
    match ids {
        Ids::Spans => id.saturating_sub(u64::from(print.trade.count).saturating_sub(1)),
        _ => id,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use barflow_operators::batch::{Feed, IdKind, InputKind};
    use barflow_operators::trade::{Aggressor, Trade};
    use proptest::prelude::*;

    use super::*;

    fn released() -> Released {
        let feed = Arc::new(Feed {
            instrument: "a:b:C".parse().unwrap(),
            input: InputKind::Trades,
            ids: IdKind::Venue,
            has_aggressor: true,
        });
        Released::new(TradeBatch::with_capacity(feed, 16))
    }

    fn print(id: u64) -> Print {
        let event_time = id as i64 * 1_000;
        let (price, aggressor) = (id as f64, Aggressor::Buyer);
        let trade =
            Trade { trade_id: id, event_time, price, qty: 1.0, quote: price, aggressor, count: 1 };
        Print { slot: 0, standing: Standing::Trade, key: id, trade }
    }

    fn void(id: u64) -> Print {
        Print { standing: Standing::Excluded("insurance fund"), ..print(id) }
    }

    #[test]
    fn later_prints_wait_for_the_missing_one() {
        let (mut lane, mut out) = (Lane::new(Ids::Consecutive, 10), released());
        let taken: Vec<Taken> =
            [5, 6, 9, 8, 9, 6].map(|id| lane.take(&print(id), &mut out)).to_vec();
        use Taken::{Released, Repeated, Waits};
        assert_eq!(taken, [Released, Released, Waits, Waits, Repeated, Repeated]);
        let missing = lane.missing().unwrap();
        assert_eq!((missing.first, missing.last), (7, 7));
        assert_eq!((missing.after, missing.before), (6_000, 8_000));
        assert_eq!(lane.take(&print(7), &mut out), Released);
        assert_eq!(out.trades.trade_id, [5, 6, 7, 8, 9]);
        assert_eq!(lane.missing(), None);
    }

    #[test]
    fn a_gap_given_up_is_named_and_its_trades_are_late_once() {
        let (mut lane, mut out) = (Lane::new(Ids::Consecutive, 10), released());
        for id in [1, 5, 6] {
            lane.take(&print(id), &mut out);
        }
        let given_up = lane.give_up(&mut out).unwrap();
        assert_eq!(given_up.gap, Some(Gap { first_missing: 2, last_missing: 4 }));
        assert_eq!(lane.take(&print(3), &mut out), Taken::Late);
        assert_eq!(lane.take(&print(3), &mut out), Taken::Repeated);
        assert_eq!(lane.take(&print(4), &mut out), Taken::Late);
        assert_eq!(out.trades.trade_id, [1, 5, 6, 3, 4]);
        assert_eq!(lane.give_up(&mut out), None);
    }

    #[test]
    fn excluded_ids_leave_no_gap() {
        let (mut lane, mut out) = (Lane::new(Ids::Consecutive, 10), released());
        lane.take(&print(1), &mut out);
        lane.take(&void(2), &mut out);
        lane.take(&void(3), &mut out);
        lane.take(&print(4), &mut out);
        assert_eq!(out.trades.trade_id, [1, 4]);
        assert_eq!(out.voids, [Gap { first_missing: 2, last_missing: 3 }]);
    }

    #[test]
    fn an_excluded_id_without_a_time_leaves_the_last_one_standing() {
        let (mut lane, mut out) = (Lane::new(Ids::Consecutive, 10), released());
        lane.take(&print(1), &mut out);
        let mut timeless = void(2);
        timeless.trade.event_time = 0;
        lane.take(&timeless, &mut out);
        assert_eq!(lane.last(), Some((2, 1_000)));
    }

    #[test]
    fn a_span_covers_all_its_ids() {
        let (mut lane, mut out) = (Lane::new(Ids::Spans, 10), released());
        let span = |id, count| {
            let mut print = print(id);
            print.trade.count = count;
            print
        };
        lane.take(&span(10, 1), &mut out);
        assert_eq!(lane.take(&span(13, 3), &mut out), Taken::Released);
        assert_eq!(lane.take(&span(17, 2), &mut out), Taken::Waits);
        let missing = lane.missing().unwrap();
        assert_eq!((missing.first, missing.last), (14, 15));
    }

    #[test]
    fn a_full_lane_keeps_what_comes_first_and_forgets_the_rest() {
        let (mut lane, mut out) = (Lane::new(Ids::Consecutive, 2), released());
        let taken: Vec<Taken> = [1, 9, 5, 7, 4].map(|id| lane.take(&print(id), &mut out)).to_vec();
        use Taken::{NoRoom, Released, Waits};
        assert_eq!(taken, [Released, Waits, Waits, Waits, Waits]);
        assert_eq!(lane.take(&print(8), &mut out), NoRoom);
        assert_eq!(lane.waits(), 2);
        assert_eq!(lane.missing().unwrap().last, 3);
    }

    #[test]
    fn names_are_numbered_and_doubt_is_settled_by_a_list() {
        let (mut lane, mut out) = (Lane::new(Ids::Names, 10), released());
        let named = |key: u64| {
            let mut print = print(key);
            print.trade.trade_id = 0;
            print
        };
        for key in [11, 12, 12] {
            lane.take(&named(key), &mut out);
        }
        lane.doubt();
        assert_eq!(lane.take(&named(15), &mut out), Taken::Waits);
        assert!(lane.missing().is_some());
        let recent = [11, 12, 13, 14, 15].map(named);
        assert_eq!(lane.reconcile(&recent, &mut out), (3, None));
        lane.take(&named(16), &mut out);
        assert_eq!(out.trades.price, [11.0, 12.0, 13.0, 14.0, 15.0, 16.0]);
        assert_eq!(out.trades.trade_id, [1, 2, 3, 4, 5, 6]);
        lane.doubt();
        let gap = lane.reconcile(&[named(30)], &mut out).1.unwrap();
        assert_eq!((gap.gap, gap.after), (None, 16_000));
    }

    /// What a bad connection makes of a stream.
    #[derive(Clone, Debug)]
    struct Scramble {
        dropped: Vec<bool>,
        unfillable: Vec<bool>,
        repeated: Vec<bool>,
        voids: Vec<bool>,
        swaps: Vec<usize>,
    }

    fn scramble() -> impl Strategy<Value = Scramble> {
        let flags = |p: f64| proptest::collection::vec(proptest::bool::weighted(p), 120);
        (flags(0.2), flags(0.05), flags(0.2), flags(0.1), proptest::collection::vec(0usize..5, 120))
            .prop_map(|(dropped, unfillable, repeated, voids, swaps)| Scramble {
                dropped,
                unfillable,
                repeated,
                voids,
                swaps,
            })
    }

    proptest! {
        #[test]
        fn a_scrambled_stream_with_backfill_comes_out_whole(
            scramble in scramble(),
            room in 1usize..40,
            ask_after in 1usize..6,
        ) {
            let truth: Vec<Print> = (0..120u64)
                .map(|at| if scramble.voids[at as usize] { void(at + 1) } else { print(at + 1) })
                .collect();
            let can_come = |at: usize| at == 0 || at == 119 || !scramble.unfillable[at];
            let mut heard: Vec<Print> = Vec::new();
            for (at, print) in truth.iter().enumerate() {
                let sent = at == 0 || at == 119 || !scramble.dropped[at];
                if can_come(at) && sent {
                    let place = heard.len() - scramble.swaps[at].min(heard.len().saturating_sub(1));
                    heard.insert(place.max(1).min(heard.len()), *print);
                    if scramble.repeated[at] {
                        heard.push(*print);
                    }
                }
            }
            let (mut lane, mut out) = (Lane::new(Ids::Consecutive, room), released());
            let mut given_up = Vec::new();
            let mut settle = |lane: &mut Lane, out: &mut Released| {
                while let Some(missing) = lane.missing() {
                    for id in missing.first..=missing.last {
                        if can_come(id as usize - 1) {
                            lane.take(&truth[id as usize - 1], out);
                        }
                    }
                    if lane.missing() == Some(missing) {
                        given_up.push(lane.give_up(out).unwrap());
                    }
                }
            };
            for (at, print) in heard.iter().enumerate() {
                lane.take(print, &mut out);
                if at % ask_after == 0 {
                    settle(&mut lane, &mut out);
                }
            }
            // The last print may have found no room, or have had to make room for an earlier one; it
            // comes again, as REST would bring it.
            settle(&mut lane, &mut out);
            while lane.last().is_none_or(|(id, _)| id < 120) {
                lane.take(&truth[119], &mut out);
                settle(&mut lane, &mut out);
            }
            let wanted: Vec<u64> = truth
                .iter()
                .enumerate()
                .filter(|(at, print)| can_come(*at) && print.standing == Standing::Trade)
                .map(|(_, print)| print.trade.trade_id)
                .collect();
            prop_assert_eq!(&out.trades.trade_id, &wanted);
            let missing: u64 = given_up.iter().map(|gap| gap.gap.unwrap().len()).sum();
            let never = (0..120).filter(|at| !can_come(*at)).count() as u64;
            prop_assert_eq!(missing, never);
        }
    }
}
