//! From what the stitcher makes to sinks, quarantine and counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use barflow_operators::batch::Feed;
use barflow_operators::dataflow::ledger::{Fact, FactKind};
use barflow_operators::published::PublishedBar;
use barflow_operators::stitch::Stitched;
use crossbeam::channel::Sender;

use crate::graph::assemble::OnReject;
use crate::graph::sink::Commit;
use crate::graph::tally::Tally;

/// The sink is gone; it has said why, or will.
pub struct Gone;

/// Tells what comes of an instrument.
pub struct Teller<'a> {
    pub commits: &'a Sender<Commit>,
    pub on_reject: &'a OnReject,
    pub tally: &'a Tally,
    pub feed: Arc<Feed>,
    pub facts: BTreeMap<Fact, isize>,
}

impl Teller<'_> {
    pub fn tell(&mut self, stitched: Stitched) -> Result<(), Gone> {
        let Stitched { bars, rejects, findings, position, .. } = stitched;
        let instrument = &self.feed.instrument;
        let mut note = |kind, n| {
            *self.facts.entry(Fact::new(instrument, kind)).or_default() += n;
        };
        if !rejects.is_empty() {
            note(FactKind::Rejected, rejects.len() as isize);
        }
        for run in bars.chunk_by(|a, b| Arc::ptr_eq(&a.0, &b.0)) {
            note(FactKind::Bars(run[0].0.to_string()), run.len() as isize);
        }
        for (fact, n) in Fact::of(instrument, &findings) {
            *self.facts.entry(fact).or_default() += n;
        }
        rejects.into_iter().for_each(|reject| (self.on_reject)(reject));
        let publish = |(spec, bar)| {
            let feed = Arc::clone(&self.feed);
            (PublishedBar { spec, feed, bar, received: None }, 1)
        };
        let bars: Vec<(PublishedBar, isize)> = bars.into_iter().map(publish).collect();
        self.tally.add_bars(bars.iter().map(|(bar, diff)| (bar, *diff)));
        let progress =
            position.map(|position| (instrument.clone(), position)).into_iter().collect();
        self.tally.advance(&progress);
        if bars.is_empty() {
            return Ok(());
        }
        let commit = Commit { bars, progress, ..Commit::default() };
        self.commits.send(commit).map_err(|_| Gone)
    }

    /// The instrument's counts stand.
    pub fn settle(self) {
        let totals = self.facts.into_iter().map(|total| (total, 0, 1));
        self.tally.update_totals(&totals.collect::<Vec<_>>());
    }
}
