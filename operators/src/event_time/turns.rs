//! Whose trades are read next.

use std::collections::BTreeSet;

/// Takes turns among histories, each of which is a number of files one after the other.
///
/// # Contract
/// The history that is furthest behind in event time has its turn, the first of them if several are. At most
/// `most_open` are between the beginning and the end of a file: beyond that, those that are run on to the ends of
/// their files before another begins one. So what is open is bounded, and so is how far histories are apart: by a
/// batch each, or with more histories than that, by a file.
#[derive(Clone, Debug)]
pub struct Turns {
    most_open: usize,
    /// How far each history is, ns, and whether it is within a file; none if it has ended.
    places: Vec<Option<(i64, bool)>>,
    /// Histories between two files, by how far they are.
    closed: BTreeSet<(i64, usize)>,
    /// Those within a file.
    open: BTreeSet<(i64, usize)>,
}

/// What reading a history on has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A batch that has come to about this event time, ns; none if it has no trades.
    Batch(Option<i64>),
    /// The end of a file that others follow.
    BetweenFiles,
    /// The end of the history.
    End,
}

impl Turns {
    /// Histories by when they begin, ns. At least one may be open.
    pub fn new(begins: impl IntoIterator<Item = i64>, most_open: usize) -> Self {
        let places: Vec<_> = begins.into_iter().map(|begin| Some((begin, false))).collect();
        let closed = places.iter().enumerate();
        let closed = closed.filter_map(|(who, place)| Some(((*place)?.0, who))).collect();
        Self { most_open: most_open.max(1), places, closed, open: BTreeSet::new() }
    }

    /// Whose turn it is; nobody's at the end of all.
    pub fn next(&self) -> Option<usize> {
        let (open, closed) = (self.open.first(), self.closed.first());
        let first = match (open, closed) {
            (Some(open), _) if self.open.len() >= self.most_open => open,
            (open, closed) => open.into_iter().chain(closed).min()?,
        };
        Some(first.1)
    }

    /// A history has read on, in its turn or because others wait for it.
    pub fn read(&mut self, who: usize, outcome: Outcome) {
        let Some((time, is_open)) = self.places.get_mut(who).and_then(Option::take) else { return };
        match is_open {
            true => self.open.remove(&(time, who)),
            false => self.closed.remove(&(time, who)),
        };
        let place = match outcome {
            Outcome::Batch(latest) => (time.max(latest.unwrap_or(time)), true),
            Outcome::BetweenFiles => (time, false),
            Outcome::End => return,
        };
        match place.1 {
            true => self.open.insert((place.0, who)),
            false => self.closed.insert((place.0, who)),
        };
        self.places[who] = Some(place);
    }

    /// How many are within a file.
    pub fn open(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_one_furthest_behind_has_its_turn() {
        let mut turns = Turns::new([10, 5, 5], 2);
        let mut order = Vec::new();
        for time in [7, 6, 8, 9, 11, 20, 20] {
            let who = turns.next().unwrap();
            order.push(who);
            turns.read(who, Outcome::Batch(Some(time)));
        }
        // The first begins at 10, and two are open by then.
        assert_eq!(order, [1, 2, 2, 1, 2, 1, 2]);
        turns.read(2, Outcome::BetweenFiles);
        assert_eq!((turns.next(), turns.open()), (Some(0), 1));
        turns.read(0, Outcome::Batch(None));
        assert_eq!((turns.next(), turns.open()), (Some(0), 2));
    }

    proptest! {
        /// Everything is read once, with no more files open than may be.
        #[test]
        fn everything_is_read_once(
            histories in prop::collection::vec(
                (0i64..20, prop::collection::vec(prop::collection::vec(0i64..10, 0..5), 0..4)),
                0..8,
            ),
            most_open in 1usize..4,
        ) {
            let mut turns = Turns::new(histories.iter().map(|(begin, _)| *begin), most_open);
            let mut left = histories.clone();
            let (mut read, mut batches) = (0, histories.iter().flat_map(|(_, files)| files).flatten().count());
            while let Some(who) = turns.next() {
                let (time, files) = &mut left[who];
                let outcome = match files.first_mut() {
                    None => Outcome::End,
                    Some(file) if file.is_empty() => {
                        files.remove(0);
                        if files.is_empty() { Outcome::End } else { Outcome::BetweenFiles }
                    }
                    Some(file) => {
                        *time += file.remove(0);
                        batches -= 1;
                        Outcome::Batch(Some(*time))
                    }
                };
                turns.read(who, outcome);
                prop_assert!(turns.open() <= most_open);
                read += 1;
                prop_assert!(read < 10_000);
            }
            prop_assert_eq!(batches, 0);
        }
    }
}
