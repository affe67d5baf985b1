//! `barflow fetch` against archives that mean harm: bodies without an end, bodies that stand still, ranges
//! that begin again, listings without an end, ways that leave encryption.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::support::process::{Process, barflow};
use crate::support::scripted_http::{Http, Request, redirect, whole};

const KEY: &str = "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2024-03-01.zip";

/// What is published: 200 KB that do not repeat.
fn published() -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(3);
    (0..200_000).map(|_| rng.u8(..)).collect()
}

fn listing(keys: &[(&str, u64)], more: bool) -> String {
    let contents = keys
        .iter()
        .map(|(key, size)| format!("<Contents><Key>{key}</Key><Size>{size}</Size></Contents>"));
    let contents: String = contents.collect();
    format!("<ListBucketResult><IsTruncated>{more}</IsTruncated>{contents}</ListBucketResult>")
}

/// An archive of one file, listed with its size if it has one, whose requests are answered so.
fn archive(
    size: Option<u64>,
    file: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static,
) -> Http {
    let sum = hex::encode(Sha256::digest(published()));
    Http::serve(move |request, stream| {
        if request.path.contains("prefix=") {
            return match size {
                Some(size) if request.path.contains("daily") => {
                    whole(stream, "200 OK", listing(&[(KEY, size)], false).as_bytes());
                }
                Some(_) => whole(stream, "200 OK", listing(&[], false).as_bytes()),
                None => whole(stream, "404 Not Found", b""),
            };
        }
        if !request.path.contains("2024-03-01") {
            return whole(stream, "404 Not Found", b"");
        }
        if request.path.ends_with(".CHECKSUM") {
            return whole(stream, "200 OK", format!("{sum}  x.zip\n").as_bytes());
        }
        if request.method == "HEAD" {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
            return;
        }
        file(request, stream);
    })
}

fn fetch(base: &str, store: &Path, more: &[&str]) -> Command {
    let mut command = barflow();
    command.args(["fetch", "--symbol", "BTCUSDT", "--today", "2024-04-20", "--granularity"]);
    command.args(["daily", "--from", "2024-03-01", "--to", "2024-03-01", "--store"]).arg(store);
    command.args(["--base-url", base]).args(more);
    command
}

/// Runs it and expects this exit code; what it said.
fn expect(code: i32, base: &str, store: &Path, more: &[&str]) -> String {
    let output = fetch(base, store, more).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

/// Names of the files of a store, hidden ones too.
fn names(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(names(&path));
        } else {
            found.insert(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    found
}

fn files_asked(server: &Http) -> usize {
    let is_file = |request: &&Request| request.method == "GET" && request.path.ends_with(".zip");
    server.asked().iter().filter(is_file).count()
}

/// A body without an end, in chunks; returns when the other side has had enough.
fn endless(stream: &mut TcpStream) -> usize {
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = [b"10000\r\n", &[7; 65536][..], b"\r\n"].concat();
    let mut sent = 0;
    while stream.write_all(&chunk).is_ok() {
        sent += 65536;
    }
    sent
}

#[test]
fn a_body_longer_than_listed_is_ended_and_refused() {
    let sent = Arc::new(AtomicUsize::new(0));
    let sum = Arc::clone(&sent);
    let chunked = archive(Some(48_692), move |_, stream| {
        sum.fetch_add(endless(stream), Ordering::Relaxed);
    });
    let announced = archive(Some(48_692), |_, stream| whole(stream, "200 OK", &published()));
    for server in [&chunked, &announced] {
        let store = tempfile::tempdir().unwrap();
        let base = format!("http://{}", server.address);
        let said = expect(1, &base, store.path(), &[]);
        let why = "sends more than the 48692 bytes that the archive lists";
        assert!(said.contains("refused: BTCUSDT-trades-2024-03-01.zip: http://"), "{said}");
        assert!(said.contains(why) && said.contains("1 refused"), "{said}");
        assert_eq!(files_asked(server), 1, "it is not asked for again");
        let left = names(store.path());
        assert!(left.iter().all(|name| !name.contains("zip")), "{left:?}");
        let manifest = fs::read_to_string(store.path().join("manifest.jsonl")).unwrap();
        assert!(manifest.contains("refused") && manifest.contains(why), "{manifest}");
    }
    // What was on its way in the sockets, not a gigabyte.
    assert!(sent.load(Ordering::Relaxed) < 64 << 20);
}

#[test]
fn without_a_listed_size_a_ceiling_holds() {
    let store = tempfile::tempdir().unwrap();
    let server = archive(None, |_, stream| {
        endless(stream);
    });
    let base = format!("http://{}", server.address);
    let said = expect(1, &base, store.path(), &["--max-file", "1MB"]);
    assert!(said.contains("sends more than the 1048576 bytes that --max-file allows"), "{said}");
    // Also one that is listed beyond it.
    let server = archive(Some(1 << 40), |_, stream| {
        endless(stream);
    });
    let base = format!("http://{}", server.address);
    let said = expect(1, &base, store.path(), &["--max-file", "1MB"]);
    assert!(said.contains("that --max-file allows"), "{said}");
    let said = expect(2, &base, store.path(), &["--max-file", "much"]);
    assert!(said.contains("is not a size such as 20GB"), "{said}");
    // A file within the ceiling comes, whether its size is known or not.
    let server = archive(None, |_, stream| whole(stream, "200 OK", &published()));
    expect(0, &format!("http://{}", server.address), store.path(), &[]);
    assert!(names(store.path()).contains("BTCUSDT-trades-2024-03-01.zip"));
}

#[test]
fn a_signal_ends_a_fetch_that_waits_for_a_silent_archive() {
    // Nothing at all, the beginning of a body, and of a chunk.
    for begin in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\nx",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;",
    ] {
        let store = tempfile::tempdir().unwrap();
        let server = archive(Some(200_000), move |_: &Request, stream: &mut TcpStream| {
            let _ = stream.write_all(begin.as_bytes());
            // Until the other side has gone.
            let _ = stream.read(&mut [0]);
        });
        let base = format!("http://{}", server.address);
        let mut fetching = Process::start(fetch(&base, store.path(), &["--timeout", "1h"]));
        fetching.wait_until("the file is asked for", |_| files_asked(&server) > 0);
        let (code, _, said) = fetching.stop();
        assert_eq!(code, Some(143), "{begin:?}: {said}");
        assert!(said.contains("stopped; run the same command to resume"), "{begin:?}: {said}");
    }
}

/// The body of a refusal is read for its words; it may trickle.
#[test]
fn a_signal_ends_a_fetch_that_reads_a_refusal() {
    for status in ["403 Forbidden", "400 Bad Request", "301 Moved Permanently"] {
        let store = tempfile::tempdir().unwrap();
        let server = archive(Some(200_000), move |_: &Request, stream: &mut TcpStream| {
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: 4000\r\n\r\nno");
            let _ = stream.write_all(head.as_bytes());
            // Until the other side has gone.
            let _ = stream.read(&mut [0]);
        });
        let base = format!("http://{}", server.address);
        let mut fetching = Process::start(fetch(&base, store.path(), &["--timeout", "1h"]));
        fetching.wait_until("the file is asked for", |_| files_asked(&server) > 0);
        let (code, _, said) = fetching.stop();
        assert_eq!(code, Some(143), "{status}: {said}");
    }
}

#[test]
fn a_body_that_stands_still_costs_tries() {
    let store = tempfile::tempdir().unwrap();
    // Each byte in time for --timeout, all of them much too slow.
    let drip = |head: &'static str, drop: &'static [u8]| {
        move |_: &Request, stream: &mut TcpStream| {
            let _ = stream.write_all(head.as_bytes());
            while stream.write_all(drop).is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    };
    let patience = ["--tries", "2", "--timeout", "400ms"];
    let bytes = "HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n";
    let server = archive(Some(200_000), drip(bytes, b"x"));
    let said = expect(3, &format!("http://{}", server.address), store.path(), &patience);
    assert!(said.contains("gave up after 2 attempts") && said.contains("too slow"), "{said}");
    assert!(said.contains("less than 100 bytes a second"), "{said}");
    assert_eq!(files_asked(&server), 2);
    // The beginning of a chunk that never comes to its bytes.
    let chunk = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;";
    let server = archive(Some(10), drip(chunk, b"x"));
    let said = expect(3, &format!("http://{}", server.address), store.path(), &patience);
    assert!(said.contains("gave up after 2 attempts"), "{said}");
    // The same of texts: a listing that drips.
    let server = Http::serve(drip(bytes, b"x"));
    let said = expect(3, &format!("http://{}", server.address), store.path(), &patience);
    assert!(said.contains("gave up after 2 attempts") && said.contains("timeout"), "{said}");
}

#[test]
fn ranges_that_begin_again_or_bring_nothing_count_for_the_whole_file() {
    let store = tempfile::tempdir().unwrap();
    let patience = ["--tries", "3", "--timeout", "5s"];
    let cut = |stream: &mut TcpStream, head: String, body: &[u8]| {
        let _ = stream.write_all(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes());
        let _ = stream.write_all(body);
    };
    // Everything from the beginning, always cut at the same place.
    let restarting = archive(Some(200_000), move |_, stream| {
        cut(stream, "200 OK\r\ncontent-length: 200000".to_owned(), &published()[..1000]);
    });
    // A byte a request.
    let crawling = archive(Some(200_000), move |request, stream| {
        let from = request.from();
        let head = match from {
            0 => "200 OK\r\ncontent-length: 200000".to_owned(),
            from => format!("206 Part\r\ncontent-range: bytes {from}-199999/200000"),
        };
        cut(stream, head, &published()[from as usize..][..1]);
    });
    // Parts that are others than those requested, or contradict themselves.
    let range = |range: fn(u64) -> String| {
        archive(Some(200_000), move |request, stream| {
            let head = match request.from() {
                0 => "200 OK\r\ncontent-length: 200000".to_owned(),
                from => format!("206 Part\r\ncontent-range: {}", range(from)),
            };
            cut(stream, head, &published()[..1000]);
        })
    };
    let first = range(|_| "bytes 0-199999/200000".to_owned());
    let nonsense = range(|from| format!("bytes {from}-5/200000"));
    let other = range(|from| format!("bytes {}-199999/200000", from + 1));
    for (server, why) in [
        (&restarting, "the connection ended after 1000 of 200000 bytes"),
        (&crawling, "the connection ended after 3 of 200000 bytes"),
        (&first, "requested from byte 1000, received from 0"),
        (&nonsense, "a part without a valid content-range (bytes 1000-5/200000)"),
        (&other, "requested from byte 1000, received from 1001"),
    ] {
        let store = tempfile::tempdir().unwrap();
        let said = expect(3, &format!("http://{}", server.address), store.path(), &patience);
        assert!(said.contains("gave up after 3 attempts"), "{said}");
        // ureq says of some of these bodies themselves that they are cut.
        assert!(said.contains(why) || said.contains("disconnected"), "{why}: {said}");
        assert_eq!(files_asked(server), 3, "{why}");
    }
    // An honest server that cuts often: what grows is not given up.
    let honest = archive(Some(200_000), move |request, stream| {
        let from = request.from() as usize;
        let head = match from {
            0 => "200 OK\r\ncontent-length: 200000".to_owned(),
            from => format!("206 Part\r\ncontent-range: bytes {from}-199999/200000"),
        };
        let all = published();
        cut(stream, head, &all[from..all.len().min(from + 90_000)]);
    });
    expect(0, &format!("http://{}", honest.address), store.path(), &patience);
    assert_eq!(files_asked(&honest), 3);
}

#[test]
fn a_listing_without_an_end_is_refused() {
    let store = tempfile::tempdir().unwrap();
    let pages = |page: fn(usize) -> String| {
        let number = AtomicUsize::new(0);
        Http::serve(move |_, stream| {
            let page = page(number.fetch_add(1, Ordering::Relaxed));
            whole(stream, "200 OK", page.as_bytes());
        })
    };
    for (server, why) in [
        (pages(|_| listing(&[(KEY, 5)], true)), "its pages repeat"),
        (pages(|_| listing(&[], true)), "a page without keys says that more follow"),
        (
            pages(|number| listing(&[(&format!("data/x/{number:09}"), 5)], true)),
            "the listing has more than 1000 pages",
        ),
    ] {
        let said = expect(3, &format!("http://{}", server.address), store.path(), &[]);
        assert!(said.contains(why), "{said}");
        assert!(server.asked().len() <= 1002, "{}", server.asked().len());
    }
}

#[test]
fn encryption_is_not_left_and_a_private_authority_is_trusted_by_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    let trusting = ["--ca-file", ca_file.to_str().unwrap()];
    let good = archive(Some(200_000), |_, stream| whole(stream, "200 OK", &published()));
    let base = format!("https://localhost:{}", good.encrypted(&ca_file));
    let store = folder.path().join("store");
    let said = expect(3, &base, &store, &["--tries", "1"]);
    assert!(said.contains("certificate"), "{said}");
    expect(0, &base, &store, &trusting);
    assert!(names(&store).contains("BTCUSDT-trades-2024-03-01.zip"));

    // The same over http, where everybody could change it: only the way back is closed.
    let plain = good.address.clone();
    let down = archive(Some(200_000), move |request, stream| {
        redirect(stream, &format!("http://{plain}{}", request.path));
    });
    let before = good.asked().len();
    let other = folder.path().join("other");
    let base = format!("https://localhost:{}", down.encrypted(&ca_file));
    let said = expect(1, &base, &other, &trusting);
    assert!(said.contains("redirects from https to unencrypted http"), "{said}");
    assert_eq!(good.asked().len(), before, "nothing was asked there");
    assert!(!names(&other).contains("BTCUSDT-trades-2024-03-01.zip"));
    expect(0, &format!("http://{}", down.address), &other, &[]);

    let missing = folder.path().join("none.pem");
    let said = expect(2, &base, &store, &["--ca-file", missing.to_str().unwrap()]);
    assert!(said.contains("none.pem") && said.contains("could not be read"), "{said}");
}
