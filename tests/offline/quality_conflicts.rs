//! Rows of one id that contradict each other, as `barflow quality` reports them.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::support::process::barflow;
use crate::support::spoiled::{Row, days, write};

/// The row that is read again, from 0.
const ROW: usize = 500;

/// Judges a day whose row [`ROW`] comes again at `at`, altered.
fn judged(folder: &Path, at: usize, alter: impl Fn(&mut Row), more: &[&str]) -> (Output, String) {
    let mut all = days(1, 5_000);
    let mut again = all[0][ROW].clone();
    alter(&mut again);
    all[0].insert(at, again);
    let files = write(folder, &all);
    let html = folder.join("quality.html");
    let output = barflow()
        .arg("quality")
        .args(&files)
        .args(["--json", "-", "--html"])
        .arg(&html)
        .args(more)
        .output()
        .unwrap();
    (output, fs::read_to_string(html).unwrap())
}

fn found(output: &Output, name: &str) -> Value {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let all = report["instruments"][0]["expectations"].as_array().unwrap();
    all.iter().find(|e| e["expectation"] == name).cloned().unwrap_or_default()
}

#[test]
fn a_conflict_is_its_own_finding_with_both_rows_and_what_differs() {
    let price = |row: &mut Row| row[1] = "1.5".to_owned();
    let qty = |row: &mut Row| row[2] = "777".to_owned();
    let time = |row: &mut Row| row[4] = (row[4].parse::<i64>().unwrap() + 1).to_string();
    let side = |row: &mut Row| {
        row[5] = if row[5].eq_ignore_ascii_case("true") { "False" } else { "True" }.to_owned();
    };
    type Alter<'a> = &'a dyn Fn(&mut Row);
    let cases: [(&str, Alter<'_>); 4] =
        [("price ", &price), ("qty ", &qty), ("time ", &time), ("side ", &side)];
    // Right behind, and in another batch.
    for (at, (field, alter)) in [ROW + 1, 4_000, ROW + 1, 4_000].into_iter().zip(cases) {
        let folder = tempfile::tempdir().unwrap();
        let (output, html) = judged(folder.path(), at, alter, &[]);
        assert_eq!(output.status.code(), Some(1), "{field}");
        assert_eq!(found(&output, "no_duplicate_ids")["offenders"], 0, "{field}");
        let conflict = found(&output, "no_conflicting_ids");
        assert_eq!((&conflict["offenders"], &conflict["verdict"]), (&1.into(), &"broken".into()));
        let example = &conflict["examples"][0];
        let value = example["value"].as_str().unwrap();
        assert!(value.starts_with(field), "{value}");
        let (line, other) = (&example["line"], &example["other_line"]);
        assert_eq!((line, other), (&(at as u64 + 1).into(), &(ROW as u64 + 1).into()), "{value}");
        assert_eq!(example["source"], example["other_source"]);
        let both = format!(".csv:{}", ROW + 1);
        assert!(value.contains(&both), "{value}");
        assert!(
            html.contains("no two rows of one trade id differ") && html.contains(&both),
            "{html}"
        );
    }
}

#[test]
fn the_same_row_again_is_a_duplicate_and_no_conflict() {
    let folder = tempfile::tempdir().unwrap();
    let (output, _) = judged(folder.path(), 4_000, |_| (), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(found(&output, "no_duplicate_ids")["offenders"], 1);
    assert_eq!(found(&output, "no_conflicting_ids")["offenders"], 0);
}

#[test]
fn a_suite_that_only_knows_duplicates_loses_no_conflict() {
    let folder = tempfile::tempdir().unwrap();
    let suite = folder.path().join("suite.toml");
    fs::write(&suite, "[expect.no_duplicate_ids]\nseverity = \"fail\"\n").unwrap();
    let suite = suite.display().to_string();
    let price = |row: &mut Row| row[1] = "1.5".to_owned();
    let (output, _) = judged(folder.path(), 4_000, price, &["--suite", &suite]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(found(&output, "no_duplicate_ids")["offenders"], 1);
}

#[test]
fn a_conflict_is_said_in_a_line_of_text() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = days(1, 5_000);
    let mut again = all[0][ROW].clone();
    again[1] = "1.5".to_owned();
    all[0].insert(ROW + 1, again);
    let files = write(folder.path(), &all);
    let output = barflow().arg("quality").args(&files).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.contains("no_conflicting_ids")).unwrap();
    for words in ["price ", " and 1.5", ".csv:501", ".csv:502"] {
        assert!(line.contains(words), "{line}");
    }
}
