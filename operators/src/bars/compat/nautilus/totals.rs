//! TICK, VOLUME and VALUE: Σ reaches the step.

use serde::{Deserialize, Serialize};

use super::decimal::divide_half_up;
use super::gather::{Gather, Slices, is_past_splitting};
use crate::bar::Bar;

/// TICK: closes at `step` trades.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ticks {
    step: u64,
}

impl Ticks {
    pub fn new(step: u64) -> Self {
        Self { step }
    }

    pub fn take(&mut self, slices: Slices<'_>, gather: &mut Gather, bars: &mut Vec<Bar>) {
        gather.add_whole(&slices);
        if gather.open().ticks >= self.step {
            gather.close(0, bars);
        }
    }
}

/// VOLUME: every bar holds exactly `step`, in size units.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    step: i128,
    sum: i128,
}

impl Volume {
    pub fn new(step: i128) -> Self {
        Self { step, sum: 0 }
    }

    pub fn take(&mut self, slices: Slices<'_>, gather: &mut Gather, bars: &mut Vec<Bar>) {
        let mut rest = slices.size;
        while rest > 0 {
            if self.sum + rest < self.step {
                self.sum += rest;
                return gather.add(&slices, rest);
            }
            let whole = is_past_splitting(rest, self.step, rest);
            let slice = if whole { rest } else { self.step - self.sum };
            rest -= slice;
            gather.add(&slices, slice);
            self.sum = 0;
            gather.close(rest as u128, bars);
        }
    }
}

/// VALUE: every bar holds `step` of quote value, its sizes rounded to whole units.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Value {
    step: i128,
    sum: i128,
}

impl Value {
    /// `step` in price units times size units.
    pub fn new(step: i128) -> Self {
        Self { step, sum: 0 }
    }

    pub fn take(&mut self, slices: Slices<'_>, gather: &mut Gather, bars: &mut Vec<Bar>) {
        if !slices.has_value() {
            return gather.add_whole(&slices);
        }
        let mut rest = slices.value();
        while rest > 0 {
            let Some(slice) = next_slice(rest, self.step - self.sum, self.step, &slices) else {
                return;
            };
            gather.add(&slices, slice.size);
            rest -= slice.value.min(rest);
            self.sum += slice.value;
            if slice.closes {
                self.sum = 0;
                gather.close(rest as u128, bars);
            }
        }
    }
}

/// What goes next into a bar that is filled by value.
pub struct Slice {
    /// In size units, rounded.
    pub size: i128,
    /// In price units times size units, not rounded, so that no value is lost on the way.
    pub value: i128,
    /// Whether it fills the bar.
    pub closes: bool,
}

/// The next slice of `rest` for a bar that lacks `need`; none if what is left of the trade is too
/// small for a size. All values positive.
pub fn next_slice(rest: i128, need: i128, step: i128, slices: &Slices<'_>) -> Option<Slice> {
    let size = divide_half_up(rest, slices.price);
    if rest < need {
        return Some(Slice { size, value: rest, closes: false });
    }
    if is_past_splitting(rest, step, size) {
        return Some(Slice { size, value: rest, closes: true });
    }
    match divide_half_up(need, slices.price) {
        0 if size == 0 => None,
        0 => Some(Slice { size: 1, value: slices.price, closes: true }),
        size => Some(Slice { size, value: need, closes: true }),
    }
}
