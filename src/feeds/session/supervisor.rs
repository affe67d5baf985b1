//! Keeps one connection of a shard up for as long as the feed runs.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::Session;
use super::connection::{self, End, Handles};
use crate::backoff::Backoff;

/// Bounds of the waits between attempts.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A connection that lived this long, or brought so many frames, was a success: the next failure
/// starts with short waits.
const HEALTHY: Duration = Duration::from_secs(10);
const HEALTHY_FRAMES: u64 = 1000;

/// How long a successor may take before the old connection is left alone for another while.
const SUCCEEDING: Duration = Duration::from_secs(30);

/// How long the old connection is still heard when its successor is up: what is under way on it
/// arrives. What both bring is taken once.
const OVERLAP: Duration = Duration::from_secs(2);

/// Why a feed cannot continue; each with what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("feed \"{feed}\": {what}")]
pub struct Fault {
    /// Which feed.
    pub feed: String,
    /// What happened.
    pub what: String,
    /// What to do about it.
    pub hint: &'static str,
    /// Whether the configuration is to blame rather than the outside world.
    pub configured: bool,
}

/// One of the connections of a shard.
pub(super) struct ConnectionSupervisor {
    session: Rc<Session>,
    shard: usize,
    number: usize,
    slots: Rc<[u32]>,
    backoff: Backoff,
    began: Instant,
    ever_up: bool,
}

/// A running connection.
struct Working {
    task: JoinHandle<End>,
    retire: watch::Sender<bool>,
    up: Option<oneshot::Receiver<()>>,
    since: Option<Instant>,
    /// Frames that it brought.
    heard: Rc<Cell<u64>>,
}

impl ConnectionSupervisor {
    pub(super) fn new(session: Rc<Session>, shard: usize, number: usize, slots: Rc<[u32]>) -> Self {
        let backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        Self { session, shard, number, slots, backoff, began: Instant::now(), ever_up: false }
    }

    /// Connects again and again until the session ends.
    pub(super) async fn run(mut self) {
        let mut ending = self.session.ending.subscribe();
        loop {
            let end = self.live(self.connect()).await;
            if *ending.borrow() || matches!(end, End::Closed) {
                return;
            }
            self.note_end(&end);
            if let Some(fault) = self.fault(&end) {
                self.session.fault.borrow_mut().get_or_insert(fault);
                return;
            }
            let mut wait = self.backoff.after_failure(fastrand::f64());
            if let End::Http { retry_after: Some(asked), .. } = end {
                wait = wait.max(asked);
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = ending.wait_for(|ending| *ending) => return,
            }
        }
    }

    /// One connection and, when it grows old, its successors. Returns when there is none left.
    async fn live(&mut self, mut current: Working) -> End {
        // Spread out, so that the connections of a feed do not all turn over together.
        let lifetime = self.session.plan.rotate_after.mul_f64(1.0 - 0.1 * fastrand::f64());
        loop {
            let old = current.since.map(|since| since + lifetime);
            let far = Instant::now() + Duration::from_secs(3600);
            tokio::select! {
                end = &mut current.task => {
                    self.down(&current);
                    return end.unwrap_or_else(|panic| End::Lost(panic.to_string()));
                }
                () = rise(&mut current.up) => self.up(&mut current),
                () = tokio::time::sleep_until(old.unwrap_or(far).into()), if old.is_some() => {
                    current = self.succeed(current).await;
                }
            }
        }
    }

    /// Brings up a successor before the old connection goes. If it cannot be had, the old one
    /// stays for a while longer.
    async fn succeed(&mut self, mut old: Working) -> Working {
        let feed = &self.session.plan.name;
        tracing::info!(%feed, shard = self.shard, "rotating a connection before the venue closes it");
        let mut successor = self.connect();
        let risen = tokio::select! {
            () = rise(&mut successor.up) => true,
            // A task that has ended must not be asked again: it is let go below.
            _ = &mut successor.task => false,
            () = tokio::time::sleep(SUCCEEDING) => false,
        };
        if risen {
            self.up(&mut successor);
            self.down(&old);
            tokio::task::spawn_local(async move {
                tokio::time::sleep(OVERLAP).await;
                old.retire.send_replace(true);
            });
            return successor;
        }
        self.listened();
        tracing::warn!(%feed, shard = self.shard, "the new connection failed; retrying later");
        successor.retire.send_replace(true);
        // A tenth of its life again before the next attempt.
        let lifetime = self.session.plan.rotate_after;
        old.since = Some(Instant::now() - lifetime + lifetime / 10);
        old
    }

    fn connect(&self) -> Working {
        let (up, risen) = oneshot::channel();
        let (retire, retired) = watch::channel(false);
        let session = Rc::clone(&self.session);
        let slots = Rc::clone(&self.slots);
        let heard = Rc::new(Cell::new(0));
        let handles = Handles { up: Some(up), retire: retired, heard: Rc::clone(&heard) };
        let task =
            tokio::task::spawn_local(
                async move { connection::run(&session, &slots, handles).await },
            );
        Working { task, retire, up: Some(risen), since: None, heard }
    }

    fn up(&mut self, working: &mut Working) {
        working.since = Some(Instant::now());
        working.up = None;
        self.ever_up = true;
        let mut up = self.session.up.borrow_mut();
        let mut state = self.session.state.borrow_mut();
        state.counters.connects += 1;
        state.on_subscribed(&self.slots, Instant::now());
        if up[self.shard] == 0 {
            // No connection carried them until now: trades may have been missed.
            state.on_reconnect(&self.slots, Instant::now());
        }
        up[self.shard] += 1;
        tracing::info!(
            feed = %self.session.plan.name,
            shard = self.shard,
            connection = self.number,
            instruments = self.slots.len(),
            "connected and subscribed"
        );
    }

    fn down(&mut self, working: &Working) {
        if let Some(since) = working.since {
            let mut up = self.session.up.borrow_mut();
            up[self.shard] -= 1;
            if up[self.shard] == 0 {
                self.session.state.borrow_mut().on_disconnect(&self.slots);
            }
            if since.elapsed() > HEALTHY || working.heard.get() > HEALTHY_FRAMES {
                self.backoff.success();
            }
        } else {
            self.listened();
        }
    }

    /// A connection that did not come up made prints without numbers wait: another one may be there to
    /// end that.
    fn listened(&self) {
        if self.session.up.borrow()[self.shard] > 0 {
            self.session.state.borrow_mut().on_subscribed(&self.slots, Instant::now());
        }
    }

    fn note_end(&self, end: &End) {
        let mut state = self.session.state.borrow_mut();
        let feed = &self.session.plan.name;
        match end {
            End::Lost(_) | End::Silent(_) => {
                state.counters.disconnects += 1;
                tracing::warn!(%feed, shard = self.shard, connection = self.number, "{end}; reconnecting");
            }
            _ => {
                state.counters.connect_failures += 1;
                let failures = self.backoff.failures() + 1;
                tracing::warn!(%feed, shard = self.shard, connection = self.number, failures, "{end}");
            }
        }
    }

    /// Whether trying again is pointless.
    fn fault(&self, end: &End) -> Option<Fault> {
        let fault = |hint, configured| {
            let feed = self.session.plan.name.clone();
            Some(Fault { feed, what: end.to_string(), hint, configured })
        };
        match end {
            End::Http { status: 451, .. } => fault(
                "the venue does not serve this location or network; use another endpoint \
                 (`websocket`) or another venue",
                false,
            ),
            _ if self.ever_up => None,
            End::Refused(_) => fault("check the instruments and the channel of this feed", true),
            End::Http { status: 400 | 401 | 403 | 404, .. } => fault(
                "the venue refused the connection: check `websocket`, the instruments, and \
                 whether this network is blocked",
                true,
            ),
            End::Tls { .. } => fault(
                "the certificate is not trusted: check `websocket`, the clock, and the system's \
                 certificates (SSL_CERT_FILE)",
                false,
            ),
            End::Unreachable { .. } | End::Unconfirmed { .. } | End::Http { .. }
                if self.began.elapsed() > self.session.plan.connect_patience =>
            {
                fault("check `websocket`, name resolution and the network", false)
            }
            _ => None,
        }
    }
}

/// Resolves when the connection says that it is up; never if it ends before.
async fn rise(up: &mut Option<oneshot::Receiver<()>>) {
    if let Some(risen) = up
        && risen.await.is_ok()
    {
        return;
    }
    *up = None;
    std::future::pending().await
}
