//! The predecessor's kernel at the time of its roadmap: dollar imbalance with E\[volume\] and
//! E\[|θ|/volume\] moved at closes (docs/BARS.md).

use serde::{Deserialize, Serialize};

use super::super::rule::Rule;
use crate::bar::{Levels, OpenBar};
use crate::digest::Digest;

/// Closes when |θ| ≥ E\[volume\]·|E\[|θ|/volume\]|. Each overshoot raises the threshold, so bars
/// only get longer: the reason why it was abandoned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredecessorSeed {
    init_volume: f64,
    alpha_volume: f64,
    alpha_imbalance: f64,
    /// Expected quote volume of a bar.
    volume: f64,
    /// Expected |buys − sells| per quote volume.
    imbalance: f64,
}

/// The share that marks a start. The source tests the number, not a flag: a bar of one side only
/// leaves it in place, and the close after it starts over.
const START: f64 = 1.0;

impl PredecessorSeed {
    /// `init_volume` in quote units.
    pub fn new(init_volume: f64, alpha_volume: f64, alpha_imbalance: f64) -> Self {
        let volume = init_volume;
        Self { init_volume, alpha_volume, alpha_imbalance, volume, imbalance: START }
    }

    fn threshold(&self) -> f64 {
        self.volume * self.imbalance.abs()
    }
}

impl Rule for PredecessorSeed {
    const MACHINE: &'static str = "compat/predecessor-seed";

    #[inline(always)]
    fn closes(&self, open: &OpenBar) -> bool {
        open.theta.abs() >= self.threshold()
    }

    fn levels(&self) -> Levels {
        Levels {
            threshold: Some(self.threshold()),
            expected_imbalance: Some(self.imbalance),
            ..Levels::default()
        }
    }

    fn settle(&mut self, closed: &OpenBar) {
        let volume = closed.quote_volume;
        // The source divides by zero here; a bar without money favours no side.
        let imbalance =
            if volume == 0.0 { 0.0 } else { (2.0 * closed.buy_quote_volume / volume - 1.0).abs() };
        if self.imbalance == START {
            self.volume = volume;
            self.imbalance = imbalance;
        } else {
            self.volume += self.alpha_volume * (volume - self.volume);
            self.imbalance += self.alpha_imbalance * (imbalance - self.imbalance);
        }
    }

    fn restart(&mut self) {
        self.volume = self.init_volume;
        self.imbalance = START;
    }

    fn digest(&self, digest: &mut Digest) {
        digest.f64(self.volume);
        digest.f64(self.imbalance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(buy: f64, sell: f64) -> OpenBar {
        OpenBar { quote_volume: buy + sell, buy_quote_volume: buy, ..OpenBar::default() }
    }

    #[test]
    fn a_bar_of_one_side_leaves_the_start_in_place() {
        let mut rule = PredecessorSeed::new(100.0, 0.5, 0.5);
        rule.settle(&bar(120.0, 0.0));
        assert_eq!((rule.volume, rule.imbalance), (120.0, 1.0));
        rule.settle(&bar(300.0, 100.0));
        assert_eq!((rule.volume, rule.imbalance), (400.0, 0.5));
        rule.settle(&bar(200.0, 0.0));
        assert_eq!((rule.volume, rule.imbalance), (300.0, 0.75));
    }
}
