//! Servers that know one answer.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// Treats one connection after the other so; the address. It ends with the test program.
pub fn serve(treat: impl Fn(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || listener.incoming().for_each(|stream| treat(stream.unwrap())));
    address
}

/// Gives every connection this answer, whatever it says.
pub fn answering(answer: &'static [u8]) -> String {
    serve(move |mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(answer);
    })
}

/// Gives every request this answer; the heads of the requests come out.
pub fn noting(answer: String) -> (String, Receiver<String>) {
    let (send, requests) = channel();
    let address = serve(move |mut stream| {
        let _ = send.send(head(&mut stream));
        let _ = stream.write_all(answer.as_bytes());
    });
    (address, requests)
}

/// The head of a request, up to its empty line.
pub fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}
