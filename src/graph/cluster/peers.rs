//! What all threads of a process know about its connections to the others.

use std::fmt;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

use timely::worker::Worker;

use super::ClusterError;
use crate::stop::Stop;

/// Shared by workers and by the threads that carry messages.
#[derive(Clone)]
pub struct Peers(Arc<Shared>);

struct Shared {
    hosts: Vec<String>,
    stop: Stop,
    /// The dataflow cannot come to its end any more.
    broken: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    workers: Vec<Thread>,
    sockets: Vec<TcpStream>,
    /// Connections that may still bring something.
    open: usize,
    /// This process's workers have ended.
    closing: bool,
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("hosts", &self.0.hosts).finish_non_exhaustive()
    }
}

impl Peers {
    /// No connection yet.
    pub(super) fn new(hosts: Vec<String>, stop: Stop) -> Self {
        Self(Arc::new(Shared {
            hosts,
            stop,
            broken: AtomicBool::new(false),
            state: Mutex::default(),
            changed: Condvar::new(),
        }))
    }

    /// Keeps a hand on the sockets, to close them when something goes wrong.
    pub(super) fn watch(&self, sockets: Vec<TcpStream>) {
        let mut state = self.state();
        state.open = sockets.len();
        state.sockets = sockets;
    }

    /// Works until the dataflow is complete, or cannot be any more: then it is dropped, with
    /// whatever had not been handed over.
    pub(in crate::graph) fn work(&self, worker: &mut Worker) {
        self.state().workers.push(thread::current());
        let _alarm = Alarm(self);
        while worker.has_dataflows() && !self.is_broken() {
            worker.step_or_park(None);
        }
        for dataflow in worker.installed_dataflows() {
            worker.drop_dataflow(dataflow);
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.0.broken.load(Ordering::Acquire)
    }

    /// A process was lost: all are notified, workers end.
    pub(super) fn lose(&self, process: usize, why: &str) {
        // Once something is wrong the other connections end as well; that is expected.
        if self.0.broken.swap(true, Ordering::AcqRel) {
            return;
        }
        let address = self.0.hosts.get(process).cloned().unwrap_or_default();
        self.0.stop.fail(ClusterError::Gone { process, address, why: why.to_owned() });
        self.wake();
    }

    /// A connection brings nothing any more.
    pub(super) fn ended(&self) {
        let mut state = self.state();
        state.open = state.open.saturating_sub(1);
        drop(state);
        self.0.changed.notify_all();
    }

    /// Waits until no worker of this process works.
    pub(super) fn wait_for_workers(&self) {
        let state = self.state();
        let wait = self.0.changed.wait_while(state, |state| !state.closing);
        drop(wait.unwrap_or_else(PoisonError::into_inner));
    }

    /// The workers have ended. Waits until the other processes have too; false if they have not
    /// ended in good order.
    pub(super) fn close(&self) -> bool {
        let mut state = self.state();
        state.closing = true;
        self.0.changed.notify_all();
        let open = |state: &mut State| state.open > 0 && !self.is_broken();
        state = self.0.changed.wait_while(state, open).unwrap_or_else(PoisonError::into_inner);
        if !self.is_broken() {
            return true;
        }
        for socket in &state.sockets {
            // A socket that is closed already needs no closing.
            let _ = socket.shutdown(Shutdown::Both);
        }
        false
    }

    fn wake(&self) {
        for worker in &self.state().workers {
            worker.unpark();
        }
        self.0.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The other workers cannot end without one that panics.
struct Alarm<'a>(&'a Peers);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.0.broken.store(true, Ordering::Release);
            self.0.wake();
        }
    }
}
