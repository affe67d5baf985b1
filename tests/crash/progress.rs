//! `kill -9` at every step of a commit: what is said to be complete is never ahead of the bars that count.

use std::time::Duration;

use crate::support::days::{bars, synth};
use crate::support::kafka::{broker, unique};
use crate::support::kills::{Kill, plan, share};
use crate::support::process::{PATIENCE, Process, barflow};
use crate::support::progress::{assert_at_its_bars, newest, number};

const TRADES: u64 = 60_000;

/// The steps around the records of progress, in order.
const PLACES: [&str; 6] = [
    "after-bars",
    "before-progress",
    "before-records",
    "before-drain",
    "before-commit",
    "after-commit",
];

#[test]
fn progress_of_a_run_that_is_killed_and_started_again_is_never_ahead_of_its_bars() {
    let Some(kafka) = broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let files = synth(folder.path(), &format!("--trades {TRADES}"));
    let job = unique("crash-progress");
    let start = |kill| {
        let mut command = barflow();
        command.arg("replay").args(&files).args(bars()).args(["--job", &job, "--topic", &job]);
        command.args(["--sink", "kafka", "--brokers", &kafka.plain, "--create-topics"]);
        command.args(["--commit-interval", "10ms", "--batch-rows", "256"]);
        Process::start_to_be_killed(command, kill)
    };
    let mut kills = plan(7, &PLACES, share(10, PLACES.len() + 1), 4, Duration::from_secs(1));
    let (mut killed, mut said_something) = (0, false);
    while let Some(kill) = kills.pop() {
        let (_, ended) = start(Some(kill)).be_killed(kill, PATIENCE);
        if !ended.killed {
            // It came to its end before.
            assert_eq!(ended.code, Some(0), "{kill:?}: {}", ended.said);
            break;
        }
        killed += 1;
        said_something |= !newest(&kafka.plain, &format!("{job}.progress")).is_empty();
        assert_at_its_bars(&kafka.plain, &job, &format!("{kill}"));
        if matches!(kill, Kill::After(_)) {
            println!("killed {kill}");
        }
    }
    assert!(killed > 1 && said_something, "{killed} kills prove nothing");
    let (code, said) = start(None).finish();
    assert_eq!(code, Some(0), "{said}");
    assert_at_its_bars(&kafka.plain, &job, "the end");
    let last = newest(&kafka.plain, &format!("{job}.progress"));
    assert_eq!(last.len(), bars().count() / 2, "{last:?}");
    let tick = &last["binance:spot:BTCUSDT/tick"];
    assert_eq!(50 * number(tick, "bars") + number(tick, "ticks"), TRADES, "{tick}");
    let through = |record| number(record, "complete_trade_id");
    assert!(last.values().all(|record| through(record) == through(tick)), "{last:?}");
}
