//! TICK_RUNS, VOLUME_RUNS and VALUE_RUNS: consecutive trades of one side reach the step. A change
//! of side drops what was gathered, and so does the first trade after a bar.

use serde::{Deserialize, Serialize};

use super::gather::{Gather, Slices, is_past_splitting};
use super::totals::next_slice;
use crate::bar::{Bar, Levels};
use crate::trade::Aggressor;

/// The side whose run it is; none before the first trade and after a bar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct RunSide(Option<Aggressor>);

impl RunSide {
    /// Whether a trade of `side` starts a run; then what was gathered is dropped.
    fn turns(&mut self, side: Aggressor, gather: &mut Gather) -> bool {
        let turns = self.0 != Some(side);
        if turns {
            self.0 = Some(side);
            gather.drop_all();
        }
        turns
    }
}

/// The run as the bar reports it.
fn levels(side: Aggressor, run: f64) -> Levels {
    let (buy, sell) = if side == Aggressor::Buyer { (run, 0.0) } else { (0.0, run) };
    Levels { theta_buy: Some(buy), theta_sell: Some(sell), ..Levels::default() }
}

/// TICK_RUNS.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TickRuns {
    step: u64,
    side: RunSide,
    run: u64,
}

impl TickRuns {
    pub fn new(step: u64) -> Self {
        Self { step, side: RunSide::default(), run: 0 }
    }

    pub fn take(&mut self, slices: Slices<'_>, gather: &mut Gather, bars: &mut Vec<Bar>) {
        if self.side.turns(slices.side, gather) {
            self.run = 0;
        }
        gather.add_whole(&slices);
        self.run += 1;
        if self.run >= self.step {
            gather.close_run(0, levels(slices.side, self.run as f64), bars);
            self.run = 0;
            self.side = RunSide::default();
        }
    }
}

/// VOLUME_RUNS, in size units.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct VolumeRuns {
    step: i128,
    side: RunSide,
    run: i128,
}

impl VolumeRuns {
    pub fn new(step: i128) -> Self {
        Self { step, side: RunSide::default(), run: 0 }
    }

    pub fn take(&mut self, slices: Slices<'_>, gather: &mut Gather, bars: &mut Vec<Bar>) {
        if self.side.turns(slices.side, gather) {
            self.run = 0;
        }
        let mut rest = slices.size;
        while rest > 0 {
            let whole = is_past_splitting(rest, self.step, rest);
            let slice = if whole { rest } else { rest.min(self.step - self.run) };
            rest -= slice;
            self.run += slice;
            gather.add(&slices, slice);
            if self.run >= self.step {
                let run = slices.scale.qty(self.run);
                gather.close_run(rest as u128, levels(slices.side, run), bars);
                self.run = 0;
                self.side = RunSide::default();
            }
        }
    }
}

/// VALUE_RUNS, in price units times size units.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValueRuns {
    step: i128,
    side: RunSide,
    run: i128,
}

impl ValueRuns {
    pub fn new(step: i128) -> Self {
        Self { step, side: RunSide::default(), run: 0 }
    }

    pub fn take(&mut self, slices: Slices<'_>, gather: &mut Gather, bars: &mut Vec<Bar>) {
        if self.side.turns(slices.side, gather) {
            self.run = 0;
        }
        if !slices.has_value() {
            return gather.add_whole(&slices);
        }
        let mut rest = slices.value();
        while rest > 0 {
            let Some(slice) = next_slice(rest, self.step - self.run, self.step, &slices) else {
                return;
            };
            gather.add(&slices, slice.size);
            rest -= slice.value.min(rest);
            self.run += slice.value;
            if slice.closes {
                let run = slices.scale.quote(self.run);
                gather.close_run(rest as u128, levels(slices.side, run), bars);
                self.run = 0;
                self.side = RunSide::default();
            }
        }
    }
}
