//! One file: its checksum, its bytes, its name.
//!
//! Bytes go into `.NAME.<hash>.partial` beside the final name, where `<hash>` begins the published
//! SHA-256: an interrupted transfer is resumed if the archive still
//! publishes the same, and is thrown away if not. The hash runs along. The file gets its name when the
//! hash is the published one, after its checksum file has its own: a file with a name can always be
//! checked.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use barflow_replay::atomic_file;
use barflow_replay::checksum::{checksum_file, sha256, sum_in};
use sha2::{Digest, Sha256};

use super::client::{Client, Setback};
use super::error::FetchError;

/// What came of a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Size of the file.
    pub bytes: u64,
    /// Its hash, in hexadecimal.
    pub sha256: String,
    /// Bytes that came over the wire; 0 if the file was there already.
    pub wire: u64,
}

/// Told how far it is: bytes of the file that are on the disk, and how long it is, if known.
pub type Moved<'a> = &'a (dyn Fn(u64, Option<u64>) + Sync);

/// Times a whole file may come with another hash than the published one.
const WHOLE_TRIES: u32 = 2;
/// Read and written in one go.
const BLOCK: usize = 1 << 17;

/// Brings a file to `path`, unless it is there already.
///
/// # Errors
/// When it does not come whole, or the disk refuses. What has come so far stays for the next time.
pub fn transfer(
    client: &Client,
    url: &str,
    path: &Path,
    moved: Moved<'_>,
) -> Result<Received, FetchError> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(folder).map_err(|e| FetchError::disk("make the folder", folder, e))?;
    let mut wire = 0;
    let mut found = String::new();
    let mut expected = String::new();
    for _ in 0..WHOLE_TRIES {
        // Asked anew each time: the archive may be about to replace both.
        let (text, sum) = published(client, url)?;
        expected = sum;
        if path.exists() {
            let here = sha256(path).map_err(|e| FetchError::disk("read", path, e))?;
            if here == expected {
                keep_sum(path, &text)?;
                let bytes = fs::metadata(path).map_err(|e| FetchError::disk("read", path, e))?;
                return Ok(Received { bytes: bytes.len(), sha256: here, wire });
            }
        }
        let partial = Partial::open(path, &expected)?;
        let (whole, came) = receive(client, url, partial, moved)?;
        wire += came;
        found = hex::encode(whole.hasher.finalize());
        if found == expected {
            keep_sum(path, &text)?;
            atomic_file::publish(&whole.file, &whole.path, path)
                .map_err(|e| FetchError::disk("write", path, e))?;
            return Ok(Received { bytes: whole.bytes, sha256: found, wire });
        }
        fs::remove_file(&whole.path).map_err(|e| FetchError::disk("remove", &whole.path, e))?;
    }
    Err(FetchError::Checksum { url: url.to_owned(), expected, found })
}

/// The checksum file, and the hash in it.
fn published(client: &Client, url: &str) -> Result<(String, String), FetchError> {
    let beside = format!("{url}.CHECKSUM");
    let text = client.text(&beside)?;
    match sum_in(&text) {
        Some(sum) => Ok((text, sum)),
        None => {
            let line: String = text.lines().next().unwrap_or("nothing").chars().take(80).collect();
            let what = format!("not a checksum file: \"{line}\"");
            Err(FetchError::Meaningless { url: beside, what })
        }
    }
}

/// A file that is growing.
struct Partial {
    path: PathBuf,
    file: File,
    hasher: Sha256,
    bytes: u64,
}

impl Partial {
    /// Resumes a part of this content, and removes parts of any other.
    fn open(path: &Path, sum: &str) -> Result<Self, FetchError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let ours = path.with_file_name(format!(".{name}.{}.partial", &sum[..16.min(sum.len())]));
        for other in leftovers(path, &name)? {
            if other != ours {
                fs::remove_file(&other).map_err(|e| FetchError::disk("remove", &other, e))?;
            }
        }
        let open = OpenOptions::new().create(true).read(true).append(true).open(&ours);
        let file = open.map_err(|e| FetchError::disk("open", &ours, e))?;
        let mut partial = Self { path: ours, file, hasher: Sha256::new(), bytes: 0 };
        let mut block = vec![0; BLOCK];
        loop {
            let read = partial.file.read(&mut block);
            match read.map_err(|e| FetchError::disk("read", &partial.path, e))? {
                0 => return Ok(partial),
                read => {
                    partial.hasher.update(&block[..read]);
                    partial.bytes += read as u64;
                }
            }
        }
    }

    fn write(&mut self, block: &[u8]) -> Result<(), FetchError> {
        self.file.write_all(block).map_err(|e| FetchError::disk("write", &self.path, e))?;
        self.hasher.update(block);
        self.bytes += block.len() as u64;
        Ok(())
    }

    fn begin_anew(&mut self) -> Result<(), FetchError> {
        self.file.set_len(0).map_err(|e| FetchError::disk("write", &self.path, e))?;
        self.hasher = Sha256::new();
        self.bytes = 0;
        Ok(())
    }
}

fn leftovers(path: &Path, name: &str) -> Result<Vec<PathBuf>, FetchError> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let entries = fs::read_dir(folder).map_err(|e| FetchError::disk("list", folder, e))?;
    let begins = format!(".{name}.");
    Ok(entries
        .filter_map(Result::ok)
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with(&begins) && name.ends_with(".partial")
        })
        .map(|entry| entry.path())
        .collect())
}

/// Receives what is missing; returns the whole, and how many bytes came.
fn receive(
    client: &Client,
    url: &str,
    mut partial: Partial,
    moved: Moved<'_>,
) -> Result<(Partial, u64), FetchError> {
    let mut came = 0;
    let mut block = vec![0; BLOCK];
    client.persist(url, || {
        moved(partial.bytes, None);
        let before = came;
        let attempt = receive_once(client, url, &mut partial, &mut came, &mut block, moved);
        attempt.map_err(|setback| match setback {
            Setback::Passing { what, pause, .. } => {
                Setback::Passing { what, pause, progress: came > before }
            }
            last => last,
        })
    })?;
    Ok((partial, came))
}

fn receive_once(
    client: &Client,
    url: &str,
    partial: &mut Partial,
    came: &mut u64,
    block: &mut [u8],
    moved: Moved<'_>,
) -> Result<(), Setback> {
    let from = partial.bytes;
    let mut answer = match client.open(url, from) {
        Ok(answer) => answer,
        // Nothing follows what we have: it is whole, and the hash will tell; or it is none of this.
        Err(Setback::Passing { what, .. }) if from > 0 && what.starts_with("HTTP 416") => {
            return Ok(());
        }
        Err(setback) => return Err(setback),
    };
    if answer.from != from {
        partial.begin_anew()?;
    }
    loop {
        if client.is_stopped() {
            return Err(FetchError::Stopped.into());
        }
        let read = answer.body.read(block).map_err(Setback::passing)?;
        if read == 0 {
            break;
        }
        partial.write(&block[..read])?;
        *came += read as u64;
        moved(partial.bytes, answer.total);
        if answer.total.is_some_and(|total| partial.bytes > total) {
            break;
        }
    }
    match answer.total {
        Some(total) if partial.bytes < total => {
            let what = format!("the connection ended after {} of {total} bytes", partial.bytes);
            Err(Setback::passing(what))
        }
        _ => Ok(()),
    }
}

/// Writes the checksum file as published.
fn keep_sum(path: &Path, text: &str) -> Result<(), FetchError> {
    let beside = checksum_file(path);
    if fs::read_to_string(&beside).is_ok_and(|there| there == text) {
        return Ok(());
    }
    atomic_file::write(&beside, text.as_bytes()).map_err(|e| FetchError::disk("write", &beside, e))
}
