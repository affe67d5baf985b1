//! A job of several processes among strangers: nobody joins, ends or learns anything without the secret.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::days::of_all_symbols as days;
use crate::support::live::Simulator;
use crate::support::members::{by_series, free_addresses, hosts_file};
use crate::support::process::{PATIENCE, Process, barflow, until, wait_until};

const SECRET: &str = "6d1f0c9f2ad84fbe8c1a5a7e2b3c4d5e";
const OTHER: &str = "another secret of more than 32 bytes";

/// A replay as one of several processes; the secret comes from the environment.
fn replay(inputs: &Path, hosts: &Path, process: usize, secret: Option<&str>) -> Command {
    let mut command = barflow();
    command.arg("replay").arg(inputs).args(["--bar", "t=tick,size=100", "--hosts"]).arg(hosts);
    command.args(["--process", &process.to_string()]);
    if let Some(secret) = secret {
        command.args(["--cluster-secret", "${CLUSTER_SECRET}"]).env("CLUSTER_SECRET", secret);
    }
    command
}

/// The bars of a replay in one process.
fn alone(inputs: &Path) -> Vec<String> {
    let mut command = barflow();
    command.arg("replay").arg(inputs).args(["--bar", "t=tick,size=100"]);
    let end = Process::start(command).end();
    assert_eq!(end.code, Some(0), "{}", end.said);
    end.bars
}

fn assert_same_bars(running: Vec<Process>, expected: &[String]) {
    let mut bars = Vec::new();
    for end in running.into_iter().map(Process::end) {
        assert_eq!(end.code, Some(0), "{}", end.said);
        assert!(!end.said.contains("panicked"), "{}", end.said);
        bars.extend(end.bars);
    }
    assert!(expected.len() > 20);
    assert_eq!(by_series(&bars), by_series(expected));
}

/// Connects as soon as somebody listens.
fn connect(address: &str) -> TcpStream {
    let stream = until(PATIENCE, || TcpStream::connect(address).ok()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Everything that is said until the connection is closed.
fn told(mut stream: TcpStream) -> Vec<u8> {
    let mut told = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut told);
    told
}

#[test]
fn processes_with_a_secret_make_the_same_bars() {
    let folder = tempfile::tempdir().unwrap();
    let days = days(folder.path(), 3_000);
    let expected = alone(&days);
    let file = folder.path().join("secret");
    fs::write(&file, format!("{SECRET}\n")).unwrap();
    let hosts = hosts_file(folder.path(), &free_addresses(3));
    let mut running: Vec<Process> = (0..2)
        .map(|process| Process::start(replay(&days, &hosts, process, Some(SECRET))))
        .collect();
    // The same secret from a file.
    let mut command = replay(&days, &hosts, 2, None);
    command.arg("--cluster-secret").arg(format!("${{file:{}}}", file.display()));
    running.push(Process::start(command));
    assert_same_bars(running, &expected);
}

#[test]
fn a_process_with_another_secret_does_not_join_and_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let days = days(folder.path(), 500);
    let expected = alone(&days);
    for other in [Some(OTHER), None] {
        let addresses = free_addresses(2);
        let hosts = hosts_file(folder.path(), &addresses);
        let mut first = Process::start(replay(&days, &hosts, 0, Some(SECRET)));
        let mut command = replay(&days, &hosts, 1, other);
        command.args(["--cluster-timeout", "2s"]);
        let end = Process::start(command).end();
        assert_eq!(end.code, Some(3), "{}", end.said);
        let about = format!("process 0 at {} closed the connection", addresses[0]);
        assert!(end.said.contains(&about) && end.said.contains("cluster_secret"), "{}", end.said);
        assert!(!end.said.contains(OTHER) && !end.said.contains(SECRET), "{}", end.said);
        first.wait_until_it_says("it does not know the secret of this job");
        assert!(first.runs());
        let second = Process::start(replay(&days, &hosts, 1, Some(SECRET)));
        assert_same_bars(vec![first, second], &expected);
    }
}

/// What strangers do to a process that waits: each returns what it was told, once it was sent away.
type Attack = fn(&str) -> Vec<u8>;

const ATTACKS: [(&str, Attack); 5] = [
    ("the greeting of version 1", |address| {
        let mut stream = connect(address);
        let text = br#"{"process":1,"to":0,"processes":2,"workers":1,"job":{},"refused":null}"#;
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        stream.write_all(&[&b"barflow mesh 1"[..], &length, text].concat()).unwrap();
        let mut told = Vec::new();
        // Closed in good order, although it has said more than was read.
        stream.read_to_end(&mut told).unwrap();
        told
    }),
    ("a huge length", |address| {
        let mut stream = connect(address);
        stream.write_all(&[&b"barflow mesh 1"[..], &[0xff; 64]].concat()).unwrap();
        told(stream)
    }),
    ("the right name and noise", |address| {
        let mut stream = connect(address);
        let noise: Vec<u8> = (0..4096_u32).map(|n| (n * 97 % 251) as u8).collect();
        let _ = stream.write_all(&[&b"barflow mesh 2"[..], &noise].concat());
        told(stream)
    }),
    ("a byte now and then", |address| {
        let mut stream = connect(address);
        let mut drips = stream.try_clone().unwrap();
        thread::spawn(move || {
            for byte in b"barflow mesh 2".iter().cycle() {
                if drips.write_all(&[*byte]).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(500));
            }
        });
        let mut told = Vec::new();
        let _ = stream.read_to_end(&mut told);
        let _ = stream.shutdown(Shutdown::Both);
        told
    }),
    ("silence", |address| told(connect(address))),
];

#[test]
fn strangers_end_nothing_and_learn_nothing_while_processes_connect() {
    let folder = tempfile::tempdir().unwrap();
    let days = days(folder.path(), 500);
    let expected = alone(&days);
    for secret in [None, Some(SECRET)] {
        let addresses = free_addresses(2);
        let hosts = hosts_file(folder.path(), &addresses);
        let first = Process::start(replay(&days, &hosts, 0, secret));
        let attacks = ATTACKS.map(|(what, attack)| {
            let address = addresses[0].clone();
            thread::spawn(move || (what, attack(&address)))
        });
        for attack in attacks {
            let (what, told) = attack.join().unwrap();
            assert!(told.is_empty(), "{what}: {told:?}");
        }
        assert!(first.said().contains("closed a connection from 127.0.0.1"), "{}", first.said());
        // While more of them than are heard at once say nothing, the second comes.
        let held: Vec<TcpStream> = (0..100).map(|_| connect(&addresses[0])).collect();
        let second = Process::start(replay(&days, &hosts, 1, secret));
        assert_same_bars(vec![first, second], &expected);
        drop(held);
    }
}

/// Passes one connection on to `to` and writes down what the caller says.
fn record(to: String) -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let said = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&said);
    thread::spawn(move || {
        let (mut caller, _) = listener.accept().unwrap();
        let mut called = connect(&to);
        let (mut back, mut answers) = (caller.try_clone().unwrap(), called.try_clone().unwrap());
        thread::spawn(move || {
            let _ = std::io::copy(&mut answers, &mut back);
            let _ = back.shutdown(Shutdown::Write);
        });
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = caller.read(&mut piece) {
            record.lock().unwrap().extend_from_slice(&piece[..read]);
            if called.write_all(&piece[..read]).is_err() {
                return;
            }
        }
        let _ = called.shutdown(Shutdown::Write);
    });
    (address, said)
}

#[test]
fn a_recorded_greeting_does_not_join_and_shows_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let days = days(folder.path(), 500);
    let expected = alone(&days);
    let addresses = free_addresses(2);
    let hosts = hosts_file(folder.path(), &addresses);
    // Process 1 reaches process 0 by somebody who listens in.
    let (between, said) = record(addresses[0].clone());
    let other = folder.path().join("by-another-way.txt");
    fs::write(&other, format!("{between}\n{}\n", addresses[1])).unwrap();
    let running = vec![
        Process::start(replay(&days, &hosts, 0, Some(SECRET))),
        Process::start(replay(&days, &other, 1, Some(SECRET))),
    ];
    assert_same_bars(running, &expected);
    let said = said.lock().unwrap().clone();
    let has = |what: &[u8]| said.windows(what.len()).any(|part| part == what);
    assert!(said.len() > 500 && has(b"barflow mesh 2"));
    assert!(!has(b"processes") && !has(b"version") && !has(b"replay"), "it can be read");

    let first = Process::start(replay(&days, &hosts, 0, Some(SECRET)));
    let mut stranger = connect(&addresses[0]);
    let _ = stranger.write_all(&said);
    // The name of the protocol, a key of one connection and a tag.
    assert!(told(stranger).len() <= 14 + 32 + 16);
    let second = Process::start(replay(&days, &hosts, 1, Some(SECRET)));
    assert_same_bars(vec![first, second], &expected);
}

#[test]
fn a_change_on_the_way_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let days = days(folder.path(), 500);
    let addresses = free_addresses(2);
    let hosts = hosts_file(folder.path(), &addresses);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = folder.path().join("by-another-way.txt");
    fs::write(&other, format!("{}\n{}\n", listener.local_addr().unwrap(), addresses[1])).unwrap();
    let to = addresses[0].clone();
    thread::spawn(move || {
        let (mut caller, _) = listener.accept().unwrap();
        let mut called = connect(&to);
        let (mut back, mut answers) = (caller.try_clone().unwrap(), called.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut answers, &mut back));
        let (mut piece, mut passed) = ([0; 4096], 0);
        while let Ok(read @ 1..) = caller.read(&mut piece) {
            // Behind the greeting, of less than 1,000 bytes.
            if passed >= 1_000 {
                piece[read - 1] ^= 1;
            }
            passed += read;
            if called.write_all(&piece[..read]).is_err() {
                return;
            }
        }
    });
    let first = Process::start(replay(&days, &hosts, 0, Some(SECRET)));
    let second = Process::start(replay(&days, &other, 1, Some(SECRET)));
    let end = first.end();
    assert_eq!(end.code, Some(3), "{}", end.said);
    let gone = format!("error: lost process 1 at {} (it sent a frame", addresses[1]);
    assert!(end.said.contains(&gone) && !end.said.contains("panicked"), "{}", end.said);
    assert_eq!(second.end().code, Some(3));
}

#[test]
fn a_secret_is_demanded_for_other_computers_and_comes_by_reference() {
    let folder = tempfile::tempdir().unwrap();
    let days = days(folder.path(), 10);
    let loopback = hosts_file(folder.path(), &free_addresses(2));
    let far: PathBuf = folder.path().join("far.txt");
    fs::write(&far, "127.0.0.1:7000\nalpha:7000\n").unwrap();
    let said = |hosts: &Path, reference: Option<&str>| {
        let mut command = replay(&days, hosts, 0, None);
        if let Some(reference) = reference {
            command.args(["--cluster-secret", reference]);
        }
        let output = command.env("SHORT", "too short").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        said
    };
    let demanded = said(&far, None);
    assert!(demanded.contains("alpha:7000 is not a loopback address"), "{demanded}");
    for literal in [SECRET, "", "x${SHORT}"] {
        let refused = said(&loopback, Some(literal));
        assert!(refused.contains("cluster_secret must be a reference"), "{refused}");
        assert!(!refused.contains(SECRET), "{refused}");
    }
    let unset = said(&loopback, Some("${NOT_SET}"));
    assert!(unset.contains("environment variable \"NOT_SET\" is not set"), "{unset}");
    let short = said(&loopback, Some("${SHORT}"));
    assert!(short.contains("the secret has 9 bytes, at least 32 are needed"), "{short}");
    assert!(!short.contains("too short"), "{short}");
}

/// Answers at an address as an HTTP server does, until the listener is taken back.
fn impostor(listener: &TcpListener) {
    while let Ok((mut socket, _)) = listener.accept() {
        let mut asked = [0; 1024];
        if matches!(socket.read(&mut asked), Ok(4) if asked.starts_with(b"stop")) {
            return;
        }
        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    }
}

#[test]
fn an_impostor_at_an_address_is_named_once_and_called_again_until_patience_ends() {
    let folder = tempfile::tempdir().unwrap();
    let days = days(folder.path(), 500);
    let expected = alone(&days);
    for gives_way in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = listener.local_addr().unwrap().to_string();
        let sits = thread::spawn(move || impostor(&listener));
        let hosts = hosts_file(folder.path(), &[taken.clone(), free_addresses(1).remove(0)]);
        let mut command = replay(&days, &hosts, 1, Some(SECRET));
        command.args(["--cluster-timeout", if gives_way { "60s" } else { "3s" }]);
        let mut second = Process::start(command);
        second.wait_until_it_says("is not a barflow process of this version; calling again");
        if gives_way {
            connect(&taken).write_all(b"stop").unwrap();
            sits.join().unwrap();
            let first = Process::start(replay(&days, &hosts, 0, Some(SECRET)));
            assert_same_bars(vec![first, second], &expected);
            continue;
        }
        let end = second.end();
        assert_eq!(end.code, Some(2), "{}", end.said);
        let about = format!("for 3 s, the server at {taken}, the address of process 0, was not");
        assert!(end.said.contains(&about), "{}", end.said);
        assert_eq!(end.said.matches("calling again").count(), 1, "{}", end.said);
        connect(&taken).write_all(b"stop").unwrap();
        sits.join().unwrap();
    }
}

#[test]
fn a_process_that_hangs_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let day = days(folder.path(), 20_000).join("BTCUSDT-trades-2024-03-01.zip");
    let simulator = Simulator::start(&["--protocol", "binance-spot", "--rate", "100"], &[&day]);
    let addresses = free_addresses(2);
    let hosts = hosts_file(folder.path(), &addresses);
    let mut running: Vec<Process> = (0..2)
        .map(|process| {
            let mut command = barflow();
            command.args(["live", "--report-every", "0", "--venue", "binance-spot"]);
            command.args(["--instrument", "BTCUSDT", "--at", &simulator.address]);
            command.args(["--bar", "t=tick,size=10", "--hosts"]).arg(&hosts);
            command.args(["--process", &process.to_string()]);
            Process::start(command)
        })
        .collect();
    wait_until("bars of one of them", || {
        running.iter_mut().any(|process| process.bars().len() > 10)
    });
    let hangs = running.pop().unwrap();
    hangs.signal("STOP");
    let end = running.pop().unwrap().end();
    assert_eq!(end.code, Some(3), "{}", end.said);
    let gone = format!("error: lost process 1 at {} (it has sent nothing for 30 s)", addresses[1]);
    assert!(end.said.contains(&gone), "{}", end.said);
}
