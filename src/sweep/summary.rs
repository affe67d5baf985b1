//! What a configuration makes of a history, in a few numbers.

use barflow_operators::sweep::Close;
use hdrhistogram::Histogram;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::returns::Returns;

use crate::telemetry::histogram::exact_to;

/// Bars of one of two builders that wait for the other to close on the same trade.
const BARS_COMPARED: usize = 16;

/// What a configuration makes of both parts of a history.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    /// Of the bars that choose: those that close before the holdout, or all.
    pub in_sample: Summary,
    /// Of the bars that close in the holdout; none without one.
    pub holdout: Option<Summary>,
}

impl Figures {
    /// Without bars.
    pub fn new(has_holdout: bool) -> Self {
        Self { in_sample: Summary::default(), holdout: has_holdout.then(Summary::default) }
    }
}

/// Everything about one configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    #[serde(serialize_with = "counts", deserialize_with = "lengths")]
    ticks: Histogram<u32>,
    /// Σ of close time less open time, ns.
    duration: i128,
    /// Statistics of its bars' returns.
    pub returns: Returns,
    /// How long a builder that began later took to agree.
    pub sync: Sync,
}

/// Whether a builder that began later has come to the same state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sync {
    /// Last trade and digest of recent bars.
    ours: Vec<(u64, u64)>,
    its: Vec<(u64, u64)>,
    /// Bars that the later one has made.
    bars: u64,
    /// Trades and bars that it took, once both agree.
    pub after: Option<(u64, u64)>,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            ticks: exact_to::<2, _>(),
            duration: 0,
            returns: Returns::default(),
            sync: Sync::default(),
        }
    }
}

impl Summary {
    /// Takes a bar.
    pub fn add(&mut self, close: &Close) {
        // Fails only beyond what the histogram can grow to.
        let _ = self.ticks.record(close.ticks);
        self.duration += i128::from(close.close_time) - i128::from(close.open_time);
        self.returns.add(close.close);
    }

    /// Bars made.
    pub fn bars(&self) -> u64 {
        self.ticks.len()
    }

    /// Ticks per bar, to two digits; none without bars.
    pub fn ticks_at(&self, quantile: f64) -> Option<u64> {
        (self.bars() > 0).then(|| self.ticks.value_at_quantile(quantile))
    }

    /// Mean length of a bar in seconds, first to last trade.
    pub fn seconds(&self) -> Option<f64> {
        (self.bars() > 0).then(|| self.duration as f64 / 1e9 / self.bars() as f64)
    }
}

impl Sync {
    /// Takes a bar of the builder itself.
    pub fn ours(&mut self, close: &Close) {
        self.ours.push((close.last_trade_id, close.state_digest));
    }

    /// Takes a bar of the later one.
    pub fn its(&mut self, close: &Close) {
        self.bars += 1;
        self.its.push((close.last_trade_id, close.state_digest));
    }

    /// Looks whether both have closed on the same trade in the same state, then forgets all but the
    /// latest bars. `trades_at` returns how many trades the later one had taken at a trade.
    pub fn look(&mut self, trades_at: impl Fn(u64) -> u64) -> bool {
        if self.after.is_some() {
            return true;
        }
        if let Some(place) = first_common(&self.its, &self.ours) {
            let later = (self.its.len() - place - 1) as u64;
            self.after = Some((trades_at(self.its[place].0), self.bars - later));
            (self.ours, self.its) = (Vec::new(), Vec::new());
        }
        for bars in [&mut self.ours, &mut self.its] {
            let old = bars.len().saturating_sub(BARS_COMPARED);
            bars.drain(..old);
        }
        self.after.is_some()
    }
}

/// The place of the first of `these` that is among `those`. Both are in order of their trades.
fn first_common(these: &[(u64, u64)], those: &[(u64, u64)]) -> Option<usize> {
    let mut rest = those;
    these.iter().position(|bar| {
        let at = rest.iter().position(|other| other.0 >= bar.0).unwrap_or(rest.len());
        rest = &rest[at..];
        // Several, where one trade closes several bars.
        rest.iter().take_while(|other| other.0 == bar.0).any(|other| other.1 == bar.1)
    })
}

fn counts<S: Serializer>(histogram: &Histogram<u32>, to: S) -> Result<S::Ok, S::Error> {
    let counts: Vec<(u64, u32)> = histogram
        .iter_recorded()
        .map(|value| (value.value_iterated_to(), value.count_at_value()))
        .collect();
    counts.serialize(to)
}

fn lengths<'de, D: Deserializer<'de>>(from: D) -> Result<Histogram<u32>, D::Error> {
    let mut histogram = exact_to::<2, _>();
    for (value, count) in Vec::<(u64, u32)>::deserialize(from)? {
        histogram.record_n(value, count).map_err(serde::de::Error::custom)?;
    }
    Ok(histogram)
}
