//! One instrument's machines: all its specifications share one pass over the trades.
//!
//! Besides driving the machines, a desk knows what they need not know: which bars span a gap, and
//! whether a machine that began in the middle of the history still depends on where it began.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::bar::Bar;
use crate::bars::machine::BarMachine;
use crate::batch::TradeBatch;
use crate::sequence::Gap;
use crate::spec::BarSpec;

/// Trades after which a second builder begins beside one that began live. The two then have
/// different pasts, and when they agree the past no longer matters.
const SHADOW_DELAY: u64 = 1000;

/// Bars of one of the two that wait for the other to close on the same trade.
const BARS_COMPARED: usize = 16;

/// A builder has become independent of where it began: one that began later (or after the gap)
/// has closed a bar on the same trade in the same state, so both go on equally for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Which specification.
    pub spec: Arc<str>,
    /// The trade on which both closed.
    pub trade_id: u64,
    /// Number of the bar that closed there.
    pub seq: u64,
    /// Trades the later builder had taken.
    pub trades: u64,
}

/// The machines of one instrument.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Desk {
    seats: Vec<Seat>,
    /// Room for bars; empty between two batches.
    #[serde(skip)]
    closed: Vec<Bar>,
    begun: bool,
}

/// One machine, and what is known about its open bar that the machine need not know.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Seat {
    spec: BarSpec,
    state: SeatState,
    shadow: Option<Box<Shadow>>,
}

/// Everything about a seat that can influence a later bar, or its flags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SeatState {
    pub(crate) machine: BarMachine,
    /// Ids that are missing since its last bar.
    pub(crate) missing_ids: u64,
}

/// A second builder that began later, until the two agree.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Shadow {
    machine: BarMachine,
    /// Trades to let pass before it begins.
    delay: u64,
    trades: u64,
    /// Last trade and digest of recent bars: of the seat's machine, of the shadow.
    ours: Vec<(u64, u64, u64)>,
    its: Vec<(u64, u64, u64)>,
}

impl Desk {
    /// Machines for these specifications.
    pub fn new(specs: &[BarSpec]) -> Self {
        let seats = specs.iter().map(Seat::new).collect();
        Self { seats, closed: Vec::new(), begun: false }
    }

    /// Takes another list of specifications: machines whose specification stays go on as if
    /// nothing had happened, others go, new ones start here.
    pub fn seat(&mut self, specs: &[BarSpec]) {
        let mut before = std::mem::take(&mut self.seats);
        for spec in specs {
            let stays = before.iter().position(|seat| seat.spec == *spec);
            self.seats.push(match stays {
                Some(place) => before.swap_remove(place),
                None if self.begun => Seat::new(spec).shadowed(SHADOW_DELAY),
                None => Seat::new(spec),
            });
        }
    }

    /// Takes a batch in order, with the gaps before and among its trades; hands bars out as they
    /// close. Returns the builders that have become independent of where they began. `live` says
    /// that the batch comes from a feed.
    pub fn on_batch(
        &mut self,
        trades: &TradeBatch,
        gaps: &[Gap],
        live: bool,
        mut emit: impl FnMut(&Arc<str>, Bar),
    ) -> Vec<Joined> {
        self.on_batch_by_seat(trades, gaps, live, |_, spec, bar| emit(spec, bar))
    }

    /// As [`on_batch`](Self::on_batch), and tells the place of each bar's specification.
    pub(crate) fn on_batch_by_seat(
        &mut self,
        trades: &TradeBatch,
        gaps: &[Gap],
        live: bool,
        mut emit: impl FnMut(usize, &Arc<str>, Bar),
    ) -> Vec<Joined> {
        let mut joined = Vec::new();
        let begins_live = live && !self.begun && !trades.is_empty();
        self.begun |= !trades.is_empty();
        for (place, seat) in self.seats.iter_mut().enumerate() {
            if begins_live {
                seat.shadow = Some(Box::new(Shadow::new(&seat.spec, SHADOW_DELAY)));
            } else if live && !gaps.is_empty() {
                seat.shadow = Some(Box::new(Shadow::new(&seat.spec, 0)));
            }
            seat.state.on_batch(trades, gaps, &mut self.closed);
            if let Some(shadow) = &mut seat.shadow
                && let Some((seq, trade_id)) = shadow.on_batch(trades, &self.closed)
            {
                let spec = Arc::clone(seat.spec.name());
                joined.push(Joined { spec, trade_id, seq, trades: shadow.trades });
                seat.shadow = None;
            }
            for bar in self.closed.drain(..) {
                emit(place, seat.spec.name(), bar);
            }
        }
        joined
    }

    /// The specifications of its machines.
    pub fn specs(&self) -> impl Iterator<Item = &BarSpec> {
        self.seats.iter().map(|seat| &seat.spec)
    }

    /// How many bars each machine has made.
    pub fn bars(&self) -> impl Iterator<Item = (&BarSpec, u64)> {
        self.seats.iter().map(|seat| (&seat.spec, seat.state.machine.bars()))
    }

    /// The states of its machines, to come back to.
    pub(crate) fn states(&self) -> impl ExactSizeIterator<Item = &SeatState> {
        self.seats.iter().map(|seat| &seat.state)
    }

    /// Puts another past under a machine. What was known of its independence is void: it is found
    /// out again from here.
    pub(crate) fn put(&mut self, seat: usize, state: SeatState) {
        let seat = &mut self.seats[seat];
        seat.state = state;
        if seat.shadow.is_some() {
            seat.shadow = Some(Box::new(Shadow::new(&seat.spec, 0)));
        }
    }
}

impl Seat {
    fn new(spec: &BarSpec) -> Self {
        Self { spec: spec.clone(), state: SeatState::new(spec), shadow: None }
    }

    fn shadowed(mut self, delay: u64) -> Self {
        self.shadow = Some(Box::new(Shadow::new(&self.spec, delay)));
        self
    }
}

impl SeatState {
    /// A builder that has seen nothing.
    pub(crate) fn new(spec: &BarSpec) -> Self {
        Self { machine: BarMachine::new(spec), missing_ids: 0 }
    }

    /// Takes a batch, telling bars that span a gap so.
    pub(crate) fn on_batch(&mut self, trades: &TradeBatch, gaps: &[Gap], closed: &mut Vec<Bar>) {
        if gaps.is_empty() && self.missing_ids == 0 {
            self.machine.on_batch(trades, closed);
            return;
        }
        let mut gaps = gaps.iter().peekable();
        for trade in trades.iter() {
            let earlier = self.missing_ids;
            while let Some(gap) = gaps.next_if(|gap| gap.last_missing < trade.trade_id) {
                self.missing_ids += gap.len();
            }
            let before = closed.len();
            self.machine.on_trade(&trade, trades.feed.has_aggressor, closed);
            // One trade can close two: a day's last bar, and its own.
            for bar in &mut closed[before..] {
                // A bar that ends before the trade that closes it ends before that one's gap.
                let whole = bar.last_trade_id == trade.trade_id;
                bar.missing_ids = if whole { self.missing_ids } else { earlier };
                self.missing_ids -= bar.missing_ids;
            }
        }
        self.missing_ids += gaps.map(Gap::len).sum::<u64>();
    }
}

impl Shadow {
    fn new(spec: &BarSpec, delay: u64) -> Self {
        let machine = BarMachine::new(spec);
        Self { machine, delay, trades: 0, ours: Vec::new(), its: Vec::new() }
    }

    /// Takes the batch that the seat's machine has taken, and the bars that closed there. Returns
    /// the number and the last trade of the first bar on which both agree.
    fn on_batch(&mut self, trades: &TradeBatch, ours: &[Bar]) -> Option<(u64, u64)> {
        let skip = self.delay.min(trades.len() as u64);
        self.delay -= skip;
        let mut closed = Vec::new();
        for row in skip as usize..trades.len() {
            self.machine.on_trade(&trades.trade(row), trades.feed.has_aggressor, &mut closed);
        }
        self.trades += trades.len() as u64 - skip;
        let mark = |bar: &Bar| (bar.seq, bar.last_trade_id, bar.state_digest);
        self.ours.extend(ours.iter().map(mark));
        self.its.extend(closed.iter().map(mark));
        let agree = |a: &(u64, u64, u64), b: &(u64, u64, u64)| (a.1, a.2) == (b.1, b.2);
        let found = self.ours.iter().find(|bar| self.its.iter().any(|other| agree(bar, other)));
        let found = found.map(|bar| (bar.0, bar.1));
        for bars in [&mut self.ours, &mut self.its] {
            let old = bars.len().saturating_sub(BARS_COMPARED);
            bars.drain(..old);
        }
        found
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::batch::{Feed, IdKind, InputKind};
    use crate::measure::Measure;
    use crate::sign::SignRule;
    use crate::spec::{LimitSpec, RuleSpec};
    use crate::trade::{Aggressor, Trade};

    fn every(name: &str, ticks: f64) -> BarSpec {
        let rule = RuleSpec::Size { measure: Measure::Tick, size: ticks };
        BarSpec::new(name, SignRule::Aggressor, LimitSpec::default(), rule).unwrap()
    }

    fn batch(ids: impl Iterator<Item = u64>) -> TradeBatch {
        let feed = Arc::new(Feed {
            instrument: "a:b:C".parse().unwrap(),
            input: InputKind::Trades,
            ids: IdKind::Venue,
            has_aggressor: true,
        });
        let trades: Vec<Trade> = ids
            .map(|trade_id| Trade {
                trade_id,
                event_time: trade_id as i64,
                price: 1.0,
                qty: 1.0,
                quote: 1.0,
                aggressor: Aggressor::Buyer,
                count: 1,
            })
            .collect();
        TradeBatch::from_trades(feed, &trades)
    }

    fn gap(first_missing: u64, last_missing: u64) -> Gap {
        Gap { first_missing, last_missing }
    }

    #[test]
    fn the_bar_over_a_gap_says_how_many_ids_it_misses() {
        let mut desk = Desk::new(&[every("four", 4.0)]);
        let mut seen = Vec::new();
        let mut note = |_: &Arc<str>, bar: Bar| seen.push((bar.last_trade_id, bar.missing_ids));
        desk.on_batch(&batch(1..=3), &[], false, &mut note);
        desk.on_batch(&batch([6, 7, 8].into_iter()), &[gap(4, 5)], false, &mut note);
        // A gap behind the last trade belongs to the next bar.
        desk.on_batch(&batch([9].into_iter()), &[gap(10, 12)], false, &mut note);
        desk.on_batch(&batch(13..=20), &[], false, &mut note);
        assert_eq!(seen, [(6, 2), (13, 3), (17, 0)]);
    }

    #[test]
    fn machines_that_stay_go_on_and_new_ones_start_here() {
        let mut desk = Desk::new(&[every("four", 4.0), every("five", 5.0)]);
        let mut seen = Vec::new();
        let mut note = |spec: &Arc<str>, bar: Bar| seen.push((spec.to_string(), bar.last_trade_id));
        desk.on_batch(&batch(1..=3), &[], false, &mut note);
        desk.seat(&[every("two", 2.0), every("four", 4.0)]);
        desk.on_batch(&batch(4..=5), &[], false, &mut note);
        assert_eq!(seen, [("two".to_owned(), 5), ("four".to_owned(), 4)]);
    }

    #[test]
    fn a_builder_that_began_live_is_told_independent_once_a_later_one_agrees() {
        let mut desk = Desk::new(&[every("tick", 10.0)]);
        let mut joined = Vec::new();
        for start in (1..2000u64).step_by(7) {
            joined.extend(desk.on_batch(&batch(start..start + 7), &[], true, |_, _| ()));
        }
        // The second began after 1,000 trades, a multiple of 10: both close together at once.
        assert_eq!(joined.len(), 1, "{joined:?}");
        assert_eq!((joined[0].trade_id, joined[0].seq), (1010, 100));
        let mut files = Desk::new(&[every("tick", 10.0)]);
        let from_files: Vec<Joined> = (1..2000u64)
            .step_by(7)
            .flat_map(|start| files.on_batch(&batch(start..start + 7), &[], false, |_, _| ()))
            .collect();
        assert_eq!(from_files, []);
    }
}
