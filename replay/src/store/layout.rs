//! Where trades lie in a store.

use std::fs;
use std::path::{Component, Path, PathBuf};

use barflow_operators::batch::{Feed, InputKind};
use jiff::civil::Date;

use super::journal::Conversion;
use crate::error::ReplayError;

/// Folder of the trades.
pub const TRADES: &str = "trades";
/// Folder of the archives, as published.
pub const ARCHIVE: &str = "archive";

/// The venue's word for a kind of input, as in the names of its archives.
pub fn kind(input: InputKind) -> &'static str {
    match input {
        InputKind::Trades => "trades",
        InputKind::AggTrades => "aggTrades",
    }
}

/// Folder of a feed's files.
pub fn folder(store: &Path, feed: &Feed) -> PathBuf {
    let id = &feed.instrument;
    let parts = [TRADES, id.venue(), id.market(), kind(feed.input), id.symbol()];
    parts.iter().fold(store.to_owned(), |path, part| path.join(part))
}

/// Folder of the files that an archive gave trades to.
pub fn folder_of(store: &Path, conversion: &Conversion) -> Option<PathBuf> {
    let mut parts = conversion.instrument.split(':');
    let (venue, market, symbol) = (parts.next()?, parts.next()?, parts.next()?);
    let folder = store.join(TRADES).join(venue).join(market);
    Some(folder.join(&conversion.kind).join(symbol))
}

/// The file of the days `first..=last`: named for a year or month if they are one, else for a day.
pub fn file(store: &Path, feed: &Feed, first: Date, last: Date) -> PathBuf {
    let symbol = feed.instrument.symbol();
    let name = format!("{symbol}-{}-{}.parquet", kind(feed.input), period(first, last));
    folder(store, feed).join(name)
}

/// Makes sure that a file to be written or removed lies inside the store: no part of its path leads
/// elsewhere.
///
/// # Errors
/// Which part does.
pub fn check_folders(store: &Path, path: &Path) -> Result<(), ReplayError> {
    let outside = || ReplayError::layout(path, "it is outside the store");
    let within = path.strip_prefix(store).map_err(|_| outside())?;
    let mut at = store.to_owned();
    for part in within.parent().into_iter().flat_map(Path::components) {
        let Component::Normal(name) = part else { return Err(outside()) };
        at.push(name);
        if at.is_symlink() {
            let reason = "it is a symbolic link: a store writes and removes files only inside its \
                          own folder";
            return Err(ReplayError::layout(&at, reason));
        }
    }
    Ok(())
}

/// Removes a file of the store.
///
/// # Errors
/// When it is not inside, or the disk refuses.
pub fn remove(store: &Path, path: &Path) -> Result<(), ReplayError> {
    check_folders(store, path)?;
    fs::remove_file(path).map_err(|e| ReplayError::io("remove", path, e))
}

/// `2024`, `2024-03` or `2024-03-01`.
pub fn period(first: Date, last: Date) -> String {
    let day = first.to_string();
    let wanted = if first == last {
        day.len()
    } else if (first, last) == (first.first_of_year(), first.last_of_year()) {
        4
    } else {
        7
    };
    day.chars().take(wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn names_tell_the_days() {
        assert_eq!(period(date(2024, 3, 1), date(2024, 3, 1)), "2024-03-01");
        assert_eq!(period(date(2024, 2, 1), date(2024, 2, 29)), "2024-02");
        assert_eq!(period(date(2024, 1, 1), date(2024, 12, 31)), "2024");
    }
}
