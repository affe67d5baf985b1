//! Files of live jobs: they grow from run to run, whatever ends a run, and hold every bar once.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::live::{Simulator, assert_same, listen, replayed};
use crate::support::process::{Process, barflow, output};

const TICK: &str = "t=tick,size=10";

/// A day of trades in Binance's layout, half an hour apart, so that every hour has some.
fn day(folder: &Path, trades: usize) -> std::path::PathBuf {
    let path = folder.join("XBTUSD-trades-2024-03-01.csv");
    let mut text = String::new();
    let start = 1_709_251_200_000_u64;
    for at in 0..trades as u64 {
        let (price, qty) = (100 + at % 7, 1 + at % 3);
        let maker = if at % 3 == 0 { "True" } else { "False" };
        let time = start + at * 18_000;
        text += &format!("{},{price}.5,{qty}.0,1.0,{time},{maker},True\n", at + 1);
    }
    fs::write(&path, text).unwrap();
    path
}

fn live(simulator: &Simulator, sink: &str, out: &Path, more: &str) -> Process {
    let out = out.to_str().unwrap();
    let bars = format!("--bar {TICK} --commit-interval 20ms --log warn");
    simulator.listen(&format!("{bars} --sink {sink} --out {out} {more}"))
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Bars of a replay in the same format, after its header if it has one.
fn expected(day: &Path, sink: &str) -> Vec<String> {
    let mut command: Command = barflow();
    command.arg("replay").arg(day).args(["--instrument", "binance:spot:XBTUSD", "--bar", TICK]);
    let made = command.args(["--sink", sink]).output().unwrap();
    assert!(made.status.success());
    String::from_utf8(made.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn lines_grow_over_stops_and_kills_and_can_be_followed() {
    for sink in ["jsonl", "csv"] {
        let folder = tempfile::tempdir().unwrap();
        let day = day(folder.path(), 2_000);
        let out = folder.path().join(format!("bars.{sink}"));
        let protocol = ["--protocol", "binance-spot", "--rate", "400"];
        let simulator = Simulator::start(&protocol, &[&day]);
        let expected = expected(&day, sink);

        let mut first = live(&simulator, sink, &out, "");
        first.wait_until("some bars", |_| lines(&out).len() >= 20);
        let (code, _, said) = first.stop();
        assert_eq!(code, Some(0), "{said}");
        let stopped = lines(&out);

        let mut second = live(&simulator, sink, &out, "");
        second.wait_until("more bars", |_| lines(&out).len() >= stopped.len() + 30);
        second.kill();
        let killed = lines(&out);
        assert_eq!(killed[..stopped.len()], stopped, "what was there is there");

        let mut third = live(&simulator, sink, &out, "");
        third.wait_until("all bars", |_| lines(&out).len() >= expected.len());
        let (code, _, said) = third.stop();
        assert_eq!(code, Some(0), "{said}");
        let all = lines(&out);
        assert_eq!(all[..stopped.len()], stopped, "what was there is there");
        assert_same(&all, &expected, sink);
    }
}

#[test]
fn parts_of_parquet_are_complete_and_together_the_bars() {
    let folder = tempfile::tempdir().unwrap();
    let day = day(folder.path(), 1_500);
    let out = folder.path().join("bars");
    let protocol = ["--protocol", "binance-spot", "--rate", "400"];
    let simulator = Simulator::start(&protocol, &[&day]);
    let parts = || {
        let entries = fs::read_dir(&out).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.ends_with(".parquet")).collect::<Vec<_>>()
    };
    let mut first = live(&simulator, "parquet", &out, "");
    first.wait_until("two parts", |_| parts().len() >= 2);
    first.kill();
    let mut second = live(&simulator, "parquet", &out, "");
    second.wait_until("more parts", |_| parts().len() >= 4);
    let (code, _, said) = second.stop();
    assert_eq!(code, Some(0), "{said}");
    let mut third = live(&simulator, "parquet", &out, "");
    let show = ["checkpoints", "show", "--json", "--at", out.to_str().unwrap()];
    third.wait_until("the last trade", |_| {
        let shown = String::from_utf8(output(&show, None).stdout).unwrap();
        shown.contains("\"trade_id\":1500")
    });
    let (code, _, said) = third.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("parts)"), "{said}");
    let want = folder.path().join("want.jsonl");
    fs::write(&want, replayed(&[&day], "binance:spot:XBTUSD", TICK).join("\n") + "\n").unwrap();
    let same = output(&["diff", want.to_str().unwrap(), out.to_str().unwrap()], None);
    assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stdout));
}

#[test]
fn nothing_that_is_not_this_jobs_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let day = day(folder.path(), 400);
    let protocol = ["--protocol", "binance-spot", "--speed", "max"];
    let simulator = Simulator::start(&protocol, &[&day]);
    let refused = |sink: &str, out: &Path, more: &str, why: &str| {
        let (code, said) = live(&simulator, sink, out, &format!("--for 2s {more}")).finish();
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(why), "{said}");
    };
    // Something else, whichever way bars are delivered.
    let notes = folder.path().join("notes.txt");
    fs::write(&notes, "dear diary\n").unwrap();
    refused("jsonl", &notes, "", "did not write it");
    refused("jsonl", &notes, "--delivery at-least-once", "does not hold bars");
    assert_eq!(fs::read_to_string(&notes).unwrap(), "dear diary\n");

    let out = folder.path().join("bars.jsonl");
    let mut job = live(&simulator, "jsonl", &out, "");
    job.wait_until("bars", |_| lines(&out).len() >= 40);
    let (code, _, said) = job.stop();
    assert_eq!(code, Some(0), "{said}");
    let before = fs::read(&out).unwrap();
    refused("jsonl", &out, "--job other", "belongs to job \"live\"");
    refused("csv", &out, "", "sink changed from jsonl to csv");
    refused("jsonl", &out, "--delivery at-least-once", "is the output of a live job");
    for more in [&[][..], &["--delivery", "exactly-once"], &["--reset-state"]] {
        let mut replay = barflow();
        replay.arg("replay").arg(&day).args(["--bar", TICK, "--out"]).arg(&out).args(more);
        let (code, said) = Process::start(replay).finish();
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("a live job"), "{said}");
    }
    assert_eq!(fs::read(&out).unwrap(), before);

    // A job that begins anew keeps what it had.
    let mut anew = live(&simulator, "jsonl", &out, "--reset-state");
    let kept = folder.path().join("bars.jsonl.1");
    anew.wait_until("the earlier file under its new name", |_| kept.exists());
    let (code, _, said) = anew.stop();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(fs::read(kept).unwrap(), before);

    // A folder of Parquet files that are not parts of this job.
    let bars = folder.path().join("bars");
    let mut replay = barflow();
    replay.arg("replay").arg(&day).args(["--bar", TICK, "--sink", "parquet", "--out"]).arg(&bars);
    assert_eq!(Process::start(replay).finish().0, Some(0));
    refused("parquet", &bars, "", "did not write it");
}

#[test]
fn what_a_killed_run_left_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let day = day(folder.path(), 40);
    let out = folder.path().join("bars.jsonl");
    let left = folder.path().join("bars.jsonl.unfinished-4711");
    fs::write(&left, "half").unwrap();
    let mut replay = barflow();
    replay.arg("replay").arg(&day).args(["--bar", TICK, "--out"]).arg(&out);
    let (code, said) = Process::start(replay).finish();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("bars.jsonl.unfinished-4711\" is not finished"), "{said}");
    assert!(!left.exists(), "nobody writes it any more");
}

#[test]
fn a_run_without_checkpoints_adds_to_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let day = day(folder.path(), 40_000);
    let out = folder.path().join("bars.jsonl");
    let protocol = ["--protocol", "binance-spot", "--rate", "400"];
    let simulator = Simulator::start(&protocol, &[&day]);
    let mut first = live(&simulator, "jsonl", &out, "--delivery at-least-once");
    first.wait_until("bars", |_| lines(&out).len() >= 5);
    first.kill();
    let before = fs::read(&out).unwrap();
    fs::write(&out, [&before[..], b"{\"spec\":\"t\",\"instr"].concat()).unwrap();
    let mut second = live(&simulator, "jsonl", &out, "--delivery at-least-once");
    let have = before.iter().filter(|byte| **byte == b'\n').count();
    second.wait_until("more bars", |_| lines(&out).len() >= have + 5);
    let (code, _, said) = second.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(fs::read(&out).unwrap().starts_with(&before));
    let parses = |line: &String| serde_json::from_str::<serde_json::Value>(line).is_ok();
    assert!(lines(&out).iter().all(parses));
}

/// What is moved, removed or cut by somebody else would swallow bars from then on.
#[test]
fn a_file_that_is_taken_away_ends_the_run_with_its_name() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 3] = [
        ("was moved or removed", |path| fs::rename(path, path.with_extension("old")).unwrap()),
        ("was moved or removed", |path| fs::remove_file(path).unwrap()),
        ("was cut from", |path| {
            fs::File::options().write(true).open(path).unwrap().set_len(1).unwrap()
        }),
    ];
    let folder = tempfile::tempdir().unwrap();
    let day = day(folder.path(), 40_000);
    for delivery in ["exactly-once", "at-least-once"] {
        for (n, (what, harm)) in harms.iter().enumerate() {
            let protocol = ["--protocol", "binance-spot", "--rate", "400"];
            let simulator = Simulator::start(&protocol, &[&day]);
            let out = folder.path().join(format!("{delivery}-{n}.jsonl"));
            let mut run = live(&simulator, "jsonl", &out, &format!("--delivery {delivery}"));
            run.wait_until("some bars", |_| lines(&out).len() >= 5);
            harm(&out);
            let (code, said) = run.finish();
            assert_eq!(code, Some(3), "{said}");
            assert!(said.contains(what) && said.contains(out.to_str().unwrap()), "{said}");
        }
    }
}

/// Its place is told by its rows, as that of any job.
#[test]
fn a_history_is_resumed_in_only_if_its_rows_are_those_that_were_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("XBTUSD-trades-2024-03-01.csv");
    let row = |id: u64| format!("{id},100.5,1.0,1.0,{},True,True\n", 1_709_251_200_000 + id * 1000);
    let write = |ids: std::ops::RangeInclusive<u64>| {
        fs::write(&path, ids.map(row).collect::<String>()).unwrap();
    };
    let out = folder.path().join("o.jsonl");
    // Nobody listens there, and the feed tries again until it is told to end.
    let run = |bars: usize| {
        let mut arguments = vec!["--venue", "binance-spot", "--instrument", "XBTUSD"];
        arguments.extend(["--at", "127.0.0.1:9", "--bar", "t=tick,size=1", "--log", "warn"]);
        arguments.extend(["--out", out.to_str().unwrap(), "--history", path.to_str().unwrap()]);
        let mut live = listen(&arguments);
        live.wait_until("bars", |_| lines(&out).len() >= bars);
        let (code, _, said) = live.stop();
        assert_eq!(code, Some(0), "{said}");
        said
    };
    let ids = || -> Vec<u64> {
        let bar = |line: &String| {
            let bar: serde_json::Value = serde_json::from_str(line).unwrap();
            bar["last_trade_id"].as_u64().unwrap()
        };
        lines(&out).iter().map(bar).collect()
    };
    write(1..=40);
    let said = run(40);
    assert_eq!(ids(), (1..=40).collect::<Vec<_>>(), "{said}");
    // A window that moves on: other rows lie at that place now.
    write(21..=90);
    let said = run(90);
    assert_eq!(ids(), (1..=90).collect::<Vec<_>>(), "{said}");
    // It has grown.
    write(21..=99);
    let said = run(99);
    assert_eq!(ids(), (1..=99).collect::<Vec<_>>(), "{said}");
}
