//! How far bars are complete, in a real Kafka: beside the bars, never ahead of them, also where no bar
//! closes and while a gap is open.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::support::days::synth;
use crate::support::kafka::{Received, broker, create_topic, exists, read, unique};
use crate::support::live::listen;
use crate::support::process::{Process, output};
use crate::support::progress::{assert_at_its_bars, bars, newest, number, records};
use crate::support::scripted::{ScriptedVenue, binance, binance_page, rows};

const KEY: &str = "binance:spot:BTCUSDT/t";
const TRADES: u64 = 20_000;

/// Days of trades and a topic of its own in a broker.
struct Stage {
    brokers: &'static str,
    folder: tempfile::TempDir,
    topic: String,
}

impl Stage {
    /// None without a broker.
    fn new(name: &str) -> Option<Self> {
        let (brokers, folder) = (&broker()?.plain, tempfile::tempdir().unwrap());
        Some(Self { brokers, folder, topic: unique(name) })
    }

    fn days(&self) -> Vec<PathBuf> {
        synth(self.folder.path(), &format!("--days 2 --trades {TRADES}"))
    }

    fn progress(&self) -> String {
        format!("{}.progress", self.topic)
    }

    /// Replays files into the topic, as a job of its name; exit code and what was said.
    fn replay(&self, files: &[PathBuf], more: &[&str]) -> (Option<i32>, String) {
        let files: Vec<&str> = files.iter().map(|file| file.to_str().unwrap()).collect();
        let to = ["--sink", "kafka", "--brokers", self.brokers, "--topic", &self.topic];
        let job = ["--job", &self.topic];
        let output = output(&[&["replay"], &files[..], &to, &job, more].concat(), None);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn replays(&self, files: &[PathBuf], more: &[&str]) -> String {
        let (code, said) = self.replay(files, more);
        assert_eq!(code, Some(0), "{said}");
        said
    }
}

const TICKS: [&str; 3] = ["--bar", "t=tick,size=30", "--create-topics"];

#[test]
fn at_the_end_of_the_input_progress_is_at_its_end_either_way_of_delivery() {
    for delivery in ["exactly-once", "at-least-once"] {
        let Some(stage) = Stage::new("progress") else { return };
        let days = stage.days();
        let more = [&TICKS[..], &["--delivery", delivery]].concat();
        stage.replays(&days[..1], &more);
        let said = newest(stage.brokers, &stage.progress());
        assert_eq!(said.len(), 1, "{said:?}");
        let record = &said[KEY];
        assert_eq!(number(record, "bars"), TRADES / 30);
        assert_eq!(number(record, "ticks"), TRADES % 30);
        assert_eq!(record["threshold"], 30.0);
        assert_eq!(record["reached"], (TRADES % 30) as f64 / 30.0);
        assert_eq!((&record["gap_open"], &record["gap_since"]), (&false.into(), &Value::Null));
        assert_at_its_bars(stage.brokers, &stage.topic, delivery);
        let Received { key, headers, timestamp, .. } =
            read(stage.brokers, &stage.progress()).pop().unwrap();
        assert_eq!(key, KEY);
        assert_eq!(record["complete_time"].as_i64().unwrap().div_euclid(1_000_000), timestamp);
        for (header, value) in [
            ("spec", "t"),
            ("schema_version", "1"),
            ("content-type", "application/json"),
            ("job", &stage.topic),
        ] {
            assert_eq!(headers[header], value);
        }
        if delivery == "exactly-once" {
            // The next day continues there.
            let before = number(record, "complete_trade_id");
            stage.replays(&days, &more);
            let record = &newest(stage.brokers, &stage.progress())[KEY];
            assert_eq!(number(record, "complete_trade_id"), before + TRADES);
            assert_eq!(number(record, "bars"), 2 * TRADES / 30);
        }
    }
}

#[test]
fn progress_moves_although_no_bar_closes_and_adds_nothing_to_the_bars() {
    let Some(stage) = Stage::new("quiet") else { return };
    let days = stage.days();
    let bar = ["--bar", "t=tick,size=1000000", "--create-topics"];
    stage
        .replays(&days, &[&bar[..], &["--commit-interval", "1ms", "--batch-rows", "500"]].concat());
    assert!(bars(stage.brokers, &stage.topic).is_empty());
    let said = records(stage.brokers, &stage.progress());
    let through: Vec<u64> =
        said.iter().map(|(_, record)| number(record, "complete_trade_id")).collect();
    assert!(through.len() > 2, "{through:?}");
    assert!(through.is_sorted(), "{through:?}");
    let (_, last) = said.last().unwrap();
    assert_eq!((number(last, "ticks"), number(last, "bars")), (2 * TRADES, 0));
    assert_eq!(last["reached"], 0.04);
}

#[test]
fn it_can_be_renamed_or_switched_off_and_bars_are_the_same_bytes() {
    let Some(with) = Stage::new("with") else { return };
    let days = with.days();
    let other = unique("heartbeat");
    with.replays(&days, &[&TICKS[..], &["--progress-topic", &other]].concat());
    assert!(!exists(with.brokers, &with.progress()));
    assert_eq!(newest(with.brokers, &other).len(), 1);
    let without = Stage::new("without").unwrap();
    without.replays(&days, &[&TICKS[..], &["--progress-topic", "off"]].concat());
    assert!(!exists(without.brokers, &without.progress()));
    let bars = |stage: &Stage| -> Vec<(String, Vec<u8>)> {
        let messages = read(stage.brokers, &stage.topic).into_iter();
        messages.map(|message| (message.key, message.value)).collect()
    };
    assert_eq!(bars(&with), bars(&without));
    let both = ["--bar", "t=tick,size=30", "--progress-topic", &with.topic];
    let (code, said) = with.replay(&days, &both);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("cannot hold both bars and progress"), "{said}");
}

#[test]
fn a_job_that_did_not_ask_for_it_runs_without_a_topic_and_one_that_did_says_what_is_missing() {
    let Some(stage) = Stage::new("upgraded") else { return };
    let days = stage.days();
    create_topic(stage.brokers, &stage.topic, 1, &[("retention.ms", "-1")]);
    let named = stage.progress();
    let asked = ["--bar", "t=tick,size=30", "--progress-topic", &named];
    let hint = "--create-topics creates missing topics; --progress-topic off writes no progress";
    for delivery in ["exactly-once", "at-least-once"] {
        let (code, said) = stage.replay(&days, &[&asked[..], &["--delivery", delivery]].concat());
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains(&format!("has no topic \"{named}\"")), "{said}");
        assert!(said.contains(hint), "{said}");
    }
    let said = stage.replays(&days, &asked[..2]);
    assert!(said.contains("progress is not written"), "{said}");
    assert!(said.contains(hint), "{said}");
    assert_eq!(bars(stage.brokers, &stage.topic)[KEY].len() as u64, 2 * TRADES / 30);
    // With the topic it is there from the next run on, although that has nothing to do.
    create_topic(stage.brokers, &named, 1, &[("cleanup.policy", "delete")]);
    let said = stage.replays(&days, &asked[..2]);
    assert!(said.contains(&format!("topic \"{named}\" is not compacted")), "{said}");
    assert_at_its_bars(stage.brokers, &stage.topic, &said);
    assert_eq!(number(&newest(stage.brokers, &named)[KEY], "bars"), 2 * TRADES / 30);
}

#[test]
fn a_reset_takes_back_what_the_job_said_and_nothing_that_others_said() {
    let Some(stage) = Stage::new("reset") else { return };
    let days = stage.days();
    let (brokers, topic) = (stage.brokers, stage.progress());
    let of = |specs: &[&'static str]| -> Vec<&'static str> {
        let bars = specs.iter().flat_map(|spec| ["--bar", *spec]);
        bars.chain(["--create-topics", "--headers", "cloudevents"]).collect()
    };
    stage.replays(&days, &of(&["t=tick,size=30", "u=tick,size=50", "v=tick,size=70"]));
    // Other jobs have an instrument of their own, and go on with one of these series.
    let as_other = |name: &str, more: &[&str]| {
        let files: Vec<&str> = days.iter().map(|file| file.to_str().unwrap()).collect();
        let to = ["--sink", "kafka", "--brokers", brokers, "--topic", &stage.topic, "--job", name];
        let run = output(&[&["replay"], &files[..], &to, more].concat(), None);
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    };
    let rename = ["--instrument", "BTCUSDT=binance:spot:ETHUSDT"];
    as_other(&unique("other"), &[&rename[..], &of(&["t=tick,size=30"])].concat());
    as_other(&unique("third"), &of(&["v=tick,size=70"]));
    let before = newest(brokers, &topic);
    let [t, u, v] = ["t", "u", "v"].map(|spec| format!("binance:spot:BTCUSDT/{spec}"));
    let eth = "binance:spot:ETHUSDT/t".to_owned();
    assert_eq!(before.len(), 4);
    let reset = [&of(&["t=tick,size=30"])[..], &["--reset-state"]].concat();
    stage.replays(&days[..1], &reset);
    let after = newest(brokers, &topic);
    assert_eq!(after.keys().cloned().collect::<Vec<_>>(), [t.clone(), v.clone(), eth]);
    let through = |said: &BTreeMap<String, Value>| number(&said[&t], "complete_trade_id");
    assert_eq!(through(&after) + TRADES, through(&before), "said again, of one day");
    assert_eq!(after[&v], before[&v], "of another job by now");
    let all = read(brokers, &topic);
    let tombstone = all.iter().rfind(|record| record.key == u).unwrap();
    assert!(tombstone.value.is_empty());
    assert_eq!(tombstone.headers["job"], stage.topic);
    let record = all.iter().rfind(|record| record.key == t).unwrap();
    let [id, kind] = ["ce_id", "ce_type"].map(|name| &record.headers[name]);
    let at = [through(&after), number(&after[&t], "complete_time")];
    assert_eq!(*id, format!("{t}/progress/{}/{}", at[0], at[1]));
    assert_eq!(kind, "barflow.progress");
}

/// A live run of bars of one trade each, whose venue's REST answers when it is let.
struct Live {
    stage: Stage,
    process: Process,
    answers: Arc<AtomicBool>,
}

impl Live {
    /// None without a broker.
    fn start(name: &str, settings: &str) -> Option<Self> {
        let stage = Stage::new(name)?;
        let answers = Arc::new(AtomicBool::new(false));
        let let_in = Arc::clone(&answers);
        let sent = rows((1..=10).chain(15..=24));
        let venue = ScriptedVenue::start(vec![binance(&sent)], move |path, _| {
            match let_in.load(Ordering::Acquire) {
                true => binance_page(path, &rows(1..=24)),
                false => ("503 Away".to_owned(), "{}".to_owned()),
            }
        });
        let config: &Path = &stage.folder.path().join("live.toml");
        let feed = "[feeds.f]\nvenue = \"binance-spot\"\ninstruments = [\"BTCUSDT\"]\n";
        fs::write(config, format!("{settings}\n{feed}")).unwrap();
        let config = config.to_str().unwrap();
        let from = ["--config", config, "--at", &venue.address, "--bar", "t=tick,size=1"];
        let to = ["--sink", "kafka", "--brokers", stage.brokers, "--topic", &stage.topic];
        let job = ["--job", &stage.topic, "--create-topics", "--commit-interval", "20ms"];
        let process = listen(&[&from[..], &to, &job].concat());
        Some(Self { stage, process, answers })
    }

    /// Waits for a record of which this holds.
    fn wait_for(&mut self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let (brokers, topic) = (self.stage.brokers, self.stage.progress());
        let mut found = Value::Null;
        self.process.wait_until(what, |_| {
            found = newest(brokers, &topic).remove(KEY).unwrap_or_default();
            holds(&found)
        });
        found
    }

    /// Lets REST answer; then everything comes, and what was said while the gap was open is looked at.
    fn fill(mut self) {
        let has_gap = |record: &Value| record["gap_open"] == true;
        self.answers.store(true, Ordering::Release);
        let all = |record: &Value| !has_gap(record) && record["complete_trade_id"] == 24;
        let last = self.wait_for("everything", all);
        assert_eq!(last["gap_since"], Value::Null);
        let (code, _, said) = self.process.stop();
        assert_eq!(code, Some(0), "{said}");
        let mut through = 0;
        for (_, record) in records(self.stage.brokers, &self.stage.progress()) {
            let now = number(&record, "complete_trade_id");
            assert!(now >= through, "{record}");
            assert!(!has_gap(&record) || now <= 10, "{record}");
            assert_eq!(has_gap(&record), record["gap_since"].is_i64(), "{record}");
            through = now;
        }
    }
}

#[test]
fn while_a_gap_is_open_progress_stands_still_and_says_since_when() {
    let Some(mut live) = Live::start("waits", "") else { return };
    let open = live.wait_for("a gap", |record| record["gap_open"] == true);
    assert_eq!((number(&open, "complete_trade_id"), number(&open, "bars")), (10, 10));
    live.fill();
}

#[test]
fn progress_stands_still_also_where_bars_continue_over_the_gap() {
    let Some(mut live) =
        Live::start("revises", "[live]\non_gap = \"revise\"\nrevision_window = \"1h\"")
    else {
        return;
    };
    let (brokers, topic) = (live.stage.brokers, live.stage.topic.clone());
    let beyond = |bars: &[Value]| bars.iter().any(|bar| number(bar, "last_trade_id") == 24);
    live.process.wait_until("bars beyond the gap", |_| {
        bars(brokers, &topic).get(KEY).is_some_and(|bars| beyond(bars))
    });
    let open = live.wait_for("a gap", |record| record["gap_open"] == true);
    assert!(number(&open, "complete_trade_id") <= 10, "{open}");
    live.fill();
}
