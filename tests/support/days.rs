//! Days of trades: made-up ones, real ones, and the bars that an undisturbed run makes of them.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::once::{ByKey, by_key};
use super::process::barflow;

/// One with a state of some 50 KB, one that closes often, one whose levels adapt.
pub const BARS: [&str; 3] = [
    "large=mlfinlab-const-imbalance,init=500,window=3000",
    "tick=tick,size=50",
    "dib=imbalance,measure=dollar,target=200,alpha=0.01,warmup=200",
];

/// Instruments that fall to each of two processes, whether they have one or two workers.
pub const SYMBOLS: [&str; 6] = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT", "BNBUSDT"];

/// `--bar` for each of them.
pub fn bars() -> impl Iterator<Item = &'static str> {
    BARS.iter().flat_map(|bar| ["--bar", bar])
}

/// Makes days from 2024-03-01 on, one file each, by these arguments.
pub fn synth(folder: &Path, arguments: &str) -> Vec<PathBuf> {
    let mut command = barflow();
    command.args(["synth", "--date", "2024-03-01", "--out"]).arg(folder);
    let made = command.args(arguments.split_whitespace()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().lines().map(PathBuf::from).collect()
}

/// Two days of each of [`SYMBOLS`] in a folder.
pub fn of_all_symbols(folder: &Path, trades: u64) -> PathBuf {
    let out = folder.join("days");
    for (symbol, seed) in SYMBOLS.iter().zip(1..) {
        let instrument = format!("--instrument binance:spot:{symbol} --seed {seed}");
        synth(&out, &format!("--days 2 --trades {trades} {instrument}"));
    }
    out
}

/// A file or folder of real data; none, said aloud, where it is absent.
pub fn real(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(path);
    if path.exists() {
        return Some(path);
    }
    println!("SKIPPED: {} is not there", path.display());
    None
}

/// A folder of real days.
pub fn real_days() -> Option<PathBuf> {
    real("binance-layout")
}

/// A real day; where it is absent, a made-up one of so many trades.
pub fn a_day(folder: &Path, trades: u64) -> PathBuf {
    let day = real("binance-layout/XBTUSD-trades-2018-01-02.zip");
    day.unwrap_or_else(|| synth(folder, &format!("--trades {trades}")).remove(0))
}

/// The rows of a zipped day.
pub fn rows(archive: &Path) -> Vec<String> {
    let mut archive = zip::ZipArchive::new(fs::File::open(archive).unwrap()).unwrap();
    let mut text = String::new();
    archive.by_index(0).unwrap().read_to_string(&mut text).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The bars of a run that nothing disturbs and that keeps no checkpoints.
pub fn undisturbed(files: &[PathBuf], more: &[&str]) -> ByKey {
    let run = barflow().arg("replay").args(files).args(bars()).args(more).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    by_key(String::from_utf8(run.stdout).unwrap().lines().map(str::to_owned))
}
