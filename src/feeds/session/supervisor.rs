//! Keeps one connection of a shard up for as long as the feed runs.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::Session;
use super::connection::{self, Handles};
use super::end::End;
use super::subscriber::Carried;
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

/// Why a feed cannot begin; each with what to do about it.
#[derive(Clone, Debug, thiserror::Error)]
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
}

/// A running connection.
struct Working {
    task: JoinHandle<End>,
    retire: watch::Sender<bool>,
    up: Option<oneshot::Receiver<()>>,
    since: Option<Instant>,
    /// Frames that it brought.
    heard: Rc<Cell<u64>>,
    carried: Rc<Carried>,
}

impl ConnectionSupervisor {
    pub(super) fn new(session: Rc<Session>, shard: usize, number: usize, slots: Rc<[u32]>) -> Self {
        let backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        session.supervisors.set(session.supervisors.get() + 1);
        Self { session, shard, number, slots, backoff, began: Instant::now() }
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
                self.session.faults.borrow_mut().insert((self.shard, self.number), fault);
            }
            let mut wait = self.backoff.after_failure(fastrand::f64());
            if let End::Http { retry_after: Some(asked), .. } = end {
                wait = wait.max(asked);
            } else if matches!(end, End::Refused(_)) {
                wait = wait.max(self.until_asked_again());
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
        let carried = Rc::new(Carried::default());
        let handles = Handles {
            up: Some(up),
            retire: retired,
            heard: Rc::clone(&heard),
            carried: Rc::clone(&carried),
        };
        let task =
            tokio::task::spawn_local(
                async move { connection::run(&session, &slots, handles).await },
            );
        Working { task, retire, up: Some(risen), since: None, heard, carried }
    }

    fn up(&mut self, working: &mut Working) {
        working.since = Some(Instant::now());
        working.up = None;
        self.session.ever_up.set(true);
        self.session.faults.borrow_mut().remove(&(self.shard, self.number));
        self.session.state.borrow_mut().counters.connects += 1;
        self.session.up.set(self.session.up.get() + 1);
        tracing::info!(
            feed = %self.session.plan.name,
            shard = self.shard,
            connection = self.number,
            instruments = working.carried.len(),
            "connected and subscribed"
        );
    }

    fn down(&mut self, working: &Working) {
        self.session.drop_carried(&working.carried.end());
        if let Some(since) = working.since {
            self.session.up.set(self.session.up.get().saturating_sub(1));
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
        self.session.listened(&self.slots);
    }

    fn note_end(&self, end: &End) {
        let mut state = self.session.state.borrow_mut();
        let feed = &self.session.plan.name;
        *self.session.last_failure.borrow_mut() = Some(end.to_string());
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

    /// How long until one of its refused instruments is to be asked for again.
    fn until_asked_again(&self) -> Duration {
        let roster = self.session.roster.borrow();
        let next = self.slots.iter().filter_map(|slot| roster.again(*slot)).min();
        next.map_or(Duration::ZERO, |next| next.saturating_duration_since(Instant::now()))
    }

    /// Whether trying again is of little use, as long as nothing has ever come up.
    fn fault(&self, end: &End) -> Option<Fault> {
        let fault = |hint, configured| {
            let feed = self.session.plan.name.clone();
            Some(Fault { feed, what: end.to_string(), hint, configured })
        };
        if self.session.ever_up.get() {
            return None;
        }
        match end {
            End::Http { status: 451, .. } => fault(
                "the venue does not serve this location or network; use another endpoint \
                 (`websocket`) or another venue",
                false,
            ),
            End::Refused(_) => fault("check the instruments and the channel of this feed", true),
            End::Http { status: 300..=399, .. } => {
                fault("set `websocket` to the address that it leads to, if you trust it", true)
            }
            End::Http { status: 400 | 401 | 403 | 404, .. } => fault(
                "the venue refused the connection: check `websocket`, the instruments, and \
                 whether this network is blocked",
                true,
            ),
            End::Tls { .. } => fault(
                "the certificate is not trusted: check `websocket`, the clock, and the system's \
                 certificates; a private authority is named by `ca_file`",
                false,
            ),
            End::Unreachable { .. } | End::Unconfirmed { .. } | End::Http { .. }
                if self.began.elapsed() > self.session.plan.connect_timeout =>
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
