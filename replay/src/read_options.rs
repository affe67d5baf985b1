//! How a history is read: batches, range of time, where it resumes.

use std::sync::Arc;

use barflow_operators::order::ids::Settled;
use barflow_operators::pool::BatchPool;
use barflow_operators::position::FilePosition;

use crate::progress::Progress;

/// How a history is read.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// Trades per input batch.
    pub batch_rows: usize,
    /// Where batches come from.
    pub pool: BatchPool,
    /// Verify each file before anything of it is used.
    pub verify: bool,
    /// First event time wanted, ns.
    pub from: Option<i64>,
    /// First event time no longer wanted, ns.
    pub to: Option<i64>,
    /// Whether a later run may want what comes after `to`.
    pub to_may_move: bool,
    /// Continue from here.
    pub resume: Option<FilePosition>,
    /// Event time of the last trade that was applied before that, ns, where it is known.
    pub resume_time: Option<i64>,
    /// The ids that were settled before that.
    pub settled: Option<Arc<Settled>>,
    /// Take rows without ids in any order of time.
    pub any_order: bool,
    /// Read on after a damaged file; [`into_files`](crate::stream::InstrumentStream::into_files) says which were.
    pub past_damage: bool,
    /// How far reading has got.
    pub progress: Progress,
}

impl ReadOptions {
    /// Everything, verified, in batches of `batch_rows`.
    pub fn new(batch_rows: usize) -> Self {
        Self {
            batch_rows,
            pool: BatchPool::new(batch_rows, 64),
            verify: true,
            from: None,
            to: None,
            to_may_move: false,
            resume: None,
            resume_time: None,
            settled: None,
            any_order: false,
            past_damage: false,
            progress: Progress::default(),
        }
    }
}
