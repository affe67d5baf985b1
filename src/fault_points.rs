//! Places at which a crash is worth trying.
//!
//! Only with the feature `fault-points`, which no release has: `BARFLOW_FAULT=NAME:N` ends the
//! process, as `kill -9` would, when it comes to the place `NAME` for the N-th time.

/// Ends the process here if it was asked to.
#[macro_export]
macro_rules! fault_point {
    ($name:literal) => {
        #[cfg(feature = "fault-points")]
        $crate::fault_points::reached($name);
    };
}

/// Every place there is, in the order of a commit.
pub const NAMES: [&str; 12] = [
    "after-begin",
    "after-bars",
    "before-records",
    "before-shard",
    "before-drain",
    "before-commit",
    "after-commit",
    "journal-written",
    "journal-synced",
    "checkpoint-written",
    "before-publish",
    "after-publish",
];

/// Counts arrivals at the place that was asked for.
#[cfg(feature = "fault-points")]
pub fn reached(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static SEEN: AtomicU64 = AtomicU64::new(0);
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("BARFLOW_FAULT").ok()?;
        let (name, count) = text.split_once(':')?;
        Some((name.to_owned(), count.parse().ok()?))
    });
    if let Some((place, count)) = wanted
        && place == name
        && SEEN.fetch_add(1, Ordering::AcqRel) + 1 == *count
    {
        // Nothing is flushed, dropped or said: as if the power had gone.
        let _ = signal_hook::low_level::raise(signal_hook::consts::SIGKILL);
        std::process::abort();
    }
}
