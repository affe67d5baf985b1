//! Imbalance bars of mlfinlab, mlfinpy and RiskLabAI (docs/BARS.md).

use serde::{Deserialize, Serialize};

use super::super::rule::{Flow, Rule};
use super::bar_lengths::BarLengths;
use super::window::Window;
use crate::bar::{Levels, OpenBar};
use crate::digest::Digest;
use crate::spec::{CompatFlavour, MlfinlabSpec};

/// Closes when |θ| > E\[T\]·|E\[x\]| (RiskLabAI: ≥), both formed at the last close; the trades up
/// to the close that forms them are in E\[x\]. Trades before the first estimate belong to the
/// first bar.
///
/// Should E\[T\] be clamped up past all trades seen so far, mlfinlab's E\[x\] becomes undefined at
/// that close and no bar follows; RiskLabAI asks for no length after the first bar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MlfinlabImbalance {
    flavour: CompatFlavour,
    ticks: BarLengths,
    flows: Window,
    /// All x ever seen, not only those in the window.
    seen: u64,
    expected: Option<f64>,
    made_a_bar: bool,
}

impl MlfinlabImbalance {
    /// A rule that has seen nothing.
    pub fn new(spec: &MlfinlabSpec) -> Self {
        Self {
            flavour: spec.flavour,
            ticks: BarLengths::new(spec),
            flows: Window::new(spec.window),
            seen: 0,
            expected: None,
            made_a_bar: false,
        }
    }

    fn threshold(&self) -> Option<f64> {
        self.expected.map(|expected| self.ticks.value() * expected.abs())
    }

    #[inline(never)]
    fn estimate(&mut self) {
        let asks_for_length = self.flavour == CompatFlavour::Mlfinlab || !self.made_a_bar;
        self.expected = if asks_for_length && (self.seen as f64) < self.ticks.value() {
            None
        } else {
            self.flows.mean_over_len()
        };
    }
}

impl Rule for MlfinlabImbalance {
    const MACHINE: &'static str = "compat/mlfinlab-imbalance";

    #[inline(always)]
    fn observe(&mut self, flow: Flow, _open: &OpenBar) {
        self.flows.push(flow.x);
        self.seen += 1;
        if self.expected.is_none() && !self.made_a_bar {
            self.estimate();
        }
    }

    #[inline(always)]
    fn closes(&self, open: &OpenBar) -> bool {
        let theta = open.theta.abs();
        match (self.threshold(), self.flavour) {
            (None, _) => false,
            (Some(threshold), CompatFlavour::Mlfinlab) => theta > threshold,
            (Some(threshold), CompatFlavour::RiskLabAi) => theta >= threshold,
        }
    }

    fn levels(&self) -> Levels {
        Levels {
            threshold: self.threshold(),
            expected_ticks: Some(self.ticks.value()),
            expected_imbalance: self.expected,
            ..Levels::default()
        }
    }

    fn settle(&mut self, closed: &OpenBar) {
        self.made_a_bar = true;
        self.ticks.settle(closed.ticks);
        self.estimate();
    }

    fn restart(&mut self) {
        self.ticks.restart();
        self.flows.clear();
        self.seen = 0;
        self.expected = None;
        self.made_a_bar = false;
    }

    /// `seen` stays out: past the first close it can only undo E\[x\] if the least E\[T\] exceeds
    /// it, and then no bar follows; else it never matters again, because the mean of bar lengths
    /// is no greater than their sum.
    fn digest(&self, digest: &mut Digest) {
        self.flows.digest(digest);
        self.ticks.digest(digest);
        digest.f64(self.expected.unwrap_or(f64::NAN));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{closes, ema, trades};
    use super::*;
    use crate::measure::Measure;
    use crate::spec::RuleSpec;

    fn rule(params: MlfinlabSpec) -> RuleSpec {
        RuleSpec::MlfinlabImbalance { measure: Measure::Tick, params }
    }

    #[test]
    fn no_sign_moves_nothing_but_fills_the_window() {
        // Signs 0 0 +1 +1 +1: E[x] is formed at the fourth trade, of 0 0 1 1.
        let bars = closes(rule(ema(4.0, 0.0, 100.0)), &trades(&[5.0, 5.0, 6.0, 7.0, 8.0]));
        // a = 0.4: (0.6 + 1)/(1 + 0.6 + 0.36 + 0.216); 4·E = 2.94 < 3 only at the fifth.
        assert_eq!(bars.len(), 1);
        assert_eq!((bars[0].ticks, bars[0].theta), (5, 3.0));
        let expected = 1.6 / (1.0 + 0.6 + 0.36 + 0.216);
        assert!((bars[0].expected_imbalance.unwrap() - expected).abs() < 1e-12);
        assert_eq!(bars[0].expected_ticks, Some(4.0));
    }

    #[test]
    fn only_risklab_closes_at_equality() {
        // All signs +1 but the first, and a window of 1: E[x] = 1 and the threshold is E[T] = 3.
        let prices = trades(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let mut params = MlfinlabSpec { window: 1, ..ema(3.0, 3.0, 3.0) };
        assert_eq!(closes(rule(params), &prices)[0].ticks, 5);
        params.flavour = CompatFlavour::RiskLabAi;
        assert_eq!(closes(rule(params), &prices)[0].ticks, 4);
    }

    #[test]
    fn a_clamp_past_all_trades_ends_mlfinlab_for_ever_but_not_risklab() {
        let prices: Vec<f64> = (1..400).map(f64::from).collect();
        let mut params = ema(2.0, 100.0, 200.0);
        assert_eq!(closes(rule(params), &trades(&prices)).len(), 1);
        params.flavour = CompatFlavour::RiskLabAi;
        assert!(closes(rule(params), &trades(&prices)).len() > 1);
    }
}
