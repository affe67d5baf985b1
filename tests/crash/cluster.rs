//! One job as several processes of the built binary, over loopback.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::days::{SYMBOLS, of_all_symbols as days};
use crate::support::live::Simulator;
use crate::support::members::{by_series, counted, free_addresses, hosts_file, read};
use crate::support::process::{End, Process, barflow, wait_until};

const BARS: [&str; 4] = [
    "--bar",
    "dib=imbalance,measure=dollar,threshold=wald,target=200,alpha=0.01,warmup=200",
    "--bar",
    "hour=time,every=1h",
];

/// A replay of `inputs` as one of several processes.
fn replay(inputs: &Path, hosts: Option<(&Path, usize)>, more: &[&str]) -> Command {
    let mut command = barflow();
    command.arg("replay").arg(inputs).args(BARS).args(more);
    if let Some((hosts, process)) = hosts {
        command.arg("--hosts").arg(hosts).args(["--process", &process.to_string()]);
    }
    command
}

#[test]
fn any_number_of_processes_and_workers_makes_the_same_bars() {
    let folder = tempfile::tempdir().unwrap();
    let days = days(folder.path(), 6_000);
    // Something for the ledger to count.
    let twice = days.join("BTCUSDT-trades-2024-03-03.csv");
    let zip = fs::File::open(days.join("BTCUSDT-trades-2024-03-02.zip")).unwrap();
    let mut rows = String::new();
    zip::ZipArchive::new(zip).unwrap().by_index(0).unwrap().read_to_string(&mut rows).unwrap();
    let last: Vec<&str> = rows.lines().rev().take(5).collect();
    fs::write(twice, last.into_iter().rev().collect::<Vec<_>>().join("\n") + "\n").unwrap();

    let alone = Process::start(replay(&days, None, &[])).end();
    assert_eq!(alone.code, Some(0), "{}", alone.said);
    assert!(!alone.said.contains("process 0"), "{}", alone.said);
    let expected = by_series(&alone.bars);
    assert_eq!(expected.len(), 2 * SYMBOLS.len());
    assert!(expected.values().all(|bars| bars.len() > 10), "{}", alone.said);

    for (processes, workers) in [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1)] {
        let about = format!("{processes} processes of {workers} workers");
        let hosts = hosts_file(folder.path(), &free_addresses(processes));
        let workers = workers.to_string();
        let running: Vec<Process> = (0..processes)
            .map(|process| {
                let out = folder.path().join(format!("out-{process}.jsonl"));
                let more = ["--workers", &workers, "--out", out.to_str().unwrap()];
                Process::start(replay(&days, Some((&hosts, process)), &more))
            })
            .collect();
        let mut ends: Vec<End> = running.into_iter().map(Process::end).collect();
        let mut bars = Vec::new();
        for (process, end) in ends.iter_mut().enumerate() {
            let out = folder.path().join(format!("out-{process}.jsonl"));
            end.bars = fs::read_to_string(out).unwrap().lines().map(str::to_owned).collect();
            assert_eq!(end.code, Some(0), "{about}: {}", end.said);
            assert!(!end.bars.is_empty(), "{about}: process {process} made nothing");
            let line = format!("process {process} of {processes} ");
            assert_eq!(end.said.contains(&line), processes > 1, "{about}: {}", end.said);
            // Each knows all about its own instruments, and nothing about the others'.
            let own: BTreeSet<String> =
                by_series(&end.bars).into_keys().map(|(instrument, _)| instrument).collect();
            assert_eq!(read(&[&end.said]).1, 12_000 * own.len() as u64, "{about}: {}", end.said);
            for line in end.said.lines().filter(|line| line.contains(": duplicates ")) {
                assert!(own.iter().any(|i| line.starts_with(i.as_str())), "{about}: {line}");
            }
            bars.extend_from_slice(&end.bars);
        }
        assert_same_series(&bars, &alone.bars, &about);
        let said: Vec<&str> = ends.iter().map(|end| end.said.as_str()).collect();
        assert_eq!(counted(&said), counted(&[&alone.said]), "{about}");
        assert_eq!(read(&said), read(&[&alone.said]), "{about}");
    }
}

/// Two live processes that share the instruments of a feed.
struct Job {
    _simulator: Simulator,
    processes: Vec<Process>,
    addresses: Vec<String>,
}

fn live_job(folder: &Path, bar: &str) -> Job {
    let days = days(folder, 40_000);
    let files: Vec<PathBuf> =
        SYMBOLS.iter().map(|s| days.join(format!("{s}-trades-2024-03-01.zip"))).collect();
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let simulator = Simulator::start(&["--protocol", "binance-spot", "--rate", "2000"], &files);
    let addresses = free_addresses(2);
    let hosts = hosts_file(folder, &addresses);
    let processes = (0..2)
        .map(|process| {
            let mut command = barflow();
            command
                .args(["live", "--report-every", "0", "--venue", "binance-spot"])
                .args([
                    "--instrument",
                    &SYMBOLS.join(","),
                    "--at",
                    &simulator.address,
                    "--bar",
                    bar,
                ])
                .arg("--hosts")
                .arg(&hosts)
                .args(["--process", &process.to_string()]);
            Process::start(command)
        })
        .collect();
    Job { _simulator: simulator, processes, addresses }
}

impl Job {
    /// Waits until both have handed over bars.
    fn wait_for_bars(&mut self) {
        self.processes.iter_mut().for_each(|process| process.wait_for(20));
    }
}

const OFTEN: &str = "tick=tick,size=20";

fn assert_same_series(found: &[String], expected: &[String], about: &str) {
    let (found, expected) = (by_series(found), by_series(expected));
    for (series, bars) in &expected {
        let none = Vec::new();
        let found = found.get(series).unwrap_or(&none);
        crate::support::live::assert_same(found, bars, &format!("{about}: {series:?}"));
    }
    assert_eq!(found.len(), expected.len(), "{about}");
}

#[test]
fn live_processes_share_the_instruments_of_a_venue() {
    let folder = tempfile::tempdir().unwrap();
    let days = days(folder.path(), 3_000);
    let alone = Process::start(replay(&days, None, &[])).end();
    assert_eq!(alone.code, Some(0), "{}", alone.said);
    // A file that is over closes the last hour of its day; a feed goes on.
    let mut expected = by_series(&alone.bars);
    let hours = expected.iter_mut().filter(|((_, spec), _)| spec == "hour");
    hours.for_each(|(_, bars)| drop(bars.pop()));
    let expected: Vec<String> = expected.into_values().flatten().collect();
    let of_day = |day: &str| -> Vec<PathBuf> {
        SYMBOLS.iter().map(|s| days.join(format!("{s}-trades-2024-03-{day}.zip"))).collect()
    };
    let second = of_day("02");
    let second: Vec<&Path> = second.iter().map(PathBuf::as_path).collect();
    let faults = ["--faults", "drop=0.002,duplicate=0.02,disconnect=4000", "--seed", "5"];
    let mut arguments = vec!["--protocol", "binance-spot", "--speed", "max"];
    arguments.extend(faults);
    let simulator = Simulator::start(&arguments, &second);
    let hosts = hosts_file(folder.path(), &free_addresses(2));
    let mut running: Vec<Process> = (0..2)
        .map(|process| {
            let mut command = barflow();
            command.args(["live", "--report-every", "0", "--venue", "binance-spot"]);
            command
                .args(["--instrument", &SYMBOLS.join(","), "--at", &simulator.address])
                .args(BARS);
            for file in of_day("01") {
                command.arg("--history").arg(file);
            }
            command.arg("--hosts").arg(&hosts).args(["--process", &process.to_string()]);
            Process::start(command)
        })
        .collect();
    wait_until("all bars have come", || {
        let said: Vec<String> = running.iter().map(Process::said).collect();
        assert!(running.iter_mut().all(Process::runs), "{said:?}");
        running.iter_mut().map(|p| p.bars().len()).sum::<usize>() >= expected.len()
    });
    running[0].signal("TERM");
    let ends: Vec<End> = running.into_iter().map(Process::end).collect();
    assert!(ends.iter().all(|end| end.code == Some(0) && !end.bars.is_empty()));
    let bars: Vec<String> = ends.into_iter().flat_map(|end| end.bars).collect();
    assert_same_series(&bars, &expected, "live");
}

#[test]
fn processes_share_the_instruments_of_a_recording() {
    let folder = tempfile::tempdir().unwrap();
    let days = days(folder.path(), 5_000);
    let files: Vec<PathBuf> =
        SYMBOLS.iter().map(|s| days.join(format!("{s}-trades-2024-03-01.zip"))).collect();
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let faults = ["--faults", "garbage=0.01", "--seed", "5", "--once"];
    let mut arguments = vec!["--protocol", "binance-spot", "--speed", "max"];
    arguments.extend(faults);
    let simulator = Simulator::start(&arguments, &files);
    let recordings = folder.path().join("recordings");
    let mut record = barflow();
    record.args(["record", "--venue", "binance-spot", "--instrument", &SYMBOLS.join(",")]);
    record.args(["--at", &simulator.address, "--out"]).arg(&recordings);
    let recording = Process::start(record);
    // The venue ends when everything was played.
    let (_, said) = simulator.finish();
    let (code, _, told) = recording.stop();
    assert_eq!(code, Some(0), "{said}\n{told}");
    let bad = |name: &str| folder.path().join(format!("{name}-rows.jsonl"));
    let start = |name: &str, hosts: Option<(&Path, usize)>| {
        let quarantine = bad(name);
        let more = ["--protocol", "binance-spot", "--quarantine", quarantine.to_str().unwrap()];
        Process::start(replay(&recordings, hosts, &more))
    };
    let rejected = |names: &[&str]| {
        let rows = names.iter().map(|name| fs::read_to_string(bad(name)).unwrap_or_default());
        rows.map(|rows| rows.lines().count()).sum::<usize>()
    };
    let alone = start("alone", None).end();
    assert_eq!(alone.code, Some(1), "{}", alone.said);
    assert!(alone.bars.len() > 10 && rejected(&["alone"]) > 10, "{}", alone.said);
    let hosts = hosts_file(folder.path(), &free_addresses(2));
    let running = [start("part-0", Some((&hosts, 0))), start("part-1", Some((&hosts, 1)))];
    let ends = running.map(Process::end);
    for end in &ends {
        assert!(matches!(end.code, Some(0 | 1)), "{}", end.said);
    }
    let bars: Vec<String> = ends.iter().flat_map(|end| end.bars.clone()).collect();
    assert_same_series(&bars, &alone.bars, "recording");
    let said = ends.each_ref().map(|end| end.said.as_str());
    assert_eq!(counted(&said), counted(&[&alone.said]));
    assert_eq!(rejected(&["part-0", "part-1"]), rejected(&["alone"]));
}

#[test]
fn when_a_process_is_killed_the_other_says_so_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut job = live_job(folder.path(), OFTEN);
    job.wait_for_bars();
    let victim = job.processes.pop().unwrap();
    victim.kill();
    let other = job.processes.pop().unwrap().end();
    assert_eq!(other.code, Some(3), "{}", other.said);
    let gone = format!("error: lost process 1 at {}", job.addresses[1]);
    assert!(other.said.contains(&gone), "{}", other.said);
    assert!(other.said.contains("restart the job"), "{}", other.said);
    for noise in ["panicked", "timely", "poisoned", "RUST_BACKTRACE"] {
        assert!(!other.said.contains(noise), "{}", other.said);
    }
    // What was handed over is flushed.
    assert!(other.bars.len() > 10, "{}", other.said);
}

#[test]
fn a_replay_notices_a_killed_process_too() {
    let folder = tempfile::tempdir().unwrap();
    let days = days(folder.path(), 100_000);
    let addresses = free_addresses(2);
    let hosts = hosts_file(folder.path(), &addresses);
    let mut running: Vec<Process> = (0..2)
        .map(|process| {
            let more = ["--workers", "2", "--batch-rows", "8"];
            Process::start(replay(&days, Some((&hosts, process)), &more))
        })
        .collect();
    running[0].wait_until_it_says("all 2 processes are connected");
    running[1].wait_until_it_says("all 2 processes are connected");
    running[0].signal("KILL");
    let other = running.pop().unwrap().end();
    assert_eq!(other.code, Some(3), "{}", other.said);
    let gone = format!("error: lost process 0 at {}", addresses[0]);
    assert!(other.said.contains(&gone), "{}", other.said);
    assert!(!other.said.contains("panicked"), "{}", other.said);
}

#[test]
fn a_signal_to_one_process_ends_the_job_in_good_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut job = live_job(folder.path(), OFTEN);
    job.wait_for_bars();
    job.processes[1].signal("TERM");
    for (process, ended) in job.processes.into_iter().map(Process::end).enumerate() {
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        let by = ["stopped by process 1", "stopped by SIGTERM"][process];
        assert!(ended.said.contains(by), "{}", ended.said);
        assert!(ended.bars.len() > 10, "{}", ended.said);
    }
}

#[test]
fn a_process_without_instruments_is_a_member_and_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let days = days(folder.path(), 20_000);
    let file = days.join("BTCUSDT-trades-2024-03-01.zip");
    let simulator = Simulator::start(&["--protocol", "binance-spot", "--rate", "4000"], &[&file]);
    let hosts = hosts_file(folder.path(), &free_addresses(3));
    let mut running: Vec<Process> = (0..3)
        .map(|process| {
            let mut command = barflow();
            command
                .args(["live", "--report-every", "0", "--venue", "binance-spot"])
                .args(["--instrument", "BTCUSDT", "--at", &simulator.address, "--bar", OFTEN])
                .arg("--hosts")
                .arg(&hosts)
                .args(["--process", &process.to_string()]);
            Process::start(command)
        })
        .collect();
    // Far more than the graph takes without hearing from the others.
    wait_until("900 bars of one", || {
        running.iter_mut().for_each(|process| assert!(process.runs(), "{}", process.said()));
        running.iter_mut().any(|process| process.bars().len() >= 900)
    });
    running[0].signal("TERM");
    let ends: Vec<End> = running.into_iter().map(Process::end).collect();
    assert!(ends.iter().all(|end| end.code == Some(0)), "{}", ends[0].said);
    let idle = "no instrument is assigned to this process";
    assert_eq!(ends.iter().filter(|end| end.said.contains(idle)).count(), 2);
    assert_eq!(ends.iter().filter(|end| end.bars.len() >= 900).count(), 1);
    assert_eq!(ends.iter().filter(|end| end.bars.is_empty()).count(), 2);
}

#[test]
fn a_process_that_fails_takes_the_job_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let days = days(folder.path(), 6_000);
    let bad = days.join("BTCUSDT-trades-2024-03-03.csv");
    fs::write(&bad, "13000,not-a-price,1.0,1.0,1709424000000,true,true\n").unwrap();
    let hosts = hosts_file(folder.path(), &free_addresses(2));
    let running: Vec<Process> =
        (0..2).map(|process| Process::start(replay(&days, Some((&hosts, process)), &[]))).collect();
    let ends: Vec<End> = running.into_iter().map(Process::end).collect();
    let culprit = ends.iter().position(|end| end.code == Some(1)).unwrap();
    assert!(ends[culprit].said.contains("not-a-price"), "{}", ends[culprit].said);
    let other = &ends[1 - culprit];
    assert_eq!(other.code, Some(3), "{}", other.said);
    let said = format!("error: process {culprit} at ");
    assert!(
        other.said.contains(&said) && other.said.contains("failed (see its log)"),
        "{}",
        other.said
    );
}

#[test]
fn a_process_that_never_comes_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let days = days(folder.path(), 100);
    let addresses = free_addresses(3);
    let hosts = hosts_file(folder.path(), &addresses);
    let command = replay(&days, Some((&hosts, 1)), &["--cluster-timeout", "1s"]);
    let end = Process::start(command).end();
    assert_eq!(end.code, Some(3), "{}", end.said);
    assert!(end.said.contains("not all processes connected within 1 s"), "{}", end.said);
    let before = format!("process 0 at {} did not answer (", addresses[0]);
    let after = format!("process 2 at {} did not connect", addresses[2]);
    assert!(end.said.contains(&before) && end.said.contains(&after), "{}", end.said);
}

#[test]
fn a_process_that_waits_can_be_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let days = days(folder.path(), 100);
    let addresses = free_addresses(2);
    let hosts = hosts_file(folder.path(), &addresses);
    let command = replay(&days, Some((&hosts, 0)), &[]);
    let mut process = Process::start(command);
    // It listens once it waits; a connection without a greeting is rejected.
    process.wait_until("it listens", |_| TcpStream::connect(&addresses[0]).is_ok());
    process.signal("TERM");
    let end = process.end();
    assert_eq!(end.code, Some(143), "{}", end.said);
    assert!(end.said.contains("stopped while waiting"), "{}", end.said);
}

#[test]
fn processes_of_different_jobs_refuse_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let days = days(folder.path(), 100);
    for (more, what) in [
        (vec!["--bar", "other=tick,size=5"], "different: bars"),
        (vec!["--workers", "2"], "workers, this one"),
        (vec!["--to", "2024-03-02"], "settings"),
    ] {
        let hosts = hosts_file(folder.path(), &free_addresses(2));
        let one = replay(&days, Some((&hosts, 0)), &[]);
        let other = replay(&days, Some((&hosts, 1)), &more);
        let running = [one, other].map(Process::start);
        for (process, ended) in running.into_iter().map(Process::end).enumerate() {
            assert_eq!(ended.code, Some(2), "{}", ended.said);
            let peer = format!("error: process {} at ", 1 - process);
            assert!(ended.said.contains(&peer), "{}", ended.said);
            assert!(ended.said.contains(what), "{}", ended.said);
            assert!(ended.said.contains("has different settings"), "{}", ended.said);
        }
    }
}

#[test]
fn strangers_are_sent_away() {
    let folder = tempfile::tempdir().unwrap();
    let days = days(folder.path(), 100);
    let addresses = free_addresses(2);
    let hosts = hosts_file(folder.path(), &addresses);
    let mut first = Process::start(replay(&days, Some((&hosts, 0)), &[]));
    let mut stranger = None;
    first.wait_until("it listens", |_| {
        stranger = TcpStream::connect(&addresses[0]).ok();
        stranger.is_some()
    });
    let mut stranger = stranger.unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
    let second = Process::start(replay(&days, Some((&hosts, 1)), &[]));
    for process in [first, second] {
        let end = process.end();
        assert_eq!(end.code, Some(0), "{}", end.said);
    }
}

#[test]
fn wrong_hosts_are_told_by_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let days = days(folder.path(), 100);
    let hosts = folder.path().join("hosts.txt");
    let said = |process: Option<&str>, hosts: Option<&Path>| {
        let mut command = replay(&days, None, &[]);
        if let Some(hosts) = hosts {
            command.arg("--hosts").arg(hosts);
        }
        if let Some(process) = process {
            command.args(["--process", process]);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    fs::write(&hosts, "# two\nalpha:7000\n\nbeta\n").unwrap();
    assert!(said(Some("0"), Some(&hosts)).contains("hosts.txt:4: not host:port"));
    fs::write(&hosts, "alpha:7000\nbeta:7000\n").unwrap();
    assert!(said(Some("2"), Some(&hosts)).contains("process = 2: 2 hosts, so 0 to 1"));
    assert!(said(Some("one"), Some(&hosts)).contains("not a whole number"));
    assert!(said(None, Some(&hosts)).contains("hosts needs process"));
    assert!(said(Some("0"), None).contains("process needs hosts"));
    assert!(said(Some("0"), Some(Path::new("/nowhere"))).contains("could not be read"));

    // The same from a file, without running anything.
    let config = folder.path().join("replay.toml");
    let text = format!("[replay]\nhosts = {:?}\nprocess = 7\n", hosts.to_str().unwrap());
    fs::write(&config, text).unwrap();
    let checked = barflow().arg("check").arg(&config).output().unwrap();
    assert_eq!(checked.status.code(), Some(2));
    let said = String::from_utf8(checked.stderr).unwrap();
    assert!(said.contains("replay.toml:3: process = 7"), "{said}");
}
