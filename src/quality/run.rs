//! Reads files, one thread per instrument, and has them judged.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use barflow_operators::input_batch::InputBatch;
use barflow_operators::quality::day::DayReport;
use barflow_operators::quality::day_of;
use barflow_operators::quality::judge::{Judge, Known};
use barflow_operators::quality::suite::{Check, Suite};
use barflow_replay::error::ReplayError;
use barflow_replay::plan::{FileKind, InstrumentPlan, PlannedFile};
use barflow_replay::progress::Progress;
use barflow_replay::read_options::ReadOptions;
use barflow_replay::stream::{FileRead, InstrumentStream};
use barflow_replay::threads::on_threads;
use barflow_replay::trades_parquet::verify::verify;

use super::files;
use super::inputs::{Damaged, EmptyDays, Inputs};
use super::judged::Judged;
use super::manifest::Manifest;
use super::report::Report;

/// How files are judged.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is expected.
    pub suite: Suite,
    /// First event time wanted, ns.
    pub from: Option<i64>,
    /// First event time no longer wanted, ns.
    pub to: Option<i64>,
    /// Threads; each reads one instrument at a time.
    pub jobs: NonZeroUsize,
    /// What is known of the files.
    pub manifest: Manifest,
    /// Keeps all offenders of quarantine expectations, not only the first few of a day.
    pub keep_all: bool,
    /// How far reading has got.
    pub progress: Progress,
}

/// Rows per batch.
const BATCH_ROWS: usize = 8192;

/// Judges all instruments, in the order of the plan.
///
/// # Errors
/// I/O errors. Damaged files are findings, not errors.
pub fn judge(inputs: Inputs, settings: &Settings) -> Result<Report, ReplayError> {
    let Inputs { plan, archives, damaged, empty } = inputs;
    // Reading heeds signals by itself; what was begun is judged.
    let never = AtomicBool::new(false);
    let results = on_threads(&plan.instruments, settings.jobs.get(), &never, |plan| {
        judge_instrument(plan, &archives, &empty, settings)
    });
    let instruments: Result<_, _> = results.into_iter().flatten().collect();
    Ok(Report { suite: settings.suite.clone(), instruments: instruments?, unopened: damaged })
}

/// What is known of an instrument's files before they are read.
pub fn known(plan: &InstrumentPlan, from: Option<i64>, to: Option<i64>) -> Known {
    let inverse = plan.feed.instrument.market() == "cm";
    let own_quotes = plan.files.iter().all(|file| files::has_own_quotes(file, inverse));
    Known { from, to, own_quotes }
}

/// The files that can be read; of a damaged Parquet file not even the rows can be trusted.
fn sound_files(
    plan: &InstrumentPlan,
    settings: &Settings,
    judged: &mut Judged,
    rows: &mut Vec<(PlannedFile, Option<u64>)>,
) -> InstrumentPlan {
    let mut sound = InstrumentPlan { feed: Arc::clone(&plan.feed), files: Vec::new() };
    for file in &plan.files {
        if file.kind == FileKind::Parquet
            && let Err(error) = verify(&file.path, &settings.progress.uncounted())
        {
            let (path, error) = (file.path.clone(), error.to_string());
            judged.damaged.push(Damaged { path, error });
            rows.push((file.clone(), None));
        } else {
            sound.files.push(file.clone());
        }
    }
    sound
}

fn judge_instrument(
    plan: &InstrumentPlan,
    archives: &[InstrumentPlan],
    empty: &EmptyDays,
    settings: &Settings,
) -> Result<Judged, ReplayError> {
    let known = known(plan, settings.from, settings.to);
    let mut judge = Judge::new(settings.suite.clone(), known);
    if settings.keep_all {
        judge = judge.keeping_all();
    }
    let mut judged =
        Judged { feed: Arc::clone(&plan.feed), files: 0, days: Vec::new(), damaged: Vec::new() };
    let whole = settings.from.is_none() && settings.to.is_none();
    let read = ReadOptions {
        // Wrong checksums are findings, and the rows of such files are checked all the same.
        verify: false,
        from: settings.from,
        to: settings.to,
        progress: settings.progress.clone(),
        ..ReadOptions::new(BATCH_ROWS)
    };
    // The others are checked even if one is damaged.
    let read = ReadOptions { past_damage: true, any_order: true, ..read };
    let mut rows: Vec<(PlannedFile, Option<u64>)> = Vec::new();
    let sound = sound_files(plan, settings, &mut judged, &mut rows);
    let mut stream = InstrumentStream::open(sound, read.clone())?;
    for input_batch in &mut stream {
        let input_batch = input_batch?;
        let InputBatch { trades, rejects, left_out, start, .. } = input_batch;
        judge.on_batch(&trades, &rejects, &left_out, &start, &mut judged.days);
        read.pool.give_back(Arc::new(trades));
    }
    for FileRead { file, rows: read } in stream.into_files() {
        let found = read.map_err(|error| {
            let (path, error) = (file.path.clone(), error.to_string());
            judged.damaged.push(Damaged { path, error });
        });
        // Members of an archive are files of their own while they are read.
        match rows.iter_mut().find(|(other, _)| other.path == file.path) {
            Some((_, rows)) => *rows = rows.zip(found.ok()).map(|(rows, more)| rows + more),
            None => rows.push((file, found.ok())),
        }
    }
    // Plans reach a day beyond what is wanted, whose files do not matter.
    rows.retain(|(_, found)| whole || *found != Some(0));
    for (_, found) in &mut rows {
        *found = found.filter(|_| whole);
    }
    judge.finish(&mut judged.days);
    forgive_empty(empty.get(&(plan.feed.instrument.clone(), plan.feed.input)), &mut judged.days);
    judged.files = rows.len();
    for (file, rows) in rows {
        let day = day_of(file.first_time.max(settings.from.unwrap_or(i64::MIN)));
        files::judge(&file, day, rows, &settings.manifest, &settings.suite, &mut judged.days);
    }
    let same = |other: &&InstrumentPlan| {
        (&other.feed.instrument, other.feed.input) == (&plan.feed.instrument, plan.feed.input)
    };
    let archives = archives.iter().filter(|_| whole).filter(same);
    for file in archives.flat_map(|archives| &archives.files) {
        judged.files += 1;
        let day = day_of(file.first_time);
        files::judge(file, day, None, &settings.manifest, &settings.suite, &mut judged.days);
    }
    Ok(judged)
}

/// A day is not missing of which a file says that nothing was traded.
fn forgive_empty(empty: Option<&BTreeSet<i32>>, days: &mut [DayReport]) {
    let Some(empty) = empty else { return };
    for report in days.iter_mut().filter(|day| day.trades == 0 && empty.contains(&day.day)) {
        let count = report.counts.of(Check::NoMissingDays);
        count.offenders = 0;
        count.examples.clear();
    }
}
