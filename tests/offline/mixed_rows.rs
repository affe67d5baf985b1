//! Rows that contradict their name, each other, or what can be known of them: none of it passes in silence.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Output;

use crate::support::process::{barflow, run};

const MARCH_MS: i64 = 1_709_251_200_000;
const BAR: [&str; 2] = ["--bar", "t=tick,size=1"];
const OWN: [&str; 2] = ["--instrument", "own:spot:X"];

fn replay(at: &Path, more: &[&str]) -> Output {
    run(at, &[&["replay"], more, &BAR].concat())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

fn ended(output: &Output, code: i32, words: &[&str]) {
    let told = said(output);
    assert_eq!(output.status.code(), Some(code), "{told}");
    words.iter().for_each(|word| assert!(told.contains(word), "\"{word}\" is not in: {told}"));
}

/// A header and six rows.
fn write(at: &Path, name: &str, header: &str, row: impl Fn(i64) -> String) {
    let rows: String = (0..6).map(|n| row(n) + "\n").collect();
    let path = at.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("{header}\n{rows}")).unwrap();
}

fn time(n: i64) -> i64 {
    MARCH_MS + n * 1000
}

#[test]
fn a_symbol_of_rows_that_contradicts_the_name_is_refused() {
    let at = tempfile::tempdir().unwrap();
    let at = at.path();
    let row = |n: i64| format!("ETHUSDT,{},300{n},1,{},buy", n + 1, time(n));
    write(at, "BTCUSDT-trades-2024-03-01.csv", "symbol,id,price,qty,time,side", row);
    let words = ["BTCUSDT-trades-2024-03-01.csv", "first row", "\"symbol\"", "ETHUSDT"];
    ended(&replay(at, &["BTCUSDT-trades-2024-03-01.csv"]), 2, &words);
    let converted = run(at, &["convert", "--store", "st", "BTCUSDT-trades-2024-03-01.csv"]);
    ended(&converted, 1, &words);
    let typed = ["BTCUSDT-trades-2024-03-01.csv", "--instrument", "BTCUSDT=binance:spot:ETHUSDT"];
    ended(&replay(at, &typed), 0, &[]);
}

#[test]
fn rows_of_two_exchanges_or_currencies_are_not_one_series() {
    let at = tempfile::tempdir().unwrap();
    let at = at.path();
    let one_of = |n: i64, a: &str, b: &str| if n % 2 == 0 { a.to_owned() } else { b.to_owned() };
    let row = |n: i64, more: String| format!("{},{},1,{more}", time(n), 60_000 + n);
    write(at, "a.csv", "time,price,amount,exchange", |n| row(n, one_of(n, "kraken", "bitstamp")));
    write(at, "b.csv", "time,price,amount,base,quote", |n| row(n, one_of(n, "BTC,USD", "ETH,USD")));
    write(at, "c.csv", "time,price,amount,base,quote", |n| row(n, one_of(n, "BTC,USD", "BTC,EUR")));
    for (file, field, value) in
        [("a.csv", "exchange", "bitstamp"), ("b.csv", "base", "ETH"), ("c.csv", "quote", "EUR")]
    {
        let place = format!("{file}:3: field \"{field}\"");
        ended(&replay(at, &[&[file], &OWN[..]].concat()), 1, &[&place, value]);
        let chosen = ["--columns", "time=time,price=price,qty=amount"];
        ended(&replay(at, &[&[file], &OWN[..], &chosen].concat()), 1, &[&place, value]);
    }
    // Unless they are said to be one, as those of a consolidated tape are.
    let any = ["--columns", "time=time,price=price,qty=amount,exchange=any"];
    let ran = replay(at, &[&["a.csv"], &OWN[..], &any].concat());
    ended(&ran, 0, &[]);
    assert_eq!(String::from_utf8_lossy(&ran.stdout).lines().count(), 6);
    // Numbers in a column called quote are quote values.
    write(at, "d.csv", "time,price,amount,quote", |n| row(n, format!("{}", 60_000 + n)));
    ended(&replay(at, &[&["d.csv"], &OWN[..]].concat()), 0, &[]);
}

#[test]
fn a_first_row_without_a_symbol_or_exchange_does_not_end_their_comparison() {
    for (column, a, b) in [("symbol", "BTC-USD", "ETH-USD"), ("exchange", "kraken", "bitstamp")] {
        for nothing in ["", "null", "nan"] {
            let at = tempfile::tempdir().unwrap();
            let at = at.path();
            let of = |n: i64| match n {
                0 => nothing,
                n if n % 2 == 0 => a,
                _ => b,
            };
            let row = |n: i64| format!("{},{},1,{}", time(n), 60_000 + n, of(n));
            write(at, "a.csv", &format!("time,price,amount,{column}"), row);
            let given = ["a.csv", "--instrument", "own:spot:ETH-USD"];
            let place = format!("a.csv:2: field \"{column}\"");
            ended(&replay(at, &given), 1, &[&place, b]);
            ended(&run(at, &[&["convert", "--store", "st"], &given[..]].concat()), 1, &[]);
            ended(&run(at, &[&["quality"], &given[..]].concat()), 1, &[]);
        }
    }
}

#[test]
fn files_of_two_exchanges_are_not_one_series_if_the_first_file_has_none() {
    let at = tempfile::tempdir().unwrap();
    let at = at.path();
    for (file, n, exchange) in [(1, 0, ""), (2, 10, "phemex"), (3, 20, "dydx")] {
        let row = |i: i64| format!("{},{},10,X,{exchange}", time(i + n), 6000 + i);
        write(at, &format!("t/{file}.csv"), "time,price,amount,symbol,exchange", row);
    }
    let words = ["t/3.csv", "t/2.csv", "\"exchange\"", "phemex", "dydx"];
    ended(&replay(at, &["t", "--instrument", "own:perp:X"]), 2, &words);
}

#[test]
fn files_of_two_exchanges_are_not_one_series() {
    let at = tempfile::tempdir().unwrap();
    let at = at.path();
    let header = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount";
    let row = |exchange: &str, n: i64, price: i64| {
        format!("{exchange},BTC-PERPETUAL,{},1,,buy,{price},10", time(n) * 1000)
    };
    write(at, "t/1.csv", header, |n| row("phemex", n, 6000 + n));
    write(at, "t/2.csv", header, |n| row("dydx", n + 100, 7000 + n));
    let given = ["t", "--instrument", "own:perp:BTC-PERPETUAL"];
    let words = ["t/2.csv", "first row", "\"exchange\"", "phemex", "dydx"];
    ended(&replay(at, &given), 2, &words);
    ended(&run(at, &[&["quality"], &given[..]].concat()), 2, &words);
    write(at, "u/1.csv", header, |n| row("bitmex", n, 6000 + n));
    let other = ["u/1.csv", "--instrument", "deribit:perp:BTC-PERPETUAL"];
    ended(&replay(at, &other), 2, &["u/1.csv", "\"exchange\"", "bitmex"]);
    ended(&replay(at, &["u/1.csv", "--instrument", "bitmex:perp:BTC-PERPETUAL"]), 0, &[]);
}

#[test]
fn the_side_of_coinbases_own_columns_is_the_makers() {
    let at = tempfile::tempdir().unwrap();
    let at = at.path();
    let row = |n: i64| format!("{},buy,1,{},{}", n + 1, 6000 + n, time(n));
    write(at, "own.csv", "trade_id,side,size,price,time", row);
    write(at, "ccxt.csv", "id,side,amount,price,timestamp", row);
    let coinbase = ["--instrument", "coinbase:spot:BTC-USD"];
    let words = [
        "--columns",
        "time=time,price=price,qty=size,id=trade_id,side=side,side_buy=buy,side_sell=sell",
    ];
    let columns = ["--columns", "time=time,price=price,qty=size,id=trade_id,side=side"];
    for (file, given, more, buys, note) in [
        ("own.csv", coinbase, &[][..], 0, true),
        ("own.csv", coinbase, &columns[..], 0, true),
        ("own.csv", coinbase, &words[..], 1, false),
        ("own.csv", OWN, &[], 1, false),
        ("ccxt.csv", coinbase, &[], 1, false),
    ] {
        let ran = replay(at, &[&[file], &given[..], more].concat());
        ended(&ran, 0, &[&format!("\"buy_ticks\":{buys}")]);
        assert_eq!(said(&ran).contains("the maker's"), note, "{}", said(&ran));
    }
    let checked = run(at, &[&["check", "own.csv"], &coinbase[..]].concat());
    ended(&checked, 0, &["the maker's"]);
}

#[test]
fn the_time_of_a_row_of_a_database_is_not_that_of_its_trade() {
    let at = tempfile::tempdir().unwrap();
    let row = |n: i64| format!("2024-03-05 10:00:0{n},2024-03-01 00:00:0{n},1,{}", 6000 + n);
    write(at.path(), "a.csv", "created_at,datetime,qty,price", row);
    let close = format!("\"close_time\":{}", MARCH_MS * 1_000_000);
    ended(&replay(at.path(), &[&["a.csv"], &OWN[..]].concat()), 0, &[&close]);
}

#[test]
fn names_of_other_data_than_trades_are_refused() {
    let header = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount";
    let row = |n: i64| format!("binance-futures,BTCUSDT,{},1,,buy,60000,0.5", time(n) * 1000);
    for data in ["liquidations", "quotes", "book_snapshot_25", "options_chain"] {
        let at = tempfile::tempdir().unwrap();
        let name = format!("binance-futures_{data}_2024-03-01_BTCUSDT.csv");
        write(at.path(), &name, header, row);
        for given in [&[][..], &["--instrument", "binance:um:BTCUSDT"]] {
            ended(&replay(at.path(), &[&[&*name], given].concat()), 2, &[&name, data, "trades"]);
        }
    }
    let at = tempfile::tempdir().unwrap();
    write(at.path(), "binance-futures_trades_2024-03-01_BTCUSDT.csv", header, row);
    ended(&replay(at.path(), &["."]), 0, &["binance:um:BTCUSDT"]);
}

#[test]
fn names_of_okx_are_not_taken_for_binance_and_close_no_day() {
    let at = tempfile::tempdir().unwrap();
    let at = at.path();
    let name = "BTC-USDT-SWAP-trades-2024-03-01.csv";
    let row =
        |n: i64| format!("BTC-USDT-SWAP,{},buy,60000,0.5,{}", 100 + n, time(n * 3600 - 28_800));
    write(at, name, "instrument_name,trade_id,side,price,size,created_time", row);
    ended(&replay(at, &[name]), 2, &[name, "BTC-USDT-SWAP", "--instrument"]);
    for (given, closed) in
        [("okx:swap:BTC-USDT-SWAP", false), ("BTC-USDT-SWAP=binance:um:BTCUSDT", true)]
    {
        let bars = ["replay", name, "--instrument", given, "--bar", "d=time,every=1d"];
        let output = run(at, &bars);
        ended(&output, 0, &[]);
        assert_eq!(!output.stdout.is_empty(), closed, "{given}: {}", said(&output));
    }
}

#[test]
fn times_that_were_rounded_are_refused() {
    let at = tempfile::tempdir().unwrap();
    let at = at.path();
    let row = |time: String| move |n: i64| format!("{time},{},1,buy,{}", 60_000 + n, 100 + n);
    write(at, "excel.csv", "time,price,qty,side,id", row("1.70925E+12".to_owned()));
    ended(
        &replay(at, &[&["excel.csv"], &OWN[..]].concat()),
        2,
        &["excel.csv", "1.70925E+12", "rounded"],
    );
    let mixed = |n: i64| match n {
        3 => format!("1.70925E+12,{n},1,buy,{n}"),
        n => format!("1.70925120012{n}E+12,{},1,buy,{n}", n + 1),
    };
    write(at, "mixed.csv", "time,price,qty,side,id", mixed);
    let words = ["mixed.csv:5: field \"time\"", "rounded"];
    ended(&replay(at, &[&["mixed.csv"], &OWN[..]].concat()), 1, &words);
}

#[test]
fn corrections_without_a_header_are_refused() {
    let at = tempfile::tempdir().unwrap();
    let at = at.path();
    write(at, "a.csv", "time,price,qty,id", |n| format!("{},1,1,{n}", time(n)));
    for (text, word) in
        [("remove,3\n", "remove,3"), ("action,id\nremove,3\n", "trade_id"), ("", "header")]
    {
        fs::write(at.join("c.csv"), text).unwrap();
        let more = [&["a.csv", "--corrections", "c.csv"], &OWN[..]].concat();
        ended(&replay(at, &more), 2, &["c.csv", word, "action,trade_id"]);
    }
    fs::write(at.join("c.csv"), "action,trade_id\n").unwrap();
    ended(&replay(at, &[&["a.csv", "--corrections", "c.csv"], &OWN[..]].concat()), 0, &[]);
}

#[test]
fn two_columns_of_the_chosen_name_are_refused() {
    let at = tempfile::tempdir().unwrap();
    let at = at.path();
    write(at, "d.csv", "time,price,price,qty", |n| format!("{},1,9,2", time(n)));
    let chosen = ["--columns", "time=time,price=price,qty=qty"];
    let words = ["d.csv", "\"price\"", "columns 2 and 3"];
    ended(&replay(at, &[&["d.csv"], &OWN[..], &chosen].concat()), 2, &words);
}

#[test]
fn a_leap_second_does_not_run_backwards() {
    let at = tempfile::tempdir().unwrap();
    let rows = "time,price,qty\n2016-12-31T23:59:59.9Z,1,1\n2016-12-31T23:59:60.7Z,2,1\n\
                2017-01-01T00:00:00Z,3,1\n";
    fs::write(at.path().join("l.csv"), rows).unwrap();
    let output = replay(at.path(), &[&["l.csv"], &OWN[..]].concat());
    ended(&output, 0, &[]);
    assert!(!said(&output).contains("backwards"), "{}", said(&output));
    assert_eq!(said(&output).matches("\"open_time\":1483228800000000000").count(), 2);
}

#[test]
fn a_closed_standard_output_takes_no_bars() {
    let at = tempfile::tempdir().unwrap();
    write(at.path(), "a.csv", "time,price,qty", |n| format!("{},1,1", time(n)));
    let closed = |more: &[&str]| {
        let mut command = barflow();
        command.current_dir(at.path()).args(["replay", "a.csv"]).args(OWN).args(BAR).args(more);
        // SAFETY: close(2) may be called between fork and exec.
        unsafe {
            command.pre_exec(|| {
                libc::close(1);
                Ok(())
            });
        }
        command.output().unwrap()
    };
    ended(&closed(&[]), 3, &["standard output is closed", "--out"]);
    ended(&closed(&["--out", "bars.jsonl"]), 0, &["bars.jsonl"]);
}
