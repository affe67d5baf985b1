//! How far the open bars of a running job are, for people who watch it.
//!
//! Workers write it down only after somebody has asked, so that a job that nobody watches pays a
//! single load per batch.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::instrument::InstrumentId;

/// The bar that a builder gathers.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenState {
    /// Name of its specification.
    pub spec: Arc<str>,
    /// Trades in it; 0 if there is none.
    pub ticks: u64,
    /// How much of its threshold it has reached: 1 closes it. None without a threshold, or in the
    /// warm-up.
    pub reached: Option<f64>,
    /// Trades that the warm-up still needs.
    pub warmup_left: u64,
}

/// The open bars of all instruments, shared by all workers of a process and those who watch.
#[derive(Clone, Debug, Default)]
pub struct OpenBars {
    asked: Arc<AtomicU64>,
    found: Arc<Mutex<BTreeMap<InstrumentId, Vec<OpenState>>>>,
}

impl OpenBars {
    /// The open bars as of the latest batch after the call before; the next ones are asked for.
    pub fn look(&self) -> BTreeMap<InstrumentId, Vec<OpenState>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A worker that writes them down when they are asked for.
    pub fn reporter(&self) -> OpenBarsReporter {
        OpenBarsReporter { of: self.clone(), answered: 0 }
    }
}

/// The side of a worker.
#[derive(Debug)]
pub struct OpenBarsReporter {
    of: OpenBars,
    answered: u64,
}

impl OpenBarsReporter {
    /// Writes down the open bars of all instruments of this worker, if somebody has asked since the
    /// last time.
    #[inline]
    pub fn report<I>(&mut self, states: impl FnOnce() -> I)
    where
        I: Iterator<Item = (InstrumentId, Vec<OpenState>)>,
    {
        let asked = self.of.asked.load(Ordering::Relaxed);
        if asked != self.answered {
            self.answered = asked;
            self.of.found.lock().unwrap_or_else(PoisonError::into_inner).extend(states());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_answers_once_for_each_question() {
        let open = OpenBars::default();
        let mut reporter = open.reporter();
        let instrument: InstrumentId = "a:b:C".parse().unwrap();
        let mut report = |ticks| {
            let state = OpenState { spec: "x".into(), ticks, reached: None, warmup_left: 0 };
            reporter.report(|| [(instrument.clone(), vec![state])].into_iter());
        };
        let ticks = || open.look().get(&instrument).map(|states| states[0].ticks);
        report(1);
        assert_eq!(ticks(), None);
        report(2);
        report(3);
        assert_eq!(ticks(), Some(2));
        report(4);
        assert_eq!(ticks(), Some(4));
    }
}
