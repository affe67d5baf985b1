//! HTTP servers that answer as a test wants, one request per connection, and remember what they were asked.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use super::{servers, tls};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// The whole head, in lower case.
    pub head: String,
    /// What was posted.
    pub body: String,
}

impl Request {
    /// The byte from which on it asks.
    pub fn from(&self) -> u64 {
        let range = self.head.split("range: bytes=").nth(1);
        range.and_then(|range| range.split('-').next()?.parse().ok()).unwrap_or(0)
    }
}

/// A running server.
pub struct Http {
    pub address: String,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Http {
    pub fn serve(answer: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let (asked, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answer));
        let log = Arc::clone(&asked);
        let address = servers::serve(move |mut stream| {
            let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
            std::thread::spawn(move || {
                let Some(request) = request(&mut stream) else { return };
                log.lock().unwrap().push(request.clone());
                answer(&request, &mut stream);
            });
        });
        Self { address, asked }
    }

    /// The same server with TLS, whose certificate (for localhost) is written to a file.
    pub fn encrypted(&self, ca_file: &std::path::Path) -> u16 {
        tls::front(&self.address, ca_file)
    }

    pub fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }
}

fn request(stream: &mut TcpStream) -> Option<Request> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut words = head.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let head = head.to_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    // Read to its end: a connection that is closed before loses the answer.
    let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    Some(Request { method, path, head, body: String::from_utf8(body).ok()? })
}

/// An answer with a body of a known length.
pub fn whole(stream: &mut TcpStream, status: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
    let _ = stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes());
    let _ = stream.write_all(body);
}

/// An answer that leads elsewhere.
pub fn redirect(stream: &mut TcpStream, to: &str) {
    whole(stream, &format!("302 There\r\nlocation: {to}"), b"");
}
