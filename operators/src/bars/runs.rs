//! Runs bars with expectations that move on every tick (AFML §2.3.2.3, docs/BARS.md).

use serde::{Deserialize, Serialize};

use super::expected_ticks::ExpectedTicks;
use super::fixed::SideSums;
use super::product::ExpectationsAt;
use super::round::Rounding;
use super::rule::{Flow, Rule};
use crate::bar::{Levels, OpenBar};
use crate::digest::Digest;

/// What a side is expected to contribute per tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct SideExpectations {
    /// P = P\[b = +1\].
    buy_share: f64,
    /// vb = E\[v | b = +1\].
    buy_v: f64,
    /// vs = E\[v | b = −1\].
    sell_v: f64,
}

/// Closes when max(θ⁺, θ⁻) ≥ E\[T\]·max(P·vb, (1−P)·vs).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Runs {
    alpha: f64,
    rounding: Rounding,
    at: ExpectationsAt,
    warmup: u64,
    warm: WarmUp,
    expected_ticks: ExpectedTicks,
    running: SideExpectations,
    /// As they were at the open bar's first trade (`BarOpen` only).
    frozen: SideExpectations,
    runs: SideSums,
}

/// Sums over the warm-up, which lasts until its trades are over and each side was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct WarmUp {
    done: bool,
    trades: u64,
    buys: u64,
    sells: u64,
    sums: SideSums,
}

impl Runs {
    /// `alpha` in (0, 1]; `warmup` in trades, prolonged until both sides were seen.
    pub fn new(
        alpha: f64,
        warmup: u64,
        expected_ticks: ExpectedTicks,
        rounding: Rounding,
        at: ExpectationsAt,
    ) -> Self {
        Self {
            alpha,
            rounding,
            at,
            warmup,
            warm: WarmUp::default(),
            expected_ticks,
            running: SideExpectations::default(),
            frozen: SideExpectations::default(),
            runs: SideSums::default(),
        }
    }

    /// As the next test uses them, or as the last one did before `learn`.
    #[inline(always)]
    fn tested(&self) -> &SideExpectations {
        match self.at {
            ExpectationsAt::Tick => &self.running,
            ExpectationsAt::BarOpen => &self.frozen,
        }
    }

    #[inline(always)]
    fn threshold(&self) -> f64 {
        let tested = self.tested();
        let buy = tested.buy_share * tested.buy_v;
        let sell = (1.0 - tested.buy_share) * tested.sell_v;
        self.expected_ticks.value() * if buy > sell { buy } else { sell }
    }
}

impl Rule for Runs {
    const MACHINE: &'static str = "runs/product";

    #[inline(always)]
    fn is_warming(&self) -> bool {
        !self.warm.done
    }

    fn warm(&mut self, flow: Flow) {
        let warm = &mut self.warm;
        warm.trades += 1;
        warm.buys += u64::from(flow.sign > 0);
        warm.sells += u64::from(flow.sign < 0);
        warm.sums.add(flow);
        if warm.trades >= self.warmup && warm.buys > 0 && warm.sells > 0 {
            self.running = SideExpectations {
                buy_share: warm.buys as f64 / warm.trades as f64,
                buy_v: warm.sums.buy / warm.buys as f64,
                sell_v: warm.sums.sell / warm.sells as f64,
            };
            *warm = WarmUp { done: true, ..WarmUp::default() };
        }
    }

    #[inline(always)]
    fn observe(&mut self, flow: Flow, open: &OpenBar) {
        self.runs.add(flow);
        if self.at == ExpectationsAt::BarOpen && open.ticks == 1 {
            self.frozen = self.running;
        }
    }

    #[inline(always)]
    fn closes(&self, _open: &OpenBar) -> bool {
        self.runs.greater() >= self.threshold()
    }

    fn levels(&self) -> Levels {
        let t = self.tested();
        Levels {
            threshold: Some(self.threshold()),
            expected_ticks: Some(self.expected_ticks.value()),
            expected_imbalance: Some(t.buy_share * t.buy_v - (1.0 - t.buy_share) * t.sell_v),
            sigma: None,
            theta_buy: Some(self.runs.buy),
            theta_sell: Some(self.runs.sell),
        }
    }

    #[inline(always)]
    fn learn(&mut self, flow: Flow) {
        let r = &mut self.running;
        let bought = flow.sign > 0;
        r.buy_share += self.alpha * (f64::from(u8::from(bought)) - r.buy_share);
        if bought {
            r.buy_v += self.alpha * (flow.v - r.buy_v);
        } else {
            r.sell_v += self.alpha * (flow.v - r.sell_v);
        }
    }

    fn settle(&mut self, closed: &OpenBar) {
        self.expected_ticks.settle(closed.ticks, self.rounding);
        let r = &mut self.running;
        r.buy_share = self.rounding.apply(r.buy_share);
        r.buy_v = self.rounding.apply(r.buy_v);
        r.sell_v = self.rounding.apply(r.sell_v);
        self.frozen = SideExpectations::default();
        self.runs = SideSums::default();
    }

    fn restart(&mut self) {
        *self = Self::new(self.alpha, self.warmup, self.expected_ticks, self.rounding, self.at);
        self.expected_ticks.restart();
    }

    fn digest(&self, digest: &mut Digest) {
        for value in [self.running.buy_share, self.running.buy_v, self.running.sell_v] {
            digest.f64(value);
        }
        self.expected_ticks.digest(digest);
        digest.byte(u8::from(self.warm.done));
        digest.u64(self.warm.trades);
        digest.f64(self.warm.sums.buy);
        digest.f64(self.warm.sums.sell);
    }
}
