//! E\[T\] as mlfinlab moves it: from the lengths of the last bars, at closes only.

use serde::{Deserialize, Serialize};

use super::window::Window;
use crate::digest::Digest;
use crate::spec::{CompatTicks, MlfinlabSpec};

/// Expected ticks per bar from the bars before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BarLengths {
    init: f64,
    min: f64,
    max: f64,
    /// Lengths of the last bars; none where E\[T\] is constant.
    lengths: Option<Window>,
    value: f64,
}

impl BarLengths {
    /// Starts at `init`, which is not clamped.
    pub fn new(spec: &MlfinlabSpec) -> Self {
        let lengths = match spec.ticks {
            CompatTicks::Ema => Some(Window::new(spec.num_prev_bars)),
            CompatTicks::Const => None,
        };
        Self { init: spec.init, min: spec.min, max: spec.max, lengths, value: spec.init }
    }

    /// E\[T\] in ticks.
    #[inline(always)]
    pub fn value(&self) -> f64 {
        self.value
    }

    /// Learns from a bar of `ticks` ticks.
    pub fn settle(&mut self, ticks: u64) {
        if let Some(lengths) = &mut self.lengths {
            lengths.push(ticks as f64);
            if let Some(mean) = lengths.mean_over_capacity() {
                self.value = mean.max(self.min).min(self.max);
            }
        }
    }

    /// Forgets all bars.
    pub fn restart(&mut self) {
        self.value = self.init;
        if let Some(lengths) = &mut self.lengths {
            lengths.clear();
        }
    }

    /// Adds E\[T\] and the lengths it will be formed from.
    pub fn digest(&self, digest: &mut Digest) {
        digest.f64(self.value);
        if let Some(lengths) = &self.lengths {
            lengths.digest(digest);
        }
    }
}
