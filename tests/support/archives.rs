//! Archives as the venue publishes them, made of rows.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// Rows of `trades` on spot: `count` from `first_id` on, one every `step` µs from `start` (µs).
pub fn rows(first_id: u64, count: u64, start: u64, step: u64) -> Vec<String> {
    let row = |n: u64| {
        let id = first_id + n;
        let price = 60_000.0 + ((id * 7919) % 2003) as f64 / 10.0;
        let qty = (1 + id * id % 97) as f64 / 1000.0;
        let maker = if id.is_multiple_of(3) { "True" } else { "False" };
        format!("{id},{price},{qty},{},{},{maker},True", price * qty, start + n * step)
    };
    (0..count).map(row).collect()
}

/// Writes `folder/NAME.zip` with these rows and its checksum.
pub fn write(folder: &Path, name: &str, rows: &[String]) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    let path = folder.join(format!("{name}.zip"));
    let mut archive = ZipWriter::new(File::create(&path).unwrap());
    archive.start_file(format!("{name}.csv"), SimpleFileOptions::default()).unwrap();
    for row in rows {
        writeln!(archive, "{row}").unwrap();
    }
    archive.finish().unwrap();
    publish_sum(&path);
    path
}

/// Writes the checksum beside a file.
pub fn publish_sum(path: &Path) {
    let sum = barflow_replay::checksum::sha256(path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    fs::write(barflow_replay::checksum::checksum_file(path), format!("{sum}  {name}\n")).unwrap();
}

/// 2024-03-01 in µs.
pub const MARCH: u64 = 1_709_251_200_000_000;
/// A day in µs.
pub const DAY: u64 = 86_400_000_000;

/// The rows of a day of March 2024 (from 1), with ids that continue from day to day.
pub fn day_rows(day: u64, count: u64) -> Vec<String> {
    rows(1000 + (day - 1) * count, count, MARCH + (day - 1) * DAY, DAY / count)
}

/// Daily archives of March 2024.
pub fn days(folder: &Path, days: std::ops::RangeInclusive<u64>, count: u64) -> Vec<PathBuf> {
    days.map(|day| {
        write(folder, &format!("BTCUSDT-trades-2024-03-{day:02}"), &day_rows(day, count))
    })
    .collect()
}
