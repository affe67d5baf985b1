//! Secrets in URLs: refused where we are told them, needed by reference, shown nowhere.

use std::fs;
use std::path::Path;
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::support::days::synth;
use crate::support::live::{Simulator, words};
use crate::support::process::{Process, barflow};
use crate::support::scripted_http::{Http, redirect, whole};

const SECRET: &str = "s3cretpw";

/// Runs a command; its exit code and all that it said.
fn run(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

fn configured(folder: &Path, text: &str) -> String {
    let path = folder.join("live.toml");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn feed(settings: &str) -> String {
    format!("[feeds.f]\nvenue = \"binance-spot\"\ninstruments = [\"BTCUSDT\"]\n{settings}\n")
}

#[test]
fn a_secret_in_a_setting_or_a_flag_is_refused_with_the_way_to_give_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    for url in [
        "http://user:s3cretpw@127.0.0.1:9",
        "https://s3cretpw@mirror.example",
        "https://mirror.example/?api_key=s3cretpw",
    ] {
        for option in ["--base-url", "--listing-url"] {
            let mut fetch = barflow();
            fetch.args(["fetch", "--symbol", "A", "--from", "2024-03-01", "--store"]).arg(&store);
            let (code, said) = run(fetch.args([option, url]));
            assert_eq!(code, Some(2), "{said}");
            assert!(said.contains(option) && said.contains("${NAME} or ${file:/path}"), "{said}");
            assert!(!said.contains(SECRET), "{said}");
            // The environment is a place of settings as well.
            let mut fetch = barflow();
            fetch.args(["fetch", "--symbol", "A", "--from", "2024-03-01", "--store"]).arg(&store);
            let (code, said) = run(fetch.env("BARFLOW_ARCHIVE_URL", url));
            assert_eq!(code, Some(2), "{said}");
            assert!(!said.contains(SECRET), "{said}");
        }
    }
    for setting in [
        "websocket = \"wss://user:s3cretpw@venue.example\"",
        "websocket = \"wss://venue.example/?token=s3cretpw\"",
        "websocket = \"user:s3cretpw@venue.example\"",
        "websocket = \"venue.example/?token=s3cretpw\"",
        "rest = \"https://user:s3cretpw@venue.example\"",
        "rest = \"https://user:s3/cretpw@venue.example\"",
    ] {
        let config = configured(folder.path(), &feed(setting));
        for command in [["check", &config].as_slice(), &["live", "--config", &config]] {
            let (code, said) = run(barflow().args(command));
            assert_eq!(code, Some(2), "{said}");
            assert!(said.contains("live.toml:4: ") && !said.contains("cretpw"), "{said}");
        }
    }
    let at = "live --venue binance-spot --instrument BTCUSDT --for 2s --sink none";
    let (code, said) = run(barflow().args(words(at)).args(["--at", "user:s3cretpw@127.0.0.1:9"]));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--at: must be HOST:PORT") && !said.contains(SECRET), "{said}");
}

#[test]
fn a_secret_in_brokers_topics_or_hosts_is_refused_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let day = synth(folder.path(), "--trades 100").remove(0);
    let into = |brokers: &str| {
        let sink = ["--sink", "kafka", "--brokers", brokers, "--bar", "t=tick,size=5"];
        run(barflow().arg("replay").arg(&day).args(sink))
    };
    for brokers in ["user:s3cretpw@127.0.0.1:1", "kafka://user:s3cretpw@h:1", "u:s3cretpw@h:1,"] {
        let (code, said) = into(brokers);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("sasl.password") && !said.contains(SECRET), "{said}");
    }
    let topic = "kafka://user:s3cretpw@127.0.0.1:1/bars";
    for sources in [["x.jsonl", topic], [topic, "kafka://user:s3cretpw@h"]] {
        fs::write(folder.path().join("x.jsonl"), "").unwrap();
        let (code, said) = run(barflow().current_dir(folder.path()).arg("diff").args(sources));
        assert_eq!(code, Some(2), "{said}");
        assert!(!said.contains(SECRET), "{said}");
    }
    let hosts = folder.path().join("hosts.txt");
    fs::write(&hosts, "user:s3cretpw@127.0.0.1:7000\n127.0.0.1:7001\n").unwrap();
    let job = words("live --venue okx --instrument BTC-USDT --sink none --process 0 --hosts");
    let (code, said) = run(barflow().args(job).arg(&hosts));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("hosts.txt:1: ") && !said.contains(SECRET), "{said}");
}

#[test]
fn a_secret_is_not_shown_where_no_url_is_meant() {
    let url = "https://user:s3cretpw@h/x.csv";
    for arguments in [
        vec!["replay", url],
        vec!["fetch", "--symbol", url, "--from", url, "--store", "x"],
        vec!["check", url],
        vec!["live", "--venue", "okx", "--instrument", "BTC-USDT", "--metrics", url],
    ] {
        let (code, said) = run(barflow().args(&arguments));
        assert_ne!(code, Some(0), "{arguments:?} {said}");
        assert!(!said.contains(SECRET), "{arguments:?} {said}");
    }
    for (variable, command) in [("BARFLOW_ARCHIVE_URL", "fetch"), ("BARFLOW_BROKERS", "replay")] {
        let (_, said) = run(barflow().env(variable, url).args([command, "--help"]));
        assert!(said.contains(variable) && !said.contains(SECRET), "{said}");
    }
}

#[test]
fn an_archive_with_a_login_is_reached_by_reference_and_shown_without() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let body = b"not really a zip".to_vec();
    let sum = hex::encode(Sha256::digest(&body));
    // The files are with another server, which must not learn the login.
    let files = Http::serve(move |_, stream| whole(stream, "200 OK", &body));
    let elsewhere = files.address.clone();
    let server = Http::serve(move |request, stream| {
        if !request.head.contains("authorization: basic dxnlcjpzm2nyzxrwdw==") {
            return whole(stream, "401 Who?", b"");
        }
        if request.path.contains("prefix=") {
            return whole(stream, "404 No listing", b"");
        }
        if request.path.ends_with("2024-03-01.zip.CHECKSUM") {
            return whole(stream, "200 OK", format!("{sum}  x.zip\n").as_bytes());
        }
        if request.path.ends_with("2024-03-01.zip") {
            return redirect(stream, &format!("http://{elsewhere}{}", request.path));
        }
        whole(stream, "404 Not Found", b"");
    });
    let secret = folder.path().join("url");
    fs::write(&secret, format!("http://user:s3cretpw@{}/data-of/me\n", server.address)).unwrap();
    let fetch = |base: &str, url: &str| {
        let mut fetch = barflow();
        fetch.args(["fetch", "--symbol", "BTCUSDT", "--from", "2024-03-01", "--to", "2024-03-01"]);
        fetch.args(["--granularity", "daily", "--tries", "1", "--base-url", base, "--store"]);
        run(fetch.arg(&store).env("MIRROR", url))
    };
    let (code, said) = fetch(&format!("${{file:{}}}", secret.display()), "");
    assert_eq!(code, Some(0), "{said}");
    let manifest = fs::read_to_string(store.join("manifest.jsonl")).unwrap();
    assert!(manifest.contains("verified") && manifest.contains("/***/data/spot/"), "{manifest}");
    let asked = files.asked();
    assert!(!asked.is_empty() && asked.iter().all(|r| !r.head.contains("authorization")));
    for (url, wanted) in [
        ("http://user:s3cretpw@mirror.example", 2),
        ("http://user:s3cretpw@127.0.0.1:9", 3),
        ("http://127.0.0.1:9/?token=s3cretpw", 3),
    ] {
        let (code, more) = fetch("${MIRROR}", url);
        assert_eq!(code, Some(wanted), "{more}");
        assert!(!more.contains(SECRET), "{more}");
    }
    for text in [said, manifest] {
        assert!(!text.contains(SECRET) && !text.contains("data-of"), "{text}");
    }
    let (code, said) = fetch("${MIRROR_THAT_NOBODY_SET}", "");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("MIRROR_THAT_NOBODY_SET"), "{said}");
}

#[test]
fn a_venue_with_a_login_is_reached_by_reference_and_recorded_without() {
    let folder = tempfile::tempdir().unwrap();
    let day = synth(folder.path(), "--trades 20000").remove(0);
    let played = words("--protocol binance-spot --rate 500 --faults drop=0.02");
    let simulator = Simulator::start(&played, &[&day]);
    let config = configured(folder.path(), &feed("websocket = \"${WS}\"\nrest = \"${REST}\""));
    let (code, said) = run(barflow().args(["check", &config]));
    assert_eq!(code, Some(0), "a check resolves nothing: {said}");
    let recordings = folder.path().join("recordings");
    let live = |websocket: &str, rest: &str| {
        let mut command = barflow();
        command.args(["live", "--config", &config, "--bar", "t=tick,size=20", "--record"]);
        command.arg(&recordings).args(["--log", "debug"]);
        Process::start({
            command.env("WS", websocket).env("REST", rest);
            command
        })
    };
    let there = |scheme: &str| format!("{scheme}://user:s3cretpw@{}", simulator.address);
    let mut listening = live(&there("ws"), &there("http"));
    listening.wait_for(20);
    let (code, _, said) = listening.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("backfilled") && !said.contains(SECRET), "{said}");
    let mut recorded = String::new();
    for entry in fs::read_dir(&recordings).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        recorded += &String::from_utf8(zstd::decode_all(&bytes[..]).unwrap()).unwrap();
    }
    let first = format!("ws://***@{}", simulator.address);
    assert!(recorded.contains(&first) && !recorded.contains(SECRET), "{recorded}");

    // Nobody there; somebody on the way.
    for (websocket, rest, wanted) in [
        ("ws://user:s3cretpw@127.0.0.1:9", "http://user:s3cretpw@127.0.0.1:9", 3),
        ("ws://127.0.0.1:9/?listenKey=s3cretpw", "http://127.0.0.1:9", 3),
        ("ws://user:s3cretpw@venue.example", "http://127.0.0.1:9", 2),
        ("s3cretpw", "http://127.0.0.1:9", 2),
    ] {
        let mut command = barflow();
        command.args(["live", "--config", &config, "--sink", "none", "--for", "1s"]);
        let (code, said) = run(command.env("WS", websocket).env("REST", rest));
        assert_eq!(code, Some(wanted), "{said}");
        assert!(!said.contains(SECRET), "{said}");
    }
}
