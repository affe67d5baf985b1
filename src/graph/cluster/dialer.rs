//! Calls to another process, on a thread of their own: looking up a name and waiting for an answer take time in which
//! others are to be heard.

use std::io::{self, ErrorKind};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::Builder;
use std::time::Duration;

use super::secret::ClusterSecret;

/// How long a call may take to be taken.
const CALL: Duration = Duration::from_secs(1);

/// A thread that calls one address, as often as it is asked to; it ends when this is dropped.
pub(super) struct Dialer {
    orders: Sender<()>,
    results: Receiver<io::Result<TcpStream>>,
}

impl Dialer {
    pub(super) fn start(address: String, secret: ClusterSecret) -> io::Result<Self> {
        let (orders, ordered) = channel();
        let (answers, results) = channel();
        Builder::new().name("cluster-dial".to_owned()).spawn(move || {
            while ordered.recv().is_ok() && answers.send(dial(&address, &secret)).is_ok() {}
        })?;
        Ok(Self { orders, results })
    }

    /// Calls once.
    pub(super) fn call(&self) {
        // The thread lives as long as this does; if it does not, there is no result either.
        let _ = self.orders.send(());
    }

    /// What came of the call, once it is known.
    pub(super) fn result(&self) -> Option<io::Result<TcpStream>> {
        match self.results.try_recv() {
            Ok(result) => Some(result),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(io::Error::other("no thread calls it"))),
        }
    }
}

fn dial(address: &str, secret: &ClusterSecret) -> io::Result<TcpStream> {
    let mut trouble = io::Error::new(ErrorKind::NotFound, "the name is unknown");
    for address in address.to_socket_addrs()? {
        if !secret.admits(address.ip()) {
            let text =
                format!("{} is not on this computer; that needs cluster_secret", address.ip());
            trouble = io::Error::new(ErrorKind::PermissionDenied, text);
            continue;
        }
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
