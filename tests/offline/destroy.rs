//! Outputs destroy nothing: no input, no other output, nothing that another run or another program wrote.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::archives::{self, day_rows, days};
use crate::support::process::barflow;

/// Runs in a folder; exit code and standard error.
fn run(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = barflow().current_dir(folder).args(arguments).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// Expects this exit code and these words.
fn expect(folder: &Path, code: i32, words: &str, arguments: &[&str]) -> String {
    let (found, told) = run(folder, arguments);
    assert_eq!(found, code, "{arguments:?}: {told}");
    assert!(told.contains(words), "{arguments:?}: {words:?} in {told}");
    told
}

/// All files below a folder, with their bytes.
fn content(folder: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            let below = content(&entry.path());
            found.extend(below.into_iter().map(|(file, bytes)| (format!("{name}/{file}"), bytes)));
        } else {
            found.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    found
}

const BAR: [&str; 2] = ["--bar", "t=tick,size=10"];
const DAY: &str = "BTCUSDT-trades-2024-03-01.csv";

/// A day as CSV.
fn day(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(DAY), day_rows(1, 200).join("\n") + "\n").unwrap();
}

#[test]
fn no_output_is_an_input_by_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    day(at);
    fs::hard_link(at.join(DAY), at.join("hard")).unwrap();
    symlink(DAY, at.join("soft")).unwrap();
    fs::create_dir(at.join("sub")).unwrap();
    let before = content(at);
    for path in [
        DAY,
        "./BTCUSDT-trades-2024-03-01.csv",
        "sub/../BTCUSDT-trades-2024-03-01.csv",
        "hard",
        "soft",
    ] {
        for input in [DAY, "*.csv", "."] {
            for option in ["--out", "--quarantine", "--daily"] {
                let arguments = [&["replay", input, option, path], &BAR[..]].concat();
                expect(at, 2, "", &arguments);
            }
            for option in ["--json", "--html", "--quarantine"] {
                expect(at, 2, "", &["quality", input, option, path]);
            }
        }
        expect(at, 2, "it is an input", &["replay", DAY, "--out", path, "--sink", "jsonl"]);
        expect(
            at,
            2,
            "it is an input",
            &["replay", DAY, "--out", path, "--delivery", "exactly-once"],
        );
        expect(at, 2, "it is an input", &["sync-report", DAY, "--plot", path, BAR[0], BAR[1]]);
    }
    assert!(content(at) == before);
    // Its own journal is an input as little as the file.
    fs::rename(at.join(DAY), at.join("bars.journal")).unwrap();
    let exactly = [
        "replay",
        "bars.journal",
        "--instrument",
        "a:b:c",
        "--out",
        "bars",
        "--delivery",
        "exactly-once",
    ];
    expect(at, 2, "it is an input", &exactly);
}

#[test]
fn no_file_has_two_uses_and_none_is_laid_where_the_next_run_reads() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    day(&at.join("in"));
    let before = content(at);
    let with = |more: &[&'static str]| [&["replay", "in"], &BAR[..], more].concat();
    expect(
        at,
        2,
        "--quarantine writes the same file",
        &with(&["--quarantine", "x", "--daily", "x"]),
    );
    expect(at, 2, "writes the same file", &with(&["--quarantine", "x", "--out", "./x"]));
    expect(at, 2, "next run would read it", &with(&["--out", "in/bars.csv"]));
    expect(at, 2, "next run would read it", &with(&["--sink", "parquet", "--out", "in/bars"]));
    expect(at, 2, "next run would read it", &with(&["--sink-trades", "in"]));
    expect(
        at,
        2,
        "next run would read it",
        &["sweep", "in", "--grid", "kind=tick", "--grid", "size=10,20", "--out", "in/s"],
    );
    expect(at, 2, "it is a folder", &with(&["--out", "in"]));
    expect(at, 2, "not a regular file", &with(&["--out", "/dev/null"]));
    fs::write(at.join("file"), "").unwrap();
    expect(at, 2, "not a folder", &with(&["--sink", "parquet", "--out", "file"]));
    fs::remove_file(at.join("file")).unwrap();
    assert!(content(at) == before);
}

#[test]
fn only_what_an_earlier_run_wrote_is_replaced_and_it_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    day(at);
    let to =
        |more: &[&'static str]| [&["replay", DAY, "--out", "bars.jsonl"], &BAR[..], more].concat();
    let told = expect(at, 0, "", &to(&[]));
    assert!(!told.contains("replaced"), "{told}");
    let bars = content(at);
    expect(at, 0, "bars.jsonl of an earlier run is replaced", &to(&[]));
    expect(at, 2, "--no-clobber", &to(&["--no-clobber"]));
    let config = "[replay]\nreplace = false\n";
    fs::write(at.join("keep.toml"), config).unwrap();
    expect(at, 2, "--no-clobber", &to(&["--config", "keep.toml"]));
    fs::remove_file(at.join("keep.toml")).unwrap();
    assert!(content(at) == bars);
    for foreign in ["thesis.tex", "other.zip"] {
        fs::write(at.join(foreign), "precious\n").unwrap();
        for option in ["--out", "--daily", "--quarantine"] {
            let arguments = [&["replay", DAY, option, foreign], &BAR[..]].concat();
            expect(at, 2, "of another kind", &arguments);
        }
        for option in ["--json", "--html", "--quarantine"] {
            expect(at, 2, "of another kind", &["quality", DAY, option, foreign]);
        }
        assert_eq!(fs::read_to_string(at.join(foreign)).unwrap(), "precious\n");
    }
}

#[test]
fn bad_rows_of_an_earlier_run_stay() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    day(at);
    let mut rows = day_rows(2, 200);
    rows[20] = "1220,-5,1,1,1,True,True".to_owned();
    archives::write(at, "BTCUSDT-trades-2024-03-02", &rows);
    let bad =
        ["replay", "BTCUSDT-trades-2024-03-02.zip", "--sink", "none", "--quarantine", "bad.jsonl"];
    expect(at, 1, "", &bad);
    let first = fs::read_to_string(at.join("bad.jsonl")).unwrap();
    assert!(!first.is_empty());
    expect(at, 0, "", &["replay", DAY, "--sink", "none", "--quarantine", "bad.jsonl"]);
    assert_eq!(fs::read_to_string(at.join("bad.jsonl")).unwrap(), first);
    expect(at, 1, "", &bad);
    assert_eq!(fs::read_to_string(at.join("bad.jsonl")).unwrap(), first.repeat(2));
}

#[test]
fn a_folder_never_holds_two_runs_or_what_is_not_ours() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    days(at, 1..=1, 300);
    let day = "BTCUSDT-trades-2024-03-01.zip";
    let parquet = |bars: &[&'static str]| {
        let mut arguments = vec!["replay", day, "--sink", "parquet", "--out", "bars"];
        bars.iter().for_each(|bar| arguments.extend(["--bar", bar]));
        arguments
    };
    expect(at, 0, "", &parquet(&["a=tick,size=10", "b=tick,size=20"]));
    let two = content(&at.join("bars"));
    assert_eq!(two.len(), 2);
    // The second bars would stay beside the first.
    expect(at, 2, "of another run", &parquet(&["a=tick,size=10"]));
    assert!(content(&at.join("bars")) == two);
    // A file whose bars this run does not make goes with the others.
    expect(
        at,
        0,
        "of an earlier run is replaced",
        &parquet(&["a=tick,size=30", "b=tick,size=1000"]),
    );
    let one = content(&at.join("bars"));
    assert_eq!(one.keys().collect::<Vec<_>>(), ["binance-spot-BTCUSDT.a.parquet"]);
    fs::write(at.join("bars/notes.txt"), "mine").unwrap();
    expect(at, 2, "notes.txt", &parquet(&["a=tick,size=30"]));
    fs::remove_file(at.join("bars/notes.txt")).unwrap();

    let keep = ["replay", day, "--sink", "none", "--sink-trades", "kept"];
    expect(at, 0, "", &keep);
    let kept = content(&at.join("kept"));
    expect(at, 0, "of an earlier run is replaced", &keep);
    assert!(content(&at.join("kept")) == kept);
    // A run that fails leaves the trades of the earlier one.
    let mut rows = day_rows(1, 300);
    rows[250] = "1250,-5,1,1,1,True,True".to_owned();
    archives::write(at, "BTCUSDT-trades-2024-03-01", &rows);
    expect(at, 1, "", &keep);
    assert!(content(&at.join("kept")) == kept);
    let itself = "kept/binance-spot-BTCUSDT.trades.parquet";
    expect(at, 2, "an input", &["replay", itself, "--sink", "none", "--sink-trades", "kept"]);
    assert!(content(&at.join("kept")) == kept);
}

#[test]
fn a_folder_of_sweeps_is_of_one_grid() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    days(at, 1..=1, 2000);
    let sweep = |sizes: &'static str, bars: &'static str| {
        [
            "sweep",
            "BTCUSDT-trades-2024-03-01.zip",
            "--grid",
            "kind=tick",
            "--grid",
            sizes,
            "--bars",
            bars,
        ]
    };
    expect(at, 0, "", &sweep("size=10,20,40", "2"));
    let first = content(&at.join("sweep"));
    expect(at, 2, "another grid", &sweep("size=11,20,40", "1"));
    assert!(content(&at.join("sweep")) == first);
    expect(at, 0, "are replaced", &sweep("size=10,20,40", "1"));
    let bars = content(&at.join("sweep/bars"));
    assert_eq!(bars.len(), 1, "{:?}", bars.keys());
    fs::create_dir(at.join("other")).unwrap();
    fs::write(at.join("other/summary.parquet"), "x").unwrap();
    let mut to_other = sweep("size=10,20,40", "1").to_vec();
    to_other.extend(["--out", "other"]);
    expect(at, 2, "nothing says of which sweep", &to_other);
}
