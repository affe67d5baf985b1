//! Which files are judged, and which of them cannot even be opened.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barflow_operators::batch::{Feed, InputKind};
use barflow_operators::instrument::InstrumentId;
use barflow_replay::error::ReplayError;
use barflow_replay::find::{Found, find};
use barflow_replay::history::arrange;
use barflow_replay::naming;
use barflow_replay::plan::{InstrumentPlan, Plan, PlanOptions, PlannedFile};
use barflow_replay::planner::gathered;
use barflow_replay::progress::StopFlag;
use barflow_replay::recognise::recognise;
use barflow_replay::store::{layout, series};
use barflow_replay::told::one_symbol;
use barflow_replay::unchanged;
use jiff::ToSpan;
use jiff::civil::Date;

/// A file that cannot be read, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// Which.
    pub path: PathBuf,
    /// What is wrong.
    pub error: String,
}

/// What is judged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inputs {
    /// Histories whose trades are read, by instrument and kind of input.
    pub plan: Plan,
    /// Archives whose trades are in the plan already: they are judged as files.
    pub archives: Vec<InstrumentPlan>,
    /// Files that cannot be opened.
    pub damaged: Vec<Damaged>,
    /// Days on which nothing was traded, by files without trades.
    pub empty: EmptyDays,
}

/// Days of files without trades, days since 1970-01-01, by instrument and kind of input.
pub type EmptyDays = BTreeMap<(InstrumentId, InputKind), BTreeSet<i32>>;

impl Inputs {
    /// Files, folders and patterns.
    ///
    /// # Errors
    /// The first that is missing or of an unknown layout. Damage is not an error.
    pub fn of_files(files: &[String], options: &PlanOptions) -> Result<Self, ReplayError> {
        let mut inputs = Self::default();
        let Found { paths, notes } = find(files, &options.stop)?;
        inputs.plan.notes = notes;
        let found = gather(paths, options, &mut inputs)?;
        inputs.plan.instruments = found;
        inputs.or_nothing()
    }

    /// A store: its trades, and its archives; of those that were not converted yet the trades. A
    /// folder that is not a store is read as files.
    ///
    /// # Errors
    /// As [`Self::of_files`].
    pub fn of_store(store: &Path, options: &PlanOptions) -> Result<Self, ReplayError> {
        let (trades, archive) = (store.join(layout::TRADES), store.join(layout::ARCHIVE));
        if !trades.exists() && !archive.exists() {
            return Self::of_files(&[store.display().to_string()], options);
        }
        let mut inputs = Self::default();
        let mut facts = Vec::new();
        for path in inside(&trades)? {
            match series::at_its_place(store, &path) {
                Ok(file) => facts.push(file),
                Err(error) => inputs.damaged.push(damaged(path, error)?),
            }
        }
        // What a merge that was cut short left behind is in a longer file as well.
        let files = series::arranged(facts).into_iter().flat_map(|series| series.files);
        let (used, empty): (Vec<_>, Vec<_>) = files.partition(|file| file.rows > 0);
        empty.iter().for_each(|file| inputs.note_empty(&file.feed, file.days));
        let used = used.into_iter().map(|file| file.path);
        let found = gather(used, options, &mut inputs)?;
        inputs.plan.instruments = found;
        let of = |plan: &InstrumentPlan| (plan.feed.instrument.clone(), plan.feed.input);
        let converted: Vec<_> = inputs.plan.instruments.iter().map(of).collect();
        let archived = inside(&archive)?;
        for plan in gather(archived, options, &mut inputs)? {
            match converted.contains(&of(&plan)) {
                true => inputs.archives.push(plan),
                false => inputs.plan.instruments.push(plan),
            }
        }
        inputs.or_nothing()
    }

    fn note_empty(&mut self, feed: &Feed, days: Option<(Date, Date)>) {
        let Some((first, last)) = days else { return };
        let days = first.series(1.day()).take_while(|day| *day <= last).map(number_of_day);
        self.empty.entry((feed.instrument.clone(), feed.input)).or_default().extend(days);
    }

    fn or_nothing(mut self) -> Result<Self, ReplayError> {
        self.plan.notes = gathered(std::mem::take(&mut self.plan.notes));
        if self.plan.instruments.is_empty() && self.damaged.is_empty() {
            let text = "no file contains trades in the requested time range".to_owned();
            return Err(ReplayError::NothingToRead(text));
        }
        Ok(self)
    }
}

/// Days since 1970-01-01.
fn number_of_day(day: Date) -> i32 {
    const EPOCH: Date = Date::constant(1970, 1, 1);
    day.duration_since(EPOCH).as_hours() as i32 / 24
}

/// Files of a folder; none if it is not there or empty.
fn inside(folder: &Path) -> Result<Vec<PathBuf>, ReplayError> {
    match find(&[folder.display().to_string()], &StopFlag::default()) {
        Ok(found) => Ok(found.paths.into_iter().collect()),
        Err(ReplayError::NothingToRead(_)) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn gather(
    paths: impl IntoIterator<Item = PathBuf>,
    options: &PlanOptions,
    inputs: &mut Inputs,
) -> Result<Vec<InstrumentPlan>, ReplayError> {
    let mut histories: BTreeMap<Feed, Vec<PlannedFile>> = BTreeMap::new();
    for path in paths {
        match recognise(&path, options) {
            Ok(recognised) => {
                inputs.plan.notes.extend(recognised.notes);
                if let Some(feed) = recognised.empty {
                    inputs.note_empty(&feed, naming::read(&path).days);
                }
                if let Some((feed, file)) = recognised.trades {
                    histories.entry(feed).or_default().push(file);
                }
            }
            Err(error) => inputs.damaged.push(damaged(path, error)?),
        }
    }
    let mut history = |(feed, files): (Feed, Vec<PlannedFile>)| {
        let paths = files.iter().map(|file: &PlannedFile| &*file.path);
        one_symbol(paths, options.unrenamed())?;
        unchanged::rows_say_one_market(&feed.instrument, &files, &options.renames)?;
        let mut instrument = InstrumentPlan { feed: Arc::new(feed), files };
        inputs.plan.notes.extend(arrange(&mut instrument, &options.stop)?);
        Ok(instrument)
    };
    histories.into_iter().map(&mut history).collect()
}

/// A finding, if that is what the error is.
fn damaged(path: PathBuf, error: ReplayError) -> Result<Damaged, ReplayError> {
    match error {
        ReplayError::Corrupt { .. }
        | ReplayError::Packing { .. }
        | ReplayError::NothingToRead(_) => Ok(Damaged { path, error: error.to_string() }),
        error => Err(error),
    }
}
