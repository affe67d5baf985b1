//! Ctrl-C and SIGTERM: the first asks for an orderly end, a second one later insists.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::Builder;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals as Incoming;

use super::failure::Failure;
use crate::stop::Stop;
use crate::telemetry::terminal;

/// What comes so soon after the first signal is the same request: `timeout` signals its child and
/// then the child's whole group, a terminal the group and a wrapper the child once more.
const ECHO: Duration = Duration::from_millis(500);

/// How long a terminal may take to clear the status line.
const CLEARING: Duration = Duration::from_millis(100);

/// Handlers for signals.
#[derive(Clone, Copy, Debug)]
pub struct Signals;

impl Signals {
    /// Raises `stop` at the first signal, on behalf of that signal; one that comes later than its
    /// echo ends the process at once with code 130 or 143, as shells expect.
    ///
    /// # Errors
    /// When the system refuses handlers, or a thread (3).
    pub fn raise(stop: &Stop) -> Result<(), Failure> {
        listen(stop.clone()).map_err(unhandled)
    }

    /// Raises `requested` at every SIGHUP.
    ///
    /// # Errors
    /// When the system refuses the handler (3).
    pub fn hangup(requested: &Arc<AtomicBool>) -> Result<(), Failure> {
        let flag = Arc::clone(requested);
        signal_hook::flag::register(SIGHUP, flag).map(drop).map_err(unhandled)
    }
}

fn unhandled(error: std::io::Error) -> Failure {
    Failure::outside(anyhow::Error::new(error).context("signal handlers could not be installed"))
}

/// Clears the status line, unless the terminal does not take anything.
fn clear_terminal() {
    let (done, is_done) = std::sync::mpsc::channel();
    let clearing = Builder::new().spawn(move || {
        terminal::clear();
        // Nobody waits any longer.
        let _ = done.send(());
    });
    if clearing.is_ok() {
        let _ = is_done.recv_timeout(CLEARING);
    }
}

fn listen(stop: Stop) -> std::io::Result<()> {
    let mut incoming = Incoming::new([SIGINT, SIGTERM])?;
    Builder::new().name("signals".to_owned()).spawn(move || {
        let mut first: Option<Instant> = None;
        for signal in incoming.forever() {
            match first {
                None => {
                    first = Some(Instant::now());
                    stop.raise_for(if signal == SIGINT { "SIGINT" } else { "SIGTERM" });
                }
                Some(first) if first.elapsed() > ECHO => {
                    clear_terminal();
                    signal_hook::low_level::exit(128 + signal);
                }
                Some(_) => {}
            }
        }
    })?;
    Ok(())
}
