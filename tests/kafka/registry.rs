//! Bars in Confluent's wire format, with a real schema registry and a real reader.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use barflow::sinks::encode::avro;
use serde_json::Value;

use crate::support::jobs::Job;
use crate::support::kafka::{self, broker, read, unique};
use crate::support::live::{Simulator, listen, two_days};
use crate::support::mangled::{mangle, rows};
use crate::support::peers;
use crate::support::process::{barflow, wait_until};
use crate::support::registry::{Way, registry};
use crate::support::scripted_http::{Http, whole};

const BAR: &str = "dib=imbalance,measure=dollar,alpha=0.02,target=100,warmup=200";

fn confluent<'a>(url: &'a str, register: &'a str) -> [&'a str; 6] {
    ["--encoding", "avro-confluent", "--schema-registry", url, "--schema-register", register]
}

/// Runs to the end; its exit code and what it said.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output = barflow().args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

fn succeed(arguments: &[&str]) -> String {
    let (code, said) = run(arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {said}");
    said
}

/// A few trades and the bars that they make.
struct Trades {
    file: PathBuf,
    bars: PathBuf,
    corrections: String,
    right: PathBuf,
}

fn trades(folder: &Path) -> Trades {
    let mangled = mangle(folder, &rows(folder, 20_000), 400, 2000, 7);
    // The job leaves its last minute open: no name of a file says that it is over.
    let right = folder.join("right.csv");
    if mangled.right != right {
        fs::copy(&mangled.right, &right).unwrap();
    }
    let bars = folder.join("bars.jsonl");
    let made = ["replay", right.to_str().unwrap(), "--instrument", "binance:spot:BTCUSDT"];
    let out = ["--bar", BAR, "--out", bars.to_str().unwrap()];
    succeed(&[&made[..], &out].concat());
    let corrections = mangled.corrections.display().to_string();
    Trades { file: mangled.delivered, bars, corrections, right }
}

/// What Confluent's reader makes of a topic.
fn as_confluent(python: &Path, brokers: &str, url: &str, topic: &str) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/peers/read_topic.py");
    let output = Command::new(python).arg(script).args([brokers, url, topic]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A bar by its identity, without what says how an output came about.
fn plain(bar: &Value) -> (String, Value) {
    let mut bar = bar.as_object().unwrap().clone();
    let gone = ["seq", "revision", "known_time", "retracts"].map(|name| bar.remove(name));
    assert!(gone.iter().all(Option::is_some), "{bar:?}");
    (bar["bar_id"].as_str().unwrap().to_owned(), Value::Object(bar))
}

/// What is left of a series of bars and retractions with JSON keys, all in one partition.
fn standing(series: &[Value]) -> BTreeMap<String, Value> {
    let mut standing = BTreeMap::new();
    let mut partitions = BTreeSet::new();
    for record in series {
        let value = &record["value"];
        let key: Value = serde_json::from_str(record["key"].as_str().unwrap()).unwrap();
        let columns = ["instrument", "spec", "last_trade_id"];
        let columns = columns.map(|name| (name.to_owned(), value[name].clone()));
        assert_eq!(key, Value::Object(columns.into_iter().collect()));
        partitions.insert(record["partition"].as_i64().unwrap());
        let (id, bar) = plain(value);
        match value["retracts"] == true {
            true => assert_eq!(standing.remove(&id).as_ref(), Some(&bar)),
            false => assert_eq!(standing.insert(id, bar), None),
        }
    }
    assert_eq!(partitions.len(), 1, "the bars of an instrument are in order");
    standing
}

/// What is left of current bars and tombstones.
fn table(current: &[Value]) -> BTreeMap<String, Value> {
    let mut table = BTreeMap::new();
    for record in current {
        let key = record["key"].as_str().unwrap();
        match record["value"].is_null() {
            true => drop(table.remove(key)),
            false => drop(table.insert(key, plain(&record["value"]))),
        }
    }
    assert!(current.iter().any(|record| record["value"].is_null()), "no tombstone");
    table.into_values().collect()
}

#[test]
fn confluents_reader_reads_the_bars_unchanged() {
    let (Some(kafka), Some(registry)) = (broker(), registry()) else { return };
    let Some(python) = peers::python("confluent_kafka.schema_registry.avro") else { return };
    let folder = tempfile::tempdir().unwrap();
    let trades = trades(folder.path());
    let topic = unique("confluent");
    let config = folder.path().join("kafka.toml");
    fs::write(&config, "[kafka]\npartitions = 3\n").unwrap();
    let file = trades.file.to_str().unwrap();
    let mut arguments = vec!["replay", file, "--bar", BAR, "--sink", "kafka", "--current"];
    arguments.extend(["--config", config.to_str().unwrap(), "--key", "json"]);
    arguments.extend(["--create-topics", "--brokers", &kafka.plain, "--topic", &topic]);
    arguments.extend(["--corrections", &trades.corrections, "--commit-interval", "50ms"]);
    arguments.extend(confluent(&registry.url, "auto"));
    succeed(&arguments);

    let text = fs::read_to_string(&trades.bars).unwrap();
    let bar = |line| plain(&serde_json::from_str(line).unwrap());
    let expected: BTreeMap<String, Value> = text.lines().map(bar).collect();
    let current = format!("{topic}.current");
    let read = |topic: &str| {
        assert_eq!(registry.versions(&format!("{topic}-value")), 1);
        as_confluent(&python, &kafka.plain, &registry.url, topic)
    };
    let series = read(&topic);
    assert!(series.len() > expected.len(), "nothing was retracted");
    assert!(standing(&series) == expected);
    assert!(table(&read(&current)) == expected);

    // Our own readers, with the registry and without.
    let right = trades.right.to_str().unwrap();
    let place = format!("kafka://{}/{topic}", kafka.plain);
    let same = ["diff", trades.bars.to_str().unwrap(), &place];
    let instrument = ["--instrument", "binance:spot:BTCUSDT", "--bar", BAR];
    let verify = ["verify", right, "--brokers", &kafka.plain, "--topic", &topic];
    let with = ["--schema-registry", &registry.url];
    for with in [&with[..], &[]] {
        succeed(&[&same[..], with].concat());
        succeed(&[&verify[..], &instrument, with].concat());
    }
    let (code, said) = run(&[&same[..], &["--schema-registry", "http://127.0.0.1:1"]].concat());
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("schema registry at \"http://127.0.0.1:1\""), "{said}");
}

#[test]
fn a_schema_that_is_not_there_or_does_not_fit_ends_the_run_before_anything_is_written() {
    let (Some(kafka), Some(registry)) = (broker(), registry()) else { return };
    let job = |name: &str, register: &str| {
        let job = Job::new(&kafka.plain, name).quick();
        job.with(&confluent(&registry.url, register))
    };
    let missing = job("unregistered", "check");
    let (code, said) = missing.run(&[]);
    assert_eq!(code, Some(3), "{said}");
    let subject = format!("{}-value", missing.topic);
    for words in [&registry.url, &subject, "there is no such subject", "--schema-register auto"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!kafka::exists(&kafka.plain, &missing.topic));
    assert_eq!(registry.versions(&subject), 0, "check registers nothing");
    // As an administrator does.
    registry.register(&subject, avro::registered());
    for register in ["never", "check", "auto"] {
        let (code, said) = job("registered", register).on(&missing.topic).run(&[]);
        assert_eq!(code, Some(0), "{register}: {said}");
    }
    assert_eq!(registry.versions(&subject), 1);

    let unfit = job("unfit", "auto");
    let subject = format!("{}-value", unfit.topic);
    registry.register(
        &subject,
        r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"int"}]}"#,
    );
    registry.demand_compatibility(&subject);
    for register in ["never", "check", "auto"] {
        let (code, said) = job("unfit", register).on(&unfit.topic).run(&[]);
        assert_eq!(code, Some(3), "{register}: {said}");
        let words = match register {
            "never" => "the subject has other schemas",
            "check" => "it is not compatible with the newest version there",
            _ => "is not compatible with the newest version of subject",
        };
        assert!(said.contains(words), "{register}: {said}");
        assert_eq!(registry.versions(&subject), 1, "{said}");
    }
    assert!(!kafka::exists(&kafka.plain, &unfit.topic));
}

#[test]
fn a_former_version_of_ours_is_followed_by_this_one() {
    let (Some(kafka), Some(registry)) = (broker(), registry()) else { return };
    let job = Job::new(&kafka.plain, "upgrade").quick();
    let subject = format!("{}-value", job.topic);
    registry.demand_compatibility(&subject);
    registry.register(&subject, avro::FORMER[2]);
    let (code, said) = job.with(&confluent(&registry.url, "auto")).run(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(registry.versions(&subject), 2);
}

/// Not all of these are schemas: what parses Avro schemas overflows its stack with the first one, asks for all
/// memory or panics.
const MALICE: [&str; 5] = [
    r#"{"type":"record","name":"R","fields":[
        {"name":"x","type":{"type":"record","name":"A","fields":[]}},
        {"name":"y","type":{"type":"record","name":"A","fields":[{"name":"f","type":"A","default":{}}]}},
        {"name":"z","type":"A","default":{}}]}"#,
    r#"{"type":"array","items":"int","size":"x"}"#,
    r#"{"type":"fixed","name":"f","size":18446744073709551615}"#,
    r#"{"type":"array","items":"int","fields":5}"#,
    "[[[[[[",
];

#[test]
fn a_registry_that_means_harm_is_told_that_its_schema_is_none_of_barflows() {
    let Some(kafka) = broker() else { return };
    let serve = |schema: &str| {
        let answer = serde_json::json!({ "id": 7, "schema": schema }).to_string();
        let server = Http::serve(move |_, stream| whole(stream, "200 OK", answer.as_bytes()));
        format!("http://{}", server.address)
    };
    let job = Job::new(&kafka.plain, "malice").quick().with(&confluent(&serve(""), "never"));
    let (code, said) = job.run(&[]);
    assert_eq!(code, Some(0), "{said}");
    let place = format!("kafka://{}/{}", kafka.plain, job.topic);
    let diff = |schema: &str| run(&["diff", &place, &place, "--schema-registry", &serve(schema)]);
    for schema in MALICE {
        let (code, said) = diff(schema);
        assert_eq!(code, Some(2), "{schema}: {said}");
        assert!(said.contains("not a bar: schema 7 is not one of barflow's"), "{schema}: {said}");
    }
    let (code, said) = diff(avro::registered());
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn the_registry_may_be_away_once_the_run_has_begun() {
    let (Some(kafka), Some(registry)) = (broker(), registry()) else { return };
    let way = Way::to(registry);
    let job = Job::new(&kafka.plain, "without").with(&confluent(&way.url, "auto"));
    let running = job.start();
    kafka::wait_until(&kafka.plain, &job.topic, 10);
    way.set_open(false);
    let attempts = way.attempts();
    let (code, said) = running.finish();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(way.attempts(), attempts, "it was asked again");
    let bars = read(&kafka.plain, &job.topic);
    assert!(bars.iter().all(|bar| bar.value[0] == 0));
    let progress = read(&kafka.plain, &format!("{}.progress", job.topic));
    assert!(!progress.is_empty() && progress.iter().all(|record| record.value[0] == b'{'));
}

#[test]
fn a_new_topic_of_a_reload_needs_the_registry_and_what_runs_does_not() {
    let (Some(kafka), Some(registry)) = (broker(), registry()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some((_, day)) = two_days(folder.path(), 12_000) else { return };
    let way = Way::to(registry);
    let simulator = Simulator::start(
        &["--protocol", "binance-spot", "--rate", "250", "--copies", "2"],
        &[&day],
    );
    let topic = unique("reload");
    let config = folder.path().join("live.toml");
    let write = |instruments: &str| {
        let text = format!(
            "[feeds.f]\nvenue = \"binance-spot\"\ninstruments = [{instruments}]\n\
             [bars.t]\nkind = \"tick\"\nsize = 20\n\
             [sink]\nkind = \"kafka\"\njob = \"{topic}\"\n\
             [kafka]\nbrokers = \"{}\"\ntopic = \"{topic}.{{symbol}}\"\ncreate_topics = true\n\
             encoding = \"avro-confluent\"\nschema_registry = \"{}\"\nschema_register = \"auto\"\n",
            kafka.plain, way.url
        );
        fs::write(&config, text).unwrap();
    };
    write("\"XBTUSD\"");
    let mut live = listen(&["--config", config.to_str().unwrap(), "--at", &simulator.address]);
    let (first, second) = (format!("{topic}.XBTUSD"), format!("{topic}.XBTUSD2"));
    let has = |topic: &str, bars: usize| kafka::committed(&kafka.plain, topic) >= bars;
    wait_until("bars of the first", || has(&first, 3));
    way.set_open(false);
    write("\"XBTUSD\", \"XBTUSD2\"");
    live.signal("HUP");
    live.wait_until_it_says("the new configuration was rejected: its topics need a schema");
    let before = kafka::committed(&kafka.plain, &first);
    wait_until("more bars of the first", || has(&first, before + 5));
    assert!(!kafka::exists(&kafka.plain, &second));
    way.set_open(true);
    live.signal("HUP");
    wait_until("bars of the second", || has(&second, 3));
    let (code, _, said) = live.stop();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(registry.versions(&format!("{second}-value")), 1);
    for topic in [&first, &second] {
        assert!(read(&kafka.plain, topic).iter().all(|bar| bar.value[0] == 0));
    }
}
