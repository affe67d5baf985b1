//! Files that do not belong to what is being made: earlier than a job began, of another kind of
//! contract, or not text that is read. Each is named, and none of them gives wrong bars.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;

use crate::support::process::barflow;

const MARCH_MS: i64 = 1_709_251_200_000;
const DAY_MS: i64 = 86_400_000;
const DAY: &str = "BTCUSDT-trades-2024-03-01.csv";

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn replay(folder: &Path, more: &[&str]) -> Output {
    let bars = ["replay", "--bar", "t=tick,size=10"];
    barflow().current_dir(folder).args(bars).args(more).output().unwrap()
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Rows of a day of March 2024, with Binance's ids or with none.
fn day(day: i64, with_ids: bool) -> String {
    let mut text = if with_ids { String::new() } else { "time,price,volume\n".to_owned() };
    for n in 0..100 {
        let time = MARCH_MS + (day - 1) * DAY_MS + n * 60_000;
        match with_ids {
            true => writeln!(text, "{},100,2,200,{time},true,true", day * 100 + n),
            false => writeln!(text, "{},100,{}", time / 1000, 1 + (day + n) % 7),
        }
        .unwrap();
    }
    text
}

#[test]
fn a_day_before_those_that_a_job_began_with_is_refused() {
    for with_ids in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let name = |day: i64| match with_ids {
            true => format!("d/BTCUSDT-trades-2024-03-{day:02}.csv"),
            false => format!("d/XBTUSD-{day}.csv"),
        };
        let job = |more: &[&str]| {
            let delivery = ["d", "--out", "o.jsonl", "--delivery", "exactly-once", "--job", "g"];
            let id =
                ["--instrument", if with_ids { "own:spot:BTCUSDT" } else { "own:spot:XBTUSD" }];
            let output = replay(folder, &[&delivery[..], &id[..], more].concat());
            let bars = fs::read_to_string(folder.join("o.jsonl")).unwrap_or_default();
            (output.status.code(), bars.lines().count(), said(&output))
        };
        let add = |at: i64| write(folder, &name(at), &day(at, with_ids));
        add(2);
        assert_eq!((job(&[]).0, job(&[]).1), (Some(0), 10));
        // A later day continues the job.
        add(3);
        let (code, bars, text) = job(&[]);
        assert_eq!((code, bars), (Some(0), 20), "{text}");
        // An earlier one would be in no bar; where its name says its day, also beside a later day alone.
        add(1);
        for gone in [None, with_ids.then(|| name(2))] {
            gone.into_iter().for_each(|gone| fs::remove_file(folder.join(gone)).unwrap());
            let (code, bars, text) = job(&[]);
            assert_eq!((code, bars), (Some(2), 20), "{text}");
            assert!(text.contains(name(1).as_str()) && text.contains("--reset-state"), "{text}");
        }
        add(2);
        let (code, bars, text) = job(&["--reset-state"]);
        assert_eq!((code, bars), (Some(0), 30), "{text}");
        // What the job began with may go when it is read.
        fs::remove_file(folder.join(name(1))).unwrap();
        let (code, bars, text) = job(&[]);
        assert_eq!((code, bars), (Some(0), 30), "{text}");
    }
}

#[test]
fn a_job_from_a_time_on_does_not_miss_what_lies_before() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    (1..=3)
        .for_each(|n| write(folder, &format!("d/BTCUSDT-trades-2024-03-0{n}.csv"), &day(n, true)));
    let job = ["d", "--out", "o.jsonl", "--delivery", "exactly-once", "--job", "g"];
    for _ in 0..2 {
        let output = replay(folder, &[&job[..], &["--from", "2024-03-02T00:50"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }
}

/// Trades of Binance's futures: 3 contracts or 0.1 coins each, with the column beside them.
fn contracts(header: &str, coin: bool) -> String {
    (0..20).fold(header.to_owned(), |mut text, n| {
        let price = 60_000 + n;
        let (qty, beside) = match coin {
            true => ("3".to_owned(), format!("{:.8}", 300.0 / f64::from(price))),
            false => ("0.1".to_owned(), format!("{}", f64::from(price) * 0.1)),
        };
        let time = MARCH_MS + i64::from(n) * 1000;
        writeln!(text, "{},{price},{qty},{beside},{time},true", 1000 + n).unwrap();
        text
    })
}

#[test]
fn contracts_of_coin_m_are_not_read_as_coins_nor_coins_as_contracts() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let coin = "id,price,qty,base_qty,time,is_buyer_maker\n";
    let quote = "id,price,qty,quote_qty,time,is_buyer_maker\n";
    for (n, (header, is_coin)) in
        [(coin, true), ("", true), (quote, false), ("", false)].into_iter().enumerate()
    {
        let name = format!("{n}.csv");
        write(folder, &name, &contracts(header, is_coin));
        for (id, is_right) in [
            ("binance:cm:BTCUSD_PERP", is_coin),
            ("binance:um:BTCUSDT", !is_coin),
            ("binance:spot:BTCUSDT", !is_coin),
            ("own:um:X", true),
        ] {
            let output = replay(folder, &[&name, "--instrument", id]);
            let text = said(&output);
            let code = if is_right { 0 } else { 2 };
            assert_eq!(output.status.code(), Some(code), "{name} {id}: {text}");
            assert!(is_right || (text.contains(&name) && text.contains(id)), "{text}");
        }
    }
    // By the name of the file, where the rows are those of the other kind or tell nothing.
    write(folder, "BTCUSDT-trades-2024-03-01.csv", &contracts(coin, true));
    assert_eq!(replay(folder, &["BTCUSDT-trades-2024-03-01.csv"]).status.code(), Some(2));
    let aggregates = format!("1,60000,3,1,1,{MARCH_MS},true\n");
    write(folder, "BTCUSD_PERP-aggTrades-2024-03-01.csv", &aggregates);
    let named = ["BTCUSD_PERP-aggTrades-2024-03-01.csv", "--instrument"];
    for id in ["binance:um:BTCUSD_PERP", "BTCUSD_PERP=binance:um:BTCUSDT"] {
        let output = replay(folder, &[&named[..], &[id]].concat());
        assert_eq!(output.status.code(), Some(2), "{id}: {}", said(&output));
    }
    let output = replay(folder, &named[..1]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

#[test]
fn text_that_is_not_read_is_refused_with_what_to_do_and_blanks_before_names_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let rows = contracts("id,price,qty,quote_qty,time,is_buyer_maker\n", false);
    let bare = contracts("", false);
    let utf16 = |mark: &str, big: bool| -> Vec<u8> {
        let units = mark.encode_utf16().chain(rows.encode_utf16());
        units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    };
    for (mark, big) in [("\u{feff}", true), ("\u{feff}", false), ("", true), ("", false)] {
        fs::write(folder.join(DAY), utf16(mark, big)).unwrap();
        let output = replay(folder, &[DAY]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains("UTF-16"), "{}", said(&output));
    }
    let quoted = bare.lines().map(|line| format!("\"{}\"\n", line.replace(',', "\",\"")));
    write(folder, DAY, &quoted.collect::<String>());
    let output = replay(folder, &[DAY]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("--columns"), "{}", said(&output));
    write(folder, DAY, &rows);
    let right = replay(folder, &[DAY]);
    write(folder, DAY, &format!("  {rows}"));
    let blanks = replay(folder, &[DAY]);
    assert_eq!((right.status.code(), &right.stdout), (blanks.status.code(), &blanks.stdout));
    assert_eq!(right.status.code(), Some(0), "{}", said(&blanks));
}

#[test]
fn a_link_to_nothing_is_named_and_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, &format!("d/{DAY}"), &day(1, true));
    symlink("nowhere.csv", folder.join("d/BTCUSDT-trades-2024-03-02.csv")).unwrap();
    for input in ["d", "d/*.csv"] {
        let output = replay(folder, &[input]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let note = "BTCUSDT-trades-2024-03-02.csv (a link to a file that is not there)";
        assert!(said(&output).contains(note), "{}", said(&output));
    }
    let output = replay(folder, &["d/BTCUSDT-trades-2024-03-02.csv"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("a link to a file that is not there"), "{}", said(&output));
}
