//! HTTP on a port that strangers may reach.
//!
//! **Invariant:** a client takes no more than a connection of a limited number, a head of limited size, and as
//! much time as it makes use of. A connection that waits for a request gives way to a new one; one that does
//! not take its response is closed; and when the system refuses connections, the server pauses.

mod limits;
mod places;
mod refusals;
mod slots;
mod socket;

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

pub use limits::Limits;
use places::{Answering, Place, Places};
use refusals::Refusals;
use socket::Socket;

/// Serves until it is dropped, or the listener cannot be used. `name` is what the log calls the server.
///
/// # Errors
/// When the listener cannot be used.
pub async fn serve<S, B>(
    name: &'static str,
    listener: std::net::TcpListener,
    limits: Limits,
    service: S,
) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>> + Send,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let places = Places::new(limits.connections);
    let mut refusals = Refusals::default();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) if refusals::is_of_the_client(&error) => continue,
            Err(error) => {
                if let Some(count) = refusals.count(Instant::now()) {
                    tracing::warn!(
                        %error,
                        "{name} cannot accept connections (failed {count} times since the last line of \
                         this kind); trying again every second"
                    );
                }
                // What is missing, such as file handles, does not come back by asking for it.
                tokio::time::sleep(refusals::PAUSE).await;
                continue;
            }
        };
        // A message that waits for company is late.
        let _ = stream.set_nodelay(true);
        // Further clients wait in the system's queue.
        let place = places.take().await;
        tokio::spawn(attend(stream, place, limits, service.clone()));
    }
}

/// Looks after one connection.
async fn attend<S, B>(stream: TcpStream, place: Arc<Place>, limits: Limits, service: S)
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let answers = Arc::clone(&place);
    let service = service_fn(move |request| {
        let answering = Answering::begin(&answers);
        let response = service.call(request);
        async move {
            let response = response.await?;
            let answering = match response.status() {
                // What the client wanted is the connection itself.
                StatusCode::SWITCHING_PROTOCOLS => answering.with_no_end(),
                _ => answering,
            };
            Ok::<_, S::Error>(response.map(|body| Answer { body, _answering: answering }))
        }
    });
    let given_up = Arc::clone(&place);
    let io = TokioIo::new(Socket::new(stream, place, limits.stall));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_header_size(limits.head_bytes)
        .max_buf_size(limits.head_bytes.max(Limits::LEAST_BUFFER))
        .serve_connection(io, service)
        .with_upgrades();
    tokio::select! {
        // However it ended, the client knows.
        _ = connection => {}
        () = given_up.evicted() => {}
    }
}

/// The body of a response; while it lasts, the connection does not give way to another one.
struct Answer<B> {
    body: B,
    _answering: Answering,
}

impl<B: Body + Unpin> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
