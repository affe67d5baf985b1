//! One instrument's part of a checkpoint, as it is kept.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::batch::Feed;
use crate::builder_set::BuilderSet;
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

impl Record {
    /// The key under which it replaces the one before it: each step has a place of its own, so a
    /// compacted topic keeps one complete state and the steps after it.
    pub fn key(&self) -> String {
        format!("{}/{}", self.feed.instrument, self.step)
    }
}
