//! Ctrl-C and SIGTERM: the first asks for an orderly end, a second one later insists.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals as Incoming;

use super::failure::{Failure, Outcome};
use super::say::say;
use super::stdout;
use crate::stop::{Asker, Signal, Stop};
use crate::telemetry::terminal;

/// What comes so soon after the first signal is the same request: `timeout` signals its child and
/// then the child's whole group, a terminal the group and a wrapper the child once more.
const ECHO: Duration = Duration::from_millis(500);

/// Between two looks at whether an end is overdue.
const LOOK: Duration = Duration::from_millis(200);

/// How long the end may wait for the reader of what a command prints: the same command prints it again.
const PRINTING: Duration = Duration::from_secs(1);

/// How long a terminal may take to clear the status line, or to take a message.
const CLEARING: Duration = Duration::from_millis(100);

/// What the first signal does.
#[derive(Clone, Debug)]
enum First {
    /// It asks for an orderly end.
    Raises(Stop),
    /// It ends the process, which says this.
    Exits(&'static str),
}

/// Handlers for signals.
#[derive(Clone, Debug)]
pub struct Signals(Arc<Mutex<First>>);

impl Signals {
    /// Raises `stop` at the first signal, on behalf of that signal; one that comes later than its
    /// echo ends the process at once with code 130 or 143, as shells expect.
    ///
    /// # Errors
    /// When the system refuses handlers, or a thread (3).
    pub fn raise(stop: &Stop) -> Result<Self, Failure> {
        Self::listen(First::Raises(stop.clone()))
    }

    /// Ends the process at the first signal, for work of which nothing is left half done; `said` is what
    /// became of it and what to do next.
    ///
    /// # Errors
    /// When the system refuses handlers, or a thread (3).
    pub fn exit(said: &'static str) -> Result<Self, Failure> {
        Self::listen(First::Exits(said))
    }

    /// From now on as [`Self::exit`].
    pub fn exit_from_now_on(&self, said: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = First::Exits(said);
    }

    fn listen(first: First) -> Result<Self, Failure> {
        let signals = Self(Arc::new(Mutex::new(first)));
        listen(signals.clone()).map_err(unhandled)?;
        Ok(signals)
    }

    fn on_first(&self, signal: Signal) {
        let first = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match first {
            First::Raises(stop) => {
                stop.raise_for(Asker::Signal(signal));
                insist(stop, signal);
            }
            First::Exits(said) => {
                clear_terminal();
                briefly(move || say!("stopped by {signal}; {said}"));
                exit(signal);
            }
        }
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

/// Ends the process if its orderly end does not come: then it waits for what does not answer, such as the
/// reader of its output.
fn insist(stop: Stop, signal: Signal) {
    // Without this thread a second signal ends it.
    let _ = Builder::new().name("end".to_owned()).spawn(move || {
        let why = loop {
            if is_unread(&stop) {
                break "nobody reads what it prints; run the same command again";
            }
            if stop.is_overdue() {
                break "an orderly end did not come: something does not answer, such as the reader of an \
                       output";
            }
            std::thread::sleep(LOOK);
        };
        clear_terminal();
        briefly(move || say!("stopped by {signal}; {why}"));
        exit(signal);
    });
}

/// Whether the end waits for the reader of what a command prints, which are reports and never bars.
fn is_unread(stop: &Stop) -> bool {
    let is_long = |time: Option<Duration>| time.is_some_and(|time| time >= PRINTING);
    is_long(stop.raised_for()) && is_long(stdout::waits())
}

/// Clears the status line, unless the terminal does not take anything.
fn clear_terminal() {
    briefly(terminal::clear);
}

/// Does what may have to wait for a terminal, but does not wait for it.
fn briefly(work: impl FnOnce() + Send + 'static) {
    let (done, is_done) = std::sync::mpsc::channel();
    let working = Builder::new().spawn(move || {
        work();
        // Nobody waits any longer.
        let _ = done.send(());
    });
    if working.is_ok() {
        let _ = is_done.recv_timeout(CLEARING);
    }
}

fn exit(signal: Signal) -> ! {
    let code = Outcome::Stopped(Asker::Signal(signal)).code();
    signal_hook::low_level::exit(code.into())
}

fn listen(signals: Signals) -> std::io::Result<()> {
    let mut incoming = Incoming::new([SIGINT, SIGTERM])?;
    Builder::new().name("signals".to_owned()).spawn(move || {
        let mut first: Option<Instant> = None;
        for signal in incoming.forever() {
            let signal = if signal == SIGINT { Signal::Interrupt } else { Signal::Terminate };
            match first {
                None => {
                    first = Some(Instant::now());
                    signals.on_first(signal);
                }
                Some(first) if first.elapsed() > ECHO => {
                    clear_terminal();
                    exit(signal);
                }
                Some(_) => {}
            }
        }
    })?;
    Ok(())
}
