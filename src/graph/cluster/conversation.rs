//! A greeting over a socket that does not block, with one deadline for all of it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::frames::{Opener, Sealer};
use super::greeting::{Greeting, GreetingError};
use super::handshake::Handshake;

/// How long a greeting may take as a whole. Processes need milliseconds, and some more over continents.
const WHOLE: Duration = Duration::from_secs(5);

/// KiB read of a connection that is closed anyway.
const LEFT: usize = 64;

/// A greeting that is going on.
pub(super) struct Conversation {
    socket: TcpStream,
    greeting: Greeting,
    until: Instant,
}

impl Conversation {
    /// Begins one now.
    pub(super) fn begin(
        socket: TcpStream,
        greeting: Greeting,
        now: Instant,
    ) -> Result<Self, GreetingError> {
        socket.set_nonblocking(true)?;
        // Several short messages that wait for each other.
        socket.set_nodelay(true)?;
        Ok(Self { socket, greeting, until: now + WHOLE })
    }

    /// Sends and reads what is possible: what the other side said, once it has proven itself.
    pub(super) fn advance(&mut self, now: Instant) -> Result<Option<Handshake>, GreetingError> {
        let mut piece = [0; 1024];
        loop {
            self.flush()?;
            if let Some(heard) = self.greeting.heard() {
                return Ok(Some(heard.clone()));
            }
            let wanted = self.greeting.wanted().min(piece.len());
            match self.socket.read(&mut piece[..wanted]) {
                Ok(0) => return Err(GreetingError::Closed),
                Ok(read) => self.greeting.take(&piece[..read])?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        if now >= self.until { Err(GreetingError::Late) } else { Ok(None) }
    }

    /// Says who we are to a caller who has proven itself.
    pub(super) fn answer(&mut self, says: &Handshake) -> Result<(), GreetingError> {
        self.greeting.answer(says)?;
        self.flush()
    }

    /// Whether all was sent; an error after the deadline.
    pub(super) fn is_said(&mut self, now: Instant) -> Result<bool, GreetingError> {
        self.flush()?;
        match self.greeting.outbox().is_empty() {
            true => Ok(true),
            false if now >= self.until => Err(GreetingError::Late),
            false => Ok(false),
        }
    }

    /// The connection that came of it.
    pub(super) fn finish(self) -> Result<(TcpStream, Sealer, Opener), GreetingError> {
        let channel = self.greeting.into_channel().ok_or(GreetingError::Unproven)?;
        Ok((self.socket, channel.sealer, channel.opener))
    }

    /// Ends the connection. Bytes that were not read would make the system reset it, which may take from the other side
    /// what it was told.
    pub(super) fn hang_up(mut self) {
        // It may be gone already.
        let _ = self.socket.shutdown(Shutdown::Write);
        let mut rest = [0; 1024];
        for _ in 0..LEFT {
            if !matches!(self.socket.read(&mut rest), Ok(1..)) {
                return;
            }
        }
    }

    fn flush(&mut self) -> Result<(), GreetingError> {
        let outbox = self.greeting.outbox();
        while !outbox.is_empty() {
            match self.socket.write(outbox) {
                Ok(0) => return Err(GreetingError::Closed),
                Ok(sent) => drop(outbox.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
