//! Imbalance bars whose knob means what it says: the Wald threshold (docs/BARS.md, default).

use serde::{Deserialize, Serialize};

use super::expected_ticks::ExpectedTicks;
use super::flow_moments::FlowMoments;
use super::round::Rounding;
use super::rule::{Flow, Rule};
use crate::bar::{Levels, OpenBar};
use crate::digest::Digest;

/// Closes when |θ| reaches the barrier `a` at which a walk with drift mu and long-run variance σ²
/// per tick leaves (−a, a) after E\[T\] ticks on average: a·tanh(a·|mu|/σ²) = |mu|·E\[T\]
/// (Wald's identities for Brownian motion with drift).
///
/// `a` is σ·√E\[T\] as mu → 0 and AFML's |mu|·E\[T\] when drift dominates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wald {
    moments: FlowMoments,
    expected_ticks: ExpectedTicks,
    rounding: Rounding,
    /// φ/(1−φ): turns mu² into the part of `c` that drift alone explains.
    drift_share: f64,
}

/// What its digests begin with.
pub(crate) const MACHINE: &str = "imbalance/wald";

/// The screen compares squares, so it must allow for their rounding: 1e-9 relative is millions of
/// times that, and the absolute term covers squares too small to be normal.
const SCREEN: f64 = 1.0 - 1e-9;
const SCREEN_FLOOR: f64 = 1e-290;

/// More Newton steps than any start needs: the solver converges quadratically from a lower bound
/// that is within a factor 1.2 of the root or so.
const NEWTON_STEPS: u32 = 8;

impl Wald {
    /// `memory` is φ, `alpha` α.
    pub fn new(
        moments: FlowMoments,
        memory: f64,
        ticks: ExpectedTicks,
        rounding: Rounding,
    ) -> Self {
        let drift_share = memory / (1.0 - memory);
        Self { moments, expected_ticks: ticks, rounding, drift_share }
    }

    /// Long-run variance per tick: γ0 + 2·Σ of discounted autocovariances, at least γ0/10.
    #[inline(always)]
    fn variance(&self) -> f64 {
        let m = &self.moments;
        long_run_variance(m.mu, m.m2, m.c, self.drift_share)
    }

    /// Its moments, what drift alone explains of `c`, its E\[T\] and its rounding, where E\[T\] is
    /// constant: then these are all there is.
    pub(crate) fn parts(&self) -> Option<(&FlowMoments, f64, f64, Rounding)> {
        let ticks = self.expected_ticks.constant_value()?;
        Some((&self.moments, self.drift_share, ticks, self.rounding))
    }

    /// The barrier itself, by Newton's method on f(a) = a·tanh(a·k) − m. Only for reports.
    fn barrier(&self, variance: f64) -> f64 {
        let mu = self.moments.mu.abs();
        let m = mu * self.expected_ticks.value();
        let diffusive = (variance * self.expected_ticks.value()).sqrt();
        if variance == 0.0 {
            return m;
        }
        let k = mu / variance;
        let mut a = m.max(diffusive);
        for _ in 0..NEWTON_STEPS {
            let tanh = libm::tanh(a * k);
            let slope = tanh + a * k * (1.0 - tanh * tanh);
            if slope == 0.0 || !slope.is_finite() {
                break;
            }
            a -= (a * tanh - m) / slope;
        }
        a
    }
}

/// γ0 + 2·Σ of discounted autocovariances, at least γ0/10.
#[inline(always)]
pub(crate) fn long_run_variance(mu: f64, m2: f64, c: f64, drift_share: f64) -> f64 {
    let mu2 = mu * mu;
    let gamma0 = (m2 - mu2).max(0.0);
    (gamma0 + 2.0 * (c - mu2 * drift_share)).max(gamma0 / 10.0)
}

/// Whether |θ| has reached the barrier, given |mu|, σ² and E\[T\].
pub(crate) fn reaches(theta: f64, mu: f64, variance: f64, ticks: f64) -> bool {
    let product = mu * ticks;
    if variance == 0.0 {
        return theta >= product;
    }
    theta >= product
        && theta >= (variance * ticks).sqrt()
        && theta * libm::tanh(theta * (mu / variance)) >= product
}

impl Rule for Wald {
    const MACHINE: &'static str = MACHINE;

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
    fn may_close(&self, open: &OpenBar) -> bool {
        let theta = open.theta.abs();
        let ticks = self.expected_ticks.value();
        theta >= self.moments.mu.abs() * ticks
            && theta * theta + SCREEN_FLOOR >= self.variance() * ticks * SCREEN
    }

    fn closes(&self, open: &OpenBar) -> bool {
        let (theta, mu) = (open.theta.abs(), self.moments.mu.abs());
        reaches(theta, mu, self.variance(), self.expected_ticks.value())
    }

    fn levels(&self) -> Levels {
        let variance = self.variance();
        Levels {
            threshold: Some(self.barrier(variance)),
            expected_ticks: Some(self.expected_ticks.value()),
            expected_imbalance: Some(self.moments.mu),
            sigma: Some(variance.sqrt()),
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
    }

    fn restart(&mut self) {
        self.moments.restart();
        self.expected_ticks.restart();
    }

    fn digest(&self, digest: &mut Digest) {
        self.moments.digest(digest);
        self.expected_ticks.digest(digest);
    }
}
