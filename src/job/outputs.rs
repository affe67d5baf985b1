//! Outputs destroy nothing: no input, no other output, nothing of somebody else.
//!
//! Everything is checked before anything is opened for writing. Files are told by device and inode, so
//! links and other spellings of a path make no difference.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use barflow_replay::atomic_file::is_unfinished;
use barflow_replay::store::layout;
use barflow_replay::{files, output};

/// An output that would destroy something.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", .output)]
pub struct OutputError {
    /// What it was asked for with, and its path.
    output: String,
    /// What is wrong with it.
    problem: String,
}

/// How the content of an output begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Lines whose first one has all of these words: our own are known by them.
    Lines(&'static [&'static str]),
    /// Text that begins with this.
    Text(&'static str),
}

/// Bars as lines of any kind.
pub const BARS: Content = Content::Lines(&["spec", "instrument", "open_time"]);
/// How far bars are complete.
pub const PROGRESS: Content = Content::Lines(&["spec", "instrument", "complete_trade_id"]);
/// Totals by day.
pub const DAILY: Content = Content::Lines(&["day", "{"]);
/// Rejected rows.
pub const REJECTS: Content = Content::Lines(&["source", "field", "reason"]);
/// Gaps of feeds.
pub const GAPS: Content = Content::Lines(&["feed", "instrument"]);

/// What an output does to what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Use {
    /// Replaces the file.
    Replaced(Content),
    /// Adds to the file.
    Appended(Content),
    /// Adds to a file of bars; what opens it looks at what is there.
    Grown,
    /// A file of ours alone: state that is there is ours.
    State,
    /// Files in a folder of which these are replaced; none other may be there, if that is said.
    Folder(Option<FolderFiles>),
}

/// Names of the files that a run may write into a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FolderFiles {
    /// With what they end.
    pub ending: &'static str,
    /// All of them.
    pub files: Vec<String>,
}

/// Where a run writes.
#[derive(Clone, Debug)]
struct Output {
    option: &'static str,
    path: PathBuf,
    what: Use,
}

/// Everything that a run reads.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// Files, folders and patterns as they were given.
    pub given: Vec<String>,
    /// The files found.
    pub files: Vec<PathBuf>,
    /// Whether any file of a folder is read, whatever its name: recordings.
    pub any_name: bool,
}

impl Inputs {
    /// Trade files as they were given, or those of a store.
    pub fn of_files(files: &[String], store: Option<&Path>) -> Self {
        let given = match store {
            None => files.to_vec(),
            Some(store) => [layout::TRADES, layout::ARCHIVE]
                .map(|folder| store.join(folder).display().to_string())
                .to_vec(),
        };
        Self { given, ..Self::default() }
    }
}

/// Everything that a run writes.
#[derive(Clone, Debug, Default)]
pub struct Outputs(Vec<Output>);

impl Outputs {
    /// A file that is replaced.
    pub fn replaces(self, option: &'static str, path: Option<&Path>, content: Content) -> Self {
        self.with(option, path, Use::Replaced(content))
    }

    /// A file that is added to.
    pub fn appends(self, option: &'static str, path: Option<&Path>, content: Content) -> Self {
        self.with(option, path, Use::Appended(content))
    }

    /// A file of bars that is added to.
    pub fn grows(self, option: &'static str, path: Option<&Path>) -> Self {
        self.with(option, path, Use::Grown)
    }

    /// A file with a job's state.
    pub fn state(self, option: &'static str, path: Option<&Path>) -> Self {
        self.with(option, path, Use::State)
    }

    /// A folder whose files are replaced. With names, a file of another kind or name is a reason to
    /// refuse.
    pub fn folder(
        self,
        option: &'static str,
        path: Option<&Path>,
        names: Option<FolderFiles>,
    ) -> Self {
        self.with(option, path, Use::Folder(names))
    }

    fn with(mut self, option: &'static str, path: Option<&Path>, what: Use) -> Self {
        let path = path.filter(|path| *path != Path::new("-"));
        self.0.extend(path.map(|path| Output { option, path: path.to_owned(), what }));
        self
    }

    /// Checks all of them; returns the files that will be replaced.
    ///
    /// # Errors
    /// The first output that would destroy something.
    pub fn check(&self, inputs: &Inputs) -> Result<Vec<PathBuf>, OutputError> {
        let given = inputs.given.iter().map(Path::new).filter(|given| given.is_file());
        let input_ids: Vec<(FileId, &Path)> = given
            .chain(inputs.files.iter().map(PathBuf::as_path))
            .map(|file| (FileId::of(file), file))
            .collect();
        let mut earlier = Vec::new();
        let mut seen: Vec<(FileId, &Output)> = Vec::new();
        for output in &self.0 {
            let id = FileId::of(&output.path);
            if let Some((_, input)) = input_ids.iter().find(|(input, _)| *input == id) {
                return Err(output.refused(format!("it is an input: \"{}\"", input.display())));
            }
            if let Some((_, other)) = seen.iter().find(|(other, _)| *other == id) {
                return Err(output.refused(format!("{} writes the same file", other.option)));
            }
            output.check_read_again(inputs)?;
            for path in output.earlier(&input_ids)? {
                if !earlier.contains(&path) {
                    earlier.push(path);
                }
            }
            seen.push((id, output));
        }
        Ok(earlier)
    }

    /// As [`Self::check`]; a file that would be replaced is an error as well.
    ///
    /// # Errors
    /// The first output that exists, or would destroy something.
    pub fn check_new(&self, inputs: &Inputs) -> Result<(), OutputError> {
        match self.check(inputs)?.first() {
            None => Ok(()),
            Some(there) => Err(OutputError {
                output: format!("\"{}\"", there.display()),
                problem: "it is there already, and --no-clobber was given".to_owned(),
            }),
        }
    }
}

impl Output {
    fn refused(&self, problem: impl Into<String>) -> OutputError {
        let output = format!("{} \"{}\"", self.option, self.path.display());
        OutputError { output, problem: problem.into() }
    }

    fn unreadable(&self, error: &io::Error) -> OutputError {
        self.refused(format!("it cannot be looked at: {error}"))
    }

    /// The files of an earlier run that this one replaces.
    fn earlier(&self, inputs: &[(FileId, &Path)]) -> Result<Vec<PathBuf>, OutputError> {
        // What is replaced takes the place of a link; what is added to would be written through it.
        let grows = matches!(self.what, Use::Appended(_) | Use::Grown);
        if grows && output::is_link(&self.path) {
            return Err(self.refused(
                "it is a symbolic link, which is not written through; name the file itself, or remove \
                 the link",
            ));
        }
        let metadata = match fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.unreadable(&error)),
        };
        match &self.what {
            Use::Folder(_) if !metadata.is_dir() => Err(self.refused("it is not a folder")),
            Use::Folder(None) => Ok(Vec::new()),
            Use::Folder(Some(names)) => self.earlier_in_folder(names, inputs),
            _ if metadata.is_dir() => Err(self.refused("it is a folder; name a file in it")),
            Use::Replaced(_) if !metadata.is_file() => {
                Err(self.refused("it is not a regular file; --out - writes to standard output"))
            }
            Use::Replaced(content) | Use::Appended(content) if metadata.is_file() => {
                self.check_content(*content)?;
                let is_replaced = matches!(self.what, Use::Replaced(_));
                Ok(if is_replaced { vec![self.path.clone()] } else { Vec::new() })
            }
            Use::Replaced(_) | Use::Appended(_) | Use::Grown | Use::State => Ok(Vec::new()),
        }
    }

    /// What is replaced or added to must be what an earlier run wrote.
    fn check_content(&self, content: Content) -> Result<(), OutputError> {
        const LOOKED_AT: u64 = 1 << 16;
        let mut begins = Vec::new();
        let read = files::open(&self.path).and_then(|file| {
            let mut file = BufReader::new(file.take(LOOKED_AT));
            file.read_until(b'\n', &mut begins)
        });
        read.map_err(|error| self.unreadable(&error))?;
        let begins = String::from_utf8_lossy(&begins);
        let is_ours = begins.is_empty()
            || match content {
                Content::Lines(words) => words.iter().all(|word| begins.contains(word)),
                Content::Text(begin) => begins.trim_start().starts_with(begin),
            };
        match is_ours {
            true => Ok(()),
            false => Err(self.refused(
                "a file of another kind is there, which no earlier run wrote; remove it, or name \
                 another",
            )),
        }
    }

    fn earlier_in_folder(
        &self,
        names: &FolderFiles,
        inputs: &[(FileId, &Path)],
    ) -> Result<Vec<PathBuf>, OutputError> {
        let mut earlier = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(|error| self.unreadable(&error))? {
            let entry = entry.map_err(|error| self.unreadable(&error))?;
            let name = entry.file_name();
            let text = name.to_string_lossy();
            let is_state = ["barflow.journal", "barflow.checkpoint"].contains(&&*text);
            if text.starts_with('.') || is_state || is_unfinished(&name) || entry.path().is_dir() {
                continue;
            }
            let path = entry.path();
            let id = FileId::of(&path);
            if let Some((_, input)) = inputs.iter().find(|(input, _)| *input == id) {
                let text = format!("it holds an input: \"{}\"", input.display());
                return Err(self.refused(text));
            }
            if !names.files.iter().any(|file| *file == *text) {
                let whose = match text.ends_with(names.ending) {
                    true => "of another run, which would stay beside the new ones",
                    false => "that no run wrote",
                };
                return Err(self.refused(format!(
                    "it holds a file {whose}: \"{text}\"; name another folder, or remove it"
                )));
            }
            earlier.push(path);
        }
        earlier.sort();
        Ok(earlier)
    }

    /// An output among the inputs is read by the next run.
    fn check_read_again(&self, inputs: &Inputs) -> Result<(), OutputError> {
        let is_folder = matches!(self.what, Use::Folder(_));
        let path = absolute(&self.path);
        let is_taken = is_folder || inputs.any_name || is_input_name(&path);
        for given in &inputs.given {
            let given_path = Path::new(given);
            let is_read = if given_path.is_dir() {
                let folder = absolute(given_path);
                match inputs.any_name {
                    // Recordings of a folder are the files in it; trade files are found below it too.
                    true if is_folder => path == folder,
                    true => path.parent() == Some(&folder),
                    false => path.starts_with(&folder),
                }
            } else {
                let pattern = match given_path.is_absolute() {
                    true => given.clone(),
                    false => current_dir().join(given).display().to_string(),
                };
                !given_path.exists() && !is_folder && is_matched(&pattern, &self.path)
            };
            if is_taken && is_read {
                let text = format!(
                    "it lies in \"{given}\", from where the next run would read it; choose another \
                     place"
                );
                return Err(self.refused(text));
            }
        }
        Ok(())
    }
}

/// Whether files of this name are read from folders.
fn is_input_name(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    ["zip", "csv", "gz", "zst", "parquet", "txt"].contains(&&*ending)
}

fn is_matched(pattern: &str, path: &Path) -> bool {
    let typed = if path.is_absolute() { path.to_owned() } else { current_dir().join(path) };
    glob::Pattern::new(pattern).is_ok_and(|pattern| pattern.matches_path(&typed))
}

fn current_dir() -> PathBuf {
    std::env::current_dir().unwrap_or_default()
}

/// The path without links, as far as it exists.
fn absolute(path: &Path) -> PathBuf {
    if let Ok(path) = fs::canonicalize(path) {
        return path;
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if !parent.as_os_str().is_empty() => absolute(parent).join(name),
        _ => absolute_here(path),
    }
}

fn absolute_here(path: &Path) -> PathBuf {
    let here = current_dir();
    fs::canonicalize(&here).unwrap_or(here).join(path)
}

/// Which file a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum FileId {
    /// Device and inode.
    #[cfg(unix)]
    Node(u64, u64),
    /// Where it would be.
    Path(PathBuf),
}

impl FileId {
    fn of(path: &Path) -> Self {
        #[cfg(unix)]
        if let Ok(found) = fs::metadata(path) {
            use std::os::unix::fs::MetadataExt;
            return Self::Node(found.dev(), found.ino());
        }
        Self::Path(absolute(path))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn inputs(files: &[&Path], given: &[&Path]) -> Inputs {
        Inputs {
            given: given.iter().map(|path| path.display().to_string()).collect(),
            files: files.iter().map(|path| path.to_path_buf()).collect(),
            any_name: false,
        }
    }

    #[cfg(unix)]
    #[test]
    fn an_input_is_known_under_every_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("in.csv"), "1,2,3\n").unwrap();
        fs::create_dir(at("sub")).unwrap();
        std::os::unix::fs::symlink(at("in.csv"), at("link.jsonl")).unwrap();
        std::os::unix::fs::symlink(folder.path(), at("sub/up")).unwrap();
        fs::hard_link(at("in.csv"), at("hard.jsonl")).unwrap();
        let inputs = inputs(&[&at("in.csv")], &[]);
        for name in
            ["in.csv", "link.jsonl", "hard.jsonl", "sub/../in.csv", "sub/up/in.csv", "./in.csv"]
        {
            let path = at(name);
            for outputs in [
                Outputs::default().replaces("--out", Some(&path), BARS),
                Outputs::default().appends("--quarantine", Some(&path), REJECTS),
                Outputs::default().state("--out", Some(&path)),
            ] {
                let error = outputs.check(&inputs).unwrap_err().to_string();
                assert!(error.contains("it is an input"), "{name}: {error}");
            }
        }
        assert_eq!(
            Outputs::default()
                .replaces("--out", Some(Path::new("-")), BARS)
                .check(&inputs)
                .unwrap(),
            Vec::<PathBuf>::new()
        );
    }

    #[test]
    fn only_what_an_earlier_run_wrote_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bars.jsonl");
        let outputs = Outputs::default().replaces("--out", Some(&path), BARS);
        assert_eq!(outputs.check(&Inputs::default()).unwrap(), Vec::<PathBuf>::new());
        for (text, is_ours) in [
            ("", true),
            ("{\"spec\":\"t\",\"instrument\":\"a:b:c\",\"open_time\":1}\n", true),
            ("spec,instrument,venue,market,symbol,input,seq,open_time\n", true),
            ("1,2,3\n", false),
            ("PK\u{3}\u{4}", false),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(outputs.check(&Inputs::default()).is_ok(), is_ours, "{text:?}");
            assert!(outputs.check_new(&Inputs::default()).is_err(), "{text:?}");
        }
        let error = Outputs::default().replaces("--out", Some(folder.path()), BARS);
        assert!(error.check(&Inputs::default()).unwrap_err().to_string().contains("is a folder"));
    }

    #[test]
    fn a_folder_is_of_one_run() {
        let folder = tempfile::tempdir().unwrap();
        let names = FolderFiles { ending: ".parquet", files: vec!["a.t.parquet".to_owned()] };
        let outputs = Outputs::default().folder("--out", Some(folder.path()), Some(names));
        for name in ["a.t.parquet", ".hidden", "barflow.journal", "a.t.parquet.unfinished-x1"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        assert_eq!(outputs.check(&Inputs::default()).unwrap(), [folder.path().join("a.t.parquet")]);
        for name in ["a.u.parquet", "notes.txt"] {
            fs::write(folder.path().join(name), "x").unwrap();
            assert!(outputs.check(&Inputs::default()).unwrap_err().to_string().contains(name));
            fs::remove_file(folder.path().join(name)).unwrap();
        }
        let input = folder.path().join("a.t.parquet");
        assert!(
            outputs.check(&inputs(&[&input], &[])).unwrap_err().to_string().contains("an input")
        );
    }

    #[test]
    fn an_output_is_not_laid_where_the_next_run_reads() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let pattern = at("*.csv");
        let file = |name: &str| Outputs::default().replaces("--out", Some(&at(name)), BARS);
        let given = inputs(&[], &[folder.path()]);
        assert!(
            file("bars.csv").check(&given).is_err() && file("new/bars.CSV").check(&given).is_err()
        );
        assert!(file("bars.jsonl").check(&given).is_ok());
        assert!(Outputs::default().folder("--out", Some(&at("bars")), None).check(&given).is_err());
        assert!(file("bars.csv").check(&inputs(&[], &[&pattern])).is_err());
        assert!(file("bars.jsonl").check(&inputs(&[], &[&pattern])).is_ok());
        let recordings = Inputs { any_name: true, ..given };
        assert!(file("bars.jsonl").check(&recordings).is_err());
    }

    proptest! {
        /// Whatever the places are, no two of them are one file, and none is an input.
        #[test]
        fn no_file_has_two_uses(names in prop::collection::vec(0usize..4, 1..4), input in 0usize..4) {
            let folder = tempfile::tempdir().unwrap();
            let paths: Vec<PathBuf> = (0..4).map(|n| folder.path().join(format!("{n}"))).collect();
            fs::write(&paths[input], "").unwrap();
            let mut outputs = Outputs::default();
            for name in &names {
                outputs = outputs.state("--out", Some(&paths[*name]));
            }
            let mut uses = names.clone();
            uses.push(input);
            uses.sort_unstable();
            let once = uses.windows(2).all(|pair| pair[0] != pair[1]);
            prop_assert_eq!(outputs.check(&inputs(&[&paths[input]], &[])).is_ok(), once);
        }
    }
}
