//! Batches to be used again, so that steady state allocates nothing.

use std::sync::{Arc, Mutex, PoisonError};

use crate::batch::{Feed, TradeBatch};

/// A bounded stock of empty batches, shared by whoever fills and whoever empties them.
#[derive(Clone, Debug)]
pub struct BatchPool {
    stock: Arc<Mutex<Vec<TradeBatch>>>,
    rows: usize,
    limit: usize,
}

impl BatchPool {
    /// Batches of `rows` rows, at most `limit` kept.
    pub fn new(rows: usize, limit: usize) -> Self {
        Self { stock: Arc::new(Mutex::new(Vec::with_capacity(limit))), rows, limit }
    }

    /// Rows a batch has room for.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// An empty batch for this feed.
    pub fn take(&self, feed: &Arc<Feed>) -> TradeBatch {
        // A poisoned lock only means that another thread panicked between two of our calls; the
        // stock itself is always whole.
        let spare = self.stock.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match spare {
            Some(mut batch) => {
                batch.reset(Arc::clone(feed));
                batch
            }
            None => TradeBatch::with_capacity(Arc::clone(feed), self.rows),
        }
    }

    /// Takes a batch back if nobody else holds it.
    pub fn give_back(&self, batch: Arc<TradeBatch>) {
        if let Ok(batch) = Arc::try_unwrap(batch) {
            let mut stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
            if stock.len() < self.limit && batch.trade_id.capacity() <= self.rows.max(1) * 2 {
                stock.push(batch);
            }
        }
    }
}
