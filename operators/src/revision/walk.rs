//! One walk over the retained blocks: from the first correction to where nothing differs any more.

use std::collections::VecDeque;
use std::sync::Arc;

use super::block::{Block, Past};
use super::correction::Correction;
use super::missing::joined;
use super::update::{Revision, Update};
use crate::bar::Bar;
use crate::batch::TradeBatch;
use crate::builder_set::{BuilderSet, BuilderState};
use crate::gap::Gap;

/// Trades of a block as they should have been.
type Part = (Arc<TradeBatch>, Vec<Gap>);

/// Walks and changes.
pub(super) struct Walk<'a> {
    pub(super) blocks: &'a mut VecDeque<Block>,
    /// Whether the first block begins the history of the instrument.
    pub(super) origin: bool,
    /// Number of this revision.
    pub(super) number: u32,
    /// Event time at which it became known.
    pub(super) known_time: Option<i64>,
    /// Trades of a block.
    pub(super) every: usize,
    /// Applicable, in order of their ids, one per id.
    pub(super) corrections: &'a [Correction],
    pub(super) out: &'a mut Revision,
}

/// What the walk knows of a slot.
struct BuilderWalk {
    /// While its bars are made again.
    run: Option<Run>,
    updates: Vec<(Bar, isize)>,
    /// Number of its next bar, were it after all published bars.
    next_seq: u64,
}

/// A slot whose bars are made again.
struct Run {
    state: BuilderState,
    /// Published bars of the recomputed blocks, without those that are unchanged.
    old: VecDeque<Bar>,
}

impl<'a> Walk<'a> {
    pub(super) fn run(mut self, builder_set: &mut BuilderSet) {
        let begin = |state: &BuilderState| BuilderWalk {
            run: None,
            updates: Vec::new(),
            next_seq: state.machine.bars(),
        };
        let mut slots: Vec<BuilderWalk> = builder_set.states().map(begin).collect();
        let mut at = 0;
        loop {
            if slots.iter().all(|slot| slot.run.is_none()) {
                let Some(next) = self.corrections.first() else { break };
                at = locate(self.blocks, at, next.trade_id);
            }
            if at >= self.blocks.len() {
                break;
            }
            let (mut parts, until) = self.parts(at);
            let behind = take_behind(&mut parts);
            self.out.recomputed += parts.iter().map(|(trades, _)| trades.len() as u64).sum::<u64>();
            let mut made: Vec<Vec<Option<Past>>> = parts.iter().map(|_| Vec::new()).collect();
            for (place, past) in std::mem::take(&mut self.blocks[at].slots).into_iter().enumerate()
            {
                let slot = &mut slots[place];
                match past {
                    // It had not begun: parts are as many as the block's, all without it.
                    None => made.iter_mut().for_each(|part| part.push(None)),
                    Some(past) if slot.run.is_none() && until.is_none() => {
                        made[0].push(Some(past));
                    }
                    Some(past) => {
                        let mut later = self.blocks.iter().skip(at + 1);
                        let ahead = later
                            .find_map(|block| block.slots[place].as_ref()?.bars.first())
                            .map(|bar| bar.seq);
                        let pasts =
                            slot.again(past, &parts, until, ahead, (self.number, self.known_time));
                        made.iter_mut().zip(pasts).for_each(|(part, past)| part.push(Some(past)));
                    }
                }
            }
            at = self.put(at, parts, made);
            match self.blocks.get_mut(at) {
                // Slots run on into it: the last trade of this block is not the one it was.
                Some(next) => drop(next.gaps.splice(..0, behind)),
                None => self.blocks[at - 1].gaps.extend(behind),
            }
        }
        self.end(slots, builder_set);
    }

    /// The trades of a block as they should be, in parts that are not too long, and the id of the
    /// last correction among them. A block that loses all its trades takes the next one in, so that
    /// gaps are always followed by a trade.
    fn parts(&mut self, at: usize) -> (Vec<Part>, Option<u64>) {
        let mut mine = self.mine(at);
        let Some(mut last) = mine.last().map(|last| last.trade_id) else {
            let block = &self.blocks[at];
            return (vec![(Arc::clone(&block.trades), block.gaps.clone())], None);
        };
        let origin = self.origin && at == 0;
        let (mut trades, mut gaps) = self.blocks[at].corrected(mine, origin);
        while trades.is_empty()
            && at + 1 < self.blocks.len()
            && self.blocks[at].may_take(&self.blocks[at + 1])
        {
            // There is one after it, as was just checked.
            let Some(next) = self.blocks.remove(at + 1) else { break };
            self.blocks[at].take(next);
            mine = self.mine(at);
            last = mine.last().map_or(last, |last| last.trade_id);
            (trades, gaps) = self.blocks[at].corrected(mine, origin);
        }
        self.corrections = &self.corrections[mine.len()..];
        self.note_gaps(&joined(&self.blocks[at].gaps), &joined(&gaps));
        let was = self.blocks[at].trades.len();
        (split(trades, gaps, was * 2, self.every), Some(last))
    }

    /// The corrections that belong into this block.
    fn mine(&self, at: usize) -> &'a [Correction] {
        let here = |c: &&Correction| locate(self.blocks, at, c.trade_id) == at;
        &self.corrections[..self.corrections.iter().take_while(here).count()]
    }

    fn note_gaps(&mut self, before: &[Gap], after: &[Gap]) {
        let gone = before.iter().filter(|gap| !after.contains(gap)).map(|gap| (*gap, -1));
        let come = after.iter().filter(|gap| !before.contains(gap)).map(|gap| (*gap, 1));
        self.out.gaps.extend(gone.chain(come));
    }

    /// Replaces a block by parts; returns the index after them.
    fn put(&mut self, at: usize, parts: Vec<Part>, made: Vec<Vec<Option<Past>>>) -> usize {
        let mut behind = at;
        for ((trades, gaps), slots) in parts.into_iter().zip(made) {
            let block = Block { trades, gaps, slots };
            match behind == at {
                true => self.blocks[at] = block,
                false => self.blocks.insert(behind, block),
            }
            behind += 1;
        }
        behind
    }

    /// Slots that have not found back to their old way go another one from now on.
    fn end(self, slots: Vec<BuilderWalk>, builder_set: &mut BuilderSet) {
        let specs: Vec<Arc<str>> =
            builder_set.specs().map(|spec| Arc::clone(spec.name())).collect();
        for (place, (mut slot, spec)) in slots.into_iter().zip(specs).enumerate() {
            if let Some(mut run) = slot.run {
                run.state.machine.number_from(slot.next_seq);
                builder_set.put(place, run.state);
                slot.updates.extend(run.old.into_iter().map(|bar| (bar, -1)));
                self.out.reaches_present = true;
            }
            // Retractions before replacements.
            slot.updates.sort_by_key(|(bar, diff)| (bar.last_trade_id, *diff));
            let known = self.known_time;
            let update = |(mut bar, diff): (Bar, isize)| {
                // That a bar is withdrawn is known no earlier than why.
                bar.known_time = known.map_or(bar.known_time, |known| known.max(bar.known_time));
                Update { spec: Arc::clone(&spec), bar, diff }
            };
            self.out.updates.extend(slot.updates.into_iter().map(update));
        }
    }
}

impl Run {
    /// The next published bar, if it is such a one.
    fn next_if(&mut self, is: impl Fn(&Bar) -> bool) -> Option<Bar> {
        self.old.front().is_some_and(is).then(|| self.old.pop_front())?
    }
}

impl BuilderWalk {
    /// Feeds the parts of a block again. `until` is the id of the last correction among them,
    /// `ahead` the number of the first published bar after the block.
    fn again(
        &mut self,
        past: Past,
        parts: &[Part],
        until: Option<u64>,
        ahead: Option<u64>,
        (number, known): (u32, Option<i64>),
    ) -> Vec<Past> {
        let begin = || Run { state: past.start, old: VecDeque::new() };
        let mut run = self.run.take().unwrap_or_else(begin);
        let mut pasts = Vec::with_capacity(parts.len());
        let (mut fresh, mut ends) = (Vec::new(), Vec::with_capacity(parts.len()));
        for (trades, gaps) in parts {
            pasts.push(Past { start: run.state.clone(), bars: Vec::new() });
            run.state.on_batch(trades, gaps, &mut fresh);
            ends.push(fresh.len());
        }
        let agreed = agreement(&fresh, &past.bars, until);
        let mut old = past.bars;
        let tail = match agreed {
            Some((ours, its)) => {
                fresh.truncate(ours + 1);
                old.split_off(its + 1)
            }
            None => Vec::new(),
        };
        run.old.extend(old);
        let mut stand = Vec::with_capacity(fresh.len() + tail.len());
        for mut bar in fresh {
            while let Some(gone) = run.next_if(|old| old.last_trade_id < bar.last_trade_id) {
                self.updates.push((gone, -1));
            }
            if let Some(same) = run.next_if(|old| is_same(old, &bar)) {
                stand.push(same);
                continue;
            }
            bar.seq = run.old.front().map(|old| old.seq).or(ahead).unwrap_or_else(|| {
                self.next_seq += 1;
                self.next_seq - 1
            });
            bar.revision = number;
            bar.known_time = known.map_or(bar.known_time, |known| known.max(bar.known_time));
            self.updates.push((bar.clone(), 1));
            stand.push(bar);
        }
        stand.extend(tail);
        let mut stand = stand.into_iter();
        let mut taken = 0;
        for (past, end) in pasts.iter_mut().zip(ends) {
            past.bars.extend(stand.by_ref().take(end - taken));
            taken = end;
        }
        match agreed {
            Some(_) => self.updates.extend(run.old.into_iter().map(|bar| (bar, -1))),
            None => self.run = Some(run),
        }
        pasts
    }
}

/// The first bars from which both agree: after the last correction, closed by the
/// same trade in the same state.
///
/// Where one trade closes several bars only the last of them counts: before it, what the trade
/// still does to each is not known.
fn agreement(fresh: &[Bar], old: &[Bar], until: Option<u64>) -> Option<(usize, usize)> {
    let is_last = |bars: &[Bar], at: usize| {
        bars.get(at + 1).is_none_or(|next| next.last_trade_id != bars[at].last_trade_id)
    };
    let mut its = 0;
    for (ours, bar) in fresh.iter().enumerate() {
        if until.is_some_and(|until| bar.last_trade_id <= until) || !is_last(fresh, ours) {
            continue;
        }
        while old.get(its).is_some_and(|old| old.last_trade_id < bar.last_trade_id) {
            its += 1;
        }
        while old.get(its).is_some_and(|old| old.last_trade_id == bar.last_trade_id) {
            if is_last(old, its) && old[its].state_digest == bar.state_digest {
                return Some((ours, its));
            }
            its += 1;
        }
    }
    None
}

/// Whether a bar says the same, whatever number it has, and however often and when it was made.
fn is_same(a: &Bar, b: &Bar) -> bool {
    let (seq, revision, known_time) = (b.seq, b.revision, b.known_time);
    let numbered = Bar { seq, revision, known_time, ..a.clone() };
    numbered == *b
}

/// The block that an id belongs into, from this one on.
pub(super) fn locate(blocks: &VecDeque<Block>, from: usize, id: u64) -> usize {
    let behind = |block: &Block| block.last_id().is_some_and(|last| id <= last);
    // Gaps precede the next trade, so only those after the last trade of all are the last
    // block's.
    blocks.iter().skip(from).position(behind).map_or(blocks.len() - 1, |at| from + at)
}

/// Gaps after the last trade precede the next one, which is in none of these parts.
fn take_behind(parts: &mut [Part]) -> Vec<Gap> {
    let Some((trades, gaps)) = parts.last_mut() else { return Vec::new() };
    let last = trades.trade_id.last();
    let kept = gaps.partition_point(|gap| last.is_some_and(|id| gap.last_missing < *id));
    gaps.split_off(kept)
}

/// Parts of `every` trades; one if there are not twice as many, or no more than `most`.
fn split(trades: TradeBatch, mut gaps: Vec<Gap>, most: usize, every: usize) -> Vec<Part> {
    if trades.len() <= most.max(2 * every) {
        return vec![(Arc::new(trades), gaps)];
    }
    let mut parts = Vec::new();
    let mut from = 0;
    while from < trades.len() {
        let to = trades.len().min(from + every);
        let mut part = TradeBatch::with_capacity(Arc::clone(&trades.feed), to - from);
        (from..to).for_each(|row| part.push(&trades.trade(row)));
        let later = match to == trades.len() {
            true => Vec::new(),
            false => {
                let last = trades.trade_id[to - 1];
                let mine = gaps.partition_point(|gap| gap.last_missing < last);
                gaps.split_off(mine)
            }
        };
        parts.push((Arc::new(part), std::mem::replace(&mut gaps, later)));
        from = to;
    }
    parts
}
