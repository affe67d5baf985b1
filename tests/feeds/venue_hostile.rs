//! Venues that mean harm: what they repeat, and what they send without reading.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::support::process::{Process, barflow};
use crate::support::scripted_http::{Http, Request, whole};

/// In lower case, as scripted servers know requests.
const SECRET: &str = "s3cret-key-of-a-user";

/// A frame of a server.
fn frame(opcode: u8, data: &[u8]) -> Vec<u8> {
    let mut frame = vec![opcode];
    match u16::try_from(data.len()) {
        Ok(length @ ..126) => frame.push(length as u8),
        Ok(length) => {
            frame.push(126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => panic!("too long for a test"),
    }
    frame.extend(data);
    frame
}

fn trade(id: u64) -> Vec<u8> {
    let time = 1_709_251_200_000 + id;
    let data = format!(
        "{{\"e\":\"trade\",\"E\":{time},\"s\":\"BTCUSDT\",\"t\":{id},\"p\":\"61000.1\",\"q\":\"0.01\",\
         \"T\":{time},\"m\":true,\"M\":true}}"
    );
    frame(0x81, format!("{{\"stream\":\"btcusdt@trade\",\"data\":{data}}}").as_bytes())
}

/// Accepts a websocket by the key of its request.
fn accept(key: &str, stream: &mut TcpStream) {
    let accept = derive_accept_key(key.as_bytes());
    let head = "HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n";
    let _ = write!(stream, "{head}sec-websocket-accept: {accept}\r\n\r\n");
}

/// A server of websockets alone; `talk` is what it does once the connection is one.
fn websocket(talk: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> String {
    let talk = Arc::new(talk);
    crate::support::servers::serve(move |mut stream| {
        let talk = Arc::clone(&talk);
        std::thread::spawn(move || {
            let head = crate::support::servers::head(&mut stream);
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            let key = lines.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
            if let Some((_, key)) = key {
                accept(key, &mut stream);
            }
            talk(&head, &mut stream);
        });
    })
}

fn live(folder: &Path, websocket: &str, rest: &str) -> Process {
    let config = folder.join("live.toml");
    fs::write(
        &config,
        "[feeds.f]\nvenue = \"binance-spot\"\ninstruments = [\"BTCUSDT\"]\nwebsocket = \"${WS}\"\n\
         rest = \"${REST}\"\napi_key = \"${KEY}\"\n",
    )
    .unwrap();
    let mut command = barflow();
    command.args(["live", "--bar", "t=tick,size=2", "--sink", "none", "--log", "debug"]);
    command.args(["--config", config.to_str().unwrap()]).arg("--quarantine");
    command.arg(folder.join("rejects.jsonl"));
    command.env("WS", websocket).env("REST", rest).env("KEY", SECRET);
    Process::start(command)
}

/// Answers with what it was sent, each time in another way.
fn repeats(request: &Request, nth: usize, stream: &mut TcpStream) {
    let head = &request.head;
    let long = format!("{}{head}", "x".repeat(280));
    match nth % 6 {
        0 => whole(stream, "401 Unauthorized", head.as_bytes()),
        1 => whole(stream, "200 OK", head.as_bytes()),
        2 => whole(stream, &format!("302 There\r\nlocation: http://h/{SECRET}?a={SECRET}"), b""),
        3 => whole(stream, &format!("503 {SECRET}"), long.as_bytes()),
        4 => {
            let row = format!("[{{\"id\":6,\"price\":\"{SECRET}\",\"qty\":\"1\",\"time\":1}}]");
            whole(stream, "200 OK", row.as_bytes());
        }
        _ => whole(stream, "400 Bad", format!("{{\"msg\":\"{SECRET}\"}}").as_bytes()),
    }
}

#[test]
fn what_a_venue_repeats_of_a_secret_is_shown_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let rest = Http::serve(move |request, stream| {
        let nth = counted.fetch_add(1, Ordering::AcqRel);
        repeats(request, nth, stream);
    });
    let connections = AtomicUsize::new(0);
    let venue = websocket(move |head, stream| {
        let login = head.lines().find(|line| line.to_lowercase().starts_with("authorization"));
        let said = format!("{SECRET} {}", login.unwrap_or("no login"));
        match connections.fetch_add(1, Ordering::AcqRel) {
            0 => {
                let _ = stream.write_all(&[trade(1), trade(5)].concat());
                let error = format!("{{\"error\":{{\"code\":2,\"msg\":\"{said}\"}}}}");
                let _ = stream.write_all(&frame(0x81, error.as_bytes()));
                let _ = stream.write_all(&frame(0x81, said.as_bytes()));
                let why = [&1008u16.to_be_bytes()[..], &said.as_bytes()[..said.len().min(100)]];
                let _ = stream.write_all(&frame(0x88, &why.concat()));
            }
            _ => {
                let _ = stream.write_all(&[trade(1), trade(5)].concat());
                // Open until the client goes.
                while stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
            }
        }
    });
    let login = "user:p4ssw0rd-of-a-user@";
    let mut live = live(
        folder.path(),
        &format!("ws://{login}{venue}"),
        &format!("http://{login}{}/s3cret-path", rest.address),
    );
    live.wait_until("every answer was tried", |_| requests.load(Ordering::Acquire) >= 9);
    live.wait_until_it_says("closed by the venue");
    let (_, _, said) = live.stop();
    let rejects = fs::read_to_string(folder.path().join("rejects.jsonl")).unwrap_or_default();
    let basic = "dXNlcjpwNHNzdzByZC1vZi1hLXVzZXI="; // user:p4ssw0rd-of-a-user
    for secret in [SECRET, "s3cret", "p4ssw0rd", basic, &basic.to_lowercase(), "s3cret-path"] {
        for shown in [&said, &rejects] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
    }
    assert!(said.contains("***"), "{said}");
}

#[test]
fn a_venue_that_pings_and_reads_nothing_takes_no_memory() {
    const PINGS: usize = 700_000;
    let folder = tempfile::tempdir().unwrap();
    let rest = Http::serve(|_, stream| whole(stream, "200 OK", b"[]"));
    let sent = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&sent);
    let venue = websocket(move |_, stream| {
        let pings = frame(0x89, &[b'p'; 125]).repeat(1000);
        for _ in 0..PINGS / 1000 {
            if stream.write_all(&pings).is_err() {
                break;
            }
        }
        let _ = stream.write_all(&[trade(1), trade(2)].concat());
        done.store(true, Ordering::Release);
        // Open, and nothing is read.
        while !stream.peek(&mut [0]).is_ok_and(|bytes| bytes == 0) {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    });
    let at = |scheme: &str, address: &str| format!("{scheme}://{address}");
    let mut live = live(folder.path(), &at("ws", &venue), &at("http", &rest.address));
    live.wait_until("the pings are sent", |_| sent.load(Ordering::Acquire));
    let (code, _, said) = live.stop();
    assert_eq!(code, Some(0), "{said}");
    let memory = said.split("peak memory ").nth(1).and_then(|rest| rest.split(' ').next());
    let mebibytes: u64 = memory.unwrap().parse().unwrap();
    assert!(mebibytes < 110, "{said}");
}

#[test]
fn a_signal_ends_a_run_whose_venue_sends_parts_of_a_message_without_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let rest = Http::serve(|_, stream| whole(stream, "200 OK", b"[]"));
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let venue = websocket(move |_, stream| {
        // A text of which there is more, and empty parts of it.
        let parts = [0; 1 << 16];
        let mut written = stream.write_all(&[1, 0]);
        while written.is_ok() {
            written = stream.write_all(&parts);
            counted.fetch_add(parts.len(), Ordering::AcqRel);
        }
    });
    let at = |scheme: &str, address: &str| format!("{scheme}://{address}");
    let mut live = live(folder.path(), &at("ws", &venue), &at("http", &rest.address));
    live.wait_until("parts are sent", |_| sent.load(Ordering::Acquire) > 1 << 20);
    let (code, _, said) = live.stop();
    assert_eq!(code, Some(0), "{said}");
}
