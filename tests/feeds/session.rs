//! What a feed's session survives, over real sockets, as processes.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::support::live::{
    DIB, Simulator, assert_same, joining, listen, renamed, replayed, two_days,
};
use crate::support::members::free_addresses;
use crate::support::process::{Process, barflow, until, wait_until};
use crate::support::servers::{answering, noting, serve};
use crate::support::simulator::get;

const ROWS: usize = 12_000;

/// A configuration of one Binance feed with these settings besides.
fn config(folder: &Path, more: &str) -> String {
    let bars = "[bars.dib]\nkind = \"imbalance\"\nmeasure = \"dollar\"\nthreshold = \"wald\"\n\
                target = 200\nalpha = 0.01\nwarmup = 200\n";
    let feed = "[feeds.f]\nvenue = \"binance-spot\"\ninstruments = [\"XBTUSD\"]\n";
    let path = folder.join("live.toml");
    fs::write(&path, format!("{feed}{more}{bars}")).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Listens to a day from its first trade; what live and the simulator printed.
fn listened(settings: &str, venue_arguments: &[&str]) -> Option<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let (_, day) = two_days(folder.path(), ROWS)?;
    let expected = replayed(&[&day], "binance:spot:XBTUSD", DIB);
    let mut arguments = vec!["--protocol", "binance-spot"];
    arguments.extend(venue_arguments);
    let simulator = Simulator::start(&arguments, &[&day]);
    let config = config(folder.path(), settings);
    let mut live = listen(&["--config", &config, "--at", &simulator.address]);
    live.wait_for(expected.len());
    let (code, bars, said) = live.stop();
    let simulator_said = simulator.stop();
    assert_eq!(code, Some(0), "{said}");
    assert_same(&bars, &expected, &format!("{said}\n{simulator_said}"));
    Some((said, simulator_said))
}

#[test]
fn a_successor_is_up_before_the_old_connection_goes() {
    // A connection that is late on a busy machine is no reason to ask REST here.
    let settings = "rotate_after = \"1s\"\nconnections = 2\nreorder_wait = \"10s\"\n";
    let Some((said, simulator_said)) = listened(settings, &["--rate", "4000"]) else { return };
    assert!(
        said.matches("rotating a connection before the venue closes it").count() >= 2,
        "{said}"
    );
    // Nothing was missed, so nobody had to be asked.
    assert!(said.contains(" 0 lost; 0 REST requests"), "{said}");
    assert!(!simulator_said.contains("over 2 connections"), "{simulator_said}");
}

/// Joins a history to a day whose only connection is replaced every second, often while frames of it
/// are held up, but fewer than Bybit's REST lists; what live said.
fn rotated(protocol: &str, instrument: &str, symbol: &str, settings: &str) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let (history, day) = two_days(folder.path(), 5_000)?;
    let expected = replayed(&[&history, &day], instrument, DIB);
    // Bybit's REST lists the last 1,000 trades: a slow machine may take two seconds to ask for them.
    let mut arguments = vec!["--protocol", protocol, "--instrument", instrument, "--rate", "400"];
    arguments.extend(["--faults", "stall=900:400ms", "--seed", "8"]);
    // Whenever it is asked, its list reaches back to the history, though its tape has just begun.
    let tape = folder.path().join("tape");
    fs::create_dir(&tape).unwrap();
    let tape = tape.join(day.file_name().unwrap());
    let [before, rows] = [&history, &day].map(|file| fs::read_to_string(file).unwrap());
    let before: Vec<&str> = before.split_inclusive('\n').collect();
    fs::write(&tape, before[before.len() - 200..].concat() + &rows).unwrap();
    let simulator = Simulator::start(&arguments, &[&tape]);
    let config = folder.path().join("live.toml");
    let feed = format!("[feeds.f]\nvenue = {protocol:?}\ninstruments = [{symbol:?}]\n{settings}");
    fs::write(&config, feed).unwrap();
    let reached = ["--config", config.to_str().unwrap(), "--at", &simulator.address];
    let renamed = renamed(instrument);
    let mut live = listen(&[&reached[..], &joining(&history, &renamed)].concat());
    live.wait_for(expected.len());
    let (code, bars, said) = live.stop();
    assert_eq!(code, Some(0), "{said}");
    assert_same(&bars, &expected, &said);
    assert!(
        said.matches("rotating a connection before the venue closes it").count() >= 2,
        "{said}"
    );
    Some(said)
}

#[test]
fn what_is_under_way_on_an_old_connection_arrives() {
    let settings = "rotate_after = \"1s\"\nreorder_wait = \"10s\"\n";
    let numbered = rotated("binance-spot", "binance:spot:XBTUSD", "XBTUSD", settings);
    let Some(said) = numbered else { return };
    // Else ids would show that something is missing, and REST be asked.
    assert!(said.contains(" 0 REST requests"), "{said}");
    // Nothing would show it here: trades wait for a list while a connection begins.
    let settings = "rotate_after = \"1s\"\n";
    let said = rotated("bybit-linear", "bybit:linear:BTCUSDT", "BTCUSDT", settings).unwrap();
    // A connection may just have been replaced when the run ends: its list has not come then.
    let all = said.contains(" 0 given up");
    assert!(all || said.contains(" 1 given up (0 ids)"), "{said}");
}

#[test]
fn two_connections_cover_for_each_other() {
    let faults = ["--speed", "max", "--faults", "drop=0.02,disconnect=3000", "--seed", "2"];
    let Some((said, _)) = listened("connections = 2\n", &faults) else { return };
    assert!(said.contains(" duplicates"), "{said}");
}

#[test]
fn a_silent_connection_is_given_up() {
    let faults = ["--speed", "max", "--faults", "stall=4000:4s", "--seed", "3"];
    let Some((said, _)) = listened("stale_after = \"1s\"\n", &faults) else { return };
    assert!(said.contains("no message for 1s"), "{said}");
}

#[test]
fn a_huge_frame_costs_its_connection_and_nothing_else() {
    let faults = ["--speed", "max", "--faults", "huge=0.0003", "--seed", "4"];
    let Some((said, simulator_said)) = listened("frame_bytes_max = 1048576\n", &faults) else {
        return;
    };
    assert!(simulator_said.contains("huge "), "{simulator_said}");
    assert!(said.contains("reconnecting"), "{said}");
}

#[test]
fn a_venue_that_refuses_for_a_while_is_asked_again() {
    let faults = ["--speed", "max", "--faults", "refuse=0.5,disconnect=3000", "--seed", "6"];
    listened("", &faults);
}

#[test]
fn a_sink_that_is_stuck_makes_the_venue_wait_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some((_, day)) = two_days(folder.path(), ROWS) else { return };
    let bar = "t=tick,size=2";
    let expected = replayed(&[&day], "binance:spot:XBTUSD", bar);
    let simulator = Simulator::start(&["--protocol", "binance-spot", "--speed", "max"], &[&day]);
    let mut command = barflow();
    command.args(["live", "--venue", "binance-spot", "--instrument", "XBTUSD", "--bar", bar]);
    command.args(["--report-every", "0", "--at", &simulator.address]);
    let (live, mut out) = Process::start_with_pipe(command);
    // Nobody reads: the pipe fills, then the sink waits, then the graph, then the socket.
    let waiting = || {
        let mut bytes: libc::c_int = 0;
        // SAFETY: the pipe is open, and FIONREAD writes one integer.
        unsafe { libc::ioctl(out.as_raw_fd(), libc::FIONREAD, &mut bytes) };
        bytes
    };
    let (mut before, mut same) = (0, 0);
    wait_until("the pipe is full", || {
        let now = waiting();
        same = if now > 0 && now == before { same + 1 } else { 0 };
        before = now;
        same > 50
    });
    let lines = BufReader::new(&mut out).lines();
    let bars: Vec<String> = lines.take(expected.len()).map(Result::unwrap).collect();
    assert_same(&bars, &expected, "after a stuck sink");
    let (code, _, said) = live.stop();
    assert_eq!(code, Some(0), "{said}");
    let memory = said.split("peak memory ").nth(1).unwrap();
    let mebibytes: u64 = memory.split(' ').next().unwrap().parse().unwrap();
    assert!(mebibytes < 200, "{said}");
}

/// Starts live against this websocket; its exit code and what it said.
fn refused(websocket: &str, more: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let settings = format!("websocket = \"{websocket}\"\nconnect_timeout = \"300ms\"\n{more}");
    let config = config(folder.path(), &settings);
    listen(&["--config", &config]).finish()
}

#[test]
fn a_venue_that_does_not_serve_us_is_quoted_with_advice() {
    let blocked: &[u8] = b"HTTP/1.1 451 Unavailable\r\ncontent-length: 17\r\n\r\nrestricted place.";
    let (code, said) = refused(&format!("ws://{}", answering(blocked)), "");
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("HTTP 451: restricted place.") && said.contains("another endpoint"),
        "{said}"
    );
    let forbidden: &[u8] = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 4\r\n\r\nno.\n";
    let (code, said) = refused(&format!("ws://{}", answering(forbidden)), "");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("HTTP 403: no.") && said.contains("whether this network"), "{said}");
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_named() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key.unwrap())
        .unwrap();
    let server = Arc::new(server);
    let address = serve(move |stream| {
        let connection = rustls::ServerConnection::new(Arc::clone(&server)).unwrap();
        let _ = rustls::StreamOwned::new(connection, stream).read(&mut [0; 1024]);
    });
    let address = address.replace("127.0.0.1", "localhost");
    let (code, said) = refused(&format!("wss://{address}"), "");
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("TLS") && said.contains("certificate"), "{said}");
    // A port where nobody speaks TLS at all.
    let (code, said) = refused(&format!("wss://{}", answering(b"hello, who is there?\r\n")), "");
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("TLS") || said.contains("could not connect"), "{said}");
}

#[test]
fn a_subscription_that_the_venue_refuses_is_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let Some((_, day)) = two_days(folder.path(), 100) else { return };
    for (protocol, instrument, wrong, wanted) in [
        ("kraken", "kraken:spot:BTC-USD", "ETH-USD", "Currency pair not supported ETH/USD"),
        ("coinbase", "coinbase:spot:BTC-USD", "ETH-USD", "ETH-USD"),
        ("bybit-linear", "bybit:linear:BTCUSDT", "ETHUSDT", "publicTrade.ETHUSDT"),
        ("okx", "okx:spot:BTC-USDT", "ETH-USDT", "60018"),
    ] {
        let simulator =
            Simulator::start(&["--protocol", protocol, "--instrument", instrument], &[&day]);
        let live =
            listen(&["--venue", protocol, "--instrument", wrong, "--at", &simulator.address]);
        let (code, said) = live.finish();
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("refused a subscription") && said.contains(wanted), "{said}");
    }
}

#[test]
fn an_api_key_comes_by_reference_and_goes_to_rest_alone() {
    let (code, said) = refused("ws://127.0.0.1:9", "api_key = \"${NO_SUCH_KEY}\"\n");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("NO_SUCH_KEY") && said.contains("is not set"), "{said}");
    let folder = tempfile::tempdir().unwrap();
    let Some((_, day)) = two_days(folder.path(), 2_000) else { return };
    let unavailable = "HTTP/1.1 503 no\r\ncontent-length: 0\r\n\r\n";
    let (rest, requests) = noting(unavailable.to_owned());
    let key = folder.path().join("key");
    fs::write(&key, "sesame\n").unwrap();
    let faults = ["--protocol", "binance-spot", "--speed", "max", "--faults", "drop=0.05"];
    let simulator = Simulator::start(&faults, &[&day]);
    let settings = format!(
        "websocket = \"ws://{}\"\nrest = \"http://{rest}\"\napi_key = \"${{file:{}}}\"\n",
        simulator.address,
        key.display()
    );
    let live = listen(&["--config", &config(folder.path(), &settings)]);
    // The first requests ask which symbols there are.
    let next = || requests.recv_timeout(Duration::from_secs(120)).unwrap().to_lowercase();
    let request = std::iter::repeat_with(next).find(|request| request.contains("fromid=")).unwrap();
    assert!(request.contains("x-mbx-apikey: sesame"), "{request}");
    let (_, _, said) = live.stop();
    assert!(!said.contains("sesame"), "{said}");
}

#[test]
fn metrics_are_served_under_the_names_of_the_documents() {
    let folder = tempfile::tempdir().unwrap();
    let Some((_, day)) = two_days(folder.path(), 2_000) else { return };
    let faults = ["--protocol", "binance-spot", "--speed", "max", "--faults", "drop=0.02"];
    let simulator = Simulator::start(&faults, &[&day]);
    let metrics = free_addresses(1).remove(0);
    let mut arguments = vec!["--venue", "binance-spot", "--instrument", "XBTUSD"];
    arguments.extend([
        "--at",
        &simulator.address,
        "--bar",
        "t=tick,size=100",
        "--metrics",
        &metrics,
    ]);
    let mut live = listen(&arguments);
    live.wait_for(15);
    // A summary is served with a sum and a count beside it.
    let name = |text: &str| {
        let name = text.split(['{', ' ']).next().unwrap();
        let summary = name.strip_suffix("_sum").or(name.strip_suffix("_count"));
        summary.unwrap_or(name).to_owned()
    };
    // Counts are told now and then.
    let served: BTreeSet<String> = until(Duration::from_secs(120), || {
        let (status, _, body) = get(metrics.parse().unwrap(), "/metrics", ("Accept", "*/*"));
        assert_eq!(status, 200);
        let lines = body.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        assert!(lines.clone().all(|line| line.contains("{feed=\"")), "{body}");
        let names: BTreeSet<String> = lines.map(name).collect();
        names.contains("barflow_feed_gaps_filled_total").then_some(names)
    })
    .unwrap();
    let (code, _, said) = live.stop();
    assert_eq!(code, Some(0), "{said}");
    let document = fs::read_to_string("docs/live.md").unwrap();
    let documented: BTreeSet<String> =
        document.split('`').filter(|word| word.starts_with("barflow_feed_")).map(name).collect();
    assert!(served.is_subset(&documented), "{served:?}");
    for wanted in ["frames", "trades", "connects", "gaps_opened", "backfill_requests"] {
        assert!(served.contains(&format!("barflow_feed_{wanted}_total")), "{wanted}: {served:?}");
    }
}

#[test]
fn more_instruments_than_a_connection_carries_are_spread_over_two() {
    let folder = tempfile::tempdir().unwrap();
    let Some((_, day)) = two_days(folder.path(), 200) else { return };
    let arguments = ["--protocol", "binance-spot", "--rate", "5000", "--copies", "250"];
    let simulator = Simulator::start(&arguments, &[&day]);
    let copies = (2..=250).map(|copy| format!(",XBTUSD{copy}")).collect::<String>();
    let mut live = listen(&[
        "--venue",
        "binance-spot",
        "--instrument",
        &format!("XBTUSD{copies}"),
        "--at",
        &simulator.address,
        "--bar",
        "t=tick,size=10",
    ]);
    live.wait_until("a bar of the first and one of the last instrument", |live| {
        let mut of = |symbol: &str| live.bars().iter().any(|bar| bar.contains(symbol));
        of("\"XBTUSD\"") && of("\"XBTUSD250\"")
    });
    let (code, _, said) = live.stop();
    assert_eq!(code, Some(0), "{said}");
    let simulator_said = simulator.stop();
    assert!(simulator_said.contains("over 2 connections"), "{simulator_said}");
}
