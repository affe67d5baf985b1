//! One connection from dialling to its end.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::sync::{oneshot, watch};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::Error as WsError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::Session;
use super::dial::{Socket, dial};
use super::end::{End, not_connected};
use super::rate_limiter::RateLimiter;
use super::subscriber::{Carried, Subscriber};
use crate::feeds::print::Listing;
use crate::feeds::venue::Keepalive;
use crate::recording::Direction;
use crate::telemetry::clock::received_ns;

/// How long dialling and the handshakes may take.
const DIALLING: Duration = Duration::from_secs(10);

/// How long a venue may take nothing of what we send.
const SENDING: Duration = Duration::from_secs(10);

/// Bytes of answers (pongs) that wait for a venue to read them; what comes after them replaces the last.
const UNSENT: usize = 1 << 20;

/// Bytes read at once: tokio lets others of the thread have their turn after 128 reads, whatever they hold.
const READ: usize = 16 << 10;

/// Frames read in one go before the rest of the feed gets its turn.
const FRAMES_AT_ONCE: usize = 256;

/// Handles by which a connection is watched and ended.
pub(super) struct Handles {
    /// Notified once everything is subscribed.
    pub(super) up: Option<oneshot::Sender<()>>,
    /// True: close in good order.
    pub(super) retire: watch::Receiver<bool>,
    /// Counts the frames that come.
    pub(super) heard: Rc<Cell<u64>>,
    /// The slots that it carries.
    pub(super) carried: Rc<Carried>,
}

/// Runs one connection that carries `slots` of the feed.
pub(super) async fn run(session: &Session, slots: &[u32], handles: Handles) -> End {
    let Handles { up, mut retire, heard, carried } = handles;
    let mut ending = session.ending.subscribe();
    let slots: Rc<[u32]> = {
        let state = session.state.borrow();
        slots.iter().copied().filter(|slot| state.is_active(*slot)).collect()
    };
    if slots.is_empty() {
        return End::Closed;
    }
    let listings: Arc<[Listing]> = {
        let state = session.state.borrow();
        slots.iter().map(|slot| state.symbol(*slot).listing.clone()).collect()
    };
    let number = {
        let mut numbered = session.numbered.borrow_mut();
        *numbered += 1;
        *numbered - 1
    };
    let mut connection = tokio::select! {
        dialled = Connection::dial(session, Arc::clone(&listings), slots, number, heard) => match dialled {
            Ok(connection) => connection,
            Err(end) => return end,
        },
        _ = ending.wait_for(|ending| *ending) => return End::Closed,
        _ = retire.wait_for(|retire| *retire) => return End::Closed,
    };
    let slots: Rc<[u32]> = Rc::clone(&connection.slots);
    let subscriber = Subscriber::new(session, &slots, listings, carried, up);
    let end = tokio::select! {
        // However much a venue sends, the end is noticed.
        biased;
        _ = ending.wait_for(|ending| *ending) => End::Closed,
        _ = retire.wait_for(|retire| *retire) => End::Closed,
        end = connection.read(subscriber) => end,
    };
    if matches!(end, End::Closed | End::Refused(_) | End::Silent(_)) {
        let closing = connection.socket.close(None);
        let _ = tokio::time::timeout(Duration::from_millis(300), closing).await;
    }
    end
}

struct Connection<'a> {
    session: &'a Session,
    socket: Socket,
    slots: Rc<[u32]>,
    listings: Arc<[Listing]>,
    number: u32,
    /// Messages that we may send in a second.
    sends: RateLimiter,
    heard: Rc<Cell<u64>>,
}

/// When things have to happen without being asked.
struct Timers {
    keepalive: Option<Keepalive>,
    next_beat: Option<Instant>,
    next_send: Instant,
    last_heard: Instant,
    stale_after: Duration,
    pinged: bool,
}

impl Timers {
    fn new(keepalive: Option<Keepalive>, stale_after: Duration, now: Instant) -> Self {
        let next_beat = keepalive.as_ref().map(|beat| now + beat.every);
        Self { keepalive, next_beat, next_send: now, last_heard: now, stale_after, pinged: false }
    }

    fn heard(&mut self, now: Instant) {
        self.last_heard = now;
        self.pinged = false;
    }

    fn stale(&self) -> Instant {
        self.last_heard + self.stale_after
    }

    /// When the next of these is due, and what waits to be sent.
    fn wake(&self, sends: bool, subscriber: Option<Instant>) -> Instant {
        let silence =
            if self.pinged { self.stale() } else { self.last_heard + self.stale_after / 2 };
        let send = sends.then_some(self.next_send);
        [send, self.next_beat, subscriber].into_iter().flatten().fold(silence, Instant::min)
    }

    /// The pings that are due.
    fn pings(&mut self, now: Instant) -> Vec<Message> {
        let mut pings = Vec::new();
        if now >= self.last_heard + self.stale_after / 2 && !self.pinged {
            self.pinged = true;
            pings.push(Message::Ping(Bytes::new()));
        }
        if let (Some(beat), Some(at)) = (&self.keepalive, self.next_beat)
            && now >= at
        {
            self.next_beat = Some(now + beat.every);
            pings.push(beat.text.map_or(Message::Ping(Bytes::new()), Message::text));
        }
        pings
    }
}

impl<'a> Connection<'a> {
    async fn dial(
        session: &'a Session,
        listings: Arc<[Listing]>,
        slots: Rc<[u32]>,
        number: u32,
        heard: Rc<Cell<u64>>,
    ) -> Result<Self, End> {
        let wait = session.connects.borrow_mut().spend(1, Instant::now());
        tokio::time::sleep(wait).await;
        let plan = &session.plan;
        let path = plan.venue.websocket_path(plan.channel, &listings);
        let base = session.access.websocket();
        let url = base.below(&path);
        let unreachable = |reason: String| End::Unreachable { url: base.to_string(), reason };
        let mut request =
            url.exposed().into_client_request().map_err(|e| unreachable(e.to_string()))?;
        if let Some(login) = url.login() {
            let value = login.header().parse();
            request.headers_mut().insert("Authorization", value.map_err(|_| End::Closed)?);
        }
        let agent = concat!("barflow/", env!("CARGO_PKG_VERSION"));
        request.headers_mut().insert("User-Agent", agent.parse().map_err(|_| End::Closed)?);
        let config = limits(plan.frame_bytes_max);
        let access = &session.access;
        let dialling = dial(request, config, access.websocket_proxy(), access.connector());
        let socket = match tokio::time::timeout(DIALLING, dialling).await {
            Err(_) => return Err(unreachable(format!("no response within {DIALLING:?}"))),
            Ok(Err(error)) => return Err(not_connected(base, error)),
            Ok(Ok(socket)) => socket,
        };
        // A little below the limit: pings count as well, and clocks differ.
        let per_second = (plan.venue.limits().messages_per_second * 4 / 5).max(1);
        let sends = RateLimiter::new((per_second, Duration::from_secs(1)));
        let connection = Self { session, socket, slots, listings, number, sends, heard };
        connection.record(Direction::Connect, url.to_string().as_bytes());
        Ok(connection)
    }

    /// Subscribes, then reads until the connection ends.
    async fn read(&mut self, mut subscriber: Subscriber<'_>) -> End {
        let plan = Arc::clone(&self.session.plan);
        self.session.begins(&self.slots);
        let mut unsent: VecDeque<String> = VecDeque::new();
        let mut decoder = plan.venue.decoder(plan.channel, Arc::clone(&self.listings));
        let mut timers = Timers::new(plan.venue.keepalive(), plan.stale_after, Instant::now());
        loop {
            if unsent.is_empty() {
                unsent.extend(subscriber.messages(Instant::now()));
            }
            if let Err(end) = subscriber.settle(Instant::now()) {
                return end;
            }
            // One timer for all that has to happen without being asked.
            let sends = !unsent.is_empty() || subscriber.has_next();
            let wake = timers.wake(sends, subscriber.wake());
            let stale = timers.stale();
            tokio::select! {
                biased;
                heard = self.socket.next() => {
                    timers.heard(Instant::now());
                    if let Err(end) = self.read_frames(heard, decoder.as_mut(), &mut subscriber) {
                        self.session.state.borrow_mut().flush();
                        return end;
                    }
                }
                () = tokio::time::sleep_until(wake.into()) => {
                    let now = Instant::now();
                    if now >= stale {
                        return End::Silent(plan.stale_after);
                    }
                    if let Err(end) = subscriber.on_time(now) {
                        return end;
                    }
                    for ping in timers.pings(now) {
                        if let Err(end) = self.send(ping).await {
                            return end;
                        }
                    }
                    if now >= timers.next_send && let Some(message) = unsent.pop_front() {
                        if let Err(end) = self.send(Message::text(message)).await {
                            return end;
                        }
                        timers.next_send = now + self.sends.spend(1, Instant::now());
                    }
                }
            }
        }
    }

    /// Takes what has come, and all that came with it, then lets the graph have it.
    fn read_frames(
        &mut self,
        first: Option<Result<Message, WsError>>,
        decoder: &mut dyn crate::feeds::venue::Decode,
        subscriber: &mut Subscriber<'_>,
    ) -> Result<(), End> {
        let mut next = Some(first);
        let mut frames = 0;
        let mut ended = Ok(());
        while let Some(message) = next {
            let received = received_ns();
            let frame = match &message {
                None => {
                    ended = Err(End::Lost("the venue closed it".to_owned()));
                    break;
                }
                Some(Err(error)) => {
                    ended = Err(End::Lost(error.to_string()));
                    break;
                }
                Some(Ok(Message::Text(text))) => Some(text.as_bytes()),
                Some(Ok(Message::Binary(bytes))) => Some(bytes.as_ref()),
                Some(Ok(Message::Close(close))) => {
                    let why = close.as_ref().map(|close| close.to_string());
                    ended =
                        Err(End::Lost(format!("closed by the venue {}", why.unwrap_or_default())));
                    break;
                }
                // tungstenite answers pings by itself.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => None,
            };
            if let Some(frame) = frame {
                self.record_at(received, Direction::Received, frame);
                let mut state = self.session.state.borrow_mut();
                let kind = state.on_frame(frame, decoder, &self.slots, received);
                subscriber.take(&kind, Instant::now());
                // A quiet graph is not kept waiting for the rest of a burst; a busy one takes
                // larger pieces, which cost it less.
                if state.graph_is_idle() {
                    state.flush();
                }
            }
            frames += 1;
            self.heard.set(self.heard.get() + 1);
            next = if frames < FRAMES_AT_ONCE { self.socket.next().now_or_never() } else { None };
        }
        self.session.state.borrow_mut().flush();
        ended
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        if let Message::Text(text) = &message {
            self.record(Direction::Sent, text.as_bytes());
        }
        match tokio::time::timeout(SENDING, self.socket.send(message)).await {
            Ok(sent) => sent.map_err(|error| End::Lost(error.to_string())),
            Err(_) => Err(End::Lost(format!("the venue took nothing for {SENDING:?}"))),
        }
    }

    fn record(&self, direction: Direction, frame: &[u8]) {
        self.record_at(received_ns(), direction, frame);
    }

    fn record_at(&self, at: i64, direction: Direction, frame: &[u8]) {
        if let Some(recorder) = &self.session.recorder {
            recorder.take(at, self.number, direction, frame);
        }
    }
}

/// What a venue may make us hold and do.
fn limits(frame_bytes: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(frame_bytes))
        .max_frame_size(Some(frame_bytes))
        .max_write_buffer_size(UNSENT)
        .read_buffer_size(READ)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, ready};

    use futures_util::{FutureExt, StreamExt};
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
    use tokio::task::coop::cooperative;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;

    /// A venue that sends empty parts of a message as fast as they are read; counts its bytes.
    struct Endless(usize);

    impl AsyncRead for Endless {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            // As for a socket, it is one of the reads that a task has before others have their turn.
            ready!(pin!(cooperative(std::future::ready(()))).poll(context));
            // The first part is a text, of which there is more; the others continue it.
            let first: &[u8] = if self.0 == 0 { &[1, 0] } else { &[] };
            let rest = vec![0; (buffer.remaining() - first.len()) & !1];
            buffer.put_slice(first);
            buffer.put_slice(&rest);
            self.0 += first.len() + rest.len();
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Endless {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn parts_of_a_message_without_an_end_leave_others_their_turn() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let config = limits(1 << 20);
            let venue = Endless(0);
            let mut socket =
                WebSocketStream::from_raw_socket(venue, Role::Client, Some(config)).await;
            assert!(socket.next().now_or_never().is_none());
            let read = socket.get_ref().0;
            assert!(read > 0 && read <= 4 << 20, "{read} bytes before the signal is looked at");
        });
    }
}
