//! Sinks: encoding, delivery, reports. [`graph::sink`](crate::graph::sink) defines the trait.

pub mod atomic_file;
pub mod encode;
pub mod folder_lock;
pub mod gaps;
mod in_place;
pub mod journal;
pub mod json_lines;
pub mod kafka;
pub mod limits;
pub mod local_checkpoint;
pub mod none;
pub mod parquet;
pub mod progress;
pub mod progress_file;
pub mod record;
pub mod rejects;
pub mod roll;
pub mod text;
pub mod trades;

use std::path::{Path, PathBuf};

use self::atomic_file::refused;
use crate::graph::sink::SinkError;

/// Makes the folder that a file lies in.
fn create_folder_of(path: &Path) -> Result<(), SinkError> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(|e| refused("create the folder", folder, &e))
        }
        None => Ok(()),
    }
}

/// Files beside `path`, or in it if it is a folder, that a run did not finish: it was killed, or it
/// is still writing them.
pub fn leftovers(path: &Path) -> Vec<PathBuf> {
    let (folder, wanted) = match path.is_dir() {
        true => (path, None),
        false => (
            path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new(".")),
            path.file_name(),
        ),
    };
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let left = |name: &str| {
        let (of, mark) = name.rsplit_once(".unfinished-").unwrap_or_default();
        let of = of.strip_prefix('.').filter(|of| !of.is_empty()).unwrap_or(of);
        !mark.is_empty() && wanted.is_none_or(|wanted| wanted.to_string_lossy() == of)
    };
    let names = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<PathBuf> = names
        .filter(|path| path.file_name().is_some_and(|name| left(&name.to_string_lossy())))
        .collect();
    found.sort();
    found
}
