//! Progress beside files of bars: the newest record of each series, one a line, as it is left of the
//! compacted topic.
//!
//! ```text
//!   bars ─► durable, under the name that readers know ─► the file of progress, replaced as a whole
//! ```
//!
//! **Invariant:** no line speaks of a bar that is not in the files beside it, whenever the process is killed.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use barflow_operators::progress::Progress;
use barflow_replay::atomic_file::remove_leftovers;

use super::atomic_file::{self, refused};
use super::encode::json::{self, Int64};
use super::progress::ProgressRecord;
use crate::graph::sink::{BarSink, Commit, SinkError, SinkReport};

/// Name of the file in a folder of Parquet: readers of whole folders (Spark, pyarrow, Hive) pass over names
/// that begin with `_`.
pub const IN_FOLDER: &str = "_progress.jsonl";

/// What its name ends with beside a file of lines.
const SUFFIX: &str = ".progress.jsonl";

/// Whether progress goes to a file, and to which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ProgressPlace {
    /// To none.
    #[default]
    Off,
    /// To one that is named after the output.
    Beside,
    /// To this one.
    At(PathBuf),
}

impl FromStr for ProgressPlace {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "false" => Self::Off,
            "true" => Self::Beside,
            path => Self::At(path.into()),
        })
    }
}

impl ProgressPlace {
    /// The file beside an output, which is a file of lines or a folder; none if there is to be none.
    pub fn path(&self, out: &Path, is_folder: bool) -> Option<PathBuf> {
        match self {
            Self::Off => None,
            Self::Beside => Some(beside(out, is_folder)),
            Self::At(path) => Some(path.clone()),
        }
    }
}

/// `bars.progress.jsonl` beside `bars.csv`, or a file in the folder.
pub fn beside(out: &Path, is_folder: bool) -> PathBuf {
    if is_folder {
        return out.join(IN_FOLDER);
    }
    let mut name = out.file_stem().unwrap_or_default().to_owned();
    name.push(SUFFIX);
    out.with_file_name(name)
}

/// Whether a file that nobody named has such a name: it holds no bars.
pub fn is_name_of_one(name: &str) -> bool {
    name == IN_FOLDER || name.ends_with(SUFFIX)
}

/// The newest record of each series as a line, by its key.
pub type Lines = BTreeMap<String, String>;

/// The file, and how records are written there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressFile {
    /// Where it is.
    pub path: PathBuf,
    /// How 64-bit integers are written.
    pub int64: Int64,
}

impl ProgressFile {
    /// Puts newer records over those that are there.
    ///
    /// # Errors
    /// When a record cannot be written, which is none that is made of numbers and names.
    pub fn put(&self, reports: &[Progress], lines: &mut Lines) -> Result<(), SinkError> {
        for progress in reports {
            let (key, mut line) = (progress.key(), Vec::new());
            let written = json::write(&mut line, &ProgressRecord::from(progress), self.int64);
            written.map_err(|error| {
                SinkError::Refused(format!("progress of \"{key}\" could not be written: {error}"))
            })?;
            lines.insert(key, String::from_utf8_lossy(&line).into_owned());
        }
        Ok(())
    }

    /// Replaces the file by these lines; a reader finds the old or the new ones.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, lines: &Lines) -> Result<(), SinkError> {
        let mut text = String::with_capacity(lines.values().map(|line| line.len() + 1).sum());
        for line in lines.values() {
            text.extend([line, "\n"]);
        }
        atomic_file::write(&self.path, text.as_bytes())
    }

    /// Removes what an earlier run left, before its bars are replaced.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn remove(&self) -> Result<(), SinkError> {
        let removed = remove_leftovers(&self.path).and_then(|()| std::fs::remove_file(&self.path));
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(refused("replace", &self.path, &error))
            }
            _ => Ok(()),
        }
    }
}

/// When bars can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visible {
    /// All of them when the run is over.
    AtEnd,
    /// With each commit.
    AtOnce,
}

/// A sink without checkpoints, and a file of progress beside it.
pub struct WithProgress {
    sink: Box<dyn BarSink>,
    file: ProgressFile,
    visible: Visible,
    lines: Lines,
}

impl WithProgress {
    /// Writes progress of a sink's bars. Where these are added to, what was said of an earlier run goes at
    /// once: this one knows nothing of it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn new(
        sink: Box<dyn BarSink>,
        file: ProgressFile,
        visible: Visible,
    ) -> Result<Self, SinkError> {
        if visible == Visible::AtOnce {
            file.remove()?;
        }
        Ok(Self { sink, file, visible, lines: Lines::new() })
    }
}

impl BarSink for WithProgress {
    fn commit(&mut self, commit: &Commit) -> Result<(), SinkError> {
        self.sink.commit(commit)?;
        if commit.reports.is_empty() {
            return Ok(());
        }
        self.file.put(&commit.reports, &mut self.lines)?;
        match self.visible {
            Visible::AtOnce => self.file.write(&self.lines),
            Visible::AtEnd => Ok(()),
        }
    }

    fn tells_latency(&self) -> bool {
        self.sink.tells_latency()
    }

    fn finish(&mut self) -> Result<SinkReport, SinkError> {
        if self.visible == Visible::AtEnd {
            self.file.remove()?;
        }
        let report = self.sink.finish()?;
        self.file.write(&self.lines)?;
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use barflow_operators::batch::Feed;
    use barflow_operators::progress::BuilderProgress;

    use super::*;

    #[test]
    fn the_file_lies_beside_the_output() {
        let beside = |out: &str, is_folder| {
            let path = ProgressPlace::Beside.path(Path::new(out), is_folder);
            path.unwrap().display().to_string()
        };
        assert_eq!(beside("a/bars.jsonl", false), "a/bars.progress.jsonl");
        assert_eq!(beside("bars.v2.csv", false), "bars.v2.progress.jsonl");
        assert_eq!(beside("bars", false), "bars.progress.jsonl");
        assert_eq!(beside("bars.d", true), "bars.d/_progress.jsonl");
        let typed = |text: &str| text.parse::<ProgressPlace>().unwrap();
        assert_eq!(typed("false").path(Path::new("x"), false), None);
        assert_eq!(typed("true"), ProgressPlace::Beside);
        assert_eq!(typed("p.jsonl").path(Path::new("x"), true), Some("p.jsonl".into()));
    }

    fn report(symbol: &str, id: u64) -> Progress {
        Progress {
            spec: "x".into(),
            feed: Arc::new(Feed::numbered(format!("a:b:{symbol}").parse().unwrap())),
            complete_trade_id: id,
            complete_time: 7,
            builder: BuilderProgress {
                bars: id,
                open: None,
                levels: Default::default(),
                reached: None,
                warmup_left: 0,
                synchronised: Default::default(),
            },
            gap_since: None,
        }
    }

    /// Notes what the file held when it was called.
    struct Looking(PathBuf, Arc<Mutex<Vec<usize>>>);

    impl Looking {
        fn look(&self) {
            let lines = std::fs::read_to_string(&self.0).unwrap_or_default().lines().count();
            self.1.lock().unwrap().push(lines);
        }
    }

    impl BarSink for Looking {
        fn commit(&mut self, _: &Commit) -> Result<(), SinkError> {
            self.look();
            Ok(())
        }

        fn finish(&mut self) -> Result<SinkReport, SinkError> {
            self.look();
            Ok(SinkReport::default())
        }
    }

    #[test]
    fn lines_come_after_the_bars_that_they_speak_of() {
        for (visible, seen) in [(Visible::AtOnce, [0, 1, 2]), (Visible::AtEnd, [3, 3, 0])] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("p.jsonl");
            std::fs::write(&path, "of\nan earlier\nrun\n").unwrap();
            let looked = Arc::new(Mutex::new(Vec::new()));
            let sink = Box::new(Looking(path.clone(), Arc::clone(&looked)));
            let file = ProgressFile { path: path.clone(), int64: Int64::Number };
            let mut sink = WithProgress::new(sink, file, visible).unwrap();
            for reports in [vec![report("A", 1)], vec![report("B", 5), report("A", 2)]] {
                sink.commit(&Commit { reports, ..Commit::default() }).unwrap();
            }
            sink.finish().unwrap();
            assert_eq!(*looked.lock().unwrap(), seen, "{visible:?}");
            let text = std::fs::read_to_string(&path).unwrap();
            let of = |line: &str| {
                let record: serde_json::Value = serde_json::from_str(line).unwrap();
                (record["instrument"].to_string(), record["complete_trade_id"].as_u64().unwrap())
            };
            let newest: Vec<_> = text.lines().map(of).collect();
            assert_eq!(newest, [("\"a:b:A\"".to_owned(), 2), ("\"a:b:B\"".to_owned(), 5)]);
        }
    }
}
