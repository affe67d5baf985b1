//! One feed as it was asked for, validated.

use std::sync::Arc;
use std::time::Duration;

use barflow_operators::instrument::InstrumentId;

use super::print::Listing;
use super::venue::{Channel, Venue};

/// One instrument of a feed.
#[derive(Clone, Debug)]
pub struct Symbol {
    /// The instrument.
    pub instrument: InstrumentId,
    /// How the venue writes it.
    pub listing: Listing,
    /// Id and event time (ns) of the last trade that was applied before the feed begins.
    pub resume_after: Option<(u64, i64)>,
}

impl PartialEq for Symbol {
    /// Where to resume is no part of what an instrument is.
    fn eq(&self, other: &Self) -> bool {
        self.instrument == other.instrument && self.listing == other.listing
    }
}

/// Everything that a feed's session needs to know.
#[derive(Clone)]
pub struct FeedPlan {
    /// The user's name for it, `[feeds.NAME]`.
    pub name: String,
    /// The protocol.
    pub venue: Arc<dyn Venue>,
    /// Which stream.
    pub channel: Channel,
    /// Which instruments, in order.
    pub symbols: Vec<Symbol>,
    /// Websocket base instead of the venue's, such as `ws://127.0.0.1:9000`.
    pub websocket: Option<String>,
    /// REST base instead of the venue's.
    pub rest: Option<String>,
    /// Header of REST requests and its value, where the venue wants a key.
    pub api_key: Option<String>,
    /// Connections per shard; each trade is taken from whichever brings it first.
    pub connections: usize,
    /// Silence after which a connection is given up.
    pub stale_after: Duration,
    /// Age at which a connection is replaced.
    pub rotate_after: Duration,
    /// How long a missing id may come by itself before REST is asked.
    pub reorder_wait: Duration,
    /// How long an instrument may wait for what is missing before it becomes a gap.
    pub backfill_budget: Duration,
    /// How long the first connection may take before the feed is called unreachable.
    pub connect_patience: Duration,
    /// Largest frame taken, bytes.
    pub frame_bytes_max: usize,
    /// Prints of an instrument that may wait for a missing one.
    pub waiting_room: usize,
}

impl FeedPlan {
    /// Base of the websocket.
    pub fn websocket_base(&self) -> &str {
        self.websocket.as_deref().unwrap_or_else(|| self.venue.websocket_base())
    }

    /// Base of the REST interface.
    pub fn rest_base(&self) -> &str {
        self.rest.as_deref().unwrap_or_else(|| self.venue.rest_base())
    }
}
