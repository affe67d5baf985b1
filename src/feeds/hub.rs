//! Where all connections of a feed come together: decoders in, intakes out.
//!
//! Everything of a feed runs on one thread, so nothing here is shared and nothing locks per trade.
//! Handing an intake to the graph blocks while the graph is busy: then no socket is read, TCP tells
//! the venue to wait, and memory stays bounded. Should the venue hang up, ids show what was missed.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use barflow_operators::batch::{Feed, IdKind, TradeBatch};
use barflow_operators::instrument::InstrumentId;
use barflow_operators::intake::{Intake, LiveNotes, Reject};
use barflow_operators::pool::BatchPool;
use barflow_operators::position::Position;
use barflow_operators::revision::Correction;
use barflow_operators::sequence::Gap;
use barflow_operators::spec::BarSpec;

use super::counters::Counters;
use super::gap_ledger::GapLedger;
use super::lane::{GivenUp, Lane, Released, Taken};
use super::plan::{FeedPlan, Symbol};
use super::print::{BadRow, Heard, Prints, Standing};
use super::session::owed::Owed;
use super::venue::{Decode, Ids, Missing};
use crate::graph::assemble::OnReject;
use crate::graph::flow::{Ended, Inlet};
use crate::graph::stop::Stop;
use crate::graph::workers::Share;
use crate::telemetry::clock::now_ns;
use crate::telemetry::latency::{Stage, VenueLatency};

/// Trades that an intake holds before it is handed on in any case.
const INTAKE_ROWS: usize = 4096;

/// How much of a bad frame is kept in its report.
const REPORTED_BYTES: usize = 4096;

/// Unknown messages that are shown, one per shape; later ones are only counted.
const SHAPES_SHOWN: usize = 64;

/// What a feed's thread needs of the rest of the program.
#[derive(Clone)]
pub struct Outlets {
    /// One per worker of this process.
    pub inlets: Vec<Inlet>,
    /// Which instruments go where.
    pub share: Share,
    /// Where batches come from.
    pub pool: BatchPool,
    /// The end.
    pub stop: Stop,
    /// Who is told of bad rows and frames.
    pub on_reject: OnReject,
    /// Where unfilled gaps are written down.
    pub gaps: GapLedger,
}

/// One instrument of the feed.
struct Slot {
    symbol: Symbol,
    feed: Arc<Feed>,
    lane: Lane,
    released: Released,
    /// Receive time of the first print since the last intake; 0 if there is none.
    received: i64,
    specs: Option<Arc<[BarSpec]>>,
    worker: usize,
    source: Arc<str>,
    dirty: bool,
    active: bool,
    /// Whether a connection listens to it.
    heard: bool,
    gap: Option<OpenGap>,
    /// Gaps that were passed over and are asked about.
    owed: VecDeque<Owed>,
    /// Set while it is unknown whether trades came between the last one and a new connection.
    tail: Option<Tail>,
}

/// A question about what came after the last trade, asked when nobody had listened for a while:
/// without it, the trades before a pause of the market would only show when the pause ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    pub(super) asked: bool,
    pub(super) next: Instant,
    pub(super) failures: u32,
}

/// A gap that is being waited for or asked about.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenGap {
    pub(super) since: Instant,
    /// No question before this.
    pub(super) next: Instant,
    pub(super) asked: bool,
    /// Answers in a row that brought nothing.
    pub(super) fruitless: u32,
}

/// All instruments of a feed.
pub struct Hub {
    pub(super) plan: Arc<FeedPlan>,
    outlets: Outlets,
    slots: Vec<Slot>,
    dirty: Vec<u32>,
    prints: Prints,
    latency: Arc<VenueLatency>,
    shapes: HashMap<u64, ()>,
    /// What this feed has seen.
    pub counters: Counters,
    /// Whether the graph has ended.
    pub ended: bool,
}

impl Hub {
    /// A feed that has seen nothing yet.
    pub fn new(plan: Arc<FeedPlan>, outlets: Outlets, latency: Arc<VenueLatency>) -> Self {
        let mut hub = Self {
            plan: Arc::clone(&plan),
            outlets,
            slots: Vec::new(),
            dirty: Vec::new(),
            prints: Prints::default(),
            latency,
            shapes: HashMap::new(),
            counters: Counters::default(),
            ended: false,
        };
        for symbol in &plan.symbols {
            hub.add(symbol.clone(), None);
        }
        hub
    }

    /// Takes an instrument in; returns its slot.
    pub fn add(&mut self, symbol: Symbol, specs: Option<Arc<[BarSpec]>>) -> u32 {
        let place = self.slots.iter().position(|slot| slot.symbol == symbol);
        if let Some(place) = place {
            self.slots[place].active = true;
            self.slots[place].specs = specs;
            return place as u32;
        }
        let ids = self.plan.venue.ids(self.plan.channel);
        let feed = Arc::new(Feed {
            instrument: symbol.instrument.clone(),
            input: self.plan.venue.input(self.plan.channel),
            ids: match ids {
                Ids::Consecutive => IdKind::Venue,
                Ids::Spans => IdKind::Spans,
                Ids::Names => IdKind::Ordinal,
            },
            has_aggressor: true,
        });
        let mut lane = Lane::new(ids, self.plan.waiting_room);
        if let Some(last) = &symbol.resume_after {
            lane.resume_after(last);
            lane.doubt();
        }
        let trades = self.outlets.pool.take(&feed);
        self.slots.push(Slot {
            // Were it not ours, the graph would still carry its trades to where they belong.
            worker: self.outlets.share.worker(&feed.instrument).unwrap_or(0),
            source: format!("{} {}", self.plan.name, symbol.listing.symbol).into(),
            symbol,
            feed,
            lane,
            released: Released::new(trades),
            received: 0,
            specs,
            dirty: false,
            active: true,
            heard: false,
            gap: None,
            owed: VecDeque::new(),
            tail: None,
        });
        self.slots.len() as u32 - 1
    }

    /// Lets an instrument go: its prints no longer count. What it released stays.
    pub fn remove(&mut self, instrument: &InstrumentId) {
        for slot in self.slots.iter_mut().filter(|s| s.symbol.instrument == *instrument) {
            slot.active = false;
            slot.gap = None;
        }
    }

    /// Slots and instruments that are wanted.
    pub fn active(&self) -> Vec<(u32, InstrumentId)> {
        let slots = self.slots.iter().enumerate().filter(|(_, slot)| slot.active);
        slots.map(|(at, slot)| (at as u32, slot.symbol.instrument.clone())).collect()
    }

    /// Whether an instrument is wanted.
    pub fn is_active(&self, slot: u32) -> bool {
        self.slots.get(slot as usize).is_some_and(|slot| slot.active)
    }

    /// Gives an instrument other bars from its next trade on.
    pub fn order_bars(&mut self, bars_of: impl Fn(&Feed) -> Vec<BarSpec>) {
        for (at, slot) in self.slots.iter_mut().enumerate().filter(|(_, slot)| slot.active) {
            slot.specs = Some(bars_of(&slot.feed).into());
            if !slot.dirty {
                slot.dirty = true;
                self.dirty.push(at as u32);
            }
        }
    }

    /// Reads a frame that came at `received` over a connection whose listings are `slots` here.
    pub fn hear(
        &mut self,
        frame: &[u8],
        decoder: &mut dyn Decode,
        slots: &[u32],
        received: i64,
    ) -> Heard {
        self.counters.frames += 1;
        self.prints.clear();
        let heard = decoder.decode(frame, &mut self.prints);
        let mut prints = std::mem::take(&mut self.prints);
        for print in &prints.rows {
            if let Some(slot) = slots.get(print.slot as usize) {
                // Its id shows whether anything is missing: no need to ask.
                self.slots[*slot as usize].tail = None;
                self.take(*slot, print, received);
            }
        }
        self.counters.foreign_rows += u64::from(prints.foreign);
        for bad in prints.bad.drain(..) {
            self.report_row(&bad, slots, frame);
        }
        self.prints = prints;
        match heard {
            Ok(heard) => {
                match &heard {
                    Heard::Trades => self.latency.note(Stage::Decoded, received),
                    Heard::Other(kind) => *self.counters.other.entry(kind).or_insert(0) += 1,
                    Heard::Unknown => self.report_unknown(frame),
                    Heard::Acknowledged(_) | Heard::Refused(_) | Heard::Alive => {}
                }
                heard
            }
            Err(error) => {
                self.counters.bad_frames += 1;
                self.report("frame", &error.to_string(), frame);
                Heard::Unknown
            }
        }
    }

    /// Takes a row into its instrument's order.
    fn take(&mut self, at: u32, print: &super::print::Print, received: i64) -> Taken {
        let slot = &mut self.slots[at as usize];
        if !slot.active {
            return Taken::Repeated;
        }
        let taken = slot.lane.take(print, &mut slot.released);
        match taken {
            Taken::Released | Taken::Late => {
                if let Standing::Excluded(why) = print.standing {
                    *self.counters.excluded.entry(why).or_insert(0) += 1;
                }
                if slot.received == 0 {
                    slot.received = received;
                }
                if !slot.dirty {
                    slot.dirty = true;
                    self.dirty.push(at);
                }
                if slot.released.trades.len() >= INTAKE_ROWS {
                    self.hand_over(at);
                }
            }
            Taken::Repeated => self.counters.duplicates += 1,
            Taken::Waits | Taken::NoRoom => {}
        }
        taken
    }

    /// Hands everything that was released to the graph.
    pub fn flush(&mut self) {
        while let Some(at) = self.dirty.pop() {
            self.hand_over(at);
            self.slots[at as usize].dirty = false;
        }
    }

    /// Whether the graph has nothing else to do: then even one trade is worth handing over.
    pub fn graph_is_idle(&self) -> bool {
        self.outlets.inlets.iter().all(Inlet::is_idle)
    }

    fn hand_over(&mut self, at: u32) {
        let slot = &mut self.slots[at as usize];
        if slot.released.is_empty() && slot.specs.is_none() {
            return;
        }
        let fresh = self.outlets.pool.take(&slot.feed);
        let trades: TradeBatch = std::mem::replace(&mut slot.released.trades, fresh);
        self.counters.trades += trades.len() as u64;
        let position = Position {
            source: Arc::clone(&slot.source),
            member: match slot.lane.last_named() {
                Some(last) => last.named().into(),
                None => Arc::clone(&slot.source),
            },
            byte: 0,
            line: self.counters.frames,
            trade_id: slot.lane.last().map_or(0, |(id, _)| id),
        };
        let mut intake = Intake::new(trades, Vec::new(), position.clone(), position);
        intake.live = Some(LiveNotes {
            received: std::mem::take(&mut slot.received),
            voids: std::mem::take(&mut slot.released.voids),
        });
        intake.specs = slot.specs.take();
        let never = slot.released.never.drain(..);
        intake.corrections = never.map(Correction::never).collect();
        let inlet = &self.outlets.inlets[slot.worker];
        if hand_to(inlet, intake, &self.outlets.stop).is_err() {
            self.ended = true;
        }
    }

    /// Nobody listens to these slots any more. Prints without numbers are held from here on: the
    /// first one of the next connection must not pass for the one after the last.
    pub(super) fn deaf(&mut self, slots: &[u32]) {
        for at in slots {
            let slot = &mut self.slots[*at as usize];
            slot.heard = false;
            slot.lane.doubt();
        }
    }

    /// Nobody listened to these slots until now.
    pub(super) fn doubt(&mut self, slots: &[u32], now: Instant) {
        for at in slots {
            let slot = &mut self.slots[*at as usize];
            slot.heard = true;
            slot.lane.doubt();
            // Of prints without numbers the lane itself waits for a list.
            if slot.lane.last().is_some() && slot.feed.ids != IdKind::Ordinal {
                slot.tail = Some(Tail { asked: false, next: now, failures: 0 });
            }
        }
    }

    /// Slots whose latest trades are in question, with where the question begins.
    pub(super) fn tails(&self) -> Vec<(u32, Tail, Missing)> {
        let slots = self.slots.iter().enumerate().filter(|(_, slot)| slot.active);
        slots
            .filter_map(|(at, slot)| {
                let (id, time) = slot.lane.last()?;
                let first = id.saturating_add(1);
                let missing = Missing { first, last: u64::MAX, after: time, before: i64::MAX };
                Some((at as u32, slot.tail?, missing))
            })
            .collect()
    }

    pub(super) fn tail_mut(&mut self, at: u32) -> &mut Option<Tail> {
        &mut self.slots[at as usize].tail
    }

    /// Slots that wait for something, with what they wait for.
    pub(super) fn waiting(&self) -> Vec<(u32, Missing)> {
        // A list of recent prints is of use once the prints after it are listened to.
        let numbered = self.plan.venue.ids(self.plan.channel) != Ids::Names;
        let ready = |slot: &Slot| slot.active && (numbered || slot.heard);
        let slots = self.slots.iter().enumerate().filter(|(_, slot)| ready(slot));
        slots.filter_map(|(at, slot)| Some((at as u32, slot.lane.missing()?))).collect()
    }

    pub(super) fn gap_mut(&mut self, at: u32) -> &mut Option<OpenGap> {
        &mut self.slots[at as usize].gap
    }

    /// Slots whose gap is noted as open.
    pub(super) fn open_gaps(&self) -> Vec<u32> {
        let slots = self.slots.iter().enumerate();
        slots.filter(|(_, slot)| slot.gap.is_some()).map(|(at, _)| at as u32).collect()
    }

    pub(super) fn symbol(&self, at: u32) -> &Symbol {
        &self.slots[at as usize].symbol
    }

    /// Takes the rows of a REST answer; true if they changed what is missing.
    pub(super) fn take_backfill(&mut self, at: u32, prints: &Prints, body: &[u8]) -> bool {
        let state = |lane: &Lane| (lane.missing(), lane.last());
        let before = state(&self.slots[at as usize].lane);
        let received = now_ns();
        let duplicates = self.counters.duplicates;
        for bad in &prints.bad {
            self.report_row(bad, &[at], body);
        }
        if self.plan.venue.ids(self.plan.channel) == Ids::Names {
            let slot = &mut self.slots[at as usize];
            let (missed, gap) = slot.lane.reconcile(&prints.rows, &mut slot.released);
            self.counters.backfilled += missed;
            if let Some(gap) = gap {
                self.note_gap(at, &gap, "the venue's list of recent trades does not reach back");
            }
            self.touch(at, received);
            return missed > 0;
        }
        let mut late = false;
        for print in &prints.rows {
            let taken = self.take(at, print, received);
            if matches!(taken, Taken::Released | Taken::Waits | Taken::Late) {
                late |= taken == Taken::Late;
                self.counters.backfilled += 1;
            }
        }
        // Rows of the list that had come already are no news.
        self.counters.duplicates = duplicates;
        self.touch(at, received);
        late || state(&self.slots[at as usize].lane) != before
    }

    /// Ends the wait of a slot: what is missing becomes a gap on the ledger.
    pub(super) fn give_up(&mut self, at: u32, reason: &str) {
        let slot = &mut self.slots[at as usize];
        let Some(gap) = slot.lane.give_up(&mut slot.released) else { return };
        self.note_gap(at, &gap, reason);
        self.touch(at, now_ns());
    }

    /// Ends the wait of a slot for now: its order goes on, and what is missing is owed.
    pub(super) fn pass_over(&mut self, at: u32, owed: Owed) {
        let slot = &mut self.slots[at as usize];
        if slot.lane.give_up(&mut slot.released).is_some() {
            slot.owed.push_back(owed);
            self.touch(at, now_ns());
        }
    }

    /// Slots that are owed something.
    pub(super) fn owing(&self) -> Vec<u32> {
        let slots = self.slots.iter().enumerate();
        slots.filter(|(_, slot)| !slot.owed.is_empty()).map(|(at, _)| at as u32).collect()
    }

    pub(super) fn owed_mut(&mut self, at: u32) -> &mut VecDeque<Owed> {
        &mut self.slots[at as usize].owed
    }

    /// The first part of what was missing that still is.
    pub(super) fn still_missing(&self, at: u32, missing: &Missing) -> Option<Missing> {
        let gap = self.slots[at as usize].lane.owed(missing).next()?;
        Some(Missing { first: gap.first_missing, last: gap.last_missing, ..*missing })
    }

    /// What is owed will not come: it becomes a gap on the ledger.
    pub(super) fn give_up_owed(&mut self, at: u32, missing: &Missing, reason: &str) {
        let gaps: Vec<Gap> = self.slots[at as usize].lane.owed(missing).collect();
        for gap in gaps {
            let gap = GivenUp { gap: Some(gap), after: missing.after, before: missing.before };
            self.note_gap(at, &gap, reason);
        }
    }

    fn note_gap(&mut self, at: u32, gap: &GivenUp, reason: &str) {
        let instrument = &self.slots[at as usize].symbol.instrument;
        self.counters.gaps_given_up += 1;
        self.counters.ids_given_up += gap.gap.map_or(0, |gap| gap.len());
        let (first, last) = gap.gap.map_or((0, 0), |gap| (gap.first_missing, gap.last_missing));
        tracing::error!(
            feed = %self.plan.name,
            %instrument,
            first_missing = first,
            last_missing = last,
            after_time = gap.after,
            before_time = gap.before,
            reason,
            "trades are missing; the next bar spans a gap"
        );
        if let Err(error) = self.outlets.gaps.note(&self.plan.name, instrument, gap, reason) {
            tracing::error!(%error, "the gap could not be written to the ledger");
        }
    }

    /// Makes sure that what was just released is handed over at the next flush.
    fn touch(&mut self, at: u32, received: i64) {
        let slot = &mut self.slots[at as usize];
        if slot.received == 0 {
            slot.received = received;
        }
        if !slot.dirty {
            slot.dirty = true;
            self.dirty.push(at);
        }
    }

    fn report_row(&mut self, bad: &BadRow, slots: &[u32], frame: &[u8]) {
        self.counters.bad_rows += 1;
        let slot = bad.slot.and_then(|slot| slots.get(slot as usize));
        let source = match slot {
            Some(at) => Arc::clone(&self.slots[*at as usize].source),
            None => self.plan.name.as_str().into(),
        };
        (self.outlets.on_reject)(Reject {
            row: 0,
            source,
            line: self.counters.frames,
            field: bad.field.to_owned(),
            value: bad.value.clone(),
            reason: bad.reason.clone(),
            raw: shown(frame),
        });
    }

    fn report(&mut self, field: &str, reason: &str, frame: &[u8]) {
        (self.outlets.on_reject)(Reject {
            row: 0,
            source: self.plan.name.as_str().into(),
            line: self.counters.frames,
            field: field.to_owned(),
            value: String::new(),
            reason: reason.to_owned(),
            raw: shown(frame),
        });
    }

    /// Reports an unknown message once per shape: its letters, without what varies.
    fn report_unknown(&mut self, frame: &[u8]) {
        self.counters.unknown += 1;
        let shape: Vec<u8> =
            frame.iter().copied().filter(u8::is_ascii_alphabetic).take(64).collect();
        let hash = xxhash_rust::xxh3::xxh3_64(&shape);
        if self.shapes.len() < SHAPES_SHOWN && self.shapes.insert(hash, ()).is_none() {
            let message = shown(&frame[..frame.len().min(400)]);
            tracing::warn!(feed = %self.plan.name, message, "unknown message, ignored");
        }
    }
}

/// Hands an intake over, waiting while the graph is busy; once the end was asked for, not for ever.
fn hand_to(inlet: &Inlet, intake: Intake, stop: &Stop) -> Result<(), Ended> {
    const PATIENCE: Duration = Duration::from_millis(100);
    const LAST_PATIENCE: Duration = Duration::from_secs(4);
    let mut intake = intake;
    let mut asked_to_stop: Option<Instant> = None;
    loop {
        match inlet.offer(intake, PATIENCE) {
            Ok(()) => return Ok(()),
            Err(None) => return Err(Ended),
            Err(Some(back)) => intake = *back,
        }
        if stop.is_raised()
            && asked_to_stop.get_or_insert_with(Instant::now).elapsed() > LAST_PATIENCE
        {
            return Err(Ended);
        }
    }
}

fn shown(frame: &[u8]) -> String {
    String::from_utf8_lossy(&frame[..frame.len().min(REPORTED_BYTES)]).into_owned()
}
