//! A connection to another process as timely's threads see it.
//!
//! timely takes everything but an orderly end for a reason to panic. So none of that reaches it: a
//! writer of a lost connection writes into the void, and a reader waits until the workers have
//! ended ([`Peers::lose`] sees to that) and ends then.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use timely::communication::allocator::zero_copy::stream::Stream;

use super::peers::Peers;

/// A socket under watch.
pub(super) struct PeerStream {
    socket: TcpStream,
    peer: usize,
    peers: Peers,
    messages: Messages,
}

impl PeerStream {
    /// The connection to process `peer`.
    pub(super) fn new(socket: TcpStream, peer: usize, peers: Peers) -> Self {
        Self { socket, peer, peers, messages: Messages::default() }
    }
}

impl Read for PeerStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let why = match self.socket.read(buffer) {
            Ok(0) if self.messages.ended => {
                self.peers.ended();
                return Ok(0);
            }
            Ok(0) => "its connection closed".to_owned(),
            Ok(read) => {
                self.messages.pass(&buffer[..read]);
                return Ok(read);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => return self.read(buffer),
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
        match self.socket.write(bytes) {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                self.peers.lose(self.peer, &error.to_string());
                Ok(bytes.len())
            }
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for PeerStream {
    fn try_clone(&self) -> io::Result<Self> {
        Ok(Self::new(self.socket.try_clone()?, self.peer, self.peers.clone()))
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.socket.set_nonblocking(nonblocking)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        // The end of what we say; if the other side has gone, the reader learns of it.
        let _ = self.socket.shutdown(how);
        Ok(())
    }
}

/// Bytes before every message.
const HEADER: usize = 48;

/// Offset of the message's length in them: a big-endian u64.
const LENGTH: std::ops::Range<usize> = 32..40;

/// Follows timely's messages, only to tell an end that was announced from one that was not: the
/// last message is empty.
#[derive(Debug)]
struct Messages {
    header: [u8; HEADER],
    have: usize,
    body: u64,
    ended: bool,
}

impl Default for Messages {
    fn default() -> Self {
        Self { header: [0; HEADER], have: 0, body: 0, ended: false }
    }
}

impl Messages {
    fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.body > 0 {
                let passed = bytes.len().min(usize::try_from(self.body).unwrap_or(usize::MAX));
                self.body -= passed as u64;
                bytes = &bytes[passed..];
                continue;
            }
            let taken = bytes.len().min(HEADER - self.have);
            self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == HEADER {
                let mut length = [0; 8];
                length.copy_from_slice(&self.header[LENGTH]);
                self.body = u64::from_be_bytes(length);
                self.ended = self.body == 0;
                self.have = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use timely::communication::networking::MessageHeader;

    use super::*;

    fn message(length: usize) -> Vec<u8> {
        let header = MessageHeader {
            channel: 7,
            source: 1,
            target_lower: 2,
            target_upper: 3,
            length,
            seqno: 9,
        };
        let mut bytes = Vec::new();
        header.write_to(&mut bytes).unwrap();
        assert_eq!(bytes.len(), HEADER);
        bytes.resize(HEADER + length, 0);
        bytes
    }

    /// Bodies are all zeros, as the last header is: only counting distinguishes them.
    #[test]
    fn the_end_is_told_from_zeros_however_the_bytes_are_cut() {
        let bytes = [message(200), message(1), message(48), message(0)].concat();
        for piece in [1, 2, 47, 48, 49, 100, bytes.len()] {
            let mut messages = Messages::default();
            for (at, piece) in bytes[..bytes.len() - 1].chunks(piece).enumerate() {
                messages.pass(piece);
                assert!(!messages.ended, "piece {at}");
            }
            messages.pass(&bytes[bytes.len() - 1..]);
            assert!(messages.ended);
        }
    }
}
