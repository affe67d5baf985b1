//! Lengths of time, as people write them.

use std::time::Duration;

use super::problem::Problems;
use super::section::Section;

/// `90s`, `5m`, `1h 30m`, `1d`, or 0. Other numbers need a unit: a second and a millisecond are easily
/// meant and not easily told apart.
pub fn duration_ns(text: &str) -> Result<i64, String> {
    let wanted = || "not a duration such as 30s, 5m or 1h".to_owned();
    match text.parse::<f64>() {
        Ok(0.0) => return Ok(0),
        Ok(_) => return Err(format!("has no unit; write {text}s, {text}m or {text}h")),
        Err(_) => {}
    }
    let hours = match text.strip_suffix('d').and_then(|days| days.trim().parse::<u32>().ok()) {
        Some(days) => format!("{}h", u64::from(days) * 24),
        None => text.to_owned(),
    };
    let duration: jiff::SignedDuration = hours.parse().map_err(|_| wanted())?;
    i64::try_from(duration.as_nanos()).map_err(|_| wanted())
}

/// A length of time; `default` if it is not there, none if it is 0.
pub(super) fn duration(
    section: &mut Section,
    key: &'static str,
    problems: &mut Problems,
    default: Duration,
) -> Option<Duration> {
    let ns = section.parse_with(key, duration_ns, problems);
    let duration = ns.map_or(default, |ns| Duration::from_nanos(ns.max(0).unsigned_abs()));
    Some(duration).filter(|duration| !duration.is_zero())
}
