//! What a feed has seen, added up locally and reported once in a while.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics::{counter, histogram};

use crate::feeds::deferred_gaps::Settled;
use crate::feeds::print::FUTURE;
use crate::telemetry::names;
use crate::thousands::{counted, grouped};

/// Counts of one feed since it began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // The names are those of the metrics; docs/live.md has the table.
pub struct Counters {
    pub frames: u64,
    pub trades: u64,
    pub duplicates: u64,
    /// Duplicates of which only the id could be compared.
    pub not_compared: u64,
    pub conflicts: u64,
    pub ids_anew: u64,
    /// Trades that came after REST had passed over their ids.
    pub unlisted: u64,
    /// Trades whose ids belong to no sequence.
    pub strays: u64,
    pub bad_frames: u64,
    pub bad_rows: u64,
    /// Those of them that nobody is asked for again: of REST, and those whose time lies in the future where no
    /// id is left out for them.
    pub rows_lost: u64,
    pub foreign_rows: u64,
    pub unknown: u64,
    pub connects: u64,
    pub connect_failures: u64,
    pub disconnects: u64,
    pub refusals: u64,
    pub gaps_opened: u64,
    pub gaps_filled: u64,
    /// How long the filled gaps had been open, all together.
    pub healing: Duration,
    /// How long the slowest of them had been open.
    pub slowest: Duration,
    pub gaps_given_up: u64,
    pub ids_given_up: u64,
    /// Trades that waited for missing ones when the feed ended: in no bar.
    pub waiting_at_end: u64,
    pub backfilled: u64,
    pub requests: u64,
    pub request_failures: u64,
    /// Excluded prints by reason.
    pub excluded: BTreeMap<&'static str, u64>,
    /// Known messages of other kinds, by kind.
    pub other: BTreeMap<&'static str, u64>,
}

impl Counters {
    /// Reports to the metrics what has been added since `last_reported`, which becomes equal to this.
    pub fn report(&self, feed: &str, last_reported: &mut Self) {
        let plain = [
            (names::FRAMES, self.frames, last_reported.frames),
            (names::TRADES, self.trades, last_reported.trades),
            (names::DUPLICATES, self.duplicates, last_reported.duplicates),
            (names::NOT_COMPARED, self.not_compared, last_reported.not_compared),
            (names::CONFLICTS, self.conflicts, last_reported.conflicts),
            (names::IDS_ANEW, self.ids_anew, last_reported.ids_anew),
            (names::BAD_FRAMES, self.bad_frames, last_reported.bad_frames),
            (names::BAD_ROWS, self.bad_rows, last_reported.bad_rows),
            (names::FOREIGN_ROWS, self.foreign_rows, last_reported.foreign_rows),
            (names::UNKNOWN_MESSAGES, self.unknown, last_reported.unknown),
            (names::CONNECTS, self.connects, last_reported.connects),
            (names::CONNECT_FAILURES, self.connect_failures, last_reported.connect_failures),
            (names::DISCONNECTS, self.disconnects, last_reported.disconnects),
            (names::REFUSALS, self.refusals, last_reported.refusals),
            (names::GAPS_OPENED, self.gaps_opened, last_reported.gaps_opened),
            (names::GAPS_FILLED, self.gaps_filled, last_reported.gaps_filled),
            (names::GAPS_GIVEN_UP, self.gaps_given_up, last_reported.gaps_given_up),
            (names::BACKFILLED_TRADES, self.backfilled, last_reported.backfilled),
            (names::BACKFILL_REQUESTS, self.requests, last_reported.requests),
            (names::BACKFILL_FAILURES, self.request_failures, last_reported.request_failures),
        ];
        for (name, now, before) in plain {
            if now != before {
                counter!(name, "feed" => feed.to_owned()).increment(now - before);
            }
        }
        let kinds = [
            (names::EXCLUDED, "reason", &self.excluded, &last_reported.excluded),
            (names::OTHER_MESSAGES, "kind", &self.other, &last_reported.other),
        ];
        for (name, label, now, before) in kinds {
            for (kind, count) in now {
                let added = count - before.get(kind).copied().unwrap_or(0);
                if added > 0 {
                    counter!(name, "feed" => feed.to_owned(), label => *kind).increment(added);
                }
            }
        }
        last_reported.clone_from(self);
    }

    /// Whether trades were left out because they contradict earlier ones.
    fn contradicts(&self) -> bool {
        self.conflicts + self.ids_anew > 0
    }

    /// Whether trades were left out that need not be in a gap: they contradict earlier ones, their time lies
    /// in the future, or REST brought them and they could not be read.
    pub fn left_something_out(&self) -> bool {
        self.contradicts()
            || self.unlisted + self.strays + self.rows_lost > 0
            || self.excluded.contains_key(FUTURE)
    }

    /// Rows and frames that went to the quarantine, if there is one.
    pub fn set_aside(&self) -> u64 {
        self.bad_frames + self.bad_rows + self.conflicts + self.ids_anew + self.unlisted
    }

    /// A gap was filled that had been open for so long.
    pub fn note_healed(&mut self, feed: &str, time: Duration) {
        self.gaps_filled += 1;
        self.healing += time;
        self.slowest = self.slowest.max(time);
        histogram!(names::GAP_HEALING, "feed" => feed.to_owned()).record(time.as_secs_f64());
    }

    /// What became of gaps that the order had not waited for.
    pub fn note_settled(&mut self, feed: &str, settled: &Settled) {
        for time in &settled.healed {
            self.note_healed(feed, *time);
        }
        self.gaps_given_up += settled.lost;
        self.ids_given_up += settled.ids_lost;
    }

    /// How long gaps were open before they were filled, for a person.
    fn healing(&self) -> String {
        match u32::try_from(self.gaps_filled) {
            Ok(filled @ 1..) => format!(
                " (on average after {:.1} s, at most {:.1} s)",
                (self.healing / filled).as_secs_f64(),
                self.slowest.as_secs_f64()
            ),
            _ => String::new(),
        }
    }

    /// A few lines for a person.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!(
                "{} in {}, {}, {} backfilled",
                counted(self.trades, "trade"),
                counted(self.frames, "frame"),
                counted(self.duplicates, "duplicate"),
                grouped(self.backfilled)
            ),
            format!(
                "{}, {}, {} lost; {}, {} failed",
                counted(self.connects, "connection"),
                counted(self.connect_failures, "failed attempt"),
                self.disconnects,
                counted(self.requests, "REST request"),
                self.request_failures
            ),
            format!(
                "gaps: {} opened, {} filled{}, {} given up ({})",
                self.gaps_opened,
                self.gaps_filled,
                self.healing(),
                self.gaps_given_up,
                counted(self.ids_given_up, "id")
            ),
        ];
        if self.waiting_at_end > 0 {
            lines.push(format!(
                "{} waited for missing ones at the end: in no bar of this run; a job that delivers exactly \
                 once requests them again when it continues",
                counted(self.waiting_at_end, "trade")
            ));
        }
        if self.contradicts() {
            lines.push(format!(
                "not used: {} repeated ids with other content (the first one counts), {} trades after a \
                 reset of the id sequence (--reset-state makes bars of them)",
                self.conflicts, self.ids_anew
            ));
        }
        if self.unlisted > 0 {
            lines.push(format!(
                "not used: {} that came after REST had passed over their ids",
                counted(self.unlisted, "trade")
            ));
        }
        if self.not_compared > 0 {
            lines.push(format!(
                "duplicates by id alone {}: the trades of these ids came before this run or too long ago to \
                 compare their content",
                self.not_compared
            ));
        }
        let bad = self.bad_frames + self.bad_rows + self.unknown + self.foreign_rows;
        if bad > 0 {
            lines.push(format!(
                "bad frames {}, bad rows {}, unknown messages {}, rows of other symbols {}",
                self.bad_frames, self.bad_rows, self.unknown, self.foreign_rows
            ));
        }
        for (what, kinds) in [("excluded", &self.excluded), ("other messages", &self.other)] {
            if !kinds.is_empty() {
                let kinds: Vec<String> = kinds.iter().map(|(k, n)| format!("{k} {n}")).collect();
                lines.push(format!("{what}: {}", kinds.join(", ")));
            }
        }
        lines
    }
}
