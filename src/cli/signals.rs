//! Ctrl-C and SIGTERM: the first asks for an orderly end, a second one later insists.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals as Incoming;

use crate::graph::stop::Stop;

/// What comes so soon after the first signal is the same wish: `timeout` tells its child and then the
/// child's whole group, a terminal the group and a wrapper the child once more.
const ECHO: Duration = Duration::from_millis(500);

/// Which signal asked for the end, if one did.
#[derive(Clone, Debug)]
pub struct Signals(Arc<AtomicUsize>);

impl Signals {
    /// Raises `stop` at the first signal; one that comes later than its echo ends the process at once
    /// with code 130 or 143, as shells expect.
    ///
    /// # Errors
    /// When the system refuses handlers, or a thread.
    pub fn raise(stop: &Stop) -> std::io::Result<Self> {
        let which = Arc::new(AtomicUsize::new(0));
        let (asked, flag) = (Arc::clone(&which), stop.flag());
        let mut incoming = Incoming::new([SIGINT, SIGTERM])?;
        Builder::new().name("signals".to_owned()).spawn(move || {
            let mut first: Option<Instant> = None;
            for signal in incoming.forever() {
                match first {
                    None => {
                        first = Some(Instant::now());
                        asked.store(signal as usize, Ordering::Release);
                        flag.store(true, Ordering::Release);
                    }
                    Some(first) if first.elapsed() > ECHO => {
                        signal_hook::low_level::exit(128 + signal);
                    }
                    Some(_) => {}
                }
            }
        })?;
        Ok(Self(which))
    }

    /// The name of the signal that came.
    pub fn name(&self) -> Option<&'static str> {
        match self.0.load(Ordering::Acquire) as i32 {
            SIGINT => Some("SIGINT"),
            SIGTERM => Some("SIGTERM"),
            _ => None,
        }
    }
}
