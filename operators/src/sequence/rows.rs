//! Rows one by one: where each belongs, and what contradicts another.

use std::sync::Arc;

use super::gate::{Held, Passage};
use super::memory::{GOES_ON, Lines, Memory, Remembered};
use super::refused::{Objection, Refused};
use super::{Findings, Item, Late, Sequencer, Waiting};
use crate::batch::{IdKind, TradeBatch};
use crate::left_out::LeftOut;
use crate::order::ids::{Kept, Place, Ready};
use crate::order::recent::is_same;
use crate::pool::BatchPool;
use crate::trade::Trade;

/// Trades on their way out of a batch, and the rows that they were.
pub(super) struct Out<'a> {
    pub(super) trades: &'a mut TradeBatch,
    pub(super) rows: Vec<u64>,
    pub(super) found: &'a mut Findings,
}

impl Sequencer {
    /// Takes a batch; returns the trades that are now in order, the same allocation where all of
    /// them are.
    pub fn on_batch(
        &mut self,
        batch: TradeBatch,
        lines: Lines,
        pool: &BatchPool,
        findings: &mut Findings,
    ) -> Arc<TradeBatch> {
        self.on_rows(batch, &[], lines, pool, findings)
    }

    /// Takes a batch and the rows between its trades that are not trades by rule: their ids are
    /// settled in their turn.
    pub fn on_rows(
        &mut self,
        batch: TradeBatch,
        left_out: &[LeftOut],
        lines: Lines,
        pool: &BatchPool,
        findings: &mut Findings,
    ) -> Arc<TradeBatch> {
        findings.note_left_out(left_out);
        self.batches += 1;
        let batch = Arc::new(batch);
        let first_row = self.memory.next();
        self.latest_row = first_row;
        let is_numbered = batch.feed.ids != IdKind::Ordinal;
        if (left_out.is_empty() || !is_numbered) && self.passes(&batch) {
            self.let_through(&batch, lines, pool, findings);
            return batch;
        }
        self.remember(&batch, lines, !is_numbered, pool);
        let mut ordered = pool.take(&batch.feed);
        let mut out = Out { trades: &mut ordered, rows: Vec::new(), found: findings };
        if !is_numbered {
            // None of its trades is what others wait for.
            self.give_up_all(&mut out);
        }
        let mut left_out = left_out.iter().filter(|_| is_numbered).peekable();
        for row in 0..batch.len() {
            while let Some(other) = left_out.next_if(|other| other.row as usize <= row) {
                self.on_left_out(other, &mut out);
            }
            let (trade, number) = (batch.trade(row), first_row + row as u64);
            match is_numbered {
                true => self.on_trade(trade, number, first_id(&trade, batch.feed.ids), &mut out),
                false => self.on_unnumbered(trade, number, &mut out),
            }
        }
        left_out.for_each(|other| self.on_left_out(other, &mut out));
        self.note_release(&ordered, findings);
        pool.give_back(batch);
        Arc::new(ordered)
    }

    /// Stops waiting: no more trades will come. Appends those that waited, noting their gaps.
    pub fn flush(&mut self, ordered: &mut TradeBatch, findings: &mut Findings) {
        self.release_all(ordered, findings);
        self.note_release(ordered, findings);
    }

    pub(super) fn release_all(&mut self, ordered: &mut TradeBatch, findings: &mut Findings) {
        let mut out = Out { trades: ordered, rows: Vec::new(), found: findings };
        self.give_up_all(&mut out);
        let (gate, memory) = (&mut self.gate, &self.memory);
        gate.finish(|passage| out.leave(passage, memory));
        // No trade is left to show these.
        findings.gaps.extend(gate.take_gaps());
    }

    pub(super) fn give_up_all(&mut self, out: &mut Out<'_>) {
        while self.ids.is_waiting() {
            self.give_up_gap(out);
        }
    }

    /// A row without an id of its own: numbered as it was read, so only rows that were applied before
    /// come again.
    pub(super) fn on_unnumbered(&mut self, trade: Trade, row: u64, out: &mut Out<'_>) {
        let before = self.ids.last();
        if before.is_some_and(|last| trade.trade_id <= last) {
            out.found.duplicates += 1;
            return;
        }
        self.ids.settle(trade.trade_id, trade.trade_id);
        let waiting = self.waiting(Item::Trade(trade), row);
        self.pass(waiting, before, out);
    }

    pub(super) fn on_trade(&mut self, trade: Trade, row: u64, first: u64, out: &mut Out<'_>) {
        let last = trade.trade_id;
        let waiting = self.waiting(Item::Trade(trade), row);
        match self.ids.place(first, last) {
            Place::Next => {
                let before = self.ids.last();
                out.found.reordered += u64::from(self.ids.is_waiting());
                self.ids.settle(first, last);
                self.pass(waiting, before, out);
                self.release_waiting(out);
            }
            Place::First | Place::Ahead => self.on_ahead(trade, row, first, out),
            place => self.on_settled(place, trade, row, out),
        }
    }

    /// A row that is not a trade by rule: its id is settled. One that comes again, or after its id was
    /// given up, changes nothing.
    pub(super) fn on_left_out(&mut self, other: &LeftOut, out: &mut Out<'_>) {
        let Some(id) = other.id else { return };
        match self.ids.place(id, id) {
            Place::Next => {
                self.ids.settle(id, id);
                self.release_waiting(out);
            }
            Place::First | Place::Ahead => {
                let waiting = self.waiting(Item::LeftOut, self.latest_row);
                self.wait(id, id, waiting, out);
            }
            // One id overlaps with nothing.
            Place::GivenUp
            | Place::Repeated
            | Place::Before
            | Place::Forgotten
            | Place::Overlaps => {}
        }
    }

    fn waiting(&self, item: Item, row: u64) -> Waiting {
        Waiting { item, row, came_with: self.batches, refused: false }
    }

    fn wait(&mut self, first: u64, last: u64, next: Waiting, out: &mut Out<'_>) {
        let (item, row) = (next.item.trade(), next.row);
        match (self.ids.wait(first, last, next), item) {
            (Kept::Overlaps, Some(trade)) => {
                out.refuse(trade, row, Objection::Overlaps, &self.memory);
            }
            (Kept::Known, Some(_)) => out.found.duplicates += 1,
            (Kept::Waits { instead_of }, _) => out.found.duplicates += instead_of as u64,
            (_, None) => {}
        }
        if self.ids.waiting().len() > self.window {
            self.give_up_gap(out);
        }
    }

    /// A row whose id is above all that are settled, and not the next.
    fn on_ahead(&mut self, trade: Trade, row: u64, first: u64, out: &mut Out<'_>) {
        let last = trade.trade_id;
        let is_behind = self.ids.last_waiting().is_some_and(|highest| highest >= last);
        // Not above an id that waits, but of a later time.
        let newest = self.ids.waiting().next_back().and_then(|newest| newest.item.trade());
        let again = newest
            .filter(|newest| {
                is_behind && trade.event_time.saturating_sub(newest.event_time) > GOES_ON
            })
            .map(|newest| Objection::IdsBeginAgain { last: newest.trade_id });
        let next = self.waiting(Item::Trade(trade), row);
        let Some(other) = self.ids.waiting_at_mut(last) else {
            match again {
                Some(again) => out.refuse(trade, row, again, &self.memory),
                None => {
                    out.found.reordered += u64::from(is_behind);
                    self.wait(first, last, next, out);
                }
            }
            return;
        };
        let Some(waits) = other.item.trade() else {
            // A row of this id that is not a trade by rule came first.
            out.found.duplicates += 1;
            return;
        };
        if is_same(&waits, &trade) {
            out.found.duplicates += 1;
            return;
        }
        let earlier = Remembered { trade: waits, row: other.row };
        let is_last = newest.is_some_and(|newest| last == newest.trade_id);
        if let Some(again) = again.filter(|_| self.memory.is_anew(&earlier, &trade, row, is_last)) {
            out.refuse(trade, row, again, &self.memory);
            return;
        }
        let both = !std::mem::replace(&mut other.refused, true);
        let other = (waits, other.row);
        out.contradict(other, (trade, row), both, false, &self.memory);
    }

    /// A row whose id is not above all that are settled.
    pub(super) fn on_settled(&mut self, place: Place, trade: Trade, row: u64, out: &mut Out<'_>) {
        let id = trade.trade_id;
        let time_goes_on = |last: i64| trade.event_time.saturating_sub(last) > GOES_ON;
        let is_later = self.gate.latest().is_some_and(time_goes_on);
        let again = Objection::IdsBeginAgain { last: self.ids.last().unwrap_or(id) };
        if let Some(earlier) = self.memory.find(id, row) {
            if is_same(&earlier.trade, &trade) {
                out.found.duplicates += 1;
                return;
            }
            let is_last = self.ids.last() == Some(id);
            if is_later && self.memory.is_anew(&earlier, &trade, row, is_last) {
                out.refuse(trade, row, again, &self.memory);
                return;
            }
            let both = self.gate.take_out(earlier.row) || out.take_out(earlier.row);
            let earlier = (earlier.trade, earlier.row);
            out.contradict(earlier, (trade, row), both, is_later, &self.memory);
            return;
        }
        let why = match place {
            Place::GivenUp => {
                let row = row.saturating_sub(self.latest_row) as usize;
                let known_time = out.trades.event_time.last().copied().or(self.last_time);
                out.found.late.push(Late { row, trade, known_time });
                return;
            }
            _ if is_later => again,
            Place::Before => Objection::Backwards { first: self.ids.settled().first.unwrap_or(id) },
            Place::Forgotten => Objection::Forgotten,
            Place::Overlaps => Objection::Overlaps,
            _ => {
                out.found.duplicates += 1;
                out.found.not_compared += 1;
                return;
            }
        };
        out.refuse(trade, row, why, &self.memory);
    }

    /// A trade is the next in order.
    pub(super) fn pass(&mut self, next: Waiting, before: Option<u64>, out: &mut Out<'_>) {
        let Waiting { item, row, came_with, refused } = next;
        let Some(trade) = item.trade().filter(|_| !refused) else { return };
        if self.gate.admits(trade.event_time) {
            out.trades.push(&trade);
            out.rows.push(row);
            return;
        }
        let held = Held { trade, row, came_with, before, gaps: Vec::new() };
        let (gate, memory) = (&mut self.gate, &self.memory);
        gate.push(held, |passage| out.leave(passage, memory));
    }

    /// Gives up the ids before the first waiting trade and releases what follows them.
    pub(super) fn give_up_gap(&mut self, out: &mut Out<'_>) {
        let came_with = self.ids.waiting().map(|waiting| waiting.came_with).min();
        if let Some(gap) = self.ids.give_up() {
            self.gate.gap(gap, came_with.unwrap_or(self.batches));
        }
        self.release_waiting(out);
    }

    pub(super) fn release_waiting(&mut self, out: &mut Out<'_>) {
        let mut before = self.ids.last();
        while let Some(ready) = self.ids.next_ready() {
            match ready {
                Ready::Next(next) => self.pass(next, before, out),
                Ready::Overlaps(Waiting { item, row, refused, .. }) => {
                    if let Some(trade) = item.trade().filter(|_| !refused) {
                        out.refuse(trade, row, Objection::Overlaps, &self.memory);
                    }
                }
            }
            before = self.ids.last();
        }
    }
}

impl Out<'_> {
    pub(super) fn leave(&mut self, passage: Passage, memory: &Memory) {
        match passage {
            Passage::Through(held) => {
                self.found.gaps.extend(held.gaps);
                self.trades.push(&held.trade);
                self.rows.push(held.row);
            }
            Passage::FarAhead(held, by) => {
                self.refuse(held.trade, held.row, Objection::FarAhead(by), memory);
            }
            Passage::FarBehind(held, by) => {
                self.refuse(held.trade, held.row, Objection::FarBehind(by), memory);
            }
        }
    }

    fn refuse(&mut self, trade: Trade, row: u64, why: Objection, memory: &Memory) {
        let place = memory.place(row);
        self.found.refused.push(Refused { trade, row, place, why });
    }

    /// Two rows of one id contradict each other: the later one is refused, or both.
    fn contradict(
        &mut self,
        earlier: (Trade, u64),
        later: (Trade, u64),
        both: bool,
        is_later: bool,
        memory: &Memory,
    ) {
        self.found.conflicts += 1;
        let why = |other: (Trade, u64), is_later| Objection::OtherContent {
            other: Box::new(other.0),
            at: memory.place(other.1),
            both,
            is_later,
        };
        if both {
            self.refuse(earlier.0, earlier.1, why(later, false), memory);
        }
        self.refuse(later.0, later.1, why(earlier, is_later), memory);
    }

    /// Takes back a trade that has not left with its batch yet.
    fn take_out(&mut self, row: u64) -> bool {
        let place = self.rows.iter().rposition(|released| *released == row);
        place.is_some_and(|place| {
            self.rows.remove(place);
            self.trades.remove(place);
            true
        })
    }
}

/// First id that a row covers.
pub(super) fn first_id(trade: &Trade, kind: IdKind) -> u64 {
    match kind {
        IdKind::Spans => trade.trade_id.saturating_sub(u64::from(trade.count).saturating_sub(1)),
        IdKind::Venue | IdKind::Ordinal => trade.trade_id,
    }
}
