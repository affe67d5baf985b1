//! Any configurations side by side.

use serde::{Deserialize, Serialize};

use super::close::Close;
use super::flows::Flow;
use super::kernel::Features;
use super::tile::{Tile, TileEntry};
use crate::bar::Bar;
use crate::bars::machine::BarMachine;
use crate::batch::TradeBatch;
use crate::spec::BarSpec;

/// A builder by itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Single {
    config: u32,
    machine: BarMachine,
}

/// Builders of one instrument by many configurations.
///
/// # Contract
/// Each closes the bars that its own [`BarMachine`] would, with the same digests, whatever the
/// batching and the instruction set. Closes of one configuration come in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BuilderBatch {
    /// Of this computer, whichever it was before.
    #[serde(skip)]
    features: Features,
    flows: Vec<Flow>,
    tiles: Vec<Tile>,
    singles: Vec<Single>,
    #[serde(skip)]
    bars: Vec<Bar>,
    /// Rows taken.
    rows: u64,
}

impl BuilderBatch {
    /// Nobody yet.
    pub fn new(features: Features) -> Self {
        Self {
            features,
            flows: Vec::new(),
            tiles: Vec::new(),
            singles: Vec::new(),
            bars: Vec::new(),
            rows: 0,
        }
    }

    /// A builder that begins with the next trade.
    pub fn add(&mut self, config: u32, spec: &BarSpec) {
        let machine = BarMachine::new(spec);
        if let BarMachine::Wald(builder) = &machine {
            let (signer, measure, _) = builder.frame();
            let rule = signer.rule();
            if !self.flows.iter().any(|flow| flow.rule == rule && flow.measure == measure) {
                self.flows.push(Flow::new(rule, measure));
            }
        }
        self.singles.push(Single { config, machine });
    }

    /// Builders that are not needed any more.
    pub fn dismiss(&mut self, gone: impl Fn(u32) -> bool) {
        self.singles.retain(|single| !gone(single.config));
        self.tiles.iter_mut().for_each(|tile| tile.dismiss(&gone));
        self.tiles.retain(|tile| !tile.is_empty());
    }

    /// Takes a batch; appends what closes.
    pub fn on_batch(&mut self, batch: &TradeBatch, closes: &mut Vec<Close>) {
        self.gather();
        for flow in &mut self.flows {
            flow.take(batch);
        }
        for tile in &mut self.tiles {
            tile.on_batch(self.features, batch, &self.flows[tile.flow], self.rows, closes);
        }
        for single in &mut self.singles {
            single.machine.on_batch(batch, &mut self.bars);
            closes.extend(self.bars.drain(..).map(|bar| Close::of(single.config, &bar)));
        }
        self.rows += batch.len() as u64;
    }

    /// Moves builders that can be in a tile into one.
    fn gather(&mut self) {
        let (rows, tiles, flows) = (self.rows, &mut self.tiles, &self.flows);
        self.singles.retain(|single| {
            let BarMachine::Wald(builder) = &single.machine else { return true };
            let (signer, measure, only_the_rule) = builder.frame();
            // One that began in the middle may still have another sign in mind.
            let flow =
                (flows.iter()).position(|flow| flow.measure == measure && flow.signer == *signer);
            let Some(flow) = flow.filter(|_| only_the_rule && !builder.is_warming()) else {
                return true;
            };
            if builder.rule().parts().is_none() {
                return true;
            }
            let open = builder.open();
            let entry = TileEntry {
                config: single.config,
                wald: builder.rule(),
                theta: if open.ticks == 0 { 0.0 } else { open.theta },
                ticks: open.ticks,
                open_time: open.open_time,
            };
            let is_in =
                tiles.iter_mut().rev().any(|tile| tile.flow == flow && tile.admit(&entry, rows));
            if !is_in {
                let mut tile = Tile::new(flow);
                tile.admit(&entry, rows);
                tiles.push(tile);
            }
            false
        });
    }
}
