//! The same suite held against the same Parquet by Great Expectations.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crate::support::process::barflow;
use crate::support::spoiled::{as_parquet, days, rewrite_as_another_program, write};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, TimestampNanosecondType, UInt64Type};
use arrow_array::{Array, Float64Array, RecordBatch, TimestampNanosecondArray, UInt64Array};

/// A Python that has Great Expectations; none where there is none.
fn python() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var_os("BARFLOW_PEERS_PYTHON")
        .map_or_else(|| root.join("target/peers/bin/python"), PathBuf::from);
    let asked = Command::new(&python).args(["-c", "import great_expectations"]).output();
    if asked.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    println!("SKIPPED: {} has no great_expectations", python.display());
    None
}

/// Exit codes and what is broken, by us and by them.
fn both(python: &Path, file: &Path, folder: &Path) -> ([Option<i32>; 2], [Vec<String>; 2]) {
    let suite = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/quality.toml");
    let exported = folder.join("suite.json");
    let status = barflow()
        .args(["quality", "--suite", suite, "--export-gx", exported.to_str().unwrap()])
        .arg(file)
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let ours =
        barflow().args(["quality", "--suite", suite, "--json", "-"]).arg(file).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&ours.stdout).unwrap();
    let expectations = report["instruments"][0]["expectations"].as_array().unwrap();
    let broken = expectations.iter().filter(|e| e["offenders"] != 0);
    let mut broken: Vec<String> =
        broken.map(|e| e["expectation"].as_str().unwrap().to_owned()).collect();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/quality/gx_check.py");
    let theirs = Command::new(python).arg(script).arg(&exported).arg(file).output().unwrap();
    let text = String::from_utf8(theirs.stdout).unwrap();
    assert!(text.lines().count() >= 15, "{text}{}", String::from_utf8_lossy(&theirs.stderr));
    assert!(!text.contains(" ERROR "), "{text}");
    let mut said: Vec<String> = text
        .lines()
        .filter(|line| line.contains(" BROKEN "))
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    said.sort();
    broken.sort();
    ([ours.status.code(), theirs.status.code()], [broken, said])
}

/// Repeats an id, moves a trade far ahead in time, and makes another larger than any.
fn spoil(batch: RecordBatch) -> RecordBatch {
    let schema = batch.schema();
    let mut columns = batch.columns().to_vec();
    let mut ids = columns[0].as_primitive::<UInt64Type>().values().to_vec();
    if ids.len() < 1000 {
        return batch;
    }
    ids[100] = ids[99];
    columns[0] = Arc::new(UInt64Array::from(ids));
    let at = schema.index_of("event_time").unwrap();
    let times = columns[at].as_primitive::<TimestampNanosecondType>();
    let mut moved = times.values().to_vec();
    moved[200] += 60_000_000_000;
    let moved = TimestampNanosecondArray::from(moved).with_data_type(times.data_type().clone());
    columns[at] = Arc::new(moved);
    let at = schema.index_of("qty").unwrap();
    let mut qtys = columns[at].as_primitive::<Float64Type>().values().to_vec();
    qtys[300] = 2e9;
    columns[at] = Arc::new(Float64Array::from(qtys));
    RecordBatch::try_new(schema, columns).unwrap()
}

#[test]
fn great_expectations_agrees_on_a_good_file_and_on_a_spoiled_one() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let files = write(folder.path(), &days(1, 20_000));
    let good = as_parquet(&files, &folder.path().join("trades"));
    let (codes, broken) = both(&python, &good, folder.path());
    assert_eq!((codes, broken), ([Some(0); 2], [vec![], vec![]]));

    fs::create_dir(folder.path().join("spoiled")).unwrap();
    let spoiled = folder.path().join("spoiled/BTCUSDT-trades-2024-03-01.parquet");
    rewrite_as_another_program(&good, &spoiled, spoil);
    let (codes, [ours, theirs]) = both(&python, &spoiled, folder.path());
    assert_eq!(codes, [Some(1); 2]);
    // The id that was overwritten is missing as well, and the row that has it now has other content than
    // the first one.
    assert_eq!(ours, ["no_conflicting_ids", "no_id_gaps", "qty_within", "time_monotone"]);
    // Which ids there should be is told by our own files only; and ids are all that is compared.
    assert_eq!(theirs, ["no_duplicate_ids", "qty_within", "time_monotone"]);
    fs::remove_dir_all(folder.path()).unwrap();
}
