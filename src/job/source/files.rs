//! Trade files as a source of the graph: which worker reads which instrument, where reading resumes,
//! and what the user should know about the plan.

use std::path::Path;
use std::sync::Arc;

use barflow_operators::batch::{Feed, IdKind};
use barflow_operators::position::{FilePosition, Position};
use barflow_operators::sign::SignRule;
use barflow_replay::corrections::Corrections;
use barflow_replay::error::ReplayError;
use barflow_replay::naming;
use barflow_replay::plan::{InstrumentPlan, Plan, PlannedFile};
use barflow_replay::read_options::ReadOptions;
use barflow_replay::stream::InstrumentStream;
use jiff::tz::TimeZone;

use crate::config::bars::BarBook;
use crate::graph::flow::Inlet;
use crate::graph::run::{Feeder, Workers};
use crate::job::report::Notice;
use crate::job::start::Resumption;
use crate::parallel::History;
use crate::stop::Stop;

/// The histories of each worker of this process. An instrument is read by the worker that its
/// trades would be sent to anyway, so nothing crosses between workers. An instrument with a
/// position resumes there; corrections that were due before it have been applied. Rows before `from`
/// are not wanted.
///
/// # Errors
/// When an instrument cannot resume from these files.
pub fn histories(
    plan: Plan,
    workers: &Workers,
    resumption: &Resumption,
    mut corrections: Corrections,
    from: Option<i64>,
) -> Result<Vec<Vec<History>>, ReplayError> {
    let share = workers.share();
    let mut histories: Vec<Vec<History>> = (0..workers.here()).map(|_| Vec::new()).collect();
    for instrument in plan.instruments {
        let id = &instrument.feed.instrument;
        if let Some(worker) = share.worker(id) {
            if let Some(before) = resumption.feeds.get(id).filter(|f| **f != instrument.feed) {
                return Err(other_trades(before, &instrument.feed));
            }
            let position = resumption.positions.get(id);
            if let Some(begin) = resumption.first_times.get(id)
                && let Some(file) = never_read(&instrument, *begin, from)
            {
                return Err(too_early(&instrument, file));
            }
            let resume = position.map(|position| go_on(&instrument, position)).transpose()?;
            let mut corrections = corrections.remove(id).unwrap_or_default();
            if let Some(position) = position {
                corrections.retain(|c| Some(c.trade_id.max(c.known_after)) > position.trade_id());
            }
            let resume = resume.flatten();
            let resume_time = resumption.last_times.get(id).copied();
            histories[worker].push(History { plan: instrument, resume, resume_time, corrections });
        }
    }
    Ok(histories)
}

/// One feeder per worker, which reads the worker's histories one after the other.
pub fn feeders(histories: Vec<Vec<History>>, options: &ReadOptions) -> Vec<Feeder> {
    histories
        .into_iter()
        .enumerate()
        .map(|(worker, mine)| -> Feeder {
            let options = options.clone();
            Box::new(move |mut inlets, stop| {
                // Only its own: the others' sources end when their readers do.
                let inlet = inlets.swap_remove(worker);
                drop(inlets);
                // Told before the inlet goes: an input that fails has not come to its end.
                if let Err(error) = feed(mine, &options, &inlet, stop) {
                    stop.fail(error);
                }
                Ok(())
            })
        })
        .collect()
}

/// Feeds a worker with its histories, one after the other.
fn feed(
    mine: Vec<History>,
    options: &ReadOptions,
    inlet: &Inlet,
    stop: &Stop,
) -> Result<(), ReplayError> {
    for History { plan, resume, resume_time, mut corrections } in mine {
        let options = ReadOptions { resume, resume_time, ..options.clone() };
        for input_batch in InstrumentStream::open(plan, options)? {
            let mut input_batch = match input_batch {
                Err(ReplayError::Stopped) => return Ok(()),
                input_batch => input_batch?,
            };
            // All at the beginning: they wait until their place has passed.
            input_batch.corrections = std::mem::take(&mut corrections);
            if stop.is_raised() || inlet.send(input_batch).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
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

/// Where reading resumes among these files. The file of the position may be gone while later ones
/// are there: then what was applied is known by its ids.
fn go_on(plan: &InstrumentPlan, position: &Position) -> Result<Option<FilePosition>, ReplayError> {
    match place(plan, position) {
        None if plan.feed.ids == IdKind::Ordinal => Err(ReplayError::Resume(format!(
            "{} stopped in \"{}\", which is not among the files; its trades have no ids to resume \
             by",
            plan.feed.instrument,
            position.source()
        ))),
        found => Ok(found),
    }
}

/// The position among these files, if its file is one of them; it may have been moved.
pub fn place(plan: &InstrumentPlan, position: &Position) -> Option<FilePosition> {
    let position = position.file()?;
    let named = |path: &Path| path.display().to_string() == *position.source;
    let called = |path: &Path| path.file_name() == Path::new(&*position.source).file_name();
    let paths = || plan.files.iter().map(|file| file.path.as_path());
    let found = paths().find(|path| named(path)).or_else(|| paths().find(|path| called(path)));
    let source = found.map(|path| path.display().to_string().into());
    source.map(|source| FilePosition { source, ..position.clone() })
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

/// The end of the last UTC day that the files' names say they hold, ns; none if one does not say. Names
/// of archives with days of another zone say nothing here.
pub fn named_end(plan: &InstrumentPlan) -> Option<i64> {
    let ends: Option<Vec<i64>> = plan.files.iter().map(|file| end_of_days(&file.path)).collect();
    ends?.into_iter().max()
}

fn end_of_days(path: &Path) -> Option<i64> {
    let naming = naming::read(path);
    let (_, last) = naming.input.and(naming.days)?;
    let next = last.tomorrow().ok()?.at(0, 0, 0, 0).to_zoned(TimeZone::UTC).ok()?;
    i64::try_from(next.timestamp().as_nanosecond()).ok()
}
