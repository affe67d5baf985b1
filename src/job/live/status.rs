//! How a live job is doing right now, for a status line, a page, a service.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use barflow_operators::instrument::InstrumentId;
use barflow_operators::open_bars::{OpenBars, OpenState};

use super::supervisor::{Reports, all};
use crate::graph::tally::{NewestBar, Tally};
use crate::stop::Stop;

/// A running job. Reading it costs the job next to nothing, a few times a second.
#[derive(Clone, Debug)]
pub struct Status {
    reports: Reports,
    tally: Tally,
    open_bars: OpenBars,
    stop: Stop,
    began: Instant,
}

/// A job at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Since the job began to listen.
    pub elapsed: Duration,
    /// Trades handed to the graph so far.
    pub trades: u64,
    /// How many instruments are wanted.
    pub instruments: usize,
    /// How many connections are up.
    pub connections: usize,
    /// How far trades are behind the clock, of the feed that is furthest behind; none without recent
    /// trades.
    pub lag: Option<Duration>,
    /// The price of the latest trade of each feed, with its instrument.
    pub last_prices: Vec<(InstrumentId, f64)>,
    /// The open bars of this process.
    pub open_bars: BTreeMap<InstrumentId, Vec<OpenState>>,
    /// The bar that was published last.
    pub newest: Option<NewestBar>,
    /// Whether the job has been asked to end.
    pub stopping: bool,
}

impl Status {
    pub(super) fn new(reports: Reports, tally: Tally, open_bars: OpenBars, stop: Stop) -> Self {
        Self { reports, tally, open_bars, stop, began: Instant::now() }
    }

    /// The job as it is now.
    pub fn now(&self) -> Snapshot {
        let mut snapshot = Snapshot {
            elapsed: self.began.elapsed(),
            open_bars: self.open_bars.look(),
            newest: self.tally.newest(),
            stopping: self.stop.is_raised(),
            ..Snapshot::default()
        };
        for report in all(&self.reports).values() {
            snapshot.trades += report.trades();
            snapshot.instruments += report.instruments();
            snapshot.connections += report.connections_up();
            snapshot.lag = snapshot.lag.max(report.lag());
            snapshot.last_prices.extend(report.last_price());
        }
        snapshot
    }
}
