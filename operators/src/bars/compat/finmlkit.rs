//! finmlkit's tick, volume and dollar bars.

use serde::{Deserialize, Serialize};

use super::super::rule::{Flow, Rule};
use crate::bar::{Levels, OpenBar};
use crate::digest::Digest;

/// Closes when Σ v ≥ `size`. The first trade of the tape counts towards the first close, but it is
/// in no bar: it only opens. What a dollar bar has too much counts towards the next one, though
/// its trades do not.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finmlkit {
    size: f64,
    carries_excess: bool,
    opened: bool,
    sum: f64,
}

impl Finmlkit {
    /// `size` in the bar's measure; positive.
    pub fn new(size: f64, carries_excess: bool) -> Self {
        Self { size, carries_excess, opened: false, sum: 0.0 }
    }
}

impl Rule for Finmlkit {
    const MACHINE: &'static str = "compat/finmlkit";

    #[inline(always)]
    fn is_warming(&self) -> bool {
        !self.opened
    }

    fn warm(&mut self, flow: Flow) {
        self.opened = true;
        self.sum = flow.v;
    }

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
        self.sum = if self.carries_excess { self.sum - self.size } else { 0.0 };
    }

    fn restart(&mut self) {
        self.opened = false;
        self.sum = 0.0;
    }

    fn digest(&self, digest: &mut Digest) {
        digest.f64(self.sum);
    }
}
