//! A hash of trades, column by column: equal trades, equal hash, however they were cut into batches.

use barflow_operators::batch::TradeBatch;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Takes batches in order.
#[derive(Clone, Default)]
pub struct ColumnDigest {
    columns: [Xxh3; 7],
    buffer: Vec<u8>,
}

impl ColumnDigest {
    /// Takes a batch.
    pub fn add(&mut self, batch: &TradeBatch) {
        let [id, time, price, qty, side, count, quote] = &mut self.columns;
        let buffer = &mut self.buffer;
        let mut feed = |into: &mut Xxh3, bytes: &mut dyn Iterator<Item = [u8; 8]>| {
            buffer.clear();
            bytes.for_each(|bytes| buffer.extend_from_slice(&bytes));
            into.update(buffer);
        };
        feed(id, &mut batch.trade_id.iter().map(|id| id.to_le_bytes()));
        feed(time, &mut batch.event_time.iter().map(|time| time.to_le_bytes()));
        feed(price, &mut batch.price.iter().map(|price| price.to_le_bytes()));
        feed(qty, &mut batch.qty.iter().map(|qty| qty.to_le_bytes()));
        feed(quote, &mut batch.quote.iter().map(|quote| quote.to_le_bytes()));
        buffer.clear();
        buffer.extend(batch.aggressor.iter().map(|side| side.sign() as u8));
        side.update(buffer);
        buffer.clear();
        if batch.count.is_empty() {
            buffer.extend(std::iter::repeat_n(1u32.to_le_bytes(), batch.len()).flatten());
        } else {
            buffer.extend(batch.count.iter().flat_map(|count| count.to_le_bytes()));
        }
        count.update(buffer);
    }

    /// The hash of everything taken.
    pub fn value(&self) -> u64 {
        let columns = self.columns.iter().flat_map(|column| column.digest().to_le_bytes());
        xxh3_64(&columns.collect::<Vec<u8>>())
    }
}
