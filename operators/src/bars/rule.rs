//! What distinguishes one bar family from another: when to close, and what to learn.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bar::{Levels, OpenBar};
use crate::digest::Digest;

/// One trade as a rule sees it.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The sign b: −1, 0 (mlfinlab family only) or +1.
    pub sign: i8,
    /// The measure v ≥ 0.
    pub v: f64,
    /// The signed flow x = b·v.
    pub x: f64,
}

/// A closing rule with its expectations, driven by [`Builder`](super::builder::Builder).
///
/// # Contract
/// For each trade, in this order: `warm` if `is_warming` (then nothing else: the trade belongs to
/// no bar); otherwise the open bar is updated, then `observe`, `closes`, `levels` (only if the bar
/// closes, for whatever reason), `learn`, and `settle` (only if it closes). No clock, randomness,
/// hash order or I/O: the calls decide every bit.
pub trait Rule: Clone + std::fmt::Debug + PartialEq + Serialize + DeserializeOwned {
    /// Names the kind of machine inside the digest.
    const MACHINE: &'static str;

    /// Whether the next trade belongs to the warm-up.
    #[inline(always)]
    fn is_warming(&self) -> bool {
        false
    }

    /// Trades that the warm-up still needs.
    fn warmup_left(&self) -> u64 {
        0
    }

    /// Takes a warm-up trade.
    fn warm(&mut self, _flow: Flow) {}

    /// Takes what must be known of this trade before its test.
    #[inline(always)]
    fn observe(&mut self, _flow: Flow, _open: &OpenBar) {}

    /// A cheap screen: false only where [`closes`](Self::closes) is certain to be false. It lets
    /// the hot loop stay free of calls, square roots and transcendental functions.
    #[inline(always)]
    fn may_close(&self, open: &OpenBar) -> bool {
        self.closes(open)
    }

    /// Whether the open bar, which already holds this trade, closes with it.
    fn closes(&self, open: &OpenBar) -> bool;

    /// The expectations in force: before `learn`, those of the last `closes`; after it, those
    /// of the test to come. A session's end reports the latter.
    fn levels(&self) -> Levels;

    /// How much of its threshold the open bar has reached: 1 closes it; none where there is no threshold.
    fn reached(&self, open: &OpenBar) -> Option<f64> {
        let Levels { threshold, theta_buy, theta_sell, .. } = self.levels();
        let flow = match (theta_buy, theta_sell) {
            (Some(buy), Some(sell)) => buy.max(sell),
            _ => open.theta.abs(),
        };
        Some(flow / threshold?)
    }

    /// Takes this trade into the expectations.
    #[inline(always)]
    fn learn(&mut self, _flow: Flow) {}

    /// Takes the closed bar into the expectations and readies for the next one.
    fn settle(&mut self, closed: &OpenBar);

    /// Forgets everything, as at the start.
    fn restart(&mut self);

    /// Adds everything that can influence a later bar, given that no bar is open.
    fn digest(&self, digest: &mut Digest);
}
