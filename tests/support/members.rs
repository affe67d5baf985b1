//! One job as several processes: their addresses, and what their summaries count.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

/// Addresses that are free, below the range that the system hands to outgoing connections, and that no
/// other test takes as long as this process runs.
pub fn free_addresses(count: usize) -> Vec<String> {
    let mut found = Vec::new();
    while found.len() < count {
        let port = fastrand::u16(12_000..32_000);
        let lock = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("port-{port}"));
        let lock = fs::File::create(lock).unwrap();
        if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            std::mem::forget(lock);
            found.push(format!("127.0.0.1:{port}"));
        }
    }
    found
}

/// A file that lists the processes of a job.
pub fn hosts_file(folder: &Path, addresses: &[String]) -> PathBuf {
    let path = folder.join("hosts.txt");
    fs::write(&path, format!("# the job\n\n{}\n", addresses.join("\n"))).unwrap();
    path
}

/// Bars of each series, in the order in which they were written.
pub fn by_series(bars: &[String]) -> BTreeMap<(String, String), Vec<String>> {
    let mut series: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for bar in bars {
        let value: serde_json::Value = serde_json::from_str(bar).unwrap();
        let text = |key: &str| value[key].as_str().unwrap().to_owned();
        series.entry((text("instrument"), text("spec"))).or_default().push(bar.clone());
    }
    series
}

/// The lines of summaries that count what was read and made, without how long that took.
pub fn counted(said: &[&str]) -> Vec<String> {
    let counts = |line: &&str| line.contains(" bars, median ") || line.contains(": duplicates ");
    let mut lines: Vec<String> =
        said.iter().flat_map(|said| said.lines()).filter(counts).map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Trades and files of all summaries.
pub fn read(said: &[&str]) -> (u64, u64) {
    let number = |text: &str| text.replace(',', "").parse::<u64>().unwrap();
    let lines = said.iter().flat_map(|said| said.lines()).filter(|l| l.contains(" trades in "));
    lines.fold((0, 0), |(files, trades), line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        (files + number(words[0]), trades + number(words[2]))
    })
}
