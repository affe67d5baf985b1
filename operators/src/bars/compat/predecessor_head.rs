//! The predecessor's newest kernel: dollar imbalance with E\[T\] and E\[|θ|/T\] moved at closes
//! (docs/BARS.md).

use serde::{Deserialize, Serialize};

use super::super::rule::Rule;
use crate::bar::{Levels, OpenBar};
use crate::digest::Digest;

/// Closes a first bar at `init_ticks` ticks, later ones when |θ| ≥ E\[T\]·E\[|θ|/T\]; starts over
/// after a bar that lasted too long.
///
/// Unlike the pipeline around the kernel, inputs stay f64 and the sign never restarts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredecessorHead {
    init_ticks: u64,
    alpha_ticks: f64,
    alpha_imbalance: f64,
    /// A bar longer than this starts everything over, ns.
    reset_after: f64,
    /// None before and during a first bar.
    expected: Option<Expected>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Expected {
    ticks: f64,
    /// |θ| per tick.
    imbalance: f64,
}

const NS_PER_HOUR: f64 = 3.6e12;

impl PredecessorHead {
    /// `time_reset` in hours.
    pub fn new(init_ticks: u64, alpha_ticks: f64, alpha_imbalance: f64, time_reset: f64) -> Self {
        let reset_after = time_reset * NS_PER_HOUR;
        Self { init_ticks, alpha_ticks, alpha_imbalance, reset_after, expected: None }
    }
}

impl Rule for PredecessorHead {
    const MACHINE: &'static str = "compat/predecessor-head";

    #[inline(always)]
    fn closes(&self, open: &OpenBar) -> bool {
        match self.expected {
            None => open.ticks >= self.init_ticks,
            Some(e) => open.theta.abs() >= e.ticks * e.imbalance,
        }
    }

    /// A first bar has no threshold in money.
    fn levels(&self) -> Levels {
        Levels {
            threshold: self.expected.map(|e| e.ticks * e.imbalance),
            expected_ticks: Some(self.expected.map_or(self.init_ticks as f64, |e| e.ticks)),
            expected_imbalance: self.expected.map(|e| e.imbalance),
            ..Levels::default()
        }
    }

    fn settle(&mut self, closed: &OpenBar) {
        let ticks = closed.ticks as f64;
        let imbalance = closed.theta.abs() / ticks;
        let lasted = closed.close_time.saturating_sub(closed.open_time) as f64;
        self.expected = if lasted > self.reset_after {
            None
        } else {
            Some(match self.expected {
                None => Expected { ticks, imbalance },
                Some(e) => Expected {
                    ticks: e.ticks + self.alpha_ticks * (ticks - e.ticks),
                    imbalance: e.imbalance + self.alpha_imbalance * (imbalance - e.imbalance),
                },
            })
        };
    }

    fn restart(&mut self) {
        self.expected = None;
    }

    fn digest(&self, digest: &mut Digest) {
        digest.byte(u8::from(self.expected.is_some()));
        if let Some(e) = self.expected {
            digest.f64(e.ticks);
            digest.f64(e.imbalance);
        }
    }
}
