//! Keeps a feed going: connections up, gaps filled, counts reported.
//!
//! ```text
//! shard (as many symbols as the venue allows)
//!   └─ supervisor ×connections: connect ─► subscribe ─► acknowledged ─► read ─► lost ─► back off ─► …
//!        │                                                        └─ old age: a successor first
//!        └─► state ─► graph            ┌─ answers ─┐
//!              └─► what is missing ──► backfill (REST, a thread of its own)
//! ```
//!
//! One thread per feed runs all of it; only REST, which waits a lot, has its own.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use barflow_operators::batch::Feed;
use barflow_operators::instrument::InstrumentId;
use barflow_operators::spec::BarSpec;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use self::backfill::Backfill;
use self::rate_limiter::RateLimiter;
use self::roster::Roster;
use self::supervisor::{ConnectionSupervisor, Fault};
use super::counters::Counters;
use super::plan::{FeedPlan, Symbol};
use super::state::{Answer, FeedOutputs, FeedState};
use crate::stop::Cause;
use crate::telemetry::latency::Latency;

mod access;
mod backfill;
mod connection;
mod dial;
mod end;
mod listing;
pub mod rate_limiter;
mod report;
mod roster;
mod subscriber;
mod subscriptions;
mod supervisor;

pub use self::access::{Access, AccessError};
pub use self::report::FeedReport;
pub use self::supervisor::Fault as SessionFault;

/// How often gaps are looked at, counts reported and the end noticed.
const TICK: Duration = Duration::from_millis(20);

/// How long connections may take to close in good order at the end.
const CLOSING: Duration = Duration::from_millis(500);

/// Which bars a feed gets, as the graph asks.
pub type BarsOf = Arc<dyn Fn(&Feed) -> Vec<BarSpec> + Send + Sync>;

/// Changes to a running feed.
#[derive(Clone)]
pub enum Change {
    /// Another list of instruments; those in both lists notice nothing.
    Symbols(Vec<Symbol>),
    /// Other bars.
    Bars(BarsOf),
    /// The feed is no longer wanted.
    End,
}

/// What all parts of a session share; one thread, so `Rc`.
pub(super) struct Session {
    pub(super) state: RefCell<FeedState>,
    pub(super) plan: Arc<FeedPlan>,
    pub(super) connects: RefCell<RateLimiter>,
    pub(super) requests: RefCell<u64>,
    /// Which instruments are carried and which refused.
    roster: RefCell<Roster>,
    /// Lists of symbols that REST was asked for and has not given yet.
    lists_awaited: Cell<u32>,
    /// How many connections are up.
    pub(super) up: Cell<usize>,
    /// Whether any ever was.
    pub(super) ever_up: Cell<bool>,
    shards: Cell<usize>,
    /// How many connections are meant to be up.
    pub(super) supervisors: Cell<usize>,
    pub(super) ending: tokio::sync::watch::Sender<bool>,
    /// Why connections do not come up, by shard and number.
    pub(super) faults: RefCell<BTreeMap<(usize, usize), Fault>>,
    /// The end of the connection that failed last.
    pub(super) last_failure: RefCell<Option<String>>,
    pub(super) recorder: Option<crate::recording::recorder::Recorder>,
    pub(super) numbered: RefCell<u32>,
    pub(super) access: Access,
}

/// Runs a feed until the stop flag is up, the graph ends, or nothing can be done any more. `access`
/// says how the venue is reached.
///
/// A venue that cannot be reached, or refuses, is tried again for as long as the feed runs; `report` says
/// why it is not up.
///
/// # Errors
/// When a thread or a socket cannot be had.
pub fn run(
    plan: Arc<FeedPlan>,
    access: Access,
    outlets: FeedOutputs,
    latency: &Latency,
    report: &FeedReport,
    recorder: Option<crate::recording::recorder::Recorder>,
    changes: mpsc::UnboundedReceiver<Change>,
) -> Result<(), Cause> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let venue = plan.symbols.first().map_or("", |symbol| symbol.instrument.venue()).to_owned();
    let stop = outlets.stop.clone();
    let state = FeedState::new(Arc::clone(&plan), outlets, latency.venue(&venue));
    let session = Rc::new(Session {
        state: RefCell::new(state),
        connects: RefCell::new(RateLimiter::new(plan.venue.limits().connects)),
        requests: RefCell::new(1),
        roster: RefCell::new(Roster::default()),
        lists_awaited: Cell::new(0),
        up: Cell::new(0),
        ever_up: Cell::new(false),
        shards: Cell::new(0),
        supervisors: Cell::new(0),
        ending: tokio::sync::watch::Sender::new(false),
        faults: RefCell::new(BTreeMap::new()),
        last_failure: RefCell::new(None),
        recorder,
        numbered: RefCell::new(0),
        access,
        plan,
    });
    let local = LocalSet::new();
    let rest = Backfill::start(&session.plan, &session.access)?;
    let result = local.block_on(&runtime, drive(Rc::clone(&session), rest, stop, report, changes));
    // Connection tasks hold the session; they go with the set.
    drop(local);
    result
}

async fn drive(
    session: Rc<Session>,
    (backfill, mut answers): (Backfill, mpsc::UnboundedReceiver<Answer>),
    stop: crate::stop::Stop,
    report: &FeedReport,
    mut changes: mpsc::UnboundedReceiver<Change>,
) -> Result<(), Cause> {
    let slots: Vec<u32> = (0..session.plan.symbols.len() as u32).collect();
    let (list, mut lists) = mpsc::unbounded_channel();
    session.request_list(&list);
    let mut supervisors = start_shards(&session, &slots);
    let mut last_reported = Counters::default();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut ended = false;
    while !ended {
        tokio::select! {
            _ = tick.tick() => {
                look_after_gaps(&session, &backfill);
                let mut state = session.state.borrow_mut();
                state.flush();
                state.counters.report(&session.plan.name, &mut last_reported);
                ended = stop.is_raised() || state.ended;
                drop(state);
                session.take_heard();
                session.tell(report);
            }
            Some(listed) = lists.recv() => session.on_list(listed),
            Some(answer) = answers.recv() => {
                let mut state = session.state.borrow_mut();
                state.on_answer(&answer, Instant::now());
                state.flush();
                drop(state);
                // The next page need not wait for a tick.
                look_after_gaps(&session, &backfill);
            }
            Some(change) = changes.recv() => match change {
                Change::Symbols(symbols) => {
                    supervisors.extend(change_symbols(&session, symbols));
                    session.request_list(&list);
                }
                Change::Bars(bars_of) => {
                    let mut state = session.state.borrow_mut();
                    state.order_bars(|feed| bars_of(feed));
                    state.flush();
                }
                Change::End => ended = true,
            },
        }
    }
    // All connections close at once, without waiting for a venue that does not respond.
    session.ending.send_replace(true);
    let closing = futures_util::future::join_all(supervisors);
    let _ = tokio::time::timeout(CLOSING, closing).await;
    let mut state = session.state.borrow_mut();
    state.end();
    state.flush();
    state.counters.report(&session.plan.name, &mut last_reported);
    drop(state);
    session.up.set(0);
    session.tell(report);
    Ok(())
}

/// Sends the requests for missing trades that are due.
fn look_after_gaps(session: &Session, backfill: &Backfill) {
    let mut state = session.state.borrow_mut();
    for query in state.on_tick(Instant::now()) {
        backfill.ask(query);
    }
    state.flush();
}

/// Cuts slots into shards and starts their supervisors.
fn start_shards(session: &Rc<Session>, slots: &[u32]) -> Vec<tokio::task::JoinHandle<()>> {
    let per_shard = session.plan.venue.limits().symbols_per_connection.max(1);
    let mut supervisors = Vec::new();
    for slots in slots.chunks(per_shard) {
        let shard = session.shards.replace(session.shards.get() + 1);
        let slots: Rc<[u32]> = slots.into();
        for number in 0..session.plan.connections.max(1) {
            let supervisor =
                ConnectionSupervisor::new(Rc::clone(session), shard, number, Rc::clone(&slots));
            supervisors.push(tokio::task::spawn_local(supervisor.run()));
        }
    }
    supervisors
}

/// Instruments that are new get connections of their own, at once; those that are gone are no
/// longer listened to, and left out the next time their connection is made.
fn change_symbols(session: &Rc<Session>, symbols: Vec<Symbol>) -> Vec<tokio::task::JoinHandle<()>> {
    let mut state = session.state.borrow_mut();
    let before: Vec<(u32, InstrumentId)> = state.active();
    for (_, instrument) in before.iter().filter(|(_, i)| symbols.iter().all(|s| s.instrument != *i))
    {
        tracing::info!(feed = %session.plan.name, %instrument, "instrument removed");
        state.remove(instrument);
    }
    let gone = before.iter().filter(|(_, i)| symbols.iter().all(|s| s.instrument != *i));
    for (slot, instrument) in gone {
        if session.roster.borrow_mut().accept(*slot) {
            session.show_refused(instrument, false);
        }
    }
    let mut new = Vec::new();
    for symbol in symbols {
        if before.iter().all(|(_, instrument)| *instrument != symbol.instrument) {
            tracing::info!(feed = %session.plan.name, instrument = %symbol.instrument, "instrument added");
            new.push(state.add(symbol));
        }
    }
    drop(state);
    start_shards(session, &new)
}
