//! The exchange simulator: speaks the venues' protocols over websocket and REST, plays files through
//! them, and injects faults.
//!
//! ```text
//! files ─► tape ─► player ─► faults (per connection) ─► client queue ─► socket
//!            └────► REST: what has been played so far
//! ```
//!
//! It is how barflow, or somebody's own bot, is tried without an exchange. What it sends has the
//! keys, the order of keys and the types of the real messages.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use self::faults::Faults;
use self::protocol::Exchange;
use self::tape::Tape;

mod binance;
mod bybit;
mod coinbase;
pub mod faults;
mod kraken;
mod okx;
mod player;
pub mod protocol;
mod server;
mod state;
pub mod tape;

/// How fast the tape goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// So many times as fast as it happened.
    Times(f64),
    /// So many trades a second, however they were spaced.
    Rate(f64),
    /// As fast as the clients read.
    Max,
}

/// What is played, and how.
#[derive(Clone, Debug)]
pub struct SimulatorOptions {
    /// Address to listen on; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// How fast.
    pub speed: Speed,
    /// What goes wrong.
    pub faults: Faults,
    /// The same seed and the same client make the same faults.
    pub seed: u64,
    /// Begin at once rather than when the first client has subscribed.
    pub start_now: bool,
    /// Close connections at the end of the tape, and end.
    pub once: bool,
}

/// What a simulator has done.
#[derive(Debug, Default)]
pub struct Tally {
    /// Trades of the tape that have happened.
    pub played: AtomicU64,
    /// Websocket frames sent.
    pub frames: AtomicU64,
    /// Connections accepted.
    pub connections: AtomicU64,
    /// REST requests answered.
    pub requests: AtomicU64,
    /// How often the tape has waited for somebody to ask REST.
    pub turns: AtomicU64,
    /// The last of those turns in which a REST request began that was answered.
    pub answered: AtomicU64,
    /// Whether the tape is at its end.
    pub ended: AtomicBool,
    /// What went wrong on purpose, in the order of [`faults::KINDS`].
    pub faults: [AtomicU64; faults::KINDS.len()],
}

impl Tally {
    fn count(&self, kind: faults::Kind) {
        self.faults[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// In words, for the end of a run.
    pub fn summary(&self) -> String {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut text = format!(
            "{} trades played, {} frames sent over {} connections, {} REST requests",
            count(&self.played),
            count(&self.frames),
            count(&self.connections),
            count(&self.requests)
        );
        for (name, counter) in faults::KINDS.iter().zip(&self.faults) {
            if count(counter) > 0 {
                text += &format!("; {name} {}", count(counter));
            }
        }
        text
    }
}

/// The protocol of that name.
pub fn exchange(protocol: &str) -> Option<Arc<dyn Exchange>> {
    Some(match protocol {
        "binance-spot" => Arc::new(binance::Binance::Spot),
        "binance-um" => Arc::new(binance::Binance::Um),
        "binance-cm" => Arc::new(binance::Binance::Cm),
        "coinbase" => Arc::new(coinbase::Advanced),
        "coinbase-exchange" => Arc::new(coinbase::Exchange),
        "kraken" => Arc::new(kraken::Kraken),
        "bybit-spot" => Arc::new(bybit::Bybit::Spot),
        "bybit-linear" => Arc::new(bybit::Bybit::Linear),
        "bybit-inverse" => Arc::new(bybit::Bybit::Inverse),
        "okx" => Arc::new(okx::Okx),
        _ => return None,
    })
}

/// A simulator that is running.
pub type Running = crate::serving::Running<Tally>;

/// Starts a simulator.
///
/// # Errors
/// When the address cannot be listened at.
pub fn start(
    exchange: Arc<dyn Exchange>,
    tape: Tape,
    options: SimulatorOptions,
) -> std::io::Result<Running> {
    let (tally, listen) = (Arc::new(Tally::default()), options.listen);
    let counts = Arc::clone(&tally);
    crate::serving::start("simulator", listen, tally, move |listener, stop| {
        server::serve(listener, exchange, tape, options, counts, stop)
    })
}
