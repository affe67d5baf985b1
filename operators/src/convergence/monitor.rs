//! A second builder that runs beside the published one until both converge.
//!
//! Adaptive bars forget where they began, but when they have is not known beforehand. So another
//! builder begins later and takes the same trades. Once both close a bar on the same trade in the
//! same state, they stay equal from then on: earlier trades no longer matter.
//!
//! Builders that meet by chance only ([`expected_trades`] has none for them) are not compared: that
//! two of them happen to agree says nothing about a third.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::bar::Bar;
use crate::bars::machine::BarMachine;
use crate::batch::TradeBatch;
use crate::convergence::estimate::expected_trades;
use crate::spec::BarSpec;

/// Trades after which a second builder begins beside one that began with nothing.
pub const LATER: u64 = 1000;

/// Bars of one of the two that wait for the other to close on the same trade.
const BARS_COMPARED: usize = 16;

/// Where the second builder began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Beginning {
    /// [`LATER`] trades after the first one, which started empty. Agreement says that two
    /// beginnings make no difference.
    Later,
    /// At the first trade of a feed; the first builder has read a history. Agreement is
    /// equality with that history.
    FirstLive,
    /// Behind a gap. Agreement says that what was missing no longer matters.
    BehindGap,
    /// Behind a correction that came before agreement.
    BehindCorrection,
}

/// A builder has become independent of what came before its second began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Which specification.
    pub spec: Arc<str>,
    /// Where the second builder began.
    pub beginning: Beginning,
    /// The trade on which both closed.
    pub trade_id: u64,
    /// Number of the bar that closed there.
    pub seq: u64,
    /// Trades the second builder had taken, that one included.
    pub trades: u64,
}

impl fmt::Display for Joined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.beginning {
            Beginning::Later => write!(
                f,
                "two builders started {LATER} trades apart have converged: the start no longer \
                 matters"
            ),
            Beginning::FirstLive => f.write_str(
                "a builder started at the first live trade has converged with the history",
            ),
            Beginning::BehindGap => f.write_str(
                "a builder started after the gap has converged: the missing trades no longer \
                 matter",
            ),
            Beginning::BehindCorrection => f.write_str(
                "a builder started after the correction has converged: earlier trades no longer \
                 matter",
            ),
        }?;
        let Self { trade_id, seq, trades, .. } = self;
        write!(f, " from trade {trade_id} on (bar {seq}), after {trades} trades")
    }
}

/// Whether a bar is known not to depend on where its builder began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Synchronised {
    /// A builder that began elsewhere has converged with this one before the bar.
    Yes,
    /// Another builder runs beside this one, and they have not converged yet.
    No,
    /// Nothing was compared: trades of files alone, or bars that agree by chance only.
    #[default]
    Unknown,
}

impl Synchronised {
    /// The text used in every output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "true",
            Self::No => "false",
            Self::Unknown => "unknown",
        }
    }
}

/// What is known of a builder's independence of where it began.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Watch {
    /// Nothing.
    Idle,
    /// It is compared with another builder.
    Pending(Box<Monitor>),
    /// It has converged with another builder.
    Converged,
}

impl Watch {
    /// Another builder begins beside one of `spec`, where agreement would say something.
    pub(crate) fn beside(spec: &BarSpec, beginning: Beginning) -> Self {
        Monitor::beside(spec, beginning).map_or(Self::Idle, Self::Pending)
    }

    /// What is known of bars that close now.
    pub(crate) fn synchronised(&self) -> Synchronised {
        match self {
            Self::Idle => Synchronised::Unknown,
            Self::Pending(_) => Synchronised::No,
            Self::Converged => Synchronised::Yes,
        }
    }

    /// See [`Monitor::on_batch`]: nothing is compared any more after that.
    pub(crate) fn on_batch(
        &mut self,
        spec: &Arc<str>,
        trades: &TradeBatch,
        ours: &[Bar],
    ) -> Option<Joined> {
        let Self::Pending(monitor) = self else { return None };
        let found = monitor.on_batch(spec, trades, ours)?;
        *self = Self::Converged;
        Some(found)
    }
}

/// Last trade, digest and number of a bar.
type Mark = (u64, u64, u64);

/// The second builder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Monitor {
    beginning: Beginning,
    machine: BarMachine,
    /// Trades to let pass before it begins.
    delay: u64,
    trades: u64,
    /// Recent bars: of the first builder, of this one.
    ours: Vec<Mark>,
    its: Vec<Mark>,
}

impl Monitor {
    /// One that begins with the next trades; none where agreement would say nothing.
    fn beside(spec: &BarSpec, beginning: Beginning) -> Option<Box<Self>> {
        expected_trades(spec)?;
        let delay = if beginning == Beginning::Later { LATER } else { 0 };
        let machine = BarMachine::new(spec);
        let (ours, its) = (Vec::new(), Vec::new());
        Some(Box::new(Self { beginning, machine, delay, trades: 0, ours, its }))
    }

    /// Takes the batch that the first builder of that specification has taken, and the bars that
    /// closed there. Returns the first bar on which both agree.
    fn on_batch(&mut self, spec: &Arc<str>, trades: &TradeBatch, ours: &[Bar]) -> Option<Joined> {
        let skip = self.delay.min(trades.len() as u64);
        self.delay -= skip;
        let mut closed = Vec::new();
        for row in skip as usize..trades.len() {
            self.machine.on_trade(&trades.trade(row), trades.feed.has_aggressor, &mut closed);
        }
        let mark = |bar: &Bar| (bar.last_trade_id, bar.state_digest, bar.seq);
        self.ours.extend(ours.iter().map(mark));
        self.its.extend(closed.iter().map(mark));
        let agree = |a: &Mark, b: &Mark| (a.0, a.1) == (b.0, b.1);
        let found = self.ours.iter().find(|bar| self.its.iter().any(|other| agree(bar, other)));
        let found = found.map(|(trade_id, _, seq)| {
            // An interval's bar may have ended with the last trade of an earlier batch.
            let row = trades.trade_id.partition_point(|id| id <= trade_id) as u64;
            let trades = self.trades + row.saturating_sub(skip);
            let (spec, beginning) = (Arc::clone(spec), self.beginning);
            Joined { spec, beginning, trade_id: *trade_id, seq: *seq, trades }
        });
        self.trades += trades.len() as u64 - skip;
        for bars in [&mut self.ours, &mut self.its] {
            let old = bars.len().saturating_sub(BARS_COMPARED);
            bars.drain(..old);
        }
        found
    }
}
