//! `barflow verify` against files: nothing of an output passes unseen.

use std::fs;
use std::path::Path;

use crate::support::archives::days;
use crate::support::process::run;

/// Makes bars of both specifications, and returns their lines.
fn bars(folder: &Path) -> Vec<String> {
    days(folder, 1..=1, 200);
    let made = run(
        folder,
        &[
            "replay",
            "BTCUSDT-trades-2024-03-01.zip",
            "--bar",
            "a=tick,size=20",
            "--bar",
            "b=tick,size=50",
            "--out",
            "bars.jsonl",
        ],
    );
    assert_eq!(made.status.code(), Some(0), "{}", String::from_utf8_lossy(&made.stderr));
    let text = fs::read_to_string(folder.join("bars.jsonl")).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// Verifies these lines; exit code, standard output and error.
fn verify(folder: &Path, lines: &[String], more: &[&str]) -> (Option<i32>, String, String) {
    fs::write(folder.join("bars.jsonl"), lines.join("\n") + "\n").unwrap();
    let all = ["verify", "BTCUSDT-trades-2024-03-01.zip", "--against", "bars.jsonl"];
    let ran = run(folder, &[&all[..], more].concat());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (ran.status.code(), text(ran.stdout), text(ran.stderr))
}

const A: [&str; 2] = ["--bar", "a=tick,size=20"];

#[test]
fn bars_of_which_nothing_was_given_are_counted_in_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut lines = bars(folder);
    let (code, out, said) =
        verify(folder, &lines, &[&A[..], &["--bar", "b=tick,size=50"]].concat());
    assert_eq!(code, Some(0), "{out} {said}");
    assert!(!said.contains("not compared"), "{said}");
    let other = lines[0].replace("BTCUSDT", "ETHUSDT");
    lines.push(other);
    let (code, out, said) = verify(folder, &lines, &A);
    assert_eq!(code, Some(0), "{out} {said}");
    for note in [
        "note: binance:spot:BTCUSDT b: 4 bars of the output not compared: these trades",
        "note: binance:spot:ETHUSDT a: 1 bar of the output not compared: these trades",
    ] {
        assert!(said.contains(note), "{note}: {said}");
    }
    let (_, out, _) = verify(folder, &lines, &[&A[..], &["--json"]].concat());
    let line = r#"{"instrument":"binance:spot:BTCUSDT","not_compared":4,"spec":"b"}"#;
    assert!(out.lines().any(|printed| printed == line), "{out}");
}

#[test]
fn a_bar_that_says_another_time_from_which_it_is_known_differs() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut lines = bars(folder);
    lines.retain(|line| line.contains("\"spec\":\"a\""));
    let bar: serde_json::Value = serde_json::from_str(&lines[3]).unwrap();
    let known = bar["known_time"].as_i64().unwrap();
    let says = |time: i64| format!("\"known_time\":{time}");
    assert!(lines[3].contains(&says(known)), "{}", lines[3]);
    lines[3] = lines[3].replace(&says(known), &says(known + 1));
    let (code, out, said) = verify(folder, &lines, &A);
    assert_eq!(code, Some(1), "{out} {said}");
    assert!(out.contains("1 missing: bars 3") && out.contains("not made by these"), "{out}");
}
