//! Which members of a zip archive hold trades.

use std::collections::BTreeSet;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use crate::error::ReplayError;
use crate::find::ends_with;

/// A zip archive's members, sorted by what becomes of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Those that are read: index in the archive and name, in the archive's order.
    pub read: Vec<(usize, String)>,
    /// Names of those that hold no trades.
    pub passed_over: Vec<String>,
}

/// Members that an archive may have: each is looked at several times before the first row is read.
const MOST: usize = 1 << 15;

/// Opens a zip archive and looks at its directory: nothing is decompressed.
///
/// # Errors
/// When it is damaged, when members share bytes or a name, and when one that is to be read is packed
/// in a way that is not read.
pub fn open<R: Read + Seek>(
    path: &Path,
    mut file: R,
) -> Result<(ZipArchive<R>, Members), ReplayError> {
    let bad = |error: ZipError| {
        let expected = "a complete zip archive";
        ReplayError::corrupt(path, "not a usable zip", expected, error.to_string())
    };
    let directory = {
        let found = ZipArchive::new(&mut file).map_err(bad)?;
        let start = found.central_directory_start();
        drop(found);
        directory(&mut file, start)
    };
    let mut archive = ZipArchive::new(file).map_err(bad)?;
    if directory.entries > MOST {
        let expected = format!("at most {MOST} members");
        let found = format!("{}; unpack it, and name the folder", directory.entries);
        return Err(ReplayError::corrupt(path, "directory", expected, found));
    }
    if directory.entries > archive.len() {
        let expected = "a different name for each member";
        let found = format!("{} members with {} names", directory.entries, archive.len());
        return Err(ReplayError::corrupt(path, "directory", expected, found));
    }
    let mut places: Vec<(Range<u64>, String)> = Vec::new();
    let mut names = Vec::new();
    for index in 0..archive.len() {
        let member = archive.by_index_raw(index).map_err(bad)?;
        let name = member.name().map_err(bad)?.into_owned();
        let data = member.data_start().unwrap_or_else(|| member.header_start());
        let end = data.saturating_add(member.compressed_size());
        places.push((member.header_start()..end, name.clone()));
        if member.is_file() {
            let packing = Packing { encrypted: member.encrypted(), method: member.compression() };
            names.push((index, name, packing));
        }
    }
    let mut taken: Vec<_> = places.iter().map(|(place, _)| place.clone()).collect();
    refuse_overlaps(path, places)?;
    let chosen = choose(path, &names)?;
    taken.push(directory.place);
    let mut file = archive.into_inner();
    if let Some(at) = unlisted_member(&mut file, taken).map_err(|e| bad(e.into()))? {
        let expected = "every member in its directory";
        let found = format!(
            "one at byte {at} that is not: archives that were joined, or one that was cut off; \
             unpack and repack it"
        );
        return Err(ReplayError::corrupt(path, "directory", expected, found));
    }
    Ok((ZipArchive::new(file).map_err(bad)?, chosen))
}

/// What precedes each member.
const MEMBER: &[u8] = b"PK\x03\x04";

/// Where a member begins in what neither the directory's members nor the directory cover.
fn unlisted_member<R: Read + Seek>(
    file: &mut R,
    mut taken: Vec<Range<u64>>,
) -> io::Result<Option<u64>> {
    let end = file.seek(SeekFrom::End(0))?;
    taken.sort_by_key(|place| place.start);
    taken.push(end..end);
    let mut from = 0;
    let mut buffer = vec![0; GAP];
    for place in taken {
        while from < place.start {
            let length = (place.start - from).min(GAP as u64) as usize;
            let gap = &mut buffer[..length];
            file.seek(SeekFrom::Start(from))?;
            file.read_exact(gap)?;
            if let Some(found) = memchr::memmem::find(gap, MEMBER) {
                return Ok(Some(from + found as u64));
            }
            // A mark may stand across the border of two pieces.
            let step = if length == GAP { length - (MEMBER.len() - 1) } else { length };
            from += step as u64;
        }
        from = from.max(place.end);
    }
    Ok(None)
}

/// Bytes looked at at a time; between honest members there are none, or a few.
const GAP: usize = 1 << 16;

/// The directory of an archive, as it stands in the file.
struct Directory {
    /// Members; those with equal names count each.
    entries: usize,
    place: Range<u64>,
}

fn directory<R: Read + Seek>(file: &mut R, start: u64) -> Directory {
    let mut entries = 0;
    let mut at = start;
    let mut head = [0; 46];
    while file.seek(SeekFrom::Start(at)).is_ok()
        && file.read_exact(&mut head).is_ok()
        && head.starts_with(b"PK\x01\x02")
    {
        let length = |at: usize| u64::from(u16::from_le_bytes([head[at], head[at + 1]]));
        at += 46 + length(28) + length(30) + length(32);
        entries += 1;
    }
    Directory { entries, place: start..at }
}

fn refuse_overlaps(path: &Path, mut places: Vec<(Range<u64>, String)>) -> Result<(), ReplayError> {
    places.sort_by_key(|(place, _)| (place.start, place.end));
    for pair in places.windows(2) {
        let [(before, name), (after, other)] = pair else { continue };
        if after.start < before.end {
            let what = format!("members \"{name}\" and \"{other}\"");
            let expected = "bytes of its own for each member";
            let found = format!("bytes {} to {} in both", after.start, before.end);
            return Err(ReplayError::corrupt(path, what, expected, found));
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Debug)]
struct Packing {
    encrypted: bool,
    method: CompressionMethod,
}

/// Members that end in `.csv` hold trades, whatever lies beside them. Where there are none, all do
/// that are not known to hold something else.
fn choose(path: &Path, members: &[(usize, String, Packing)]) -> Result<Members, ReplayError> {
    let any_csv = members.iter().any(|(_, name, _)| !is_junk(name) && is_csv(name));
    let is_read =
        |name: &str| !is_junk(name) && if any_csv { is_csv(name) } else { !is_text(name) };
    let mut chosen = Members::default();
    for (index, name, packing) in members {
        if !is_junk(name) && is_packed(name) {
            let reason = "is a compressed file itself";
            return Err(ReplayError::packing(path, Some(name), reason));
        }
        if !is_read(name) {
            chosen.passed_over.push(name.clone());
            continue;
        }
        if packing.encrypted {
            return Err(ReplayError::packing(path, Some(name), "is encrypted"));
        }
        if !matches!(packing.method, CompressionMethod::Deflated | CompressionMethod::Stored) {
            let reason = format!("is compressed with {}, which is not read", packing.method);
            return Err(ReplayError::packing(path, Some(name), reason));
        }
        chosen.read.push((*index, name.clone()));
    }
    if chosen.read.is_empty() {
        let text = match chosen.passed_over.is_empty() {
            true => format!("{} has no members", path.display()),
            false => {
                let names: BTreeSet<_> = chosen.passed_over.iter().map(String::as_str).collect();
                let names: Vec<_> = names.into_iter().take(5).collect();
                format!("{} has no member with trades, only {}", path.display(), names.join(", "))
            }
        };
        return Err(ReplayError::NothingToRead(text));
    }
    Ok(chosen)
}

/// What operating systems put beside data.
fn is_junk(name: &str) -> bool {
    let mut parts = name.split(['/', '\\']);
    parts.any(|part| part.eq_ignore_ascii_case("__MACOSX"))
        || name.rsplit(['/', '\\']).next().is_some_and(|last| last.starts_with('.'))
        || name.eq_ignore_ascii_case("thumbs.db")
        || name.eq_ignore_ascii_case("desktop.ini")
}

fn is_csv(name: &str) -> bool {
    ends_with(Path::new(name), ".csv")
}

/// Files for people and checksums.
fn is_text(name: &str) -> bool {
    const ENDINGS: [&str; 10] =
        [".txt", ".md", ".checksum", ".json", ".html", ".htm", ".pdf", ".xml", ".sha256", ".md5"];
    ENDINGS.iter().any(|ending| ends_with(Path::new(name), ending))
}

/// Archives in an archive: passing one over would lose its trades.
fn is_packed(name: &str) -> bool {
    const ENDINGS: [&str; 10] =
        [".gz", ".zst", ".zip", ".bz2", ".xz", ".lz4", ".7z", ".rar", ".tar", ".parquet"];
    ENDINGS.iter().any(|ending| ends_with(Path::new(name), ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Packing = Packing { encrypted: false, method: CompressionMethod::Deflated };

    fn chosen(names: &[&str]) -> Result<(Vec<String>, Vec<String>), ReplayError> {
        let members: Vec<_> =
            names.iter().enumerate().map(|(at, name)| (at, (*name).to_owned(), PLAIN)).collect();
        let Members { read, passed_over } = choose(Path::new("a.zip"), &members)?;
        Ok((read.into_iter().map(|(_, name)| name).collect(), passed_over))
    }

    #[test]
    fn what_lies_beside_the_data_is_passed_over() {
        let junk = ["__MACOSX/._a.csv", ".DS_Store", "x/.hidden.csv", "READ.ME", "a.csv.CHECKSUM"];
        let (read, passed_over) = chosen(&[&junk[..], &["a.csv", "x/b.CSV"]].concat()).unwrap();
        assert_eq!(read, ["a.csv", "x/b.CSV"]);
        assert_eq!(passed_over, junk);
    }

    #[test]
    fn without_csv_everything_is_data_that_is_not_known_to_be_something_else() {
        let (read, passed_over) = chosen(&["trades", "readme.txt", "__MACOSX/._trades"]).unwrap();
        assert_eq!((read.len(), passed_over.len()), (1, 2));
        let error = chosen(&["readme.txt"]).unwrap_err().to_string();
        assert!(error.contains("no member with trades, only readme.txt"), "{error}");
    }

    #[test]
    fn archives_in_an_archive_are_never_passed_over() {
        let error = chosen(&["a.csv", "b.csv.gz"]).unwrap_err();
        assert!(error.to_string().contains("\"b.csv.gz\""), "{error}");
    }

    #[test]
    fn members_that_share_a_byte_are_refused_in_any_order() {
        let place = |range: Range<u64>, name: &str| (range, name.to_owned());
        let check = |places: Vec<(Range<u64>, String)>| refuse_overlaps(Path::new("a.zip"), places);
        check(vec![place(50..90, "b"), place(0..50, "a")]).unwrap();
        let error = check(vec![place(49..90, "b"), place(0..50, "a")]).unwrap_err().to_string();
        assert!(error.contains("\"a\" and \"b\""), "{error}");
        check(vec![place(0..50, "a"), place(0..50, "b")]).unwrap_err();
    }
}
