//! AFML's imbalance bars: |θ| ≥ E\[T\]·|E\[x\]| (AFML §2.3.2.1–2, docs/BARS.md).

use serde::{Deserialize, Serialize};

use super::expected_ticks::ExpectedTicks;
use super::flow_moments::FlowMoments;
use super::round::Rounding;
use super::rule::{Flow, Rule};
use crate::bar::{Levels, OpenBar};
use crate::digest::Digest;

/// When the expectations behind a threshold are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpectationsAt {
    /// Before each trade.
    Tick,
    /// At the bar's first trade: the book's E₀.
    BarOpen,
}

/// Closes when |θ| ≥ E\[T\]·|mu|. It has no stable fixed point (docs/BARS.md): bars run away to
/// one tick, or never close. Kept because the book defines it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Product {
    moments: FlowMoments,
    expected_ticks: ExpectedTicks,
    rounding: Rounding,
    at: ExpectationsAt,
    /// mu as the open bar's tests use it.
    tested_mu: f64,
}

impl Product {
    /// Expectations start from `moments` and `expected_ticks`.
    pub fn new(
        moments: FlowMoments,
        expected_ticks: ExpectedTicks,
        rounding: Rounding,
        at: ExpectationsAt,
    ) -> Self {
        Self { moments, expected_ticks, rounding, at, tested_mu: 0.0 }
    }

    fn threshold(&self, mu: f64) -> f64 {
        self.expected_ticks.value() * mu.abs()
    }
}

impl Rule for Product {
    const MACHINE: &'static str = "imbalance/product";

    #[inline(always)]
    fn is_warming(&self) -> bool {
        self.moments.is_warming()
    }

    fn warmup_left(&self) -> u64 {
        self.moments.warmup_left()
    }

    fn warm(&mut self, flow: Flow) {
        self.moments.warm(flow.x);
    }

    #[inline(always)]
    fn observe(&mut self, _flow: Flow, open: &OpenBar) {
        if self.at == ExpectationsAt::Tick || open.ticks == 1 {
            self.tested_mu = self.moments.mu;
        }
    }

    #[inline(always)]
    fn closes(&self, open: &OpenBar) -> bool {
        open.theta.abs() >= self.threshold(self.tested_mu)
    }

    fn levels(&self) -> Levels {
        // Until this trade is learnt the two agree; at a session's end only the running one is
        // what the next test would use.
        let mu = match self.at {
            ExpectationsAt::Tick => self.moments.mu,
            ExpectationsAt::BarOpen => self.tested_mu,
        };
        Levels {
            threshold: Some(self.threshold(mu)),
            expected_ticks: Some(self.expected_ticks.value()),
            expected_imbalance: Some(mu),
            ..Levels::default()
        }
    }

    #[inline(always)]
    fn learn(&mut self, flow: Flow) {
        self.moments.learn(flow.x);
    }

    fn settle(&mut self, closed: &OpenBar) {
        self.expected_ticks.settle(closed.ticks, self.rounding);
        self.moments.round(self.rounding);
        self.tested_mu = 0.0;
    }

    fn restart(&mut self) {
        self.moments.restart();
        self.expected_ticks.restart();
        self.tested_mu = 0.0;
    }

    fn digest(&self, digest: &mut Digest) {
        self.moments.digest(digest);
        self.expected_ticks.digest(digest);
    }
}
