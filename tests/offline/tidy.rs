//! What holds the house in order: which module may use which, no circles between files, files and
//! functions of a size to be read at once, documents that name what is there, plain words.
//!
//! There are no exceptions.

mod docs;
mod rust;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rust::{Source, circles, files, imports};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Where each crate is, where its code is, and which crates of this workspace it may use.
const CRATES: [(&str, &str, &[&str]); 5] = [
    ("operators", "operators/src", &[]),
    ("replay", "replay/src", &["barflow-operators"]),
    ("server", "server/src", &[]),
    ("simulator", "simulator/src", &["barflow-operators", "barflow-replay", "barflow-server"]),
    (".", "src", &["barflow-operators", "barflow-replay", "barflow-server", "barflow-simulator"]),
];

/// The modules of `src/`, the lowest first: each may use those of the rows above it.
const LAYERS: [&[&str]; 12] = [
    &[
        "backoff",
        "bounded",
        "budget",
        "fault_points",
        "memory",
        "secrets",
        "standard_output",
        "stop",
        "thousands",
    ],
    &["net", "printable"],
    &["plot", "registry", "telemetry"],
    &["graph"],
    &["checkpoints"],
    &["recording", "sinks"],
    &["archive", "compare", "feeds", "parallel", "schema"],
    &["config"],
    &["quality", "sweep"],
    &["job"],
    &["cli"],
    &["lib", "main"],
];

/// Most lines of a file and of a function.
const FILE: usize = 500;
const FUNCTION: usize = 70;

/// Words that make a reader stop, and what to write instead: nowhere in comments, texts and documents.
const WORDS: [(&str, &str); 9] = [
    ("otherwise than", "differently from"),
    ("lawful", "valid"),
    ("for ever", "always, from then on"),
    ("gone on with", "resumed"),
    ("goes on", "continues"),
    ("go on", "continue"),
    ("asked of", "requested from"),
    ("whoever", "a client, a user, a process"),
    ("mended", "corrected, re-sequenced"),
];

/// The same for documents alone.
const WORDS_OF_PAGES: [(&str, &str); 6] = [
    ("amid", "among, within"),
    ("anew", "again"),
    ("passed over", "skipped"),
    ("held against", "checked against"),
    ("others on the way", "someone on the network path"),
    ("turned round", "in reverse"),
];

fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(ROOT);
    let paths = files(root, folder, ".rs").into_iter();
    paths
        .filter(|path| !path.ends_with("/tests.rs"))
        .map(|path| Source::read(root, &path))
        .collect()
}

#[test]
fn crates_depend_downward() {
    for (folder, _, allowed) in CRATES {
        let manifest =
            std::fs::read_to_string(Path::new(ROOT).join(folder).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        let names = manifest["dependencies"].as_table().unwrap().keys();
        for name in names.filter(|name| name.starts_with("barflow")) {
            assert!(allowed.contains(&name.as_str()), "{folder} may not depend on {name}");
        }
    }
}

/// Else the check of the fuzz targets would make all dependencies again.
#[test]
fn fuzz_targets_are_checked_with_the_profile_of_the_engine() {
    let profile = |manifest: &str| {
        let manifest = std::fs::read_to_string(Path::new(ROOT).join(manifest)).unwrap();
        manifest.parse::<toml::Table>().unwrap()["profile"]["dev"].clone()
    };
    assert_eq!(profile("fuzz/Cargo.toml"), profile("Cargo.toml"));
}

#[test]
fn every_file_of_tests_is_part_of_a_program() {
    let programs = ["tests/offline", "tests/feeds", "tests/kafka", "tests/crash"];
    for folder in programs.into_iter().chain(["operators/tests", "replay/tests"]) {
        let main = std::fs::read_to_string(Path::new(ROOT).join(folder).join("main.rs")).unwrap();
        for path in files(Path::new(ROOT), folder, ".rs") {
            let name = path[folder.len() + 1..].trim_end_matches(".rs");
            let is_part =
                name == "main" || name.contains('/') || main.contains(&format!("mod {name};"));
            assert!(is_part, "{folder}/main.rs has no \"mod {name};\": {path} is not tested");
        }
    }
}

#[test]
fn modules_use_what_is_below_them() {
    let level = |module: &str| {
        let found = LAYERS.iter().position(|row| row.contains(&module));
        found.unwrap_or_else(|| panic!("src/{module} has no place in LAYERS"))
    };
    let module = |path: &str| {
        path.trim_start_matches("src/")
            .trim_end_matches(".rs")
            .split('/')
            .next()
            .unwrap()
            .to_owned()
    };
    let mut upward = BTreeSet::new();
    for (file, others) in imports(&sources("src")) {
        let from = module(&file);
        for to in others.iter().map(|other| module(other)).filter(|to| *to != from) {
            if level(&from) <= level(&to) {
                upward.insert((from.clone(), to));
            }
        }
    }
    assert!(upward.is_empty(), "these modules use one that is not below them: {upward:#?}");
}

#[test]
fn files_do_not_use_each_other_in_circles() {
    let found = CRATES.iter().flat_map(|(_, folder, _)| circles(&imports(&sources(folder))));
    let found: Vec<BTreeSet<String>> = found.collect();
    assert!(found.is_empty(), "these files use each other: {found:#?}");
}

#[test]
fn files_and_functions_can_be_read_at_once() {
    let mut long = BTreeSet::new();
    let folders = CRATES.iter().map(|(_, folder, _)| *folder);
    let others = ["tests", "operators/tests", "replay/tests", "benches", "fuzz", "examples"];
    for source in folders.chain(others).flat_map(sources) {
        let lines = source.code.lines().count();
        assert!(lines <= FILE, "{}: {lines} lines, more than {FILE}", source.path);
        for (name, lines) in source.functions() {
            if lines > FUNCTION {
                long.insert((source.path.clone(), name.to_owned()));
            }
        }
    }
    assert!(long.is_empty(), "functions of more than {FUNCTION} lines: {long:#?}");
}

#[test]
fn what_is_printed_goes_through_the_functions_that_escape_it() {
    let folders = CRATES.iter().flat_map(|(_, folder, _)| sources(folder));
    let prints = |source: &Source| {
        let words = ["println!", "eprintln!", "print!", "eprint!", "dbg!"];
        words.iter().any(|word| docs::has_word(&source.code, word))
    };
    let found: Vec<String> = folders.filter(prints).map(|source| source.path).collect();
    assert_eq!(found, [""; 0], "use say! or show! (src/cli/say.rs)");
}

#[test]
fn words_are_plain() {
    let mut found = BTreeMap::new();
    let mut look = |path: &str, text: &str, words: &[(&str, &'static str)]| {
        for (line, number) in text.lines().zip(1..) {
            let line = line.to_lowercase();
            for (word, better) in words.iter().filter(|(word, _)| docs::has_word(&line, word)) {
                found.insert(format!("{path}:{number}: \"{word}\""), *better);
            }
        }
    };
    for source in CRATES.iter().flat_map(|(_, folder, _)| sources(folder)) {
        look(&source.path, &source.prose, &WORDS);
    }
    for (path, text) in docs::pages() {
        look(&path, &text, &WORDS);
        look(&path, &text, &WORDS_OF_PAGES);
    }
    assert!(found.is_empty(), "{found:#?}");
}
