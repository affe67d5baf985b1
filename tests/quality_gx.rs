//! The same suite held against the same Parquet by Great Expectations.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{RecordBatch, UInt64Array};
use support::live::barflow;
use support::spoiled::{as_parquet, days, rewrite, write};

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
    let broken = broken.map(|e| e["expectation"].as_str().unwrap().to_owned()).collect();
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
    ([ours.status.code(), theirs.status.code()], [broken, said])
}

/// Gives the row `at` of the first batch the id of the row before it.
fn repeat_an_id(batch: RecordBatch) -> RecordBatch {
    let ids = batch.column_by_name("trade_id").unwrap().as_primitive::<UInt64Type>();
    let mut ids = ids.values().to_vec();
    if ids[0] == 1 {
        ids[100] = ids[99];
    }
    let mut columns = batch.columns().to_vec();
    columns[0] = Arc::new(UInt64Array::from(ids));
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

#[test]
fn great_expectations_agrees_on_a_good_file_and_on_a_spoiled_one() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let files = write(folder.path(), &days(1, 20_000));
    let good = as_parquet(&files, &folder.path().join("trades"));
    let (codes, broken) = both(&python, &good, folder.path());
    assert_eq!((codes, broken), ([Some(0); 2], [vec![], vec![]]));

    let spoiled = folder.path().join("spoiled.parquet");
    rewrite(&good, &spoiled, repeat_an_id);
    let (codes, [ours, theirs]) = both(&python, &spoiled, folder.path());
    assert_eq!(codes, [Some(1); 2]);
    // The id that was overwritten is missing as well.
    assert_eq!(ours, ["no_id_gaps", "no_duplicate_ids"]);
    assert_eq!(theirs, ["no_duplicate_ids", "no_id_gaps"]);
    fs::remove_dir_all(folder.path()).unwrap();
}
