//! What lies at a name instead of a file: links that lead elsewhere, pipes that nobody serves, devices
//! without end. And what may lie there: pipes and devices that were named on purpose.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::archives::{self, day_rows};
use crate::support::process::{Process, barflow, run, told};

/// A day with 399 good rows and a bad one.
fn a_day(folder: &Path) -> PathBuf {
    let mut rows = day_rows(1, 400);
    rows[200] = "this is not a trade".to_owned();
    archives::write(folder, "BTCUSDT-trades-2024-03-01", &rows)
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

const BARS: [&str; 5] = ["replay", "--bar", "t=tick,size=50", "--sink", "none"];
const LIVE: [&str; 11] = [
    "live",
    "--venue",
    "binance-spot",
    "--instrument",
    "BTCUSDT",
    "--at",
    "127.0.0.1:9",
    "--bar",
    "t=tick,size=50",
    "--sink",
    "jsonl",
];

#[test]
fn nothing_is_written_through_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let day = a_day(folder.path());
    let day = day.to_str().unwrap();
    fs::write(at("empty"), "").unwrap();
    symlink("empty", at("to-empty")).unwrap();
    symlink("nothing", at("to-nothing")).unwrap();
    for link in ["to-empty", "to-nothing"] {
        let set_aside = [&BARS[..], &["--quarantine", link, day]].concat();
        for (arguments, option) in [
            (set_aside, "--quarantine"),
            ([&LIVE[..], &["--out", "b", "--quarantine", link]].concat(), "--quarantine"),
            ([&LIVE[..], &["--out", "b", "--gaps", link]].concat(), "--gaps"),
            ([&LIVE[..], &["--out", link]].concat(), "--out"),
            (
                [&LIVE[..], &["--delivery", "exactly-once", "--job", "j", "--out", link]].concat(),
                "--out",
            ),
        ] {
            let told = told(folder.path(), 2, &arguments);
            let wanted = format!("{option} \"{link}\": it is a symbolic link");
            assert!(told.contains(&wanted), "{told}");
        }
    }
    assert!(!at("nothing").exists() && fs::read(at("empty")).unwrap().is_empty());
    // What is replaced takes the place of the link.
    told(folder.path(), 1, &["replay", "--out", "to-nothing", "--quarantine", "q", day]);
    assert!(!at("nothing").exists() && !at("to-nothing").is_symlink());
}

#[test]
fn outputs_may_be_pipes_devices_and_what_the_shell_gives() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let day = a_day(folder.path());
    let day = day.to_str().unwrap();
    let set_aside = |to| [&BARS[..], &["--quarantine", to, day]].concat();
    told(folder.path(), 1, &set_aside("/dev/null"));
    for to in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        let output = run(folder.path(), &set_aside(to));
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("this is not a trade"),
            "{output:?}"
        );
    }
    let into = fs::File::create(at("file")).unwrap();
    let mut command = barflow();
    command.current_dir(folder.path()).args(set_aside("/dev/stdout")).stdout(into);
    assert_eq!(command.output().unwrap().status.code(), Some(1));
    assert!(fs::read_to_string(at("file")).unwrap().contains("this is not a trade"));
    pipe(&at("pipe"));
    let read = std::thread::scope(|scope| {
        let reader = scope.spawn(|| fs::read_to_string(at("pipe")).unwrap());
        told(folder.path(), 1, &set_aside("pipe"));
        reader.join().unwrap()
    });
    assert!(read.contains("this is not a trade"), "{read}");
    let script = "\"$0\" replay --bar t=tick,size=50 --sink none --quarantine >(cat > made; \
                  echo >> made) \"$1\"; until grep -q trade made; do sleep 0.1; done";
    let status = Command::new("bash")
        .current_dir(folder.path())
        .args(["-c", script, env!("CARGO_BIN_EXE_barflow"), day])
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn a_pipe_in_the_place_of_a_file_of_ours_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let day = archives::write(folder.path(), "BTCUSDT-trades-2024-03-01", &day_rows(1, 400));
    let day = day.to_str().unwrap();
    pipe(&at("pipe"));
    let said = told(folder.path(), 3, &[&BARS[..], &["--quarantine", "pipe", day]].concat());
    assert!(said.contains("\"pipe\": it is a pipe that nobody reads"), "{said}");

    let once = ["replay", "--delivery", "exactly-once", "--job", "j", "--out", "b.jsonl", day];
    for name in ["b.jsonl.journal", "b.jsonl.checkpoint"] {
        pipe(&at(name));
        let said = told(folder.path(), 3, &once);
        assert!(said.contains(name) && said.contains("it is a pipe, not"), "{said}");
        fs::remove_file(at(name)).unwrap();
    }
    for name in ["conversions.lock", "conversions.jsonl"] {
        let store = at(&name.replace('.', "-"));
        fs::create_dir(&store).unwrap();
        pipe(&store.join(name));
        let said = told(folder.path(), 3, &["convert", "--store", store.to_str().unwrap(), day]);
        assert!(said.contains(name) && said.contains("it is a pipe, not"), "{said}");
    }
    for name in ["fetch.lock", "manifest.jsonl"] {
        let store = at(&name.replace('.', "-"));
        fs::create_dir(&store).unwrap();
        pipe(&store.join(name));
        let days = "--symbol BTCUSDT --from 2024-03-01 --to 2024-03-02 --today 2024-04-20";
        let from = ["--base-url", "http://127.0.0.1:9", "--store", store.to_str().unwrap()];
        let days: Vec<&str> = days.split(' ').collect();
        let said = told(folder.path(), 3, &[&["fetch"][..], &days, &from].concat());
        assert!(said.contains(name) && said.contains("it is a pipe, not"), "{said}");
    }
    let beside = barflow_replay::checksum::checksum_file(Path::new(day));
    let _ = fs::remove_file(&beside);
    pipe(&beside);
    let said = told(folder.path(), 3, &[&BARS[..], &[day]].concat());
    assert!(said.contains(".CHECKSUM\": it is a pipe, not"), "{said}");
}

/// A file of corrections may be a pipe; one that never ends ends with the run.
#[test]
fn corrections_come_through_a_pipe_and_a_signal_ends_the_wait() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let day = archives::write(folder.path(), "BTCUSDT-trades-2024-03-01", &day_rows(1, 400));
    let rows = format!("action,trade_id,time,price,qty,side\nremove,{},,,,\n", first_id(&day));
    fs::write(at("rows.csv"), &rows).unwrap();
    pipe(&at("pipe"));
    let with = |corrections: &str| {
        let replay = ["replay", "--bar", "t=tick,size=50", "--corrections", corrections];
        let mut command = barflow();
        command.current_dir(folder.path()).args(replay).arg(&day);
        command
    };
    let wanted = with("rows.csv").output().unwrap();
    assert!(wanted.status.success(), "{wanted:?}");
    let made = std::thread::scope(|scope| {
        scope.spawn(|| fs::write(at("pipe"), &rows).unwrap());
        with("pipe").output().unwrap()
    });
    assert!(made.status.success() && made.stdout == wanted.stdout, "{made:?}");
    let process = Process::start(with("pipe"));
    // The signal is handled once the reader of the pipe is there.
    let writer = fs::File::options().write(true).open(at("pipe")).unwrap();
    process.signal("TERM");
    assert_eq!(process.end().code, Some(143));
    drop(writer);
    let zeros = String::from_utf8(with("/dev/zero").output().unwrap().stderr).unwrap();
    assert!(zeros.contains("/dev/zero: it is a device"), "{zeros}");
    fs::File::create(at("long.csv")).unwrap().set_len(1 << 40).unwrap();
    let long = String::from_utf8(with("long.csv").output().unwrap().stderr).unwrap();
    assert!(long.contains("at most 67108864 bytes of corrections"), "{long}");
}

fn first_id(day: &Path) -> String {
    let mut archive = zip::ZipArchive::new(fs::File::open(day).unwrap()).unwrap();
    let mut line = String::new();
    BufReader::new(archive.by_index(0).unwrap()).read_line(&mut line).unwrap();
    line.split(',').next().unwrap().to_owned()
}

#[test]
fn what_is_read_whole_has_a_limit_and_may_be_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let day = archives::write(folder.path(), "BTCUSDT-trades-2024-03-01", &day_rows(1, 400));
    let day = day.to_str().unwrap();
    symlink("/dev/zero", at("zeros")).unwrap();
    fs::write(at("hosts.toml"), "[replay]\nhosts = \"zeros\"\nprocess = 0\n").unwrap();
    for arguments in [
        &["check", "zeros"][..],
        &["replay", "--config", "zeros", day],
        &["replay", "--config", "hosts.toml", day],
        &["quality", "--suite", "zeros", day],
    ] {
        let said = told(folder.path(), 2, arguments);
        assert!(said.contains("zeros") && said.contains("is longer than 4194304 bytes"), "{said}");
    }
    let said = told(folder.path(), 3, &["diff", "zeros", "zeros"]);
    assert!(said.contains("zeros") && said.contains("it is a device"), "{said}");
    fs::File::create(at("line.jsonl")).unwrap().set_len(1 << 40).unwrap();
    let said = told(folder.path(), 3, &["diff", "line.jsonl", "line.jsonl"]);
    assert!(said.contains("line 1 is longer than 1048576 bytes"), "{said}");
    let said = told(folder.path(), 2, &[&BARS[..], &["zeros"]].concat());
    assert!(said.contains("it is a device"), "{said}");

    fs::write(at("run.toml"), "[sink]\nkind = \"none\"\n[bars.t]\nkind = \"tick\"\nsize = 50\n")
        .unwrap();
    told(folder.path(), 0, &["replay", "--out", "b.jsonl", day]);
    let script =
        "\"$0\" replay --config <(cat run.toml) \"$1\" && \"$0\" diff <(cat b.jsonl) b.jsonl";
    let status = Command::new("bash")
        .current_dir(folder.path())
        .args(["-c", script, env!("CARGO_BIN_EXE_barflow"), day])
        .stderr(Stdio::null())
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn folders_that_lead_to_each_other_are_compared_once() {
    let folder = tempfile::tempdir().unwrap();
    let day = archives::write(folder.path(), "BTCUSDT-trades-2024-03-01", &day_rows(1, 400));
    let out = folder.path().join("bars");
    fs::create_dir(&out).unwrap();
    told(folder.path(), 0, &["replay", "--out", "bars/b.jsonl", day.to_str().unwrap()]);
    symlink(".", out.join("one")).unwrap();
    symlink(".", out.join("two")).unwrap();
    told(folder.path(), 0, &["diff", "bars", "bars/b.jsonl"]);
}

#[test]
fn a_folder_of_parquet_is_written_by_one_run_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let day = archives::write(folder.path(), "BTCUSDT-trades-2024-03-01", &day_rows(1, 400));
    let day = day.to_str().unwrap();
    for (out, more) in [
        ("bars", &["--sink", "parquet", "--out", "bars"][..]),
        ("trades", &["--sink", "none", "--sink-trades", "trades"]),
    ] {
        fs::create_dir(folder.path().join(out)).unwrap();
        let held = fs::File::open(folder.path().join(out)).unwrap();
        held.lock().unwrap();
        let replay = [&["replay", "--bar", "t=tick,size=50"], more, &[day]].concat();
        let said = told(folder.path(), 2, &replay);
        let wanted = format!("another run is writing into the folder \"{out}\"");
        assert!(said.contains(&wanted), "{said}");
        drop(held);
        told(folder.path(), 0, &replay);
        told(folder.path(), 0, &replay);
    }
}

#[test]
fn archives_that_cost_more_than_they_hold_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut many = zip::ZipWriter::new(fs::File::create(at("many.zip")).unwrap());
    for member in 0..=1 << 15 {
        let stored = zip::write::SimpleFileOptions::default();
        many.start_file(format!("{member}.csv"), stored).unwrap();
    }
    many.finish().unwrap();
    let given = ["replay", "--instrument", "binance:spot:BTCUSDT", "many.zip"];
    let said = told(folder.path(), 2, &given);
    assert!(said.contains("expected at most 32768 members, found 32769"), "{said}");

    let mut wide = zstd::Encoder::new(Vec::new(), 1).unwrap();
    wide.window_log(28).unwrap();
    std::io::Write::write_all(&mut wide, &vec![b'x'; 1 << 20]).unwrap();
    fs::write(at("BTCUSDT-trades-2024-03-01.csv.zst"), wide.finish().unwrap()).unwrap();
    let said = told(folder.path(), 2, &["replay", "BTCUSDT-trades-2024-03-01.csv.zst"]);
    assert!(said.contains("zstd -d --long=31"), "{said}");
}

/// Thousands of sections are read in one pass.
#[test]
fn problems_of_long_configurations_name_their_lines() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "[sink]\nkind = \"none\"\n".to_owned();
    for bar in 0..3000 {
        text += &format!("[bars.b{bar}]\nkind = \"tick\"\nsize = 2\n");
    }
    text += "wrong = 1\n";
    fs::write(folder.path().join("long.toml"), text).unwrap();
    let said = told(folder.path(), 2, &["check", "long.toml"]);
    assert!(said.contains("long.toml:9003: "), "{said}");
}
