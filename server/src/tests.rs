use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n";

/// A server in the runtime of the test that answers everything with this many bytes.
async fn server(limits: Limits, bytes: usize) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let body = Bytes::from(vec![b'x'; bytes]);
    let service = service_fn(move |_| {
        let response = Response::new(Full::new(body.clone()));
        async move { Ok::<_, Infallible>(response) }
    });
    tokio::spawn(serve("test server", listener, limits, service));
    address
}

async fn ask(stream: &mut TcpStream) -> bool {
    let mut answer = [0; 12];
    stream.write_all(GET).await.is_ok()
        && stream.read_exact(&mut answer).await.is_ok()
        && answer == *b"HTTP/1.1 200"
}

/// Reads until the server closes, and says what came.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut all).await;
    all
}

#[tokio::test]
async fn half_requests_do_not_keep_a_whole_one_from_being_answered() {
    let limits = Limits { connections: 4, ..Limits::default() };
    let address = server(limits, 10).await;
    let mut held = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\n").await.unwrap();
        held.push(stream);
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert!(ask(&mut stream).await);
    // All but the last few were closed to make room.
    for stream in &mut held[..36] {
        assert_eq!(rest(stream).await, b"");
    }
}

#[tokio::test]
async fn half_requests_and_idle_connections_are_closed_in_time_however_slowly_they_come() {
    let limits = Limits { head: Duration::from_millis(200), ..Limits::default() };
    let address = server(limits, 10).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    assert_eq!(rest(&mut silent).await, b"");
    let (mut reads, mut writes) = TcpStream::connect(address).await.unwrap().into_split();
    let drips = tokio::spawn(async move {
        for byte in b"GET /".iter().chain(std::iter::repeat(&b'x')) {
            if writes.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut all = Vec::new();
    let _ = reads.read_to_end(&mut all).await;
    assert_eq!(all, b"");
    drips.abort();
    let mut answered = TcpStream::connect(address).await.unwrap();
    assert!(ask(&mut answered).await);
    assert!(rest(&mut answered).await.ends_with(b"xxxxxxxxxx"));
}

#[tokio::test]
async fn heads_without_end_are_refused() {
    let address = server(Limits::default(), 10).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = [GET[..16].to_vec(), b"A: ".to_vec(), vec![b'a'; 20 << 10]].concat();
    // The server may close before it was sent as a whole.
    let _ = stream.write_all(&head).await;
    let answer = rest(&mut stream).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{answer:?}");
    let mut next = TcpStream::connect(address).await.unwrap();
    assert!(ask(&mut next).await);
}

#[tokio::test]
async fn a_client_that_takes_nothing_loses_its_connection() {
    let limits = Limits { connections: 1, stall: Duration::from_millis(200), ..Limits::default() };
    // More than the system's buffers on both sides hold.
    let address = server(limits, 64 << 20).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(GET).await.unwrap();
    // The only slot is taken until the stalled one is closed.
    let mut next = TcpStream::connect(address).await.unwrap();
    assert!(ask(&mut next).await);
    assert!(rest(&mut stream).await.len() < 64 << 20);
}
