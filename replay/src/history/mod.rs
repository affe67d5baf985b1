//! How the files of one instrument become one stream.
//!
//! ```text
//! files ─► members of archives ─► which end is the oldest ─► by time ─┬─► with ids: merged while reading
//!                                                                                 └─► without: seams, copies
//! ```
//!
//! Files with ids may overlap as they like: they are merged by id while they are read, and equal
//! rows are repeats. Rows without ids cannot be told apart, so what two files share has to be found
//! before anything is read.

mod contradiction;
mod sample;
mod seam;

use std::path::Path;
use std::sync::Arc;

use barflow_operators::batch::{Feed, IdKind};

use crate::decode::Container;
use crate::error::ReplayError;
use crate::file_part::FilePart;
use crate::members;

use crate::naming;
use crate::plan::{FileKind, InstrumentPlan, PlannedFile};
use crate::plan_note::PlanNote;
use crate::progress::{Progress, StopFlag};
use crate::read_options::ReadOptions;
use crate::spool;
use crate::trades_parquet::facts::Facts;

/// How files are looked at before they are read.
struct Look {
    feed: Arc<Feed>,
    stop: StopFlag,
}

impl Look {
    /// Time is looked at by the caller, and what is wrong with rows when they are read.
    fn options(&self, rows: usize) -> ReadOptions {
        let progress = Progress::until(self.stop.clone());
        ReadOptions { verify: false, any_order: true, progress, ..ReadOptions::new(rows) }
    }
}

/// Puts the files of an instrument into the order in which they are read, each trade once.
///
/// # Errors
/// When rows without ids overlap in a way that cannot be undone. A damaged file is left as it is:
/// reading it reports the damage.
pub fn arrange(
    instrument: &mut InstrumentPlan,
    stop: &StopFlag,
) -> Result<Vec<PlanNote>, ReplayError> {
    let look = Look { feed: Arc::clone(&instrument.feed), stop: stop.clone() };
    let mut notes = Vec::new();
    let files = std::mem::take(&mut instrument.files).into_iter().flat_map(by_member);
    let mut files: Vec<PlannedFile> =
        files.map(|file| sample::orient(&look, file, &mut notes)).collect::<Result<_, _>>()?;
    files.sort_by(|a, b| {
        let key = |file: &PlannedFile| (file.first_time, file.first_id);
        key(a).cmp(&key(b)).then_with(|| a.path.cmp(&b.path))
    });
    if instrument.feed.ids == IdKind::Ordinal {
        files = seam::join(&look, files, &mut notes)?;
    }
    instrument.files = files;
    Ok(notes)
}

/// Makes sure that the ids of files do not contradict their times; [`arrange`] does so as well.
///
/// # Errors
/// The first contradiction. A damaged file is left to its reader.
pub fn consistent(instrument: &InstrumentPlan, stop: &StopFlag) -> Result<(), ReplayError> {
    let look = Look { feed: Arc::clone(&instrument.feed), stop: stop.clone() };
    let mut files = instrument.files.iter().cloned().flat_map(by_member);
    files.try_for_each(|file| sample::orient(&look, file, &mut Vec::new()).map(drop))
}

/// Each member of an archive of several, as a file of its own: they may stand in any order.
fn by_member(file: PlannedFile) -> Vec<PlannedFile> {
    let members = match file.container {
        Container::Zip => members(&file.path).unwrap_or_default(),
        _ => Vec::new(),
    };
    if members.len() < 2 {
        return vec![file];
    }
    let of = |(name, bytes): (Arc<str>, u64)| PlannedFile {
        part: FilePart { member: Some(name), ..FilePart::default() },
        bytes,
        ..file.clone()
    };
    members.into_iter().map(of).collect()
}

/// Names and compressed bytes of the members of an archive that are read.
fn members(path: &Path) -> Option<Vec<(Arc<str>, u64)>> {
    let (mut archive, members) = members::open(path, spool::open(path).ok()?).ok()?;
    let size = |(index, name): (usize, String)| {
        let member = archive.by_index_raw(index).ok()?;
        Some((Arc::from(name), member.compressed_size()))
    };
    members.read.into_iter().map(size).collect()
}

/// Whether files next to each other are known to contain the same ids, by their names or by what is
/// quickly read of them. Others may overlap as well, which is found when they are read.
pub fn overlaps(instrument: &InstrumentPlan) -> bool {
    let feed = &instrument.feed;
    instrument.files.windows(2).any(|pair| match pair {
        [file, next] if feed.ids == IdKind::Ordinal => numbers_again(file, next),
        [file, next] => overlaps_next(feed, file, next),
        _ => false,
    })
}

/// Whether rows without ids were numbered in several runs, of which one at least kept its numbers.
fn numbers_again(file: &PlannedFile, next: &PlannedFile) -> bool {
    let facts = |file: &PlannedFile| Facts::read(&file.path).ok();
    match (&file.kind, &next.kind) {
        (FileKind::Rows(_) | FileKind::Table(_), FileKind::Rows(_) | FileKind::Table(_)) => false,
        (FileKind::Parquet, FileKind::Parquet) => {
            let last = facts(file).and_then(|facts| facts.last);
            let first = facts(next).and_then(|facts| facts.first);
            last.zip(first).is_none_or(|((last, _), (first, _))| first <= last)
        }
        _ => true,
    }
}

fn overlaps_next(feed: &Arc<Feed>, file: &PlannedFile, next: &PlannedFile) -> bool {
    if let (Some((_, last)), Some((first, _))) =
        (naming::read(&file.path).days, naming::read(&next.path).days)
    {
        return first <= last;
    }
    let (Some(beginning), Some((id, time))) = (next.beginning(), last_trade(feed, file)) else {
        return false;
    };
    beginning.id <= id && beginning.time <= time
}

/// The id and time of the last trade of a file, if they are quickly read.
fn last_trade(feed: &Arc<Feed>, file: &PlannedFile) -> Option<(u64, i64)> {
    match (&file.kind, file.container) {
        (FileKind::Parquet, _) => Facts::read(&file.path).ok()?.last,
        (FileKind::Rows { .. }, Container::Plain) => {
            let look = Look { feed: Arc::clone(feed), stop: StopFlag::default() };
            sample::last_of_plain(&look, file)
        }
        _ => None,
    }
}
