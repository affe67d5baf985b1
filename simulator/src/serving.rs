//! A server on a thread of its own, and the handle that stops it.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// A server that is running, and what it has done so far.
pub struct Running<T> {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it has done so far.
    pub tally: Arc<T>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl<T> Running<T> {
    /// Whether it has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends it and waits.
    ///
    /// # Errors
    /// When the server had failed.
    pub fn stop(mut self) -> io::Result<()> {
        self.stop.store(true, Ordering::Release);
        match self.thread.take() {
            Some(thread) => thread.join().unwrap_or_else(|_| Err(io::Error::other("panic"))),
            None => Ok(()),
        }
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// Starts a server: `serve` gets the listener, and a flag that asks it to end.
///
/// # Errors
/// When the address cannot be listened at.
pub fn start<T, F>(
    name: &str,
    listen: SocketAddr,
    tally: Arc<T>,
    serve: impl FnOnce(TcpListener, Arc<AtomicBool>) -> F + Send + 'static,
) -> io::Result<Running<T>>
where
    F: Future<Output = io::Result<()>>,
{
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let thread = Builder::new().name(name.to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let result = runtime.block_on(serve(listener, flag));
        // Connections that a client keeps open are no reason to stay.
        runtime.shutdown_timeout(Duration::from_millis(100));
        result
    })?;
    Ok(Running { address, tally, stop, thread: Some(thread) })
}

/// Waits until the flag is raised.
pub async fn stopped(flag: &AtomicBool) {
    while !flag.load(Ordering::Acquire) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
