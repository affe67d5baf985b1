//! A suite of expectations from TOML: `[expect.NAME]` with `severity` and the expectation's own keys.

use std::path::Path;

use barflow_operators::quality::suite::{Check, Expectation, Kind, Severity, Suite};

use super::durations::duration_ns;
use super::file::ConfigFile;
use super::problem::{Problems, suggestion};
use super::section::Section;

const SEVERITIES: [(&str, Severity); 3] =
    [("warn", Severity::Warn), ("quarantine", Severity::Quarantine), ("fail", Severity::Fail)];

/// Largest window of the rolling median: 8 MB per instrument.
const WINDOW_MOST: usize = 1 << 20;

/// Reads a suite.
///
/// # Errors
/// Everything that is wrong with the file.
pub fn read(path: &Path) -> Result<Suite, Problems> {
    understand(ConfigFile::read(path)?, &path.display().to_string())
}

/// The suite that a `quality` key names.
pub(super) fn suite(section: &mut Section, problems: &mut Problems) -> Option<Suite> {
    let (path, _) = section.text("quality", problems)?;
    read(Path::new(&path)).map_err(|found| problems.0.extend(found.0)).ok()
}

/// The suite of a file: what has a section is expected. `origin` names the file in messages.
///
/// # Errors
/// Everything that is wrong with it.
pub fn understand(file: ConfigFile, origin: &str) -> Result<Suite, Problems> {
    let mut problems = Problems::default();
    let other = file.sections.values().chain(file.bars.iter().map(|(_, section)| section));
    for section in other.chain(file.feeds.iter().map(|(_, section)| section)) {
        let message = format!("{} is not allowed in an expectation suite", section.name);
        problems.add(section.origin.clone(), message);
    }
    let mut expectations = Vec::new();
    for (name, mut section) in file.expect {
        let Some(check) = Check::ALL.into_iter().find(|check| check.as_str() == name) else {
            let names = Check::ALL.map(Check::as_str);
            let hint = suggestion(&name, names);
            let names = names.join(", ");
            let message = format!("there is no expectation \"{name}\"{hint}; there are {names}");
            problems.add(section.origin.clone(), message);
            continue;
        };
        let severity = section.choice("severity", &SEVERITIES, &mut problems);
        let usual = || Suite::usual().get(check).map_or(Severity::Warn, |e| e.severity);
        let kind = parameters(check, &mut section, &mut problems);
        section.finish(&mut problems);
        expectations.push(Expectation { kind, severity: severity.unwrap_or_else(usual) });
    }
    if expectations.is_empty() && problems.0.is_empty() {
        problems.add(origin, "the suite is empty: it needs an [expect.NAME] section");
    }
    problems.or(Suite::new(expectations))
}

/// An expectation's parameters: those that are there over the usual ones.
fn parameters(check: Check, section: &mut Section, problems: &mut Problems) -> Kind {
    let mut kind = Kind::usual(check);
    match &mut kind {
        Kind::Plain(_) => {}
        Kind::PriceNearMedian { k, window, floor } => {
            number(section, "k", k, 0.0..=1e9, problems);
            whole(section, "window", window, 8, WINDOW_MOST, problems);
            number(section, "floor", floor, 0.0..=1.0, problems);
        }
        Kind::QtyWithin { min, max } => {
            number(section, "min", min, 0.0..=f64::MAX, problems);
            number(section, "max", max, 0.0..=f64::MAX, problems);
            in_order(section, *min, *max, problems);
        }
        Kind::QuoteIsProduct { relative, rounding } => {
            number(section, "relative", relative, 0.0..=1.0, problems);
            number(section, "rounding", rounding, 0.0..=f64::MAX, problems);
        }
        Kind::AggressorShare { min, max, trades } => {
            number(section, "min", min, 0.0..=1.0, problems);
            number(section, "max", max, 0.0..=1.0, problems);
            in_order(section, *min, *max, problems);
            count(section, "trades", trades, problems);
        }
        Kind::TradesPerHour { min, max, days, least_days, trades } => {
            number(section, "min", min, 0.0..=f64::MAX, problems);
            number(section, "max", max, 0.0..=f64::MAX, problems);
            in_order(section, *min, *max, problems);
            whole(section, "days", days, 1, 366, problems);
            *least_days = (*least_days).min(*days);
            let most = *days;
            whole(section, "least_days", least_days, 1, most, problems);
            count(section, "trades", trades, problems);
        }
        Kind::NoSilence { longer_than } => {
            let at = section.origin_of("longer_than");
            if let Some(ns) = section.parse_with("longer_than", duration_ns, problems) {
                match ns {
                    1.. => *longer_than = ns,
                    _ => problems.add(at, "longer_than must be a duration greater than 0"),
                }
            }
        }
    }
    kind
}

fn number(
    section: &mut Section,
    key: &'static str,
    value: &mut f64,
    range: std::ops::RangeInclusive<f64>,
    problems: &mut Problems,
) {
    let at = section.origin_of(key);
    match section.parse::<f64>(key, "a number", problems) {
        // NaN is in no range.
        Some(number) if range.contains(&number) => *value = number,
        Some(number) => {
            let (least, most) = (range.start(), range.end());
            problems.add(at, format!("{key} = {number} is not between {least} and {most:e}"));
        }
        None => {}
    }
}

fn whole(
    section: &mut Section,
    key: &'static str,
    value: &mut usize,
    least: usize,
    most: usize,
    problems: &mut Problems,
) {
    let at = section.origin_of(key);
    match section.parse::<usize>(key, "a whole number", problems) {
        Some(number) if (least..=most).contains(&number) => *value = number,
        Some(number) => {
            problems.add(at, format!("{key} = {number} is not between {least} and {most}"));
        }
        None => {}
    }
}

fn count(section: &mut Section, key: &'static str, value: &mut u64, problems: &mut Problems) {
    if let Some(number) = section.parse::<u64>(key, "a whole number", problems) {
        *value = number;
    }
}

fn in_order(section: &Section, min: f64, max: f64, problems: &mut Problems) {
    if min > max {
        let message = format!("{}: min = {min} is greater than max = {max}", section.name);
        problems.add(section.origin.clone(), message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(text: &str) -> Result<Suite, Problems> {
        understand(ConfigFile::parse("q.toml", text)?, "q.toml")
    }

    #[test]
    fn a_section_is_an_expectation_and_its_keys_are_parameters() {
        let text = "[expect.no_id_gaps]\nseverity = \"fail\"\n\
                    [expect.no_silence]\nlonger_than = \"90s\"\n\
                    [expect.trades_per_hour]\ndays = 2\n";
        let suite = suite(text).unwrap();
        let silence = Kind::NoSilence { longer_than: 90_000_000_000 };
        assert_eq!(suite.get(Check::NoSilence).unwrap().kind, silence);
        assert_eq!(suite.get(Check::NoIdGaps).unwrap().severity, Severity::Fail);
        assert_eq!(suite.get(Check::NoDuplicateIds), None);
        let Kind::TradesPerHour { days: 2, least_days: 2, .. } =
            suite.get(Check::TradesPerHour).unwrap().kind
        else {
            panic!("{suite:?}");
        };
    }

    #[test]
    fn mistakes_are_named_with_their_lines_all_at_once() {
        let text = "[expect.no_id_gap]\n[expect.qty_within]\nmin = 2\nmax = 1\nserverity = \"warn\"\n\
                    [expect.price_near_median]\nk = \"x\"\nwindow = 3\nseverity = \"bad\"\n[replay]\n";
        let wrong = suite(text).unwrap_err().to_string();
        for part in [
            "q.toml:1: there is no expectation \"no_id_gap\" (did you mean \"no_id_gaps\"?)",
            "q.toml:2: [expect.qty_within]: min = 2 is greater than max = 1",
            "q.toml:5: unknown key \"serverity\" in [expect.qty_within] (did you mean \"severity\"?)",
            "q.toml:7: k = \"x\" is not a number",
            "q.toml:8: window = 3 is not between 8 and 1048576",
            "q.toml:9: severity = \"bad\" is not one of warn, quarantine, fail",
            "q.toml:10: [replay] is not allowed in an expectation suite",
        ] {
            assert!(wrong.contains(part), "{part}\nin\n{wrong}");
        }
        assert!(suite("").unwrap_err().to_string().contains("the suite is empty"));
    }
}
