//! Signed flows of a batch, each formed once for all configurations that use it.

use serde::{Deserialize, Serialize};

use crate::batch::TradeBatch;
use crate::measure::Measure;
use crate::sign::{SignRule, Signer};

/// One sign rule and measure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Flow {
    pub(super) rule: SignRule,
    pub(super) measure: Measure,
    /// As the last row left it.
    pub(super) signer: Signer,
    /// b of each row.
    #[serde(skip)]
    pub(super) signs: Vec<i8>,
    /// x = b·v of each row.
    #[serde(skip)]
    pub(super) x: Vec<f64>,
}

impl Flow {
    pub(super) fn new(rule: SignRule, measure: Measure) -> Self {
        let signer = Signer::new(rule);
        Self { rule, measure, signer, signs: Vec::new(), x: Vec::new() }
    }

    pub(super) fn take(&mut self, batch: &TradeBatch) {
        self.signs.clear();
        self.x.clear();
        let has_aggressor = batch.feed.has_aggressor;
        for row in 0..batch.len() {
            let sign = self.signer.sign(batch.price[row], batch.aggressor[row], has_aggressor);
            self.signs.push(sign);
            self.x.push(f64::from(sign) * self.measure.of(batch.qty[row], batch.quote[row]));
        }
    }

    /// The signer as this row left it.
    pub(super) fn signer_at(&self, batch: &TradeBatch, row: usize) -> Signer {
        self.signer.back_at(self.signs[row], batch.price[row], batch.feed.has_aggressor)
    }
}
