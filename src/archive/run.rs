//! Brings many files, several at once, and writes down what became of each.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use barflow_replay::store::layout::{self, ARCHIVE};
use barflow_replay::threads::on_threads;

use super::client::Client;
use super::error::FetchError;
use super::manifest::{Entry, Manifest, State};
use super::plan::Listed;
use super::transfer::transfer;
use crate::stop::Stop;

/// A file to be brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// Its key.
    pub key: String,
    /// What the archive says of it.
    pub listed: Listed,
}

/// The place of a key in a store, from the root on.
pub fn place(key: &str) -> String {
    format!("{ARCHIVE}/{key}")
}

impl Download {
    /// Its place in a store, from the root on.
    pub fn place(&self) -> String {
        place(&self.key)
    }

    /// Whether the store has it, verified, and the archive has no other since.
    pub fn is_here(&self, store: &Path, manifest: &Manifest) -> bool {
        let Some(known) = manifest.get(&self.place()) else { return false };
        let there = std::fs::metadata(store.join(self.place())).map(|found| found.len()).ok();
        let same = |ours: &Option<String>, theirs: &Option<String>| match (ours, theirs) {
            (Some(ours), Some(theirs)) => ours == theirs,
            // One of them did not say.
            _ => true,
        };
        known.state == State::Verified
            && there.is_some()
            && there == known.bytes
            && (self.listed.bytes.is_none() || known.bytes == self.listed.bytes)
            && same(&known.etag, &self.listed.etag)
    }
}

/// What became of a job.
#[derive(Debug)]
pub enum DownloadOutcome {
    /// It came; so many bytes over the wire, the path.
    Fetched(u64, PathBuf),
    /// It was on the disk, and right.
    Found,
    /// It did not.
    Failed(FetchError),
}

/// Told of what happens, from several threads.
pub trait Watch: Sync {
    /// A transfer begins.
    fn begins(&self, job: usize, name: &str, bytes: Option<u64>);
    /// So many bytes of it are on the disk.
    fn moved(&self, job: usize, bytes: u64, total: Option<u64>);
    /// It ended.
    fn ended(&self, job: usize, name: &str, outcome: &DownloadOutcome);
}

/// Brings all files. After a trouble that is not one file's own, no other is begun. Jobs that were not
/// begun have no outcome.
///
/// # Errors
/// When the manifest cannot be written.
pub fn run(
    jobs: &[Download],
    store: &Path,
    client: &Client,
    manifest: Manifest,
    at_once: usize,
    stop: &Stop,
    watch: &dyn Watch,
) -> Result<Vec<Option<DownloadOutcome>>, FetchError> {
    let manifest = Mutex::new(manifest);
    let broken = Mutex::new(None);
    // Its own flag: an error ends this run, but no stop was requested.
    let halt = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let numbered: Vec<(usize, &Download)> = jobs.iter().enumerate().collect();
    let outcomes = on_threads(&numbered, at_once, &stop.flag(), |(number, job)| {
        if halt.load(std::sync::atomic::Ordering::Acquire) {
            return None;
        }
        let name = job.key.rsplit('/').next().unwrap_or(&job.key);
        watch.begins(*number, name, job.listed.bytes);
        let moved = |bytes, total| watch.moved(*number, bytes, total);
        let path = store.join(job.place());
        let result = layout::check_folders(store, &path)
            .map_err(|error| FetchError::disk("write", &path, std::io::Error::other(error)))
            .and_then(|()| {
                transfer(client, &client.url(&job.key), job.listed.bytes, &path, &moved)
            });
        let entry = entry(job, client, &result);
        let outcome = match result {
            Ok(received) if received.wire == 0 => DownloadOutcome::Found,
            Ok(received) => DownloadOutcome::Fetched(received.wire, path),
            Err(error) => DownloadOutcome::Failed(error),
        };
        if let Some(entry) = entry {
            let noted = manifest.lock().unwrap_or_else(PoisonError::into_inner).note(entry);
            if let Err(error) = noted {
                broken.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                halt.store(true, std::sync::atomic::Ordering::Release);
            }
        }
        if matches!(&outcome, DownloadOutcome::Failed(error) if !error.is_of_the_file()) {
            halt.store(true, std::sync::atomic::Ordering::Release);
        }
        watch.ended(*number, name, &outcome);
        Some(outcome)
    });
    match broken.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(outcomes.into_iter().map(Option::flatten).collect()),
    }
}

/// What to write down; nothing of a trouble that says nothing of the file.
fn entry(
    job: &Download,
    client: &Client,
    result: &Result<super::transfer::Received, FetchError>,
) -> Option<Entry> {
    let refused = Entry {
        path: job.place(),
        state: State::Refused,
        url: client.url(&job.key).to_string(),
        bytes: None,
        sha256: None,
        etag: job.listed.etag.clone(),
        why: None,
        at: jiff::Timestamp::now().to_string(),
    };
    match result {
        Ok(received) => Some(Entry {
            state: State::Verified,
            bytes: Some(received.bytes),
            sha256: Some(received.sha256.clone()),
            ..refused
        }),
        Err(error) if error.is_of_the_file() => {
            Some(Entry { why: Some(error.to_string()), ..refused })
        }
        Err(_) => None,
    }
}
