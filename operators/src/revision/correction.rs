//! What can be wrong with the past, and what became of it.

use serde::{Deserialize, Serialize};

use crate::gap::Gap;
use crate::trade::Trade;

/// A change of one instrument's history.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Correction {
    /// The id of the trade that it is about: its place in the order.
    pub trade_id: u64,
    /// What is to be done there.
    pub change: Change,
    /// It becomes known only when the trade of this id has been applied; 0: at once. This is how a
    /// late delivery is played again from files.
    pub known_after: u64,
    /// Event time of the last trade that had come when it became known, ns. None where `known_after`, or
    /// its place, says it.
    pub known_time: Option<i64>,
}

/// What is to be done at a trade's place.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// A trade was missing there.
    Add(Trade),
    /// There was no such trade.
    Remove,
    /// The trade there was another.
    Replace(Trade),
    /// No trade was missing there: these ids, of which `trade_id` is the last, are not trades.
    Never {
        /// The first of them.
        first: u64,
    },
}

impl Correction {
    /// A trade that comes after its place in the order has passed, at the event time `known_time`.
    pub fn late(trade: Trade, known_time: Option<i64>) -> Self {
        let (trade_id, change) = (trade.trade_id, Change::Add(trade));
        Self { trade_id, change, known_after: 0, known_time }
    }

    /// Ids that were thought to be missing and are not trades.
    pub fn never(ids: Gap) -> Self {
        let change = Change::Never { first: ids.first_missing };
        Self { trade_id: ids.last_missing, change, known_after: 0, known_time: None }
    }

    /// The ids that are not trades, if it says so.
    pub fn ids_never(&self) -> Option<Gap> {
        match self.change {
            Change::Never { first } => {
                Some(Gap { first_missing: first, last_missing: self.trade_id })
            }
            Change::Add(_) | Change::Remove | Change::Replace(_) => None,
        }
    }

    /// The trade that belongs there, if any.
    pub fn trade(&self) -> Option<&Trade> {
        match &self.change {
            Change::Add(trade) | Change::Replace(trade) => Some(trade),
            Change::Remove | Change::Never { .. } => None,
        }
    }
}

/// What became of a correction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CorrectionOutcome {
    /// The history is as it says.
    Applied,
    /// It was so before: the same trade was there, or none.
    AlreadySo,
    /// The history is as it was.
    Refused(Refusal),
}

/// Why a correction could not be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Refusal {
    /// Its place lies before the trades that are retained.
    BeyondWindow,
    /// There is no trade with this id to remove or to replace.
    NoSuchTrade,
    /// Another trade has this id: that is a matter of replacing, not of adding.
    OtherTradeThere,
    /// Its time contradicts those of the trades around its place.
    FarFromNeighbours,
    /// The input ended before the trade's place.
    NeverReached,
    /// Nothing is retained in this run.
    NotRetained,
}

impl Refusal {
    /// Why, in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BeyondWindow => "its position is before the retained trades",
            Self::NoSuchTrade => "there is no trade with this id",
            Self::OtherTradeThere => "another trade has this id: use replace",
            Self::FarFromNeighbours => {
                "its time is more than ten minutes from those of the trades around its position"
            }
            Self::NeverReached => "the input ended before its position",
            Self::NotRetained => "this run retains no trades",
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
