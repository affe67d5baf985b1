//! A history cut into files in any way is the history, or an error that names the files.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use barflow_operators::batch::TradeBatch;
use barflow_operators::input_batch::{InputBatch, lines};
use barflow_operators::order::ids::Settled;
use barflow_operators::pool::BatchPool;
use barflow_operators::sequence::{Findings, Resume, Sequencer};
use barflow_operators::trade::Trade;
use barflow_replay::chunks::Chunks;
use barflow_replay::error::ReplayError;
use barflow_replay::plan::{InstrumentPlan, Plan, PlanOptions};
use barflow_replay::planner::plan;
use barflow_replay::read_options::ReadOptions;
use barflow_replay::stream::InstrumentStream;
use proptest::prelude::*;
use proptest::sample::Index;
use zip::write::SimpleFileOptions;

/// Trades that may wait for a missing id.
const WINDOW: usize = 16;

/// One file: which rows, and how they stand in it.
#[derive(Clone, Debug)]
struct Piece {
    from: usize,
    to: usize,
    /// Rows that it lacks.
    hole: Option<(usize, usize)>,
    newest_first: bool,
    packing: usize,
    name: u16,
}

impl Piece {
    fn rows<'a>(&self, all: &'a [String]) -> Vec<&'a str> {
        let is_hole = |row: &usize| self.hole.is_some_and(|(from, to)| (from..to).contains(row));
        let rows = (self.from..self.to).filter(|row| !is_hole(row));
        let mut rows: Vec<&str> = rows.map(|row| all[row].as_str()).collect();
        if self.newest_first {
            rows.reverse();
        }
        rows
    }

    fn write(&self, folder: &Path, stem: &str, all: &[String]) -> Option<PathBuf> {
        let rows = self.rows(all);
        if rows.is_empty() {
            return None;
        }
        let folder = folder.join(format!("{:05}", self.name));
        fs::create_dir_all(&folder).unwrap();
        let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
        let ending = ["csv", "csv.gz", "csv.zst", "zip", "zip", "zip"][self.packing];
        let path = folder.join(format!("{stem}.{ending}"));
        let file = fs::File::create(&path).unwrap();
        match self.packing {
            0 => fs::write(&path, text).unwrap(),
            1 => {
                let mut gz = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
                gz.write_all(text.as_bytes()).unwrap();
                gz.finish().unwrap();
            }
            2 => zstd::stream::copy_encode(text.as_bytes(), file, 1).unwrap(),
            packing => {
                let (one, two) = rows.split_at(rows.len() / 2);
                let (a, b) = ("XBTUSD_a.csv", "XBTUSD_b.csv");
                let members: &[(&str, &[&str])] = match packing {
                    3 => &[(a, &rows)],
                    4 => &[(a, one), (b, two)],
                    // The later one first.
                    _ => &[(b, two), (a, one)],
                };
                let mut zip = zip::ZipWriter::new(file);
                for (name, rows) in members {
                    if !rows.is_empty() {
                        zip.start_file(name, SimpleFileOptions::default()).unwrap();
                        zip.write_all(format!("{}\n", rows.join("\n")).as_bytes()).unwrap();
                    }
                }
                zip.finish().unwrap();
            }
        }
        Some(path)
    }
}

/// Pieces that together cover all rows: each begins where the one before ends or earlier.
fn pieces(rows: usize, with_holes: bool) -> impl Strategy<Value = Vec<Piece>> {
    let cut = (any::<Index>(), 0usize..12, any::<bool>(), 0usize..6, any::<u16>());
    let hole = (any::<Index>(), 0usize..20);
    let extra = (any::<Index>(), any::<Index>(), any::<bool>(), 0usize..6, any::<u16>());
    let all = (prop::collection::vec((cut, hole), 1..5), prop::collection::vec(extra, 0..3));
    all.prop_map(move |(cuts, extra)| {
        let mut ends: Vec<usize> = cuts.iter().map(|((cut, ..), _)| cut.index(rows) + 1).collect();
        ends.sort_unstable();
        *ends.last_mut().unwrap() = rows;
        let mut pieces = Vec::new();
        let mut begin = 0;
        for (((_, back, newest_first, packing, name), (at, length)), end) in
            cuts.into_iter().zip(ends)
        {
            let from = begin.min(end).saturating_sub(back);
            let hole = (with_holes && length > 0).then(|| {
                let hole = from + at.index(end - from + 1);
                (hole, (hole + length).min(end))
            });
            pieces.push(Piece { from, to: end, hole, newest_first, packing, name });
            if let Some((from, to)) = hole {
                // A file of its own fills it.
                let name = name.wrapping_add(1);
                pieces.push(Piece {
                    from,
                    to,
                    hole: None,
                    newest_first: !newest_first,
                    packing: 0,
                    name,
                });
            }
            begin = end;
        }
        for (one, other, newest_first, packing, name) in extra {
            let (one, other) = (one.index(rows + 1), other.index(rows + 1));
            let (from, to) = (one.min(other), one.max(other));
            if with_holes {
                pieces.push(Piece { from, to, hole: None, newest_first, packing, name });
            } else if let Some(copied) = pieces.get(one % pieces.len()).cloned() {
                pieces.push(Piece { name, packing, ..copied });
            }
        }
        // Folders have names of their own.
        for (number, piece) in pieces.iter_mut().enumerate() {
            piece.name = (piece.name & 0x0fff) | ((number as u16) << 12);
        }
        pieces
    })
}

fn written(
    folder: &Path,
    stem: &str,
    pieces: &[Piece],
    rows: &[String],
) -> Result<Plan, ReplayError> {
    for piece in pieces {
        piece.write(folder, stem, rows);
    }
    plan(&[folder.display().to_string()], &PlanOptions::default())
}

/// Ids from `first` on, a trade every 100 ms and sometimes several at once.
fn with_ids(rows: usize) -> Vec<String> {
    let row = |id: usize| {
        let time = 1_709_251_200_000u64 + 100 * (id as u64 / 3 * 3);
        format!(
            "{},{}.5,{}.25,1.0,{time},{},True",
            1000 + id,
            100 + id % 7,
            1 + id % 5,
            ["True", "False"][id % 2]
        )
    };
    (0..rows).map(row).collect()
}

/// Rows without ids, each time once.
fn without_ids(rows: usize) -> Vec<String> {
    let row = |row: usize| {
        format!("{}.{:03},{}.5,{}", 1_709_251_200 + row, row % 1000, 100 + row % 7, 1 + row % 3)
    };
    (0..rows).map(row).collect()
}

fn only(plan: Plan) -> InstrumentPlan {
    assert_eq!(plan.instruments.len(), 1, "{plan:?}");
    plan.instruments[0].clone()
}

/// What a replay would make bars of.
fn ordered(
    input_batches: impl IntoIterator<Item = Result<InputBatch, ReplayError>>,
    sequencer: &mut Sequencer,
) -> Result<Vec<Trade>, ReplayError> {
    let pool = BatchPool::new(8, 8);
    let mut trades = Vec::new();
    let mut feed = None;
    for input_batch in input_batches {
        let input_batch = input_batch?;
        assert_eq!(input_batch.rejects, []);
        feed = Some(input_batch.trades.feed.clone());
        let mut findings = Findings::default();
        let lines = lines(&input_batch.start, &[], &[], &input_batch.places);
        trades.extend(sequencer.on_batch(input_batch.trades, lines, &pool, &mut findings).iter());
        assert_eq!(findings.refused, []);
        assert_eq!((findings.late, findings.gaps), (Vec::new(), Vec::new()));
    }
    if let Some(feed) = feed {
        let mut rest = TradeBatch::with_capacity(feed, 0);
        sequencer.flush(&mut rest, &mut Findings::default());
        trades.extend(rest.iter());
    }
    Ok(trades)
}

fn read(history: &InstrumentPlan, rows: usize) -> Result<Vec<Trade>, ReplayError> {
    let stream = InstrumentStream::open(history.clone(), ReadOptions::new(rows))?;
    ordered(stream, &mut Sequencer::new(WINDOW))
}

/// Chunks one after the other, as threads would read them.
fn in_chunks(history: &InstrumentPlan, rows: usize) -> Result<Vec<Trade>, ReplayError> {
    let mut chunks = Chunks::new(history.clone(), rows, None)?;
    let options = ReadOptions::new(rows);
    let mut input_batches = Vec::new();
    while let Some(chunk) = chunks.next_chunk(1) {
        let mut reader = chunk.open(&options)?;
        while let Some(input_batch) = reader.next_batch()? {
            input_batches.push(Ok(input_batch));
        }
    }
    ordered(input_batches, &mut Sequencer::new(WINDOW))
}

fn ids(trades: &[Trade]) -> Vec<u64> {
    trades.iter().map(|trade| trade.trade_id).collect()
}

/// From every position on come the trades that were not applied.
fn resumes_anywhere(history: &InstrumentPlan, rows: usize, all: &[Trade]) {
    let stream = InstrumentStream::open(history.clone(), ReadOptions::new(rows)).unwrap();
    let mut applied: Option<Trade> = None;
    for input_batch in stream {
        let input_batch = input_batch.unwrap();
        let last = input_batch.trades.iter().max_by_key(|trade| trade.trade_id);
        applied =
            last.filter(|last| applied.is_none_or(|a| last.trade_id > a.trade_id)).or(applied);
        let Some(applied) = applied else { continue };
        let mut resume = input_batch.end.clone();
        resume.set_trade_id(applied.trade_id);
        let options = ReadOptions {
            resume: resume.file().cloned(),
            resume_time: Some(applied.event_time),
            ..ReadOptions::new(rows)
        };
        let mut sequencer = Sequencer::new(WINDOW);
        sequencer.resume(Resume {
            settled: Settled::up_to(Some(applied.trade_id), []),
            last_time: Some(applied.event_time),
        });
        let stream = InstrumentStream::open(history.clone(), options).unwrap();
        let rest = ordered(stream, &mut sequencer).unwrap();
        let expected: Vec<Trade> =
            all.iter().filter(|trade| trade.trade_id > applied.trade_id).copied().collect();
        assert_eq!(ids(&rest), ids(&expected), "after {resume}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn files_with_ids_are_one_history_however_they_overlap(
        pieces in (20usize..90).prop_flat_map(|rows| pieces(rows, true)),
        rows in 1usize..40,
    ) {
        let all = with_ids(pieces.iter().map(|piece| piece.to).max().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let history = only(written(folder.path(), "A-trades-x", &pieces, &all).unwrap());
        let trades = read(&history, rows).unwrap();
        let expected: Vec<u64> = (1000..1000 + all.len() as u64).collect();
        prop_assert_eq!(ids(&trades), expected);
        resumes_anywhere(&history, rows, &trades);
        match in_chunks(&history, rows) {
            Ok(chunked) => prop_assert_eq!(chunked, trades),
            Err(error) => {
                let text = error.to_string();
                prop_assert!(text.contains("A-trades-x.") && text.contains("--parallel"), "{text}");
            }
        }
    }

    #[test]
    fn files_without_ids_are_one_history_or_named(
        pieces in (20usize..90).prop_flat_map(|rows| pieces(rows, false)),
        rows in 1usize..40,
    ) {
        let all = without_ids(pieces.iter().map(|piece| piece.to).max().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let whole = folder.path().join("whole/XBTUSD.csv");
        fs::create_dir_all(whole.parent().unwrap()).unwrap();
        fs::write(&whole, all.join("\n")).unwrap();
        let whole = only(plan(&[whole.display().to_string()], &PlanOptions::default()).unwrap());
        let cut = folder.path().join("cut");
        match written(&cut, "XBTUSD", &pieces, &all) {
            Ok(plan) => {
                let history = only(plan);
                let trades = read(&history, rows).unwrap();
                prop_assert_eq!(&trades, &read(&whole, 8192).unwrap());
                resumes_anywhere(&history, rows, &trades);
            }
            Err(error) => {
                let text = error.to_string();
                prop_assert!(text.contains("XBTUSD.") && text.contains("overlap"), "{text}");
            }
        }
    }
}

/// Writes files and plans them: name and rows.
fn plan_of(folder: &Path, files: &[(&str, &[String])]) -> Result<Plan, ReplayError> {
    for (name, rows) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, rows.join("\n")).unwrap();
    }
    plan(&[folder.display().to_string()], &PlanOptions::default())
}

#[test]
fn a_seam_is_recognised_and_a_hole_without_ids_is_not_filled() {
    let rows = without_ids(100);
    let folder = tempfile::tempdir().unwrap();
    let seam = [("q1/XBTUSD.csv", &rows[..60]), ("q2/XBTUSD.csv", &rows[55..])];
    let planned = plan_of(folder.path(), &seam).unwrap();
    let note = planned.notes[0].to_string();
    assert!(note.contains("last 5 rows of") && note.contains("q2/XBTUSD.csv begins"), "{note}");
    assert_eq!(read(&only(planned), 7).unwrap().len(), 100);
    let mut holed = rows[..40].to_vec();
    holed.extend_from_slice(&rows[50..]);
    let folder = tempfile::tempdir().unwrap();
    let files = [("a/XBTUSD.csv", &holed[..]), ("b/XBTUSD.csv", &rows[40..50])];
    let error = plan_of(folder.path(), &files).unwrap_err().to_string();
    assert!(
        error.contains("a/XBTUSD.csv and ") && error.contains("2024-03-01T00:00:40"),
        "{error}"
    );
}

#[test]
fn equal_rows_of_one_moment_in_two_files_are_not_guessed_at() {
    let row = |second: usize, price: usize| format!("{},{price},1", 1_709_251_200 + second);
    let one = [row(0, 7), row(1, 8)];
    for (other, clear) in [([row(1, 9), row(2, 7)], true), ([row(1, 8), row(2, 7)], false)] {
        let folder = tempfile::tempdir().unwrap();
        let planned = plan_of(folder.path(), &[("a/XBTUSD.csv", &one), ("b/XBTUSD.csv", &other)]);
        match planned {
            Ok(planned) => assert!(clear && read(&only(planned), 9).unwrap().len() == 4),
            Err(error) => assert!(!clear, "{error}"),
        }
    }
}

#[test]
fn times_that_jump_back_name_the_line() {
    let mut rows = without_ids(40);
    rows.swap(20, 30);
    let folder = tempfile::tempdir().unwrap();
    let history = only(plan_of(folder.path(), &[("XBTUSD.csv", &rows)]).unwrap());
    let error = read(&history, 9).unwrap_err().to_string();
    assert!(
        error.contains("XBTUSD.csv: line 22: field \"time\"") && error.contains("sort"),
        "{error}"
    );
    let error = in_chunks(&history, 9).unwrap_err().to_string();
    assert!(error.contains("line 22"), "{error}");
}

#[test]
fn a_bad_row_of_a_file_that_is_read_from_its_end_has_its_own_line() {
    let mut rows = with_ids(30);
    rows.reverse();
    rows[4] = "1025,x,1,1,1709251200000,True,True".to_owned();
    rows.insert(0, "id,price,qty,quote_qty,time,is_buyer_maker,is_best_match".to_owned());
    let folder = tempfile::tempdir().unwrap();
    let history = only(plan_of(folder.path(), &[("A-trades-x.csv", &rows)]).unwrap());
    let stream = InstrumentStream::open(history, ReadOptions::new(9)).unwrap();
    let batches: Vec<InputBatch> = stream.collect::<Result<_, _>>().unwrap();
    let rejects: Vec<u64> = batches.iter().flat_map(|b| &b.rejects).map(|r| r.line).collect();
    assert_eq!(rejects, [6]);
    assert_eq!(batches[0].trades.trade_id[..3], [1000, 1001, 1002]);
    assert_eq!(batches[0].place_of(0).1, 31);
    assert_eq!(batches[0].place_of(2).1, 29);
}
