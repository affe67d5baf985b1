//! A worker: takes the next chunk, decodes it, builds ahead.

use std::sync::{Arc, Mutex, PoisonError};

use barflow_operators::order::RejectPolicy;
use barflow_operators::parallel::{ChunkBatch, ChunkEnd, SpeculativeChunk, SpeculativeOptions};
use barflow_operators::spec::BarSpec;
use barflow_replay::chunks::{Chunk, Chunks};
use barflow_replay::error::ReplayError;
use barflow_replay::read_options::ReadOptions;
use crossbeam::channel::{Receiver, Sender, unbounded};

use super::beliefs::Beliefs;
use super::budget::Budget;
use crate::stop::Stop;

/// What all workers of an instrument share.
pub struct Shared<'a> {
    /// Chunks not taken yet. A thread that takes a chunk holds it until the joiner knows of it,
    /// so that the joiner learns of chunks in order.
    pub chunks: Mutex<Chunks>,
    pub beliefs: Mutex<Beliefs>,
    pub read: &'a ReadOptions,
    pub policy: RejectPolicy,
    pub reorder_window: usize,
    pub stop: &'a Stop,
}

/// A chunk that a worker has taken.
pub struct Underway {
    pub chunk: Chunk,
    /// What is built ahead.
    pub wanted: Vec<(BarSpec, bool)>,
    pub messages: Receiver<Message>,
    pub budget: Arc<Budget>,
}

/// What a worker says of its chunk, in order.
pub enum Message {
    ChunkBatch(Box<ChunkBatch>),
    /// The end of the chunk, and how many rows without ids were numbered.
    End(ChunkEnd, u64),
    /// Nothing can be read from here on.
    Failed(ReplayError),
}

impl Shared<'_> {
    fn next(
        &self,
        to: &Sender<Underway>,
    ) -> Option<(Chunk, SpeculativeOptions, Sender<Message>, Arc<Budget>)> {
        let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        if self.stop.is_raised() {
            return None;
        }
        let beliefs = || self.beliefs.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = beliefs().chunk_rows();
        let chunk = chunks.next_chunk(rows)?;
        let (wanted, keep) = {
            let beliefs = beliefs();
            let wanted = beliefs.wanted(chunk.rows());
            let keep = beliefs.keep(&wanted);
            (wanted, keep)
        };
        let (send, messages) = unbounded();
        let budget = Arc::new(Budget::default());
        let options = SpeculativeOptions {
            specs: wanted.clone(),
            keep,
            policy: self.policy,
            reorder_window: self.reorder_window,
            pool: self.read.pool.clone(),
        };
        let underway =
            Underway { chunk: chunk.clone(), wanted, messages, budget: Arc::clone(&budget) };
        to.send(underway).ok()?;
        Some((chunk, options, send, budget))
    }

    /// Works until there are no chunks left, or no receiver.
    pub fn work(&self, to: &Sender<Underway>) {
        while let Some((chunk, options, send, budget)) = self.next(to) {
            match self.work_on(&chunk, options, &send, &budget) {
                Ok(Some((chunk_end, numbered))) => {
                    // Nobody listens any more when the run has ended.
                    let _ = send.send(Message::End(chunk_end, numbered));
                }
                Ok(None) => return,
                Err(error) => {
                    let _ = send.send(Message::Failed(error));
                    return;
                }
            }
        }
    }

    fn work_on(
        &self,
        chunk: &Chunk,
        options: SpeculativeOptions,
        send: &Sender<Message>,
        budget: &Budget,
    ) -> Result<Option<(ChunkEnd, u64)>, ReplayError> {
        let mut ahead = SpeculativeChunk::new(options);
        let mut reader = chunk.open(self.read)?;
        while let Some(input_batch) = reader.next_batch()? {
            let batch = ahead.on_batch(input_batch);
            let room = budget.take(batch.bytes(), self.stop);
            if !room
                || self.stop.is_raised()
                || send.send(Message::ChunkBatch(Box::new(batch))).is_err()
            {
                return Ok(None);
            }
        }
        Ok(Some((ahead.finish(), reader.numbered())))
    }
}
