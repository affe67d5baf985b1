//! Where the file of progress lies.

use std::path::{Path, PathBuf};

use crate::config::sink_kind::SinkKind;
use crate::sinks::progress_file::ProgressPlace;

/// Folder of Parquet files that nobody named.
pub(super) const BARS_FOLDER: &str = "bars";

/// The file of progress of bars that go there; none if progress goes to no file.
pub(super) fn of(place: &ProgressPlace, kind: SinkKind, out: Option<&Path>) -> Option<PathBuf> {
    match kind {
        SinkKind::None | SinkKind::Kafka => None,
        SinkKind::Parquet => place.path(out.unwrap_or(Path::new(BARS_FOLDER)), true),
        SinkKind::JsonLines | SinkKind::Csv => {
            place.path(out.unwrap_or(Path::new("-")), false).filter(|path| *path != Path::new("-"))
        }
    }
}
