//! What is known of a store's archives: `manifest.jsonl`, a line per event, appended durably. The last
//! line of a file counts; a line that a crash cut short was never said (ADR 0008).

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use barflow_replay::files::{Access, Lines, append_json};
use serde::{Deserialize, Serialize};

use super::error::FetchError;

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It has its name, and the hash that is published.
    Verified,
    /// What is published cannot be used; nothing of it is in the store.
    Refused,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// From the store's root on, with slashes.
    pub path: String,
    /// What became of it.
    pub state: State,
    /// Where it came from.
    pub url: String,
    /// Its size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Its hash, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The archive's tag of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When that was, in UTC.
    pub at: String,
}

/// The file in a store.
const NAME: &str = "manifest.jsonl";

/// The manifest of a store.
#[derive(Debug)]
pub struct Manifest {
    path: PathBuf,
    entries: BTreeMap<String, Entry>,
    file: Option<File>,
}

impl Manifest {
    /// Reads it, to be looked at only.
    ///
    /// # Errors
    /// When it cannot be read, or a line of it is damaged.
    pub fn read(store: &Path) -> Result<Self, FetchError> {
        Ok(Self::load(store)?.0)
    }

    /// Opens it to be written, making it where there is none.
    ///
    /// # Errors
    /// When it cannot be read or written, or a line of it is damaged.
    pub fn open(store: &Path) -> Result<Self, FetchError> {
        let path = store.join(NAME);
        let file = Access::Group.append_to_own(&path);
        let file = file.map_err(|e| FetchError::disk("open", &path, e))?;
        let (mut manifest, whole) = Self::load(store)?;
        file.set_len(whole).map_err(|e| FetchError::disk("write", &path, e))?;
        manifest.file = Some(file);
        Ok(manifest)
    }

    /// The entries, and how many bytes are whole lines.
    fn load(store: &Path) -> Result<(Self, u64), FetchError> {
        let path = store.join(NAME);
        let (mut entries, mut whole) = (BTreeMap::new(), 0);
        let disk = |e| FetchError::disk("read", &path, e);
        if let Some(mut lines) = Lines::of(&path).map_err(disk)? {
            while let Some(line) = lines.next_line().map_err(disk)? {
                let Some(next) = line.next else { break };
                let entry: Entry = serde_json::from_slice(line.text).map_err(|error| {
                    let what = format!("line {} is not a manifest entry: {error}", line.number);
                    disk(io::Error::other(what))
                })?;
                entries.insert(entry.path.clone(), entry);
                whole = next;
            }
        }
        Ok((Self { path, entries, file: None }, whole))
    }

    /// What is known of a file.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// Whether a file was verified.
    pub fn is_verified(&self, path: &str) -> bool {
        self.get(path).is_some_and(|entry| entry.state == State::Verified)
    }

    /// Notes something, durably.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn note(&mut self, entry: Entry) -> Result<(), FetchError> {
        if let Some(file) = &mut self.file {
            let written = append_json(file, &entry);
            written.map_err(|e| FetchError::disk("write", &self.path, e))?;
        }
        self.entries.insert(entry.path.clone(), entry);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn entry(path: &str, state: State) -> Entry {
        Entry {
            path: path.to_owned(),
            state,
            url: "http://a/b".to_owned(),
            bytes: Some(5),
            sha256: Some("ab".to_owned()),
            etag: None,
            why: None,
            at: "2024-03-02T00:00:00Z".to_owned(),
        }
    }

    #[test]
    fn the_last_line_of_a_file_counts_and_half_a_line_does_not() {
        let store = tempfile::tempdir().unwrap();
        let mut manifest = Manifest::open(store.path()).unwrap();
        manifest.note(entry("a", State::Refused)).unwrap();
        manifest.note(entry("a", State::Verified)).unwrap();
        let path = store.path().join("manifest.jsonl");
        let mut text = fs::read_to_string(&path).unwrap();
        let whole = text.clone();
        text += "{\"path\":\"b\",\"sta";
        fs::write(&path, &text).unwrap();
        let mut manifest = Manifest::open(store.path()).unwrap();
        assert_eq!(manifest.get("a"), Some(&entry("a", State::Verified)));
        assert_eq!(manifest.get("b"), None);
        manifest.note(entry("c", State::Verified)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(&whole) && text.lines().count() == 3, "{text}");
        assert!(Manifest::read(store.path()).unwrap().get("c").is_some());
    }

    #[test]
    fn a_damaged_line_is_named() {
        let store = tempfile::tempdir().unwrap();
        fs::write(store.path().join("manifest.jsonl"), "{\"path\":1}\n").unwrap();
        let error = Manifest::read(store.path()).unwrap_err().to_string();
        assert!(error.contains("manifest.jsonl") && error.contains("line 1"), "{error}");
    }
}
