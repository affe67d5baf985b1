//! The folder of a sweep's results belongs to one grid.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use barflow_replay::{atomic_file, files};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::config::sweep::Grid;

/// The file that says whose results a folder holds.
const NAME: &str = "sweep.json";

/// Names that a sweep writes in its folder.
const RESULTS: [&str; 5] = ["summary.parquet", "map.svg", "map.png", "sweep.state", "bars"];

/// Why a sweep cannot write there.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The results of another grid are there.
    #[error(
        "--out \"{}\": it holds the results of another grid ({}, {configurations} configurations); \
         name another folder", folder.display(), keys.join(", ")
    )]
    OtherGrid {
        /// The folder.
        folder: PathBuf,
        /// Keys of that grid.
        keys: Vec<String>,
        /// How many configurations it has.
        configurations: usize,
    },
    /// Somebody else's file has a name that the sweep writes.
    #[error(
        "--out \"{}\": it holds \"{name}\", and nothing says of which sweep; name another folder, or \
         remove it", folder.display()
    )]
    Unknown {
        /// The folder.
        folder: PathBuf,
        /// Name of the file.
        name: &'static str,
    },
    /// The disk refuses.
    #[error("could not use the folder \"{}\": {source}", folder.display())]
    Disk {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// What the file says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    /// Hash of all specifications, in hexadecimal.
    grid: String,
    keys: Vec<String>,
    configurations: usize,
}

impl Owner {
    fn of(grid: &Grid) -> Self {
        let specs = grid.points.iter().map(|point| serde_json::to_string(&point.spec));
        let text: Vec<String> = specs.map(Result::unwrap_or_default).collect();
        Self {
            grid: format!("{:016x}", xxh3_64(text.join("\n").as_bytes())),
            keys: grid.keys.clone(),
            configurations: grid.points.len(),
        }
    }
}

/// Bytes of an owner's file that are read.
const LONGEST: u64 = 16 << 20;

/// Makes the folder this grid's, unless it is another's. Says whether results of an earlier run are there.
///
/// # Errors
/// When it is another's, or the disk refuses.
pub fn claim(folder: &Path, grid: &Grid) -> Result<bool, FolderError> {
    let disk = |source| FolderError::Disk { folder: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(disk)?;
    let file = folder.join(NAME);
    let mine = Owner::of(grid);
    let present = RESULTS.into_iter().find(|name| folder.join(name).exists());
    match files::read(&file, LONGEST) {
        Ok(text) => match serde_json::from_slice::<Owner>(&text) {
            Ok(owner) if owner == mine => Ok(folder.join(RESULTS[0]).exists()),
            Ok(Owner { keys, configurations, .. }) => {
                let folder = folder.to_owned();
                Err(FolderError::OtherGrid { folder, keys, configurations })
            }
            Err(_) => Err(FolderError::Unknown { folder: folder.to_owned(), name: NAME }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => match present {
            Some(name) => Err(FolderError::Unknown { folder: folder.to_owned(), name }),
            None => {
                // Plain data always has a JSON form.
                let text = serde_json::to_string(&mine).unwrap_or_default() + "\n";
                atomic_file::write(&file, text.as_bytes()).map_err(disk)?;
                Ok(false)
            }
        },
        Err(error) => Err(disk(error)),
    }
}
