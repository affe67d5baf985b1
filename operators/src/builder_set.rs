//! One instrument's machines: all its specifications share one pass over the trades.
//!
//! Besides driving the machines, a builder set knows what they need not know: which bars span a
//! gap, and whether a machine still depends on where it began ([`crate::convergence::monitor`]).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::bar::Bar;
use crate::bars::machine::BarMachine;
use crate::batch::TradeBatch;
use crate::convergence::monitor::{Beginning, Joined, Synchronised, Watch};
use crate::end::{InputEnd, Unfinished};
use crate::gap::Gap;
use crate::open_bars::OpenState;
use crate::progress::BuilderProgress;
use crate::spec::BarSpec;

/// The machines of one instrument.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BuilderSet {
    slots: Vec<BuilderSlot>,
    /// Room for bars; empty between two batches.
    #[serde(skip)]
    closed: Vec<Bar>,
    heard: SourceSeen,
}

/// What has been heard of the instrument so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum SourceSeen {
    /// Nothing.
    Nothing,
    /// Trades of files only.
    History,
    /// Trades of a feed.
    Feed,
}

/// One machine, and what is known about its open bar that the machine need not know.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct BuilderSlot {
    spec: BarSpec,
    state: BuilderState,
    watch: Watch,
}

/// Everything about a slot that can influence a later bar, or its flags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct BuilderState {
    pub(crate) machine: BarMachine,
    /// Ids that are missing since its last bar.
    pub(crate) missing_ids: u64,
}

impl BuilderSet {
    /// Machines for these specifications.
    pub fn new(specs: &[BarSpec]) -> Self {
        let slots = specs.iter().map(BuilderSlot::new).collect();
        Self { slots, closed: Vec::new(), heard: SourceSeen::Nothing }
    }

    /// Takes another list of specifications: machines whose specification stays continue as if
    /// nothing had happened, others go, new ones start here.
    pub fn set_specs(&mut self, specs: &[BarSpec]) {
        let mut before = std::mem::take(&mut self.slots);
        for spec in specs {
            let stays = before.iter().position(|slot| slot.spec == *spec);
            self.slots.push(match stays {
                Some(place) => before.swap_remove(place),
                None if self.heard == SourceSeen::Nothing => BuilderSlot::new(spec),
                None => BuilderSlot::new(spec).monitored(Beginning::Later),
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
        self.on_batch_by_slot(trades, gaps, live, |_, spec, bar, _| emit(spec, bar))
    }

    /// As [`on_batch`](Self::on_batch), with the place of each bar's specification, and whether the bar
    /// is known not to depend on where its builder began.
    pub(crate) fn on_batch_by_slot(
        &mut self,
        trades: &TradeBatch,
        gaps: &[Gap],
        live: bool,
        mut emit: impl FnMut(usize, &Arc<str>, Bar, Synchronised),
    ) -> Vec<Joined> {
        let mut joined = Vec::new();
        let begins = self.begins(trades, gaps, live);
        for (place, slot) in self.slots.iter_mut().enumerate() {
            if let Some(beginning) = begins {
                slot.watch = Watch::beside(&slot.spec, beginning);
            }
            slot.state.on_batch(trades, gaps, &mut self.closed);
            let found = slot.watch.on_batch(slot.spec.name(), trades, &self.closed);
            let at = found.as_ref().map(|found| found.seq);
            joined.extend(found);
            for bar in self.closed.drain(..) {
                // Up to the bar on which both agreed it still depended on where it began.
                let synchronised = match at {
                    Some(at) if bar.seq <= at => Synchronised::No,
                    _ => slot.watch.synchronised(),
                };
                emit(place, slot.spec.name(), bar, synchronised);
            }
        }
        joined
    }

    /// Whether other builders begin with this batch, to be compared with the machines.
    fn begins(&mut self, trades: &TradeBatch, gaps: &[Gap], live: bool) -> Option<Beginning> {
        let before = self.heard;
        if !trades.is_empty() {
            let source = if live { SourceSeen::Feed } else { SourceSeen::History };
            self.heard = if before == SourceSeen::Feed { before } else { source };
        }
        match (before, self.heard) {
            (SourceSeen::Nothing, SourceSeen::Feed) => Some(Beginning::Later),
            (SourceSeen::History, SourceSeen::Feed) => Some(Beginning::FirstLive),
            _ => (live && !gaps.is_empty()).then_some(Beginning::BehindGap),
        }
    }

    /// The specifications of its machines.
    pub fn specs(&self) -> impl Iterator<Item = &BarSpec> {
        self.slots.iter().map(|slot| &slot.spec)
    }

    /// How many bars each machine has made.
    pub fn bars(&self) -> impl Iterator<Item = (&BarSpec, u64)> {
        self.slots.iter().map(|slot| (&slot.spec, slot.state.machine.bars()))
    }

    /// How its builders stand.
    pub fn open_bars(&self) -> impl Iterator<Item = OpenState> + '_ {
        self.slots.iter().map(|slot| OpenState {
            spec: Arc::clone(slot.spec.name()),
            ticks: slot.state.machine.open().ticks,
            reached: slot.state.machine.reached(),
            warmup_left: slot.state.machine.warmup_left(),
        })
    }

    /// How far its builders are, by specification.
    pub fn progress(&self) -> impl Iterator<Item = (&Arc<str>, BuilderProgress)> {
        self.slots
            .iter()
            .map(|slot| (slot.spec.name(), slot.state.progress(slot.watch.synchronised())))
    }

    /// The input has ended so; hands out the bars that this closes, and says what is left.
    pub fn on_end(
        &mut self,
        end: InputEnd,
        mut emit: impl FnMut(&Arc<str>, Bar, Synchronised),
    ) -> Vec<Unfinished> {
        let slots = self.slots.iter_mut();
        slots
            .map(|slot| {
                slot.state.on_end(end, &slot.spec, &mut self.closed);
                let synchronised = slot.watch.synchronised();
                self.closed.drain(..).for_each(|bar| emit(slot.spec.name(), bar, synchronised));
                slot.state.unfinished(&slot.spec)
            })
            .collect()
    }

    /// What is known of the independence of the bars of a specification.
    pub(crate) fn synchronised(&self, spec: &Arc<str>) -> Synchronised {
        let slot = self.slots.iter().find(|slot| slot.spec.name() == spec);
        slot.map_or(Synchronised::Unknown, |slot| slot.watch.synchronised())
    }

    /// The states of its machines, to come back to.
    pub(crate) fn states(&self) -> impl ExactSizeIterator<Item = &BuilderState> {
        self.slots.iter().map(|slot| &slot.state)
    }

    /// Puts another past under a machine. What was known of its independence is void: it is found
    /// out again from here.
    pub(crate) fn put(&mut self, slot: usize, state: BuilderState) {
        let slot = &mut self.slots[slot];
        slot.state = state;
        if matches!(slot.watch, Watch::Pending(_)) {
            slot.watch = Watch::beside(&slot.spec, Beginning::BehindCorrection);
        }
    }
}

impl BuilderSlot {
    fn new(spec: &BarSpec) -> Self {
        Self { spec: spec.clone(), state: BuilderState::new(spec), watch: Watch::Idle }
    }

    fn monitored(mut self, beginning: Beginning) -> Self {
        self.watch = Watch::beside(&self.spec, beginning);
        self
    }
}

impl BuilderState {
    /// A builder that has seen nothing.
    pub(crate) fn new(spec: &BarSpec) -> Self {
        Self { machine: BarMachine::new(spec), missing_ids: 0 }
    }

    /// The input has ended so; appends the bars that this closes.
    pub(crate) fn on_end(&mut self, end: InputEnd, spec: &BarSpec, closed: &mut Vec<Bar>) {
        let before = closed.len();
        self.machine.on_end(end, spec, closed);
        for bar in &mut closed[before..] {
            bar.missing_ids = std::mem::take(&mut self.missing_ids);
        }
    }

    /// How far it is.
    pub(crate) fn progress(&self, synchronised: Synchronised) -> BuilderProgress {
        let machine = &self.machine;
        BuilderProgress {
            bars: machine.bars(),
            open: (machine.open().ticks > 0).then(|| *machine.open()),
            levels: machine.levels(),
            reached: machine.reached(),
            warmup_left: machine.warmup_left(),
            synchronised,
        }
    }

    /// What is left at the end.
    pub(crate) fn unfinished(&self, spec: &BarSpec) -> Unfinished {
        Unfinished {
            spec: Arc::clone(spec.name()),
            bars: self.machine.bars(),
            open_ticks: self.machine.open().ticks,
            warmup_left: self.machine.warmup_left(),
        }
    }

    /// Takes a batch, telling bars that span a gap so.
    pub(crate) fn on_batch(&mut self, trades: &TradeBatch, gaps: &[Gap], closed: &mut Vec<Bar>) {
        if gaps.is_empty() && self.missing_ids == 0 {
            self.machine.on_batch(trades, closed);
            return;
        }
        let mut gaps = gaps.iter().peekable();
        for trade in trades.iter() {
            let mut earlier = self.missing_ids;
            while let Some(gap) = gaps.next_if(|gap| gap.last_missing < trade.trade_id) {
                self.missing_ids += gap.len();
            }
            let before = closed.len();
            self.machine.on_trade(&trade, trades.feed.has_aggressor, closed);
            // One trade can close several: a day's last bar, empty intervals, and its own.
            for bar in &mut closed[before..] {
                // A bar that ends before the trade that closes it ends before that one's gap.
                let whole = bar.last_trade_id == trade.trade_id;
                bar.missing_ids =
                    if whole { self.missing_ids } else { std::mem::take(&mut earlier) };
                self.missing_ids -= bar.missing_ids;
            }
        }
        self.missing_ids += gaps.map(Gap::len).sum::<u64>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bars::product::ExpectationsAt;
    use crate::bars::round::Rounding;
    use crate::batch::Feed;
    use crate::measure::Measure;
    use crate::sign::SignRule;
    use crate::spec::{AdaptiveSpec, ExpectedTicksSpec, LimitSpec, RuleSpec, ThresholdSpec};
    use crate::trade::{Aggressor, Trade};

    fn every(name: &str, ticks: f64) -> BarSpec {
        let rule = RuleSpec::Size { measure: Measure::Tick, size: ticks };
        BarSpec::new(name, SignRule::Aggressor, LimitSpec::default(), rule).unwrap()
    }

    fn batch(ids: impl Iterator<Item = u64>) -> TradeBatch {
        let feed = Arc::new(Feed::numbered("a:b:C".parse().unwrap()));
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
        let mut builder_set = BuilderSet::new(&[every("four", 4.0)]);
        let mut seen = Vec::new();
        let mut note = |_: &Arc<str>, bar: Bar| seen.push((bar.last_trade_id, bar.missing_ids));
        builder_set.on_batch(&batch(1..=3), &[], false, &mut note);
        builder_set.on_batch(&batch([6, 7, 8].into_iter()), &[gap(4, 5)], false, &mut note);
        // A gap after the last trade belongs to the next bar.
        builder_set.on_batch(&batch([9].into_iter()), &[gap(10, 12)], false, &mut note);
        builder_set.on_batch(&batch(13..=20), &[], false, &mut note);
        assert_eq!(seen, [(6, 2), (13, 3), (17, 0)]);
    }

    #[test]
    fn machines_that_stay_go_on_and_new_ones_start_here() {
        let mut builder_set = BuilderSet::new(&[every("four", 4.0), every("five", 5.0)]);
        let mut seen = Vec::new();
        let mut note = |spec: &Arc<str>, bar: Bar| seen.push((spec.to_string(), bar.last_trade_id));
        builder_set.on_batch(&batch(1..=3), &[], false, &mut note);
        builder_set.set_specs(&[every("two", 2.0), every("four", 4.0)]);
        builder_set.on_batch(&batch(4..=5), &[], false, &mut note);
        assert_eq!(seen, [("two".to_owned(), 5), ("four".to_owned(), 4)]);
    }

    /// Trades of any size and side, the same whenever they are asked for.
    fn uneven(ids: impl Iterator<Item = u64>) -> TradeBatch {
        let mut trades: Vec<Trade> = batch(ids).iter().collect();
        for trade in &mut trades {
            let noise = trade.trade_id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            trade.quote = 1.0 + (noise % 1000) as f64;
            trade.aggressor = if noise % 7 < 4 { Aggressor::Buyer } else { Aggressor::Seller };
        }
        TradeBatch::from_trades(batch(std::iter::empty()).feed, &trades)
    }

    fn forgetful() -> BarSpec {
        let expected_ticks =
            ExpectedTicksSpec { target: 50.0, alpha: None, min: 1.0, max: f64::INFINITY };
        let adaptive = AdaptiveSpec {
            alpha: 0.02,
            memory: 0.9,
            warmup: 50,
            rounding: Rounding::from(24),
            expected_ticks,
            expectations: ExpectationsAt::Tick,
        };
        let threshold = ThresholdSpec::Wald(adaptive);
        let rule = RuleSpec::Imbalance { measure: Measure::Dollar, threshold };
        BarSpec::new("dib", SignRule::Aggressor, LimitSpec::default(), rule).unwrap()
    }

    fn joins(builder_set: &mut BuilderSet, ids: std::ops::Range<u64>, live: bool) -> Vec<Joined> {
        let starts = ids.clone().step_by(7);
        let batch = |start| uneven(start..ids.end.min(start + 7));
        starts.flat_map(|start| builder_set.on_batch(&batch(start), &[], live, |_, _| ())).collect()
    }

    #[test]
    fn of_bars_that_meet_by_chance_only_nothing_is_said() {
        let mut builder_set = BuilderSet::new(&[every("tick", 10.0)]);
        // A builder that begins 1,000 trades later agrees at once, and that says nothing.
        assert_eq!(joins(&mut builder_set, 1..20_000, true), []);
    }

    #[test]
    fn a_history_is_told_equal_to_a_builder_that_began_at_the_first_live_trade() {
        let mut builder_set = BuilderSet::new(&[forgetful()]);
        assert_eq!(joins(&mut builder_set, 1..5000, false), []);
        let joined = joins(&mut builder_set, 5000..20_000, true);
        assert_eq!(joined.len(), 1, "{joined:?}");
        assert_eq!(joined[0].beginning, Beginning::FirstLive);
        // By hand: the first bar on which both agree.
        let bars = |first: u64| {
            let (mut machine, mut bars) = (BarMachine::new(&forgetful()), Vec::new());
            machine.on_batch(&uneven(first..20_000), &mut bars);
            bars
        };
        let (long, late) = (bars(1), bars(5000));
        let agree = |a: &Bar, b: &Bar| {
            (a.last_trade_id, a.state_digest) == (b.last_trade_id, b.state_digest)
        };
        let first = long.iter().find(|bar| late.iter().any(|other| agree(bar, other))).unwrap();
        assert_eq!((joined[0].trade_id, joined[0].seq), (first.last_trade_id, first.seq));
        assert_eq!(joined[0].trades, first.last_trade_id - 5000 + 1);
    }

    #[test]
    fn a_builder_that_began_live_is_compared_with_one_that_began_later() {
        let mut builder_set = BuilderSet::new(&[forgetful()]);
        let joined = joins(&mut builder_set, 1..20_000, true);
        assert_eq!(joined.len(), 1, "{joined:?}");
        assert_eq!(joined[0].beginning, Beginning::Later);
        assert!(joined[0].trade_id > 1000);
        let mut files = BuilderSet::new(&[forgetful()]);
        assert_eq!(joins(&mut files, 1..20_000, false), []);
    }

    /// What is known of the bars of these trades, and where the builders joined.
    fn known(
        builder_set: &mut BuilderSet,
        ids: std::ops::Range<u64>,
        live: bool,
    ) -> (Vec<(u64, Synchronised)>, Option<u64>) {
        let (mut bars, mut at) = (Vec::new(), None);
        for start in ids.clone().step_by(700) {
            let batch = uneven(start..ids.end.min(start + 700));
            let note = |_, _: &Arc<str>, bar: Bar, known| bars.push((bar.seq, known));
            let joined = builder_set.on_batch_by_slot(&batch, &[], live, note);
            at = joined.first().map(|joined| joined.seq).or(at);
        }
        (bars, at)
    }

    #[test]
    fn bars_are_synchronised_from_the_one_after_both_builders_agree() {
        let mut builder_set = BuilderSet::new(&[forgetful()]);
        let (bars, _) = known(&mut builder_set, 1..5000, false);
        assert!(bars.len() > 10 && bars.iter().all(|(_, known)| *known == Synchronised::Unknown));
        let (bars, at) = known(&mut builder_set, 5000..20_000, true);
        let at = at.unwrap();
        assert!(bars.iter().any(|(seq, _)| *seq <= at) && bars.iter().any(|(seq, _)| *seq > at));
        for (seq, known) in bars {
            let expected = if seq > at { Synchronised::Yes } else { Synchronised::No };
            assert_eq!(known, expected, "bar {seq}, joined at {at}");
        }
        let missing = [gap(20_000, 20_009)];
        builder_set.on_batch(&uneven(20_010..20_011), &missing, true, |_, _| ());
        let (bars, _) = known(&mut builder_set, 20_011..20_300, true);
        assert!(!bars.is_empty() && bars.iter().all(|(_, known)| *known == Synchronised::No));
    }

    #[test]
    fn a_gap_begins_the_comparison_anew() {
        let mut builder_set = BuilderSet::new(&[forgetful()]);
        joins(&mut builder_set, 1..20_000, true);
        let missing = [gap(20_000, 20_009)];
        let first = builder_set.on_batch(&uneven(20_010..20_011), &missing, true, |_, _| ());
        assert_eq!(first, []);
        let joined = joins(&mut builder_set, 20_011..40_000, true);
        assert_eq!(joined.len(), 1, "{joined:?}");
        assert_eq!(joined[0].beginning, Beginning::BehindGap);
    }
}
