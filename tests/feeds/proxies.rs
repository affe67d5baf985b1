//! Proxies of the environment, and keys that go nowhere else.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use crate::support::days::synth;
use crate::support::live::{Simulator, words};
use crate::support::process::{PATIENCE, Process, barflow};
use crate::support::servers::{head, noting, serve};

const VARIABLES: [&str; 8] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// A `barflow live` in an environment with these proxies and no others.
fn live(proxies: &[(&str, &str)], arguments: &[&str]) -> Process {
    let mut command = barflow();
    VARIABLES.iter().for_each(|name| {
        command.env_remove(name);
    });
    command.envs(proxies.iter().copied()).args(["live", "--report-every", "0"]).args(arguments);
    Process::start(command)
}

/// A proxy that connects everybody to one place, whatever they ask for; requests come out.
fn proxy(place: String) -> (String, Receiver<String>) {
    let (send, requests) = channel();
    let address = serve(move |mut client| {
        let (place, send) = (place.clone(), send.clone());
        std::thread::spawn(move || {
            let _ = send.send(head(&mut client));
            let mut venue = TcpStream::connect(place).unwrap();
            let _ = client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n");
            let (mut from, mut to) = (client.try_clone().unwrap(), venue.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            let _ = std::io::copy(&mut venue, &mut client);
        });
    });
    (address, requests)
}

/// Binance with a day in this folder, which drops connections now and then.
fn binance(folder: &Path) -> Simulator {
    let day = synth(folder, "--trades 20000").remove(0);
    Simulator::start(&words("--protocol binance-spot --rate 500 --faults drop=0.02"), &[&day])
}

#[test]
fn websockets_and_rest_take_the_way_that_the_environment_says() {
    let folder = tempfile::tempdir().unwrap();
    let simulator = binance(folder.path());
    let (address, requests) = proxy(simulator.address.clone());
    let config = folder.path().join("live.toml");
    // Nobody but the proxy knows these hosts.
    let feed = "[feeds.f]\nvenue = \"binance-spot\"\ninstruments = [\"BTCUSDT\"]\n\
                websocket = \"ws://stream.venue.invalid\"\nrest = \"http://rest.venue.invalid:81\"\n";
    fs::write(&config, feed).unwrap();
    let url = format!("http://me:secret@{address}");
    let config = ["--config", config.to_str().unwrap(), "--bar", "t=tick,size=20"];
    let mut listening = live(&[("HTTP_PROXY", &url)], &config);
    listening.wait_for(10);
    let (mut websocket, mut rest) = (false, false);
    while !(websocket && rest) {
        let request = requests.recv_timeout(PATIENCE).unwrap();
        assert!(
            request.contains("Proxy-Authorization: Basic")
                || request.contains("proxy-authorization: basic"),
            "{request}"
        );
        websocket |= request.starts_with("CONNECT stream.venue.invalid:80 ");
        rest |= request.starts_with("CONNECT rest.venue.invalid:81 ");
    }
    let (code, _, said) = listening.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("secret"), "{said}");
}

#[test]
fn loopback_is_reached_directly_and_a_proxy_of_another_kind_refused() {
    let folder = tempfile::tempdir().unwrap();
    let simulator = binance(folder.path());
    let venue = ["--venue", "binance-spot", "--instrument", "BTCUSDT", "--bar", "t=tick,size=20"];
    let here = [&venue[..], &["--at", &simulator.address]].concat();
    // Nobody is there: whatever goes through it fails.
    let away = "http://127.0.0.1:9";
    let everywhere = [("HTTP_PROXY", away), ("https_proxy", away), ("ALL_PROXY", away)];
    let mut listening = live(&everywhere, &here);
    listening.wait_for(20);
    let (code, _, said) = listening.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains(" 0 backfilled") && said.contains(", 0 failed\n"), "{said}");

    let (code, said) = live(&[("ALL_PROXY", "socks5://me:secret@127.0.0.1:9")], &venue).finish();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("ALL_PROXY") && said.contains("socks5://"), "{said}");
    assert!(!said.contains("secret"), "{said}");
    let away = [&venue[..], &["--for", "8s"]].concat();
    let (code, said) = live(&[("HTTPS_PROXY", "http://127.0.0.1:9")], &away).finish();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("proxy http://127.0.0.1:9 (HTTPS_PROXY)"), "{said}");
}

#[test]
fn a_proxy_of_downloads_is_named_without_its_login() {
    let store = tempfile::tempdir().unwrap();
    let fetch = |url: &str| {
        let mut command = barflow();
        VARIABLES.iter().for_each(|name| {
            command.env_remove(name);
        });
        command.env("HTTP_PROXY", url).args(["fetch", "--symbol", "A", "--from", "2024-03-01"]);
        command.args(["--tries", "1", "--base-url", "http://archive.invalid", "--store"]);
        Process::start({
            command.arg(store.path());
            command
        })
        .finish()
    };
    let (code, said) = fetch("http://me:secret@127.0.0.1:9");
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("proxy http://127.0.0.1:9 (HTTP_PROXY): "), "{said}");
    assert!(!said.contains("secret"), "{said}");
    for wrong in ["http://me:sec/secret@127.0.0.1:9", "me:secret://@127.0.0.1:9"] {
        let (code, said) = fetch(wrong);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("HTTP_PROXY: not a proxy of the form http://HOST:PORT"), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

/// A REST server that sends everybody elsewhere; requests come out.
fn redirecting(to: &str) -> (String, Receiver<String>) {
    noting(format!("HTTP/1.1 307 There\r\nlocation: {to}/x\r\ncontent-length: 0\r\n\r\n"))
}

#[test]
fn a_key_follows_no_redirect_and_is_not_sent_in_the_clear() {
    let folder = tempfile::tempdir().unwrap();
    let simulator = binance(folder.path());
    let (elsewhere, stolen) = redirecting("http://127.0.0.1:9");
    let (rest, requests) = redirecting(&format!("http://{elsewhere}"));
    let key = folder.path().join("key");
    fs::write(&key, "sesame\n").unwrap();
    let config = folder.path().join("live.toml");
    let configure = |rest: &str| {
        let feed = format!(
            "[feeds.f]\nvenue = \"binance-spot\"\ninstruments = [\"BTCUSDT\"]\n\
             websocket = \"ws://{}\"\nrest = \"{rest}\"\napi_key = \"${{file:{}}}\"\n",
            simulator.address,
            key.display()
        );
        fs::write(&config, feed).unwrap();
    };
    let arguments = ["--config", config.to_str().unwrap(), "--bar", "t=tick,size=20"];
    configure(&format!("http://{rest}"));
    let listening = live(&[], &arguments);
    let asked = requests.recv_timeout(PATIENCE).unwrap().to_lowercase();
    assert!(asked.contains("x-mbx-apikey: sesame"), "{asked}");
    let mut listening = listening;
    listening.wait_until_it_says("HTTP 307: redirects are not followed");
    listening.stop();
    assert!(stolen.try_recv().is_err());
    for unencrypted in ["http://rest.venue.invalid", "http://10.1.2.3:9000"] {
        configure(unencrypted);
        let (code, said) = live(&[], &arguments).finish();
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("api_key would be sent unencrypted"), "{said}");
    }
}
