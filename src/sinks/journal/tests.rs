//! Journals that are read while the end is asked for, and checkpoints that count too far.

use barflow_operators::bar::{CloseReason, Levels, OpenBar};
use barflow_operators::batch::Feed;

use super::*;
use crate::sinks::text::LineFormat;

/// More than are read between two looks at the stop flag.
const BARS: u64 = 2 * BARS_AT_ONCE as u64 + 1;

fn options(output: Output, live: Option<Roll>) -> JournalOptions {
    let job = "job".parse().unwrap();
    JournalOptions { output, job, live, info: FileInfo::default(), progress: None, resets: false }
}

fn committed(bars: u64) -> Commit {
    let feed = std::sync::Arc::new(Feed::numbered("a:b:C".parse().unwrap()));
    let bar = |seq| PublishedBar {
        spec: "t".into(),
        feed: feed.clone(),
        bar: OpenBar::default().finish(seq, &Levels::default(), CloseReason::Threshold, 7),
        received: None,
        synchronised: Default::default(),
    };
    let bars = (0..bars).map(|seq| (bar(seq), 1)).collect();
    Commit { bars, cut: Some(Vec::new()), ..Commit::default() }
}

#[test]
fn a_journal_that_is_read_heeds_the_end_and_the_last_part_is_made_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(Output::Parquet(folder.path().join("bars")), Some(Roll::Day));
    let mut first = JournaledSink::open(options.clone(), Stop::new()).unwrap();
    first.commit(&committed(BARS)).unwrap();
    drop(first);

    let stop = Stop::new();
    stop.raise();
    for resets in [false, true] {
        let again = JournaledSink::open(JournalOptions { resets, ..options.clone() }, stop.clone());
        assert!(matches!(again, Err(LocalError::Disk(SinkError::Stopped(_)))), "{again:?}");
    }
    let stop = Stop::new();
    let mut second = JournaledSink::open(options, stop.clone()).unwrap();
    stop.raise();
    assert!(matches!(second.reset(), Err(SinkError::Stopped(_))));
    // What is there for the end is not cut short by it.
    let report = second.finish().unwrap();
    assert_eq!(report.bars, BARS);
}

#[test]
fn a_file_that_appears_at_the_end_is_left_for_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bars.csv");
    let stop = Stop::new();
    let options = options(Output::Lines(LineFormat::Csv, path.clone()), None);
    let mut sink = JournaledSink::open(options.clone(), stop.clone()).unwrap();
    sink.commit(&committed(BARS)).unwrap();
    stop.raise();
    assert!(matches!(sink.publish(None), Err(SinkError::Stopped(_))));
    assert!(sink.finish().unwrap().places[0].contains("incomplete"));
    drop(sink);
    assert!(!path.exists());
    let mut again = JournaledSink::open(options, Stop::new()).unwrap();
    assert_eq!(again.finish().unwrap().bars, BARS);
    assert!(path.exists());
}

#[test]
fn parts_are_not_numbered_from_the_beginning_again() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(Output::Parquet(folder.path().join("bars")), Some(Roll::Day));
    let mut sink = JournaledSink::open(options, Stop::new()).unwrap();
    sink.commit(&committed(1)).unwrap();
    sink.checkpoint.live = Some(LiveOutput { parts: u64::MAX, bars: 1, roll: None });
    let refused = sink.finish().unwrap_err().to_string();
    assert!(refused.contains("no more can be numbered"), "{refused}");
    assert_eq!(sink.checkpoint.bars, 1);
    sink.checkpoint.live = Some(LiveOutput { parts: u64::MAX - 1, bars: u64::MAX, roll: None });
    assert_eq!(sink.finish().unwrap().bars, u64::MAX);
}

/// A part that has its name, without the checkpoint that says so, is not made again under another.
#[test]
fn a_part_keeps_its_name_when_a_run_with_another_roll_continues() {
    let folder = tempfile::tempdir().unwrap();
    let output = Output::Parquet(folder.path().join("bars"));
    let mut first =
        JournaledSink::open(options(output.clone(), Some(Roll::Hour)), Stop::new()).unwrap();
    first.commit(&committed(2)).unwrap();
    first.publish(Some(Part { roll: Roll::Hour, number: 0 })).unwrap();
    drop(first);
    let mut second = JournaledSink::open(options(output, Some(Roll::Day)), Stop::new()).unwrap();
    second.commit(&committed(1)).unwrap();
    assert_eq!(second.finish().unwrap().bars, 3);
    let mut names: Vec<String> = walk(&folder.path().join("bars"));
    names.sort();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[0].contains("1970-01-01.part-000001"), "{names:?}");
    assert!(names[1].contains("1970-01-01T00.part-000000"), "{names:?}");
}

/// Names of Parquet files in a folder and those below it.
fn walk(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let names = entries.flat_map(|path| match path.is_dir() {
        true => walk(&path),
        false => vec![path.file_name().unwrap().to_string_lossy().into_owned()],
    });
    names.filter(|name| name.ends_with(".parquet")).collect()
}
