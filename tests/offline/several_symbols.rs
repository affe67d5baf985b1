//! Names and folders that tell several symbols: their trades never become one series.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::support::process::run;

const MARCH_MS: i64 = 1_709_251_200_000;
const BTC: [&str; 2] = ["--instrument", "bybit:linear:BTCUSDT"];

fn write(at: &Path, name: &str, from: i64) {
    let path = at.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let row = |n: i64| format!("{},{},1,buy\n", MARCH_MS + (from + n) * 1000, 100 + n);
    let rows: String = (0..5).map(row).collect();
    fs::write(path, format!("time,price,qty,side\n{rows}")).unwrap();
}

fn replay(at: &Path, more: &[&str]) -> Output {
    run(at, &[&["replay", "in", "--bar", "t=tick,size=1"], more].concat())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

fn refused(output: &Output, words: &[&str]) {
    let told = said(output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    words.iter().for_each(|word| assert!(told.contains(word), "\"{word}\" is not in: {told}"));
}

#[test]
fn files_of_two_symbols_are_not_one_series() {
    for [a, b] in [
        ["symbol=BTCUSDT/part-0.csv", "symbol=ETHUSDT/part-0.csv"],
        ["day=1/pair=BTC%2FUSDT/x.csv", "day=2/pair=ETH%2FUSDT/x.csv"],
        ["BTCUSDT/2024-03-01.csv", "ETHUSDT/2024-03-01.csv"],
        ["btc-usdt/2024/x.csv", "eth-usdt/2024/x.csv"],
        ["BTCUSDT2024-03-01.csv", "ETHUSDT2024-03-01.csv"],
        ["BTCUSDT_2024-03-01.csv", "ETHUSDT_2024-03-01.csv"],
        ["bybit_BTCUSDT_ticks.csv", "bybit_ETHUSDT_ticks.csv"],
        ["BTCUSDT/x.csv", "symbol=ETHUSDT/x.csv"],
    ] {
        let at = tempfile::tempdir().unwrap();
        write(at.path(), &format!("in/{a}"), 0);
        write(at.path(), &format!("in/{b}"), 100);
        let other = Path::new("in").join(b).display().to_string();
        refused(&replay(at.path(), &BTC), &[&other]);
        let quality = run(at.path(), &[&["quality", "in"], &BTC[..]].concat());
        refused(&quality, &[&other]);
        let converted = run(at.path(), &[&["convert", "--store", "st", "in"], &BTC[..]].concat());
        assert!(said(&converted).contains(&other), "{}", said(&converted));
        assert_ne!(converted.status.code(), Some(0));
    }
}

#[test]
fn a_folder_beside_the_one_of_the_instrument_is_of_another() {
    let at = tempfile::tempdir().unwrap();
    write(at.path(), "in/AAPL/1.csv", 0);
    write(at.path(), "in/MSFT/1.csv", 100);
    refused(&replay(at.path(), &["--instrument", "own:equity:AAPL"]), &["in/MSFT/1.csv"]);
}

#[test]
fn pairs_of_kraken_in_a_folder_are_not_one_series() {
    let at = tempfile::tempdir().unwrap();
    fs::create_dir(at.path().join("in")).unwrap();
    for (name, from) in [("XBTUSD", 0), ("ETHUSD", 100)] {
        let row = |n: i64| format!("{},100,1\n", MARCH_MS / 1000 + from + n);
        let rows: String = (0..5).map(row).collect();
        fs::write(at.path().join(format!("in/{name}.csv")), rows).unwrap();
    }
    let given = ["--instrument", "kraken:spot:XBTUSD"];
    refused(&replay(at.path(), &given), &["in/ETHUSD.csv", "ETHUSD=kraken:spot:XBTUSD"]);
    // What was typed says that the two are one.
    let both = replay(at.path(), &["--instrument", "ETHUSD=kraken:spot:XBTUSD"]);
    assert_eq!(both.status.code(), Some(0), "{}", said(&both));
    // Two series without it.
    let each = replay(at.path(), &[]);
    assert!(said(&each).contains("kraken:spot:ETHUSD"), "{}", said(&each));
}

#[test]
fn one_file_of_another_symbol_is_refused() {
    for name in
        ["symbol=ETHUSDT/x.csv", "ETHUSDT2024-03-01.csv", "bybit_trades_2024-03-01_ETHUSDT.csv"]
    {
        let at = tempfile::tempdir().unwrap();
        write(at.path(), &format!("in/{name}"), 0);
        refused(&replay(at.path(), &BTC), &["ETHUSDT=bybit:linear:BTCUSDT", name]);
        let renamed = replay(at.path(), &["--instrument", "ETHUSDT=bybit:linear:BTCUSDT"]);
        assert_eq!(renamed.status.code(), Some(0), "{name}: {}", said(&renamed));
    }
    let at = tempfile::tempdir().unwrap();
    write(at.path(), "in/symbol=ETHUSDT/BTCUSDT-trades-2024-03-01.csv", 0);
    refused(&replay(at.path(), &BTC), &["is named for BTCUSDT", "ETHUSDT"]);
}

#[test]
fn names_that_tell_no_symbol_are_read_together() {
    for [a, b] in [
        ["data/2024/trades.csv", "daily/trades.csv"],
        ["BTCUSDT/2024-03-01.csv", "extra/2024-03-02.csv"],
        ["symbol=BTCUSDT/a.csv", "symbol=BTC-USDT/b.csv"],
        ["BTCUSDT2024-03-01.csv", "BTCUSDT2024-03-02.csv"],
        ["market=spot/a.csv", "market=SPOT/b.csv"],
        ["old_usdt/a.csv", "new_usdt/b.csv"],
    ] {
        let at = tempfile::tempdir().unwrap();
        write(at.path(), &format!("in/{a}"), 0);
        write(at.path(), &format!("in/{b}"), 100);
        let read = replay(at.path(), &BTC);
        assert_eq!(read.status.code(), Some(0), "{a} {b}: {}", said(&read));
    }
}
