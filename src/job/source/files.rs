//! Trade files as a source of the graph: which worker reads which instrument, where reading resumes,
//! and what the user should know about the plan.

use std::path::Path;
use std::sync::Arc;

use barflow_operators::batch::{Feed, IdKind};
use barflow_operators::order::ids::Settled;
use barflow_operators::position::{FilePosition, Position};
use barflow_operators::read_before::{FilesRead, SeenFile};
use barflow_operators::sign::SignRule;
use barflow_replay::corrections::Corrections;
use barflow_replay::error::ReplayError;
use barflow_replay::line_end::was_amid_last_row;
use barflow_replay::naming;
use barflow_replay::plan::{FileKind, InstrumentPlan, Plan, PlannedFile};
use barflow_replay::read_options::ReadOptions;
use barflow_replay::resume::{Fit, NotApplied, first_not_applied, rows_fit};
use jiff::tz::TimeZone;

use crate::config::bars::BarBook;
use crate::graph::run::Workers;
use crate::job::report::Notice;
use crate::job::start::Resumption;
use crate::parallel::History;

/// The histories of each worker of this process. An instrument is read by the worker that its
/// trades would be sent to anyway, so nothing crosses between workers. An instrument with a
/// position resumes there; corrections that were due before it have been applied.
///
/// # Errors
/// When an instrument cannot resume from these files.
pub fn histories(
    plan: Plan,
    workers: &Workers,
    resumption: &Resumption,
    mut corrections: Corrections,
    read: &ReadOptions,
) -> Result<Vec<Vec<History>>, ReplayError> {
    let share = workers.share();
    let mut histories: Vec<Vec<History>> = (0..workers.here()).map(|_| Vec::new()).collect();
    for mut instrument in plan.instruments {
        let id = &instrument.feed.instrument.clone();
        if let Some(worker) = share.worker(id) {
            if let Some(before) = resumption.feeds.get(id).filter(|f| **f != instrument.feed) {
                return Err(other_trades(before, &instrument.feed));
            }
            let position = resumption.positions.get(id);
            if let Some(begin) = resumption.first_times.get(id)
                && let Some(file) = never_read(&instrument, *begin, read.from)
            {
                return Err(too_early(&instrument, file));
            }
            let settled = resumption.orders.get(id).map(|order| Arc::new(order.settled.clone()));
            let resume = match position.zip(settled.as_deref()) {
                Some((position, settled)) => go_on(&mut instrument, position, settled, read)?,
                None => {
                    name_files_read(&mut instrument, &[], 0);
                    None
                }
            };
            let mut corrections = corrections.remove(id).unwrap_or_default();
            if let Some(position) = position {
                corrections.retain(|c| Some(c.trade_id.max(c.known_after)) > position.trade_id());
            }
            let resume_time = resumption.last_times.get(id).copied();
            let plan = instrument;
            histories[worker].push(History { plan, resume, resume_time, settled, corrections });
        }
    }
    Ok(histories)
}

/// Bars of one kind of trades cannot be continued with another.
fn other_trades(before: &Feed, now: &Feed) -> ReplayError {
    let words = |feed: &Feed| {
        let aggressor = if feed.has_aggressor { "with" } else { "without" };
        format!("{} {aggressor} aggressor, ids {}", feed.input.as_str(), feed.ids.as_str())
    };
    ReplayError::Resume(format!(
        "{} was made from {}, these files contain {}",
        now.instrument,
        words(before),
        words(now)
    ))
}

/// Times this close to each other, in ns, are that of one trade and that of its neighbour, which a
/// file need not have in order: 10 s.
const BESIDE: i64 = 10_000_000_000;

/// A file that ends before the first trade that the job applied: the job was started without it, and
/// resumes after it.
fn never_read(plan: &InstrumentPlan, begin: i64, from: Option<i64>) -> Option<&PlannedFile> {
    let next = plan.files.iter().skip(1).map(|file| Some(file.first_time)).chain([None]);
    let mut files = plan.files.iter().zip(next);
    let is_never_read = |(file, next): &(&PlannedFile, Option<i64>)| {
        let ends = [*next, end_of_days(&file.path)].into_iter().flatten().min();
        file.first_time < begin
            && from.is_none_or(|from| file.first_time >= from)
            && ends.is_some_and(|end| end.saturating_sub(BESIDE) <= begin)
    };
    files.find(is_never_read).map(|(file, _)| file)
}

fn too_early(plan: &InstrumentPlan, file: &PlannedFile) -> ReplayError {
    ReplayError::Resume(format!(
        "{} begins before the first trade of {} that this job read, and would be in no bar: \
         use another --job for all files, leave this file out, or make all bars again \
         (--reset-state)",
        file.name(),
        plan.feed.instrument
    ))
}

/// Where reading resumes among these files; those before it hold nothing that was not applied. None
/// where the file of the position is gone: then what was applied is known by its ids.
///
/// # Errors
/// When the file of the position is there, but its rows are not those that were read.
pub fn go_on(
    plan: &mut InstrumentPlan,
    position: &Position,
    settled: &Settled,
    read: &ReadOptions,
) -> Result<Option<FilePosition>, ReplayError> {
    let has_ids = plan.feed.ids != IdKind::Ordinal;
    let candidates = places(plan, position);
    let (mut found, mut changed) = (None, None);
    for (place, at) in &candidates {
        match rows_fit(&plan.feed, &plan.files[*place], at, read)? {
            Fit::Same => {
                found = Some((*place, at.clone()));
                break;
            }
            Fit::LastChanged(source, line) => changed = changed.or(Some((source, line))),
            Fit::Other => {}
        }
    }
    if let Some((source, line)) = changed.filter(|_| found.is_none()) {
        return Err(last_row_changed(&source, line));
    }
    // Of another file, or changed: ids tell which of its trades are new.
    let anew = candidates.into_iter().next().map(|(place, at)| {
        let file = &plan.files[place];
        let start = file.part.start(&file.path);
        (place, FilePosition { trade_id: at.trade_id, files_read: at.files_read, ..start })
    });
    let is_there = anew.is_some();
    match found.or(anew.filter(|_| has_ids)) {
        Some((place, at)) => {
            all_applied_before(plan, place, &at, settled, read)?;
            name_files_read(plan, at.files_read.files(), place);
            Ok(Some(at))
        }
        None if has_ids => {
            name_files_read(plan, &[], 0);
            Ok(None)
        }
        None => Err(cannot_go_on(&plan.feed, position, is_there)),
    }
}

/// The last row that a job applied says something else now: ids would call it a repeat.
fn last_row_changed(source: &str, line: u64) -> ReplayError {
    ReplayError::Resume(format!(
        "{source}:{line} is the last row that the job read there, and reads differently now (if it had \
         no line end, the file was still being written): bars have what it was. Give that file with the \
         row as it was, or make all bars again (--reset-state)"
    ))
}

fn cannot_go_on(feed: &Feed, position: &Position, is_there: bool) -> ReplayError {
    let what = match is_there {
        true => format!(
            "in whose place is now a file of other rows: those before line {} are not the ones that \
             were read there",
            position.line()
        ),
        false => "which is not among the files".to_owned(),
    };
    ReplayError::Resume(format!(
        "{} stopped in \"{}\", {what}. Its trades have no ids to resume by: give that file as it was \
         (it may have grown) and new trades in files of their own, or make all bars again \
         (--reset-state)",
        feed.instrument,
        position.source()
    ))
}

/// Checks that no file before that of the position holds trades that were not applied.
fn all_applied_before(
    plan: &InstrumentPlan,
    place: usize,
    at: &FilePosition,
    settled: &Settled,
    read: &ReadOptions,
) -> Result<(), ReplayError> {
    let seen = at.files_read.files();
    for (file, next) in plan.files.iter().zip(plan.files.iter().skip(1)).take(place) {
        let is_unwanted = read.from.is_some_and(|from| next.first_time <= from);
        if seen.contains(&file.seen()) || is_unwanted {
            continue;
        }
        let what = if plan.feed.ids != IdKind::Ordinal {
            let Some(lost) = first_not_applied(&plan.feed, file, settled, read)? else {
                last_row_was_whole(file, seen)?;
                continue;
            };
            let NotApplied { source, line, id } = lost;
            format!("{source}:{line} has trade {id}")
        } else if let Some(read) = seen.iter().find(|read| read.first_time == file.first_time) {
            return Err(not_the_one_read(file, read.bytes, at));
        } else {
            format!("{} was not there when its time was read", file.name())
        };
        return Err(ReplayError::Resume(format!(
            "{what}, but the job has read on to \"{}\" without it, and its trades would be in no \
             bar: leave this file out, or make all bars again (--reset-state)",
            at.source
        )));
    }
    Ok(())
}

/// A row that was cut, and is whole now, has an id that was applied.
fn last_row_was_whole(file: &PlannedFile, seen: &[SeenFile]) -> Result<(), ReplayError> {
    let same = seen.iter().filter(|read| read.first_time == file.first_time);
    for read in same {
        let was = was_amid_last_row(&file.path, file.container, read.bytes);
        if was.map_err(|e| ReplayError::io("read", &file.path, e))? {
            return Err(ReplayError::Resume(format!(
                "{} had {} bytes when the job read it, the last of them amid its last row, which \
                 continues now: bars have what it was. Give that file as it was, or make all bars again \
                 (--reset-state)",
                file.name(),
                read.bytes
            )));
        }
    }
    Ok(())
}

/// A file without ids that begins as one that was read, and has another size.
fn not_the_one_read(file: &PlannedFile, bytes: u64, at: &FilePosition) -> ReplayError {
    ReplayError::Resume(format!(
        "{} is not the file that was read: it has {} bytes, and the one that began at the same time had \
         {bytes}. The job has read on to \"{}\", and the trades have no ids that would tell whether any \
         of them are new. If it was only compressed or written differently, leave it out or give the \
         file that was read; if it has other rows, make all bars again (--reset-state)",
        file.name(),
        file.bytes,
        at.source
    ))
}

/// Tells each file which were read before it: these, then those of the plan from `place` on.
pub fn name_files_read(plan: &mut InstrumentPlan, before: &[SeenFile], place: usize) {
    let (passed, ahead) = plan.files.split_at_mut(place);
    let unknown = passed.iter().map(PlannedFile::seen).filter(|file| !before.contains(file));
    let mut all: Vec<SeenFile> = before.iter().copied().chain(unknown).collect();
    let first = all.len();
    all.extend(ahead.iter().map(PlannedFile::seen));
    let all: Arc<[SeenFile]> = all.into();
    for (read, file) in (first..).zip(ahead) {
        file.files_read = FilesRead::first_of(&all, read);
    }
}

/// The files in which a position may be: the one of its path, then those of its name.
fn places(plan: &InstrumentPlan, position: &Position) -> Vec<(usize, FilePosition)> {
    let Some(position) = position.file() else { return Vec::new() };
    let here = Path::new(&*position.source);
    let files = || plan.files.iter().enumerate();
    let named = files().filter(|(_, file)| file.path == here);
    let called =
        files().filter(|(_, file)| file.path != here && file.path.file_name() == here.file_name());
    let found = named.chain(called).filter(|(_, file)| file.part.contains(position));
    found
        .map(|(place, file)| {
            let source = file.path.display().to_string().into();
            (place, FilePosition { source, ..position.clone() })
        })
        .collect()
}

/// What the user should know about how these bars come out of these files.
pub fn notices(plan: &Plan, bars: &BarBook) -> Vec<Notice> {
    let mut notices: Vec<Notice> = plan.notes.iter().cloned().map(Notice::Plan).collect();
    for instrument in &plan.instruments {
        let feed = &instrument.feed;
        let all = bars.for_feed(feed);
        let specs: Vec<Arc<str>> = all
            .iter()
            .filter(|spec| spec.sign() == SignRule::Aggressor && !feed.has_aggressor)
            .map(|spec| Arc::clone(spec.name()))
            .collect();
        let instrument = feed.instrument.clone();
        if all.is_empty() {
            notices.push(Notice::NoBars(instrument));
        } else if !specs.is_empty() {
            notices.push(Notice::TickRule { instrument, specs });
        }
    }
    notices
}

/// The end of the last UTC day that the files' names say they hold, ns; none if one does not say. Only the days
/// of Binance's archives and of barflow's own files are known to be UTC: OKX's begin at 16:00.
pub fn named_end(plan: &InstrumentPlan) -> Option<i64> {
    let of_binance = plan.feed.instrument.venue() == "binance";
    let end = |file: &PlannedFile| {
        let is_utc = of_binance || file.kind == FileKind::Parquet;
        end_of_days(&file.path).filter(|_| is_utc)
    };
    let ends: Option<Vec<i64>> = plan.files.iter().map(end).collect();
    ends?.into_iter().max()
}

fn end_of_days(path: &Path) -> Option<i64> {
    let naming = naming::read(path);
    let (_, last) = naming.input.and(naming.days)?;
    let next = last.tomorrow().ok()?.at(0, 0, 0, 0).to_zoned(TimeZone::UTC).ok()?;
    i64::try_from(next.timestamp().as_nanosecond()).ok()
}
