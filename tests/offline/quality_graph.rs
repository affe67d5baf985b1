//! Expectations inside the graph count what they count outside of it.

use std::collections::BTreeMap;
use std::fs;

use crate::support::graph_runs::{Kept, Setup, feed, input_batches, options, run_with, tape};
use crate::support::process::barflow;
use crate::support::spoiled::{days, write};
use barflow::graph::options::GraphOptions;
use barflow::graph::quality::Quality;
use barflow::quality::report::shown;
use barflow_operators::order::RejectPolicy;
use barflow_operators::quality::judge::{Judge, Known};
use barflow_operators::quality::suite::{Check, Severity, Suite};
use serde_json::Value;

type Counts = BTreeMap<(String, i32, Check), (u64, u64)>;

#[test]
fn the_graph_counts_what_a_judge_counts_whatever_the_batches_and_workers() {
    let tapes: Vec<_> = ["A", "B", "C"]
        .into_iter()
        .zip(1..)
        .map(|(symbol, seed)| {
            let mut tape = tape(seed, 20_000);
            tape.iter_mut().skip(9000).for_each(|trade| trade.event_time += 86_400_000_000_000);
            tape.drain(500..510);
            // The gap that opens here is closed by rows that come later.
            tape[3000..3040].rotate_left(20);
            let again = tape[7000];
            tape.insert(7001, again);
            tape[12_000].price *= 2.0;
            (feed(symbol), tape)
        })
        .collect();
    let mut expected = Counts::new();
    for (feed, tape) in &tapes {
        let mut judge = Judge::new(Suite::usual(), Known::default());
        let mut reports = Vec::new();
        for input_batch in input_batches(feed, tape, 20_000) {
            judge.on_batch(
                &input_batch.trades,
                &input_batch.rejects,
                &input_batch.left_out,
                &input_batch.start,
                &mut reports,
            );
        }
        judge.finish(&mut reports);
        for report in &reports {
            for (check, _, count) in report.findings(&Suite::usual()) {
                if (count.rows, count.offenders) != (0, 0) {
                    let key = (feed.instrument.to_string(), report.day, check);
                    expected.insert(key, (count.rows, count.offenders));
                }
            }
        }
    }
    assert!(expected.values().filter(|(_, offenders)| *offenders > 0).count() >= 9, "{expected:?}");
    for (workers, rows) in [(1, 8192), (2, 1000), (2, 7)] {
        let quality = Quality::new(Suite::usual(), |_| Known::default());
        // Fewer than what may be on its way at once, however small the batches are.
        let setup =
            Setup { workers, policy: RejectPolicy::SetAside, window: 32, specs: Vec::new() };
        let options = GraphOptions { quality: Some(quality.clone()), ..options(&setup) };
        let inputs = tapes.iter().map(|(feed, tape)| input_batches(feed, tape, rows)).collect();
        run_with(workers, options, inputs, Kept::default()).result.unwrap();
        let mut found = Counts::new();
        for ((instrument, day), counts) in quality.days() {
            for ((check, _), count) in counts.counts {
                if count != (0, 0) {
                    found.insert((instrument.to_string(), day, check), count);
                }
            }
        }
        assert_eq!(found, expected, "{workers} workers, {rows} rows");
    }
}

#[test]
fn a_closed_gap_is_taken_back_from_the_totals() {
    let feed = feed("A");
    let mut tape = tape(1, 10);
    tape.swap(3, 8);
    let quality = Quality::new(Suite::usual(), |_| Known::default());
    let setup = Setup { workers: 1, policy: RejectPolicy::SetAside, window: 8, specs: Vec::new() };
    let options = GraphOptions { quality: Some(quality.clone()), ..options(&setup) };
    run_with(1, options, vec![input_batches(&feed, &tape, 1)], Kept::default()).result.unwrap();
    let days = quality.days();
    let day = days.values().next().unwrap();
    assert_eq!(day.counts[&(Check::NoIdGaps, Severity::Warn)], (10, 0));
    assert_eq!(day.counts[&(Check::IdsInOrder, Severity::Fail)].1, 5);
}

#[test]
fn a_replay_says_of_every_day_what_quality_says_of_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = days(3, 20_000);
    all[0].drain(100..103);
    all[1][50][1] = "-1".to_owned();
    let again = all[1][500].clone();
    all[1].insert(501, again);
    all[2][7][3] = "7".to_owned();
    let files = write(folder.path(), &all);
    let suite = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/quality.toml");
    let judged =
        barflow().args(["quality", "--json", "-", "--suite", suite]).args(&files).output().unwrap();
    let judged: Value = serde_json::from_slice(&judged.stdout).unwrap();
    let mut expected: Vec<String> = Vec::new();
    for day in judged["instruments"][0]["days"].as_array().unwrap() {
        let counts = day["counts"].as_object().unwrap();
        let broken: Vec<String> = Check::ALL
            .into_iter()
            .map(|check| (check, counts[check.as_str()]["offenders"].as_u64().unwrap()))
            .filter(|(_, offenders)| *offenders > 0)
            .map(|(check, offenders)| format!("{check} {offenders}"))
            .collect();
        assert!(!broken.is_empty());
        let score = day["data_quality_score"].as_f64().unwrap();
        let day = day["day"].as_str().unwrap();
        let broken = broken.join(", ");
        expected.push(format!("quality: binance:spot:BTCUSDT {day} {} ({broken})", shown(score)));
    }
    expected.sort();
    assert_eq!(expected.len(), 3);
    for workers in ["1", "2"] {
        let aside = folder.path().join(format!("aside{workers}"));
        let replay = |more: &[&str]| {
            let mut replay = barflow();
            replay.args(["replay", "--bar", "t=imbalance,target=100", "--workers", workers]);
            replay.args(["--quote", "source", "--quarantine", aside.to_str().unwrap()]);
            replay.args(more).args(&files).output().unwrap()
        };
        let replayed = replay(&["--quality", suite]);
        let mut bars: Vec<&[u8]> = replayed.stdout.split(|byte| *byte == b'\n').collect();
        let without = replay(&[]).stdout;
        let mut others: Vec<&[u8]> = without.split(|byte| *byte == b'\n').collect();
        bars.sort();
        others.sort();
        assert!(bars.len() > 10 && bars == others, "judging changes bars");
        let text = String::from_utf8(replayed.stderr).unwrap();
        let mut said: Vec<&str> = text.lines().filter(|l| l.starts_with("quality: ")).collect();
        said.sort();
        assert_eq!(said, expected, "{text}");
    }
    fs::remove_dir_all(folder.path()).unwrap();
}
