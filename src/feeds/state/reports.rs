//! Reports of rows and frames that could not be read, and of unknown messages.

use std::sync::Arc;

use barflow_operators::input_batch::Reject;

use super::FeedState;
use crate::feeds::print::{BadRow, Ids, Print, Standing};
use crate::feeds::reorder_buffer::Disposition;
use crate::printable::excerpt_of_bytes;

/// How much of a bad frame is kept in its report.
const REPORTED_BYTES: usize = 4096;

/// Unknown messages that are shown, one per shape; later ones are only counted.
const SHAPES_SHOWN: usize = 64;

impl FeedState {
    pub(super) fn report_row(&mut self, bad: &BadRow, slots: &[u32], frame: &[u8]) {
        self.counters.bad_rows += 1;
        let slot = bad.slot.and_then(|slot| slots.get(slot as usize));
        let source = match slot {
            Some(at) => Arc::clone(&self.slots[*at as usize].source),
            None => self.plan.name.as_str().into(),
        };
        (self.outlets.on_reject)(self.as_reject(bad, source, frame));
    }

    #[cold]
    pub(super) fn contradicts(&mut self, at: u32, print: &Print, taken: Disposition, frame: &[u8]) {
        if let Some(bad) = self.slots[at as usize].tracker.contradiction(print, taken) {
            self.report_contradiction(at, taken, &bad, frame);
        }
    }

    /// Reports a trade that contradicts one that came before: to the quarantine each, to the log the
    /// instrument's first, tenth, hundredth and so on.
    pub(super) fn report_contradiction(
        &mut self,
        at: u32,
        taken: Disposition,
        bad: &BadRow,
        frame: &[u8],
    ) {
        let slot = &mut self.slots[at as usize];
        let (in_all, of_it, what) = match taken {
            Disposition::Unlisted => (
                &mut self.counters.unlisted,
                &mut slot.contradictions.unlisted,
                "a trade came after REST had passed over its id; it comes too late to count",
            ),
            Disposition::BelowStray => (
                &mut self.counters.ids_anew,
                &mut slot.contradictions.ids_anew,
                "all trades are below the id with which this run began, so they are not used: that id was a \
                 stray, or the id sequence was reset; restart with --reset-state",
            ),
            Disposition::BegunAnew => (
                &mut self.counters.ids_anew,
                &mut slot.contradictions.ids_anew,
                "the id sequence was reset, so trades are not used: the symbol may have been reassigned; \
                 restart with --reset-state before the new ids pass the last old one",
            ),
            _ => (
                &mut self.counters.conflicts,
                &mut slot.contradictions.conflicts,
                "an id came again with other content; the trade that came first counts",
            ),
        };
        (*in_all, *of_it) = (*in_all + 1, *of_it + 1);
        let so_far = *of_it;
        if 10_u64.pow(so_far.ilog10()) == so_far {
            tracing::error!(
                feed = %self.plan.name,
                instrument = %slot.symbol.instrument,
                id = bad.value,
                reason = bad.reason,
                so_far,
                "{what}"
            );
        }
        let reject = self.as_reject(bad, Arc::clone(&self.slots[at as usize].source), frame);
        (self.outlets.on_contradiction)(reject);
    }

    /// Counts a trade that is taken for a repeated one by its id alone; the first one is news.
    #[cold]
    pub(super) fn report_presumed(&mut self, at: u32, print: &Print) {
        self.counters.duplicates += 1;
        if print.standing != Standing::Trade {
            return;
        }
        self.counters.not_compared += 1;
        if self.counters.not_compared == 1 {
            let is_named = self.plan.venue.ids(self.plan.channel) == Ids::Names;
            let by = if is_named { "time or name" } else { "id" };
            tracing::warn!(
                feed = %self.plan.name,
                instrument = %self.slots[at as usize].symbol.instrument,
                id = (!is_named).then_some(print.trade.trade_id),
                time = print.trade.event_time,
                "taken for a repeated trade by its {by} alone, since what came under it before this run, or \
                 long ago, is not remembered; later ones are only counted"
            );
        }
    }

    /// Reports a trade whose id belongs to no sequence.
    pub(super) fn report_stray(&mut self, at: u32, bad: &BadRow) {
        self.counters.bad_rows += 1;
        self.counters.strays += 1;
        let source = Arc::clone(&self.slots[at as usize].source);
        tracing::error!(
            feed = %self.plan.name,
            instrument = %self.slots[at as usize].symbol.instrument,
            id = bad.value,
            reason = bad.reason,
            "an id far ahead of all others; its trade does not count"
        );
        (self.outlets.on_contradiction)(self.as_reject(bad, source, &[]));
    }

    fn as_reject(&self, bad: &BadRow, source: Arc<str>, frame: &[u8]) -> Reject {
        Reject {
            row: 0,
            source,
            line: self.counters.frames,
            field: bad.field.to_owned(),
            value: bad.value.clone(),
            reason: bad.reason.clone(),
            raw: shown(frame),
        }
    }

    pub(super) fn report(&mut self, field: &str, reason: &str, frame: &[u8]) {
        (self.outlets.on_reject)(Reject {
            row: 0,
            source: self.plan.name.as_str().into(),
            line: self.counters.frames,
            field: field.to_owned(),
            value: String::new(),
            reason: reason.to_owned(),
            raw: shown(frame),
        });
    }

    /// Reports an unknown message once per shape: its letters, without what varies.
    pub(super) fn report_unknown(&mut self, frame: &[u8]) {
        self.counters.unknown += 1;
        let shape: Vec<u8> =
            frame.iter().copied().filter(u8::is_ascii_alphabetic).take(64).collect();
        let hash = xxhash_rust::xxh3::xxh3_64(&shape);
        if self.shapes.len() < SHAPES_SHOWN && self.shapes.insert(hash, ()).is_none() {
            let message = shown(&frame[..frame.len().min(400)]);
            tracing::warn!(feed = %self.plan.name, message, "unknown message, ignored");
        }
    }
}

fn shown(frame: &[u8]) -> String {
    excerpt_of_bytes(frame, REPORTED_BYTES)
}
