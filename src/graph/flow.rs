//! How input batches get into the dataflow: bounded channels, one inlet per worker.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use barflow_operators::dataflow::Epoch;
use barflow_operators::input_batch::InputBatch;
use crossbeam::channel::{Receiver, SendTimeoutError, Sender, TryRecvError, bounded};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{ProbeHandle, Scope, StreamVec};
use timely::scheduling::SyncActivator;

use super::window::{MOST_ROWS, Window};
use crate::budget::{Budget, Closing};

/// Trades that share an epoch when they wait together. Live input batches are of a few trades each:
/// one epoch for all that are there costs progress tracking once, and the busier, the cheaper.
const EPOCH_ROWS: usize = 8192;

/// How often an idle source advances, so that it holds nothing back.
const IDLE: Duration = Duration::from_millis(2);

/// The same without other processes: each look would wake a worker for nothing.
const IDLE_ALONE: Duration = Duration::from_millis(50);

/// Hands out epochs to all sources of a process, so that an idle source can promise never to use
/// the past. The clocks of several processes keep up with each other (`control`): otherwise a
/// process with little to do would hold the others back indefinitely.
#[derive(Clone, Default)]
pub struct EpochClock {
    next: Arc<AtomicU64>,
    /// Notifies the other processes, if there are any.
    teller: Arc<OnceLock<SyncActivator>>,
}

impl EpochClock {
    fn next(&self) -> Epoch {
        let epoch = self.next.fetch_add(1, Ordering::AcqRel);
        if let Some(teller) = self.teller.get() {
            // Fails only when its worker is gone, and this one with it.
            let _ = teller.activate();
        }
        epoch
    }

    /// The first epoch that is not handed out.
    pub(super) fn now(&self) -> Epoch {
        self.next.load(Ordering::Acquire)
    }

    /// Takes over what another process's clock says.
    pub(super) fn keep_up(&self, epoch: Epoch) {
        self.next.fetch_max(epoch, Ordering::AcqRel);
    }

    /// Has this operator called whenever an epoch is handed out.
    pub(super) fn told_by(&self, teller: SyncActivator) {
        let _ = self.teller.set(teller);
    }
}

/// The feeding end: blocks while the graph is busy. Clones feed the same worker.
#[derive(Clone)]
pub struct Inlet {
    input_batches: Sender<InputBatch>,
    rows: Budget,
    wake: Arc<OnceLock<SyncActivator>>,
}

/// The graph has ended and accepts no more input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the dataflow has ended")]
pub struct Ended;

impl Inlet {
    /// Hands an input batch to the graph, waiting while it is busy.
    ///
    /// # Errors
    /// When the graph has ended.
    pub fn send(&self, input_batch: InputBatch) -> Result<(), Ended> {
        self.rows.enter(input_batch.rows());
        self.input_batches.send(input_batch).map_err(|_| Ended)?;
        self.wake();
        Ok(())
    }

    /// As [`send`](Self::send), but gives the input batch back after `patience` while the graph is
    /// busy.
    ///
    /// # Errors
    /// The input batch when the graph is busy, nothing when it has ended.
    pub fn offer(
        &self,
        input_batch: InputBatch,
        patience: Duration,
    ) -> Result<(), Option<Box<InputBatch>>> {
        let rows = input_batch.rows();
        if !self.rows.enter_within(rows, patience) {
            return Err(Some(Box::new(input_batch)));
        }
        match self.input_batches.send_timeout(input_batch, patience) {
            Ok(()) => {
                self.wake();
                Ok(())
            }
            Err(SendTimeoutError::Timeout(input_batch)) => {
                self.rows.leave(rows);
                Err(Some(Box::new(input_batch)))
            }
            Err(SendTimeoutError::Disconnected(_)) => Err(None),
        }
    }

    /// Whether nothing waits: what is handed over now is worked on at once.
    pub fn is_idle(&self) -> bool {
        self.input_batches.is_empty()
    }

    fn wake(&self) {
        if let Some(activator) = self.wake.get() {
            // Fails only when the worker is gone, and then the next send says so.
            let _ = activator.activate();
        }
    }
}

/// The graph's end of an [`Inlet`].
pub struct InputQueue {
    input_batches: Receiver<InputBatch>,
    rows: Budget,
    /// Feeders that wait learn that the graph has ended.
    _closing: Closing,
    wake: Arc<OnceLock<SyncActivator>>,
}

impl InputQueue {
    fn take(&self) -> Result<InputBatch, TryRecvError> {
        let input_batch = self.input_batches.try_recv()?;
        self.rows.leave(input_batch.rows());
        Ok(input_batch)
    }
}

/// A way into the graph with room for `queue` input batches. Dropping all inlets ends the source.
pub fn inlet(queue: usize) -> (Inlet, InputQueue) {
    let (sender, receiver) = bounded(queue);
    let (wake, rows) = (Arc::new(OnceLock::new()), Budget::new(MOST_ROWS));
    let closing = rows.until_dropped();
    (
        Inlet { input_batches: sender, rows: rows.clone(), wake: Arc::clone(&wake) },
        InputQueue { input_batches: receiver, rows, _closing: closing, wake },
    )
}

impl Drop for Inlet {
    fn drop(&mut self) {
        // The channel closes as our sender goes, just after this; the source looks again soon
        // enough because it is woken now and then every [`IDLE`].
        self.wake();
    }
}

/// Epochs that a source has given and that have not passed the exit.
struct Ahead {
    epochs: VecDeque<Epoch>,
    window: Window,
    handed_over: ProbeHandle<Epoch>,
    /// Bars that have passed the exit since the last look.
    made: Rc<Cell<usize>>,
}

impl Ahead {
    fn new(handed_over: ProbeHandle<Epoch>, made: Rc<Cell<usize>>) -> Self {
        Self { epochs: VecDeque::new(), window: Window::default(), handed_over, made }
    }

    fn look(&mut self) {
        let before = self.epochs.len();
        while self.epochs.front().is_some_and(|epoch| !self.handed_over.less_equal(epoch)) {
            self.epochs.pop_front();
        }
        if self.epochs.len() < before {
            self.window.note(before - self.epochs.len(), self.made.take());
        }
    }

    fn is_full(&self) -> bool {
        self.epochs.len() >= self.window.epochs()
    }
}

/// The source operator: one epoch for what waits together, as many as the window allows. `made` counts the bars that
/// have passed the exit of this worker.
pub fn source<'scope>(
    scope: Scope<'scope, Epoch>,
    from: InputQueue,
    clock: EpochClock,
    handed_over: ProbeHandle<Epoch>,
    made: Rc<Cell<usize>>,
) -> StreamVec<'scope, Epoch, InputBatch> {
    let mut builder = OperatorBuilder::new("Source".to_owned(), scope);
    let info = builder.operator_info();
    let (output, stream) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<InputBatch>>>::from(output);
    let idle = if scope.peers() > 1 { IDLE } else { IDLE_ALONE };
    let activator = scope.activator_for(Rc::clone(&info.address));
    let _ = from.wake.set(scope.worker().sync_activator_for(info.address.to_vec()));

    builder.build(move |mut capabilities| {
        let mut capability = capabilities.pop();
        let mut ahead = Ahead::new(handed_over, made);
        let mut next_look = Instant::now();
        move |_frontiers| {
            let Some(held) = capability.as_mut() else { return };
            let mut output = output.activate();
            ahead.look();
            loop {
                if ahead.is_full() {
                    activator.activate();
                    return;
                }
                match from.take() {
                    Ok(input_batch) => {
                        let epoch = clock.next();
                        held.downgrade(&epoch);
                        let mut rows = input_batch.rows();
                        let mut session = output.session(&*held);
                        session.give(input_batch);
                        while rows < EPOCH_ROWS
                            && let Ok(input_batch) = from.take()
                        {
                            rows += input_batch.rows().max(1);
                            session.give(input_batch);
                        }
                        drop(session);
                        ahead.epochs.push_back(epoch);
                        // Right away: the next input batch is another epoch, and nothing at or
                        // below this one will come, so its bars need not wait.
                        held.downgrade(&(epoch + 1));
                    }
                    Err(TryRecvError::Empty) => {
                        let now = clock.now();
                        if *held.time() < now {
                            held.downgrade(&now);
                        }
                        // One timer at a time: each activation would otherwise leave one behind.
                        if Instant::now() >= next_look {
                            next_look = Instant::now() + idle;
                            activator.activate_after(idle);
                        }
                        return;
                    }
                    Err(TryRecvError::Disconnected) => {
                        capability = None;
                        return;
                    }
                }
            }
        }
    });
    stream
}

#[cfg(test)]
mod tests {
    use barflow_operators::batch::{Feed, TradeBatch};
    use barflow_operators::position::{FilePosition, Position};
    use barflow_operators::trade::{Aggressor, Trade};

    use super::*;

    fn batch(rows: u64) -> InputBatch {
        let feed = Arc::new(Feed::numbered("a:b:C".parse().unwrap()));
        let trade = |trade_id| Trade {
            trade_id,
            event_time: 1,
            price: 1.0,
            qty: 1.0,
            quote: 1.0,
            aggressor: Aggressor::Buyer,
            count: 1,
        };
        let trades: Vec<Trade> = (1..=rows).map(trade).collect();
        let position = Position::File(FilePosition::start("a.csv".into()));
        InputBatch::new(
            TradeBatch::from_trades(feed, &trades),
            Vec::new(),
            position.clone(),
            position,
        )
    }

    /// A venue may put tens of thousands of trades into a frame, and thousands of batches may wait.
    #[test]
    fn what_waits_before_a_worker_is_bounded_by_its_trades() {
        let most = MOST_ROWS as u64;
        let (inlet, queue) = inlet(4096);
        inlet.send(batch(2 * most)).unwrap();
        let refused = inlet.offer(batch(1), Duration::ZERO).unwrap_err();
        assert_eq!(refused.map(|batch| batch.rows()), Some(1));
        assert_eq!(queue.take().unwrap().rows() as u64, 2 * most);
        inlet.offer(batch(most - 1), Duration::ZERO).unwrap();
        inlet.offer(batch(1), Duration::ZERO).unwrap();
        assert!(inlet.offer(batch(1), Duration::ZERO).unwrap_err().is_some());
        // The graph ends: nobody waits, and what comes is refused.
        drop(queue);
        assert!(inlet.offer(batch(1), Duration::from_secs(60)).unwrap_err().is_none());
        inlet.send(batch(most)).unwrap_err();
    }
}
