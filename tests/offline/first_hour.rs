//! Typical mistakes of the first hour, and what the program says to them.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::process::{barflow, output};

/// Runs a command that must fail with 2; standard error.
fn refused(arguments: &[&str]) -> String {
    let output = output(arguments, None);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    said
}

#[test]
fn a_length_of_time_needs_a_unit() {
    let said = refused(&["replay", "x.csv", "--bar", "h=time,every=1"]);
    assert!(said.contains("every = \"1\": has no unit; write 1s, 1m or 1h"), "{said}");
    for every in ["0.5", "3600"] {
        let said = refused(&["replay", "x.csv", "--bar", &format!("h=time,every={every}")]);
        assert!(said.contains("has no unit"), "{said}");
    }
}

#[test]
fn a_bar_without_a_name_says_how_to_name_it() {
    let said = refused(&["replay", "x.csv", "--bar", "imbalance,target=1000"]);
    assert!(said.contains("NAME= is missing"), "{said}");
    assert!(said.contains("write imbalance=imbalance,target=1000"), "{said}");
}

#[test]
fn keys_and_lists_in_the_wrong_place_say_where_they_belong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    for (text, expected) in [
        ("brokers = \"h:1\"\n", "\"brokers\" must be in [kafka]"),
        ("out = \"x\"\n", "\"out\" must be in [sink]"),
        ("[[bars]]\nkind = \"tick\"\n", "write [bars.NAME], one section for each"),
    ] {
        fs::write(&file, text).unwrap();
        let said = refused(&["check", file.to_str().unwrap()]);
        assert!(said.contains(expected) && said.contains("c.toml:1"), "{said}");
    }
}

#[test]
fn brokers_have_no_scheme_and_no_password() {
    let kafka = ["replay", "x.csv", "--sink", "kafka", "--brokers"];
    let said = refused(&[&kafka[..], &["kafka://h:9092"]].concat());
    assert!(said.contains("must be host:port without kafka://, such as h:9092"), "{said}");
    let said = refused(&[&kafka[..], &["user:tiger@h:9092"]].concat());
    assert!(said.contains("sasl.username") && !said.contains("tiger"), "{said}");
}

#[test]
fn verify_asks_where_the_bars_are() {
    let said = refused(&["verify", "x.csv"]);
    assert!(said.contains("--against FILE") && said.contains("--brokers"), "{said}");
}

#[test]
fn advice_about_files_is_for_mistakes_in_files() {
    let said = refused(&["replay", "x.csv", "--bar", "h=time,every=soon"]);
    assert!(!said.contains("barflow check"), "{said}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    fs::write(&file, "[replay]\nworker = 2\n").unwrap();
    let said = refused(&["replay", "--config", file.to_str().unwrap()]);
    assert!(said.contains("barflow check"), "{said}");
}

#[test]
fn readers_that_close_the_pipe_end_a_command_quietly() {
    for arguments in [&["completions", "bash"][..], &["completions", "zsh"], &["help", "bars"]] {
        let mut command = barflow();
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let end = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&end.stderr).into_owned();
        assert_eq!((end.status.code(), said.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn the_demo_ends_with_a_table_and_a_line_of_prices() {
    let folder = tempfile::tempdir().unwrap();
    let mut command: Command = barflow();
    command.args(["demo", "--trades", "40000"]).current_dir(folder.path());
    let output = command.output().unwrap();
    let (shown, said) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(shown.contains("times in UTC") && shown.contains("2024-03-01"), "{shown}");
    assert!(shown.contains("closing prices, ") && shown.contains('█'), "{shown}");
    assert!(!shown.contains('{'), "no raw JSON: {shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    assert!(said.contains("1 file, 40,000 trades"), "{said}");
}
