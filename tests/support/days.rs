//! Made-up days, and the bars that an undisturbed run makes of them.

use std::path::{Path, PathBuf};

use super::live::barflow;
use super::once::{ByKey, by_key};

/// One with a state of some 50 KB, one that closes often, one whose levels adapt.
pub const BARS: [&str; 3] = [
    "large=mlfinlab-const-imbalance,init=500,window=3000",
    "tick=tick,size=50",
    "dib=imbalance,measure=dollar,target=200,alpha=0.01,warmup=200",
];

/// `--bar` for each of them.
pub fn bars() -> impl Iterator<Item = &'static str> {
    BARS.iter().flat_map(|bar| ["--bar", bar])
}

/// Days of an instrument from 2024-03-01 on, one file each.
pub fn make(folder: &Path, instrument: &str, days: u32, trades: u64, seed: u64) -> Vec<PathBuf> {
    let made = barflow()
        .args(["synth", "--instrument", instrument, "--date", "2024-03-01", "--out"])
        .arg(folder)
        .args(["--days", &days.to_string(), "--trades", &trades.to_string()])
        .args(["--seed", &seed.to_string()])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().lines().map(PathBuf::from).collect()
}

/// The bars of a run that nothing disturbs and that keeps no checkpoints.
pub fn undisturbed(files: &[PathBuf], more: &[&str]) -> ByKey {
    let run = barflow().arg("replay").args(files).args(bars()).args(more).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    by_key(String::from_utf8(run.stdout).unwrap().lines().map(str::to_owned))
}
