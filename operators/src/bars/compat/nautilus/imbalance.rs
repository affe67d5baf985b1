//! TICK_IMBALANCE, VOLUME_IMBALANCE and VALUE_IMBALANCE: |θ| reaches the step.

use serde::{Deserialize, Serialize};

use super::gather::{Gather, Slices, is_past_splitting};
use crate::bar::Bar;

/// TICK_IMBALANCE.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TickImbalance {
    step: u64,
    theta: i64,
}

impl TickImbalance {
    pub fn new(step: u64) -> Self {
        Self { step, theta: 0 }
    }

    pub fn take(&mut self, slices: Slices<'_>, gather: &mut Gather, bars: &mut Vec<Bar>) {
        gather.add_whole(&slices);
        self.theta += i64::from(slices.sign());
        if self.theta.unsigned_abs() >= self.step {
            self.theta = 0;
            gather.close(0, bars);
        }
    }
}

/// VOLUME_IMBALANCE, in size units. An opposite trade is cut at step − |θ| although it moves θ
/// towards 0: it still ends up in the same bar.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct VolumeImbalance {
    step: i128,
    theta: i128,
}

impl VolumeImbalance {
    pub fn new(step: i128) -> Self {
        Self { step, theta: 0 }
    }

    pub fn take(&mut self, slices: Slices<'_>, gather: &mut Gather, bars: &mut Vec<Bar>) {
        let mut rest = slices.size;
        while rest > 0 {
            let need = (self.step - self.theta.abs()).max(1);
            let whole = is_past_splitting(rest, self.step, rest);
            let slice = if whole { rest } else { rest.min(need) };
            rest -= slice;
            self.theta += i128::from(slices.sign()) * slice;
            gather.add(&slices, slice);
            if self.theta.abs() >= self.step {
                self.theta = 0;
                gather.close(rest as u128, bars);
            }
        }
    }
}

/// VALUE_IMBALANCE, in f64 as nautilus has it; an opposite trade is cut where θ is 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValueImbalance {
    step: f64,
    theta: f64,
}

impl ValueImbalance {
    pub fn new(step: f64) -> Self {
        Self { step, theta: 0.0 }
    }

    pub fn take(&mut self, slices: Slices<'_>, gather: &mut Gather, bars: &mut Vec<Bar>) {
        let price = slices.trade.price;
        let mut rest = slices.scale.qty(slices.size);
        if !slices.has_value() {
            return gather.add_whole(&slices);
        }
        while rest > 0.0 {
            let rest_units = slices.scale.size_units(rest);
            let slice = self.next_slice(price, rest, &slices);
            let units = slices.scale.size_units(slice.qty);
            let slice = if units > 0 {
                slice
            } else if rest_units == 0 {
                return;
            } else {
                let qty = slices.scale.qty(1);
                Slice { qty, value: price * qty }
            };
            gather.add(&slices, units.max(1));
            rest -= slice.qty;
            self.theta += f64::from(slices.sign()) * slice.value;
            if self.theta.abs() >= self.step {
                self.theta = 0.0;
                gather.close(u128::from(rest.to_bits()), bars);
            }
        }
    }

    /// How much of `rest` goes in next, before rounding.
    fn next_slice(&self, price: f64, rest: f64, slices: &Slices<'_>) -> Slice {
        let value = price * rest;
        let all = Slice { qty: rest, value };
        // The step is at least 1, so the quotient is in range of the cast, which saturates anyway.
        let steps = (value / self.step) as i128;
        if is_past_splitting(steps, 1, slices.scale.size_units(rest)) {
            return all;
        }
        let opposes = self.theta * f64::from(slices.sign()) < 0.0;
        let limit = if opposes { self.theta.abs() } else { self.step - self.theta.abs() };
        if value <= limit { all } else { Slice { qty: limit / price, value: limit } }
    }
}

/// A part of a trade.
struct Slice {
    qty: f64,
    value: f64,
}
