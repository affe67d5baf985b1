//! An exchange simulator in the test's process, and a client that knows frames and nothing else.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::protocols::Protocol;
use super::rows::rows;
use barflow_operators::trade::Trade;
use barflow_simulator::exchange::exchange;
use barflow_simulator::exchange::tape::{Series, Tape};
use barflow_simulator::exchange::{Running, SimulatorOptions, Speed};
use serde_json::Value;
use tokio_tungstenite::tungstenite::handshake::HandshakeError;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, client};

/// How long anything may take before a test fails: far beyond what a slow machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// As fast as clients read, without faults, from the first subscription on.
pub fn options(faults: &str) -> SimulatorOptions {
    SimulatorOptions {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        speed: Speed::Max,
        faults: faults.parse().unwrap(),
        seed: 7,
        start_now: false,
        once: false,
    }
}

/// Starts a simulator with one instrument.
pub fn start(protocol: Protocol, trades: Vec<Trade>, options: SimulatorOptions) -> Running {
    let series =
        Series::new(protocol.symbol.to_owned(), protocol.contract, trades, protocol.unit).unwrap();
    let exchange = exchange(protocol.name).unwrap();
    barflow_simulator::exchange::start(exchange, Tape::new(vec![series]), options).unwrap()
}

/// How a connection went on.
#[derive(Clone, Debug, PartialEq)]
pub enum Received {
    Text(String),
    Binary(Vec<u8>),
    /// Closed in good order.
    Closed,
    /// Gone without a word.
    Cut,
}

/// A websocket.
pub struct Client(WebSocket<TcpStream>);

impl Client {
    /// The HTTP status where there is no websocket.
    pub fn try_open(address: SocketAddr, path: &str) -> Result<Self, u16> {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        match client(format!("ws://{address}{path}"), stream) {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(HandshakeError::Failure(Error::Http(answer))) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    pub fn open(address: SocketAddr, path: &str) -> Self {
        Self::try_open(address, path).unwrap()
    }

    /// Opens and subscribes.
    pub fn subscribed(address: SocketAddr, protocol: Protocol) -> Self {
        let mut client = Self::open(address, protocol.path);
        client.say(protocol.subscribe);
        client
    }

    pub fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).unwrap();
    }

    pub fn hear(&mut self) -> Received {
        loop {
            match self.0.read() {
                Ok(Message::Text(text)) => return Received::Text(text.as_str().to_owned()),
                Ok(Message::Binary(bytes)) => return Received::Binary(bytes.to_vec()),
                Ok(Message::Close(_)) => return Received::Closed,
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("nothing came in {PATIENCE:?}")
                }
                Err(_) => return Received::Cut,
            }
        }
    }

    pub fn text(&mut self) -> String {
        match self.hear() {
            Received::Text(text) => text,
            other => panic!("{other:?} instead of a message"),
        }
    }

    /// Messages until one has this in it.
    pub fn until(&mut self, part: &str) -> Vec<String> {
        let mut heard = vec![self.text()];
        while !heard[heard.len() - 1].contains(part) {
            heard.push(self.text());
        }
        heard
    }
}

/// GET: status, Retry-After, body.
pub fn get(address: SocketAddr, path: &str, header: (&str, &str)) -> (u16, Option<String>, String) {
    let request = ureq::get(format!("http://{address}{path}")).header(header.0, header.1);
    let mut answer = request.config().http_status_as_error(false).build().call().unwrap();
    let after = answer.headers().get("retry-after").map(|after| after.to_str().unwrap().to_owned());
    (answer.status().as_u16(), after, answer.body_mut().read_to_string().unwrap())
}

/// Rows that REST lists.
pub fn listed(address: SocketAddr, protocol: Protocol, more: &str) -> Vec<Value> {
    let (status, _, body) = get(address, &format!("{}{more}", protocol.rest), ("Accept", "*/*"));
    assert_eq!(status, 200, "{body}");
    rows(protocol.listed, &body)
}
