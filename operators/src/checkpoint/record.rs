//! One instrument's part of a checkpoint, as it is kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::bar::Bar;
use crate::batch::Feed;
use crate::builder_set::BuilderSet;
use crate::convergence::monitor::Synchronised;
use crate::event_time::clock::EventClock;
use crate::gap::Gap;
use crate::order::ids::Settled;
use crate::position::Position;
use crate::spec::BarSpec;
use crate::trade::Trade;

/// An instrument's position, and how to restore its builders.
///
/// `generation` counts the whole states of an instrument; the records that lead on from one carry
/// its number and are numbered from 1 by `step`. A record of another generation than the newest
/// whole state is out of date, whatever else it says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Whose, and what its trades are.
    pub feed: Feed,
    /// Which whole state this is or leads on from.
    pub generation: u64,
    /// 0 for a whole state.
    pub step: u32,
    /// Everything before it is applied.
    pub position: Position,
    /// Last id that is settled: of a trade applied, or known not to be a trade; none before the
    /// first trade.
    pub last_id: Option<u64>,
    /// Event time of the last trade applied, ns.
    pub last_time: Option<i64>,
    /// How many of the bars that are closed wait for other instruments: the last ones. The job delivers them
    /// when it continues.
    pub waits: u64,
    /// The state itself.
    pub body: Body,
}

/// State, or the way to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Body {
    /// The builders, bit for bit.
    Whole(Box<Whole>),
    /// What was applied since the record before: builders are pure, so this is as good.
    Steps(Vec<Step>),
}

/// Everything that can influence a later bar, or its flags.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Whole {
    /// The builders and what is known beside them.
    pub builder_set: BuilderSet,
    /// Which ids came, and which were given up as missing: that distinguishes a late trade from a
    /// duplicate. Its last id is the record's.
    pub settled: Settled,
    /// Event time of the first trade of all, ns; none before it.
    pub first_time: Option<i64>,
    /// Those after the last trade.
    pub behind: Vec<Gap>,
    /// How often bars were corrected.
    pub revisions: u32,
    /// The latest event time applied.
    pub clock: EventClock,
    /// Closed bars that wait for other instruments, in order.
    pub waiting: Vec<WaitingBar>,
}

/// A closed bar that waits for other instruments to reach its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WaitingBar {
    /// Its place in the order, ns: see [`Closes::at`](crate::event_time::clock::Closes::at).
    pub time: i64,
    /// Name of the specification.
    pub spec: Arc<str>,
    /// The bar.
    pub bar: Bar,
    /// +1 published, −1 retracted.
    pub diff: isize,
    /// Whether its builder is known not to depend on where it began.
    pub synchronised: Synchronised,
}

/// One piece of input as the builders took it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Trades in order.
    pub trades: Vec<Trade>,
    /// Gaps before or among them.
    pub gaps: Vec<Gap>,
    /// Whether it came from a feed.
    pub live: bool,
    /// The bars that were ordered with it.
    pub specs: Option<Arc<[BarSpec]>>,
}

/// Records that do not make an instrument state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// No record holds a complete state.
    #[error("no complete state of {0} was found")]
    NoState(String),
    /// A record between others is not there.
    #[error("record {step} of {instrument} is missing; {last} was found")]
    Missing {
        /// Whose.
        instrument: String,
        /// Which is missing.
        step: u32,
        /// The last that is there.
        last: u32,
    },
}

impl WaitingBar {
    /// Puts bars of an instrument that came in this order into the one in which they leave: see
    /// [`Merge`](crate::event_time::merge::Merge).
    pub fn sort(bars: &mut [Self]) {
        let mut latest: BTreeMap<Arc<str>, i64> = BTreeMap::new();
        for bar in &mut *bars {
            let latest = latest.entry(Arc::clone(&bar.spec)).or_insert(bar.time);
            *latest = bar.time.max(*latest);
            bar.time = *latest;
        }
        bars.sort_by(|a, b| (a.time, &a.spec).cmp(&(b.time, &b.spec)));
    }
}

impl Record {
    /// The key under which it replaces the one before it: each step has a place of its own, so a
    /// compacted topic keeps one complete state and the steps after it.
    pub fn key(&self) -> String {
        format!("{}/{}", self.feed.instrument, self.step)
    }
}
