//! Where all connections of a feed come together: decoders in, input batches out.
//!
//! Everything of a feed runs on one thread, so nothing here is shared and nothing locks per trade.
//! Handing an input batch to the graph blocks while the graph is busy: then no socket is read, TCP
//! tells the venue to wait, and memory stays bounded. Should the venue hang up, ids show what was
//! missed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use barflow_operators::batch::{Feed, TradeBatch};
use barflow_operators::gap::OpenGap;
use barflow_operators::input_batch::InputBatch;
use barflow_operators::instrument::InstrumentId;
use barflow_operators::pool::BatchPool;
use barflow_operators::position::{FeedPosition, Position};
use barflow_operators::revision::{Correction, ids_of};
use barflow_operators::sequence::FeedOrder;
use barflow_operators::spec::BarSpec;

use crate::feeds::counters::Counters;
use crate::feeds::deferred_gaps::DeferredGaps;
use crate::feeds::gap_tracker::{GapPolicy, GapTracker, ReportedGap};
use crate::feeds::lag::LagWatch;
use crate::feeds::plan::{FeedPlan, Symbol};
use crate::feeds::print::{FrameKind, Print, Prints, Standing};
use crate::feeds::reorder_buffer::{Disposition, Released};
use crate::feeds::venue::Decode;
use crate::graph::flow::{Ended, Inlet};
use crate::graph::options::OnReject;
use crate::graph::workers::Share;
use crate::stop::Stop;
use crate::telemetry::latency::{Stage, VenueLatency};

/// Trades that an input batch holds before it is handed on in any case.
const INTAKE_ROWS: usize = 4096;

mod gaps;
mod left_off;
mod reports;

pub(super) use self::gaps::{Answer, NoAnswer, Query};
pub use self::left_off::LeftOff;

/// Receives a gap that could not be filled: name of the feed, instrument, and the gap.
pub type OnGap = Arc<dyn Fn(&str, &InstrumentId, &ReportedGap) + Send + Sync>;

/// What a feed's thread needs of the rest of the program.
#[derive(Clone)]
pub struct FeedOutputs {
    /// One per worker of this process.
    pub inlets: Vec<Inlet>,
    /// Which instruments go where.
    pub share: Share,
    /// Where batches come from.
    pub pool: BatchPool,
    /// The end.
    pub stop: Stop,
    /// Receives bad rows and frames.
    pub on_reject: OnReject,
    /// Receives rows that contradict others, of which the log has been told.
    pub on_contradiction: OnReject,
    /// Receives the gaps that could not be filled.
    pub on_gap: OnGap,
    /// Gaps that the order did not wait for.
    pub deferred: DeferredGaps,
    /// Where instruments were left that no feed carries any more.
    pub left_off: LeftOff,
}

/// One instrument of the feed.
struct Slot {
    symbol: Symbol,
    feed: Arc<Feed>,
    tracker: GapTracker,
    released: Released,
    /// Receive time of the first print since the last input batch.
    received: Option<i64>,
    specs: Option<Arc<[BarSpec]>>,
    worker: usize,
    source: Arc<str>,
    dirty: bool,
    /// Since when it is listened to without a print ever; none once it was named or brought one.
    silent_since: Option<Instant>,
    /// Whether a connection has brought a print of it.
    heard: bool,
    contradictions: Contradictions,
    gap: GapNews,
}

/// What the graph is told of the gap that is open.
#[derive(Clone, Copy, Debug, Default)]
struct GapNews {
    /// When it was seen, and what there is to say of it.
    open: Option<(Instant, OpenGap)>,
    told: Option<OpenGap>,
}

/// Trades of an instrument that contradict earlier ones.
#[derive(Clone, Copy, Debug, Default)]
struct Contradictions {
    conflicts: u64,
    ids_anew: u64,
    unlisted: u64,
}

impl Slot {
    /// Notes where the instrument is left.
    fn leave_off(&self, left_off: &LeftOff) {
        if let Some(last) = self.tracker.last_trade() {
            left_off.put(&self.symbol.instrument, last);
        }
    }
}

/// All instruments of a feed.
pub struct FeedState {
    pub(super) plan: Arc<FeedPlan>,
    outlets: FeedOutputs,
    slots: Vec<Slot>,
    dirty: Vec<u32>,
    prints: Prints,
    latency: Arc<VenueLatency>,
    lag: LagWatch,
    /// Slot and price of the trade that was handed over last.
    last_price: Option<(u32, f64)>,
    shapes: HashMap<u64, ()>,
    /// What this feed has seen.
    pub counters: Counters,
    /// Whether the graph has ended.
    pub ended: bool,
}

impl FeedState {
    /// A feed that has seen nothing yet.
    pub fn new(plan: Arc<FeedPlan>, outlets: FeedOutputs, latency: Arc<VenueLatency>) -> Self {
        let mut state = Self {
            plan: Arc::clone(&plan),
            outlets,
            slots: Vec::new(),
            dirty: Vec::new(),
            prints: Prints::default(),
            latency,
            lag: LagWatch::new(plan.lag_warning),
            last_price: None,
            shapes: HashMap::new(),
            counters: Counters::default(),
            ended: false,
        };
        for symbol in &plan.symbols {
            state.add(symbol.clone());
        }
        state
    }

    /// Takes an instrument in; returns its slot.
    pub fn add(&mut self, symbol: Symbol) -> u32 {
        let place = self.slots.iter().position(|slot| slot.symbol == symbol);
        if let Some(place) = place {
            self.slots[place].tracker.add_again();
            return place as u32;
        }
        let mut symbol = symbol;
        if symbol.resume_after.is_none() {
            symbol.resume_after = self.outlets.left_off.get(&symbol.instrument);
        }
        let feed = symbol.feed(self.plan.venue.as_ref(), self.plan.channel);
        let tracker = GapTracker::new(
            self.plan.venue.ids(self.plan.channel),
            self.plan.waiting_room,
            GapPolicy::of(&self.plan),
            symbol.resume_after.as_ref(),
        );
        let trades = self.outlets.pool.take(&feed);
        self.slots.push(Slot {
            // Were it not ours, the graph would still carry its trades to where they belong.
            worker: self.outlets.share.worker(&feed.instrument).unwrap_or(0),
            source: format!("{} {}", self.plan.name, symbol.listing.symbol).into(),
            symbol,
            feed,
            tracker,
            released: Released::new(trades),
            received: None,
            specs: None,
            dirty: false,
            silent_since: None,
            heard: false,
            contradictions: Contradictions::default(),
            gap: GapNews::default(),
        });
        self.slots.len() as u32 - 1
    }

    /// Lets an instrument go: its prints no longer count. What it released stays.
    pub fn remove(&mut self, instrument: &InstrumentId) {
        for slot in self.slots.iter_mut().filter(|s| s.symbol.instrument == *instrument) {
            slot.tracker.remove();
            slot.leave_off(&self.outlets.left_off);
        }
    }

    /// Slots and instruments that are wanted.
    pub fn active(&self) -> Vec<(u32, InstrumentId)> {
        let slots = self.slots.iter().enumerate();
        let slots = slots.filter(|(_, slot)| slot.tracker.is_wanted());
        slots.map(|(at, slot)| (at as u32, slot.symbol.instrument.clone())).collect()
    }

    /// How many instruments are wanted.
    pub fn wanted(&self) -> usize {
        self.slots.iter().filter(|slot| slot.tracker.is_wanted()).count()
    }

    /// How far trades are behind the clock; none without recent ones.
    pub fn lag(&self) -> Option<Duration> {
        self.lag.current()
    }

    /// The instrument and the price of the trade that was handed over last.
    pub fn last_price(&self) -> Option<(&InstrumentId, f64)> {
        let (at, price) = self.last_price?;
        Some((&self.symbol(at).instrument, price))
    }

    /// Whether a connection has brought a print of an instrument.
    pub fn has_been_heard(&self, slot: u32) -> bool {
        self.slots.get(slot as usize).is_some_and(|slot| slot.heard)
    }

    /// Whether an instrument is wanted.
    pub fn is_active(&self, slot: u32) -> bool {
        self.slots.get(slot as usize).is_some_and(|slot| slot.tracker.is_wanted())
    }

    /// Gives all instruments other bars from their next trade on, also those that were removed: they may be
    /// added again, and the graph has kept their builders.
    pub fn order_bars(&mut self, bars_of: impl Fn(&Feed) -> Vec<BarSpec>) {
        for (at, slot) in self.slots.iter_mut().enumerate() {
            slot.specs = Some(bars_of(&slot.feed).into());
            if !slot.dirty {
                slot.dirty = true;
                self.dirty.push(at as u32);
            }
        }
    }

    /// Reads a frame that came at `received` over a connection whose listings are `slots` here.
    pub fn on_frame(
        &mut self,
        frame: &[u8],
        decoder: &mut dyn Decode,
        slots: &[u32],
        received: i64,
    ) -> FrameKind {
        self.counters.frames += 1;
        self.prints.clear();
        let heard = decoder.decode(frame, &mut self.prints);
        let mut prints = std::mem::take(&mut self.prints);
        if let Some(latest) = self.plan.latest_time(received) {
            let ids = self.plan.venue.ids(self.plan.channel);
            self.counters.rows_lost += prints.set_future_aside(latest, ids);
        }
        if let Some(time) = prints.rows.last().map(|print| print.trade.event_time)
            && time > 0
        {
            self.latency.add(Stage::Received, self.lag.note(time, received));
        }
        for print in &prints.rows {
            if let Some(slot) = slots.get(print.slot as usize) {
                let taken = self.take(*slot, print, received);
                if let Some(taken) = taken.filter(|taken| taken.is_contradiction()) {
                    self.contradicts(*slot, print, taken, frame);
                }
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
                    FrameKind::Trades => self.latency.note(Stage::Decoded, received),
                    FrameKind::Other(kind) => *self.counters.other.entry(kind).or_insert(0) += 1,
                    FrameKind::Unknown => self.report_unknown(frame),
                    FrameKind::Acknowledged(_) | FrameKind::Refused(_) | FrameKind::Alive => {}
                }
                heard
            }
            Err(error) => {
                self.counters.bad_frames += 1;
                self.report("frame", &error.to_string(), frame);
                FrameKind::Unknown
            }
        }
    }

    /// Takes a row into its instrument's order; none if the instrument is not wanted any more.
    fn take(&mut self, at: u32, print: &Print, received: i64) -> Option<Disposition> {
        let slot = &mut self.slots[at as usize];
        let taken = slot.tracker.on_trade(print, &mut slot.released)?;
        slot.silent_since = None;
        slot.heard = true;
        match taken {
            Disposition::Released | Disposition::Late => {
                if let Standing::Excluded(why) = print.standing {
                    *self.counters.excluded.entry(why).or_insert(0) += 1;
                }
                slot.received.get_or_insert(received);
                if !slot.dirty {
                    slot.dirty = true;
                    self.dirty.push(at);
                }
                if slot.released.trades.len() >= INTAKE_ROWS {
                    self.hand_over(at);
                }
            }
            // What of it has not come is asked for, or is in a gap.
            Disposition::Repeated | Disposition::Overlaps => self.counters.duplicates += 1,
            Disposition::Presumed | Disposition::BeforeFirst => self.report_presumed(at, print),
            Disposition::Waits
            | Disposition::NoRoom
            | Disposition::Conflict
            | Disposition::Unlisted
            | Disposition::BelowStray
            | Disposition::BegunAnew => {}
        }
        Some(taken)
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
        // Once the graph has ended, or not taken anything for long after the end was asked for, there
        // is no use in waiting for it again on behalf of every other instrument.
        slot.look_at_gap();
        if self.ended || slot.released.is_empty() && slot.specs.is_none() && !slot.gap.is_news() {
            return;
        }
        let fresh = self.outlets.pool.take(&slot.feed);
        let trades: TradeBatch = std::mem::replace(&mut slot.released.trades, fresh);
        self.counters.trades += trades.len() as u64;
        self.last_price = trades.price.last().map(|price| (at, *price)).or(self.last_price);
        let position = Position::Feed(FeedPosition {
            source: Arc::clone(&slot.source),
            frames: self.counters.frames,
            trade_id: slot.tracker.last().map(|(id, _)| id),
            latest: slot.tracker.latest().map(Arc::new),
        });
        let mut input_batch = InputBatch::new(trades, Vec::new(), position.clone(), position);
        let received = slot.received.take();
        let open_gap = slot.gap.tell();
        input_batch.order =
            Some(FeedOrder { received, open_gap, ..std::mem::take(&mut slot.released.order) });
        input_batch.left_out = std::mem::take(&mut slot.released.left_out);
        input_batch.specs = slot.specs.take();
        let never = slot.released.never.drain(..);
        input_batch.corrections = never.map(Correction::never).collect();
        announce(&input_batch, &self.outlets.deferred);
        let inlet = &self.outlets.inlets[slot.worker];
        if hand_to(inlet, input_batch, &self.outlets.stop).is_err() {
            self.ended = true;
            if !self.outlets.stop.has_failed() {
                tracing::warn!(
                    feed = %self.plan.name,
                    "the end came before all trades that were read were taken: no bar contains the last ones; \
                     a job that resumes requests them again"
                );
            }
        }
    }

    /// Makes sure that what was just released is handed over at the next flush.
    fn touch(&mut self, at: u32, received: i64) {
        let slot = &mut self.slots[at as usize];
        slot.received.get_or_insert(received);
        if !slot.dirty {
            slot.dirty = true;
            self.dirty.push(at);
        }
    }
}

/// Tells which late trades of deferred gaps the graph is about to judge.
fn announce(input_batch: &InputBatch, deferred: &DeferredGaps) {
    let (trades, corrections) = (&input_batch.trades, &input_batch.corrections);
    let late = input_batch.order.iter().flat_map(|order| &order.late);
    let late = late.filter_map(|row| ids_of(&trades.trade(*row as usize), trades.feed.ids));
    let never = corrections.iter().filter_map(Correction::ids_never);
    let mut late = late.chain(never).peekable();
    if late.peek().is_some() {
        let mut deferred = deferred.lock();
        late.for_each(|ids| deferred.send(&trades.feed.instrument, ids));
    }
}

/// Hands an input batch over, waiting while the graph is busy; after a stop was requested, with a
/// limit.
fn hand_to(inlet: &Inlet, input_batch: InputBatch, stop: &Stop) -> Result<(), Ended> {
    const PATIENCE: Duration = Duration::from_millis(100);
    const LAST_PATIENCE: Duration = Duration::from_secs(4);
    let mut input_batch = input_batch;
    let mut asked_to_stop: Option<Instant> = None;
    loop {
        match inlet.offer(input_batch, PATIENCE) {
            Ok(()) => return Ok(()),
            Err(None) => return Err(Ended),
            Err(Some(back)) => input_batch = *back,
        }
        if stop.is_raised()
            && asked_to_stop.get_or_insert_with(Instant::now).elapsed() > LAST_PATIENCE
        {
            return Err(Ended);
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
