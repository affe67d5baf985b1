//! One job as several processes: the TCP connections between them, made and watched by ourselves.
//!
//! timely can connect processes too, but it prints to standard output, retries without limit,
//! cannot tell whether the other side runs the same job, and panics when it goes away. So the
//! sockets are made here (`connect`), after a greeting (`greeting`) in which each side proves that it knows the secret
//! of the job, and compares jobs (`handshake`). What follows is encrypted (`frames`, `link`), checked (`messages`), and
//! wrapped (`stream`) so that a process that goes away is noticed before timely sees it (`peers`).

mod connect;
mod conversation;
mod dialer;
mod frames;
pub mod greeting;
mod handshake;
mod link;
pub mod messages;
mod peers;
mod secret;
mod strangers;
mod stream;

use std::any::Any;
use std::time::Duration;

use timely::communication::allocator::zero_copy::initialize::{
    CommsGuard, initialize_networking_from_sockets,
};
use timely::communication::allocator::{AllocatorBuilder, ProcessBuilder};
use timely::communication::{Config, Hooks};

pub use self::handshake::ClusterJob;
use self::link::Link;
pub use self::link::SILENCE;
pub use self::peers::Peers;
pub use self::secret::{ClusterSecret, ShortSecret};
use self::stream::PeerStream;
use super::workers::Workers;
use crate::stop::Stop;

/// Why several processes are not, or no longer, one job.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The own address cannot be listened at.
    #[error("process {process} cannot listen at its own address {address}: {source}")]
    Listen {
        /// This process.
        process: usize,
        /// Its address.
        address: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Patience has run out.
    #[error("not all processes connected within {}: {missing}", shown(*patience))]
    Absent {
        /// How long was waited.
        patience: Duration,
        /// Who is missing and what was last heard of them.
        missing: String,
    },
    /// The end was asked for before all were there.
    #[error("stopped while waiting for the other processes: {missing}")]
    Stopped {
        /// Who is missing.
        missing: String,
    },
    /// The other process does something else.
    #[error("process {process} at {address} has different settings: {what}")]
    OtherJob {
        /// The other process.
        process: usize,
        /// Its address.
        address: String,
        /// What differs.
        what: String,
    },
    /// Something else listens at another process's address.
    #[error(
        "for {}, the server at {address}, the address of process {process}, was not a barflow \
         process of this version",
        shown(*patience)
    )]
    Stranger {
        /// Who should be there.
        process: usize,
        /// The address.
        address: String,
        /// How long was waited.
        patience: Duration,
    },
    /// The system refuses what a connection needs.
    #[error("a connection between processes could not be set up: {0}")]
    Setup(#[from] std::io::Error),
    /// A process has gone away without a word.
    #[error(
        "lost process {process} at {address} ({why}); nothing after the last commit is committed; \
         restart the job with any number of processes"
    )]
    Gone {
        /// Which.
        process: usize,
        /// Its address.
        address: String,
        /// How that showed.
        why: String,
    },
    /// A process has met an error.
    #[error("process {process} at {address} failed (see its log); the job ends")]
    Failed {
        /// Which.
        process: usize,
        /// Its address.
        address: String,
    },
}

/// `60 s`, `1.5 s`.
fn shown(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

/// All processes of a job, connected to each other and not yet running.
#[derive(Debug)]
pub struct Cluster {
    workers: Workers,
    /// By process; none for this one.
    links: Vec<Option<Link>>,
}

impl Cluster {
    /// One process with this many workers.
    pub fn of_threads(threads: usize) -> Self {
        Self { workers: Workers::Threads(threads), links: vec![None] }
    }

    /// Finds the other processes. When this returns, every one of them got as far as asking for
    /// the others too, knows the `secret`, and does the same `job`.
    ///
    /// # Errors
    /// When one of them does not come within `patience` or does something else, and when `stop` is
    /// raised meanwhile.
    pub fn connect(
        workers: Workers,
        job: &ClusterJob,
        secret: &ClusterSecret,
        patience: Duration,
        stop: &Stop,
    ) -> Result<Self, ClusterError> {
        let links = match workers.processes() {
            1 => vec![None],
            _ => connect::connect(&workers, job, secret, patience, stop)?,
        };
        Ok(Self { workers, links })
    }

    /// Which workers there are.
    pub fn workers(&self) -> &Workers {
        &self.workers
    }

    /// Starts the threads that carry messages; what timely's workers are built from.
    pub(super) fn start(self, stop: &Stop) -> Result<Crew, String> {
        let (threads, process) = (self.workers.here(), self.workers.process());
        let peers = Peers::new(self.workers.hosts().to_vec(), stop.clone());
        if self.workers.processes() == 1 {
            let config = if threads == 1 { Config::Thread } else { Config::Process(threads) };
            let (builders, others) = config.try_build()?;
            return Ok(Crew { builders, others, peers });
        }
        let streams = peers.carry(self.links).map_err(|error| error.to_string())?;
        let hooks = Hooks::default();
        let here = ProcessBuilder::new_typed_vector(threads, hooks.refill.clone(), None);
        let (builders, comms) =
            initialize_networking_from_sockets(here, streams, process, threads, hooks)
                .map_err(|error| error.to_string())?;
        let builders = builders.into_iter().map(AllocatorBuilder::Tcp).collect();
        let others = Box::new(Carriers { comms: Some(comms), peers: peers.clone() });
        Ok(Crew { builders, others, peers })
    }
}

/// What the workers of this process are built from.
pub(super) struct Crew {
    /// One per worker.
    pub(super) builders: Vec<AllocatorBuilder>,
    /// To be dropped when the workers have ended.
    pub(super) others: Box<dyn Any + Send>,
    /// How workers learn that another process is gone.
    pub(super) peers: Peers,
}

/// timely's threads that carry messages.
struct Carriers {
    comms: Option<CommsGuard>,
    peers: Peers,
}

impl Drop for Carriers {
    fn drop(&mut self) {
        let in_order = self.peers.close();
        match self.comms.take() {
            // Joins them: all of them end in good order.
            Some(comms) if in_order => drop(comms),
            // Joining would pass on how they ended. They need nothing any more and end as well.
            comms => std::mem::forget(comms),
        }
    }
}

impl Peers {
    /// Puts the connections under watch.
    fn carry(&self, links: Vec<Option<Link>>) -> std::io::Result<Vec<Option<PeerStream>>> {
        let sockets = links.iter().flatten().map(|link| link.socket.try_clone());
        self.watch(sockets.collect::<std::io::Result<_>>()?);
        let links = links.into_iter().enumerate();
        links
            .map(|(peer, link)| {
                link.map(|link| PeerStream::new(link, peer, self.clone())).transpose()
            })
            .collect()
    }
}
