//! Named crash points for tests.
//!
//! Only with the feature `fault-points`, which no release has: `BARFLOW_FAULT=NAME:N` ends the
//! process, as `kill -9` would, when it reaches the place `NAME` for the N-th time.

/// Ends the process here if it was asked to.
#[macro_export]
macro_rules! fault_point {
    ($name:literal) => {
        #[cfg(feature = "fault-points")]
        $crate::fault_points::reached($name);
    };
}

/// Counts arrivals at the places that were asked for: `BARFLOW_FAULT=NAME:COUNT`, several separated by
/// commas; with `:stop` appended the process is suspended there and can be continued.
#[cfg(feature = "fault-points")]
pub fn reached(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct ArmedPoint {
        place: String,
        count: u64,
        stop: bool,
        seen: AtomicU64,
    }

    fn parse(text: &str) -> Option<ArmedPoint> {
        let (text, stop) =
            text.strip_suffix(":stop").map_or((text, false), |stripped| (stripped, true));
        let (place, count) = text.split_once(':')?;
        let (place, count, seen) = (place.to_owned(), count.parse().ok()?, AtomicU64::new(0));
        Some(ArmedPoint { place, count, stop, seen })
    }

    static WANTED: OnceLock<Vec<ArmedPoint>> = OnceLock::new();
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("BARFLOW_FAULT").unwrap_or_default();
        text.split(',').filter_map(parse).collect()
    });
    for wanted in wanted.iter().filter(|wanted| wanted.place == name) {
        if wanted.seen.fetch_add(1, Ordering::AcqRel) + 1 != wanted.count {
            continue;
        }
        if wanted.stop {
            let _ = signal_hook::low_level::raise(signal_hook::consts::SIGSTOP);
        } else {
            // Nothing is flushed, dropped or said: as if the power had gone.
            let _ = signal_hook::low_level::raise(signal_hook::consts::SIGKILL);
            std::process::abort();
        }
    }
}
