//! Which files make up each instrument's history, in which order, and how each is read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barflow_operators::batch::Feed;
use barflow_operators::instrument::InstrumentId;
use barflow_operators::read_before::{FilesRead, SeenFile};
use barflow_operators::trade::Trade;

use crate::columns::choice::ColumnChoice;
use crate::columns::market::Market;
use crate::decode::Container;
use crate::file_part::FilePart;
use crate::merge::Beginning;
use crate::named::Renames;
use crate::plan_note::PlanNote;
use crate::progress::StopFlag;
use crate::rows::{Layout, RowFormat};

/// What the user says about the files.
#[derive(Clone, Debug, Default)]
pub struct PlanOptions {
    /// The instrument of all files; those that name another one are refused.
    pub instrument: Option<InstrumentId>,
    /// Which files may be of that instrument although they name another one.
    pub renames: Renames,
    /// First event time wanted, ns.
    pub from: Option<i64>,
    /// First event time no longer wanted, ns.
    pub to: Option<i64>,
    /// Take the quote column of files that have one.
    pub quote_from_source: bool,
    /// Quote value of one contract of inverse instruments; the venue's rule if not given.
    pub contract_size: Option<f64>,
    /// Ends a look at files that takes long.
    pub stop: StopFlag,
    /// Which column holds what; by their header if not given.
    pub columns: Option<ColumnChoice>,
    /// Keep ticks that LEAN flags as suspicious.
    pub keep_suspicious: bool,
}

impl PlanOptions {
    /// The instrument that was given, unless files are to be renamed to it.
    pub fn unrenamed(&self) -> Option<&InstrumentId> {
        self.instrument.as_ref().filter(|_| self.renames == Renames::Nothing)
    }
}

/// How a file's rows are read.
#[derive(Clone, Debug, PartialEq)]
pub enum FileKind {
    /// Lines of text.
    Rows(RowFormat),
    /// Rows of a Parquet file of another writer.
    Table(RowFormat),
    /// barflow's own trades.
    Parquet,
}

/// One file of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedFile {
    /// Where it is.
    pub path: PathBuf,
    /// How it is packed.
    pub container: Container,
    /// How its rows are read.
    pub kind: FileKind,
    /// Event time of its first row, ns.
    pub first_time: i64,
    /// Id of its first trade, where it has ids.
    pub first_id: Option<u64>,
    /// Which part of the file is read, and from which end.
    pub part: FilePart,
    /// Bytes on disk.
    pub bytes: u64,
    /// The first rows of the file after it, where it is names alone that say that the two do not overlap.
    pub next_rows: Arc<[Trade]>,
    /// The files that are read before it, which positions in it name; none where nothing resumes.
    pub files_read: FilesRead,
}

impl PlannedFile {
    /// The file and how it is read, all of it.
    pub fn whole(
        path: &Path,
        container: Container,
        kind: FileKind,
        first_time: i64,
        bytes: u64,
    ) -> Self {
        Self {
            path: path.to_owned(),
            container,
            kind,
            first_time,
            first_id: None,
            part: FilePart::default(),
            bytes,
            next_rows: Arc::new([]),
            files_read: FilesRead::default(),
        }
    }

    /// Whether its columns are those of Binance's futures, where they are Binance's.
    pub(crate) fn of_futures(&self) -> Option<bool> {
        let FileKind::Rows(RowFormat { layout, .. }) = &self.kind else { return None };
        let is_known = matches!(layout, Layout::Trades { .. } | Layout::AggTrades { .. });
        is_known.then(|| layout.is_of_futures())
    }

    /// What its rows say of their market.
    pub(crate) fn market(&self) -> Option<&Market> {
        let (FileKind::Rows(format) | FileKind::Table(format)) = &self.kind else { return None };
        format.market.as_deref()
    }

    /// Where its ids and times begin.
    pub fn beginning(&self) -> Option<Beginning> {
        self.first_id.map(|id| Beginning { id, time: self.first_time })
    }

    /// By what a later run knows it again.
    pub fn seen(&self) -> SeenFile {
        SeenFile { first_time: self.first_time, bytes: self.bytes }
    }

    /// The file, or `archive.zip/member.csv`.
    pub fn name(&self) -> String {
        self.part.start(&self.path).place().to_string()
    }
}

/// One instrument's history.
#[derive(Clone, Debug, PartialEq)]
pub struct InstrumentPlan {
    /// What its trades have in common.
    pub feed: Arc<Feed>,
    /// Its files, in the order in which they are read (see [`arrange`](crate::history::arrange)).
    pub files: Vec<PlannedFile>,
}

/// All histories, by instrument.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// One per instrument.
    pub instruments: Vec<InstrumentPlan>,
    /// What is worth knowing about it.
    pub notes: Vec<PlanNote>,
}

impl Plan {
    /// All files.
    pub fn paths(&self) -> impl Iterator<Item = PathBuf> {
        let files = self.instruments.iter().flat_map(|instrument| &instrument.files);
        files.map(|file| file.path.clone())
    }

    /// How many files there are.
    pub fn files(&self) -> usize {
        let paths = |i: &InstrumentPlan| {
            i.files.iter().map(|file| file.path.as_path()).collect::<BTreeSet<_>>().len()
        };
        self.instruments.iter().map(paths).sum()
    }

    /// Bytes of all files on disk.
    pub fn bytes(&self) -> u64 {
        self.instruments.iter().flat_map(|i| &i.files).map(|file| file.bytes).sum()
    }
}
