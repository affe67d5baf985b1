//! What a job stores to resume: the position and state of its instruments, its settings, and its
//! current writer.
//!
//! ```text
//! keys of a job        value (each in barflow_operators::checkpoint::envelope)
//! JOB/INSTRUMENT/STEP  an instrument's state, or the trades since
//! JOB/@shard/K         who writes shard K, and how many transactions it has committed
//! JOB/@settings        what decides which bars come out
//! ```
//!
//! The same keys and values are in a compacted Kafka topic or in a local file. State belongs to
//! an instrument, not to a worker: any number of processes and workers can resume with it.

pub mod job;
pub mod saved;
pub mod settings;
