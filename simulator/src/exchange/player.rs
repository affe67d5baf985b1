//! Plays the tape: which trade happens when, and which clients are sent it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::faults::{Kind, Sent};
use super::protocol::Client;
use super::state::{Connection, Out, QUEUE, ServerState, lock};
use super::{Speed, Tally};

/// Time for the other connections of the first client to subscribe.
const OVERTURE: Duration = Duration::from_millis(200);

/// How long a tape that goes as fast as its clients read waits for one to come back: longer than a
/// client with growing pauses between its attempts needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(45);

/// How long clients may take to go when they are asked to.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long a client may be behind a tape that has a clock.
const BEHIND: Duration = Duration::from_secs(3);

/// Between two looks at a client that is behind.
const LOOK: Duration = Duration::from_millis(50);

/// What the runtime's timer counts in. Trades that are closer would leave it in bursts, which no
/// venue sends and whose last trade is late by the time the others take: this thread naps between them.
const TICK: Duration = Duration::from_millis(1);

/// What the system's timer is worth waiting for.
const SHORTEST_NAP: Duration = Duration::from_micros(30);

/// So long may somebody who asks have to wait.
const LONGEST_NAP: Duration = Duration::from_micros(200);

/// A frame that clients must reject.
const HUGE: usize = 8 << 20;

/// The position of the tape.
struct Pace {
    began: Instant,
    first_time: i64,
    /// By series: whether somebody has listened and should still.
    followed: Vec<bool>,
    /// Trades that still pass before those who were cut off learn of it.
    outage: u64,
    /// Those who were cut off and do not know yet.
    disconnected: Vec<Arc<Connection>>,
    /// Whether somebody was cut off who has to ask REST when he is back.
    cut: bool,
    /// The turn in which REST is to be asked.
    turn: Option<u64>,
    rng: fastrand::Rng,
}

pub(super) async fn play(state: Arc<ServerState>) {
    list(&state, 0).await;
    while !state.options.start_now && !anybody(&state, |client| client.is_subscribed()) {
        changed(&state).await;
    }
    if !state.options.start_now {
        tokio::time::sleep(OVERTURE).await;
    }
    let order = &state.tape.order;
    let time = |(series, place): (u32, u32)| {
        state.tape.series[series as usize].trades()[place as usize].event_time
    };
    let mut pace = Pace {
        began: Instant::now(),
        first_time: order.first().map_or(0, |first| time(*first)),
        followed: vec![false; state.tape.series.len()],
        outage: 0,
        disconnected: Vec::new(),
        cut: false,
        turn: None,
        rng: fastrand::Rng::with_seed(state.options.seed.wrapping_add(1)),
    };
    let mut at = 0;
    let mut unbroken = 0;
    while at < order.len() && !state.stop.load(Ordering::Acquire) {
        let (series, now) = (order[at].0, time(order[at]));
        let most = state.exchange.trades_per_message();
        let together = order[at..].iter().take(most);
        let count = together.take_while(|next| next.0 == series && time(**next) == now).count();
        let last = order[at + count - 1].1 as usize + 1;
        if last == state.tape.series[series as usize].trades().len() {
            // The last trade shows what is missing: somebody should be there to hear it.
            pace.outage = 0;
            cut(&state, &mut pace).await;
        }
        list(&state, at).await;
        wait(&state, &mut pace, series, now, at).await;
        tell(&state, &mut pace, &order[at..at + count]).await;
        at += count;
        unbroken += 1;
        if unbroken % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    cut(&state, &mut pace).await;
    state.tally.ended.store(true, Ordering::Release);
    if state.options.once {
        for connection in state.connections() {
            let _ = hand_over(&state, &connection, Out::Close).await;
        }
        let deadline = Instant::now() + FAREWELL;
        while !state.connections().is_empty() && Instant::now() < deadline {
            changed(&state).await;
        }
        state.stop.store(true, Ordering::Release);
    }
}

/// Takes the last instrument off the list, or puts it back, if it is time. Connections end with it.
async fn list(state: &ServerState, happened: usize) {
    let delists = state.options.faults.delists(happened);
    if !state.tape.delist(delists) || !delists {
        return;
    }
    state.tally.count(Kind::Delist);
    for connection in state.connections() {
        {
            let mut client = lock(&connection.client);
            *client = Client::new(client.number, state.tape.series.len());
        }
        let _ = hand_over(state, &connection, Out::Close).await;
    }
}

fn anybody(state: &ServerState, is: impl Fn(&Client) -> bool) -> bool {
    state.connections().iter().any(|connection| is(&lock(&connection.client)))
}

/// Until a client subscribes or goes, or a moment: the notice may have come before we listened.
async fn changed(state: &ServerState) {
    let _ = tokio::time::timeout(Duration::from_millis(20), state.changed.notified()).await;
}

/// Waits until a trade's time has come.
async fn wait(state: &ServerState, pace: &mut Pace, series: u32, time: i64, at: usize) {
    let due = match state.options.speed {
        Speed::Times(times) => {
            let ns = (time - pace.first_time).max(0) as f64 / times;
            pace.began + Duration::from_nanos(ns as u64)
        }
        Speed::Rate(rate) => pace.began + Duration::from_secs_f64(at as f64 / rate),
        Speed::Max if state.tape.is_delisted(series) => return,
        Speed::Max => return wait_for_listener(state, pace, series).await,
    };
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left < SHORTEST_NAP {
            return;
        }
        if left > TICK {
            return tokio::time::sleep_until(due.into()).await;
        }
        // What was told is sent, and who asked is answered, before everybody here sleeps.
        tokio::task::yield_now().await;
        std::thread::sleep(left.min(LONGEST_NAP));
    }
}

/// A tape without a clock of its own must not run on while a client that lost its
/// connection comes back: real time would have let only so many trades pass. Where REST lists the
/// newest trades only, not before the client could ask for them either.
async fn wait_for_listener(state: &ServerState, pace: &mut Pace, series: u32) {
    let at = series as usize;
    let deadline = Instant::now() + PATIENCE;
    loop {
        if anybody(state, |client| client.wants(series)) {
            pace.followed[at] = true;
            if std::mem::take(&mut pace.cut) {
                // A list that was begun before may lack what passed meanwhile.
                pace.turn = Some(state.tally.turns.fetch_add(1, Ordering::AcqRel) + 1);
            }
            let answered = state.tally.answered.load(Ordering::Acquire);
            let asked = pace.turn.is_none_or(|turn| answered >= turn);
            let over = Instant::now() >= deadline || state.stop.load(Ordering::Acquire);
            if asked || over {
                pace.turn = None;
                return;
            }
            changed(state).await;
            continue;
        }
        if !pace.followed[at] || pace.outage > 0 {
            return;
        }
        if Instant::now() >= deadline || state.stop.load(Ordering::Acquire) {
            // It was not cut off, it went.
            pace.followed[at] = false;
            return;
        }
        changed(state).await;
    }
}

/// Lets trades of one series happen, and sends them to all subscribers.
async fn tell(state: &ServerState, pace: &mut Pace, trades: &[(u32, u32)]) {
    let series = trades[0].0;
    let of = &state.tape.series[series as usize];
    for _ in trades {
        of.play();
    }
    state.tally.played.fetch_add(trades.len() as u64, Ordering::Relaxed);
    pace.outage = pace.outage.saturating_sub(trades.len() as u64);
    let listed = if state.tape.is_delisted(series) { Vec::new() } else { state.connections() };
    for connection in listed {
        let orders = orders(state, &connection, trades);
        for order in orders {
            if matches!(order, Out::Cut) && state.options.speed == Speed::Max {
                pace.outage = pace.rng.u64(0..=state.exchange.outage_most());
                pace.disconnected.push(Arc::clone(&connection));
                break;
            }
            // A client that has gone hears nothing.
            if hand_over(state, &connection, order).await.is_err() {
                break;
            }
        }
    }
    if pace.outage == 0 {
        cut(state, pace).await;
    }
}

/// The client is not there any more.
struct Gone;

/// Puts an order into a client's queue. A tape as fast as its clients waits for the slowest of them. One that
/// has a clock does not: who is behind for too long has to go, as at a venue.
async fn hand_over(state: &ServerState, connection: &Connection, order: Out) -> Result<(), Gone> {
    if connection.gone.load(Ordering::Acquire) {
        return Err(Gone);
    }
    if state.options.speed == Speed::Max {
        return connection.queue.send(order).await.map_err(|_| Gone);
    }
    loop {
        let full = connection.queue.capacity() == 0;
        let since = {
            let mut behind = lock(&connection.behind);
            let keeps_up = connection.queue.capacity() > QUEUE / 2;
            if keeps_up || connection.stalls.load(Ordering::Acquire) {
                *behind = None;
            } else if full {
                behind.get_or_insert_with(Instant::now);
            }
            *behind
        };
        if since.is_some_and(|since| since.elapsed() > BEHIND) {
            connection.gone.store(true, Ordering::Release);
            connection.too_slow.notify_one();
            return Err(Gone);
        }
        match tokio::time::timeout(LOOK, connection.queue.reserve()).await {
            Ok(Ok(place)) => {
                place.send(order);
                return Ok(());
            }
            Ok(Err(_)) => return Err(Gone),
            Err(_) => {}
        }
    }
}

/// Tells those who were cut off. Had they been told at once, how many trades they miss would be a
/// race between them and the tape, and no seed could repeat it.
async fn cut(state: &ServerState, pace: &mut Pace) {
    pace.cut |= !pace.disconnected.is_empty() && state.exchange.lists_recent_only();
    for connection in pace.disconnected.drain(..) {
        let _ = hand_over(state, &connection, Out::Cut).await;
    }
}

/// What one client is sent when these trades happen.
fn orders(state: &ServerState, connection: &Connection, trades: &[(u32, u32)]) -> Vec<Out> {
    let mut client = lock(&connection.client);
    let series = trades[0].0;
    if !client.wants(series) {
        return Vec::new();
    }
    let of = &state.tape.series[series as usize];
    let mut sent = Vec::with_capacity(trades.len());
    {
        let mut injector = lock(&connection.injector);
        let now = state.began.elapsed();
        for (series, place) in trades {
            let last = *place as usize + 1 == of.trades().len();
            injector.trade(*series, *place, last, now, &mut sent);
        }
        note(&state.tally, injector.take_counts());
    }
    let mut orders = Vec::with_capacity(sent.len());
    let mut places: Vec<u32> = Vec::new();
    for one in sent {
        if let Sent::Trade(_, place) = one {
            places.push(place);
            continue;
        }
        push(state, series, &mut places, &mut client, &mut orders);
        match one {
            Sent::Garbage(drawn) => {
                let example = state.exchange.push(of, series, &[trades[0].1], &mut client);
                let price = of.trades()[trades[0].1 as usize].price;
                orders.push(garbage(drawn, &example.concat(), price));
            }
            Sent::Unknown => {
                orders.push(Out::Text(r#"{"novelty":"nobody knows this"}"#.to_owned()))
            }
            Sent::Huge => orders.push(Out::Text("x".repeat(HUGE))),
            Sent::Stall(pause) => orders.push(Out::Stall(pause)),
            Sent::Disconnect => {
                // From now on it hears nothing, even while the cut waits in the queue.
                *client = Client::new(client.number, state.tape.series.len());
                orders.push(Out::Cut);
                return orders;
            }
            Sent::Trade(..) => {}
        }
    }
    push(state, series, &mut places, &mut client, &mut orders);
    orders
}

fn push(
    state: &ServerState,
    series: u32,
    places: &mut Vec<u32>,
    client: &mut Client,
    orders: &mut Vec<Out>,
) {
    if !places.is_empty() {
        let of = &state.tape.series[series as usize];
        let messages = state.exchange.push(of, series, places, client);
        orders.extend(messages.into_iter().map(Out::Text));
        places.clear();
    }
}

fn note(tally: &Tally, counts: [u64; super::faults::KINDS.len()]) {
    for (total, more) in tally.faults.iter().zip(counts) {
        if more > 0 {
            total.fetch_add(more, Ordering::Relaxed);
        }
    }
}

/// An invalid message, made from a valid one.
fn garbage(drawn: u32, example: &str, price: f64) -> Out {
    match drawn % 5 {
        0 => Out::Text(example.chars().take(example.len() / 2).collect()),
        1 => Out::Binary(drawn.to_le_bytes().repeat(16)),
        2 => Out::Text(
            r#"{"stream":1,"data":{"e":17},"channel":{},"topic":[],"arg":7,"type":null}"#
                .to_owned(),
        ),
        // Another sign makes it a valid message with an invalid row.
        3 => Out::Text(example.replacen(&price.to_string(), &format!("-{price}"), 1)),
        _ => Out::Text("[".repeat(4096)),
    }
}
