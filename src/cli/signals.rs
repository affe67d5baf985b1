//! Ctrl-C and SIGTERM: the first asks for an orderly end, the second insists.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::graph::stop::Stop;

/// Which signal asked for the end, if one did.
#[derive(Clone, Debug)]
pub struct Signals(Arc<AtomicUsize>);

impl Signals {
    /// Raises `stop` at the first signal; a second one ends the process at once with code 130 or
    /// 143, as shells expect.
    ///
    /// # Errors
    /// When the system refuses handlers.
    pub fn raise(stop: &Stop) -> std::io::Result<Self> {
        let which = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM] {
            let seen = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register_conditional_shutdown(
                signal,
                128 + signal,
                Arc::clone(&seen),
            )?;
            signal_hook::flag::register(signal, seen)?;
            signal_hook::flag::register(signal, stop.flag())?;
            signal_hook::flag::register_usize(signal, Arc::clone(&which), signal as usize)?;
        }
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
