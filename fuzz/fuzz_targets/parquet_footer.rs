//! Any bytes as a Parquet file: its footer, and what its first rows are.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use barflow_replay::sniff;
use barflow_replay::trades_parquet::facts::Facts;
use barflow_replay::trades_parquet::left_out::MOST;
use barflow_replay::trades_parquet::read::{Footer, is_own};
use libfuzzer_sys::fuzz_target;

/// One file per process: fuzzers run side by side.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    std::env::temp_dir().join(format!("barflow-fuzz-{}.parquet", std::process::id()))
});

fuzz_target!(|bytes: &[u8]| {
    fs::write(&*FILE, bytes).expect("the temporary folder takes files");
    if let Ok(facts) = Facts::read(&FILE) {
        assert_eq!(is_own(&FILE).ok(), Some(true), "facts are of our own files");
        assert_eq!(facts.bytes, bytes.len() as u64);
    }
    if let Ok(ids) = Footer::read(&FILE).and_then(|footer| footer.left_out(&FILE)) {
        assert!(ids.count() <= MOST, "{} ids left out", ids.count());
    }
    // Of any writer: columns by name, and a thousand rows.
    let _ = sniff::table(&FILE, None);
});
