//! Sixteen Wald builders of one flow, and what of them is not in the inner loop.

use serde::{Deserialize, Serialize};

use super::close::Close;
use super::flows::Flow;
use super::kernel::{Features, LANES, Lanes, Walds, run};
use crate::bars::boundary::Boundary;
use crate::bars::round::Rounding;
use crate::bars::wald::{MACHINE, Wald, long_run_variance, reaches};
use crate::batch::TradeBatch;
use crate::digest::Digest;

/// Sixteen Wald builders after their warm-up, without caps or sessions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Tile {
    /// Which of the flows.
    pub(super) flow: usize,
    walds: Walds,
    rounding: [Rounding; LANES],
    /// Which configuration; none for an empty place.
    configs: [Option<u32>; LANES],
    /// Rows before the open bar's first.
    opened: [u64; LANES],
    /// Event time of the open bar's first row, ns.
    open_time: [i64; LANES],
    /// The open bar has no row yet.
    empty: [bool; LANES],
}

/// A builder as it comes into a tile.
pub(super) struct TileEntry<'a> {
    pub(super) config: u32,
    pub(super) wald: &'a Wald,
    pub(super) theta: f64,
    /// Rows of its open bar.
    pub(super) ticks: u64,
    pub(super) open_time: i64,
}

impl Tile {
    /// An empty tile.
    pub(super) fn new(flow: usize) -> Self {
        // No |θ| reaches what is not a number: an empty place never closes.
        let nothing = Lanes([f64::NAN; LANES]);
        let walds = Walds {
            mu: Lanes::ZERO,
            m2: Lanes::ZERO,
            c: Lanes::ZERO,
            e: Lanes::ZERO,
            theta: Lanes::ZERO,
            alpha: Lanes::ZERO,
            memory: Lanes::ZERO,
            drift_share: Lanes::ZERO,
            ticks: nothing,
        };
        Self {
            flow,
            walds,
            rounding: [Rounding::Off; LANES],
            configs: [None; LANES],
            opened: [0; LANES],
            open_time: [0; LANES],
            empty: [true; LANES],
        }
    }

    /// Puts a builder into an empty place, before row `rows` of the history; false if there is none.
    pub(super) fn admit(&mut self, entry: &TileEntry<'_>, rows: u64) -> bool {
        let place = self.configs.iter().position(Option::is_none);
        let (Some(at), Some((moments, drift_share, ticks, rounding))) = (place, entry.wald.parts())
        else {
            return false;
        };
        let (alpha, memory) = moments.speeds();
        let walds = &mut self.walds;
        walds.mu.0[at] = moments.mu;
        walds.m2.0[at] = moments.m2;
        walds.c.0[at] = moments.c;
        walds.e.0[at] = moments.e;
        walds.theta.0[at] = entry.theta;
        walds.alpha.0[at] = alpha;
        walds.memory.0[at] = memory;
        walds.drift_share.0[at] = drift_share;
        walds.ticks.0[at] = ticks;
        self.rounding[at] = rounding;
        self.configs[at] = Some(entry.config);
        self.opened[at] = rows - entry.ticks;
        self.open_time[at] = entry.open_time;
        self.empty[at] = entry.ticks == 0;
        true
    }

    /// Takes builders out.
    pub(super) fn dismiss(&mut self, gone: impl Fn(u32) -> bool) {
        for at in 0..LANES {
            if self.configs[at].is_some_and(&gone) {
                self.configs[at] = None;
                self.walds.ticks.0[at] = f64::NAN;
            }
        }
    }

    /// Whether it is empty.
    pub(super) fn is_empty(&self) -> bool {
        self.configs.iter().all(Option::is_none)
    }

    /// Takes a batch whose first row is row `rows` of the history.
    pub(super) fn on_batch(
        &mut self,
        features: Features,
        batch: &TradeBatch,
        flow: &Flow,
        rows: u64,
        closes: &mut Vec<Close>,
    ) {
        if let Some(first) = batch.event_time.first() {
            self.begin(*first);
        }
        let mut row = 0;
        while let Some(at) = run(features, &mut self.walds, &flow.x[row..]) {
            row += at;
            self.decide(batch, flow, row, rows, closes);
            row += 1;
            if let Some(next) = batch.event_time.get(row) {
                self.begin(*next);
            }
        }
    }

    fn begin(&mut self, time: i64) {
        for (empty, open_time) in self.empty.iter_mut().zip(&mut self.open_time) {
            if std::mem::take(empty) {
                *open_time = time;
            }
        }
    }

    /// A row whose flow is in θ: tests exactly, learns, settles what closes.
    fn decide(
        &mut self,
        batch: &TradeBatch,
        flow: &Flow,
        row: usize,
        rows: u64,
        closes: &mut Vec<Close>,
    ) {
        let x = flow.x[row];
        for at in 0..LANES {
            let Walds { mu, m2, c, e, theta, alpha, memory, drift_share, ticks } = &mut self.walds;
            let (mu, m2, c, e) = (&mut mu.0[at], &mut m2.0[at], &mut c.0[at], &mut e.0[at]);
            let (theta, alpha, memory) = (&mut theta.0[at], alpha.0[at], memory.0[at]);
            let ticks = ticks.0[at];
            // The barrier is never below the product, and that is seldom reached.
            let closed = theta.abs() >= mu.abs() * ticks && {
                let variance = long_run_variance(*mu, *m2, *c, drift_share.0[at]);
                reaches(theta.abs(), mu.abs(), variance, ticks)
            };
            *mu += alpha * (x - *mu);
            *m2 += alpha * (x * x - *m2);
            *c += alpha * (x * *e - *c);
            *e = memory * (*e + x);
            let Some(config) = self.configs[at].filter(|_| closed) else { continue };
            *theta = 0.0;
            for value in [mu, m2, c, e] {
                *value = self.rounding[at].apply(*value);
            }
            let done = rows + row as u64 + 1;
            closes.push(Close {
                config,
                ticks: done - self.opened[at],
                open_time: self.open_time[at],
                close_time: batch.event_time[row],
                close: batch.price[row],
                last_trade_id: batch.trade_id[row],
                state_digest: self.digest(at, batch, flow, row),
            });
            self.opened[at] = done;
            self.empty[at] = true;
        }
    }

    /// As the builder's own.
    fn digest(&self, at: usize, batch: &TradeBatch, flow: &Flow, row: usize) -> u64 {
        let mut digest = Digest::of(MACHINE);
        let walds = &self.walds;
        for lanes in [&walds.mu, &walds.m2, &walds.c, &walds.e] {
            digest.f64(lanes.0[at]);
        }
        // Warm-up trades still to come.
        digest.u64(0);
        digest.f64(walds.ticks.0[at]);
        flow.signer_at(batch, row).digest(&mut digest);
        Boundary::NONE.digest(&mut digest);
        digest.finish()
    }
}
