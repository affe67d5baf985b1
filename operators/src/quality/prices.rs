//! The rolling median of prices, and how far from it a price may lie.

use serde::{Deserialize, Serialize};

/// Makes the median absolute deviation an estimate of the standard deviation (of a normal
/// distribution): 1 / Φ⁻¹(3/4).
const MAD_TO_SIGMA: f64 = 1.4826;

/// The last prices and the bounds that they give.
///
/// Exact and cheap: median and MAD of the last `window` prices, taken again every `window`/8
/// prices; in between the bounds stand, so that a price costs two comparisons. The points at which
/// they are taken depend on the count of prices alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Prices {
    /// Bits of positive prices, which are ordered as the prices are. A ring.
    last: Vec<u64>,
    next: usize,
    until_bounds: usize,
    low: f64,
    high: f64,
    median: f64,
    #[serde(skip)]
    sorted: Vec<u64>,
}

/// Of what the bounds are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub(super) k: f64,
    pub(super) window: usize,
    pub(super) floor: f64,
}

impl Prices {
    pub(super) fn new(window: usize) -> Self {
        Self {
            last: Vec::new(),
            next: 0,
            until_bounds: step(window),
            low: f64::NEG_INFINITY,
            high: f64::INFINITY,
            median: f64::NAN,
            sorted: Vec::new(),
        }
    }

    /// Judges prices in their order; `offend` receives the row and the median that it is far from.
    /// The first `window`/8 prices are not judged. Returns how many were judged.
    pub(super) fn judge(
        &mut self,
        prices: &[f64],
        rule: &Rule,
        mut offend: impl FnMut(usize, f64),
    ) -> u64 {
        let mut judged = 0;
        let mut at = 0;
        while at < prices.len() {
            let piece = &prices[at..prices.len().min(at + self.until_bounds)];
            if !self.median.is_nan() {
                judged += piece.len() as u64;
                let (low, high) = (self.low, self.high);
                // Most pieces have no offender: one look without a branch per price.
                if !piece.iter().fold(true, |all, price| all & (*price >= low) & (*price <= high)) {
                    for (row, price) in piece.iter().enumerate() {
                        if !(*price >= low && *price <= high) {
                            offend(at + row, self.median);
                        }
                    }
                }
            }
            self.keep(piece, rule.window);
            self.until_bounds -= piece.len();
            if self.until_bounds == 0 {
                self.until_bounds = step(rule.window);
                self.take_bounds(rule);
            }
            at += piece.len();
        }
        judged
    }

    fn keep(&mut self, prices: &[f64], window: usize) {
        for price in prices {
            let bits = price.max(0.0).to_bits();
            if self.last.len() < window {
                self.last.push(bits);
            } else {
                self.last[self.next] = bits;
                self.next += 1;
                if self.next == window {
                    self.next = 0;
                }
            }
        }
    }

    fn take_bounds(&mut self, rule: &Rule) {
        self.sorted.clear();
        self.sorted.extend_from_slice(&self.last);
        let middle = self.sorted.len() / 2;
        let (_, median, _) = self.sorted.select_nth_unstable(middle);
        self.median = f64::from_bits(*median);
        for bits in &mut self.sorted {
            *bits = (f64::from_bits(*bits) - self.median).abs().to_bits();
        }
        let (_, mad, _) = self.sorted.select_nth_unstable(middle);
        let sigma = MAD_TO_SIGMA * f64::from_bits(*mad);
        let reach = rule.k * sigma.max(rule.floor * self.median);
        self.low = self.median - reach;
        self.high = self.median + reach;
    }
}

fn step(window: usize) -> usize {
    (window / 8).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule { k: 5.0, window: 81, floor: 0.001 };

    /// The definition, slowly.
    fn slow(prices: &[f64], rule: &Rule) -> Vec<usize> {
        let mut found = Vec::new();
        for (row, price) in prices.iter().enumerate() {
            let taken_at = row / step(rule.window) * step(rule.window);
            if taken_at == 0 {
                continue;
            }
            let median_of = |mut of: Vec<f64>| {
                of.sort_by(f64::total_cmp);
                of[of.len() / 2]
            };
            let window = &prices[taken_at.saturating_sub(rule.window)..taken_at];
            let median = median_of(window.to_vec());
            let mad = median_of(window.iter().map(|price| (price - median).abs()).collect());
            let reach = rule.k * (MAD_TO_SIGMA * mad).max(rule.floor * median);
            if !(*price >= median - reach && *price <= median + reach) {
                found.push(row);
            }
        }
        found
    }

    #[test]
    fn it_is_the_definition_whatever_the_pieces() {
        let mut state = 7u64;
        let mut price = 100.0;
        let prices: Vec<f64> = (0..2000)
            .map(|row| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                price += ((state >> 33) as f64 / f64::from(1u32 << 31) - 0.5) * 0.3;
                if row % 331 == 200 { price * 1.05 } else { price }
            })
            .collect();
        let expected = slow(&prices, &RULE);
        assert!(expected.len() >= 6, "{expected:?}");
        for piece in [1, 7, 10, 81, 2000] {
            let mut machine = Prices::new(RULE.window);
            let (mut found, mut judged) = (Vec::new(), 0);
            for (n, chunk) in prices.chunks(piece).enumerate() {
                judged += machine.judge(chunk, &RULE, |row, _| found.push(n * piece + row));
            }
            assert_eq!(found, expected, "pieces of {piece}");
            assert_eq!(judged, 1990);
        }
    }
}
