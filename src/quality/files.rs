//! Expectations on files themselves: their checksums, and how many rows they hold.

use super::footer::Footer;
use super::manifest::Manifest;
use barflow_operators::quality::day::{Count, DayReport, Example, Place};
use barflow_operators::quality::suite::{Check, Suite};
use barflow_replay::checksum::{checksum_file, sha256, verify};
use barflow_replay::decode::Container;
use barflow_replay::plan::{FileKind, PlannedFile};
use barflow_replay::progress::Progress;
use barflow_replay::rows::Quote;

/// Whether the quote values of a file are a column of the source's own. Those of inverse contracts
/// are computed; `inverse` says that these are such.
pub fn has_own_quotes(file: &PlannedFile, inverse: bool) -> bool {
    match &file.kind {
        FileKind::Rows(format) | FileKind::Table(format) => format.quote == Quote::Source,
        FileKind::Parquet => {
            !inverse && Footer::read(&file.path).is_some_and(|footer| footer.has_quotes())
        }
    }
}

/// Judges a file of which `rows` rows were read (none if it was not or could not be read as a whole, or
/// only a part was wanted); what is found counts to `day`, that of its first trade.
pub fn judge(
    file: &PlannedFile,
    day: i32,
    rows: Option<u64>,
    manifest: &Manifest,
    suite: &Suite,
    days: &mut Vec<DayReport>,
) {
    let at = match days.binary_search_by_key(&day, |report| report.day) {
        Ok(at) => at,
        Err(at) => {
            days.insert(at, DayReport::new(day));
            at
        }
    };
    let counts = &mut days[at].counts;
    if suite.get(Check::ChecksumRight).is_some() {
        note(counts.of(Check::ChecksumRight), file, checksum(file, manifest));
    }
    if suite.get(Check::RowsAsRecorded).is_some() {
        note(counts.of(Check::RowsAsRecorded), file, recorded(file, rows, manifest));
    }
}

/// Nothing: it could not be judged.
type Verdict = Option<Result<(), String>>;

fn note(count: &mut Count, file: &PlannedFile, verdict: Verdict) {
    let Some(verdict) = verdict else { return };
    count.rows += 1;
    if let Err(value) = verdict {
        let source = file.path.display().to_string().into();
        let place = Some(Place { source, line: None });
        count.offend(|| Example::of_no_trade(place, value));
    }
}

/// By the checksum beside the file, or else by the manifest's. An archive has to have one of them;
/// plain text has none published, and converted files are checked if they were recorded.
fn checksum(file: &PlannedFile, manifest: &Manifest) -> Verdict {
    if checksum_file(&file.path).exists() {
        return Some(
            verify(&file.path, file.container, &Progress::default())
                .map_err(|error| error.to_string()),
        );
    }
    let Some(expected) = manifest.get(&file.path).and_then(|file| file.sha256.as_ref()) else {
        let none = Err("no checksum file and no manifest entry".to_owned());
        return (file.container == Container::Zip).then_some(none);
    };
    Some(match sha256(&file.path) {
        Ok(found) if found == *expected => Ok(()),
        Ok(found) => Err(format!("its SHA-256 is {found}, the manifest has {expected}")),
        Err(error) => Err(format!("could not be read: {error}")),
    })
}

fn recorded(file: &PlannedFile, rows: Option<u64>, manifest: &Manifest) -> Verdict {
    let found = rows?;
    let (who, said) = match file.kind {
        FileKind::Parquet => {
            // One that cannot be read is found out when it is read.
            let said = Footer::read(&file.path)?.rows?;
            if let Err(error) = manifest.agrees(&file.path) {
                return Some(Err(error.to_string()));
            }
            ("its footer", said)
        }
        FileKind::Rows(_) | FileKind::Table(_) => ("the store", manifest.rows(&file.path)?),
    };
    Some(match said == found {
        true => Ok(()),
        false => Err(format!("{found} rows were read, {who} has {said}")),
    })
}
