//! Sets of missing ids, as sorted gaps.

use crate::batch::IdKind;
use crate::gap::Gap;
use crate::trade::Trade;

/// The ids that a row covers; none where ids are not the venue's.
pub fn ids_of(trade: &Trade, kind: IdKind) -> Option<Gap> {
    let last = trade.trade_id;
    let first = match kind {
        IdKind::Ordinal => return None,
        IdKind::Venue => last,
        IdKind::Spans => last.saturating_sub(u64::from(trade.count).saturating_sub(1)),
    };
    Some(Gap { first_missing: first, last_missing: last })
}

/// Takes ids out.
pub fn subtract(gaps: &mut Vec<Gap>, ids: Gap) {
    let untouched =
        |gap: &Gap| gap.last_missing < ids.first_missing || ids.last_missing < gap.first_missing;
    if gaps.iter().all(untouched) {
        return;
    }
    let mut left = Vec::with_capacity(gaps.len() + 1);
    for gap in gaps.drain(..) {
        if untouched(&gap) {
            left.push(gap);
            continue;
        }
        if gap.first_missing < ids.first_missing {
            left.push(Gap { last_missing: ids.first_missing - 1, ..gap });
        }
        if ids.last_missing < gap.last_missing {
            left.push(Gap { first_missing: ids.last_missing + 1, ..gap });
        }
    }
    *gaps = left;
}

/// Puts ids in.
pub(super) fn add(gaps: &mut Vec<Gap>, ids: Gap) {
    subtract(gaps, ids);
    let place = gaps.partition_point(|gap| gap.first_missing < ids.first_missing);
    gaps.insert(place, ids);
}

/// Joins what lies side by side: the gaps that the ids themselves show.
pub(super) fn joined(gaps: &[Gap]) -> Vec<Gap> {
    let mut joined: Vec<Gap> = Vec::with_capacity(gaps.len());
    for gap in gaps {
        match joined.last_mut() {
            Some(last) if last.last_missing.checked_add(1) == Some(gap.first_missing) => {
                last.last_missing = gap.last_missing;
            }
            _ => joined.push(*gap),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn gap(first_missing: u64, last_missing: u64) -> Gap {
        Gap { first_missing, last_missing }
    }

    fn ids(gaps: &[Gap]) -> Vec<u64> {
        gaps.iter().flat_map(|gap| gap.first_missing..=gap.last_missing).collect()
    }

    proptest! {
        #[test]
        fn gaps_are_sets_of_ids(
            steps in prop::collection::vec((any::<bool>(), 0u64..40, 0u64..6), 0..30)
        ) {
            let (mut gaps, mut set) = (Vec::new(), BTreeSet::new());
            for (adds, first, more) in steps {
                let range = gap(first, first + more);
                if adds {
                    add(&mut gaps, range);
                    set.extend(first..=first + more);
                } else {
                    subtract(&mut gaps, range);
                    set.retain(|id| !(first..=first + more).contains(id));
                }
                prop_assert_eq!(ids(&gaps), Vec::from_iter(set.iter().copied()));
                let joined = joined(&gaps);
                prop_assert_eq!(ids(&joined), Vec::from_iter(set.iter().copied()));
                prop_assert!(joined.windows(2).all(|p| p[0].last_missing + 1 < p[1].first_missing));
            }
        }
    }
}
