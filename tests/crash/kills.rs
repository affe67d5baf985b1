//! `kill -9` at every step of a commit, and at random times; afterwards every bar is there exactly
//! once. Real processes, a real Kafka.
//!
//! A series is one job: it is killed, started again with another number of workers, killed again,
//! and at last left to come to its end. Without more there are some thirty kills;
//!
//! ```sh
//! BARFLOW_CRASHES=220 cargo test --features fault-points --test crash kills -- --nocapture
//! ```
//!
//! kills about so often and prints a table (docs/RELIABILITY.md).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::days::{bars, synth, undisturbed};
use crate::support::kafka::{broker, committed, read, sent, unique};
use crate::support::kills::{Kill, plan, share};
use crate::support::live::Simulator;
use crate::support::once::{ByKey, Toll, by_key, count};
use crate::support::process::{End, PATIENCE, Process, barflow};
use barflow::compare::source::read as read_bars;
use barflow::sinks::kafka::KafkaSettings;

/// The steps of a transaction, in order.
const TRANSACTION: [&str; 8] = [
    "after-begin",
    "after-bars",
    "before-progress",
    "before-records",
    "before-shard",
    "before-drain",
    "before-commit",
    "after-commit",
];

/// The steps of a cut into files, in order.
const JOURNAL: [&str; 3] = ["journal-written", "journal-synced", "checkpoint-written"];

/// How long a live run may take to come to the place where it is to be killed; at the end of the tape
/// there may be nothing more to commit.
const LIFE: Duration = Duration::from_secs(8);

/// Two instruments, so that two workers have something to do each.
fn two_instruments(folder: &Path, trades: u64) -> Vec<PathBuf> {
    let mut files = synth(folder, &format!("--trades {trades}"));
    let other = format!("--instrument binance:spot:ETHUSDT --trades {trades} --seed 2");
    files.extend(synth(folder, &other));
    files
}

/// A replay with short transactions and small batches, so that there are many; in one pass or with
/// threads that share each history.
fn replay(files: &[PathBuf], job: &str, workers: usize) -> Command {
    let mut command = barflow();
    command.arg("replay").args(files).args(bars()).args(["--job", job, "--batch-rows", "256"]);
    command.args(["--commit-interval", "20ms", "--workers", &workers.to_string()]);
    command.args(["--delivery", "exactly-once"]);
    command.args(["--parallel", if workers == 2 { "1" } else { "2" }]);
    command
}

/// Resumes a job until it is done, killed on the way as long as there are kills. `look` is
/// told of every end but the last.
fn series(
    kills: &mut Vec<Kill>,
    toll: &mut Toll,
    mut start: impl FnMut(usize) -> Command,
    mut look: impl FnMut(&Kill, &End),
) {
    for life in 0.. {
        let kill = kills.pop();
        // Two, one, three, two, …
        let process = Process::start_to_be_killed(start([2, 1, 3][life % 3]), kill);
        let ended = match kill {
            Some(kill) => {
                let (by, ended) = process.be_killed(kill, PATIENCE);
                assert_eq!(by, kill, "it does not end: {}", ended.said);
                ended
            }
            None => process.end(),
        };
        match kill {
            Some(kill) if ended.killed => {
                toll.kill(kill.place());
                look(&kill, &ended);
            }
            _ => {
                assert_eq!(ended.code, Some(0), "{kill:?}: {}", ended.said);
                // It came to its end before the kill: that is for another job, and sooner.
                kills.extend(kill.map(Kill::sooner));
                return;
            }
        }
    }
}

#[test]
fn a_replay_into_kafka_that_is_killed_at_any_step_arrives_exactly_once() {
    let Some(kafka) = broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let files = two_instruments(folder.path(), 100_000);
    let wanted = undisturbed(&files, &[]);
    let mut kills = plan(1, &TRANSACTION, share(40, 12), 6, Duration::from_secs(2));
    let every_place = kills.len() > TRANSACTION.len();
    let (mut toll, mut aborted) = (Toll::default(), 0);
    while !kills.is_empty() {
        let job = unique("crash");
        let start = |workers| {
            let mut command = replay(&files, &job, workers);
            command.args(["--sink", "kafka", "--brokers", &kafka.plain, "--topic", &job]);
            command.arg("--create-topics");
            command
        };
        series(&mut kills, &mut toll, start, |_, _| ());
        let found = counting(&kafka.plain, &job);
        aborted += sent(&kafka.plain, &job) - count(&found);
        toll.close(&wanted, &found, &job);
    }
    println!("aborted: {aborted} bars");
    assert!(
        aborted > 0 || !every_place,
        "no kill came between a bar and its commit: this proves nothing"
    );
    toll.print("replay → kafka");
}

/// What a reader sees who wants only what counts.
fn counting(broker: &str, topic: &str) -> ByKey {
    by_key(read(broker, topic).into_iter().map(|m| String::from_utf8(m.value).unwrap()))
}

#[test]
fn a_replay_into_a_file_that_is_killed_at_any_step_makes_it_whole_or_not_at_all() {
    files_case("jsonl", 3);
}

#[test]
fn a_replay_into_parquet_that_is_killed_at_any_step_makes_files_whole_or_not_at_all() {
    files_case("parquet", 4);
}

fn files_case(sink: &str, seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let files = two_instruments(folder.path(), 100_000);
    let undisturbed = folder.path().join(format!("undisturbed.{sink}"));
    let mut command = barflow();
    command.arg("replay").args(&files).args(bars()).args(["--sink", sink, "--out"]);
    assert!(command.arg(&undisturbed).output().unwrap().status.success());
    let wanted = in_files(&undisturbed);
    assert!(count(&wanted) > 1_000);
    // Every series has a kill just before and just behind the moment at which the file appears.
    let mut amid = plan(seed, &JOURNAL, (share(15, 6) * 2).div_ceil(3), 8, Duration::from_secs(1));
    let mut toll = Toll::default();
    while !amid.is_empty() {
        let mut kills = vec![Kill::At("after-publish", 1), Kill::At("before-publish", 1)];
        kills.extend(amid.split_off(amid.len().saturating_sub(4)));
        let job = unique("crash");
        let out = folder.path().join(format!("{job}.{sink}"));
        let start = |workers| {
            let mut command = replay(&files, &job, workers);
            command.args(["--sink", sink, "--out"]).arg(&out);
            command
        };
        series(&mut kills, &mut toll, start, |kill, _| {
            let found = in_files(&out);
            match kill {
                Kill::At("after-publish", _) => assert!(found == wanted, "not whole"),
                // Parquet has a file for each key: some may be there, each of them whole.
                Kill::After(_) => assert!(found.iter().all(|(key, bars)| wanted[key] == *bars)),
                Kill::At(..) => assert!(found.is_empty(), "{kill}: a file is there too early"),
            }
        });
        amid.extend(kills.into_iter().filter(|kill| !kill.place().ends_with("publish")));
        toll.close(&wanted, &in_files(&out), &job);
    }
    toll.print(&format!("replay → {sink}"));
}

/// The bars of a file or of the files of a folder; none where there are none.
fn in_files(out: &Path) -> ByKey {
    let mut bars = ByKey::new();
    if out.exists() {
        for row in read_bars(out.to_str().unwrap(), &KafkaSettings::default()).unwrap() {
            bars.entry(row.key()).or_default().push(format!("{row:?}"));
        }
    }
    bars
}

/// A simulator whose tape continues while no client is connected.
struct Case {
    protocol: &'static str,
    instrument: &'static str,
    symbol: &'static str,
    trades: u64,
    /// Trades a second.
    rate: &'static str,
    faults: &'static str,
}

const BINANCE: Case = Case {
    protocol: "binance-spot",
    instrument: "binance:spot:BTCUSDT",
    symbol: "BTCUSDT",
    trades: 6_000,
    rate: "600",
    faults: "drop=0.002,duplicate=0.02,disconnect=1500",
};

/// Its trades have names instead of numbers: what a standing connection drops is seen by nobody. REST
/// lists the last 1,000: so many are played, and however long a restart takes, all are within reach.
const BYBIT: Case = Case {
    protocol: "bybit-linear",
    instrument: "bybit:linear:BTCUSDT",
    symbol: "BTCUSDT",
    trades: 1_000,
    rate: "100",
    faults: "duplicate=0.02,disconnect=300",
};

const KRAKEN: Case = Case {
    protocol: "kraken",
    instrument: "kraken:spot:BTC-USD",
    symbol: "BTC-USD",
    trades: 4_000,
    rate: "400",
    faults: "drop=0.002,duplicate=0.02,disconnect=1000",
};

#[test]
fn a_live_run_that_is_killed_while_its_venue_goes_on_arrives_exactly_once() {
    let Some(kafka) = broker() else { return };
    std::thread::scope(|scope| {
        // The seeds begin at different steps.
        for (case, seed) in [(BINANCE, 5), (BYBIT, 7), (KRAKEN, 2)] {
            scope.spawn(move || live_case(&case, seed, &kafka.plain));
        }
    });
}

fn live_case(case: &Case, seed: u64, brokers: &str) {
    let mut kills = plan(seed, &TRANSACTION, share(10, 3), 12, Duration::from_secs(3));
    let mut toll = Toll::default();
    for tape in 0.. {
        if kills.is_empty() {
            break;
        }
        let folder = tempfile::tempdir().unwrap();
        let seed = seed * 1_000 + tape;
        let arguments = format!("--days 2 --trades {} --seed {seed}", case.trades);
        let days = synth(folder.path(), &arguments);
        let files = format!("BTCUSDT={}", case.instrument);
        let wanted = undisturbed(&days, &["--instrument", &files]);
        let seed = seed.to_string();
        let mut arguments = vec!["--protocol", case.protocol, "--instrument", case.instrument];
        arguments.extend(["--rate", case.rate, "--faults", case.faults, "--seed", &seed]);
        let simulator = Simulator::start(&arguments, &[&days[1]]);
        let name = unique(case.protocol);
        let start = |workers: usize, kill| {
            let mut command = barflow();
            command.args(["live", "--report-every", "0", "--venue", case.protocol]);
            command.args(["--instrument", case.symbol, "--at", &simulator.address, "--history"]);
            command.arg(&days[0]).args(["--history-instrument", &files]).args(bars());
            command.args(["--sink", "kafka", "--brokers", brokers, "--create-topics"]);
            command.args(["--topic", &name, "--job", &name, "--commit-interval", "20ms"]);
            command.args(["--workers", &workers.to_string()]);
            Process::start_to_be_killed(command, kill)
        };
        let mine = kills.split_off(kills.len().saturating_sub(4));
        for (life, kill) in mine.into_iter().enumerate() {
            let (kill, ended) = start(1 + life % 2, Some(kill)).be_killed(kill, LIFE);
            assert!(ended.killed, "{kill}: {:?} {}", ended.code, ended.said);
            toll.kill(kill.place());
        }
        let mut last = start(1, None);
        last.wait_until("all bars", |_| committed(brokers, &name) >= count(&wanted));
        let (code, _, said) = last.stop();
        assert_eq!(code, Some(0), "{said}");
        let about = format!("{name}, seed {seed}\n{said}\n{}", simulator.stop());
        toll.close(&wanted, &counting(brokers, &name), &about);
    }
    toll.print(&format!("live {} → kafka", case.protocol));
}
