//! A wire between Kafka and its clients that is cut once, at the worst moment: when Kafka has been
//! told to commit, and before its answer.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// Kafka's number for the end of a transaction.
const END_TXN: [u8; 2] = 26i16.to_be_bytes();

/// What all connections share.
struct State {
    /// Ends of transactions that are let through before the cut.
    left: AtomicU32,
    cut: AtomicBool,
    /// Nothing passes while it is up.
    dark: AtomicBool,
}

/// The wire; [`address`](Self::address) stands for the broker.
pub struct Wire {
    pub address: String,
    state: Arc<State>,
}

impl Wire {
    /// Passes everything on to `broker`, on 127.0.0.1. The commit after `commits` others reaches it
    /// and stays without an answer, and nobody gets through for `darkness`.
    pub fn to(broker: &str, commits: u32, darkness: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            left: AtomicU32::new(commits),
            cut: AtomicBool::new(false),
            dark: AtomicBool::new(false),
        });
        let (shared, broker) = (Arc::clone(&state), broker.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.dark.load(Ordering::Acquire) {
                    continue;
                }
                let Ok(kafka) = TcpStream::connect(&broker) else { continue };
                // Small messages there and back: each would wait for the one before.
                client.set_nodelay(true).unwrap();
                kafka.set_nodelay(true).unwrap();
                let places = [place(&broker), place(&address.to_string())];
                requests(&client, &kafka, &shared, darkness);
                answers(&kafka, &client, &shared, places);
            }
        });
        Self { address: address.to_string(), state }
    }

    /// Whether the cut has been made.
    pub fn was_cut(&self) -> bool {
        self.state.cut.load(Ordering::Acquire)
    }
}

/// How Kafka writes where a broker is.
fn place(address: &str) -> Vec<u8> {
    let (host, port) = address.split_once(':').unwrap();
    [host.as_bytes(), &port.parse::<i32>().unwrap().to_be_bytes()].concat()
}

/// The next message, its size in front.
fn message(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut size = [0; 4];
    from.read_exact(&mut size).ok()?;
    let mut bytes = size.to_vec();
    bytes.resize(4 + u32::from_be_bytes(size) as usize, 0);
    from.read_exact(&mut bytes[4..]).ok()?;
    Some(bytes)
}

fn requests(client: &TcpStream, kafka: &TcpStream, state: &Arc<State>, darkness: Duration) {
    let (mut from, mut to) = (client.try_clone().unwrap(), kafka.try_clone().unwrap());
    let state = Arc::clone(state);
    thread::spawn(move || {
        while let Some(bytes) = message(&mut from) {
            let one_less = |left: u32| left.checked_sub(1);
            let last = bytes[4..6] == END_TXN
                && state.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less).is_err()
                && !state.cut.swap(true, Ordering::AcqRel);
            if last {
                state.dark.store(true, Ordering::Release);
            } else if state.dark.load(Ordering::Acquire) {
                break;
            }
            if to.write_all(&bytes).is_err() {
                break;
            }
            if last {
                thread::sleep(darkness);
                state.dark.store(false, Ordering::Release);
                break;
            }
        }
        let _ = from.shutdown(std::net::Shutdown::Both);
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
}

fn answers(kafka: &TcpStream, client: &TcpStream, state: &Arc<State>, places: [Vec<u8>; 2]) {
    let (mut from, mut to) = (kafka.try_clone().unwrap(), client.try_clone().unwrap());
    let state = Arc::clone(state);
    thread::spawn(move || {
        while let Some(mut bytes) = message(&mut from) {
            // Clients go where the broker says it is.
            let [broker, wire] = &places;
            for at in 0..(bytes.len() + 1).saturating_sub(broker.len()) {
                if bytes[at..].starts_with(broker) {
                    bytes[at..at + wire.len()].copy_from_slice(wire);
                }
            }
            if state.dark.load(Ordering::Acquire) || to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = from.shutdown(std::net::Shutdown::Both);
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
}
