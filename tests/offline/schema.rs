//! What `barflow schema` prints, read by those it is for.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::archives::{self, MARCH};
use crate::support::peers::python;
use crate::support::process::{barflow, output};

/// Standard error.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn printed(arguments: &[&str]) -> String {
    let done = output(&[&["schema"], arguments].concat(), None);
    assert!(done.status.success(), "{}", said(&done));
    String::from_utf8(done.stdout).unwrap()
}

/// Bars as JSON lines and as Parquet, of which a correction has withdrawn some.
fn bars(folder: &Path) -> Vec<Value> {
    let done = |command: &mut Command| {
        let output = command.current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    };
    let rows = archives::rows(5, 4000, MARCH, 10_000);
    let file = archives::write(folder, "BTCUSDT-trades-2024-03-01", &rows);
    let id = |at: usize| rows[at].split(',').next().unwrap();
    let corrections = format!("action,trade_id,known_after\nremove,{},{}\n", id(50), id(3000));
    fs::write(folder.join("corrections.csv"), corrections).unwrap();
    for (sink, out) in [("jsonl", "bars.jsonl"), ("parquet", "bars")] {
        done(
            barflow()
                .arg("replay")
                .arg(&file)
                .args(["--bar", "t=tick,size=100", "--corrections", "corrections.csv"])
                .args(["--sink", sink, "--out", out]),
        );
    }
    let lines = fs::read_to_string(folder.join("bars.jsonl")).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Applies retractions as documented.
fn current(bars: &[Value]) -> Vec<(String, i64, String)> {
    let mut left = std::collections::BTreeMap::new();
    for bar in bars {
        let id = bar["bar_id"].as_str().unwrap().to_owned();
        match bar["retracts"].as_bool().unwrap() {
            true => left.remove(&id),
            false => left.insert(id, bar),
        };
    }
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let row = |(id, bar): (String, &Value)| {
        (id, bar["known_time"].as_i64().unwrap(), text(&bar["state_digest"]))
    };
    left.into_iter().map(row).collect()
}

fn run_python(python: &Path, folder: &Path, script: &str) -> Vec<(String, i64, String)> {
    let done = Command::new(python).current_dir(folder).args(["-c", script]).output().unwrap();
    assert!(done.status.success(), "{}", said(&done));
    serde_json::from_slice(&done.stdout).unwrap()
}

#[test]
fn duckdb_reads_json_lines_without_losing_a_digit_and_applies_retractions() {
    let Some(python) = python("duckdb") else { return };
    let folder = tempfile::tempdir().unwrap();
    let bars = bars(folder.path());
    assert!(bars.iter().any(|bar| bar["retracts"] == true), "no correction took effect");
    fs::write(folder.path().join("bars.sql"), printed(&["duckdb"])).unwrap();
    let script = "
import duckdb, json
duckdb.execute(open('bars.sql').read())
rows = duckdb.sql('select bar_id, epoch_ns(known_time), state_digest from current_bars order by bar_id').fetchall()
print(json.dumps(rows))
";
    assert_eq!(run_python(&python, folder.path(), script), current(&bars));
    // The same view over Parquet: the lines that are comments for those who have JSON lines.
    let script = "
import duckdb, json
text = open('bars.sql').read()
lines = [line[3:] for line in text.splitlines() if line.startswith(('-- CREATE', '-- SELECT'))]
view = text[text.index('CREATE OR REPLACE VIEW current_bars'):]
duckdb.execute(chr(10).join(lines)); duckdb.execute(view)
rows = duckdb.sql('select bar_id, epoch_ns(known_time), state_digest from current_bars order by bar_id').fetchall()
print(json.dumps(rows))
";
    assert_eq!(run_python(&python, folder.path(), script), current(&bars));
}

/// The recipe of docs/readers.md, as it stands there.
#[test]
fn polars_and_pandas_read_as_the_page_says() {
    let Some(python) = python("duckdb") else { return };
    let folder = tempfile::tempdir().unwrap();
    let bars = bars(folder.path());
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/readers.md");
    let page = fs::read_to_string(page).unwrap();
    let recipe = page.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let polars = format!(
        "{recipe}
rows = current.sort('bar_id').select('bar_id', pl.col('known_time').dt.epoch('ns'), 'state_digest').rows()
print(json.dumps(rows))
"
    );
    assert_eq!(run_python(&python, folder.path(), &polars), current(&bars));
    let pandas = format!(
        "{recipe}
rows = [[i, int(t.value), d] for i, t, d in zip(frame.bar_id, frame.known_time, frame.state_digest)]
print(json.dumps(rows))
"
    );
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all: Vec<_> = bars
        .iter()
        .map(|bar| {
            (text(&bar["bar_id"]), bar["known_time"].as_i64().unwrap(), text(&bar["state_digest"]))
        })
        .collect();
    assert_eq!(run_python(&python, folder.path(), &pandas), all);
}

#[test]
fn a_bar_is_valid_by_the_json_schema() {
    let folder = tempfile::tempdir().unwrap();
    let bars = bars(folder.path());
    let schema: Value = serde_json::from_str(&printed(&["json-schema"])).unwrap();
    let fits = |kind: &Value, value: &Value| match kind.as_str().unwrap() {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{other}"),
    };
    for bar in bars {
        let bar = bar.as_object().unwrap();
        assert_eq!(bar.len(), schema["properties"].as_object().unwrap().len());
        for (name, value) in bar {
            let kind = &schema["properties"][name]["type"];
            let kinds = kind.as_array().cloned().unwrap_or_else(|| vec![kind.clone()]);
            assert!(kinds.iter().any(|kind| fits(kind, value)), "{name}: {value} is not {kind}");
        }
    }
}

#[test]
fn keys_that_are_json_are_read_as_the_run_that_writes_them_says() {
    let text = printed(&["flink", "--current", "--key", "json"]);
    assert!(text.contains("PRIMARY KEY (`instrument`, `spec`, `last_trade_id`)"), "{text}");
    assert_eq!(printed(&["flink", "--key", "json"]), printed(&["flink"]), "no key columns there");
}

#[test]
fn what_a_reader_cannot_read_is_refused_in_words() {
    for (arguments, expected) in [
        (&["flink", "--encoding", "avro"][..], "Flink does not read bars encoded as avro"),
        (&["clickhouse", "--current"], "does not apply the tombstones of bars.dib.current"),
        (&["flink", "--topic", "bars.{instrument}"], "another topic for each instrument"),
        (&["flink", "--topic", "a b/c"], "--topic"),
        (&["flink", "--schema-registry", "ftp://x"], "must be a URL with https:// or http://"),
        (&["clickhouse", "--brokers", "h:1\\'); DROP TABLE bars; --"], "--brokers"),
        (&["clickhouse", "--brokers", "h:1\\"], "brokers contains \"\\\""),
        (&["flink", "--brokers", "u:s3cret@h:1"], "brokers contains \"@\""),
        (&["flink", "--brokers", ""], "must be host:port"),
        (&["clickhouse", "--topic", "bars\\'x"], "--topic"),
        (&["flink", "--int64", "text"], "must be number or string"),
        (&["flink", "--key", "avro"], "must be text or json"),
        (&["spark"], "possible values: avro, json-schema, flink"),
    ] {
        let done = output(&[&["schema"], arguments].concat(), None);
        assert_eq!(done.status.code(), Some(2), "{arguments:?}");
        assert!(said(&done).contains(expected), "{}", said(&done));
        assert!(done.stdout.is_empty());
    }
}
