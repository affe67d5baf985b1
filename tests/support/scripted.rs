//! A venue that plays a script: what each of its connections brings, one after the other, and what its
//! REST answers.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use super::process::wait_until;

/// What a connection does.
#[derive(Clone, Debug)]
pub enum Act {
    Say(String),
    /// Waits until the test says so.
    Wait(Arc<AtomicBool>),
    /// Ends without a word.
    Cut,
}

/// An answer of REST: the status line without its version, with further headers, and the body.
pub type Answer = (String, String);

/// How far a script is.
#[derive(Clone, Default)]
pub struct Progress {
    played: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

impl Progress {
    /// Waits until so many connections have said everything.
    pub fn wait_for(&self, connections: usize) {
        wait_until("the script's connections", || {
            self.played.load(Ordering::Acquire) >= connections
        });
    }

    /// How many requests there were.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Acquire)
    }
}

/// A running one; its threads end with the test.
pub struct ScriptedVenue {
    pub address: String,
    pub progress: Progress,
}

impl ScriptedVenue {
    /// Plays the n-th script on the n-th connection; later connections bring nothing. `rest` answers
    /// requests, counted from 1, by their path.
    pub fn start(
        scripts: Vec<Vec<Act>>,
        rest: impl Fn(&str, &Progress) -> Answer + Send + Sync + 'static,
    ) -> Self {
        // Which symbols there are is not part of most scripts.
        Self::play(scripts, String::new(), rest)
    }

    /// Plays such scripts as a Binance whose REST lists one symbol, and no trades.
    pub fn listing(symbol: &str, scripts: Vec<Vec<Act>>) -> Self {
        let listed = json!([{"symbol": symbol, "price": "1.0"}]).to_string();
        Self::play(scripts, listed, |_, _| ("200 OK".to_owned(), "[]".to_owned()))
    }

    fn play(
        scripts: Vec<Vec<Act>>,
        listed: String,
        rest: impl Fn(&str, &Progress) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let progress = Progress::default();
        let (at, rest) = (progress.clone(), Arc::new(rest));
        let listed: Arc<str> = listed.into();
        thread::spawn(move || {
            let mut scripts = scripts.into_iter();
            for stream in listener.incoming().map_while(Result::ok) {
                let head = peek(&stream);
                let (at, rest) = (at.clone(), Arc::clone(&rest));
                let listed = Arc::clone(&listed);
                if head.to_lowercase().contains("upgrade: websocket") {
                    let script = scripts.next().unwrap_or_default();
                    let subscribes = !head.contains("streams=");
                    thread::spawn(move || drop(play(stream, subscribes, script, &at)));
                } else {
                    thread::spawn(move || drop(answer(stream, &listed, &*rest, &at)));
                }
            }
        });
        Self { address, progress }
    }
}

/// The head of a request, which stays to be read.
fn peek(stream: &TcpStream) -> String {
    let mut head = [0; 4096];
    let mut text = String::new();
    wait_until("the head of a request", || {
        let read = stream.peek(&mut head).unwrap_or(0);
        text = String::from_utf8_lossy(&head[..read]).into_owned();
        text.contains("\r\n\r\n") || read == 0
    });
    text
}

fn play(
    stream: TcpStream,
    subscribes: bool,
    script: Vec<Act>,
    at: &Progress,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut socket: WebSocket<TcpStream> = tungstenite::accept(stream)?;
    let mut waits = subscribes;
    while waits {
        waits = !respond(&mut socket)?;
    }
    for act in script {
        match act {
            Act::Say(text) => socket.send(Message::text(text))?,
            Act::Wait(gate) => wait_until("the test", || gate.load(Ordering::Acquire)),
            Act::Cut => {
                at.played.fetch_add(1, Ordering::AcqRel);
                return Ok(socket.get_ref().shutdown(Shutdown::Write)?);
            }
        }
    }
    at.played.fetch_add(1, Ordering::AcqRel);
    loop {
        respond(&mut socket)?;
    }
}

/// Reads a message and answers it; whether it was a subscription.
fn respond(socket: &mut WebSocket<TcpStream>) -> Result<bool, Box<dyn std::error::Error>> {
    let Message::Text(text) = socket.read()? else { return Ok(false) };
    let said: Value = serde_json::from_str(text.as_str())?;
    let op = said["op"].as_str().unwrap_or_default().to_owned();
    let reply = json!({"success": true, "ret_msg": op, "req_id": said["req_id"], "op": op});
    socket.send(Message::text(reply.to_string()))?;
    Ok(op == "subscribe")
}

fn answer(
    mut stream: TcpStream,
    listed: &str,
    rest: &(dyn Fn(&str, &Progress) -> Answer + Send + Sync),
    at: &Progress,
) -> std::io::Result<()> {
    let mut request = [0; 4096];
    let read = stream.read(&mut request)?;
    let request = String::from_utf8_lossy(&request[..read]).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let (status, body) = if path.ends_with("/ticker/price") {
        let status = if listed.is_empty() { "404 Not Found" } else { "200 OK" };
        (status.to_owned(), listed.to_owned())
    } else {
        at.requests.fetch_add(1, Ordering::AcqRel);
        rest(path, at)
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A trade of a script: its number, seconds since the script's begin, price.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    pub id: u64,
    pub seconds: i64,
    pub price: u64,
}

/// 2024-03-01.
pub const BEGIN: i64 = 1_709_251_200;

/// The trades of these numbers: one a second, each at a price of its own.
pub fn rows(ids: impl IntoIterator<Item = u64>) -> Vec<Row> {
    ids.into_iter().map(|id| Row { id, seconds: id as i64, price: 100 + id }).collect()
}

/// Frames of Binance's spot stream.
pub fn binance(rows: &[Row]) -> Vec<Act> {
    let frame = |row: &Row| {
        let time = (BEGIN + row.seconds) * 1_000_000;
        let data = json!({
            "e": "trade", "E": time, "s": "BTCUSDT", "t": row.id, "p": row.price.to_string(),
            "q": "1", "T": time, "m": false, "M": true
        });
        Act::Say(json!({"stream": "btcusdt@trade", "data": data}).to_string())
    };
    rows.iter().map(frame).collect()
}

/// A page of Binance's REST: of all rows, those from the id on that a path asks for.
pub fn binance_page(path: &str, all: &[Row]) -> Answer {
    let from = path.split("fromId=").nth(1).and_then(|rest| rest.split('&').next());
    let from: u64 = from.unwrap().parse().unwrap();
    let row = |row: &Row| {
        json!({
            "id": row.id, "price": row.price.to_string(), "qty": "1", "quoteQty": "1",
            "time": (BEGIN + row.seconds) * 1_000_000, "isBuyerMaker": false, "isBestMatch": true
        })
    };
    let rows: Vec<Value> = all.iter().filter(|row| row.id >= from).map(row).collect();
    ("200 OK".to_owned(), Value::from(rows).to_string())
}

/// Frames of Bybit's spot stream.
pub fn bybit(rows: &[Row]) -> Vec<Act> {
    let frame = |row: &Row| {
        let time = (BEGIN + row.seconds) * 1_000;
        let data = json!([{
            "i": row.id.to_string(), "T": time, "p": row.price.to_string(), "v": "1", "S": "Buy",
            "s": "BTCUSDT", "BT": false, "seq": row.id
        }]);
        let topic = "publicTrade.BTCUSDT";
        let frame = json!({"topic": topic, "type": "snapshot", "ts": time, "data": data});
        Act::Say(frame.to_string())
    };
    rows.iter().map(frame).collect()
}

/// A list of Bybit's REST.
pub fn bybit_list(rows: &[Row]) -> Answer {
    let row = |row: &Row| {
        json!({
            "execId": row.id.to_string(), "symbol": "BTCUSDT", "price": row.price.to_string(),
            "size": "1", "side": "Buy", "time": ((BEGIN + row.seconds) * 1_000).to_string(),
            "isBlockTrade": false, "seq": row.id.to_string()
        })
    };
    let list: Vec<Value> = rows.iter().rev().map(row).collect();
    let result = json!({"category": "spot", "list": list});
    ("200 OK".to_owned(), json!({"retCode": 0, "retMsg": "OK", "result": result}).to_string())
}
