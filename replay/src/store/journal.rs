//! Which archives were converted into which files: `conversions.jsonl`, a line per archive, appended
//! when all of its files have their names. A line that a crash cut short was never said.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use barflow_operators::validation::{EARLIEST_NS, LATEST_NS};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::claim::Disagreement;
use super::days::{count, day_of};
use crate::error::ReplayError;
use crate::files::{Access, Lines, append_json};
use crate::trades_parquet::facts::Facts;

/// An archive that was converted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversion {
    /// Name of the archive.
    pub archive: String,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Venue, market and symbol, as `venue:market:SYMBOL`.
    pub instrument: String,
    /// `trades` or `aggTrades`.
    pub kind: String,
    /// The days that it covers.
    pub first_day: Date,
    /// The last of them.
    pub last_day: Date,
    /// Rows of the archive.
    pub source_rows: u64,
    /// Its trades: rows less repeated ones.
    pub rows: u64,
    /// Days of which another archive has other trades.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disagreements: Vec<Disagreement>,
}

/// What the journal of a store says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known(BTreeMap<String, Conversion>);

impl Known {
    /// What became of the archive with this checksum.
    pub fn find(&self, sha256: &str) -> Option<&Conversion> {
        self.0.get(sha256)
    }

    /// All disagreements of archives.
    pub fn disagreements(&self) -> impl Iterator<Item = &Disagreement> {
        self.0.values().flat_map(|conversion| &conversion.disagreements)
    }

    /// Holds a file against what was noted of its archives, where each of them gave to this file only.
    ///
    /// # Errors
    /// When rows are missing, or too many.
    pub fn agrees(&self, file: &Facts) -> Result<(), ReplayError> {
        let Some((first, last)) = file.days else { return Ok(()) };
        let mut rows = 0;
        for source in &file.sources {
            match self.find(&source.sha256) {
                Some(known) if first <= known.first_day && known.last_day <= last => {
                    rows += known.rows;
                }
                _ => return Ok(()),
            }
        }
        // Every day of a month names the archive of the month.
        let once = file.sources.iter().collect::<BTreeSet<_>>().len() == file.sources.len();
        if !once || rows == file.rows {
            return Ok(());
        }
        let what = "rows according to the journal of conversions";
        Err(ReplayError::corrupt(&file.path, what, rows.to_string(), file.rows.to_string()))
    }
}

/// The journal of a store, to be written to.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// By checksum.
    known: Known,
}

impl Journal {
    /// Opens a store's journal, making it where there is none.
    ///
    /// # Errors
    /// When it cannot be read or written, or a line of it is damaged.
    pub fn open(store: &Path) -> Result<Self, ReplayError> {
        let path = store.join("conversions.jsonl");
        fs::create_dir_all(store).map_err(|e| ReplayError::io("make", store, e))?;
        let open = Access::Group.append_to_own(&path);
        let file = open.map_err(|e| ReplayError::io("open", &path, e))?;
        let (known, whole) = read(&path)?;
        // What a crash cut short is written again whole.
        file.set_len(whole).map_err(|e| ReplayError::io("write", &path, e))?;
        Ok(Self { path, file, known })
    }

    /// Reads a store's journal without the right to write it.
    ///
    /// # Errors
    /// When it cannot be read, or a line of it is damaged.
    pub fn read(store: &Path) -> Result<Known, ReplayError> {
        Ok(read(&store.join("conversions.jsonl"))?.0)
    }

    /// What became of the archive with this checksum.
    pub fn find(&self, sha256: &str) -> Option<&Conversion> {
        self.known.find(sha256)
    }

    /// As [`Known::agrees`].
    ///
    /// # Errors
    /// When rows are missing, or too many.
    pub fn agrees(&self, file: &Facts) -> Result<(), ReplayError> {
        self.known.agrees(file)
    }

    /// Notes a conversion, durably.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn note(&mut self, conversion: Conversion) -> Result<(), ReplayError> {
        let written = append_json(&mut self.file, &conversion);
        written.map_err(|e| ReplayError::io("write", &self.path, e))?;
        self.known.0.insert(conversion.sha256.clone(), conversion);
        Ok(())
    }
}

/// Days of an archive at most: from the first valid time of a trade to the last.
fn most_days() -> usize {
    count(day_of(EARLIEST_NS), day_of(LATEST_NS - 1))
}

/// The conversions, and how many bytes of the file are whole lines.
fn read(path: &Path) -> Result<(Known, u64), ReplayError> {
    let (mut known, mut whole) = (BTreeMap::new(), 0);
    let disk = |e| ReplayError::io("read", path, e);
    let Some(mut lines) = Lines::of(path).map_err(disk)? else { return Ok((Known(known), whole)) };
    while let Some(line) = lines.next_line().map_err(disk)? {
        let Some(next) = line.next else { break };
        let conversion: Conversion = serde_json::from_slice(line.text).map_err(|error| {
            let what = format!("line {}", line.number);
            ReplayError::corrupt(path, what, "a conversion as JSON", error.to_string())
        })?;
        let days = count(conversion.first_day, conversion.last_day);
        if !(1..=most_days()).contains(&days) {
            let what = format!("line {}: first_day, last_day", line.number);
            let expected =
                format!("1 to {} days (take the line away, and convert again)", most_days());
            let Conversion { first_day, last_day, .. } = conversion;
            return Err(ReplayError::corrupt(
                path,
                what,
                expected,
                format!("{first_day} to {last_day}"),
            ));
        }
        known.insert(conversion.sha256.clone(), conversion);
        whole = next;
    }
    Ok((Known(known), whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversion_of_more_days_than_an_archive_has_is_refused_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let line = |first: &str, last: &str| {
            format!(
                r#"{{"archive":"a","sha256":"{first}","instrument":"a:b:C","kind":"trades","first_day":"{first}","last_day":"{last}","source_rows":1,"rows":1}}"#
            ) + "\n"
        };
        let write = |lines: &[String]| {
            fs::write(folder.path().join("conversions.jsonl"), lines.concat()).unwrap();
            Journal::read(folder.path()).map_err(|error| error.to_string())
        };
        let sound = [line("2009-01-03", "2099-12-31"), line("1999-12-31", "1999-12-31")];
        assert_eq!(write(&sound).map(|known| known.0.len()), Ok(2));
        for (first, last) in [("0001-01-01", "9999-12-31"), ("2024-03-02", "2024-03-01")] {
            let error = write(&[sound[0].clone(), line(first, last)]).unwrap_err();
            for part in
                ["conversions.jsonl: line 2: first_day, last_day", first, last, "1 to 33235 days"]
            {
                assert!(error.contains(part), "{part}: {error}");
            }
        }
    }
}
