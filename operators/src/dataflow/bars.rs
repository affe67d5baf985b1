//! From trades in order to bars: drives the bar machines of each instrument.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::Epoch;
use super::leaving::Leaving;
use super::out::Out;
use super::outputs::{output, rights};
use super::validate::OrderedBatch;
use crate::batch::Feed;
use crate::checkpoint::instrument_state::{AppliedBatch, InstrumentState, WaitingBars};
use crate::checkpoint::record::WaitingBar;
use crate::convergence::monitor::Joined;
use crate::end::InputEnd;
use crate::event_time::expected::Expected;
use crate::instrument::InstrumentId;
use crate::open_bars::{OpenBars, OpenState};
use crate::pool::BatchPool;
use crate::progress::{Progress, ProgressGate};
use crate::published::PublishedBar;
use crate::revision::{Revision, Window};
use crate::spec::BarSpec;

/// The outputs, all on the worker that keeps the instrument.
pub struct Bars<'scope> {
    /// Bars, progress and cuts.
    pub out: StreamVec<'scope, Epoch, Out>,
    /// Live builders that have become independent of where they began.
    pub joined: StreamVec<'scope, Epoch, (InstrumentId, Joined)>,
    /// What became of corrections.
    pub revisions: StreamVec<'scope, Epoch, (InstrumentId, Box<Revision>)>,
}

/// Builders of an earlier run, taken out by the worker that first meets their instrument.
pub type Restored = Arc<Mutex<BTreeMap<InstrumentId, InstrumentState>>>;

/// When a worker writes down how far it is.
pub struct CutPolicy {
    /// Where builders resume; none for a run without checkpoints, which only reports.
    pub restored: Option<Restored>,
    /// Whether progress is reported.
    pub reports: bool,
    /// Whether it is time for a cut, given how many bars were sent since the last one. Asked when
    /// there is something to write down.
    pub due: Box<dyn FnMut(u64) -> Due>,
}

/// What a worker does beside building bars.
pub struct BarsOptions {
    /// When it writes down how far it is; none where it never does.
    pub policy: Option<CutPolicy>,
    /// How much of the past is retained; none: corrections cannot be applied.
    pub window: Option<Window>,
    /// The instruments whose bars leave in the order of event time; none: as they are read.
    pub expected: Option<Expected>,
}

/// Whether it is time for a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// It is, and for reports as well if an interval has passed since those before.
    Now {
        /// Whether it has.
        reports: bool,
    },
    /// It is not; ask again after this time even if nothing comes in.
    Later(Duration),
    /// It is not, and the time of the next check is known.
    Wait,
}

/// Builds bars of every instrument by every specification that `specs_of` names for its feed.
///
/// Trades go to the worker that the instrument hashes to. Batches are applied as they arrive:
/// there is one ordered source per instrument, and channels between two workers keep order, so
/// waiting for the frontier would add latency and nothing else.
///
/// With a `policy` the state of the builders is written down now and then, always between two
/// batches: a [cut](Out::Cut) holds exactly the trades whose bars were sent before, whatever epochs
/// they came in. So do the [reports](Out::Report) in front of it.
///
/// With a `window` that much of the past is retained, and corrections change it.
///
/// With instruments `expected`, bars leave in the order of event time, then instrument, then specification. A
/// cut then holds trades whose bars wait, and those bars.
///
/// When nothing more comes, `end_of` says how the input of each instrument ended; none if it was cut
/// short. `open_bars` shows how far the open ones are.
pub fn bars<'scope>(
    trades: StreamVec<'scope, Epoch, OrderedBatch>,
    pool: BatchPool,
    specs_of: impl Fn(&Feed) -> Vec<BarSpec> + 'static,
    options: BarsOptions,
    end_of: impl Fn(&InstrumentId) -> Option<InputEnd> + 'static,
    open_bars: &OpenBars,
) -> Bars<'scope> {
    let mut open_bars = open_bars.reporter();
    let scope = trades.scope();
    let place = (scope.index(), scope.peers());
    let mut builder = OperatorBuilder::new("Bars".to_owned(), scope);
    let activator = scope.activator_for(builder.operator_info().address);
    let by_instrument =
        Exchange::new(|batch: &OrderedBatch| batch.trades.feed.instrument.shard_hash());
    let mut input = builder.new_input(trades, by_instrument);
    let (mut out, out_stream) = output(&mut builder);
    let (mut joined_out, joined) = output(&mut builder);
    let (mut revisions_out, revisions) = output(&mut builder);

    builder.build(move |initial| {
        let end_cap = initial.into_iter().next();
        let mut worker = Worker::new(specs_of, end_of, pool, options, place, end_cap);
        move |frontiers| {
            let mut out = out.activate();
            let mut joined_out = joined_out.activate();
            let mut revisions_out = revisions_out.activate();
            input.for_each(|cap, batches| {
                // All outputs live at the input's own time.
                let Some((out_cap, joined_cap, revisions_cap)) = rights(&cap) else { return };
                worker.keep_rights(&out_cap, &revisions_cap);
                let epoch = *out_cap.time();
                let mut session = out.session(&out_cap);
                for batch in batches.drain(..) {
                    let instrument = batch.trades.feed.instrument.clone();
                    let taken = worker.on_batch(batch, epoch, |out| session.give(out));
                    for joined in taken.joined {
                        joined_out.session(&joined_cap).give((instrument.clone(), joined));
                    }
                    if let Some(revision) = taken.revision {
                        revisions_out.session(&revisions_cap).give((instrument, revision));
                    }
                }
            });
            let ended = frontiers[0].is_empty();
            if let Some(cap) = worker.last_word.take_if(|_| ended) {
                revisions_out.session(&cap).give_iterator(worker.never_reached());
            }
            if let Some(cap) = worker.end_cap.take_if(|_| ended) {
                let mut session = out.session(&cap);
                worker.on_end(&cap, |out| session.give(out));
            }
            match worker.due(ended) {
                Due::Now { reports } => {
                    worker.cut(reports, ended, |cap, item| out.session(cap).give(item));
                }
                Due::Later(time) => activator.activate_after(time),
                Due::Wait => {}
            }
            open_bars.report(|| worker.open_bars());
            worker.follow(frontiers[0].frontier().first());
        }
    });
    Bars { out: out_stream, joined, revisions }
}

/// What a worker keeps from one call to the next.
struct Worker<S, E> {
    specs_of: S,
    end_of: E,
    pool: BatchPool,
    policy: Option<CutPolicy>,
    window: Option<Window>,
    /// Which worker it is, of how many.
    place: (usize, usize),
    leaving: Leaving,
    /// Bars that waited when an earlier run ended, and now wait for nobody.
    left_over: Vec<(PublishedBar, isize)>,
    states: BTreeMap<InstrumentId, InstrumentState>,
    /// What is to be reported; empty where nothing is.
    gates: BTreeMap<InstrumentId, ProgressGate>,
    /// Bars sent.
    sent: u64,
    /// How many of them before the last cut.
    cut_at: u64,
    /// The right to send what the end of the input closes.
    end_cap: Option<Capability<Epoch>>,
    /// The right to send a cut later. It moves on with the input, so that it holds nothing back.
    cut_cap: Option<Capability<Epoch>>,
    /// The right to say at the end which corrections' place was never reached.
    last_word: Option<Capability<Epoch>>,
}

impl<S, E> Worker<S, E>
where
    S: Fn(&Feed) -> Vec<BarSpec>,
    E: Fn(&InstrumentId) -> Option<InputEnd>,
{
    fn new(
        specs_of: S,
        end_of: E,
        pool: BatchPool,
        options: BarsOptions,
        place: (usize, usize),
        end_cap: Option<Capability<Epoch>>,
    ) -> Self {
        let BarsOptions { policy, window, expected } = options;
        let leaving = Leaving::new(expected.as_ref(), |instrument| is_of(place, instrument));
        let mut worker = Self {
            specs_of,
            end_of,
            pool,
            policy,
            window,
            place,
            leaving,
            left_over: Vec::new(),
            states: BTreeMap::new(),
            gates: BTreeMap::new(),
            sent: 0,
            cut_at: 0,
            end_cap,
            cut_cap: None,
            last_word: None,
        };
        worker.restore_waiting();
        worker
    }

    /// Takes the instruments of this worker whose bars waited when an earlier run ended.
    fn restore_waiting(&mut self) {
        let Some(policy) = &self.policy else { return };
        let is_mine = |id: &InstrumentId| is_of(self.place, id);
        for (instrument, mut state) in policy.take_waiting(is_mine) {
            let feed = Arc::clone(state.feed());
            for WaitingBar { time, spec, bar, diff, synchronised } in state.take_waiting() {
                let feed = Arc::clone(&feed);
                let bar = PublishedBar { spec, feed, bar, received: None, synchronised };
                match &mut self.leaving {
                    Leaving::AtOnce => self.left_over.push((bar, diff)),
                    leaving => leaving.bar(|| time, bar, diff, 0, &mut |_| ()),
                }
            }
            self.leaving.reach(&instrument, state.clock().time());
            if let Some(window) = self.window {
                state.retain(window);
            }
            self.states.insert(instrument, state);
        }
    }

    /// Keeps what it takes to send later what comes of this message.
    fn keep_rights(&mut self, out: &Capability<Epoch>, revisions: &Capability<Epoch>) {
        if self.policy.is_some() {
            self.cut_cap = Some(out.clone());
        }
        if self.window.is_some() {
            self.last_word = Some(revisions.clone());
        }
    }

    /// Applies a batch, and gives out its bars and its progress.
    fn on_batch(
        &mut self,
        batch: OrderedBatch,
        epoch: Epoch,
        mut give: impl FnMut(Out),
    ) -> AppliedBatch {
        let Self { specs_of, policy, window, states, gates, sent, leaving, left_over, .. } = self;
        let keeps_book = policy.as_ref().is_some_and(|policy| policy.restored.is_some());
        let feed = &batch.trades.feed;
        let state = states.entry(feed.instrument.clone()).or_insert_with(|| {
            let restored = policy.as_ref().and_then(|policy| policy.take(&feed.instrument));
            let mut state =
                restored.unwrap_or_else(|| InstrumentState::new(Arc::clone(feed), &specs_of(feed)));
            if let Some(window) = *window {
                state.retain(window);
            }
            state
        });
        if policy.as_ref().is_some_and(|policy| policy.reports) {
            let gate = gates.entry(feed.instrument.clone()).or_default();
            gate.on_batch(batch.open_gap, batch.trades.trade_id.last().copied(), || {
                state.progress()
            });
        }
        let closes = state.clock().over(&batch.trades);
        let mut give = |out: Out| {
            *sent += u64::from(out.bar().is_some());
            give(out);
        };
        left_over.drain(..).for_each(|(bar, diff)| give(Out::Bar((bar, epoch, diff))));
        let taken = state.on_ordered_batch(&batch, keeps_book, |spec, bar, diff, synchronised| {
            let (spec, feed) = (Arc::clone(spec), Arc::clone(feed));
            let received = batch.received;
            let (last_id, known_time) = (bar.last_trade_id, bar.known_time);
            let time = || closes.at(last_id, known_time);
            let bar = PublishedBar { spec, feed, bar, received, synchronised };
            leaving.bar(time, bar, diff, epoch, &mut give);
        });
        let (instrument, time) = (&feed.instrument, state.clock().time());
        let progress = Out::Progress(instrument.clone(), batch.position);
        leaving.say(instrument, time, progress, &mut give);
        leaving.reach(instrument, time);
        batch.ended.iter().for_each(|instrument| leaving.end(instrument));
        leaving.leave(epoch, &mut give);
        self.pool.give_back(batch.trades);
        taken
    }

    /// The corrections whose place no trade has reached.
    fn never_reached(&mut self) -> impl Iterator<Item = (InstrumentId, Box<Revision>)> + '_ {
        let states = self.states.iter_mut();
        states.filter_map(|(id, state)| Some((id.clone(), Box::new(state.never_reached()?))))
    }

    /// The input has ended: gives out what that closes, and what is left. Bars are to be cut once more.
    fn on_end(&mut self, cap: &Capability<Epoch>, mut give: impl FnMut(Out)) {
        if let Some(policy) = &self.policy {
            policy.take_rest(|id| is_of(self.place, id), &mut self.states);
        }
        let epoch = *cap.time();
        let mut bars = 0;
        let mut give = |out: Out| {
            bars += u64::from(out.bar().is_some());
            give(out);
        };
        self.left_over.drain(..).for_each(|(bar, diff)| give(Out::Bar((bar, epoch, diff))));
        let mut is_cut_short = false;
        for (instrument, state) in &mut self.states {
            let Some(end) = (self.end_of)(instrument) else {
                is_cut_short = true;
                continue;
            };
            let (feed, clock) = (Arc::clone(state.feed()), state.clock());
            let left = state.on_end(end, |spec, bar, synchronised| {
                let (spec, feed) = (Arc::clone(spec), Arc::clone(&feed));
                let time = bar.known_time.max(clock.time().unwrap_or(i64::MIN));
                let bar = PublishedBar { spec, feed, bar, received: None, synchronised };
                self.leaving.bar(|| time, bar, 1, epoch, &mut give);
            });
            give(Out::Left(instrument.clone(), left));
        }
        // A run that continues later gives out then what waits now.
        let is_saved = self.policy.as_ref().is_some_and(|policy| policy.restored.is_some());
        if !(is_cut_short && is_saved) {
            self.leaving.end_all();
            self.leaving.leave(epoch, &mut give);
        }
        self.sent += bars;
        let reports = self.policy.as_ref().is_some_and(|policy| policy.reports);
        let says = reports && !self.states.is_empty();
        if self.policy.is_some() && (bars > 0 || says) {
            self.cut_cap = Some(cap.clone());
        }
    }

    /// Whether it is time for a cut.
    fn due(&mut self, ended: bool) -> Due {
        match (&mut self.policy, &self.cut_cap) {
            (Some(_), Some(_)) if ended => Due::Now { reports: true },
            (Some(policy), Some(_)) => (policy.due)(self.sent - self.cut_at),
            _ => Due::Wait,
        }
    }

    /// Gives out the records of all that has changed since the cut before, after the reports if they are due;
    /// at the end those of all instruments.
    fn cut(&mut self, reports: bool, ended: bool, mut give: impl FnMut(&Capability<Epoch>, Out)) {
        let (Some(policy), Some(cap)) = (&self.policy, self.cut_cap.take()) else { return };
        let (reports, records) = (policy.reports && reports, policy.restored.is_some());
        self.cut_at = self.sent;
        let reports = if reports { self.reports(ended) } else { Vec::new() };
        let (waits, reports): (Vec<_>, Vec<_>) =
            reports.into_iter().partition(|report| self.leaving.holds(&report.feed.instrument));
        if !reports.is_empty() {
            give(&cap, Out::Report(reports));
        }
        // Never before the bars that it covers. What waits at the end of a run is said by the next one.
        for report in waits {
            let instrument = report.feed.instrument.clone();
            let time = self.states.get(&instrument).and_then(|state| state.clock().time());
            let report = Out::Report(vec![report]);
            self.leaving.say(&instrument, time, report, &mut |out| give(&cap, out));
        }
        if records {
            let leaving = &self.leaving;
            let states = self.states.iter_mut();
            let records = states.filter_map(|(id, state)| {
                let bars = &|| leaving.bars(id);
                state.cut(WaitingBars { count: leaving.count(id), bars })
            });
            let records = records.collect();
            give(&cap, Out::Cut(records));
        }
        // Reports whose time has not come need another cut.
        self.cut_cap = Some(cap).filter(|_| !ended && self.has_reports());
    }

    /// Whether anything is to be reported.
    fn has_reports(&self) -> bool {
        self.gates.values().any(ProgressGate::has_moved)
    }

    /// How far the instruments are that have moved since they were reported on; all, if that is so.
    fn reports(&mut self, all: bool) -> Vec<Progress> {
        let mut reports = Vec::new();
        for (instrument, state) in &self.states {
            match self.gates.get_mut(instrument) {
                Some(gate) if all || gate.has_moved() => {
                    reports.extend(gate.report(|| state.progress()));
                }
                // Restored, and nothing has come of it.
                None if all => reports.extend(state.progress()),
                _ => {}
            }
        }
        reports
    }

    /// How far the open bars are.
    fn open_bars(&self) -> impl Iterator<Item = (InstrumentId, Vec<OpenState>)> + '_ {
        self.states.iter().map(|(id, state)| (id.clone(), state.open_bars().collect()))
    }

    /// Moves its rights on to the input's frontier.
    fn follow(&mut self, frontier: Option<&Epoch>) {
        let Some(now) = frontier else { return };
        for cap in self.cut_cap.iter_mut().chain(&mut self.end_cap) {
            if cap.time() < now {
                cap.downgrade(now);
            }
        }
    }
}

/// Whether a worker, one of so many, keeps an instrument.
fn is_of((index, peers): (usize, usize), instrument: &InstrumentId) -> bool {
    instrument.shard_hash() % peers as u64 == index as u64
}

impl CutPolicy {
    /// The instruments of which bars wait.
    fn take_waiting(
        &self,
        mine: impl Fn(&InstrumentId) -> bool,
    ) -> BTreeMap<InstrumentId, InstrumentState> {
        let Some(restored) = &self.restored else { return BTreeMap::new() };
        let mut restored = restored.lock().unwrap_or_else(PoisonError::into_inner);
        let (waiting, others) = std::mem::take(&mut *restored)
            .into_iter()
            .partition(|(id, state)| mine(id) && state.has_waiting());
        *restored = others;
        waiting
    }

    /// The instruments of this worker of which no trade came.
    fn take_rest(
        &self,
        mine: impl Fn(&InstrumentId) -> bool,
        states: &mut BTreeMap<InstrumentId, InstrumentState>,
    ) {
        let Some(restored) = &self.restored else { return };
        let mut restored = restored.lock().unwrap_or_else(PoisonError::into_inner);
        let (of_this, others) =
            std::mem::take(&mut *restored).into_iter().partition(|(id, _)| mine(id));
        *restored = others;
        let of_this: BTreeMap<_, _> = of_this;
        for (instrument, state) in of_this {
            states.entry(instrument).or_insert(state);
        }
    }

    fn take(&self, instrument: &InstrumentId) -> Option<InstrumentState> {
        let restored = self.restored.as_ref()?;
        // A thread that panicked while holding it took one instrument state out, which is complete
        // either way.
        restored.lock().unwrap_or_else(PoisonError::into_inner).remove(instrument)
    }
}
