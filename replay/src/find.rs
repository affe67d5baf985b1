//! From what was typed to files: every file once, and nothing passed over without a note.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::error::ReplayError;
use crate::files::special;
use crate::naming;
use crate::plan_note::{NotTaken, PlanNote, Reason, SameFile};
use crate::progress::StopFlag;
use crate::{spool, table_format};

/// Endings of files that are taken from folders and patterns, in any case.
const ENDINGS: [&str; 5] = [".zip", ".csv", ".csv.gz", ".csv.zst", ".parquet"];

/// What inputs name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Every file, once.
    pub paths: BTreeSet<PathBuf>,
    /// What was passed over.
    pub notes: Vec<PlanNote>,
}

/// Every file that the inputs name, once. What can be read only once (`-`, pipes) is read into a
/// temporary file here, unless `stop` is raised before its end.
///
/// # Errors
/// The first input that names nothing.
pub fn find(inputs: &[String], stop: &StopFlag) -> Result<Found, ReplayError> {
    find_by(&by_ending, inputs, stop)
}

/// Why a file of a folder or pattern is not taken; none if it is.
pub type Choose<'a> = &'a dyn Fn(&Path) -> Option<Reason>;

fn by_ending(path: &Path) -> Option<Reason> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    (!has_ending(&name)).then(|| reason_of(&name))
}

/// As [`find`]; `choose` says what of folders and patterns is taken.
///
/// # Errors
/// The first input that names nothing.
pub fn find_by(
    choose: Choose<'_>,
    inputs: &[String],
    stop: &StopFlag,
) -> Result<Found, ReplayError> {
    if inputs.is_empty() {
        return Err(ReplayError::NothingToRead("no files were named".to_owned()));
    }
    let mut search = Search::of(choose);
    for input in inputs {
        search.input(input, stop)?;
    }
    let found = search.finish();
    table_format::refuse(&found.paths)?;
    Ok(found)
}

struct Search<'a> {
    choose: Choose<'a>,
    files: Vec<(PathBuf, Option<Identity>)>,
    not_taken: Vec<NotTaken>,
    folders: BTreeSet<Identity>,
}

/// Device and inode: what a file is, whatever its paths.
type Identity = (u64, u64);

fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

impl<'a> Search<'a> {
    fn of(choose: Choose<'a>) -> Self {
        let (files, not_taken, folders) = (Vec::new(), Vec::new(), BTreeSet::new());
        Self { choose, files, not_taken, folders }
    }

    fn input(&mut self, input: &str, stop: &StopFlag) -> Result<(), ReplayError> {
        let path = Path::new(input);
        if input == spool::STANDARD_INPUT {
            spool::take(path, u64::MAX, stop)?;
            self.files.push((path.to_owned(), None));
        } else if let Ok(metadata) = fs::metadata(path) {
            self.named(path, &metadata, stop)?;
        } else if input.contains(['*', '?', '[']) {
            self.pattern(input)?;
        } else {
            let text = match path.is_symlink() {
                true => format!("\"{input}\" is a link to a file that is not there"),
                false => format!("there is no file \"{input}\""),
            };
            return Err(ReplayError::NothingToRead(text));
        }
        Ok(())
    }

    /// What is named is taken, whatever its ending.
    fn named(
        &mut self,
        path: &Path,
        metadata: &Metadata,
        stop: &StopFlag,
    ) -> Result<(), ReplayError> {
        if metadata.is_dir() {
            let before = self.not_taken.len();
            if self.walk(path, metadata)? {
                return Ok(());
            }
            let text = format!("{} is a folder without trade files", path.display());
            return Err(self.nothing(text, before));
        }
        if !metadata.is_file() {
            spool::take(path, u64::MAX, stop)?;
        }
        self.files.push((path.to_owned(), Some(identity(metadata))));
        Ok(())
    }

    fn pattern(&mut self, input: &str) -> Result<(), ReplayError> {
        let before = self.not_taken.len();
        let mut any = false;
        let fixed = Path::new(input).components().take_while(|part| !is_pattern(part)).count();
        for path in matches(input)? {
            match in_hidden_folder(&path, fixed) {
                Some(reason) => self.not_taken.push(NotTaken { path, reason }),
                None => any |= self.found(path)?,
            }
        }
        if any {
            return Ok(());
        }
        Err(self.nothing(format!("no file matches \"{input}\""), before))
    }

    fn nothing(&self, text: String, before: usize) -> ReplayError {
        let not_taken = &self.not_taken[before..];
        ReplayError::NothingToRead(match not_taken {
            [] => text,
            passed_over => format!("{text}; {}", PlanNote::NotTaken(passed_over.to_vec())),
        })
    }

    /// Takes every input below a folder, as the archive's own layout nests them. Returns whether
    /// there is one.
    fn walk(&mut self, folder: &Path, metadata: &Metadata) -> Result<bool, ReplayError> {
        if !self.folders.insert(identity(metadata)) {
            return Ok(true);
        }
        let mut any = false;
        let entries = fs::read_dir(folder).map_err(|e| ReplayError::io("list", folder, e))?;
        for entry in entries {
            any |= self.found(entry.map_err(|e| ReplayError::io("list", folder, e))?.path())?;
        }
        Ok(any)
    }

    fn found(&mut self, path: PathBuf) -> Result<bool, ReplayError> {
        match fs::metadata(&path) {
            Ok(metadata) => self.entry(path, &metadata),
            Err(error) if error.kind() == ErrorKind::NotFound && path.is_symlink() => {
                self.not_taken.push(NotTaken { path, reason: Reason::DanglingLink });
                Ok(false)
            }
            Err(error) => Err(ReplayError::io("open", &path, error)),
        }
    }

    /// What lies in a folder or matches a pattern is taken by its ending.
    fn entry(&mut self, path: PathBuf, metadata: &Metadata) -> Result<bool, ReplayError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let reason = if let Some(reason) = hidden(&name) {
            reason
        } else if metadata.is_dir() {
            if !(self.folders.contains(&identity(metadata)) && path.is_symlink()) {
                return self.walk(&path, metadata);
            }
            Reason::FolderReadAlready
        } else if let Some(kind) = special(metadata.file_type()) {
            Reason::NotAFile(kind)
        } else if let Some(archive) = strip_ending(&path, ".checksum") {
            // It is read with its archive.
            if archive.exists() {
                return Ok(false);
            }
            Reason::ChecksumAlone
        } else if let Some(reason) = (self.choose)(&path) {
            reason
        } else {
            self.files.push((path, Some(identity(metadata))));
            return Ok(true);
        };
        self.not_taken.push(NotTaken { path, reason });
        Ok(false)
    }

    fn finish(self) -> Found {
        let mut notes = Vec::new();
        let (paths, same) = each_once(self.files);
        let mut not_taken = self.not_taken;
        not_taken.sort();
        not_taken.dedup();
        not_taken.retain(|passed_over| !paths.contains(&passed_over.path));
        if !not_taken.is_empty() {
            notes.push(PlanNote::NotTaken(not_taken));
        }
        if !same.is_empty() {
            notes.push(PlanNote::SameFile(same));
        }
        Found { paths, notes }
    }
}

/// Takes a file that has several paths (or was named twice) once, unless they name different
/// instruments: then it is the file of each.
fn each_once(files: Vec<(PathBuf, Option<Identity>)>) -> (BTreeSet<PathBuf>, Vec<SameFile>) {
    let mut by_identity: BTreeMap<Identity, Vec<PathBuf>> = BTreeMap::new();
    let mut paths = BTreeSet::new();
    let mut same = Vec::new();
    for (path, identity) in files {
        match identity {
            Some(identity) => by_identity.entry(identity).or_default().push(path),
            None => drop(paths.insert(path)),
        }
    }
    for mut aliases in by_identity.into_values() {
        aliases.sort_by_cached_key(|path| {
            (path.is_symlink(), naming::read(path).symbol.is_none(), path.clone())
        });
        let mut kept: Vec<PathBuf> = Vec::new();
        for path in aliases {
            let told = naming::read(&path);
            let twin = kept.iter().find(|kept| {
                let other = naming::read(kept);
                let same = (&other.symbol, other.market, other.input)
                    == (&told.symbol, told.market, told.input);
                same || told.symbol.is_none()
            });
            match twin {
                Some(twin) => same.push(SameFile { path, read_as: twin.clone() }),
                None => kept.push(path),
            }
        }
        paths.extend(kept);
    }
    same.sort();
    (paths, same)
}

/// Paths that match a pattern. Names that are not UTF-8 are compared with replacement characters.
fn matches(input: &str) -> Result<Vec<PathBuf>, ReplayError> {
    let wrong = |error: glob::PatternError| {
        ReplayError::NothingToRead(format!("\"{input}\" is not a pattern: {error}"))
    };
    let unreadable = |error: glob::GlobError| {
        let path = error.path().to_owned();
        ReplayError::io("list", &path, error.into())
    };
    let mut found = BTreeSet::new();
    for path in glob::glob(input).map_err(wrong)? {
        found.insert(path.map_err(unreadable)?);
    }
    let (folders, last) = match input.rsplit_once('/') {
        Some((folder, last)) => (format!("{folder}/"), last),
        None => (".".to_owned(), input),
    };
    let last = glob::Pattern::new(last).map_err(wrong)?;
    for folder in glob::glob(&folders).map_err(wrong)? {
        let folder = folder.map_err(unreadable)?;
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let name = entry.map_err(|e| ReplayError::io("list", &folder, e))?.file_name();
            if name.to_str().is_none() && last.matches(&name.to_string_lossy()) {
                found.insert(folder.join(name));
            }
        }
    }
    Ok(found.into_iter().collect())
}

/// Why what has this name is hidden, as it is to Spark and Hive; none if it is not. A partition folder may begin with
/// the same sign: `_day=1`.
fn hidden(name: &str) -> Option<Reason> {
    match name.as_bytes().first()? {
        b'.' if name != "." && name != ".." => Some(Reason::Hidden),
        b'_' if !name.contains('=') => Some(Reason::Uncommitted),
        _ => None,
    }
}

fn is_pattern(part: &Component<'_>) -> bool {
    part.as_os_str().to_string_lossy().contains(['*', '?', '['])
}

/// Why a path that a pattern matches is hidden by one of its folders, beyond so many that the pattern names.
fn in_hidden_folder(path: &Path, named: usize) -> Option<Reason> {
    let folders = path.parent()?.components().skip(named);
    folders.filter_map(|folder| hidden(&folder.as_os_str().to_string_lossy())).next()
}

fn has_ending(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Whether a path ends so, in any case.
pub fn ends_with(path: &Path, ending: &str) -> bool {
    let name = path.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
    name.to_ascii_lowercase().ends_with(ending)
}

fn strip_ending(path: &Path, ending: &str) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let stem = name.len().checked_sub(ending.len())?;
    let is_it = name.get(stem..)?.eq_ignore_ascii_case(ending);
    is_it.then(|| path.with_file_name(&name[..stem]))
}

fn reason_of(name: &str) -> Reason {
    const PACKED: [&str; 10] =
        [".bz2", ".xz", ".lzma", ".lz4", ".7z", ".rar", ".tar", ".tar.gz", ".tgz", ".z"];
    let name = name.to_ascii_lowercase();
    if PACKED.iter().any(|ending| name.ends_with(ending)) {
        Reason::PackedOtherwise
    } else {
        Reason::NoTrades
    }
}
