//! Reuses batches, so that the steady state does not allocate.

use std::sync::{Arc, Mutex, PoisonError};

use crate::batch::{Feed, TradeBatch};

/// A bounded stock of things to be used again, shared by those who take and those who give back.
#[derive(Debug)]
pub struct Pool<T> {
    stock: Arc<Mutex<Vec<T>>>,
    limit: usize,
}

impl<T> Clone for Pool<T> {
    fn clone(&self) -> Self {
        Self { stock: Arc::clone(&self.stock), limit: self.limit }
    }
}

impl<T> Pool<T> {
    /// At most `limit` are kept.
    pub fn new(limit: usize) -> Self {
        Self { stock: Arc::new(Mutex::new(Vec::with_capacity(limit))), limit }
    }

    /// One from the stock; none if it is empty.
    pub fn take(&self) -> Option<T> {
        // A poisoned lock only means that another thread panicked between two of our calls; the
        // stock itself is always whole.
        self.stock.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Keeps one for later, or drops it if the stock is full.
    pub fn give_back(&self, item: T) {
        let mut stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
        if stock.len() < self.limit {
            stock.push(item);
        }
    }
}

/// Empty batches, shared by producers and consumers.
#[derive(Clone, Debug)]
pub struct BatchPool {
    pool: Pool<TradeBatch>,
    rows: usize,
}

impl BatchPool {
    /// Batches of `rows` rows, at most `limit` kept.
    pub fn new(rows: usize, limit: usize) -> Self {
        Self { pool: Pool::new(limit), rows }
    }

    /// Rows a batch has room for.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// An empty batch for this feed.
    pub fn take(&self, feed: &Arc<Feed>) -> TradeBatch {
        match self.pool.take() {
            Some(mut batch) => {
                batch.reset(Arc::clone(feed));
                batch
            }
            None => TradeBatch::with_capacity(Arc::clone(feed), self.rows),
        }
    }

    /// Takes a batch back if it is not shared.
    pub fn give_back(&self, batch: Arc<TradeBatch>) {
        if let Ok(batch) = Arc::try_unwrap(batch)
            && batch.trade_id.capacity() <= self.rows.max(1) * 2
        {
            self.pool.give_back(batch);
        }
    }
}
