//! Validated trades kept as Parquet, one file per instrument, on a thread of their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use barflow_operators::dataflow::validate::OrderedBatch;
use barflow_operators::instrument::InstrumentId;
use barflow_operators::pool::BatchPool;
use barflow_replay::error::ReplayError;
use barflow_replay::trades_parquet::write::{TradeWriter, Unpublished, WriteOptions};
use crossbeam::channel::{Receiver, Sender, bounded};

use super::atomic_file::remove_replaced;
use super::folder_lock::FolderLock;
use crate::stop::Stop;

/// Batches that may wait for the disk.
const QUEUE: usize = 8;

/// The thread that writes.
pub struct TradeFiles {
    writing: JoinHandle<Result<Vec<PathBuf>, ReplayError>>,
    /// Held until everything is written.
    lock: Option<FolderLock>,
}

impl TradeFiles {
    /// Starts a thread that writes every batch it is sent into `folder`. `with_quote` says for
    /// which instruments the quote value is a column of its own, `earlier` which files of an earlier run
    /// go.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        folder: &Path,
        with_quote: BTreeMap<InstrumentId, bool>,
        pool: BatchPool,
        earlier: Vec<PathBuf>,
        stop: Stop,
    ) -> std::io::Result<(Sender<OrderedBatch>, Self)> {
        let (send, receive) = bounded(QUEUE);
        let folder = folder.to_owned();
        let writing = thread::Builder::new().name("trades".to_owned()).spawn(move || {
            let result = write(&folder, &with_quote, &pool, receive, &earlier, &stop);
            if result.is_err() {
                stop.raise();
            }
            result
        })?;
        Ok((send, Self { writing, lock: None }))
    }

    /// Nobody else writes into the folder meanwhile.
    pub fn holding(self, lock: FolderLock) -> Self {
        Self { lock: Some(lock), ..self }
    }

    /// Waits until everything is written; returns the files.
    ///
    /// # Errors
    /// When the disk refused.
    pub fn finish(self) -> Result<Vec<PathBuf>, ReplayError> {
        let written = self.writing.join();
        drop(self.lock);
        written.unwrap_or_else(|_| {
            let error = std::io::Error::other("the writing thread panicked");
            Err(ReplayError::io("write", Path::new("trades"), error))
        })
    }
}

fn write(
    folder: &Path,
    with_quote: &BTreeMap<InstrumentId, bool>,
    pool: &BatchPool,
    batches: Receiver<OrderedBatch>,
    earlier: &[PathBuf],
    stop: &Stop,
) -> Result<Vec<PathBuf>, ReplayError> {
    let mut writers: BTreeMap<InstrumentId, TradeWriter> = BTreeMap::new();
    for OrderedBatch { trades, .. } in batches {
        let feed = &trades.feed;
        if !writers.contains_key(&feed.instrument) {
            let id = &feed.instrument;
            let with_quote = with_quote.get(id).copied().unwrap_or(false);
            let options = WriteOptions { with_quote, ..WriteOptions::default() };
            let writer = TradeWriter::create(&folder.join(file_name(id)), feed, options)?;
            writers.insert(id.clone(), writer);
        }
        if let Some(writer) = writers.get_mut(&feed.instrument) {
            writer.write(&trades)?;
        }
        pool.give_back(Arc::clone(&trades));
        drop(trades);
    }
    // All are complete before the first gets its name.
    let complete: Result<Vec<Unpublished>, _> =
        writers.into_values().map(TradeWriter::close).collect();
    let complete = complete?;
    // A run that failed has a part of the trades, which must not pass for all of them.
    if stop.has_failed() {
        return Ok(Vec::new());
    }
    remove_replaced(earlier, complete.iter().map(Unpublished::path))
        .map_err(|(path, e)| ReplayError::io("replace", &path, e))?;
    complete.into_iter().map(Unpublished::publish).collect()
}

/// Name of the file of an instrument's trades.
pub fn file_name(id: &InstrumentId) -> String {
    format!("{}-{}-{}.trades.parquet", id.venue(), id.market(), id.symbol())
}
