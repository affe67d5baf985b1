//! One number per instrument and day.

use super::suite::{Check, Severity};

/// The data quality score of a day, between 0 and 1.
///
/// The mean over all expectations that could be judged, weighted by severity (warn 1, quarantine 2,
/// fail 4), of 1 − offenders/rows; of a daily expectation 1 if it has no offender, else 0. None
/// where nothing could be judged.
///
/// `counts`: expectation, severity, rows checked, offenders.
pub fn score(counts: impl IntoIterator<Item = (Check, Severity, u64, u64)>) -> Option<f64> {
    let (mut sum, mut weights) = (0.0, 0.0);
    for (check, severity, rows, offenders) in counts {
        if rows == 0 {
            continue;
        }
        let part = match check.is_daily() {
            true => f64::from(u8::from(offenders == 0)),
            false => 1.0 - offenders.min(rows) as f64 / rows as f64,
        };
        sum += severity.weight() * part;
        weights += severity.weight();
    }
    (weights > 0.0).then(|| sum / weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_weigh_and_what_could_not_be_judged_does_not_count() {
        let counts = [
            (Check::NoIdGaps, Severity::Warn, 100, 50),
            (Check::PricePositive, Severity::Fail, 100, 0),
            (Check::NoSilence, Severity::Quarantine, 1, 3),
            (Check::QuoteIsProduct, Severity::Fail, 0, 0),
        ];
        // (1·0.5 + 4·1 + 2·0) / 7
        assert_eq!(score(counts), Some(4.5 / 7.0));
        assert_eq!(score([]), None);
    }
}
