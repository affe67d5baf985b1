//! Where a job reads and writes, checked before anything is opened for writing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::JobError;
use super::outputs::{BARS, DAILY, FolderFiles, GAPS, Inputs, Outputs, PROGRESS, REJECTS};
use super::progress_path::{self, BARS_FOLDER};
use super::source::Source;
use crate::config::live::LiveSettings;
use crate::config::replay::ReplaySettings;
use crate::config::sink_kind::SinkKind;
use crate::sinks::progress_file::{self, ProgressPlace};
use crate::sinks::{parquet, trades};

/// Makes sure that a replay destroys nothing but output of its own. Returns the files of an earlier run
/// that it replaces. `sinks` says whether its bars go where the settings say.
pub(super) fn check_replay(
    settings: &ReplaySettings,
    source: &Source,
    sinks: bool,
) -> Result<Vec<PathBuf>, JobError> {
    let quarantine = settings.quarantine.as_deref();
    let mut outputs = Outputs::default()
        .appends("--quarantine", quarantine, REJECTS)
        .replaces("--daily", settings.daily.as_deref(), DAILY)
        .folder("--sink-trades", settings.trades.as_deref(), Some(names_of_trades(source)));
    if sinks {
        outputs = bars(outputs, settings, source);
    }
    let inputs = inputs(settings, source);
    if settings.replace {
        return Ok(outputs.check(&inputs)?);
    }
    outputs.check_new(&inputs)?;
    Ok(Vec::new())
}

/// Those of these files that this process writes: others may belong to other processes of its job.
pub(super) fn own(earlier: &[PathBuf], settings: &ReplaySettings, source: &Source) -> Vec<PathBuf> {
    let names = [names_of_bars(settings, source).files, names_of_trades(source).files].concat();
    let is_own = |path: &&PathBuf| {
        let name = path.file_name().unwrap_or_default();
        names.iter().any(|own| **own == *name)
    };
    earlier.iter().filter(is_own).cloned().collect()
}

/// Makes sure that a live job destroys none of its history and writes every file once.
pub(super) fn check_live(settings: &LiveSettings) -> Result<(), JobError> {
    let out = settings.out.as_deref();
    let mut outputs = Outputs::default()
        .appends("--quarantine", settings.quarantine.as_deref(), REJECTS)
        .appends("--gaps", settings.gaps.as_deref(), GAPS)
        .folder("--record", settings.record.as_deref(), None);
    outputs = match settings.sink {
        SinkKind::None | SinkKind::Kafka => outputs,
        SinkKind::Parquet => outputs.folder("--out", out.or(Some(Path::new(BARS_FOLDER))), None),
        _ => outputs.grows("--out", out),
    };
    let progress = progress_path::of(&settings.delivery.progress, settings.sink, out);
    outputs = outputs.replaces("--progress", progress.as_deref(), PROGRESS);
    let inputs = Inputs { given: settings.history.clone(), ..Inputs::default() };
    Ok(outputs.check(&inputs).map(drop)?)
}

fn bars(outputs: Outputs, settings: &ReplaySettings, source: &Source) -> Outputs {
    let out = settings.out.as_deref().filter(|out| *out != Path::new("-"));
    let progress =
        progress_path::of(&settings.delivery.progress, settings.sink, settings.out.as_deref());
    let outputs = outputs.replaces("--progress", progress.as_deref(), PROGRESS);
    match settings.sink {
        SinkKind::None | SinkKind::Kafka => outputs,
        SinkKind::Parquet => {
            let folder = out.unwrap_or(Path::new(BARS_FOLDER));
            outputs.folder("--out", Some(folder), Some(names_of_bars(settings, source)))
        }
        _ => {
            let outputs = outputs.replaces("--out", out, BARS);
            let Some(out) = out.filter(|_| settings.delivery.is_exactly_once()) else {
                return outputs;
            };
            let (journal, checkpoint) = (beside(out, "journal"), beside(out, "checkpoint"));
            outputs.state("--out", Some(&journal)).state("--out", Some(&checkpoint))
        }
    }
}

fn inputs(settings: &ReplaySettings, source: &Source) -> Inputs {
    let mut files = source.paths();
    files.extend(settings.corrections.clone());
    let given = Inputs::of_files(&settings.files, settings.store.as_deref());
    Inputs { files, any_name: settings.protocol.is_some(), ..given }
}

fn names_of_bars(settings: &ReplaySettings, source: &Source) -> FolderFiles {
    let specs: Vec<_> = settings.bars.orders().iter().map(|order| order.spec.name()).collect();
    let files = source.instruments();
    let files = files.iter().flat_map(|id| specs.iter().map(|spec| parquet::file_name(id, spec)));
    // What an earlier run said of its bars goes with them, also if this one says nothing.
    let mut files: Vec<String> = files.collect();
    files.push(progress_file::IN_FOLDER.to_owned());
    if let ProgressPlace::At(path) = &settings.delivery.progress
        && path.parent() == settings.out.as_deref()
    {
        files.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
    }
    FolderFiles { ending: ".parquet", files }
}

fn names_of_trades(source: &Source) -> FolderFiles {
    let files = source.instruments().iter().map(trades::file_name).collect();
    FolderFiles { ending: ".trades.parquet", files }
}

fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(format!(".{what}"));
    name.into()
}
