//! Inputs that could be read as other trades than they hold, in part or twice: each is read right or
//! refused, and never passes in silence.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, Float64Array, Int8Array, Int64Array, RecordBatch};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::support::process::run;

const HEADER: &str = "id,price,qty,quote_qty,time,is_buyer_maker,is_best_match\n";
const MARCH_MS: i64 = 1_709_251_200_000;
const DAY: &str = "BTCUSDT-trades-2024-03-01.csv";
const BAR: [&str; 2] = ["--bar", "t=tick,size=1"];
const OWN: [&str; 2] = ["--instrument", "own:spot:X"];

/// Binance's rows of these ids.
fn rows(ids: std::ops::Range<i64>) -> String {
    ids.map(|id| {
        let (price, time) = (60_000 + id % 7, MARCH_MS + id * 10);
        format!("{id},{price},0.5,{},{time},{},true\n", price as f64 * 0.5, id % 3 == 0)
    })
    .collect()
}

/// A CSV whose rows are these functions of a number, at times 1 s apart.
fn csv(header: &str, row: impl Fn(i64) -> String) -> String {
    (0..20).fold(format!("{header}\n"), |mut text, n| {
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

fn replay(folder: &Path, more: &[&str]) -> Output {
    run(folder, &[&["replay"], &BAR[..], more].concat())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Open time, price and buys of each bar.
fn bars(output: &Output) -> Vec<(i64, f64, i64)> {
    assert_eq!(output.status.code(), Some(0), "{}", said(output));
    let bar = |line: &str| {
        let bar: serde_json::Value = serde_json::from_str(line).unwrap();
        let whole = |key: &str| bar[key].as_i64().unwrap();
        (whole("open_time"), bar["open"].as_f64().unwrap(), whole("buy_ticks"))
    };
    String::from_utf8_lossy(&output.stdout).lines().map(bar).collect()
}

fn refused(output: &Output, wanted: &[&str]) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for text in wanted {
        assert!(said.contains(text), "{text:?} in {said}");
    }
}

/// All commands refuse these inputs, whatever the options.
fn refused_by_all(folder: &Path, wanted: &[&str]) {
    for more in [&["."][..], &[".", "--no-verify"], &[".", "--quarantine", "q.jsonl"]] {
        refused(&replay(folder, more), wanted);
    }
    refused(&replay(folder, &[".", "--parallel", "2"]), wanted);
    for command in [&["quality", "."][..], &["convert", "--store", "st", "."]] {
        let ran = run(folder, command);
        let all = said(&ran) + &String::from_utf8_lossy(&ran.stdout);
        assert!(matches!(ran.status.code(), Some(1 | 2)), "{all}");
        assert!(all.contains(wanted[0]), "{all}");
        fs::remove_dir_all(folder.join("st")).ok();
    }
}

#[test]
fn archives_that_were_joined_or_hold_an_unlisted_member_are_refused() {
    let one = zipped(&[("a.csv", rows(1..50))]);
    let two = zipped(&[("b.csv", rows(50..100))]);
    let same = zipped(&[("a.csv", rows(50..100))]);
    let cut = &two[..two.len() - 22];
    for (joined, place) in [
        ([&one[..], &two[..]].concat(), "at byte 0"),
        ([&one[..], &same[..]].concat(), "at byte 0"),
        ([&one[..], cut].concat(), "that is not"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("BTCUSDT-trades-2024-03-01.zip"), joined).unwrap();
        refused_by_all(folder.path(), &["every member in its directory", place]);
    }
    // Members that lie behind one another, with descriptors and a comment, are all listed.
    let folder = tempfile::tempdir().unwrap();
    let mut zip = ZipWriter::new_stream(Vec::new());
    for (name, ids) in [("a.csv", 1..50), ("b.csv", 50..100)] {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(rows(ids).as_bytes()).unwrap();
    }
    zip.set_comment("made by hand").unwrap();
    let whole = zip.finish().unwrap().into_inner();
    fs::write(folder.path().join("BTCUSDT-trades-2024-03-01.zip"), whole).unwrap();
    assert_eq!(bars(&replay(folder.path(), &["."])).len(), 99);
}

#[test]
fn what_is_no_header_of_trades_is_not_a_day_without_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join(DAY), rows(1..20)).unwrap();
    let other = folder.join("BTCUSDT-trades-2024-03-02.csv");
    for text in
        ["Not found, sorry\n", "x\u{9c},\u{1}\u{2}\n", "error,message\n", "date,open,close\n"]
    {
        fs::write(&other, text).unwrap();
        refused(&replay(folder, &["."]), &["2024-03-02.csv", "names no column for"]);
    }
    for header in [HEADER, "agg_trade_id,price,quantity,first_trade_id,last_trade_id,time,m\n"] {
        fs::write(&other, header).unwrap();
        let ran = replay(folder, &["."]);
        assert!(said(&ran).contains("1 file has a header and no trades"), "{}", said(&ran));
        assert_eq!(bars(&ran).len(), 19);
    }
}

#[test]
fn rows_after_a_header_of_other_columns_are_never_read_by_the_first() {
    // As many columns, and every value plausible in the other's place.
    let other = "id,qty,price,quote_qty,time,is_buyer_maker,is_best_match\n";
    let joined = format!("{HEADER}{}{other}{}", rows(1..20), rows(20..40));
    for (name, content) in [
        (DAY, joined.clone().into_bytes()),
        (
            "BTCUSDT-trades-2024-03-01.zip",
            zipped(&[("a.csv", format!("{HEADER}{}", rows(1..20))), ("b.csv", joined)]),
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), content).unwrap();
        refused_by_all(folder.path(), &["a header among the rows", "line 21", "id,qty,price"]);
    }
    // A total is no header, and a byte order mark no part of one.
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{HEADER}{}\u{feff}{HEADER}{}Total,,,,,,\n", rows(1..20), rows(20..40));
    fs::write(folder.path().join(DAY), text).unwrap();
    let ran = replay(folder.path(), &[".", "--quarantine", "q.jsonl"]);
    assert_eq!(ran.status.code(), Some(1), "{}", said(&ran));
    assert_eq!(ran.stdout.iter().filter(|byte| **byte == b'\n').count(), 39);
    assert_eq!(fs::read_to_string(folder.path().join("q.jsonl")).unwrap().lines().count(), 1);
}

#[test]
fn times_whose_zone_is_not_an_offset_and_dates_alone_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (time, hours) in [
        ("2024-03-01T01:00:NN[Europe/Berlin]", None),
        ("2024-03-01 01:00:NN[Europe/Berlin]", None),
        ("2024-03-01", None),
        ("2024-03-01T01:00:NN+01:00[Europe/Berlin]", Some(0)),
        ("2024-03-01T01:00:NN+01:00", Some(0)),
        ("2024-03-01T01:00:NN", Some(1)),
    ] {
        let row = |n: i64| format!("{},60000,1,buy", time.replace("NN", &format!("{n:02}")));
        fs::write(folder.join("x.csv"), csv("time,price,qty,side", row)).unwrap();
        let ran = replay(folder, &[&["x.csv"], &OWN[..]].concat());
        match hours {
            None => refused(&ran, &["is neither ISO 8601 nor a number"]),
            Some(hours) => {
                let first = (MARCH_MS + hours * 3_600_000) * 1_000_000;
                assert_eq!(bars(&ran)[0].0, first, "{time}");
            }
        }
    }
}

#[test]
fn a_field_is_read_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (price, good) in [("\"60000\"", true), ("\"6\"0000", false), ("\"60000\"9", false)] {
        let row = |n: i64| {
            let price = if n == 10 { price } else { "60000" };
            format!("{},{price},1,buy", MARCH_MS + n)
        };
        fs::write(folder.join("x.csv"), csv("time,price,qty,side", row)).unwrap();
        let ran = replay(folder, &[&["x.csv"], &OWN[..]].concat());
        assert_eq!(ran.status.code(), Some(i32::from(!good)), "{price}: {}", said(&ran));
    }
}

#[test]
fn rows_that_name_another_symbol_are_not_taken_as_the_given_instrument() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (name, symbol, price) in [("a.csv", "BTC/USDT", 60_000), ("b.csv", "ETH/USDT", 3_000)] {
        let shift = if name == "b.csv" { 100_000 } else { 0 };
        let row = |n: i64| format!("{},{symbol},{price},1,buy", MARCH_MS + shift + n);
        fs::write(folder.join(name), csv("time,symbol,price,qty,side", row)).unwrap();
    }
    let given = ["--instrument", "own:spot:BTCUSDT"];
    refused(&replay(folder, &[&["."], &given[..]].concat()), &["b.csv is of ETH/USDT"]);
    assert_eq!(bars(&replay(folder, &[&["a.csv"], &given[..]].concat())).len(), 20);
    let renamed = ["b.csv", "--instrument", "ETH/USDT=own:spot:BTCUSDT"];
    assert_eq!(bars(&replay(folder, &renamed)).len(), 20);
}

/// Whatever the column is called, and whether or not the user has named the others.
#[test]
fn rows_of_two_symbols_are_not_one_series() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let named = ["--columns", "time=time,price=price,qty=qty,side=side"];
    for column in ["symbol", "coin", "currency_pair", "Contract Code", "instrument_id", "sym"] {
        let row = |n: i64| {
            let symbol = if n % 2 == 0 { "BTC" } else { "ETH" };
            format!("{},{symbol},60000,1,buy", MARCH_MS + n)
        };
        let header = format!("time,{column},price,qty,side");
        fs::write(folder.join("x.csv"), csv(&header, row)).unwrap();
        for more in [&[][..], &named] {
            let given = ["x.csv", "--instrument", "own:spot:BTC"];
            let ran = replay(folder, &[&given[..], more].concat());
            assert_ne!(ran.status.code(), Some(0), "{column}: {}", said(&ran));
        }
    }
}

#[test]
fn spot_and_futures_of_a_symbol_are_not_one_instrument() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let futures = |ids| rows(ids).replace(",true\n", "\n");
    fs::write(folder.join("a.csv"), rows(1..20)).unwrap();
    fs::write(folder.join("b.csv"), futures(20..40)).unwrap();
    let given = ["--instrument", "binance:spot:BTCUSDT"];
    let ran = replay(folder, &[&["."], &given[..]].concat());
    refused(&ran, &["b.csv has the columns of futures", "a.csv those of spot"]);
    let both = ["--instrument", "BTCUSDT=binance:spot:BTCUSDT"];
    assert_eq!(bars(&replay(folder, &[&["."], &both[..]].concat())).len(), 39);
    let place = folder.join("futures/um");
    fs::create_dir_all(&place).unwrap();
    fs::write(place.join(DAY), futures(20..40)).unwrap();
    let ran = replay(folder, &[&["futures"], &given[..]].concat());
    refused(&ran, &["lies in a folder of um"]);
    let ran = replay(folder, &["futures", "--instrument", "binance:um:BTCUSDT"]);
    assert_eq!(bars(&ran).len(), 20);
}

#[test]
fn a_last_row_that_may_have_been_cut_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let text = csv("time,price,volume", |n| format!("{},60000,0.125", MARCH_MS / 1000 + n));
    let note = "1 file does not end with the end of a line: x.csv";
    for (cut, noted) in [(0, false), (1, true), (3, true)] {
        fs::write(folder.join("x.csv"), &text[..text.len() - cut]).unwrap();
        let ran = replay(folder, &[&["x.csv"], &OWN[..]].concat());
        assert_eq!((ran.status.code(), said(&ran).contains(note)), (Some(0), noted), "{cut}");
    }
    // A truth cannot be cut without being noticed.
    fs::write(folder.join(DAY), rows(1..20).trim_end()).unwrap();
    let ran = replay(folder, &[DAY]);
    assert!(!said(&ran).contains("end of a line"), "{}", said(&ran));
}

#[test]
fn three_columns_have_times_of_any_unit() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let times: [fn(i64) -> String; 5] = [
        |n| format!("{}", MARCH_MS / 1000 + n),
        |n| format!("{}.25", MARCH_MS / 1000 + n),
        |n| format!("{}", MARCH_MS + n * 1000),
        |n| format!("{}", (MARCH_MS + n * 1000) * 1000),
        |n| format!("2024-03-01T00:00:{n:02}Z"),
    ];
    for (at, time) in times.into_iter().enumerate() {
        let row = |n: i64| format!("{},60000,1", time(n));
        fs::write(folder.join("x.csv"), csv("time,price,volume", row)).unwrap();
        let ran = bars(&replay(folder, &[&["x.csv"], &OWN[..]].concat()));
        let shift = if at == 1 { 250_000_000 } else { 0 };
        assert_eq!((ran.len(), ran[3].0), (20, (MARCH_MS + 3000) * 1_000_000 + shift));
    }
}

fn table(path: &Path, group: usize, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group)).build();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn times(numbers: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(numbers.map(|n| MARCH_MS + n * 1000)))
}

fn floats(numbers: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(numbers.map(|n| n as f64 + 0.5)))
}

#[test]
fn parquet_whose_newest_trade_stands_first_is_read_from_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let wanted: Vec<i64> = (0..3000).map(|n| (MARCH_MS + n * 1000) * 1_000_000).collect();
    for (group, with_ids) in [(5000, false), (700, false), (256, true), (1, false)] {
        let n = if group == 1 { 50 } else { 3000 };
        let down = || (0..n).rev();
        let ones: ArrayRef = Arc::new(Float64Array::from(vec![1.0; n as usize]));
        let mut columns = vec![("time", times(down())), ("price", floats(down())), ("qty", ones)];
        if with_ids {
            columns.push(("id", Arc::new(Int64Array::from_iter_values(down()))));
        }
        table(&folder.join("x.parquet"), group, columns);
        for more in [&["--batch-rows", "100"][..], &["--batch-rows", "9000"], &["--parallel", "2"]]
        {
            let ran = replay(folder, &[&["x.parquet"], &OWN[..], more].concat());
            assert!(said(&ran).contains("newest trade first"), "{}", said(&ran));
            let bars = bars(&ran);
            let read: Vec<i64> = bars.iter().map(|bar| bar.0).collect();
            assert_eq!(read, wanted[..n as usize], "{group} {more:?}");
            assert!(bars.iter().zip(0..).all(|(bar, n)| bar.1 == f64::from(n) + 0.5));
        }
    }
    // A bad row is named by its place in the file.
    let prices = Float64Array::from_iter_values((0..100).map(|n| if n == 30 { -1.0 } else { 1.0 }));
    let ones: ArrayRef = Arc::new(Float64Array::from(vec![1.0; 100]));
    let columns = vec![
        ("time", times((0..100).rev())),
        ("price", Arc::new(prices) as ArrayRef),
        ("qty", ones),
    ];
    table(&folder.join("x.parquet"), 40, columns);
    let ran = replay(folder, &[&["x.parquet"], &OWN[..]].concat());
    assert_eq!(ran.status.code(), Some(1));
    assert!(said(&ran).contains("x.parquet:31: field \"price\""), "{}", said(&ran));
}

#[test]
fn codes_of_sides_and_32_bit_times_are_not_guessed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ones = || -> ArrayRef { Arc::new(Float64Array::from(vec![1.0; 20])) };
    let codes: ArrayRef = Arc::new(Int8Array::from_iter_values((0..20).map(|n| n % 2)));
    let columns =
        vec![("time", times(0..20)), ("price", ones()), ("qty", ones()), ("aggressor", codes)];
    table(&folder.join("x.parquet"), 100, columns);
    refused(&replay(folder, &[&["x.parquet"], &OWN[..]].concat()), &["side_buy=1,side_sell=0"]);
    let named = "time=time,price=price,qty=qty,side=aggressor,side_buy=1,side_sell=0";
    let ran = replay(folder, &[&["x.parquet", "--columns", named], &OWN[..]].concat());
    assert_eq!(bars(&ran).iter().map(|bar| bar.2).sum::<i64>(), 10);
    let seconds = (0..20).map(|n| (MARCH_MS / 1000 + n) as f32);
    let columns = vec![
        ("time", Arc::new(Float32Array::from_iter_values(seconds)) as ArrayRef),
        ("price", ones()),
        ("qty", ones()),
    ];
    table(&folder.join("x.parquet"), 100, columns);
    refused(&replay(folder, &[&["x.parquet"], &OWN[..]].concat()), &["its time", "is neither"]);
}

#[test]
fn convert_takes_parquet_of_other_writers_and_names_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ones = || -> ArrayRef { Arc::new(Float64Array::from(vec![1.0; 20])) };
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(100..120));
    let columns = vec![("id", ids), ("time", times(0..20)), ("price", ones()), ("qty", ones())];
    table(&folder.join("x.parquet"), 100, columns);
    let ran = run(folder, &[&["convert", "--store", "st", "."], &OWN[..]].concat());
    assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
    assert!(said(&ran).contains("1 of 1 archive"), "{}", said(&ran));
    let stored = replay(folder, &[&["--store", "st"], &OWN[..]].concat());
    assert_eq!(bars(&stored), bars(&replay(folder, &[&["x.parquet"], &OWN[..]].concat())));
    let again = run(folder, &[&["convert", "--store", "st", "."], &OWN[..]].concat());
    assert!(said(&again).contains("converted already"), "{}", said(&again));
}

#[test]
fn quality_sees_files_of_a_store_that_lie_at_another_ones_place() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let names = [DAY, "BTCUSDT-trades-2024-03-02.csv"];
    fs::write(folder.join(names[0]), rows(1..20)).unwrap();
    fs::write(folder.join(names[1]), rows(8_640_020..8_640_040)).unwrap();
    let ran = run(folder, &["convert", "--store", "st", "."]);
    assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
    assert_eq!(run(folder, &["quality", "--store", "st"]).status.code(), Some(0));
    let place = |name: &str| {
        let name = name.replace(".csv", ".parquet");
        folder.join("st/trades/binance/spot/trades/BTCUSDT").join(name)
    };
    fs::rename(place(names[0]), folder.join("x")).unwrap();
    fs::rename(place(names[1]), place(names[0])).unwrap();
    fs::rename(folder.join("x"), place(names[1])).unwrap();
    let ran = run(folder, &["quality", "--store", "st"]);
    assert_eq!(ran.status.code(), Some(1), "{}", said(&ran));
}

#[test]
fn a_damaged_day_is_neither_merged_nor_is_its_archive_removed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let archives = folder.join("st/archive/data/spot/daily/trades/BTCUSDT");
    fs::create_dir_all(&archives).unwrap();
    for day in 1..=29 {
        let row = |n: i64| {
            let time = MARCH_MS - (30 - day) * 86_400_000 + n * 1000;
            format!("{},60000,0.5,30000,{time},true,true", day * 20 + n)
        };
        let name = format!("BTCUSDT-trades-2024-02-{day:02}.csv");
        fs::write(archives.join(name), csv(HEADER.trim_end(), row)).unwrap();
    }
    let store = |more: &[&str]| run(folder, &[more, &["--store", "st"]].concat());
    let ran = store(&["convert"]);
    assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
    let place = folder.join("st/trades/binance/spot/trades/BTCUSDT");
    let day = place.join("BTCUSDT-trades-2024-02-15.parquet");
    let whole = fs::read(&day).unwrap();
    let mut flipped = whole.clone();
    flipped[40] ^= 4;
    fs::write(&day, &flipped).unwrap();
    let ran = store(&["compact"]);
    assert_eq!(ran.status.code(), Some(1), "{}", said(&ran));
    assert!(said(&ran).contains("2024-02-15.parquet"), "{}", said(&ran));
    assert_eq!(fs::read_dir(&place).unwrap().count(), 29, "nothing is removed");
    let ran = store(&["store", "prune", "--archives", "--yes"]);
    assert_eq!(ran.status.code(), Some(1), "{}", said(&ran));
    assert!(said(&ran).contains("kept: st/archive"), "{}", said(&ran));
    assert_eq!(fs::read_dir(&archives).unwrap().count(), 1, "that of the damaged day");
    fs::write(&day, &whole).unwrap();
    assert_eq!(store(&["compact"]).status.code(), Some(0));
    assert_eq!(store(&["store", "prune", "--archives", "--yes"]).status.code(), Some(0));
    assert_eq!(fs::read_dir(&archives).unwrap().count(), 0);
}
