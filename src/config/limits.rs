//! Limits of what bad input may write.

use super::problem::Problems;
use super::section::Section;
use crate::sinks::limits::{Limits, bytes};

/// Those of the quarantine, in a section of a run.
pub(super) fn limits(section: &mut Section, problems: &mut Problems) -> Limits {
    let usual = Limits::default();
    let rows = section.parse("quarantine_max_rows", "a whole number", problems);
    let size = |text: &str| bytes(text).ok_or_else(|| "not a size such as 100MB".to_owned());
    let bytes = section.parse_with("quarantine_max_size", size, problems);
    Limits { rows: rows.unwrap_or(usual.rows), bytes: bytes.unwrap_or(usual.bytes) }
}
