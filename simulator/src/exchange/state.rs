//! What a server, its connections and the player share.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};

use super::faults::FaultInjector;
use super::protocol::{Client, Exchange};
use super::tape::Tape;
use super::{SimulatorOptions, Tally};

/// Messages that may wait for one client; then the tape waits.
pub(super) const QUEUE: usize = 1024;

/// What a connection's task is to do next.
#[derive(Debug)]
pub(super) enum Out {
    Text(String),
    Binary(Vec<u8>),
    Stall(Duration),
    /// Gone without a word.
    Cut,
    /// Closed in good order.
    Close,
}

/// One connection, as the player sees it.
pub(super) struct Connection {
    pub(super) client: Mutex<Client>,
    pub(super) injector: Mutex<FaultInjector>,
    pub(super) queue: mpsc::Sender<Out>,
    pub(super) gone: AtomicBool,
    /// Since when it has not kept up with a tape that has a clock.
    pub(super) behind: Mutex<Option<Instant>>,
    /// Whether it is this server that sends nothing for now.
    pub(super) stalls: AtomicBool,
    /// Notified when it is to end because it reads too slowly.
    pub(super) too_slow: Notify,
}

/// What everything here shares.
pub(super) struct ServerState {
    pub(super) exchange: Arc<dyn Exchange>,
    pub(super) tape: Tape,
    pub(super) options: SimulatorOptions,
    pub(super) tally: Arc<Tally>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) began: Instant,
    /// Notified when a client subscribes or goes.
    pub(super) changed: Notify,
    pub(super) connections: Mutex<Vec<Arc<Connection>>>,
    pub(super) rng: Mutex<fastrand::Rng>,
    pub(super) numbers: AtomicU64,
}

/// A lock that no panic can poison for good: nothing here is left half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ServerState {
    pub(super) fn connections(&self) -> Vec<Arc<Connection>> {
        lock(&self.connections).clone()
    }

    pub(super) fn chance(&self, chance: f64) -> bool {
        chance > 0.0 && lock(&self.rng).f64() < chance
    }
}
