//! One port: a request that wants a websocket gets one, every other is REST.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, Response, StatusCode, Uri, header};
use axum::response::IntoResponse;
use barflow_server::Limits;
use futures_util::SinkExt;
use hyper_util::service::TowerToHyperService;
use tokio::sync::{Notify, mpsc};

use super::faults::{FaultInjector, Kind};
use super::protocol::{Client, Exchange, Query, Request};
use super::state::{Connection, Out, QUEUE, ServerState, lock};
use super::tape::Tape;
use super::{SimulatorOptions, Tally, player};
use crate::serving::stopped;

/// Messages written in one go.
const AT_ONCE: usize = 256;

/// How long a client may take nothing of what is sent to it; a reader that waits for its own sink needs more than
/// one that downloads.
const STALL: Duration = Duration::from_secs(60);

/// How long a websocket may be open before it subscribes to trades.
const SUBSCRIBE: Duration = Duration::from_secs(30);

/// Now, in ns since the Unix epoch.
fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Serves until `stop` is raised, or, with `once`, until the tape has been played.
pub(super) async fn serve(
    listener: TcpListener,
    exchange: Arc<dyn Exchange>,
    tape: Tape,
    options: SimulatorOptions,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
) -> std::io::Result<()> {
    let state = Arc::new(ServerState {
        exchange,
        tape,
        rng: Mutex::new(fastrand::Rng::with_seed(options.seed)),
        options,
        tally,
        stop,
        began: Instant::now(),
        changed: Notify::new(),
        connections: Mutex::new(Vec::new()),
        numbers: AtomicU64::new(0),
    });
    let playing = tokio::spawn(player::play(Arc::clone(&state)));
    let app = Router::new().fallback(answer).with_state(Arc::clone(&state));
    let limits = Limits { stall: STALL, ..Limits::default() };
    let service = TowerToHyperService::new(app);
    tokio::select! {
        served = barflow_server::serve("the simulator", listener, limits, service) => served,
        () = stopped(&state.stop) => {
            playing.abort();
            Ok(())
        }
    }
}

async fn answer(
    State(state): State<Arc<ServerState>>,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response<Body> {
    let query = Query::new(uri.query().unwrap_or_default());
    match upgrade {
        Ok(upgrade) => {
            if state.chance(state.options.faults.refuse) {
                state.tally.count(Kind::Refuse);
                return (StatusCode::SERVICE_UNAVAILABLE, "come back later").into_response();
            }
            let number = state.numbers.fetch_add(1, Ordering::Relaxed);
            let mut client = Client::new(number, state.tape.series.len());
            if !state.exchange.open(uri.path(), &query, &state.tape, &mut client) {
                return (StatusCode::NOT_FOUND, "no websocket here").into_response();
            }
            let upgrade = upgrade.max_message_size(1 << 20);
            upgrade.on_upgrade(move |socket| attend(state, socket, client))
        }
        Err(_) => {
            let unit = headers.get("x-mbx-time-unit").map(|unit| unit.as_bytes());
            let micros = unit == Some(b"MICROSECOND");
            rest(&state, &Request { path: uri.path(), query, micros, now: now_ns() })
        }
    }
}

fn rest(state: &ServerState, request: &Request<'_>) -> Response<Body> {
    state.tally.requests.fetch_add(1, Ordering::Relaxed);
    let turn = state.tally.turns.load(Ordering::Acquire);
    let faults = &state.options.faults;
    if let Some((chance, after)) = faults.rest_429
        && state.chance(chance)
    {
        state.tally.count(Kind::Rest429);
        let after = [(header::RETRY_AFTER, after.to_string())];
        return (StatusCode::TOO_MANY_REQUESTS, after, "too many requests").into_response();
    }
    if state.chance(faults.rest_5xx) {
        state.tally.count(Kind::Rest5xx);
        return (StatusCode::SERVICE_UNAVAILABLE, "upstream is away").into_response();
    }
    let answer = state.exchange.rest(request, &state.tape);
    state.tally.answered.fetch_max(turn, Ordering::Release);
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], answer.body).into_response()
}

/// Looks after one connection.
async fn attend(state: Arc<ServerState>, mut socket: WebSocket, mut client: Client) {
    state.tally.connections.fetch_add(1, Ordering::Relaxed);
    let greeting = state.exchange.greeting(&mut client);
    let (number, seed) = (client.number, state.options.seed);
    let injector = FaultInjector::new(&state.options.faults, seed, number, state.began.elapsed());
    let (queue, mut orders) = mpsc::channel(QUEUE);
    let connection = Arc::new(Connection {
        client: Mutex::new(client),
        injector: Mutex::new(injector),
        queue,
        gone: AtomicBool::new(false),
        behind: Mutex::new(None),
        stalls: AtomicBool::new(false),
        too_slow: Notify::new(),
    });
    lock(&state.connections).push(Arc::clone(&connection));
    if say(&state, &mut socket, greeting).await.is_ok() {
        state.changed.notify_waiters();
        // However it ended, the client knows.
        tokio::select! {
            _ = converse(&state, &mut socket, &connection, &mut orders) => {}
            () = connection.too_slow.notified() => {}
        }
    }
    connection.gone.store(true, Ordering::Release);
    lock(&state.connections).retain(|other| !Arc::ptr_eq(other, &connection));
    state.changed.notify_waiters();
}

async fn say(
    state: &ServerState,
    socket: &mut WebSocket,
    texts: Vec<String>,
) -> Result<(), axum::Error> {
    state.tally.frames.fetch_add(texts.len() as u64, Ordering::Relaxed);
    for text in texts {
        socket.feed(Message::Text(text.into())).await?;
    }
    socket.flush().await
}

async fn converse(
    state: &ServerState,
    socket: &mut WebSocket,
    connection: &Connection,
    orders: &mut mpsc::Receiver<Out>,
) -> Result<(), axum::Error> {
    let mut beats = tokio::time::interval(state.exchange.heartbeat_every());
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut buffer = Vec::with_capacity(AT_ONCE);
    let mut subscribe = std::pin::pin!(tokio::time::sleep(SUBSCRIBE));
    let mut looked = false;
    loop {
        tokio::select! {
            biased;
            () = &mut subscribe, if !looked => {
                looked = true;
                if !lock(&connection.client).is_subscribed() {
                    return socket.send(Message::Close(None)).await;
                }
            }
            said = socket.recv() => match said {
                Some(Ok(Message::Text(text))) => {
                    let answers = {
                        let mut client = lock(&connection.client);
                        state.exchange.hear(text.as_str(), &state.tape, &mut client, now_ns())
                    };
                    say(state, socket, answers).await?;
                    state.changed.notify_waiters();
                }
                Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(Err(error)) => return Err(error),
            },
            _ = beats.tick() => {
                let beat = {
                    let mut client = lock(&connection.client);
                    state.exchange.heartbeat(&state.tape, &mut client, now_ns())
                };
                say(state, socket, beat).await?;
            }
            count = orders.recv_many(&mut buffer, AT_ONCE) => {
                if count == 0 {
                    return Ok(());
                }
                state.tally.frames.fetch_add(count as u64, Ordering::Relaxed);
                for order in buffer.drain(..) {
                    match order {
                        Out::Text(text) => socket.feed(Message::Text(text.into())).await?,
                        Out::Binary(bytes) => socket.feed(Message::Binary(bytes.into())).await?,
                        Out::Stall(pause) => {
                            socket.flush().await?;
                            connection.stalls.store(true, Ordering::Release);
                            tokio::time::sleep(pause).await;
                            connection.stalls.store(false, Ordering::Release);
                        }
                        // What was sent before arrives; there is no close frame.
                        Out::Cut => return socket.flush().await,
                        Out::Close => return socket.send(Message::Close(None)).await,
                    }
                }
                socket.flush().await?;
            }
        }
    }
}
