//! Inputs that contradict themselves, or what is known of their source: ids against times, one column against
//! another, a name against its columns, a correction against its neighbours. None passes in silence.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Output;

use zip::write::{SimpleFileOptions, ZipWriter};

use crate::support::archives::day_rows;
use crate::support::process::{run, told};

const MARCH_MS: i64 = 1_709_251_200_000;
const OWN: [&str; 2] = ["--instrument", "own:spot:X"];
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

/// A header, and rows at times 1 s apart.
fn csv(header: &str, rows: i64, row: impl Fn(i64) -> String) -> String {
    (0..rows).fold(format!("{header}\n"), |mut text, n| {
        writeln!(text, "{}", row(n)).unwrap();
        text
    })
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

#[test]
fn ids_that_contradict_their_times_are_refused() {
    let at = tempfile::tempdir().unwrap();
    let at = at.path();
    let row = |n: i64, id: i64| format!("{},{},1,{id}", MARCH_MS + n * 1000, 100 + n);
    let counts_down = csv("time,price,qty,row", 100, |n| row(n, 500 - n)).replace("row", "id");
    fs::write(at.join("down.csv"), &counts_down).unwrap();
    let times_fall = csv("time,price,qty,id", 100, |n| row(-n, 500 + n));
    fs::write(at.join("up.csv"), times_fall).unwrap();
    for file in ["down.csv", "up.csv"] {
        for command in ["replay", "quality"] {
            let ran = run(at, &[&[command, file], &OWN[..]].concat());
            let advice = "--columns time=time,price=price,qty=qty";
            refused(&ran, &[file, "line 3", "\"id\"", "\"time\"", advice]);
            assert!(!said(&ran).contains("newest trade first"), "{}", said(&ran));
        }
        let store = ["convert", "--store", "s", "--instrument", "own:spot:X", file];
        assert!(told(at, 1, &store).contains("\"id\""));
    }
    // As the message says; a file of ids that agree is read from its end all the same.
    let advice = ["--columns", "time=time,price=price,qty=qty"];
    let ran = replay(at, &[&["down.csv"], &OWN[..], &advice].concat());
    let opens: Vec<f64> = (100..200).map(f64::from).collect();
    assert_eq!(numbers(&ran, "open"), opens);
    fs::write(at.join("new.csv"), csv("time,price,qty,id", 100, |n| row(99 - n, 500 - n))).unwrap();
    let ran = replay(at, &[&["new.csv"], &OWN[..]].concat());
    assert_eq!(numbers(&ran, "open"), opens);
    assert!(said(&ran).contains("newest trade first"), "{}", said(&ran));
}

#[test]
fn two_columns_of_ids_are_refused_unless_one_is_plainly_another_thing() {
    let at = tempfile::tempdir().unwrap();
    let at = at.path();
    let file = |first: &dyn Fn(i64) -> String| {
        csv("id,trade_id,time,price,qty", 20, |n| {
            format!("{},{},{},{},1", first(n), 90 + n, MARCH_MS + n, 100 + n)
        })
    };
    fs::write(at.join("two.csv"), file(&|n| n.to_string())).unwrap();
    let ran = replay(at, &[&["two.csv"], &OWN[..]].concat());
    refused(&ran, &["two.csv", "id: trade_id, id", "--columns"]);
    let choice = ["--columns", "time=time,price=price,qty=qty,id=id"];
    let ran = replay(at, &[&["two.csv"], &OWN[..], &choice].concat());
    assert_eq!(numbers(&ran, "first_trade_id")[..2], [0.0, 1.0]);
    fs::write(at.join("same.csv"), file(&|n| (90 + n).to_string())).unwrap();
    fs::write(at.join("text.csv"), file(&|n| format!("a-{n}"))).unwrap();
    for name in ["same.csv", "text.csv"] {
        let ran = replay(at, &[&[name], &OWN[..]].concat());
        assert_eq!(numbers(&ran, "first_trade_id")[..2], [90.0, 91.0], "{name}");
    }
}

#[test]
fn a_side_that_the_maker_contradicts_is_a_bad_row() {
    let at = tempfile::tempdir().unwrap();
    let at = at.path();
    let file = |wrong: i64| {
        csv("time,price,qty,side,is_buyer_maker", 6, |n| {
            let (side, maker) = (["buy", "sell"][n as usize % 2], (n % 2 == 1) != (n == wrong));
            format!("{},1,1,{side},{maker}", MARCH_MS + n)
        })
    };
    fs::write(at.join("good.csv"), file(-1)).unwrap();
    let ran = replay(at, &[&["good.csv"], &OWN[..]].concat());
    assert_eq!(numbers(&ran, "buy_ticks"), [1.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
    fs::write(at.join("bad.csv"), file(3)).unwrap();
    let ran = replay(at, &[&["bad.csv"], &OWN[..]].concat());
    assert_eq!(ran.status.code(), Some(1), "{}", said(&ran));
    for word in ["bad.csv:5:", "is_buyer_maker", "side", "sell"] {
        assert!(said(&ran).contains(word), "{word}: {}", said(&ran));
    }
}

#[test]
fn trades_of_barflow_itself_are_converted_where_they_are_named() {
    let at = tempfile::tempdir().unwrap();
    let at = at.path();
    for day in [1, 2] {
        let name = format!("BTCUSDT-trades-2024-03-0{day}.csv");
        fs::write(at.join(name), day_rows(day, 300).join("\n") + "\n").unwrap();
    }
    told(
        at,
        0,
        &["replay", "BTCUSDT-trades-2024-03-01.csv", "--sink", "none", "--sink-trades", "t"],
    );
    let own = "t/binance-spot-BTCUSDT.trades.parquet";
    let day = "BTCUSDT-trades-2024-03-02.csv";
    // Found in a folder: left out, and said so as it is.
    let note = told(at, 0, &["convert", "--store", "a", "t", day]);
    assert!(note.contains(own) && note.contains("name the file itself"), "{note}");
    assert!(!note.contains("converted already"), "{note}");
    told(at, 0, &["convert", "--store", "s", own, day]);
    let bars = numbers(&replay(at, &["--store", "s"]), "first_trade_id");
    let whole = numbers(&replay(at, &["BTCUSDT-trades-2024-03-01.csv", day]), "first_trade_id");
    assert_eq!(bars, whole);
    assert_eq!(bars.len(), 600);
    // Its own files are in the store already.
    let inside = "s/trades/binance/spot/trades/BTCUSDT/BTCUSDT-trades-2024-03-01.parquet";
    assert!(at.join(inside).exists());
    let error = told(at, 2, &["convert", "--store", "s", inside]);
    assert!(error.contains(inside) && error.contains("in this store"), "{error}");
}

#[test]
fn one_equal_row_makes_no_copy_whatever_the_names() {
    let long = |newest_first: bool| {
        let mut rows = vec!["1700000010,100.1,2.0\n".to_owned()];
        rows.extend((0..30).map(|n| format!("{},100.{},1.0\n", 1_700_000_011 + n, n % 5)));
        if newest_first {
            rows.reverse();
        }
        rows.concat()
    };
    for newest_first in [false, true] {
        for (one, longer) in [("XBTUSD_2.csv", "XBTUSD_8.csv"), ("XBTUSD_8.csv", "XBTUSD_2.csv")] {
            let at = tempfile::tempdir().unwrap();
            fs::write(at.path().join(one), "1700000010,100.1,2.0\n").unwrap();
            fs::write(at.path().join(longer), long(newest_first)).unwrap();
            let ran = replay(at.path(), &[one, longer]);
            refused(&ran, &[one, longer, "leave one of them out"]);
        }
    }
}

#[test]
fn a_correction_far_from_its_neighbours_is_refused() {
    let at = tempfile::tempdir().unwrap();
    let at = at.path();
    let row = |id: i64| {
        // Trade 120 is not there.
        let time = MARCH_MS + id * 1000;
        format!("{id},100,1,100,{time},true,true\n")
    };
    let rows: String = (100..150).filter(|id| *id != 120).map(row).collect();
    fs::write(at.join("BTCUSDT-trades-2024-03-01.csv"), rows).unwrap();
    let plain = ["BTCUSDT-trades-2024-03-01.csv"];
    let whole = numbers(&replay(at, &plain), "open_time");
    for row in [
        "replace,110,2034-03-01T00:00:00Z,100,1,buy",
        "replace,110,2014-03-01T00:00:00Z,100,1,buy",
        "replace,149,2034-03-01T00:00:00Z,100,1,buy",
        "replace,100,2014-03-01T00:00:00Z,100,1,buy",
        "add,120,2024-03-01T00:20:00Z,100,1,buy",
    ] {
        fs::write(at.join("c.csv"), format!("action,trade_id,time,price,qty,side\n{row}\n"))
            .unwrap();
        let more = ["--corrections", "c.csv", "--quarantine", "q.jsonl", "--out", "o.jsonl"];
        let ran = replay(at, &[&plain[..], &more].concat());
        assert_eq!(ran.status.code(), Some(1), "{row}: {}", said(&ran));
        assert!(said(&ran).contains("ten minutes"), "{row}: {}", said(&ran));
        let kept = fs::read_to_string(at.join("q.jsonl")).unwrap();
        assert!(kept.contains("\"time\"") && kept.contains("ten minutes"), "{kept}");
        let bars = fs::read_to_string(at.join("o.jsonl")).unwrap();
        assert_eq!(bars.lines().count(), whole.len(), "{row}");
        fs::remove_file(at.join("q.jsonl")).unwrap();
        fs::remove_file(at.join("o.jsonl")).unwrap();
    }
    let row = "add,120,2024-03-01T00:02:00.5Z,100,1,buy";
    fs::write(at.join("c.csv"), format!("action,trade_id,time,price,qty,side\n{row}\n")).unwrap();
    let ran = replay(at, &[&plain[..], &["--corrections", "c.csv"]].concat());
    assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
}

#[test]
fn a_name_that_says_trades_and_columns_of_aggregates_are_refused_packed_or_not() {
    let at = tempfile::tempdir().unwrap();
    let at = at.path();
    let aggregates = |header: bool| {
        let name =
            "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker";
        let rows =
            csv(name, 20, |n| format!("{n},100,1,{},{},{},true", 2 * n, 2 * n + 1, MARCH_MS + n));
        if header { rows } else { rows[name.len() + 1..].to_owned() }
    };
    let (csv, zip) = ("BTCUSDT-trades-2024-03-01.csv", "BTCUSDT-trades-2024-03-01.zip");
    for header in [false, true] {
        fs::write(at.join(csv), aggregates(header)).unwrap();
        fs::write(at.join(zip), zipped(&[(csv, aggregates(header))])).unwrap();
        for file in [csv, zip] {
            refused(&replay(at, &[file]), &[file, "named for trades", "columns of aggTrades"]);
        }
    }
    let named = "BTCUSDT-aggTrades-2024-03-01.csv";
    fs::write(at.join(named), aggregates(true)).unwrap();
    assert_eq!(numbers(&replay(at, &[named]), "open").len(), 20);
}
