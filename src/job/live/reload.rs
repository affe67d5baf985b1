//! When to read the configuration again, and what can change without a restart.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use barflow_operators::batch::Feed;
use barflow_operators::instrument::InstrumentId;

use crate::config::live::LiveSettings;
use crate::feeds::plan::FeedPlan;

/// Between two looks at the file.
const LOOK: Duration = Duration::from_secs(1);

/// How a configuration is read again during a run.
pub struct Reload {
    /// Raised when somebody asks for it.
    pub requested: Arc<AtomicBool>,
    /// The file to watch for changes.
    pub file: Option<PathBuf>,
    /// Reads it and validates it; an error leaves everything as it is.
    pub read: Box<dyn Fn() -> Result<LiveSettings, String> + Send>,
}

/// Watches a file for changes.
#[derive(Debug)]
pub struct Watch {
    file: Option<PathBuf>,
    /// As it was when it was last read.
    modified: Option<SystemTime>,
    /// As it was at the last look: a file that still changes may be half written.
    seen: Option<SystemTime>,
    next: Instant,
}

impl Watch {
    /// Watches its file from how it is now.
    pub fn new(reload: &Reload) -> Self {
        let file = reload.file.clone();
        let mut watch = Self { file, modified: None, seen: None, next: Instant::now() };
        watch.modified = watch.look();
        watch.seen = watch.modified;
        watch
    }

    /// Whether the configuration should be read again.
    pub fn asks(&mut self, hangup: &AtomicBool) -> bool {
        let asked = hangup.swap(false, Ordering::AcqRel);
        if !asked && Instant::now() < self.next {
            return false;
        }
        self.next = Instant::now() + LOOK;
        let modified = self.look();
        // A file that is away for a moment is being replaced.
        let is_stable = modified == std::mem::replace(&mut self.seen, modified);
        let changed = is_stable && modified.is_some() && modified != self.modified;
        if asked || changed {
            self.modified = modified;
        }
        asked || changed
    }

    fn look(&self) -> Option<SystemTime> {
        std::fs::metadata(self.file.as_ref()?).ok()?.modified().ok()
    }
}

/// Whether the instruments themselves are others: of another venue or market, or with rows of another kind.
pub fn is_another_source(fresh: &FeedPlan, running: &FeedPlan) -> bool {
    fresh.venue.protocol() != running.venue.protocol() || fresh.channel != running.channel
}

/// The first instrument that would continue with other rows or ids than it has had, and both.
pub fn other_rows<'a>(
    fresh: &[FeedPlan],
    known: &'a BTreeMap<InstrumentId, Feed>,
) -> Option<(&'a Feed, Feed)> {
    let feeds = fresh.iter().flat_map(|plan| {
        plan.symbols.iter().map(|symbol| symbol.feed(plan.venue.as_ref(), plan.channel))
    });
    feeds
        .filter_map(|feed| Some((known.get(&feed.instrument)?, feed)))
        .map(|(known, feed)| (known, Feed::clone(&feed)))
        .find(|(known, feed)| *known != feed)
}

/// Whether anything but the list of instruments differs.
pub fn needs_restart(fresh: &FeedPlan, running: &FeedPlan) -> bool {
    let same = fresh.venue.protocol() == running.venue.protocol()
        && fresh.channel == running.channel
        && fresh.websocket == running.websocket
        && fresh.rest == running.rest
        && fresh.ca_file == running.ca_file
        && fresh.direct == running.direct
        && fresh.api_key == running.api_key
        && fresh.connections == running.connections
        && fresh.stale_after == running.stale_after
        && fresh.rotate_after == running.rotate_after
        && fresh.reorder_wait == running.reorder_wait
        && fresh.backfill_budget == running.backfill_budget
        && fresh.ahead_max == running.ahead_max
        && fresh.lag_warning == running.lag_warning
        && fresh.revises == running.revises
        && fresh.frame_bytes_max == running.frame_bytes_max
        && fresh.waiting_room == running.waiting_room;
    !same
}
