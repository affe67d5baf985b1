//! Waits for an archive, and reads what it sends, until the end is asked for: see [`waiting`].

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Builder;
use std::time::Instant;

use super::error::FetchError;
use super::response::Setback;
use crate::net::waiting::{self, Waited};

/// Bytes read in one go.
const BLOCK: usize = 1 << 17;

/// Until when is waited.
#[derive(Clone)]
pub(super) struct Waiting(Arc<AtomicBool>);

impl Waiting {
    /// Until the flag is raised.
    pub(super) fn until(stop: Arc<AtomicBool>) -> Self {
        Self(stop)
    }

    /// Whether the end was asked for.
    pub(super) fn is_over(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// The flag.
    pub(super) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// Sleeps.
    ///
    /// # Errors
    /// [`FetchError::Stopped`].
    pub(super) fn sleep_until(&self, until: Instant) -> Result<(), FetchError> {
        waiting::sleep_until(until, || self.is_over()).then_some(()).ok_or(FetchError::Stopped)
    }

    /// The result of work that may take long.
    ///
    /// # Errors
    /// [`FetchError::Stopped`], and when the system starts no thread.
    pub(super) fn on_a_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Setback> {
        let result = waiting::on_a_thread("fetch", || self.is_over(), work);
        Ok(result.map_err(Setback::passing)?.ok_or(FetchError::Stopped)?)
    }

    /// What comes next; none if nothing does any more.
    fn receive<T>(&self, from: &Receiver<T>) -> Result<Option<T>, FetchError> {
        match waiting::receive(from, || self.is_over()) {
            Waited::Came(value) => Ok(Some(value)),
            Waited::Ended => Ok(None),
            Waited::Stopped => Err(FetchError::Stopped),
        }
    }
}

/// Reads a body ahead, by one block.
pub(super) struct Pump {
    blocks: Receiver<io::Result<Vec<u8>>>,
    /// What has come and was not taken, and from where on.
    block: (Vec<u8>, usize),
    waiting: Waiting,
}

impl Pump {
    /// Begins.
    ///
    /// # Errors
    /// When the system starts no thread.
    pub(super) fn start(
        mut body: impl Read + Send + 'static,
        waiting: Waiting,
    ) -> Result<Self, Setback> {
        let (send, blocks) = sync_channel(1);
        let pump = move || {
            loop {
                let mut block = vec![0; BLOCK];
                let read = body.read(&mut block).map(|read| {
                    block.truncate(read);
                    block
                });
                let is_last = read.as_ref().map_or(true, Vec::is_empty);
                if send.send(read).is_err() || is_last {
                    return;
                }
            }
        };
        Builder::new().name("fetch".to_owned()).spawn(pump).map_err(Setback::passing)?;
        Ok(Self { blocks, block: (Vec::new(), 0), waiting })
    }

    /// Reads some of the body; 0 at its end.
    ///
    /// # Errors
    /// When the connection breaks, and [`FetchError::Stopped`].
    pub(super) fn read(&mut self, to: &mut [u8]) -> Result<usize, Setback> {
        if self.block.1 >= self.block.0.len() {
            let Some(block) = self.waiting.receive(&self.blocks)? else { return Ok(0) };
            self.block = (block.map_err(Setback::passing)?, 0);
        }
        let (block, at) = &mut self.block;
        let taken = to.len().min(block.len() - *at);
        to[..taken].copy_from_slice(&block[*at..*at + taken]);
        *at += taken;
        Ok(taken)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    /// Gives what it has in pieces of these sizes.
    struct Pieces(Vec<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0);
            to[..piece.len()].copy_from_slice(&piece);
            Ok(piece.len())
        }
    }

    proptest! {
        #[test]
        fn a_pump_gives_what_the_body_gives(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..20),
            most in 1_usize..60,
        ) {
            let expected = pieces.concat();
            let mut pump = Pump::start(Pieces(pieces), Waiting::until(Arc::default())).unwrap();
            let (mut all, mut to) = (Vec::new(), vec![0; most]);
            loop {
                match pump.read(&mut to).unwrap() {
                    0 => break,
                    read => all.extend_from_slice(&to[..read]),
                }
            }
            prop_assert_eq!(all, expected);
        }
    }

    #[test]
    fn whoever_waits_for_a_silent_server_is_let_go_by_the_flag() {
        struct Silent;
        impl Read for Silent {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                loop {
                    thread::park();
                }
            }
        }
        let flag = Arc::new(AtomicBool::new(false));
        let mut pump = Pump::start(Silent, Waiting::until(Arc::clone(&flag))).unwrap();
        let reading = thread::spawn(move || pump.read(&mut [0; 10]));
        flag.store(true, Ordering::Release);
        assert!(matches!(reading.join().unwrap(), Err(Setback::Final(FetchError::Stopped))));
        let waiting = Waiting::until(flag);
        let asked = waiting.on_a_thread(thread::park);
        assert!(matches!(asked, Err(Setback::Final(FetchError::Stopped))));
    }
}
