//! A connection to another process as timely's threads see it.
//!
//! timely takes everything but an orderly end for a reason to panic. So none of that reaches it: a
//! writer of a lost connection writes into the void, and a reader waits until the workers have
//! ended ([`Peers::lose`] sees to that) and ends then.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};

use timely::communication::allocator::zero_copy::stream::Stream;

use super::link::{Beat, Link, Reading, Writing, lock};
use super::peers::Peers;

/// A connection under watch.
#[derive(Clone)]
pub(super) struct PeerStream {
    peer: usize,
    peers: Peers,
    socket: Arc<TcpStream>,
    reading: Arc<Mutex<Reading>>,
    writing: Arc<Mutex<Writing>>,
    _beat: Arc<Beat>,
}

impl PeerStream {
    /// The connection to process `peer`.
    pub(super) fn new(link: Link, peer: usize, peers: Peers) -> io::Result<Self> {
        let Link { socket, reading, writing } = link;
        let beat = Arc::new(Beat::start(peer, Arc::clone(&writing))?);
        Ok(Self { peer, peers, socket: Arc::new(socket), reading, writing, _beat: beat })
    }
}

impl Read for PeerStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let why = match lock(&self.reading).read(buffer) {
            Ok(0) => {
                self.peers.ended();
                return Ok(0);
            }
            Ok(read) => return Ok(read),
            Err(error) => error.to_string(),
        };
        self.peers.lose(self.peer, &why);
        self.peers.ended();
        self.peers.wait_for_workers();
        // Ends this thread of timely's without a word on standard error: all has been said.
        std::panic::resume_unwind(Box::new("lost a process"))
    }
}

impl Write for PeerStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.peers.is_broken() {
            return Ok(bytes.len());
        }
        let written = lock(&self.writing).write(bytes);
        written.or_else(|error| {
            self.peers.lose(self.peer, &error.to_string());
            Ok(bytes.len())
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for PeerStream {
    fn try_clone(&self) -> io::Result<Self> {
        Ok(self.clone())
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.socket.set_nonblocking(nonblocking)
    }

    /// timely ends what it says.
    fn shutdown(&self, _how: Shutdown) -> io::Result<()> {
        lock(&self.writing).end();
        Ok(())
    }
}
