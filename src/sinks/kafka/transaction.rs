//! What a transaction holds, and what of it has to be sent again.

use std::collections::BTreeMap;
use std::sync::Arc;

use barflow_operators::checkpoint::instrument_state::SealedRecord;
use barflow_operators::progress::Progress;
use barflow_operators::published::PublishedBar;

use super::Part;
use super::outcome::{Counted, Place, Spans};
use crate::checkpoints::settings::JobSettings;

/// A bar for one topic.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) bar: PublishedBar,
    pub(super) diff: isize,
    pub(super) topic: Arc<str>,
    pub(super) part: Part,
    /// Already said to be committed: it is not counted a second time.
    again: bool,
}

impl Message {
    pub(super) fn new(bar: PublishedBar, diff: isize, topic: Arc<str>, part: Part) -> Self {
        Self { bar, diff, topic, part, again: false }
    }
}

/// A transaction of bars and checkpoint: being filled, being committed, or committed last.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub(super) messages: Vec<Message>,
    /// How far bars are complete with it, by key; sent after all of them.
    pub(super) reports: BTreeMap<String, Progress>,
    /// Records of an earlier one that were lost.
    pub(super) deferred: Vec<SealedRecord>,
    /// Those of the cut with which this one ends, once that has come.
    pub(super) records: Option<Vec<SealedRecord>>,
    pub(super) settings: Option<JobSettings>,
    /// The offsets of the messages, once all of them are confirmed and a commit is about to be
    /// asked for; before that nothing of it can count.
    places: Option<Vec<Place>>,
}

impl Transaction {
    /// Takes reports; a later one of a series takes the place of an earlier one.
    pub(super) fn note_reports(&mut self, reports: &[Progress]) {
        self.reports.extend(reports.iter().map(|progress| (progress.key(), progress.clone())));
    }

    /// After a fault the reports of the one before are sent again, unless there are later ones: whether they
    /// count is not looked up.
    pub(super) fn report_again(&mut self, before: &Self) {
        for (key, progress) in &before.reports {
            self.reports.entry(key.clone()).or_insert_with(|| progress.clone());
        }
    }

    /// How many bars it adds to those of the run.
    pub(super) fn bars(&self) -> u64 {
        let new = |message: &&Message| message.part == Part::Series && !message.again;
        self.messages.iter().filter(new).count() as u64
    }

    /// Everything is in Kafka, the messages here.
    pub(super) fn complete(&mut self, places: Vec<Place>) {
        self.places = Some(places);
    }

    /// It is sent once more.
    pub(super) fn begin(&mut self) {
        self.places = None;
    }

    /// Whether a commit may have been made.
    pub(super) fn is_complete(&self) -> bool {
        self.places.is_some()
    }

    /// The offsets of its bars.
    pub(super) fn spans(&self) -> Spans {
        let mut spans = Spans::default();
        for (message, place) in self.messages.iter().zip(self.places.iter().flatten()) {
            spans.note(&message.topic, *place);
        }
        spans
    }

    /// Whether all its bars count.
    pub(super) fn counts_in(&self, counted: &Counted) -> bool {
        let places = self.places.iter().flatten();
        self.messages
            .iter()
            .zip(places)
            .all(|(message, place)| counted.has(&message.topic, place.partition))
    }

    /// Leaves only the bars that do not count.
    pub(super) fn keep_uncounted(&mut self, counted: &Counted) {
        let Some(places) = self.places.take() else { return };
        let mut places = places.into_iter();
        self.messages.retain(|message| {
            let place = places.next();
            !place.is_some_and(|place| counted.has(&message.topic, place.partition))
        });
    }

    /// Takes over what was lost of the one before, to be sent in front of its own.
    pub(super) fn owe(&mut self, mut before: Self, records: bool) {
        for message in &mut before.messages {
            message.again = true;
        }
        self.messages.splice(0..0, before.messages);
        if records {
            let mut deferred = before.deferred;
            deferred.extend(before.records.unwrap_or_default());
            // Of an attempt before, if this is not the first.
            deferred.append(&mut self.deferred);
            self.deferred = deferred;
            self.settings = self.settings.take().or(before.settings);
        }
    }
}

#[cfg(test)]
mod tests {
    use barflow_operators::bar::{CloseReason, Levels, OpenBar};
    use barflow_operators::batch::{Feed, IdKind, InputKind};
    use barflow_operators::position::FilePosition;

    use super::*;

    fn place(partition: i32, offset: i64) -> Place {
        Place { partition, offset }
    }

    fn feed() -> Arc<Feed> {
        let instrument = "a:b:C".parse().unwrap();
        let (input, ids) = (InputKind::Trades, IdKind::Venue);
        Arc::new(Feed { instrument, input, ids, has_aggressor: true })
    }

    fn sealed(key: &str) -> SealedRecord {
        let position = FilePosition::start("f".into()).into();
        SealedRecord { key: key.to_owned(), feed: feed(), position, bytes: Vec::new() }
    }

    /// Three bars for one topic, the second for another partition than the others.
    fn transaction(key: &str) -> Transaction {
        let bar = OpenBar::default().finish(1, &Levels::default(), CloseReason::Threshold, 0);
        let bar = PublishedBar {
            spec: "x".into(),
            feed: feed(),
            bar,
            received: None,
            synchronised: Default::default(),
        };
        let message = |part| Message::new(bar.clone(), 1, "bars".into(), part);
        let messages = [Part::Series, Part::Series, Part::Current].map(message).into();
        let records = Some(vec![sealed(key)]);
        let mut transaction = Transaction { messages, records, ..Transaction::default() };
        transaction.complete(vec![place(0, 7), place(1, 5), place(0, 8), place(0, 3)]);
        transaction
    }

    fn counted(partitions: &[i32]) -> Counted {
        let mut counted = Counted::default();
        counted.insert("bars", partitions.iter().copied().collect());
        counted
    }

    #[test]
    fn what_counts_is_not_sent_again() {
        assert!(transaction("a").counts_in(&counted(&[0, 1])));
        assert!(!transaction("a").counts_in(&counted(&[0])));
        for (partitions, left) in [(&[0, 1][..], 0), (&[1], 2), (&[0], 1), (&[], 3)] {
            let mut some = transaction("a");
            some.keep_uncounted(&counted(partitions));
            assert_eq!((some.messages.len(), some.is_complete()), (left, false));
        }
        // Without places nothing can count.
        let mut begun = transaction("a");
        begun.begin();
        begun.keep_uncounted(&counted(&[0, 1]));
        assert_eq!(begun.messages.len(), 3);
    }

    #[test]
    fn what_was_lost_stands_in_front_and_is_counted_once() {
        let (mut next, lost) = (transaction("next"), transaction("lost"));
        assert_eq!(next.bars(), 2);
        next.owe(lost, true);
        assert_eq!((next.messages.len(), next.bars()), (6, 2));
        assert!(next.messages[..3].iter().all(|message| message.again));
        assert_eq!(next.deferred, [sealed("lost")]);
        // Nothing is in front of it any more when it has to be tried once more.
        next.owe(Transaction::default(), true);
        assert_eq!((next.messages.len(), &next.deferred[..]), (6, &[sealed("lost")][..]));
        assert_eq!(next.records, Some(vec![sealed("next")]));
        let mut next = transaction("next");
        next.owe(transaction("lost"), false);
        assert_eq!(next.deferred, []);
    }

    #[test]
    fn spans_reach_from_the_first_to_the_last_bar() {
        let spans = transaction("a").spans();
        assert_eq!(spans.of("bars", 0), Some((7, 8)), "not the checkpoint's");
        assert_eq!(spans.of("bars", 1), Some((5, 5)));
    }
}
