//! Sinks: encoding, delivery, reports. [`graph::sink`](crate::graph::sink) defines the trait.

pub mod atomic_file;
pub mod encode;
pub mod gaps;
pub mod journal;
pub mod json_lines;
pub mod jsonl;
pub mod kafka;
pub mod local_checkpoint;
pub mod none;
pub mod parquet;
pub mod record;
pub mod rejects;
pub mod trades;
