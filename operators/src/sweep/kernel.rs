//! The inner loop: one trade after the other through sixteen Wald builders side by side.
//!
//! The same operations in the same order as [`Wald`](crate::bars::wald::Wald) does them, so the
//! same bits; never a fused multiply-add. Only the *screen* differs, which says that a bar may
//! close: it lets through a little more than closes, and the exact test decides.

use serde::{Deserialize, Serialize};

/// Builders side by side: two vectors of AVX-512, four of AVX2.
pub(super) const LANES: usize = 16;

/// One number of each builder.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[repr(C, align(64))]
pub(super) struct Lanes(pub(super) [f64; LANES]);

impl Lanes {
    pub(super) const ZERO: Self = Self([0.0; LANES]);
}

/// State and parameters of the builders of a tile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Walds {
    pub(super) mu: Lanes,
    pub(super) m2: Lanes,
    pub(super) c: Lanes,
    pub(super) e: Lanes,
    pub(super) theta: Lanes,
    pub(super) alpha: Lanes,
    pub(super) memory: Lanes,
    pub(super) drift_share: Lanes,
    pub(super) ticks: Lanes,
}

/// Which instructions the loop is compiled for. All make the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Features {
    /// What every processor of the architecture has.
    Baseline,
    /// AVX2 (x86-64).
    Avx2,
    /// AVX-512 F (x86-64).
    Avx512,
}

impl Default for Features {
    fn default() -> Self {
        Self::best()
    }
}

impl Features {
    /// The best that this processor has.
    pub fn best() -> Self {
        *Self::all().last().unwrap_or(&Self::Baseline)
    }

    /// All that this processor has, the best last.
    pub fn all() -> &'static [Self] {
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512f") {
                return &[Self::Baseline, Self::Avx2, Self::Avx512];
            }
            if std::arch::is_x86_feature_detected!("avx2") {
                return &[Self::Baseline, Self::Avx2];
            }
        }
        &[Self::Baseline]
    }
}

/// Runs until a row on which some bar may close, and returns it; that row's flow is in θ and not
/// yet learned. `None` when all rows are learned.
pub(super) fn run(features: Features, walds: &mut Walds, flow: &[f64]) -> Option<usize> {
    match features {
        // SAFETY: `Features::all` names a set only where the processor has it, and values come
        // from there; the functions are safe otherwise. Measured (docs/PERFORMANCE.md): three
        // times as fast as without.
        #[cfg(target_arch = "x86_64")]
        Features::Avx512 => unsafe { run_avx512(walds, flow) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Features::Avx2 => unsafe { run_avx2(walds, flow) },
        _ => run_rows(walds, flow),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn run_avx512(walds: &mut Walds, flow: &[f64]) -> Option<usize> {
    run_rows(walds, flow)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn run_avx2(walds: &mut Walds, flow: &[f64]) -> Option<usize> {
    run_rows(walds, flow)
}

/// Room for the rounding of squares and products: millions of times what they need, and an absolute
/// part for numbers too small to be normal.
const SLACK: f64 = 1.0 - 1e-9;
const FLOOR: f64 = 1e-290;

#[inline(always)]
fn run_rows(walds: &mut Walds, flow: &[f64]) -> Option<usize> {
    // Copies: the compiler then knows that nothing else points at them, and keeps them in registers.
    let (mut mu, mut m2, mut c) = (walds.mu.0, walds.m2.0, walds.c.0);
    let (mut e, mut theta) = (walds.e.0, walds.theta.0);
    let (alpha, memory) = (walds.alpha.0, walds.memory.0);
    let (drift_share, ticks) = (walds.drift_share.0, walds.ticks.0);
    let mut stopped = None;
    for (row, x) in flow.iter().enumerate() {
        let x = *x;
        let mut may_close = 0u64;
        for i in 0..LANES {
            theta[i] += x;
            let far = theta[i].abs();
            let product = mu[i].abs() * ticks[i];
            let mu2 = mu[i] * mu[i];
            let variance = variance(mu2, m2[i], c[i], drift_share[i]);
            let may = (far >= product) & (far * far + FLOOR >= variance * ticks[i] * SLACK);
            may_close |= u64::from(may);
        }
        if may_close != 0 {
            // What drift does to the barrier, bounded from above: tanh y ≤ y(15+y²)/(15+6y²), the
            // fifth convergent of its continued fraction, and tanh y ≤ 1.
            let mut closes = 0u64;
            for i in 0..LANES {
                let far = theta[i].abs();
                let product = mu[i].abs() * ticks[i];
                let variance = variance(mu[i] * mu[i], m2[i], c[i], drift_share[i]);
                let y = far * (mu[i].abs() / variance);
                let y2 = y * y;
                let bound = y * (15.0 + y2) / (15.0 + 6.0 * y2);
                let below = far * bound < product * SLACK - FLOOR;
                let flat = far * far + FLOOR < variance * ticks[i] * SLACK;
                // A variance of 0 makes y no number or infinite: nothing is ruled out then.
                closes |= u64::from((far >= product) & !below & !flat);
            }
            if closes != 0 {
                stopped = Some(row);
                break;
            }
        }
        let xx = x * x;
        for i in 0..LANES {
            mu[i] += alpha[i] * (x - mu[i]);
            m2[i] += alpha[i] * (xx - m2[i]);
            c[i] += alpha[i] * (x * e[i] - c[i]);
            e[i] = memory[i] * (e[i] + x);
        }
    }
    walds.mu.0 = mu;
    walds.m2.0 = m2;
    walds.c.0 = c;
    walds.e.0 = e;
    walds.theta.0 = theta;
    stopped
}

/// As `Wald::variance`, for the screen: the same but for how ties and NaN are chosen.
#[inline(always)]
fn variance(mu2: f64, m2: f64, c: f64, drift_share: f64) -> f64 {
    let gamma0 = m2 - mu2;
    let gamma0 = if gamma0 > 0.0 { gamma0 } else { 0.0 };
    let long = gamma0 + 2.0 * (c - mu2 * drift_share);
    let least = gamma0 * 0.0999999999;
    if long > least { long } else { least }
}
