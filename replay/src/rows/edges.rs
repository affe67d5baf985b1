//! Rows outside the wanted times, between rows inside.

use barflow_operators::input_batch::Reject;
use barflow_operators::sequence::{FAR_APART, Objection};

use super::id_edges::IdEdges;
use super::outside::{MOST_BEHIND, Outside};

/// Watches the rows of a source that lie outside the wanted times: a row with a wrong time
/// would be left out unsaid. This is for rows without ids; see [`IdEdges`] for others.
///
/// Rows in order lie before the wanted times, inside, and behind. One that breaks this by more than
/// [`FAR_APART`] is a bad row.
#[derive(Debug, Default)]
pub struct Edges {
    /// Event time of the last row inside, ns.
    inside: Option<i64>,
    /// Rows behind the wanted times since then, up to [`MOST_BEHIND`].
    behind: Vec<Outside>,
    /// How many there were.
    rows_behind: usize,
    /// Where rows have ids.
    pub ids: IdEdges,
}

impl Edges {
    /// Takes a row before the wanted times; it is wrong if it follows one inside.
    pub fn before(&mut self, event_time: i64, row: impl FnOnce() -> Outside) -> Option<Reject> {
        // Once: which of both sides is wrong can be told from the first.
        let by = self.inside.take()?.saturating_sub(event_time);
        (by > FAR_APART).then(|| row().reject(&Objection::FarBehind(by)))
    }

    /// Takes a row behind the wanted times.
    pub fn behind(&mut self, row: impl FnOnce() -> Outside) {
        self.rows_behind += 1;
        if self.behind.len() < MOST_BEHIND {
            self.behind.push(row());
        }
    }

    /// Takes a row inside; returns rows behind the wanted times that it contradicts, if they are few.
    pub fn inside(&mut self, event_time: i64) -> Vec<Reject> {
        self.inside = Some(event_time);
        if self.behind.is_empty() {
            return Vec::new();
        }
        let rows = std::mem::take(&mut self.behind);
        let few = std::mem::take(&mut self.rows_behind) <= MOST_BEHIND;
        let ahead = |row: &Outside| row.event_time.saturating_sub(event_time);
        // Of many, the first stands for all.
        let wrong = rows.iter().filter(|row| ahead(row) > FAR_APART);
        wrong
            .take(if few { MOST_BEHIND } else { 1 })
            .map(|row| row.reject(&Objection::FarAhead(ahead(row))))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    /// Lines of rows at these hours that are bad if hours 10 to 19 are wanted.
    fn bad(hours: &[i64]) -> Vec<u64> {
        let mut edges = Edges::default();
        let mut bad = Vec::new();
        for (line, hour) in (1..).zip(hours) {
            let event_time = hour * HOUR;
            let row = Outside { source: "x.csv".into(), line, event_time, raw: String::new() };
            match hour {
                ..10 => bad.extend(edges.before(event_time, || row).map(|reject| reject.line)),
                10..20 => {
                    bad.extend(edges.inside(event_time).into_iter().map(|reject| reject.line))
                }
                _ => edges.behind(|| row),
            }
        }
        bad
    }

    #[test]
    fn a_row_outside_between_rows_inside_is_bad() {
        assert!(bad(&[1, 5, 9, 10, 12, 19, 20, 40]).is_empty());
        assert_eq!(bad(&[1, 12, 3, 13, 14]), [3]);
        assert_eq!(bad(&[1, 12, 30, 13, 14, 25]), [3]);
        assert_eq!(bad(&[12, 30, 31, 13, 40, 14]), [2, 3, 5]);
        // Of many the first is named.
        let many: Vec<i64> = [12].into_iter().chain([30; 300]).chain([13]).collect();
        assert_eq!(bad(&many), [2]);
        assert_eq!(bad(&[1, 12, 2, 3, 4, 5]), [3]);
    }

    proptest! {
        #[test]
        fn rows_in_order_are_never_bad(mut hours in prop::collection::vec(0i64..30, 0..60)) {
            hours.sort_unstable();
            prop_assert!(bad(&hours).is_empty());
        }
    }
}
