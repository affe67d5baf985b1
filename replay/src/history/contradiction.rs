//! Ids that fall where times rise, from row to row: a row number that counts down, say. Nothing tells which of them is
//! the order of the trades.

use std::cmp::Ordering;
use std::sync::Arc;

use jiff::Timestamp;

use crate::columns::Columns;
use crate::error::ReplayError;
use crate::plan::{FileKind, PlannedFile};
use crate::rows::Layout;
use crate::rows::header::header_names;

/// Steps against each other that a file has at least: fewer are jitter of times.
const FEW: usize = 3;

/// Id and event time of a row.
pub(super) type Row = (u64, i64);

/// How ids and times move from row to row.
#[derive(Debug, Default)]
pub(super) struct Steps {
    together: usize,
    against: usize,
    /// The first step against each other: the place of its second row, and both.
    first: Option<(Arc<str>, u64, [Row; 2])>,
}

impl Steps {
    /// Takes the step to a row; `place` is its file and line.
    pub(super) fn take(
        &mut self,
        [before, row]: [Row; 2],
        place: impl FnOnce() -> (Arc<str>, u64),
    ) {
        match (row.0.cmp(&before.0), row.1.cmp(&before.1)) {
            (Ordering::Equal, _) | (_, Ordering::Equal) => {}
            (id, time) if id == time => self.together += 1,
            _ => {
                self.against += 1;
                self.first.get_or_insert_with(|| {
                    let (source, line) = place();
                    (source, line, [before, row])
                });
            }
        }
    }

    /// Steps that say something.
    pub(super) fn len(&self) -> usize {
        self.together + self.against
    }

    /// Whether ids and times move against each other, as far as was seen.
    pub(super) fn are_against(&self) -> bool {
        self.against >= FEW && self.against > 2 * self.together
    }

    /// The error, if the ends of the file say the same.
    pub(super) fn refuse(&self, file: &PlannedFile, first: Row, last: Row) -> Option<ReplayError> {
        let are_against = matches!(
            (last.0.cmp(&first.0), last.1.cmp(&first.1)),
            (Ordering::Less, Ordering::Greater) | (Ordering::Greater, Ordering::Less)
        );
        let (source, line, [before, row]) = self.first.as_ref().filter(|_| are_against)?;
        let Named { id, time, without_id } = named(file)?;
        let shown = |ns: i64| {
            let time = Timestamp::from_nanosecond(i128::from(ns));
            time.map_or_else(|_| ns.to_string(), |time| time.to_string())
        };
        let word = |rises: bool| if rises { "rises" } else { "falls" };
        Some(ReplayError::Mixed(format!(
            "{source}, line {line}: \"{id}\" {} from {} to {} where \"{time}\" {} from {} to {}, and so on to the \
             end: nothing says which of them is the order of the trades; if \"{id}\" only numbers the rows, name the \
             other columns: --columns {without_id}",
            word(row.0 > before.0),
            before.0,
            row.0,
            word(row.1 > before.1),
            shown(before.1),
            shown(row.1),
        )))
    }
}

/// Columns of a file as the user knows them.
struct Named {
    id: String,
    time: String,
    /// All but the ids, as `--columns` takes them.
    without_id: String,
}

/// None for barflow's own files, which are in the order of their ids.
fn named(file: &PlannedFile) -> Option<Named> {
    let (FileKind::Rows(format) | FileKind::Table(format)) = &file.kind else { return None };
    let (time, side) = match &format.layout {
        Layout::Mapped(columns) => {
            let columns = (**columns).clone();
            let name = |at: usize| columns.names.get(at).cloned();
            let (id, time) = (name(columns.id?)?, name(columns.time)?);
            let without_id = Columns { id: None, ..columns }.describe();
            return Some(Named { id, time, without_id });
        }
        Layout::Trades { .. } => (4, 5),
        Layout::AggTrades { .. } => (5, 6),
        Layout::Kraken | Layout::Lean { .. } => return None,
    };
    let names = format.header.as_deref().map(header_names);
    let name = |at: usize| {
        let named = names.as_ref().and_then(|names| names.get(at).cloned());
        named.unwrap_or_else(|| (at + 1).to_string())
    };
    let (price, qty, maker) = (name(1), name(2), name(side));
    let (id, time) = (name(0), name(time));
    let without_id = format!("time={time},price={price},qty={qty},buyer_is_maker={maker}");
    Some(Named { id, time, without_id })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn against(rows: &[Row]) -> bool {
        let mut steps = Steps::default();
        for pair in rows.windows(2) {
            steps.take([pair[0], pair[1]], || ("x.csv".into(), 1));
        }
        steps.are_against()
    }

    proptest! {
        /// Whichever way both go, and however times jitter, only ids that go the other way contradict them.
        #[test]
        fn only_ids_that_go_the_other_way_contradict_times(
            steps in prop::collection::vec((1u64..5, 0i64..1000), 4..40),
            jitter in prop::collection::vec(0i64..3, 40),
            newest_first in any::<bool>(),
        ) {
            let mut rows: Vec<Row> = vec![(1_000, 0)];
            for ((id, time), jitter) in steps.iter().zip(&jitter) {
                let (last_id, last_time) = rows[rows.len() - 1];
                rows.push((last_id + id, last_time + 3 + time + jitter));
            }
            if newest_first {
                rows.reverse();
            }
            prop_assert!(!against(&rows));
            let turned: Vec<Row> = rows.iter().map(|(id, time)| (10_000 - id, *time)).collect();
            prop_assert!(against(&turned));
            let paused: Vec<Row> = rows.iter().map(|(id, _)| (*id, 0)).collect();
            prop_assert!(!against(&paused));
        }
    }
}
