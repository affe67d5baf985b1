//! `barflow verify`: an output against the bars that its trades make.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::days::synth;
use crate::support::kafka::{broker, unique};
use crate::support::process::barflow;

const BAR: &str = "dib=imbalance,target=50,alpha=0.01,warmup=100";

fn days(folder: &Path) -> Vec<PathBuf> {
    synth(folder, "--days 2 --trades 20000")
}

fn verify(files: &[PathBuf], more: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        barflow().arg("verify").args(files).args(["--bar", BAR]).args(more).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// The bars of the days as lines.
fn lines(files: &[PathBuf]) -> Vec<String> {
    let output = barflow().arg("replay").args(files).args(["--bar", BAR]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn what_is_wrong_with_a_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let files = days(folder.path());
    let whole = lines(&files);
    let path = folder.path().join("bars.jsonl");
    let judged = |lines: &[String]| {
        fs::write(&path, lines.join("\n")).unwrap();
        verify(&files, &["--against", path.to_str().unwrap()])
    };
    let (code, said, _) = judged(&whole);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("{0} of {0} bars equal", whole.len())), "{said}");

    let mut broken = whole.clone();
    broken.remove(7);
    broken.insert(20, broken[19].clone());
    let digest = broken[30].split("\"state_digest\":\"").nth(1).unwrap()[..16].to_owned();
    broken[30] = broken[30].replace(&digest, "0123456789abcdef");
    let (code, said, _) = judged(&broken);
    assert_eq!(code, Some(1));
    for wanted in
        ["2 missing: bars 7, 30", "1 repeated: bars 20", "1 not made by these trades: bars 30"]
    {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    // Only a price is another one.
    let mut other = whole.clone();
    let low = other[40].split("\"low\":").nth(1).unwrap().split(',').next().unwrap().to_owned();
    other[40] = other[40].replace(&format!("\"low\":{low}"), "\"low\":1.5");
    let (code, said, _) = judged(&other);
    assert_eq!(code, Some(1));
    assert!(said.contains("1 not made by these trades: bars 40"), "{said}");
    broken.swap(3, 4);
    assert!(judged(&broken).1.contains("1 out of order: bars 3"));
}

#[test]
fn a_topic_with_an_earlier_day_is_judged_from_where_both_agree() {
    let Some(kafka) = broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let files = days(folder.path());
    let topic = unique("verified");
    let place = ["--brokers", &kafka.plain, "--topic", &topic];
    let (code, _, said) = verify(&files, &place);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("the topic does not exist"), "{said}");
    let write = || {
        let written = barflow()
            .arg("replay")
            .args(&files)
            .args(["--bar", BAR, "--sink", "kafka", "--create-topics"])
            .args(place)
            .args(["--delivery", "at-least-once"])
            .output()
            .unwrap();
        assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    };
    write();
    let (code, said, _) = verify(&files, &place);
    assert_eq!(code, Some(0), "{said}");
    // The second day alone begins with another past.
    let (code, said, _) = verify(&files[1..], &place);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("depend on trades before these files"), "{said}");
    assert!(said.contains("bars of the output are outside these trades"), "{said}");
    // Other bars never agree, which is no proof of anything.
    let other = ["--bar", "dib=imbalance,target=70,alpha=0.01,warmup=100"];
    let judged = barflow().arg("verify").arg(&files[1]).args(other).args(place).output().unwrap();
    assert_eq!(judged.status.code(), Some(1));
    write();
    let (code, said, _) = verify(&files, &["--json", place[0], place[1], place[2], place[3]]);
    assert_eq!(code, Some(1));
    let audit: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(audit["repeated"].as_array().unwrap().len() as u64, audit["expected"], "{said}");
}
