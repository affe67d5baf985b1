//! How processes find each other: each calls those before it and is called by those after it.

use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};

use super::ClusterError;
use super::handshake::{ClusterJob, Handshake};
use crate::graph::workers::Workers;
use crate::stop::Stop;

/// Between two rounds of calls.
const ROUND: Duration = Duration::from_millis(50);

/// Between two lines of log about who is missing.
const LINE: Duration = Duration::from_secs(5);

/// How long a call may take to be taken, and a caller to say who it is.
const CALL: Duration = Duration::from_secs(1);

/// Between two looks at the end while an answer is awaited.
const LOOK: Duration = Duration::from_millis(100);

/// Silence of the other side's computer after which it is taken for dead. A process that dies is
/// noticed at once; this is for those whose computer or network dies with them.
const SILENCE: Duration = Duration::from_secs(30);

/// Connects to all other processes; none at the place of this one.
pub(super) fn connect(
    workers: &Workers,
    job: &ClusterJob,
    patience: Duration,
    stop: &Stop,
) -> Result<Vec<Option<TcpStream>>, ClusterError> {
    let mut connecting = Connecting::new(workers, job, stop, Instant::now() + patience)?;
    let mut next_line = Instant::now() + LINE;
    loop {
        connecting.call()?;
        connecting.answer()?;
        if connecting.is_complete() {
            tracing::info!(
                process = workers.process(),
                "all {} processes are connected",
                workers.processes()
            );
            return connecting.sockets();
        }
        if stop.is_raised() {
            return Err(ClusterError::Stopped { missing: connecting.missing() });
        }
        if Instant::now() >= connecting.deadline {
            return Err(ClusterError::Absent { patience, missing: connecting.missing() });
        }
        if Instant::now() >= next_line {
            next_line = Instant::now() + LINE;
            tracing::info!("waiting for the other processes: {}", connecting.missing());
        }
        thread::sleep(ROUND);
    }
}

struct Connecting<'a> {
    workers: &'a Workers,
    job: &'a ClusterJob,
    stop: &'a Stop,
    deadline: Instant,
    listener: Option<TcpListener>,
    sockets: Vec<Option<TcpStream>>,
    /// Why a process could not be reached, as last seen.
    trouble: Vec<String>,
}

impl<'a> Connecting<'a> {
    fn new(
        workers: &'a Workers,
        job: &'a ClusterJob,
        stop: &'a Stop,
        deadline: Instant,
    ) -> Result<Self, ClusterError> {
        let (process, processes) = (workers.process(), workers.processes());
        let address = &workers.hosts()[process];
        // Nobody calls the last one.
        let listener = match process + 1 < processes {
            true => Some(listen(address).map_err(|source| ClusterError::Listen {
                process,
                address: address.clone(),
                source,
            })?),
            false => None,
        };
        let sockets = (0..processes).map(|_| None).collect();
        let trouble = vec!["did not connect".to_owned(); processes];
        Ok(Self { workers, job, stop, deadline, listener, sockets, trouble })
    }

    fn is_complete(&self) -> bool {
        self.absent().next().is_none()
    }

    fn absent(&self) -> impl Iterator<Item = usize> + '_ {
        let me = self.workers.process();
        (0..self.sockets.len()).filter(move |peer| *peer != me && self.sockets[*peer].is_none())
    }

    fn missing(&self) -> String {
        let said = |peer| {
            format!("process {peer} at {} {}", self.workers.hosts()[peer], self.trouble[peer])
        };
        self.absent().map(said).collect::<Vec<_>>().join("; ")
    }

    /// Calls every missing process before this one.
    fn call(&mut self) -> Result<(), ClusterError> {
        let me = self.workers.process();
        let missing: Vec<usize> = self.absent().filter(|peer| *peer < me).collect();
        for peer in missing {
            let address = self.workers.hosts()[peer].clone();
            let talked = dial(&address).and_then(|socket| self.introduce(socket, peer));
            match talked {
                Ok((socket, handshake)) => {
                    self.compare(peer, &handshake)?;
                    self.sockets[peer] = Some(socket);
                }
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    return Err(ClusterError::Stranger { process: peer, address });
                }
                Err(error) => self.trouble[peer] = format!("did not answer ({error})"),
            }
        }
        Ok(())
    }

    /// Says who we are and hears who they are.
    fn introduce(&self, mut socket: TcpStream, peer: usize) -> io::Result<(TcpStream, Handshake)> {
        Handshake::new(self.workers, self.job, peer).write(&mut socket)?;
        socket.set_read_timeout(Some(LOOK))?;
        // The other side answers when it comes to it: it may be calling others itself.
        let mut byte = [0];
        while let Err(error) = socket.peek(&mut byte) {
            let waits = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            if !waits || self.stop.is_raised() || Instant::now() >= self.deadline {
                return Err(if waits { io::Error::other("no response") } else { error });
            }
        }
        socket.set_read_timeout(Some(CALL))?;
        let handshake = Handshake::read(&mut socket)?;
        Ok((socket, handshake))
    }

    /// Takes the calls of processes after this one.
    fn answer(&mut self) -> Result<(), ClusterError> {
        while let Some(listener) = &self.listener {
            let mut socket = match listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // A caller that hung up before we answered.
                Err(_) => continue,
            };
            socket.set_nonblocking(false)?;
            socket.set_read_timeout(Some(CALL))?;
            let handshake = match Handshake::read(&mut socket) {
                Ok(handshake) => handshake,
                Err(error) => {
                    tracing::warn!(%error, "rejected a connection that is not from a barflow \
                                            process");
                    continue;
                }
            };
            let me = self.workers.process();
            let peer = handshake.process;
            let mut reply = Handshake::new(self.workers, self.job, peer);
            let known = peer < self.sockets.len() && peer > me;
            if known && self.sockets[peer].as_ref().is_some_and(is_alive) {
                reply.refused = Some(format!("process {peer} is already connected"));
            }
            // The caller learns as much as this process; if it is lost, it may call again.
            let replied = reply.write(&mut socket);
            if reply.refused.is_some() {
                tracing::warn!(process = peer, "rejected a second connection of a process");
                continue;
            }
            self.compare(peer, &handshake)?;
            if !known {
                let what = format!("it says that it is process {peer}");
                return Err(self.other_job(peer, what));
            }
            if replied.is_ok() {
                self.sockets[peer] = Some(socket);
            }
        }
        Ok(())
    }

    fn compare(&self, peer: usize, theirs: &Handshake) -> Result<(), ClusterError> {
        let ours = Handshake::new(self.workers, self.job, peer);
        match theirs.refused.clone().or_else(|| ours.differs_from(theirs)) {
            Some(what) => Err(self.other_job(peer, what)),
            None => Ok(()),
        }
    }

    fn other_job(&self, process: usize, what: String) -> ClusterError {
        let unknown = || "an address that is not among the hosts".to_owned();
        let address = self.workers.hosts().get(process).cloned().unwrap_or_else(unknown);
        ClusterError::OtherJob { process, address, what }
    }

    fn sockets(self) -> Result<Vec<Option<TcpStream>>, ClusterError> {
        let keepalive = TcpKeepalive::new().with_time(SILENCE / 3).with_interval(SILENCE / 6);
        for socket in self.sockets.iter().flatten() {
            socket.set_read_timeout(None)?;
            // Progress travels in small messages that others wait for.
            socket.set_nodelay(true)?;
            let options = SockRef::from(socket);
            options.set_tcp_keepalive(&keepalive)?;
            #[cfg(target_os = "linux")]
            options.set_tcp_user_timeout(Some(SILENCE))?;
        }
        Ok(self.sockets)
    }
}

fn listen(address: &str) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn dial(address: &str) -> io::Result<TcpStream> {
    let mut trouble = io::Error::new(ErrorKind::NotFound, "the name is unknown");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CALL) {
            // A port of this computer without a listener may, by chance, call itself.
            Ok(socket) if socket.local_addr()? == socket.peer_addr()? => {
                trouble = ErrorKind::ConnectionRefused.into();
            }
            Ok(socket) => return Ok(socket),
            Err(error) => trouble = error,
        }
    }
    Err(trouble)
}

/// Whether the other side has not hung up.
fn is_alive(socket: &TcpStream) -> bool {
    let mut byte = [0];
    if socket.set_nonblocking(true).is_err() {
        return false;
    }
    let alive = match socket.peek(&mut byte) {
        Ok(read) => read > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    };
    socket.set_nonblocking(false).is_ok() && alive
}
