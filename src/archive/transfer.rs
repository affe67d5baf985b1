//! One file: its checksum, its bytes, its name.
//!
//! Bytes go into `.NAME.<hash>.partial` beside the final name, where `<hash>` begins the published
//! SHA-256: an interrupted transfer is resumed if the archive still
//! publishes the same, and is thrown away if not. The hash runs along. The file gets its name when the
//! hash is the published one, after its checksum file has its own: a file with a name can always be
//! checked.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use barflow_replay::atomic_file;
use barflow_replay::checksum::{checksum_file, sha256_until, sum_in};
use barflow_replay::files::{self, Access};
use sha2::{Digest, Sha256};

use super::client::Client;
use super::error::FetchError;
use super::limits::{SizeLimit, Tries};
use super::response::{Part, Setback};
use crate::net::url::Url;
use crate::printable::excerpt;

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

/// Brings a file to `path`, unless it is there already; `listed` is its size, if the archive says.
///
/// # Errors
/// When it does not come whole, or the disk refuses. What has come so far stays for the next time.
pub fn transfer(
    client: &Client,
    url: &Url,
    listed: Option<u64>,
    path: &Path,
    moved: Moved<'_>,
) -> Result<Received, FetchError> {
    let mut transfer =
        Transfer { client, url, limit: client.limit(listed), tries: client.tries(), moved };
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(folder).map_err(|e| FetchError::disk("make the folder", folder, e))?;
    let mut wire = 0;
    let mut found = String::new();
    let mut expected = String::new();
    for _ in 0..WHOLE_TRIES {
        // Asked anew each time: the archive may be about to replace both.
        let (text, sum) = transfer.published()?;
        expected = sum;
        if path.exists() {
            let here = sha256_until(path, &client.reading());
            let here = here.map_err(|e| FetchError::disk("read", path, e))?;
            let here = here.ok_or(FetchError::Stopped)?;
            if here == expected {
                keep_sum(path, &text)?;
                let bytes = fs::metadata(path).map_err(|e| FetchError::disk("read", path, e))?;
                return Ok(Received { bytes: bytes.len(), sha256: here, wire });
            }
        }
        let partial = Partial::open(client, path, &expected)?;
        let (whole, came) = transfer.receive(partial)?;
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
    Err(FetchError::Checksum { url: url.to_string(), expected, found })
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
    fn open(client: &Client, path: &Path, sum: &str) -> Result<Self, FetchError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let ours = path.with_file_name(format!(".{name}.{}.partial", &sum[..16.min(sum.len())]));
        for other in leftovers(path, &name)? {
            if other != ours {
                fs::remove_file(&other).map_err(|e| FetchError::disk("remove", &other, e))?;
            }
        }
        let file =
            Access::Usual.append_to_own(&ours).map_err(|e| FetchError::disk("open", &ours, e))?;
        let mut partial = Self { path: ours, file, hasher: Sha256::new(), bytes: 0 };
        let mut block = vec![0; BLOCK];
        loop {
            if client.is_stopped() {
                return Err(FetchError::Stopped);
            }
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

/// One file on its way.
struct Transfer<'a> {
    client: &'a Client,
    url: &'a Url,
    limit: SizeLimit,
    /// For the whole file, however often it begins anew.
    tries: Tries,
    moved: Moved<'a>,
}

impl Transfer<'_> {
    /// The checksum file, and the hash in it.
    fn published(&self) -> Result<(String, String), FetchError> {
        let beside = self.url.beside(".CHECKSUM");
        let text = self.client.text(&beside)?;
        match sum_in(&text) {
            Some(sum) => Ok((text, sum)),
            None => {
                let line = excerpt(text.lines().next().unwrap_or("nothing"), 80);
                let what = format!("not a checksum file: \"{line}\"");
                Err(FetchError::Meaningless { url: beside.to_string(), what })
            }
        }
    }

    /// Receives what is missing; returns the whole, and how many bytes came.
    fn receive(&mut self, mut partial: Partial) -> Result<(Partial, u64), FetchError> {
        let mut came = 0;
        let mut block = vec![0; BLOCK];
        let (client, url) = (self.client, self.url);
        let mut tries = self.tries;
        tries.reached(partial.bytes);
        let received = client.persist(url, &mut tries, || {
            (self.moved)(partial.bytes, None);
            let attempt = self.receive_once(&mut partial, &mut came, &mut block);
            attempt.map_err(|setback| match setback {
                Setback::Passing { what, pause, .. } => {
                    Setback::Passing { what, pause, reached: partial.bytes }
                }
                last => last,
            })
        });
        self.tries = tries;
        match received {
            Ok(()) => Ok((partial, came)),
            Err(error) => {
                if let FetchError::TooLong { .. } = error {
                    // What came is a part of something else.
                    let removed = fs::remove_file(&partial.path);
                    removed.map_err(|e| FetchError::disk("remove", &partial.path, e))?;
                }
                Err(error)
            }
        }
    }

    /// Whether the disk can take what is still to come, where its length is known.
    fn check_room(&self, partial: &Partial, part: Part) -> Result<(), FetchError> {
        let listed = match self.limit {
            SizeLimit::Listed(bytes) => Some(bytes),
            SizeLimit::Ceiling(_) => None,
        };
        let Some(total) = part.total.or(part.end).or(listed) else { return Ok(()) };
        let needed = total.saturating_sub(partial.bytes);
        let folder = partial.path.parent().unwrap_or_else(|| Path::new("."));
        // A system that does not say refuses the writing itself.
        let Ok(disk) = rustix::fs::statvfs(folder) else { return Ok(()) };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        match needed > free {
            true => Err(FetchError::NoRoom { path: partial.path.clone(), needed, free }),
            false => Ok(()),
        }
    }

    fn receive_once(
        &self,
        partial: &mut Partial,
        came: &mut u64,
        block: &mut [u8],
    ) -> Result<(), Setback> {
        if partial.bytes > self.limit.bytes() {
            partial.begin_anew()?;
        }
        let from = partial.bytes;
        let mut answer = match self.client.open(self.url, from, self.limit) {
            Ok(answer) => answer,
            // Nothing follows what we have: it is whole, and the hash will tell; or it is none of this.
            Err(Setback::NoSuchPart) if from > 0 => return Ok(()),
            Err(setback) => return Err(setback),
        };
        if answer.part.from != from {
            partial.begin_anew()?;
        }
        self.check_room(partial, answer.part)?;
        let end = answer.part.end.unwrap_or(u64::MAX);
        loop {
            // Ends when a stop is requested.
            let read = answer.read(block)?;
            if read == 0 {
                break;
            }
            let then = partial.bytes + read as u64;
            if then > self.limit.bytes() {
                let (url, limit) = (self.url.to_string(), self.limit);
                return Err(FetchError::TooLong { url, limit }.into());
            }
            if then > end {
                return Err(Setback::passing(format!("sends more than the part up to byte {end}")));
            }
            partial.write(&block[..read])?;
            *came += read as u64;
            (self.moved)(partial.bytes, answer.part.total);
        }
        let whole = answer.part.total.or(answer.part.end);
        match whole {
            Some(total) if partial.bytes < total => {
                let what = format!("the connection ended after {} of {total} bytes", partial.bytes);
                Err(Setback::passing(what))
            }
            _ => Ok(()),
        }
    }
}

/// Writes the checksum file as published.
fn keep_sum(path: &Path, text: &str) -> Result<(), FetchError> {
    let beside = checksum_file(path);
    if files::read(&beside, text.len() as u64).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(());
    }
    atomic_file::write(&beside, text.as_bytes()).map_err(|e| FetchError::disk("write", &beside, e))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::super::client::ClientOptions;
    use super::*;
    use crate::net::proxy::Proxies;

    fn client(address: &str, stop: &Arc<AtomicBool>) -> Client {
        let url = Url::parse(address).unwrap();
        let options = ClientOptions {
            base: url.clone(),
            listing: url,
            ca_file: None,
            tries: 1,
            timeout: Duration::from_secs(60),
            ceiling: 1 << 30,
        };
        Client::new(options, Arc::clone(stop), Proxies::default()).unwrap()
    }

    #[test]
    fn the_part_that_came_before_is_not_read_once_nobody_wants_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("day.zip");
        fs::write(folder.path().join(".day.zip.ab.partial"), "part").unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let client = client("http://127.0.0.1:9", &stop);
        assert_eq!(Partial::open(&client, &path, "ab").unwrap().bytes, 4);
        stop.store(true, Ordering::Release);
        assert!(matches!(Partial::open(&client, &path, "ab"), Err(FetchError::Stopped)));
    }

    #[test]
    fn a_file_that_comes_is_left_as_it_is_once_nobody_wants_it() {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        // More than is read ahead.
        let body = vec![7; 16 * BLOCK];
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        let server = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let _ = socket.read(&mut [0; 4096]);
            let _ = socket.write_all(&[head.as_bytes(), &body].concat());
        });
        let stop = Arc::new(AtomicBool::new(false));
        let (client, url) = (client(&address, &stop), Url::parse(&address).unwrap());
        let moved = |_: u64, _: Option<u64>| stop.store(true, Ordering::Release);
        let (limit, tries) = (client.limit(None), client.tries());
        let transfer = Transfer { client: &client, url: &url, limit, tries, moved: &moved };
        let path = folder.path().join("day.zip");
        let mut partial = Partial::open(&client, &path, "ab").unwrap();
        let (mut came, mut block) = (0, vec![0; BLOCK]);
        let received = transfer.receive_once(&mut partial, &mut came, &mut block);
        assert!(matches!(received, Err(Setback::Final(FetchError::Stopped))));
        assert!(came > 0 && came <= BLOCK as u64 && partial.bytes == came, "{came}");
        drop(server);
    }
}
