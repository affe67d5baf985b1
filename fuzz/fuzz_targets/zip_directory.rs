//! Any bytes as a zip archive, of which the directory is read.
#![no_main]

use std::io::Cursor;
use std::path::Path;

use barflow_replay::members;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok((archive, members)) = members::open(Path::new("a.zip"), Cursor::new(bytes)) else {
        return;
    };
    assert!(!members.read.is_empty(), "an archive without trades is refused");
    let found = members.read.len() + members.passed_over.len();
    assert!(found <= archive.len(), "{found} members of {}", archive.len());
    let mut names: Vec<&str> = members.read.iter().map(|(_, name)| name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), members.read.len(), "a name stands for one member");
});
