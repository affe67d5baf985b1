//! Which files a journal is for, and whether they are this job's.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use barflow_replay::atomic_file::remove_leftovers;
use barflow_replay::files::Access;

use super::super::atomic_file::refused;
use crate::checkpoints::job::JobName;
use crate::graph::sink::SinkError;
use crate::sinks::local_checkpoint::{LocalCheckpoint, LocalError};
use crate::sinks::parquet::FileInfo;
use crate::sinks::progress_file::ProgressFile;
use crate::sinks::roll::Roll;
use crate::sinks::text::LineFormat;

/// What the journal becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A file of lines.
    Lines(LineFormat, PathBuf),
    /// A folder of Parquet files.
    Parquet(PathBuf),
}

impl Output {
    fn beside(&self, what: &str) -> PathBuf {
        match self {
            Self::Lines(_, file) => {
                let mut name = file.as_os_str().to_owned();
                name.push(format!(".{what}"));
                name.into()
            }
            Self::Parquet(folder) => folder.join(format!("barflow.{what}")),
        }
    }

    /// Path of the checkpoint.
    pub fn checkpoint(&self) -> PathBuf {
        self.beside("checkpoint")
    }

    /// The file or folder.
    pub fn path(&self) -> &Path {
        match self {
            Self::Lines(_, path) | Self::Parquet(path) => path,
        }
    }
}

/// When bars leave the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// At the end of the run, all of them.
    AtEnd,
    /// Never: the journal is the file.
    Grows(LineFormat),
    /// With each part.
    Rolls(Roll),
}

/// Which files, whose, and in which way.
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// The files.
    pub output: Output,
    /// The job.
    pub job: JobName,
    /// Where parts of Parquet end if this is a live job, whose bars cannot be made again and which
    /// has no end but that it is stopped.
    pub live: Option<Roll>,
    /// What Parquet files say of themselves.
    pub info: FileInfo,
    /// Where progress goes, if it does.
    pub progress: Option<ProgressFile>,
    /// Whether the job is going to be [reset](super::JournaledSink::reset): a checkpoint that cannot be
    /// read passes for none.
    pub resets: bool,
}

impl JournalOptions {
    pub(super) fn shape(&self) -> Shape {
        match (&self.output, self.live) {
            (_, None) => Shape::AtEnd,
            (Output::Lines(format, _), Some(_)) => Shape::Grows(*format),
            (Output::Parquet(_), Some(roll)) => Shape::Rolls(roll),
        }
    }

    pub(super) fn journal(&self) -> PathBuf {
        journal_of(&self.output, self.shape())
    }

    /// The checkpoint beside the files; none if there is none. Files of another job are left alone.
    pub(super) fn checkpoint(&self) -> Result<Option<LocalCheckpoint>, LocalError> {
        let path = self.output.checkpoint();
        remove_leftovers(&path).map_err(|e| LocalError::Disk(refused("write", &path, &e)))?;
        let read = match LocalCheckpoint::read(&path) {
            Err(LocalError::Unreadable { .. }) if self.resets => None,
            read => read?,
        };
        let mine = |key: &String| JobName::of_key(key).is_none_or(|job| job == self.job);
        let refuse = |whose: String| {
            Err(LocalError::Disk(SinkError::Settings(vec![format!(
                "\"{}\" belongs to {whose}, as \"{}\" says; name another --out",
                self.output.path().display(),
                path.display()
            )])))
        };
        match &read {
            Some(found) if found.live.is_some() && self.live.is_none() => {
                refuse("a live job".to_owned())
            }
            Some(found) if found.live.is_none() && self.live.is_some() && !found.is_new() => {
                refuse("a replay".to_owned())
            }
            Some(found) if !self.resets => match found.entries.keys().find(|key| !mine(key)) {
                Some(key) => {
                    let other = JobName::of_key(key).map(|job| job.to_string());
                    refuse(format!("job \"{}\"", other.unwrap_or_default()))
                }
                None => Ok(read),
            },
            _ => Ok(read),
        }
    }

    /// Checks that what lies where a new job's files are going to be is not somebody else's.
    pub(super) fn check_place(&self, journal: &File) -> Result<(), SinkError> {
        let is_taken = match self.shape() {
            Shape::AtEnd => false,
            Shape::Grows(_) => {
                !self.resets && journal.metadata().is_ok_and(|found| found.len() > 0)
            }
            // Parts are numbered from 0: they would replace those that are there.
            Shape::Rolls(_) => std::fs::read_dir(self.output.path()).is_ok_and(|mut entries| {
                let name = |entry: std::fs::DirEntry| entry.path();
                let ending = |path: PathBuf| path.extension().is_some_and(|e| e == "parquet");
                entries.any(|entry| entry.is_ok_and(|entry| ending(name(entry))))
            }),
        };
        if !is_taken {
            return Ok(());
        }
        Err(SinkError::Settings(vec![format!(
            "\"{}\" exists and job \"{}\" did not write it: a live job only adds to its own files; \
             name another --out, or move it away",
            self.output.path().display(),
            self.job
        )]))
    }
}

pub(super) fn journal_of(output: &Output, shape: Shape) -> PathBuf {
    match shape {
        Shape::Grows(_) => output.path().to_owned(),
        Shape::AtEnd | Shape::Rolls(_) => output.beside("journal"),
    }
}

/// Opens a journal for this process alone.
pub(super) fn open_alone(path: &Path, job: &JobName) -> Result<File, SinkError> {
    crate::sinks::create_folder_of(path)?;
    // The bars themselves are for all who may read them, at the place that was named; a journal is a
    // job's own.
    let is_journal = path.extension().is_some_and(|end| end == "journal");
    let access = if is_journal { Access::Group } else { Access::Usual };
    let journal = access.open_own(path).map_err(|e| refused("open", path, &e))?;
    match journal.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(SinkError::Fenced(format!(
                "another copy of job \"{job}\" is writing \"{}\"",
                path.display()
            )));
        }
        // Some network file systems know no locks.
        Err(TryLockError::Error(error)) => {
            tracing::warn!("\"{}\" cannot be locked: {error}", path.display());
        }
    }
    Ok(journal)
}

/// The first of `PATH.1`, `PATH.2`, … that is not there.
pub(super) fn free_name(path: &Path) -> PathBuf {
    let numbered = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    (1..u32::MAX).map(numbered).find(|name| !name.exists()).unwrap_or_else(|| numbered(0))
}

/// Where the checkpoint of an output would be, whichever kind it is.
pub fn checkpoint_beside(path: &Path) -> PathBuf {
    if path.is_dir() {
        Output::Parquet(path.to_owned()).checkpoint()
    } else if path.extension().is_some_and(|end| end == "checkpoint") {
        path.to_owned()
    } else {
        Output::Lines(LineFormat::Csv, path.to_owned()).checkpoint()
    }
}
