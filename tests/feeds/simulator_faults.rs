//! `barflow simulator`: what goes wrong is what was asked for, and it ends as it should.
use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::support::live::Simulator;
use crate::support::process::{barflow, output};
use crate::support::protocols::{FIRST_ID, Protocol, protocol, trades};
use crate::support::rows::{bare, rows};
use crate::support::simulator::{Client, Received, get, listed, options, start};
use barflow_operators::trade::Aggressor;
use barflow_simulator::exchange::Running;
use barflow_simulator::exchange::faults::{KINDS, Kind};

/// Trades of a run.
const MANY: usize = 1_000;

/// A frame larger than any valid message.
const HUGE: usize = 8 << 20;

/// Stops a simulator and returns how often this fault came about; the summary says the same.
fn counted(simulator: Running, kind: Kind) -> usize {
    let tally = Arc::clone(&simulator.tally);
    simulator.stop().unwrap();
    let count = tally.faults[kind as usize].load(Ordering::Relaxed);
    let summary = tally.summary();
    assert_eq!(summary.contains(&format!("; {} {count}", KINDS[kind as usize])), count > 0);
    for (name, other) in KINDS.iter().zip(&tally.faults) {
        let count = other.load(Ordering::Relaxed);
        assert!(count == 0 || *name == KINDS[kind as usize], "{name} too: {summary}");
    }
    count as usize
}

/// What a client hears until the last trade, which comes back whenever it is cut off.
fn heard(address: SocketAddr, protocol: Protocol) -> Vec<Received> {
    let last = format!("\"t\":{}", FIRST_ID + MANY as u64 - 1);
    let mut heard = Vec::new();
    let mut client = Client::subscribed(address, protocol);
    loop {
        let frame = client.hear();
        let gone = matches!(frame, Received::Cut | Received::Closed);
        let done = matches!(&frame, Received::Text(text) if text.contains(&last));
        heard.push(frame);
        if done {
            return heard;
        }
        if gone {
            client = Client::subscribed(address, protocol);
        }
    }
}

/// Ids of valid trades in the order in which they came.
fn ids(heard: &[Received], protocol: Protocol) -> Vec<u64> {
    let texts = heard.iter().filter_map(|frame| match frame {
        Received::Text(text) => Some(text),
        _ => None,
    });
    let rows = texts.flat_map(|text| rows(protocol.push, text));
    let valid = rows.filter(|row| !bare(row, "p").starts_with('-'));
    valid.filter_map(|row| bare(&row, "t").parse().ok()).collect()
}

fn all() -> Vec<u64> {
    (FIRST_ID..FIRST_ID + MANY as u64).collect()
}

fn run(faults: &str) -> (Running, Vec<Received>, Vec<u64>) {
    let protocol = protocol("binance-spot");
    let simulator = start(protocol, trades(protocol, MANY), options(faults));
    let heard = heard(simulator.address, protocol);
    let ids = ids(&heard, protocol);
    (simulator, heard, ids)
}

fn sorted(ids: &[u64]) -> Vec<u64> {
    let ids: BTreeSet<u64> = ids.iter().copied().collect();
    ids.into_iter().collect()
}

#[test]
fn a_dropped_trade_is_missing_and_rest_has_it() {
    let (simulator, _, ids) = run("drop=0.05");
    let protocol = protocol("binance-spot");
    let rows = listed(simulator.address, protocol, "&limit=1000");
    let rest: Vec<u64> = rows.iter().map(|row| row["id"].as_u64().unwrap()).collect();
    assert_eq!(rest, all());
    assert!(ids.is_sorted() && ids.len() < MANY);
    assert_eq!(counted(simulator, Kind::Drop), MANY - ids.len());
}

#[test]
fn a_duplicate_comes_twice() {
    let (simulator, _, ids) = run("duplicate=0.05");
    assert_eq!(sorted(&ids), all());
    assert!(ids.is_sorted() && ids.len() > MANY);
    assert_eq!(counted(simulator, Kind::Duplicate), ids.len() - MANY);
}

#[test]
fn a_reordered_trade_comes_late_by_at_most_five() {
    let (simulator, _, ids) = run("reorder=0.05");
    assert_eq!((sorted(&ids), ids.len()), (all(), MANY));
    let mut newest = 0;
    let mut late = 0;
    for id in ids {
        late += usize::from(id < newest);
        assert!(id + 5 >= newest, "{id} after {newest}");
        newest = newest.max(id);
    }
    // A trade held back behind one that is held back as well is in order again.
    let count = counted(simulator, Kind::Reorder);
    assert!(late > 0 && late <= count, "{late} of {count}");
}

#[test]
fn garbage_unknown_and_huge_frames_come_besides() {
    let (simulator, frames, ids) = run("garbage=0.05");
    assert_eq!(ids, all());
    // The first frame is the answer to the subscription.
    assert_eq!(counted(simulator, Kind::Garbage), frames.len() - 1 - MANY);
    assert!(frames.iter().any(|frame| matches!(frame, Received::Binary(_))));
    let (simulator, frames, ids) = run("unknown=0.05");
    assert_eq!(ids, all());
    let novelties = |frame: &&Received| matches!(frame, Received::Text(t) if t.contains("novelty"));
    assert_eq!(counted(simulator, Kind::Unknown), frames.iter().filter(novelties).count());
    let (simulator, frames, ids) = run("huge=0.005");
    assert_eq!(ids, all());
    let large = |frame: &&Received| matches!(frame, Received::Text(t) if t.len() == HUGE);
    let count = frames.iter().filter(large).count();
    assert!(count > 0);
    assert_eq!(counted(simulator, Kind::Huge), count);
}

#[test]
fn a_connection_is_cut_without_a_word_and_what_passes_meanwhile_is_in_rest_only() {
    let (simulator, frames, ids) = run("disconnect=200");
    let cuts = frames.iter().filter(|frame| **frame == Received::Cut).count();
    assert!(cuts > 0 && !frames.contains(&Received::Closed));
    assert!(ids.is_sorted() && ids.len() < MANY);
    let rows = listed(simulator.address, protocol("binance-spot"), "&limit=1000");
    assert_eq!(rows.len(), MANY);
    assert_eq!(counted(simulator, Kind::Disconnect), cuts);
}

#[test]
fn a_stall_loses_nothing() {
    let (simulator, _, ids) = run("stall=200:20ms");
    assert_eq!(ids, all());
    assert!(counted(simulator, Kind::Stall) > 0);
}

#[test]
fn the_same_seed_sends_the_same_frames_and_another_others() {
    let faults = "drop=0.01,duplicate=0.02,reorder=0.02,garbage=0.01,unknown=0.01,disconnect=150";
    let protocol = protocol("binance-spot");
    let frames = |seed| {
        let mut options = options(faults);
        options.seed = seed;
        let simulator = start(protocol, trades(protocol, MANY), options);
        heard(simulator.address, protocol)
    };
    let first = frames(11);
    assert!(first.iter().filter(|frame| **frame == Received::Cut).count() > 1);
    assert_eq!(first, frames(11));
    assert_ne!(first, frames(12));
}

#[test]
fn rest_and_handshakes_are_refused_as_often_as_asked() {
    let protocol = protocol("binance-spot");
    for (faults, kind, status, retry) in
        [("rest-429=1:2s", Kind::Rest429, 429, Some("2")), ("rest-5xx=1", Kind::Rest5xx, 503, None)]
    {
        let simulator = start(protocol, trades(protocol, 3), options(faults));
        for _ in 0..3 {
            let (found, after, _) = get(simulator.address, protocol.rest, ("Accept", "*/*"));
            assert_eq!((found, after.as_deref()), (status, retry));
        }
        assert_eq!(simulator.tally.requests.load(Ordering::Relaxed), 3);
        assert_eq!(counted(simulator, kind), 3);
    }
    let simulator = start(protocol, trades(protocol, 3), options("refuse=1"));
    assert_eq!(Client::try_open(simulator.address, protocol.path).err(), Some(503));
    assert_eq!(counted(simulator, Kind::Refuse), 1);
}

/// The trades of a run as a file of Binance's.
fn file(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    let mut file = std::fs::File::create(&path).unwrap();
    for trade in trades(protocol("binance-spot"), MANY) {
        let (id, price, qty, quote) = (trade.trade_id, trade.price, trade.qty, trade.quote);
        let (time, maker) = (trade.event_time / 1_000_000, trade.aggressor == Aggressor::Seller);
        writeln!(file, "{id},{price},{qty},{quote},{time},{maker},true").unwrap();
    }
    path
}

#[test]
fn a_gap_happened_for_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let day = file(folder.path(), "BTCUSDT-trades-2026-08-09.csv");
    let arguments = ["--protocol", "binance-spot", "--speed", "max", "--faults", "gap=0.01:7"];
    let simulator = Simulator::start(&arguments, &[&day]);
    let protocol = protocol("binance-spot");
    let address = simulator.address.parse().unwrap();
    let ids = ids(&heard(address, protocol), protocol);
    let rows = listed(address, protocol, "&limit=1000");
    let rest: Vec<u64> = rows.iter().map(|row| row["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, rest);
    let lost = MANY - ids.len();
    assert!(lost >= 7);
    assert_eq!((ids[0], ids[ids.len() - 1]), (all()[0], all()[MANY - 1]));
    let summary = simulator.stop();
    assert!(summary.contains(&format!("; gap {lost}")), "{summary}");
}

#[test]
fn once_ends_by_itself_and_sigterm_ends_it_in_good_order() {
    let folder = tempfile::tempdir().unwrap();
    let day = file(folder.path(), "BTCUSDT-trades-2026-08-09.csv");
    let day = day.to_str().unwrap();
    let ended = output(
        &["simulator", "--protocol", "kraken", "--instrument", "kraken:spot:BTC-USD", "--listen"]
            .into_iter()
            .chain(["127.0.0.1:0", "--speed", "max", "--start-now", "--once", day])
            .collect::<Vec<_>>(),
        None,
    );
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(0), "{said}");
    assert!(said.contains("1,000 trades of 1 instrument as kraken"), "{said}");
    assert!(said.contains("1000 trades played, 0 frames sent over 0 connections"), "{said}");
    // With a client: it is told all, and the connection is closed in good order.
    let arguments = ["--protocol", "binance-spot", "--speed", "max", "--once"];
    let simulator = Simulator::start(&arguments, &[Path::new(day)]);
    let mut client =
        Client::subscribed(simulator.address.parse().unwrap(), protocol("binance-spot"));
    let mut frames = Vec::new();
    while frames.last() != Some(&Received::Closed) {
        frames.push(client.hear());
    }
    assert_eq!(frames.len(), 1 + MANY + 1);
    let (code, said) = simulator.finish();
    assert_eq!(code, Some(0), "{said}");
    // In the middle of the tape.
    let simulator =
        Simulator::start(&["--protocol", "binance-spot", "--speed", "1x"], &[Path::new(day)]);
    let mut client =
        Client::subscribed(simulator.address.parse().unwrap(), protocol("binance-spot"));
    client.until("\"e\":\"trade\"");
    let (code, _, said) = simulator.terminate();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(" trades played, ") && said.contains(" over 1 connections"), "{said}");
}

#[test]
fn wrong_options_are_named_and_exit_with_two() {
    let folder = tempfile::tempdir().unwrap();
    let day = file(folder.path(), "BTCUSDT-trades-2026-08-09.csv");
    let fine = folder.path().join("BTCUSDT-trades-2026-08-10.csv");
    std::fs::write(&fine, "7,65083.5,0.5,32541.75,1786309542514318,true,true\n").unwrap();
    let (day, fine) = (day.to_str().unwrap(), fine.to_str().unwrap());
    let swap = ["--protocol", "okx", "--instrument", "okx:swap:BTC-USDT-SWAP"];
    let okx = ["--protocol", "okx", "--instrument", "okx:spot:BTC-USDT"];
    for (arguments, file, wanted) in [
        (&["--protocol", "nobody"][..], day, &["\"nobody\"", "--help"][..]),
        (&["--protocol", "kraken"], day, &["binance:spot:BTCUSDT", "kraken", "--instrument"]),
        (&swap, day, &["okx:swap:BTC-USDT-SWAP", "contract"]),
        (&okx, fine, &["trade 7 of BTC-USDT", "1786309542514318000 ns", "finer"]),
        (&["--protocol", "binance-spot", "--speed", "soon"], day, &["\"soon\"", "60x"]),
        (&["--protocol", "binance-spot", "--rate", "0"], day, &["--rate", "greater than 0"]),
        (
            &["--protocol", "binance-spot", "--faults", "drop=2"],
            day,
            &["drop=2", "between 0 and 1"],
        ),
        (&["--protocol", "binance-spot"], "nowhere.csv", &["nowhere.csv"]),
    ] {
        let ended = barflow().arg("simulator").args(arguments).arg(file).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}: {said}");
        for wanted in wanted {
            assert!(said.contains(wanted), "{wanted:?} in {said}");
        }
    }
}
