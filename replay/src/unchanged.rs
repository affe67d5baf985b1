//! What has to stay the same: a file while it is read, and the market from file to file.

use std::path::Path;

use barflow_operators::instrument::InstrumentId;

use crate::columns::market::Market;
use crate::error::ReplayError;
use crate::named::Renames;
use crate::plan::PlannedFile;
use crate::spool;

/// A file that grows, or is replaced, while it is read ends anywhere.
///
/// # Errors
/// When it has not as many bytes as before.
pub fn length(path: &Path, before: u64) -> Result<(), ReplayError> {
    let now = spool::length(path).map_err(|e| ReplayError::io("open", path, e))?;
    if now == before {
        return Ok(());
    }
    let expected = format!("{before} bytes, as when it was looked at");
    Err(ReplayError::corrupt(
        path,
        "it changed while it was read",
        expected,
        format!("{now} bytes"),
    ))
}

/// Files that are given one instrument, but have the columns of Binance's spot and futures, are of two.
/// Each is a path, and whether it has those of futures.
///
/// # Errors
/// When they differ.
pub fn market(
    instrument: &InstrumentId,
    (before, futures): (&Path, bool),
    (path, here): (&Path, bool),
) -> Result<(), ReplayError> {
    if futures == here {
        return Ok(());
    }
    let word = |futures: bool| if futures { "futures" } else { "spot" };
    Err(ReplayError::Mixed(format!(
        "{} has the columns of {} and {} those of {}, and both are to be {instrument}: leave one of \
         them out, or give the instrument as {}={instrument} to take both",
        path.display(),
        word(here),
        before.display(),
        word(futures),
        instrument.symbol()
    )))
}

/// Checks that what the rows of files say of their market is the same in all files of an instrument.
///
/// # Errors
/// When two of them differ, and files are not to be renamed.
pub fn rows_say_one_market<'a>(
    instrument: &InstrumentId,
    files: &'a [PlannedFile],
    renames: &Renames,
) -> Result<(), ReplayError> {
    if *renames != Renames::Nothing {
        return Ok(());
    }
    // The first file that has each field: one may lack what two others have.
    let mut firsts: Vec<(&'a PlannedFile, &'a Market)> = Vec::new();
    let mut said = files.iter().filter_map(|file| Some((file, file.market()?)));
    let other = said.find_map(|(file, here)| {
        let other = firsts
            .iter()
            .find_map(|&(first, before)| Some((file, first, here.difference(before)?)));
        if firsts.iter().all(|(_, before)| here.says_more_than(before)) {
            firsts.push((file, here));
        }
        other
    });
    let Some((file, first, (field, here, before))) = other else { return Ok(()) };
    Err(ReplayError::Mixed(format!(
        "{}: first row: field \"{field}\" is \"{here}\", and in {} it is \"{before}\", and both are to be \
         {instrument}: leave one of them out, or give the instrument as {}={instrument} to take both",
        file.path.display(),
        first.path.display(),
        instrument.symbol()
    )))
}
