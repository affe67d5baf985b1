//! Inputs that contradict themselves, or what is known of their source: ids against times, one column against
//! another, a name against its columns, a correction against its neighbours. None passes in silence.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Output;

use zip::write::{SimpleFileOptions, ZipWriter};

use crate::support::process::run;

const BAR: [&str; 2] = ["--bar", "t=tick,size=1"];

fn replay(folder: &Path, more: &[&str]) -> Output {
    run(folder, &[&["replay"], &BAR[..], more].concat())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn refused(output: &Output, words: &[&str]) {
    let told = said(output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    words.iter().for_each(|word| assert!(told.contains(word), "\"{word}\" is not in: {told}"));
}

/// A number of each bar.
fn numbers(output: &Output, field: &str) -> Vec<f64> {
    assert_eq!(output.status.code(), Some(0), "{}", said(output));
    let bars = String::from_utf8_lossy(&output.stdout);
    let value =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()[field].clone();
    bars.lines().map(|line| value(line).as_f64().unwrap()).collect()
}

fn zipped(members: &[(&str, String)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in members {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Ticks of a day of LEAN, in a folder of its data.
fn lean(at: &Path, folder: &str, member: &str, rows: &str) {
    let folder = at.join(folder);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("20131007_trade.zip"), zipped(&[(member, rows.to_owned())])).unwrap();
}

const FRACTIONS: &str = "34200000,1682.75,3,,,0\n34200010,1682.5,1,,,0\n";

#[test]
fn prices_and_times_of_lean_are_those_of_its_markets() {
    let at = tempfile::tempdir().unwrap();
    let at = at.path();
    let nine_thirty_utc = 1_381_138_200_000_000_000.0;
    let hour = 3_600e9;
    for (folder, member, rows, hours) in [
        ("equity/usa/tick/spy", "20131007_spy_Trade_Tick.csv", "34200000,16827500,3,P,0,0\n", 4.0),
        ("equity/usa/tick/qqq", "20131007_qqq_trade_tick.csv", "34200000,16827500,3,P,0,0\n", 4.0),
        ("future/cme/tick/es", "20131007_es_tick_trade_201312.csv", FRACTIONS, 0.0),
        ("index/usa/tick/spx", "20131007_spx_tick_trade.csv", FRACTIONS, 5.0),
    ] {
        lean(at, folder, member, rows);
        let ran = replay(at, &[folder]);
        assert_eq!(numbers(&ran, "open")[0], 1682.75, "{folder}");
        assert_eq!(numbers(&ran, "open_time")[0], nine_thirty_utc + hours * hour, "{folder}");
        let market = folder.split('/').next().unwrap();
        let bars = String::from_utf8_lossy(&ran.stdout);
        assert!(bars.contains(&format!("\"lean:{market}:")), "{bars}");
    }
    // Named by what was typed, where no folder does.
    let rows = "34200000,16827500,3,P,0,0\n";
    fs::write(at.join("20131007_trade.csv"), rows).unwrap();
    let ran = replay(at, &["20131007_trade.csv", "--instrument", "lean:equity:SPY"]);
    assert_eq!(numbers(&ran, "open"), [1682.75]);
    refused(
        &replay(at, &["20131007_trade.csv"]),
        &["20131007_trade.csv", "--instrument lean:equity:"],
    );
}

#[test]
fn markets_of_lean_that_are_not_known_are_refused() {
    let at = tempfile::tempdir().unwrap();
    let at = at.path();
    for (folder, word) in [
        ("index/usa/tick/ndx", "index ticks of NDX"),
        ("future/sgx/tick/cn", "future ticks of sgx"),
        ("equity/india/tick/tcs", "equity ticks of india"),
        ("futureoption/cme/tick/es", "futureoption"),
        ("crypto/gdax/tick/btcusd", "crypto"),
    ] {
        lean(at, folder, "20131007_x.csv", FRACTIONS);
        refused(&replay(at, &[folder]), &["20131007_trade.zip", word]);
    }
    lean(at, "index/usa/tick/spx", "20131007_spx_tick_trade.csv", FRACTIONS);
    let ran = replay(at, &["index/usa/tick/spx", "--instrument", "lean:equity:SPX"]);
    refused(&ran, &["20131007_trade.zip", "index", "lean:equity:SPX"]);
    // Two contracts of one archive are two instruments.
    let members =
        ["201312", "201403"].map(|contract| format!("20131007_es_tick_trade_{contract}.csv"));
    let members = members.each_ref().map(|name| (name.as_str(), FRACTIONS.to_owned()));
    let folder = at.join("future/cme/tick/es");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("20131007_trade.zip"), zipped(&members)).unwrap();
    refused(&replay(at, &["future/cme/tick/es"]), &["ES_201312", "ES_201403", "unpack"]);
}

#[test]
fn a_fraction_among_scaled_prices_is_a_bad_row() {
    let at = tempfile::tempdir().unwrap();
    let rows = "34200000,16827500,3,P,0,0\n34200010,1682.75,1,P,0,0\n";
    lean(at.path(), "equity/usa/tick/spy", "20131007_spy_Trade_Tick.csv", rows);
    let ran = replay(at.path(), &["equity/usa/tick/spy"]);
    assert_eq!(ran.status.code(), Some(1), "{}", said(&ran));
    for word in ["20131007_spy_Trade_Tick.csv:2:", "price", "1682.75", "ten-thousandths"] {
        assert!(said(&ran).contains(word), "{word}: {}", said(&ran));
    }
}
