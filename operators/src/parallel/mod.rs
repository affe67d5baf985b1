//! Joins chunks of one history, built by several threads, into the bars of the sequential run.
//!
//! ```text
//! chunk k     ─► SpeculativeChunk: order, builders ─► batches ─┐
//! chunk k + 1 ─► SpeculativeChunk: …               ─► batches ─┼─► ChunkJoiner ─► bars in order
//! ```
//!
//! A chunk's builders begin with nothing at its first trade. The [`ChunkJoiner`] holds the true
//! builders, those of the sequential run, and takes the chunks one after the other: it continues
//! with the true builders into the next chunk until one of them closes a bar on the same trade and
//! with the same `state_digest` as the chunk's own. From there on both would make the same bars, so
//! the rest of the chunk's bars are taken as they are, renumbered. A builder that never falls into
//! step continues through the whole chunk: the result is that of the sequential run in any case.
//!
//! Order is judged the same way: a chunk's own [`Sequencer`](crate::sequence::Sequencer) begins with
//! nothing, and its verdicts count from where it stands as the true one does.
//!
//! What the true builders need of a chunk's trades, its head, is kept; the rest may be let go. If
//! more turns out to be needed, the chunk is read again ([`ReadAgain`]).
//!
//! **Invariant:** bars, their order and numbers, gaps, rejects and counts are those of one pass over
//! the whole history, whatever the chunks, the kept heads and the specifications.

mod chunk_batch;
mod joiner;
mod speculative_chunk;

pub use chunk_batch::{ChunkBatch, ChunkEnd};
pub use joiner::{ChunkJoiner, JoinedBatch, JoinerOptions, ReadAgain, Recomputed};
pub use speculative_chunk::{SpeculativeChunk, SpeculativeOptions};
