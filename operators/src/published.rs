//! A bar with its identity: what leaves the graph.

use std::cmp::Ordering;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::bar::Bar;
use crate::batch::Feed;
use crate::convergence::monitor::Synchronised;

/// A bar, of which specification, from which feed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PublishedBar {
    /// Name of the bar specification.
    pub spec: Arc<str>,
    /// Instrument and kind of input.
    pub feed: Arc<Feed>,
    /// The bar.
    pub bar: Bar,
    /// When the frame with the closing trade came, in ns since the Unix epoch; none for files.
    /// Telemetry: no part of the bar, of its identity or of any output.
    pub received: Option<i64>,
    /// Whether the builder is known not to depend on where it began. No part of the bar either: equal
    /// bars are equal bytes, wherever their builders began.
    pub synchronised: Synchronised,
}

impl PublishedBar {
    /// What distinguishes two updates. The digest and the trades cover every other field: equal
    /// keys with different contents cannot come out of one run.
    fn key(&self) -> (&Feed, &str, u64, u32, u64, u64, u64) {
        let bar = &self.bar;
        (
            &self.feed,
            &self.spec,
            bar.seq,
            bar.revision,
            bar.first_trade_id,
            bar.last_trade_id,
            bar.state_digest,
        )
    }
}

impl PartialEq for PublishedBar {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for PublishedBar {}

impl PartialOrd for PublishedBar {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublishedBar {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}
