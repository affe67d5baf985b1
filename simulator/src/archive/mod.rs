//! The archive server: serves files in the public archive's layout, with its listing, and injects faults.
//! It is how `barflow fetch` is tried and tested without the internet.
//!
//! ```text
//! GET /data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2024-03-01.zip            (ranges, HEAD)
//! GET /data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2024-03-01.zip.CHECKSUM
//! GET /?prefix=data/spot/daily/trades/BTCUSDT/&marker=…                         (as S3 lists)
//! ```

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use self::faults::{Faults, KINDS, Kind};
use self::tree::Tree;

mod corrupt;
pub mod faults;
mod listing;
mod server;
pub mod tree;

/// How files are served.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Address to listen on; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// What goes wrong.
    pub faults: Faults,
    /// Seed of the faults, request by request of a file.
    pub seed: u64,
    /// Keys per page of the listing; none: there is no listing.
    pub page: Option<usize>,
}

/// What a server has done.
#[derive(Debug, Default)]
pub struct Tally {
    /// Requests answered.
    pub requests: AtomicU64,
    /// Of them, for archives (not checksums, not listings).
    pub archives: AtomicU64,
    /// Of these, for a part.
    pub parts: AtomicU64,
    /// What went wrong on purpose, in the order of [`KINDS`].
    pub faults: [AtomicU64; KINDS.len()],
}

impl Tally {
    fn count(&self, kind: Kind) {
        self.faults[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// In words, for the end of a run.
    pub fn summary(&self) -> String {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut text = format!(
            "{} requests, {} for archives, {} of them with a range",
            count(&self.requests),
            count(&self.archives),
            count(&self.parts)
        );
        for (name, counter) in KINDS.iter().zip(&self.faults) {
            if count(counter) > 0 {
                text += &format!("; {name} {}", count(counter));
            }
        }
        text
    }
}

/// A server that is running.
pub type Running = crate::serving::Running<Tally>;

/// Starts a server.
///
/// # Errors
/// When the address cannot be listened at.
pub fn start(tree: Tree, options: ServerOptions) -> io::Result<Running> {
    let (tally, listen) = (Arc::new(Tally::default()), options.listen);
    let counts = Arc::clone(&tally);
    crate::serving::start("archive", listen, tally, move |listener, stop| {
        server::serve(listener, tree, options, counts, stop)
    })
}
