//! What is worth knowing about a plan: what was passed over, and how something was understood.

use std::fmt;
use std::path::{Path, PathBuf};

use barflow_operators::instrument::InstrumentId;

use crate::columns::WithoutIds;

/// One thing worth knowing about a plan. Commands print it as a line on standard error; whatever
/// stops a run is a [`ReplayError`](crate::error::ReplayError) instead.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanNote {
    /// The trade store lacks something that was selected, or has it twice.
    Store(String),
    /// What lies in a folder or matches a pattern and is not read.
    NotTaken(Vec<NotTaken>),
    /// Files with several paths, which are read once.
    SameFile(Vec<SameFile>),
    /// Files with a header and no rows: days on which nothing was traded.
    NoTrades(Vec<PathBuf>),
    /// Files whose names say days outside the wanted times; they were not opened.
    OutOfRange(Vec<PathBuf>),
    /// Files that may have been cut in their last row.
    NoLineEnd(Vec<PathBuf>),
    /// barflow's own files without a seal, whose word for the instrument nothing else confirms.
    Unsealed(Vec<PathBuf>),
    /// Ids that the rows have are not used: gaps and repeats are not noticed.
    WithoutIds {
        /// Of which instrument.
        instrument: InstrumentId,
        /// Why.
        why: WithoutIds,
    },
    /// The side of the rows is the maker's, by the names of Coinbase's own columns.
    SideOfMaker {
        /// Of which instrument.
        instrument: InstrumentId,
    },
    /// Members of an archive that hold no trades.
    MembersPassedOver {
        /// The archive.
        archive: PathBuf,
        /// Names of the members.
        members: Vec<String>,
    },
    /// A file whose newest trade stands first.
    NewestFirst {
        /// Its name.
        file: String,
    },
    /// A file without ids all of whose rows are in another one.
    SameRows {
        /// The file that is passed over.
        file: String,
        /// The other one.
        other: String,
    },
    /// Rows without ids at the beginning of a file that are at the end of another one.
    SharedRows {
        /// The file, which is read from behind them on.
        file: String,
        /// The other one.
        other: String,
        /// How many.
        rows: u64,
    },
}

/// A file or folder that is not read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotTaken {
    /// Why.
    pub reason: Reason,
    /// Which.
    pub path: PathBuf,
}

/// Why a file is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Its name does not end as those of trade files do.
    NoTrades,
    /// Its name ends as that of a file that is packed in a way that is not read.
    PackedOtherwise,
    /// Its name begins with a dot.
    Hidden,
    /// Its name, or that of a folder, begins with an underscore.
    Uncommitted,
    /// A pipe, a socket or a device, in a folder.
    NotAFile(&'static str),
    /// A link to a folder that is read anyway, or above the link.
    FolderReadAlready,
    /// A link to what is not there.
    DanglingLink,
    /// A checksum without its file.
    ChecksumAlone,
    /// Its first line is not that of a recording.
    NotARecording,
    /// It holds trades that were converted already.
    OwnTrades,
    /// It holds trades that barflow wrote elsewhere, in a folder.
    OwnTradesElsewhere,
}

impl fmt::Display for Reason {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTrades => {
                to.write_str("does not end in .zip, .csv, .csv.gz, .csv.zst or .parquet")
            }
            Self::PackedOtherwise => to.write_str(
                "this kind of archive is not read; repack it as .csv, .csv.gz, .csv.zst or .zip",
            ),
            Self::Hidden => to.write_str("hidden"),
            Self::Uncommitted => to.write_str(
                "its name or folder begins with _, as those of files do that were not committed; read only if it \
                 is named itself",
            ),
            Self::NotAFile(kind) => write!(to, "{kind}, read only if it is named itself"),
            Self::FolderReadAlready => to.write_str("a link to a folder that is read already"),
            Self::DanglingLink => to.write_str("a link to a file that is not there"),
            Self::ChecksumAlone => to.write_str("a checksum whose file is not there"),
            Self::NotARecording => to.write_str("not a recording"),
            Self::OwnTradesElsewhere => {
                to.write_str("barflow's own trades: name the file itself to convert it")
            }
            Self::OwnTrades => to.write_str("barflow's own trades, converted already"),
        }
    }
}

/// A path of a file that is read under another path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SameFile {
    /// Under which path it is read.
    pub read_as: PathBuf,
    /// The other path, or the same once more.
    pub path: PathBuf,
}

/// Names listed in a note; all are counted.
const LISTED: usize = 10;

impl fmt::Display for PlanNote {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(remark) => to.write_str(remark),
            Self::NotTaken(files) => not_taken(files, to),
            Self::SameFile(files) => {
                let plural = if files.len() == 1 { "file is" } else { "files are" };
                write!(to, "{} {plural} named twice and read once: ", files.len())?;
                list(files, to, |file, to| {
                    write!(to, "{} (read as {})", shown(&file.path), shown(&file.read_as))
                })
            }
            Self::NoTrades(files) => {
                match files.len() {
                    1 => to.write_str("1 file has a header and no trades: ")?,
                    n => write!(to, "{n} files have a header and no trades: ")?,
                }
                list(files, to, |file, to| to.write_str(&shown(file)))
            }
            Self::OutOfRange(files) => {
                match files.len() {
                    1 => to.write_str("1 file is left out, because the date in its name lies")?,
                    n => {
                        write!(to, "{n} files are left out, because the dates in their names lie")?
                    }
                }
                to.write_str(" outside --from and --to: ")?;
                list(files, to, |file, to| to.write_str(&shown(file)))
            }
            Self::NoLineEnd(files) => {
                match files.len() {
                    1 => to.write_str("1 file does not end with the end of a line: ")?,
                    n => write!(to, "{n} files do not end with the end of a line: ")?,
                }
                list(files, to, |file, to| to.write_str(&shown(file)))?;
                to.write_str("; if it was cut there, the last number is another one")
            }
            Self::Unsealed(files) => unsealed(files, to),
            Self::WithoutIds { instrument, why } => write!(
                to,
                "{instrument}: read as a source without ids, because {why}; gaps and repeated \
                 trades are not noticed"
            ),
            Self::SideOfMaker { instrument } => write!(
                to,
                "{instrument}: its columns have Coinbase's own names, so its side is the maker's: buy means that \
                 the seller crossed the spread; if it is the taker's, say so with --columns \
                 …,side=side,side_buy=buy,side_sell=sell"
            ),
            Self::MembersPassedOver { archive, members } => {
                let plural = if members.len() == 1 { "member" } else { "members" };
                write!(to, "{}: {} {plural} not taken: ", shown(archive), members.len())?;
                list(members, to, |name, to| to.write_str(name))
            }
            Self::NewestFirst { file } => {
                write!(to, "{file} has its newest trade first: it is read from its end")
            }
            Self::SameRows { file, other } => {
                write!(to, "{file} has the same rows as {other}: they count once")
            }
            Self::SharedRows { file, other, rows } => {
                write!(to, "{file} begins with the last {rows} rows of {other}: they count once")
            }
        }
    }
}

fn unsealed(files: &[PathBuf], to: &mut fmt::Formatter<'_>) -> fmt::Result {
    match files.len() {
        1 => to.write_str("1 Parquet file of trades has no seal: ")?,
        n => write!(to, "{n} Parquet files of trades have no seal: ")?,
    }
    list(files, to, |file, to| to.write_str(&shown(file)))?;
    to.write_str(
        "; nothing but the file itself says whose trades these are: name the instrument with \
         --instrument, or convert the archive again",
    )
}

fn not_taken(files: &[NotTaken], to: &mut fmt::Formatter<'_>) -> fmt::Result {
    let plural = if files.len() == 1 { "file" } else { "files" };
    write!(to, "{} {plural} not taken: ", files.len())?;
    let mut left = LISTED;
    // They are sorted by reason.
    for (at, group) in files.chunk_by(|a, b| a.reason == b.reason).enumerate() {
        let names: Vec<String> = group.iter().take(left).map(|file| shown(&file.path)).collect();
        left -= names.len();
        if names.is_empty() {
            break;
        }
        let more = match group.len() - names.len() {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        let join = if at > 0 { "; " } else { "" };
        write!(to, "{join}{}{more} ({})", names.join(", "), group[0].reason)?;
    }
    Ok(())
}

fn list<T>(
    of: &[T],
    to: &mut fmt::Formatter<'_>,
    each: impl Fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    for (at, item) in of.iter().take(LISTED).enumerate() {
        if at > 0 {
            to.write_str(", ")?;
        }
        each(item, to)?;
    }
    match of.len().saturating_sub(LISTED) {
        0 => Ok(()),
        more => write!(to, " and {more} more"),
    }
}

fn shown(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}
