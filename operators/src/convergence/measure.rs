//! Measures after how many trades builders converge, in one pass over a stream.
//!
//! A builder that saw everything runs beside others that began at points spread evenly over the
//! stream. One of those has converged when both close a bar on the same trade with equal digests; from
//! there on the two are identical, so it is dropped.
//!
//! How long the stream is need not be known: points begin close together, and whenever there are too
//! many of them every second one is forgotten. Only points in the first half count in the end, so
//! that each had at least as many trades to converge in as it has after it.

use crate::bar::Bar;
use crate::bars::machine::BarMachine;
use crate::batch::TradeBatch;
use crate::spec::BarSpec;

/// Distance of the first points, in trades.
const FIRST_SPACING: u64 = 256;

/// Measures one specification on one instrument's trades.
#[derive(Debug)]
pub struct Measurement {
    spec: BarSpec,
    long: BarMachine,
    /// Builders that have not arrived.
    late: Vec<Late>,
    arrivals: Vec<Arrival>,
    points: usize,
    spacing: u64,
    rows: u64,
}

/// A builder that joined late.
#[derive(Debug)]
struct Late {
    began: u64,
    began_time: i64,
    machine: BarMachine,
}

/// A builder that joined late has become identical to the long history's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Trades of the stream before it began.
    pub began: u64,
    /// Trades that it had taken.
    pub trades: u64,
    /// Bars that it had closed, the common one included.
    pub bars: u64,
    /// Event time from its first trade to the common close, ns.
    pub nanoseconds: i64,
}

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Those who arrived, by trades, fewest first.
    pub arrivals: Vec<Arrival>,
    /// How many never did within the stream.
    pub never: usize,
    /// Trades that each of them had at least.
    pub followed: u64,
}

impl Measurement {
    /// Measures at `points` joining points at least, and at most twice as many, if the stream has
    /// enough trades for them.
    pub fn new(spec: &BarSpec, points: usize) -> Self {
        Self {
            spec: spec.clone(),
            long: BarMachine::new(spec),
            late: Vec::new(),
            arrivals: Vec::new(),
            points: points.max(1),
            spacing: FIRST_SPACING,
            rows: 0,
        }
    }

    /// Takes a batch in order.
    pub fn on_batch(&mut self, trades: &TradeBatch) {
        let mut long = Vec::new();
        self.long.on_batch(trades, &mut long);
        let first = self.rows;
        self.rows += trades.len() as u64;
        let mut closed = Vec::new();
        let arrivals = &mut self.arrivals;
        self.late.retain_mut(|late| {
            closed.clear();
            late.machine.on_batch(trades, &mut closed);
            let arrival = arrived(late, trades, first, &long, &closed);
            arrivals.extend(arrival);
            arrival.is_none()
        });
        self.begin(trades, first, &long);
        while self.late.len() + self.arrivals.len() > 4 * self.points {
            self.spacing *= 2;
            let spacing = self.spacing;
            self.late.retain(|late| late.began.is_multiple_of(spacing));
            self.arrivals.retain(|arrival| arrival.began.is_multiple_of(spacing));
        }
    }

    /// Builders that begin within this batch.
    fn begin(&mut self, trades: &TradeBatch, first: u64, long: &[Bar]) {
        let mut began = first.next_multiple_of(self.spacing).max(self.spacing);
        while began < self.rows {
            let row = (began - first) as usize;
            let machine = BarMachine::new(&self.spec);
            let mut late = Late { began, began_time: trades.event_time[row], machine };
            let mut closed = Vec::new();
            for row in row..trades.len() {
                let trade = trades.trade(row);
                late.machine.on_trade(&trade, trades.feed.has_aggressor, &mut closed);
            }
            match arrived(&late, trades, first, long, &closed) {
                Some(arrival) => self.arrivals.push(arrival),
                None => self.late.push(late),
            }
            began += self.spacing;
        }
    }

    /// What was measured so far, on points in the first half of the stream.
    pub fn findings(&self) -> Findings {
        let half = self.rows / 2;
        let mut arrivals: Vec<Arrival> =
            self.arrivals.iter().copied().filter(|arrival| arrival.began <= half).collect();
        arrivals.sort_by_key(|arrival| (arrival.trades, arrival.began));
        let never = self.late.iter().filter(|late| late.began <= half).count();
        Findings { arrivals, never, followed: self.rows - half }
    }

    /// Trades so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// What is measured.
    pub fn spec(&self) -> &BarSpec {
        &self.spec
    }
}

/// Whether a late builder and the long history's have closed a bar of this batch in the same state.
fn arrived(
    late: &Late,
    trades: &TradeBatch,
    first: u64,
    long: &[Bar],
    closed: &[Bar],
) -> Option<Arrival> {
    let mut rest = long;
    let bar = closed.iter().find(|bar| {
        let at = rest.partition_point(|other| other.last_trade_id < bar.last_trade_id);
        rest = &rest[at..];
        rest.iter()
            .take_while(|other| other.last_trade_id == bar.last_trade_id)
            .any(|other| other.state_digest == bar.state_digest)
    })?;
    // An interval's bar may have ended with the last trade of an earlier batch.
    let row = trades.trade_id.partition_point(|id| *id <= bar.last_trade_id) as u64;
    Some(Arrival {
        began: late.began,
        trades: (first + row).saturating_sub(late.began),
        bars: bar.seq + 1,
        nanoseconds: bar.close_time.saturating_sub(late.began_time),
    })
}

/// How much of a sample to take so that, with the given confidence, at least the share `coverage` of
/// all further cases lies below: the number of the sample's member, from 1, or none if the sample is
/// too small. Members are taken to be independent; no distribution is supposed.
pub fn tolerance_rank(sample: usize, coverage: f64, confidence: f64) -> Option<usize> {
    // P(at most k − 1 of n lie below the quantile), summed up in logarithms.
    let (n, mut below) = (sample as f64, 0.0);
    let mut log_term = n * libm::log(1.0 - coverage);
    for k in 0..sample {
        below += libm::exp(log_term);
        if below >= confidence {
            return Some(k + 1);
        }
        let odds = libm::log(coverage) - libm::log(1.0 - coverage);
        log_term += libm::log((n - k as f64) / (k as f64 + 1.0)) + odds;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_of_59_covers_95_percent_with_95_percent_confidence() {
        // 1 − 0.95ⁿ ≥ 0.95 from n = 59 on: the textbook's number.
        assert_eq!(tolerance_rank(58, 0.95, 0.95), None);
        assert_eq!(tolerance_rank(59, 0.95, 0.95), Some(59));
        assert_eq!(tolerance_rank(93, 0.95, 0.95), Some(92));
    }
}
