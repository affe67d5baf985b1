//! How long a trade takes from the socket to each stage, per venue.
//!
//! ```text
//! trade ─► received ─► decoded ─► bar decided ─► handed over ─► acknowledged
//!          (socket)    (frame)    (graph)        (sink took it)  (Kafka has it)
//! ```
//!
//! Every stage is measured from the moment the frame was read from the socket, which itself is
//! measured from the time of the frame's newest trade. `received` and `decoded` are counted per frame,
//! the others per bar.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use hdrhistogram::Histogram;

use super::clock::now_ns;
use super::histogram::exact_to;

/// A stage on the way, counted from the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The frame is read from the socket.
    Received,
    /// The frame is decoded and put in order.
    Decoded,
    /// The bar has closed.
    Decided,
    /// The sink has taken the bar.
    HandedOver,
    /// Kafka has confirmed the bar.
    Acknowledged,
}

/// All stages in order, with the words for them.
pub const STAGES: [(Stage, &str); 5] = [
    (Stage::Received, "trade → received"),
    (Stage::Decoded, "received → decoded"),
    (Stage::Decided, "received → bar decided"),
    (Stage::HandedOver, "received → handed over"),
    (Stage::Acknowledged, "received → acknowledged"),
];

/// Trades that are older than this when they are received, in ns, were not made just now: a tape is
/// played, and their age says nothing of the way.
const TAPE: u64 = 3_600_000_000_000;

/// The histograms of one venue, in ns.
#[derive(Debug)]
pub struct VenueLatency(Mutex<[Histogram<u64>; 5]>);

impl VenueLatency {
    fn new() -> Self {
        // Two digits: 1 % is more than a busy machine lets anybody see, and a tenth of the memory.
        Self(Mutex::new(std::array::from_fn(|_| exact_to::<2, _>())))
    }

    /// Notes that something received at `received` (ns, see [`now_ns`]) reaches this stage now.
    pub fn note(&self, stage: Stage, received: i64) {
        self.add(stage, now_ns() - received);
    }

    /// Notes a duration in ns.
    pub fn add(&self, stage: Stage, ns: i64) {
        let ns = u64::try_from(ns).unwrap_or(0);
        let mut stages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Fails only beyond what a growing u64 histogram can hold: 584 years.
        let _ = stages[stage as usize].record(ns);
    }

    /// A copy of a stage's histogram.
    pub fn stage(&self, stage: Stage) -> Histogram<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[stage as usize].clone()
    }
}

/// The histograms of all venues.
#[derive(Clone, Debug, Default)]
pub struct Latency(Arc<Mutex<BTreeMap<String, Arc<VenueLatency>>>>);

impl Latency {
    /// The histograms of a venue; made when first asked for.
    pub fn venue(&self, venue: &str) -> Arc<VenueLatency> {
        let mut venues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match venues.get(venue) {
            Some(found) => Arc::clone(found),
            None => {
                let made = Arc::new(VenueLatency::new());
                venues.insert(venue.to_owned(), Arc::clone(&made));
                made
            }
        }
    }

    /// Notes that what came from `venue` at `received` reaches this stage now; nothing for files,
    /// whose trades were not received.
    pub fn note(&self, venue: &str, stage: Stage, received: Option<i64>) {
        if let Some(received) = received {
            self.venue(venue).note(stage, received);
        }
    }

    /// A table: a line per venue and stage that has been reached.
    pub fn table(&self) -> String {
        let venues = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut text = String::new();
        for (venue, latency) in venues {
            for (stage, word) in STAGES {
                let histogram = latency.stage(stage);
                if histogram.is_empty() {
                    continue;
                }
                let median = histogram.value_at_quantile(0.5);
                if stage == Stage::Received && median > TAPE {
                    // Writing to a String cannot fail.
                    let _ = writeln!(
                        text,
                        "{venue} {word}: n/a, the trades are {} old: a tape is played (n {})",
                        duration(median),
                        histogram.len()
                    );
                    continue;
                }
                let at = |quantile| duration(histogram.value_at_quantile(quantile));
                // Writing to a String cannot fail.
                let _ = writeln!(
                    text,
                    "{venue} {word}: p50 {}, p90 {}, p99 {}, p99.9 {}, max {} (n {})",
                    at(0.5),
                    at(0.9),
                    at(0.99),
                    at(0.999),
                    duration(histogram.max()),
                    histogram.len()
                );
            }
        }
        text
    }
}

/// ns in the unit that people would say it in.
fn duration(ns: u64) -> String {
    match ns {
        0..10_000 => format!("{:.1} µs", ns as f64 / 1e3),
        10_000..1_000_000 => format!("{} µs", ns / 1_000),
        1_000_000..10_000_000 => format!("{:.1} ms", ns as f64 / 1e6),
        10_000_000..1_000_000_000 => format!("{} ms", ns / 1_000_000),
        1_000_000_000..120_000_000_000 => format!("{:.1} s", ns as f64 / 1e9),
        120_000_000_000..7_200_000_000_000 => format!("{} min", ns / 60_000_000_000),
        7_200_000_000_000..172_800_000_000_000 => format!("{} h", ns / 3_600_000_000_000),
        _ => format!("{} days", ns / 86_400_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_per_stage_reached_and_none_for_files() {
        let latency = Latency::default();
        latency.venue("binance").add(Stage::Decided, 42_000);
        latency.note("files", Stage::Decided, None);
        let table = latency.table();
        assert_eq!(table.lines().count(), 1, "{table}");
        assert!(table.starts_with("binance received → bar decided: p50 42 µs"), "{table}");
    }

    #[test]
    fn durations_are_said_as_people_say_them() {
        let said = [1_500, 42_000, 1_500_000, 42_000_000, 1_500_000_000].map(duration);
        assert_eq!(said, ["1.5 µs", "42 µs", "1.5 ms", "42 ms", "1.5 s"]);
        let said = [600_000_000_000, 18_000_000_000_000, 250_000_000_000_000_000].map(duration);
        assert_eq!(said, ["10 min", "5 h", "2893 days"]);
    }

    #[test]
    fn the_age_of_an_old_tape_is_no_latency() {
        let latency = Latency::default();
        latency.venue("binance").add(Stage::Received, 250_000_000_000_000_000);
        latency.venue("binance").add(Stage::Decoded, 42_000);
        let table = latency.table();
        assert!(table.contains("trade → received: n/a") && table.contains(" days old"), "{table}");
        assert!(table.contains("received → decoded: p50 42 µs"), "{table}");
    }
}
