//! What `barflow sync-report` measures: after how many trades a builder that begins late makes the
//! bars of one that saw everything.

use std::sync::Arc;

use barflow_operators::batch::TradeBatch;
use barflow_operators::convergence::measure::{Arrival, Findings, Measurement, tolerance_rank};
use barflow_operators::input_batch::{InputBatch, lines};
use barflow_operators::instrument::InstrumentId;
use barflow_operators::pool::BatchPool;
use barflow_operators::sequence::{Findings as Sequence, Sequencer};
use barflow_replay::error::ReplayError;
use barflow_replay::plan::InstrumentPlan;
use barflow_replay::progress::Progress;
use barflow_replay::read_options::ReadOptions;
use barflow_replay::stream::InstrumentStream;

use crate::config::replay::ReplaySettings;

/// The share of joins that the recommended history is to be enough for.
pub const COVERAGE: f64 = 0.95;
/// How sure that is.
pub const CONFIDENCE: f64 = 0.95;

/// What was measured of one instrument and specification.
pub struct Measured {
    /// Which instrument.
    pub instrument: InstrumentId,
    /// Name of the specification.
    pub spec: String,
    /// Trades of the instrument.
    pub trades: u64,
    /// The measurement.
    pub findings: Findings,
    /// Ns from one trade to the next; the median over pieces of the history.
    pub pace: f64,
}

/// Reads an instrument's history once, with all its specifications; also returns how many bad rows it has,
/// which are left out.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(
    plan: InstrumentPlan,
    settings: &ReplaySettings,
    points: usize,
    progress: &Progress,
) -> Result<(Vec<Measured>, u64), ReplayError> {
    let instrument = plan.feed.instrument.clone();
    let specs = settings.bars.for_feed(&plan.feed);
    let mut measurements: Vec<Measurement> =
        specs.iter().map(|spec| Measurement::new(spec, points)).collect();
    let pool = BatchPool::new(settings.batch_rows, 64);
    let read = ReadOptions {
        pool: pool.clone(),
        verify: settings.verify,
        from: settings.from,
        to: settings.to,
        progress: progress.clone(),
        ..ReadOptions::new(settings.batch_rows)
    };
    let mut order = Sequencer::new(settings.reorder_window);
    let mut paces = Vec::new();
    let (mut trades, mut rejected) = (0, 0);
    let mut found = Sequence::default();
    let mut take = |batch: Arc<TradeBatch>| {
        trades += batch.len() as u64;
        if let (Some(first), Some(last)) = (batch.event_time.first(), batch.event_time.last()) {
            paces.push(last.saturating_sub(*first) as f64 / batch.len() as f64);
        }
        measurements.iter_mut().for_each(|measurement| measurement.on_batch(&batch));
        pool.give_back(batch);
    };
    let feed = Arc::clone(&plan.feed);
    for input_batch in InstrumentStream::open(plan, read)? {
        let input_batch = input_batch?;
        let InputBatch { trades: rows, rejects, left_out, start, places, .. } = input_batch;
        rejected += rejects.len();
        let lines = lines(&start, &rejects, &left_out, &places);
        take(order.on_rows(rows, &left_out, lines, &pool, &mut found));
        rejected += found.refused.drain(..).count() + found.late.drain(..).count();
    }
    let mut rest = TradeBatch::with_capacity(feed, 0);
    order.flush(&mut rest, &mut found);
    take(Arc::new(rest));
    rejected += found.refused.len();
    paces.sort_by(f64::total_cmp);
    let pace = paces.get(paces.len() / 2).copied().unwrap_or(0.0);
    let of = |measurement: Measurement| Measured {
        instrument: instrument.clone(),
        spec: measurement.spec().name().to_string(),
        trades,
        findings: measurement.findings(),
        pace,
    };
    Ok((measurements.into_iter().map(of).collect(), rejected as u64))
}

impl Measured {
    /// Joining points that count.
    pub fn points(&self) -> usize {
        self.findings.arrivals.len() + self.findings.never
    }

    /// The arrival that `share` of all points had reached; none where it is beyond the data.
    pub fn at(&self, share: f64) -> Option<&Arrival> {
        let rank = (share * self.points() as f64).ceil().max(1.0) as usize;
        self.findings.arrivals.get(rank - 1)
    }

    /// Trades after which joins have arrived, with the stated coverage and confidence. Those that
    /// never did lie beyond all others.
    pub fn warm_up(&self) -> Option<u64> {
        let rank = tolerance_rank(self.points(), COVERAGE, CONFIDENCE)?;
        self.findings.arrivals.get(rank - 1).map(|arrival| arrival.trades)
    }
}
