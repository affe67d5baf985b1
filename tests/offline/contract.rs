//! What readers may rely on in every bar: when it is known, what happened inside, how numbers are written.

use std::fs;
use std::path::{Path, PathBuf};

use barflow::compare::source::read as read_bars;
use barflow::sinks::kafka::KafkaSettings;
use serde_json::Value;

use crate::support::process::{output, run, told};

/// 2024-03-01T00:00:00Z in ms.
const START: u64 = 1_709_251_200_000;

/// One row: id, price, time in ms.
type Row = (u64, f64, u64);

/// A day of trades whose prices go up and down, each about 7 s after the one before.
fn rows() -> Vec<Row> {
    (1..=12_000u64)
        .map(|id| {
            let noise = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            (id, 100.0 + (noise % 41) as f64 * 0.25, START + id * 7000 + noise % 500)
        })
        .collect()
}

fn write(folder: &Path, rows: &[Row]) -> PathBuf {
    let path = folder.join("BTCUSDT-trades-2024-03-01.csv");
    let line = |(id, price, time): &Row| {
        let maker = if id % 3 == 0 { "True" } else { "False" };
        format!("{id},{price},2.0,{},{time},{maker},True\n", price * 2.0)
    };
    fs::write(&path, rows.iter().map(line).collect::<String>()).unwrap();
    path
}

fn replay(file: &Path, more: &[&str]) -> Vec<Value> {
    let arguments = ["replay", file.to_str().unwrap(), "--instrument", "binance:spot:BTCUSDT"];
    let made = output(&[&arguments, more].concat(), None);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let lines = String::from_utf8(made.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ns(ms: u64) -> i64 {
    ms as i64 * 1_000_000
}

const BARS: [&str; 6] = [
    "--bar",
    "t=tick,size=100",
    "--bar",
    "h=time,every=1h",
    "--bar",
    "dib=imbalance,alpha=0.02,target=50,warmup=100",
];

#[test]
fn a_bar_says_when_it_is_known_and_what_happened_inside() {
    let folder = tempfile::tempdir().unwrap();
    let rows = rows();
    let file = write(folder.path(), &rows);
    let bars = replay(&file, &BARS);
    for more in [&["--batch-rows", "7"][..], &["--parallel", "2", "--batch-rows", "100"]] {
        let by_spec = |bars: &[Value]| {
            let mut bars = bars.to_vec();
            bars.sort_by_key(|bar| (bar["spec"].to_string(), bar["seq"].as_u64()));
            bars
        };
        assert_eq!(by_spec(&replay(&file, &[&BARS, more].concat())), by_spec(&bars));
    }
    assert!(bars.iter().filter(|bar| bar["spec"] == "dib").count() > 20);
    for bar in &bars {
        let whole = |name: &str| bar[name].as_u64().unwrap() as usize;
        let time = |name: &str| bar[name].as_i64().unwrap();
        let (first, last) = (whole("first_trade_id"), whole("last_trade_id"));
        let id = format!("binance:spot:BTCUSDT/{}/{last}", bar["spec"].as_str().unwrap());
        assert_eq!(bar["bar_id"], id);
        // Ids begin at 1.
        let inside = &rows[first - 1..last];
        let first_at = |price: &Value| {
            ns(inside.iter().find(|row| row.1 == price.as_f64().unwrap()).unwrap().2)
        };
        assert_eq!(time("high_time"), first_at(&bar["high"]), "{bar}");
        assert_eq!(time("low_time"), first_at(&bar["low"]), "{bar}");
        let with_before = &rows[first.saturating_sub(2)..last];
        let changes = with_before.windows(2).map(|pair| (pair[1].1 - pair[0].1).powi(2));
        assert_eq!(bar["quadratic_variation"].as_f64().unwrap(), changes.sum::<f64>(), "{bar}");
        // An interval is over with the first trade after it.
        let known = match bar["close_reason"].as_str().unwrap() {
            "interval" if last < rows.len() => ns(rows[last].2),
            // The day of the file ends.
            "interval" => ns(START + 86_400_000),
            _ => time("close_time"),
        };
        assert_eq!(time("known_time"), known, "{bar}");
    }
}

#[test]
fn a_correction_is_known_when_it_came_and_so_is_what_it_withdraws() {
    let folder = tempfile::tempdir().unwrap();
    let rows = rows();
    let file = write(folder.path(), &rows);
    let corrections = folder.path().join("corrections.csv");
    fs::write(&corrections, "action,trade_id,known_after\nremove,1000,5000\n").unwrap();
    let (bars, known) = (&BARS[4..], ns(rows[4999].2));
    let plain = replay(&file, bars);
    for batch in ["64", "1000", "8192"] {
        let more = ["--corrections", corrections.to_str().unwrap(), "--batch-rows", batch];
        let made = replay(&file, &[bars, &more].concat());
        let changed = made.iter().filter(|bar| bar["retracts"] == true || bar["revision"] != 0);
        assert!(changed.clone().count() > 2);
        for bar in changed {
            let closed = bar["close_time"].as_i64().unwrap();
            assert_eq!(bar["known_time"].as_i64().unwrap(), known.max(closed), "{bar}");
        }
        for bar in made.iter().filter(|bar| bar["retracts"] == true) {
            let mut was = bar.clone();
            (was["retracts"], was["known_time"]) = (false.into(), was["close_time"].clone());
            assert!(plain.contains(&was), "{bar}");
        }
        // A reader at any time has what was known then.
        let at = |time: i64| {
            let mut current = std::collections::BTreeMap::new();
            for bar in made.iter().filter(|bar| bar["known_time"].as_i64().unwrap() <= time) {
                let id = bar["bar_id"].as_str().unwrap().to_owned();
                match bar["retracts"] == true {
                    true => drop(current.remove(&id)),
                    false => drop(current.insert(id, bar.clone())),
                }
            }
            current.into_values().collect::<Vec<_>>()
        };
        let before: Vec<Value> = at(known - 1);
        let expected = plain.iter().filter(|bar| bar["known_time"].as_i64().unwrap() < known);
        assert_eq!(before.len(), expected.clone().count());
        assert!(expected.clone().all(|bar| before.contains(bar)));
    }
}

#[test]
fn rows_of_a_parquet_file_are_in_the_order_in_which_they_were_known() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), &rows());
    let out = folder.path().join("bars");
    replay(&file, &[&BARS[..], &["--sink", "parquet", "--out", out.to_str().unwrap()]].concat());
    let mut files = 0;
    for file in fs::read_dir(&out).unwrap() {
        let file = file.unwrap().path();
        let bars = read_bars(file.to_str().unwrap(), &KafkaSettings::default()).unwrap();
        for name in ["known_time", "close_time"] {
            let times: Vec<i128> = bars.iter().map(|bar| bar.whole(name)).collect();
            assert!(times.is_sorted() && times.len() > 2, "{name}, {}", file.display());
        }
        let of = bars[0].key();
        assert!(bars.iter().all(|bar| bar.key() == of), "of one series");
        files += 1;
    }
    assert_eq!(files, BARS.len() / 2);
}

#[test]
fn int64_can_be_strings_for_readers_that_parse_into_doubles() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), &rows());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (numbers, texts) = (path("numbers.jsonl"), path("texts.jsonl"));
    replay(&file, &[&BARS[..], &["--out", &numbers]].concat());
    replay(&file, &[&BARS[..], &["--out", &texts, "--int64", "string"]].concat());
    let written = fs::read_to_string(&texts).unwrap();
    let first: Value = serde_json::from_str(written.lines().next().unwrap()).unwrap();
    assert!(first["open_time"].as_str().unwrap().parse::<i64>().unwrap() > 1 << 53);
    assert_eq!((first["seq"].as_str(), &first["revision"]), (Some("0"), &0.into()));
    let same = output(&["diff", &numbers, &texts], None);
    assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stdout));
    for sink in ["csv", "parquet", "none"] {
        let arguments = ["replay", file.to_str().unwrap(), "--bar", BARS[1]];
        let more = ["--sink", sink, "--out", &path("other"), "--int64", "string"];
        let refused = output(&[&arguments[..], &more].concat(), None);
        assert_eq!(refused.status.code(), Some(2), "{sink}");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains("int64 = \"string\" is for JSON"), "{said}");
    }
    let config = path("bars.toml");
    fs::write(&config, "[sink]\nint64 = \"string\"\n[kafka]\nheaders = \"cloudevents\"\n").unwrap();
    let by_key = replay(&file, &[&BARS[..], &["--config", &config]].concat());
    assert_eq!(by_key[0], first);
}

#[test]
fn an_output_of_an_earlier_version_is_compared_in_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), &rows());
    let bars = replay(&file, &BARS);
    let write = |name: &str, bars: &[Value]| {
        let path = folder.path().join(name);
        fs::write(&path, bars.iter().map(|bar| format!("{bar}\n")).collect::<String>()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let new = write("new.jsonl", &bars);
    let mut older = bars;
    for bar in &mut older {
        for name in ["bar_id", "known_time", "high_time", "low_time", "quadratic_variation"] {
            bar.as_object_mut().unwrap().remove(name).unwrap();
        }
    }
    let old = write("old.jsonl", &older);
    let same = output(&["diff", &old, &new], None);
    let said = String::from_utf8_lossy(&same.stderr).into_owned();
    assert!(same.status.success(), "{said}");
    assert!(said.contains("A is of an earlier version, without bar_id, known_time"), "{said}");
    older[3]["close"] = 1.into();
    let differs = output(&["diff", &write("other.jsonl", &older), &new], None);
    assert_eq!(differs.status.code(), Some(1));
}

/// The last of two would count in silence.
#[test]
fn a_field_that_is_there_twice_is_no_bar() {
    let folder = tempfile::tempdir().unwrap();
    let bar =
        "{\"instrument\":\"a:b:C\",\"spec\":\"t\",\"seq\":1,\"state_digest\":\"00\",\"close\":1.0";
    fs::write(folder.path().join("once.jsonl"), format!("{bar}}}\n")).unwrap();
    fs::write(folder.path().join("twice.jsonl"), format!("{bar}}}\n{bar},\"close\":2.0}}\n"))
        .unwrap();
    fs::write(folder.path().join("list.jsonl"), "[1]\n").unwrap();
    let diff = |other: &str| told(folder.path(), 2, &["diff", "once.jsonl", other]);
    let said = diff("twice.jsonl");
    assert!(said.contains("twice.jsonl:2: not a bar: \"close\" is there twice"), "{said}");
    assert!(diff("list.jsonl").contains("list.jsonl:1: not a bar"));
    let help = String::from_utf8(run(folder.path(), &["diff", "--help"]).stdout).unwrap();
    assert!(help.contains("known_time"), "{help}");
}
