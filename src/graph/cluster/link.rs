//! An encrypted connection to another process: one side reads, the other writes, and a thread says that this process
//! is alive when there is nothing else to say.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use super::frames::{FrameError, MOST, Opener, Sealer};
use super::messages::{MessageCheck, MessageError};
use crate::graph::workers::Workers;

/// Silence after which the other process or its computer is taken for dead. A process that dies is noticed at once;
/// this is for those that hang, and for those whose computer or network dies with them.
pub const SILENCE: Duration = Duration::from_secs(30);

/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(5);

/// A connection to another process.
pub(super) struct Link {
    pub(super) socket: TcpStream,
    pub(super) reading: Arc<Mutex<Reading>>,
    pub(super) writing: Arc<Mutex<Writing>>,
}

/// What a peer sends.
pub(super) struct Reading {
    socket: BufReader<TcpStream>,
    opener: Opener,
    /// How much of the last frame was read.
    read: usize,
    check: MessageCheck,
    /// Whether anything came since the greeting: a process sends nothing before its dataflow starts, which may
    /// take long.
    heard: bool,
}

/// What goes to a peer.
pub(super) struct Writing {
    socket: TcpStream,
    sealer: Sealer,
    /// Everything was said.
    ended: bool,
}

/// Why nothing more can be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("it has sent nothing for {} s", SILENCE.as_secs())]
    Silent,
    #[error("its connection closed")]
    Closed,
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl Link {
    /// The connection to process `peer` after the greeting.
    pub(super) fn new(
        peer: usize,
        workers: &Workers,
        socket: TcpStream,
        sealer: Sealer,
        opener: Opener,
    ) -> io::Result<Self> {
        let keepalive = TcpKeepalive::new().with_time(SILENCE / 3).with_interval(SILENCE / 6);
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(SILENCE))?;
        let options = SockRef::from(&socket);
        options.set_tcp_keepalive(&keepalive)?;
        #[cfg(target_os = "linux")]
        options.set_tcp_user_timeout(Some(SILENCE))?;
        let here = workers.here();
        let of = |process: usize| process * here..(process + 1) * here;
        let reading = Reading {
            socket: BufReader::new(socket.try_clone()?),
            // What was heard in the greeting is not to be read again.
            read: opener.plain().len(),
            opener,
            check: MessageCheck::new(of(peer), of(workers.process())),
            heard: false,
        };
        let writing = Writing { socket: socket.try_clone()?, sealer, ended: false };
        let (reading, writing) = (Arc::new(Mutex::new(reading)), Arc::new(Mutex::new(writing)));
        Ok(Self { socket, reading, writing })
    }

    /// Whether the other side has not hung up.
    pub(super) fn is_alive(&self) -> bool {
        let mut byte = [0];
        if self.socket.set_nonblocking(true).is_err() {
            return false;
        }
        let alive = match self.socket.peek(&mut byte) {
            Ok(read) => read > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        };
        self.socket.set_nonblocking(false).is_ok() && alive
    }
}

/// A lock that no panic can poison for good: after one, the connection is not used any more.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reading {
    /// Reads at least a byte; none after an end that was announced.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        // Signs of life are empty frames.
        while self.read == self.opener.plain().len() || !self.opener.is_between_frames() {
            let taken = match self.socket.fill_buf() {
                Ok([]) if self.check.has_ended() && self.opener.is_between_frames() => {
                    return Ok(0);
                }
                Ok([]) => return Err(ReadError::Closed),
                Ok(bytes) => {
                    let taken = bytes.len().min(self.opener.wanted());
                    if self.opener.take(&bytes[..taken])? {
                        self.read = 0;
                    }
                    taken
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => 0,
                    ErrorKind::WouldBlock | ErrorKind::TimedOut if !self.heard => 0,
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Err(ReadError::Silent),
                    _ => return Err(error.into()),
                },
            };
            self.heard |= taken > 0;
            self.socket.consume(taken);
        }
        let rest = &self.opener.plain()[self.read..];
        let read = rest.len().min(buffer.len());
        // What is not valid does not get any further.
        self.check.pass(&rest[..read])?;
        buffer[..read].copy_from_slice(&rest[..read]);
        self.read += read;
        Ok(read)
    }
}

impl Writing {
    /// Sends some of these bytes, at least one if there are any.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = bytes.len().min(MOST);
        let frame = self.sealer.seal(&bytes[..sent]).map_err(io::Error::other)?;
        self.socket.write_all(frame)?;
        Ok(sent)
    }

    /// Everything was said.
    pub(super) fn end(&mut self) {
        self.ended = true;
        // If the other side has gone, the reader learns of it.
        let _ = self.socket.shutdown(Shutdown::Write);
    }
}

/// A thread that says that this process is alive, until this is dropped.
pub(super) struct Beat {
    _end: Sender<()>,
}

impl Beat {
    pub(super) fn start(peer: usize, writing: Arc<Mutex<Writing>>) -> io::Result<Self> {
        let (end, ended) = channel();
        let name = format!("cluster-beat-{peer}");
        Builder::new().name(name).spawn(move || beat(&writing, &ended))?;
        Ok(Self { _end: end })
    }
}

fn beat(writing: &Mutex<Writing>, ended: &Receiver<()>) {
    while ended.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
        let mut writing = lock(writing);
        // A connection that is lost is noticed by those who use it.
        if writing.ended || writing.write(&[]).is_err() {
            return;
        }
    }
}
