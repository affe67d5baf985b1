//! Standard bars: close when Σ v reaches a size. AFML §2.3.1.

use serde::{Deserialize, Serialize};

use super::rule::{Flow, Rule};
use crate::bar::{Levels, OpenBar};
use crate::digest::Digest;

/// Tick, volume and dollar bars: Σ v ≥ `size`; the trade that crosses belongs to the bar and
/// nothing is carried over.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Size {
    size: f64,
    sum: f64,
}

impl Size {
    /// `size` in the bar's measure; positive.
    pub fn new(size: f64) -> Self {
        Self { size, sum: 0.0 }
    }
}

impl Rule for Size {
    const MACHINE: &'static str = "size";

    #[inline(always)]
    fn observe(&mut self, flow: Flow, _open: &OpenBar) {
        self.sum += flow.v;
    }

    #[inline(always)]
    fn closes(&self, _open: &OpenBar) -> bool {
        self.sum >= self.size
    }

    fn levels(&self) -> Levels {
        Levels { threshold: Some(self.size), ..Levels::default() }
    }

    fn reached(&self, _open: &OpenBar) -> Option<f64> {
        Some(self.sum / self.size)
    }

    fn settle(&mut self, _closed: &OpenBar) {
        self.sum = 0.0;
    }

    fn restart(&mut self) {
        self.sum = 0.0;
    }

    fn digest(&self, _digest: &mut Digest) {}
}

/// Time bars have no rule of their own: their [`Boundary`](super::boundary::Boundary) closes them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Never;

impl Rule for Never {
    const MACHINE: &'static str = "time";

    #[inline(always)]
    fn closes(&self, _open: &OpenBar) -> bool {
        false
    }

    fn levels(&self) -> Levels {
        Levels::default()
    }

    fn settle(&mut self, _closed: &OpenBar) {}

    fn restart(&mut self) {}

    fn digest(&self, _digest: &mut Digest) {}
}
