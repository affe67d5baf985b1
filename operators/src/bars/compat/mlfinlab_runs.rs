//! Runs bars of mlfinlab, mlfinpy and RiskLabAI (docs/BARS.md).

use serde::{Deserialize, Serialize};

use super::super::fixed::SideSums;
use super::super::rule::{Flow, Rule};
use super::bar_lengths::BarLengths;
use super::window::Window;
use crate::bar::{Levels, OpenBar};
use crate::digest::Digest;
use crate::spec::{CompatFlavour, CompatTicks, MlfinlabSpec};

/// Closes when max(θ⁺, θ⁻) > E\[T\]·max(E\[buy\]·P, E\[sell\]·(1 − P)) (RiskLabAI: ≥), all formed
/// at the last close. Trades before the first estimate belong to the first bar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MlfinlabRuns {
    flavour: CompatFlavour,
    ticks: BarLengths,
    buys: Side,
    sells: Side,
    /// Buy ticks per tick of the last bars.
    buy_shares: Window,
    expected: Option<Expected>,
    /// θ⁺ and θ⁻ of the open bar.
    runs: SideSums,
    /// Ticks of the open bar with x > 0. A buy of nothing is none.
    buy_ticks: u64,
}

/// The values of one side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Side {
    values: Window,
    /// All values ever seen; asked for in the warm-up only.
    seen: u64,
}

impl Side {
    fn new(window: usize) -> Self {
        Self { values: Window::new(window), seen: 0 }
    }

    #[inline(always)]
    fn push(&mut self, v: f64) {
        self.values.push(v);
        self.seen += 1;
    }
}

/// What the open bar is tested against.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Expected {
    buy: f64,
    sell: f64,
    /// P, the share of buy ticks.
    buy_share: f64,
}

impl MlfinlabRuns {
    /// A rule that has seen nothing.
    pub fn new(spec: &MlfinlabSpec) -> Self {
        let bars = match (spec.flavour, spec.ticks) {
            (CompatFlavour::RiskLabAi, CompatTicks::Const) => spec.window,
            _ => spec.num_prev_bars,
        };
        Self {
            flavour: spec.flavour,
            ticks: BarLengths::new(spec),
            buys: Side::new(spec.window),
            sells: Side::new(spec.window),
            buy_shares: Window::new(bars),
            expected: None,
            runs: SideSums::default(),
            buy_ticks: 0,
        }
    }

    fn threshold(&self) -> Option<f64> {
        self.expected.map(|e| {
            let (buy, sell) = (e.buy * e.buy_share, e.sell * (1.0 - e.buy_share));
            self.ticks.value() * if sell > buy { sell } else { buy }
        })
    }

    /// The first estimate: when each side has seen E\[T\] values.
    #[inline(never)]
    fn begin(&mut self, open: &OpenBar) {
        let enough = |side: &Side| side.seen as f64 >= self.ticks.value();
        if enough(&self.buys) && enough(&self.sells) {
            self.estimate(self.buy_ticks as f64 / open.ticks as f64);
        }
    }

    fn estimate(&mut self, buy_share: f64) {
        let sides = (self.buys.values.mean_over_len(), self.sells.values.mean_over_len());
        self.expected = match sides {
            (Some(buy), Some(sell)) => Some(Expected { buy, sell, buy_share }),
            _ => None,
        };
    }
}

impl Rule for MlfinlabRuns {
    const MACHINE: &'static str = "compat/mlfinlab-runs";

    #[inline(always)]
    fn observe(&mut self, flow: Flow, open: &OpenBar) {
        self.runs.add(flow);
        if flow.x > 0.0 {
            self.buys.push(flow.x);
            self.buy_ticks += 1;
        } else if flow.x < 0.0 {
            self.sells.push(-flow.x);
        }
        if self.expected.is_none() {
            self.begin(open);
        }
    }

    #[inline(always)]
    fn closes(&self, _open: &OpenBar) -> bool {
        let run = self.runs.greater();
        match (self.threshold(), self.flavour) {
            (None, _) => false,
            (Some(threshold), CompatFlavour::Mlfinlab) => run > threshold,
            (Some(threshold), CompatFlavour::RiskLabAi) => run >= threshold,
        }
    }

    fn levels(&self) -> Levels {
        Levels {
            threshold: self.threshold(),
            expected_ticks: Some(self.ticks.value()),
            expected_imbalance: self
                .expected
                .map(|e| e.buy * e.buy_share - e.sell * (1.0 - e.buy_share)),
            theta_buy: Some(self.runs.buy),
            theta_sell: Some(self.runs.sell),
            ..Levels::default()
        }
    }

    fn settle(&mut self, closed: &OpenBar) {
        self.ticks.settle(closed.ticks);
        // A bar of no ticks never closes, so the share is a number.
        self.buy_shares.push(self.buy_ticks as f64 / closed.ticks as f64);
        let buy_share = self.buy_shares.mean_over_capacity().unwrap_or(0.0);
        self.estimate(buy_share);
        self.runs = SideSums::default();
        self.buy_ticks = 0;
    }

    fn restart(&mut self) {
        self.ticks.restart();
        for side in [&mut self.buys, &mut self.sells] {
            side.values.clear();
            side.seen = 0;
        }
        self.buy_shares.clear();
        self.expected = None;
        self.runs = SideSums::default();
        self.buy_ticks = 0;
    }

    /// Past the first close no length is asked for, so the numbers of values seen stay out.
    fn digest(&self, digest: &mut Digest) {
        self.ticks.digest(digest);
        self.buys.values.digest(digest);
        self.sells.values.digest(digest);
        self.buy_shares.digest(digest);
        if let Some(e) = &self.expected {
            for value in [e.buy, e.sell, e.buy_share] {
                digest.f64(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{closes, ema, trades};
    use super::*;
    use crate::measure::Measure;
    use crate::spec::RuleSpec;

    #[test]
    fn the_warm_up_waits_for_both_sides() {
        let params = ema(3.0, 0.0, 100.0);
        let rule = RuleSpec::MlfinlabRuns { measure: Measure::Tick, params };
        // Fifty rises and no fall: no estimate of the sell side, no bar.
        let mut prices: Vec<f64> = (1..=51).map(f64::from).collect();
        assert!(closes(rule, &trades(&prices)).is_empty());
        // Three falls complete it, and θ⁺ = 50 is far past the threshold.
        prices.extend([50.0, 49.0, 48.0]);
        let bars = closes(rule, &trades(&prices));
        assert_eq!(bars.len(), 1);
        assert_eq!(
            (bars[0].ticks, bars[0].theta_buy, bars[0].theta_sell),
            (54, Some(50.0), Some(3.0))
        );
        assert_eq!(bars[0].threshold, Some(3.0 * (50.0 / 54.0)));
    }

    #[test]
    fn a_purchase_of_nothing_is_no_buy_tick() {
        let params = MlfinlabSpec { ticks: CompatTicks::Const, ..ema(1.0, 0.0, 100.0) };
        let mut rule = MlfinlabRuns::new(&params);
        let mut open = OpenBar::default();
        for (sign, v) in [(1, 0.0), (1, 2.0), (-1, 2.0)] {
            let flow = Flow { sign, v, x: f64::from(sign) * v };
            open.add(0, 1.0, v, v, sign, flow.x);
            rule.observe(flow, &open);
        }
        assert_eq!(rule.expected.map(|e| e.buy_share), Some(1.0 / 3.0));
    }

    /// The files of other programs hold no exact tie, so this is where it is pinned.
    #[test]
    fn only_risklab_closes_at_equality() {
        let closing_tick = |flavour| {
            let ticks = CompatTicks::Const;
            let params = MlfinlabSpec { flavour, ticks, window: 1, ..ema(4.0, 0.0, 100.0) };
            let mut rule = MlfinlabRuns::new(&params);
            let mut take = |open: &mut OpenBar, sign: i8| {
                let flow = Flow { sign, v: 1.0, x: f64::from(sign) };
                open.add(0, 1.0, 1.0, 1.0, sign, flow.x);
                rule.observe(flow, open);
                if rule.closes(open) {
                    rule.settle(open);
                    return Some(open.ticks);
                }
                None
            };
            // Four of each side end the warm-up with P = 1/2; then the threshold is 4 · 1/2.
            let mut first = OpenBar::default();
            let closes: Vec<_> =
                [1, 1, 1, 1, -1, -1, -1, -1].iter().map(|b| take(&mut first, *b)).collect();
            assert_eq!(closes[7], Some(8));
            let mut second = OpenBar::default();
            [-1, 1, -1, -1].iter().find_map(|b| take(&mut second, *b))
        };
        assert_eq!(closing_tick(CompatFlavour::Mlfinlab), Some(4));
        assert_eq!(closing_tick(CompatFlavour::RiskLabAi), Some(3));
    }
}
