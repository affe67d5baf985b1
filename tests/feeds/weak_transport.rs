//! Weak ways to venues, archives and brokers are named at the start; private authorities are trusted by all
//! that connects.

use std::fs;
use std::path::Path;

use crate::support::days::synth;
use crate::support::live::{Simulator, words};
use crate::support::process::{Process, barflow};
use crate::support::scripted_http::{Http, redirect};
use crate::support::tls;

fn config(folder: &Path, feed: &str, more: &str) -> String {
    let path = folder.join("live.toml");
    let feed =
        format!("[feeds.f]\nvenue = \"binance-spot\"\ninstruments = [\"BTCUSDT\"]\n{feed}\n");
    fs::write(&path, feed + more).unwrap();
    path.to_str().unwrap().to_owned()
}

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output = barflow().args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn what_is_not_encrypted_is_named_once_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let weak = "websocket = \"ws://stream.venue.invalid\"\nrest = \"http://rest.venue.invalid\"";
    let config_of = |feed: &str| config(folder.path(), feed, "");
    let (websocket, rest) = ("websocket = \"ws://stream.venue.invalid\"", "rest = \"http://rest");
    let (code, said) = run(&["check", &config_of(weak)]);
    assert_eq!(code, Some(0), "{said}");
    for setting in [websocket, rest] {
        let line = said.lines().find(|line| line.contains(setting)).unwrap();
        assert!(line.contains("warning: [feeds.f]") && line.contains("is not encrypted"), "{line}");
    }
    let config_of_weak = config_of(weak);
    let live = ["live", "--config", &config_of_weak, "--sink", "none", "--for", "500ms"];
    let (code, said) = run(&live);
    assert_eq!(code, Some(3), "{said}");
    for (setting, better) in [(websocket, "use wss://"), (rest, "use https://")] {
        let lines: Vec<&str> = said.lines().filter(|line| line.contains(setting)).collect();
        let told = lines.iter().filter(|line| line.contains("WARN") && line.contains(better));
        assert_eq!(told.count(), 1, "{said}");
    }
    for fine in ["websocket = \"ws://127.0.0.1:9\"\nrest = \"http://[::1]:9\"", ""] {
        let (code, said) = run(&["check", &config_of(fine)]);
        assert!(code == Some(0) && !said.contains("warning"), "{said}");
    }
    let store = folder.path().join("store");
    let fetch = words("fetch --symbol A --from 2024-03-01 --tries 1 --timeout 1s --base-url");
    let fetch = [&fetch[..], &["http://archive.invalid", "--store", store.to_str().unwrap()]];
    let (code, said) = run(&fetch.concat());
    assert_eq!(code, Some(3), "{said}");
    let warning = "warning: --base-url = \"http://archive.invalid\" is not encrypted";
    assert!(said.matches("warning: ").count() == 1 && said.contains(warning), "{said}");
}

#[test]
fn brokers_without_proof_or_encryption_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let kafka = |properties: &str| {
        let more = format!(
            "[sink]\nkind = \"kafka\"\n[kafka]\nbrokers = \"127.0.0.1:1\"\n[kafka.properties]\n\
             {properties}\n[bars.t]\nkind = \"tick\"\nsize = 5\n"
        );
        let path = folder.path().join("replay.toml");
        fs::write(&path, more).unwrap();
        path.to_str().unwrap().to_owned()
    };
    for (properties, named) in [
        (
            "\"security.protocol\" = \"ssl\"\n\"enable.ssl.certificate.verification\" = \"false\"",
            "enable.ssl.certificate.verification",
        ),
        (
            "\"security.protocol\" = \"sasl_plaintext\"\n\"sasl.mechanism\" = \"PLAIN\"\n\
             \"sasl.username\" = \"u\"\n\"sasl.password\" = \"${PATH}\"",
            "use sasl_ssl",
        ),
    ] {
        let (code, said) = run(&["check", &kafka(properties)]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("warning: kafka property") && said.contains(named), "{said}");
    }
    // At the start as well, before anything is known of the brokers.
    let day = synth(folder.path(), "--trades 100").remove(0);
    for (registry, url) in [
        ("http://registry.invalid", ""),
        ("${REGISTRY_URL}", "http://registry.invalid"),
        ("${REGISTRY_URL}", "http://registry.invalid/t1ger"),
    ] {
        let mut replay = barflow();
        replay.arg("replay").arg(&day).args(["--bar", "t=tick,size=5", "--sink", "kafka"]);
        replay.args(["--brokers", "127.0.0.1:1", "--encoding", "avro-confluent"]);
        replay.args(["--schema-registry", registry]).env("REGISTRY_URL", url);
        let mut replay = Process::start(replay);
        let named = "schema_registry = \"http://registry.invalid";
        replay.wait_until_it_says(named);
        // Nobody finds it, which would take its time.
        replay.signal("TERM");
        let (_, said) = replay.finish();
        let warned = |line: &&str| {
            ["WARN", named, "is not encrypted"].iter().all(|word| line.contains(word))
        };
        assert_eq!(said.lines().filter(warned).count(), 1, "{said}");
        assert!(!said.contains("t1ger"), "{said}");
    }
    let config = kafka(
        "\"security.protocol\" = \"ssl\"\n\"ssl.endpoint.identification.algorithm\" = \"none\"",
    );
    let (code, said) = run(&["replay", day.to_str().unwrap(), "--config", &config]);
    assert_eq!(code, Some(3), "{said}");
    let warnings = said.lines().filter(|line| line.contains("WARN") && line.contains("host names"));
    assert_eq!(warnings.count(), 1, "{said}");
}

#[test]
fn websockets_and_rest_trust_the_same_authorities() {
    let folder = tempfile::tempdir().unwrap();
    let day = synth(folder.path(), "--trades 20000").remove(0);
    let played = words("--protocol binance-spot --rate 500 --faults drop=0.02");
    let simulator = Simulator::start(&played, &[&day]);
    let ca_file = folder.path().join("ca.pem");
    let port = tls::front(&simulator.address, &ca_file);
    let there = format!(
        "websocket = \"wss://localhost:{port}\"\nrest = \"https://localhost:{port}\"\n\
         connect_timeout = \"300ms\""
    );
    let trusting = format!("{there}\nca_file = \"{}\"", ca_file.display());
    let config = config(folder.path(), &trusting, "");
    let start = |arguments: &[&str]| {
        let mut command = barflow();
        command.args(["live", "--bar", "t=tick,size=20", "--config"]).args(arguments);
        Process::start(command)
    };
    let mut listening = start(&[&config]);
    listening.wait_until_it_says("connected and subscribed");
    listening.wait_for(20);
    let (code, _, said) = listening.stop();
    assert_eq!(code, Some(0), "{said}");
    // REST filled what the websocket dropped.
    assert!(!said.contains(" 0 backfilled") && said.contains(", 0 failed\n"), "{said}");

    let other = folder.path().join("other.toml");
    fs::write(&other, fs::read_to_string(&config).unwrap().replace("ca_file", "# ca_file"))
        .unwrap();
    let (code, said) = start(&[other.to_str().unwrap()]).finish();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("certificate") && said.contains("`ca_file`"), "{said}");
    let flag = [other.to_str().unwrap(), "--ca-file", ca_file.to_str().unwrap()];
    let mut listening = start(&flag);
    listening.wait_for(1);
    listening.stop();
    let missing = [other.to_str().unwrap(), "--ca-file", "/does/not/exist.pem"];
    let (code, said) = start(&missing).finish();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("/does/not/exist.pem") && said.contains("could not be read"), "{said}");
}

#[test]
fn a_websocket_follows_no_redirect() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = Http::serve(|_, stream| redirect(stream, "http://127.0.0.1:9"));
    let to = format!("http://u:s3cret@{}/", elsewhere.address);
    let venue = Http::serve(move |_, stream| redirect(stream, &to));
    let feed = format!("websocket = \"ws://{}\"\nconnect_timeout = \"300ms\"", venue.address);
    let config = config(folder.path(), &feed, "");
    let (code, said) = run(&["live", "--config", &config, "--sink", "none"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("HTTP 302: redirects are not followed (to http://***@"), "{said}");
    assert!(!said.contains("s3cret") && elsewhere.asked().is_empty(), "{said}");
}
