//! Ports that strangers reach: half requests take neither the answers to others nor the feed's file handles.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use crate::support::days::synth;
use crate::support::live::{Simulator, listen};
use crate::support::members::free_addresses;
use crate::support::process::{PATIENCE, Process, barflow, wait_until};
use crate::support::simulator::get;

/// What a port holds at most, beside the one that is being accepted.
const CONNECTIONS: usize = 64;

/// File handles of a process that are sockets.
fn sockets(process: &Process) -> usize {
    let handles = fs::read_dir(format!("/proc/{}/fd", process.id())).unwrap();
    let targets = handles.filter_map(|handle| fs::read_link(handle.unwrap().path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

/// Sends this on so many connections that stay open.
fn hold(address: SocketAddr, count: usize, request: &[u8]) -> Vec<TcpStream> {
    (0..count)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            // Those that were closed to make room need not take it.
            let _ = stream.write_all(request);
            stream
        })
        .collect()
}

/// Asks with this text as it is, and reads until the server closes: the first line and the rest.
fn ask(address: SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // One that closes before it has read everything resets the connection.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let (line, rest) = answer.split_once("\r\n").unwrap_or_default();
    (line.to_owned(), rest.to_owned())
}

fn is_answered(address: SocketAddr, path: &str) -> bool {
    get(address, path, ("Accept", "*/*")).0 == 200
}

/// A live run with few file handles, of an exchange that cuts its connections; its metrics port.
fn live(simulator: &Simulator, metrics: &str) -> Process {
    let program = barflow();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 200; exec \"$@\"", "sh"]).arg(program.get_program());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.args(["live", "--report-every", "0", "--venue", "binance-spot"]);
    command.args(["--instrument", "BTCUSDT", "--at", &simulator.address]);
    command.args(["--bar", "t=tick,size=10", "--metrics", metrics]);
    Process::start(command)
}

#[test]
fn half_requests_on_the_metrics_port_take_nothing_from_the_feed() {
    let folder = tempfile::tempdir().unwrap();
    let day = synth(folder.path(), "--trades 3000").remove(0);
    let arguments = ["--protocol", "binance-spot", "--speed", "max", "--faults", "disconnect=300"];
    let simulator = Simulator::start(&arguments, &[&day]);
    let metrics = free_addresses(1).remove(0);
    let address: SocketAddr = metrics.parse().unwrap();
    let mut live = live(&simulator, &metrics);
    live.wait_until("its port listens", |_| TcpStream::connect(address).is_ok());
    let mut held = hold(address, 150, b"GET /metrics HTTP/1.1\r\n");
    live.wait_for(100);
    held.extend(hold(address, 150, b"GET /metrics HTTP/1.1\r\nX: "));
    assert!(is_answered(address, "/metrics"));
    // All bars come, over connections that were made meanwhile.
    live.wait_for(300);
    let open = sockets(&live);
    assert!(open < CONNECTIONS + 40, "{open} sockets");
    let (code, _, said) = live.stop();
    assert_eq!(code, Some(0), "{said}");
    for trouble in ["Too many open files", "cannot accept", "could not connect"] {
        assert!(!said.contains(trouble), "{said}");
    }
    drop(held);
}

#[test]
fn the_metrics_port_answers_get_and_head_of_its_pages() {
    let folder = tempfile::tempdir().unwrap();
    let day = synth(folder.path(), "--trades 1000").remove(0);
    let simulator = Simulator::start(&["--protocol", "binance-spot", "--speed", "max"], &[&day]);
    let metrics = free_addresses(1).remove(0);
    let address: SocketAddr = metrics.parse().unwrap();
    let mut live = live(&simulator, &metrics);
    live.wait_for(90);
    let request = |method: &str, path: &str| {
        ask(
            address,
            &format!("{method} {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"),
        )
    };
    let (status, page) = request("GET", "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(page.contains("barflow_feed_trades_total{feed=\"binance-spot\"}"), "{page}");
    assert!(page.contains("content-type: text/plain; version=0.0.4"), "{page}");
    let (status, head) = request("HEAD", "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(head.ends_with("\r\n\r\n") && head.contains("content-length: "), "{head}");
    assert_eq!(request("GET", "/health").0, "HTTP/1.1 200 OK");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        let (status, rest) = request(method, "/metrics");
        assert_eq!(status, "HTTP/1.1 405 Method Not Allowed");
        assert!(rest.contains("allow: GET, HEAD"), "{rest}");
    }
    for path in ["/", "/metrics/", "/../metrics", "/metrics%00", "/etc/passwd"] {
        let (status, rest) = request("GET", path);
        assert_eq!(status, "HTTP/1.1 404 Not Found", "{path}");
        assert!(rest.ends_with("metrics are at /metrics\n"), "{rest}");
    }
    // A head without end, and bytes that are not HTTP.
    let long = format!("GET /metrics HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(17 << 10));
    let status = ask(address, &long).0;
    assert!(status.is_empty() || status.contains(" 431 "), "{status}");
    assert!(ask(address, "\u{1}\u{2}\u{3} barflow mesh 2\r\n\r\n").0.contains(" 400 "));
    assert!(is_answered(address, "/metrics"));
    let (code, _, said) = live.stop();
    assert_eq!(code, Some(0), "{said}");
}

/// A server of files or of trades as a process, and where it listens.
fn server(arguments: &[&str], file: &str) -> (Process, SocketAddr) {
    let mut command = barflow();
    command.args(arguments).args(["--listen", "127.0.0.1:0", file]);
    let mut process = Process::start(command);
    process.wait_for(1);
    let address = process.bars()[0].trim_start_matches("listening on ").to_owned();
    (process, address.trim_start_matches("http://").parse().unwrap())
}

#[test]
fn half_requests_take_neither_the_archive_server_nor_the_simulator() {
    let folder = tempfile::tempdir().unwrap();
    let day = synth(folder.path(), "--trades 1000").remove(0);
    let day = day.to_str().unwrap();
    for (arguments, path) in [
        (&["archive-server"][..], "/?prefix=data/"),
        (&["simulator", "--protocol", "binance-spot"][..], "/api/v3/trades?symbol=BTCUSDT"),
    ] {
        let (process, address) = server(arguments, day);
        let mut held = hold(address, 200, b"GET / HTTP/1.1\r\nHost: here\r\n");
        assert_eq!(get(address, path, ("Accept", "*/*")).0, 200, "{arguments:?}");
        let open = sockets(&process);
        assert!(open < CONNECTIONS + 10, "{arguments:?}: {open} sockets");
        // The first gave way to the others; the last wait no longer than a head may take.
        let mut rest = Vec::new();
        let ended = held[0].read_to_end(&mut rest);
        assert!(ended.map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |n| n == 0));
        wait_until("all are closed", || sockets(&process) < 10);
        let (code, _, said) = process.stop();
        assert_eq!(code, Some(0), "{said}");
    }
}

#[test]
fn clients_that_never_read_lose_their_connections_and_hold_no_other_up() {
    let folder = tempfile::tempdir().unwrap();
    let day = synth(folder.path(), "--trades 40000").remove(0);
    let simulator = Simulator::start(&["--protocol", "binance-spot", "--rate", "5000"], &[&day]);
    let handshake = "GET /stream?streams=btcusdt@trade HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\n\
                     Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let of_binance = ["--venue", "binance-spot", "--instrument", "BTCUSDT", "--at"];
    let more = [simulator.address.as_str(), "--bar", "t=tick,size=100"];
    let mut live = listen(&[&of_binance[..], &more].concat());
    live.wait_for(1);
    let held = hold(simulator.address.parse().unwrap(), 8, handshake.as_bytes());
    live.wait_for(395);
    let (code, _, said) = live.stop();
    assert_eq!(code, Some(0), "{said}");
    for mut stream in held {
        let mut sent = Vec::new();
        let ended = stream.read_to_end(&mut sent);
        assert!(sent.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&sent));
        assert!(ended.map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |_| true));
    }
}

#[test]
fn a_server_without_file_handles_pauses_and_says_so_once() {
    let folder = tempfile::tempdir().unwrap();
    let day = synth(folder.path(), "--trades 1000").remove(0);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 24; exec \"$@\"", "sh"]).arg(barflow().get_program());
    command.args(["archive-server", "--listen", "127.0.0.1:0"]).arg(day);
    let mut process = Process::start(command);
    process.wait_for(1);
    let address = process.bars()[0].trim_start_matches("listening on http://").to_owned();
    let address: SocketAddr = address.parse().unwrap();
    let held = hold(address, 40, b"GET /");
    process.wait_until_it_says("cannot accept connections");
    // Handles come back when heads take too long.
    drop(held);
    wait_until("it answers again", || {
        let Ok(mut stream) = TcpStream::connect(address) else { return false };
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let sent = stream.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n");
        sent.is_ok() && stream.read(&mut [0; 12]).is_ok_and(|read| read > 0)
    });
    let (code, _, said) = process.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.matches("cannot accept connections").count() <= 3, "{said}");
}
