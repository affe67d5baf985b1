//! Recordings: real ones of other programs, and our own written and read back.

use crate::support::days::real as shared;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use barflow::recording::reader::{self, Format};
use barflow::recording::writer::{Limits, Writer};
use barflow::recording::{Direction, Recorded, RecordingError, recorder};
use barflow::stop::Stop;
use proptest::prelude::*;

// Real recordings.

/// The files below a folder of real data whose names end so.
fn below(folder: &str, ending: &str) -> Vec<PathBuf> {
    let Some(folder) = shared(folder) else { return Vec::new() };
    let mut found = Vec::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_str().unwrap().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn all(path: &Path) -> Vec<Recorded> {
    reader::open(path).unwrap().collect::<Result<_, _>>().unwrap()
}

fn count(frames: &[Recorded], direction: Direction) -> usize {
    frames.iter().filter(|frame| frame.direction == direction).count()
}

fn holding(frames: &[Recorded], text: &str) -> usize {
    let finder = memchr::memmem::Finder::new(text);
    frames
        .iter()
        .filter(|frame| {
            frame.direction == Direction::Received && finder.find(&frame.frame).is_some()
        })
        .count()
}

#[test]
fn every_real_recording_is_read_without_an_error() {
    for (folder, ending, format) in [
        ("captures", ".capture", Format::CryptofeedText),
        ("cryptofeed", ".0.zst", Format::CryptofeedText),
        ("cryptofeed", ".jsonl.zst", Format::CryptofeedJson),
        ("hftbacktest", ".gz", Format::Hftbacktest),
    ] {
        for path in below(folder, ending) {
            let mut reader = reader::open(&path).unwrap();
            assert_eq!(reader.format(), format, "{}", path.display());
            let mut received = 0;
            // Each connection's own frames are in order; between connections nothing says so.
            let mut before = BTreeMap::new();
            for frame in &mut reader {
                let frame = frame.unwrap();
                assert!(!frame.frame.is_empty());
                if frame.direction != Direction::Received {
                    continue;
                }
                received += 1;
                assert!(frame.frame.starts_with(b"{") || frame.frame.starts_with(b"["));
                let last = before.insert(frame.connection, frame.recv_time);
                assert!(last <= Some(frame.recv_time), "{} goes back", path.display());
            }
            assert!(received > 10, "{}: {received}", path.display());
            assert_eq!(reader.remark(), None);
        }
    }
}

#[test]
fn real_recordings_hold_as_many_frames_as_were_counted() {
    for (file, frames, trades, first, last) in [
        ("spot/btcusdt_20240808.gz", 41_249, 9_757, 1_723_161_253_937_085_768, 1_723_161_600),
        ("spot/btcusdt_20240809.gz", 58_325, 10_147, 1_723_161_600_001_658_384, 1_723_162_000),
        ("usdm/btcusdt_20230404.dat.gz", 13_384, 2_197, 1_680_652_700_423_575_000, 1_680_652_800),
        ("usdm/btcusdt_20230405.dat.gz", 60_381, 10_738, 1_680_652_800_005_184_000, 1_680_653_300),
        ("usdm/btcusdt_20240808.gz", 93_954, 21_313, 1_723_161_255_030_314_667, 1_723_161_600),
    ] {
        let Some(path) = shared(&format!("hftbacktest/{file}")) else { continue };
        let read = all(&path);
        assert_eq!(read.len(), frames, "{file}");
        assert_eq!(holding(&read, r#""e":"trade""#), trades, "{file}");
        assert_eq!(read[0].recv_time, first, "{file}");
        assert!(read.last().unwrap().recv_time / 1_000_000_000 < last, "{file}");
    }
}

#[test]
fn whole_connections_keep_who_said_what() {
    if let Some(path) = shared("cryptofeed/COINBASE.jsonl.zst") {
        let frames = all(&path);
        assert_eq!(count(&frames, Direction::Received), 1_030);
        assert_eq!(count(&frames, Direction::Sent), 5);
        assert_eq!(count(&frames, Direction::Connect), 1);
        assert_eq!(count(&frames, Direction::Answer), 1);
        assert_eq!(holding(&frames, r#""channel":"market_trades""#), 59);
        assert_eq!(holding(&frames, r#""channel":"heartbeats""#), 25);
        let answer = &frames[0];
        assert_eq!((answer.recv_time, answer.connection), (1_786_309_548_026_294_000, 0));
        assert_eq!(frames[1].frame, b"wss://advanced-trade-ws.coinbase.com");
        assert_eq!(frames[2].recv_time, 1_786_309_548_174_374_800);
        assert!(frames[1..].iter().all(|frame| frame.connection == 1));
    }
    if let Some(path) = shared("cryptofeed/BYBIT.jsonl.zst") {
        let frames = all(&path);
        assert_eq!(holding(&frames, r#""topic":"publicTrade"#), 120);
        assert_eq!(count(&frames, Direction::Sent), 24);
        assert_eq!(frames.iter().map(|frame| frame.connection).max(), Some(2));
    }
}

#[test]
fn text_captures_tell_answers_from_frames() {
    let Some(path) = shared("cryptofeed/BINANCE-ee25be.0.zst") else { return };
    let frames = all(&path);
    assert_eq!(frames.len(), 4_720);
    assert_eq!(count(&frames, Direction::Answer), 3);
    assert_eq!(holding(&frames, r#""e":"aggTrade""#), 1_910);
    assert!(frames[0].frame.starts_with(b"wss://stream.binance.com:9443/stream?streams="));
    assert_eq!(frames[0].connection, 0);
    let answer = frames.iter().find(|frame| frame.direction == Direction::Answer).unwrap();
    assert_eq!((answer.recv_time, answer.connection), (1_617_566_592_106_536_900, 1));
    assert!(answer.frame.starts_with(br#"{"lastUpdateId":1513939277,"#));
}

#[test]
fn real_frames_survive_our_own_format() {
    for file in ["cryptofeed/BITMEX-d944be.0.zst", "cryptofeed/BYBIT.jsonl.zst"] {
        let Some(path) = shared(file) else { continue };
        let frames = all(&path);
        let folder = tempfile::tempdir().unwrap();
        let files = written(folder.path(), &frames, Limits::default());
        assert_eq!(files.len(), 1);
        assert!(all(&files[0]) == frames, "{file} came back different");
    }
}

// Our own.

/// 2024-08-08 23:54:15 UTC.
const START: i64 = 1_723_161_255_000_000_000;
const SECOND: i64 = 1_000_000_000;

fn frame(recv_time: i64, text: &str) -> Recorded {
    let frame = text.as_bytes().to_vec();
    Recorded { recv_time, connection: 0, direction: Direction::Received, frame }
}

fn written(folder: &Path, frames: &[Recorded], limits: Limits) -> Vec<PathBuf> {
    let mut writer = Writer::new(folder, "test", limits).unwrap();
    frames.iter().for_each(|frame| writer.write(frame).unwrap());
    writer.finish().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A file of a test, with what stands in it.
fn file(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_file_has_its_name_only_when_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(folder.path(), "live", Limits::default()).unwrap();
    assert!(names(folder.path()).is_empty());
    writer.write(&frame(START, "{}")).unwrap();
    assert_eq!(names(folder.path()), ["live-20240808T235415Z.capture.zst.part"]);
    let files = writer.finish().unwrap();
    assert_eq!(files, [folder.path().join("live-20240808T235415Z.capture.zst")]);
    assert_eq!(names(folder.path()), ["live-20240808T235415Z.capture.zst"]);
    assert_eq!(all(&files[0]), [frame(START, "{}")]);
}

#[test]
fn nothing_is_replaced_neither_whole_nor_partial() {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path(), "test-20240808T235415Z.capture.zst", b"mine");
    file(folder.path(), "test-20240808T235415Z-2.capture.zst.part", b"also mine");
    let files = written(folder.path(), &[frame(START, "{}")], Limits::default());
    assert_eq!(files, [folder.path().join("test-20240808T235415Z-3.capture.zst")]);
    assert_eq!(names(folder.path()).len(), 3);
    let mine = fs::read(folder.path().join("test-20240808T235415Z.capture.zst")).unwrap();
    assert_eq!(mine, b"mine");
}

#[test]
fn no_frames_no_file() {
    let folder = tempfile::tempdir().unwrap();
    assert!(written(folder.path(), &[], Limits::default()).is_empty());
    assert!(names(folder.path()).is_empty());
    assert!(Writer::new(folder.path(), "a/b", Limits::default()).is_err());
}

#[test]
fn a_new_file_begins_with_the_hour_of_the_frames() {
    let folder = tempfile::tempdir().unwrap();
    let hour = START - START.rem_euclid(3_600 * SECOND) + 3_600 * SECOND;
    let frames = [
        frame(START, "1"),
        frame(hour - 1, "2"),
        frame(hour, "3"),
        // Handed in late by another connection: no file of its own.
        frame(hour - 2, "4"),
        frame(hour + 7_200 * SECOND, "5"),
    ];
    let files = written(folder.path(), &frames, Limits::default());
    assert_eq!(
        names(folder.path()),
        [
            "test-20240808T235415Z.capture.zst",
            "test-20240809T000000Z.capture.zst",
            "test-20240809T020000Z.capture.zst"
        ]
    );
    let sizes: Vec<_> = files.iter().map(|file| all(file).len()).collect();
    assert_eq!(sizes, [2, 2, 1]);
    let one = Limits { hourly: false, ..Limits::default() };
    assert_eq!(written(&folder.path().join("."), &frames, one).len(), 1);
}

#[test]
fn a_new_file_begins_when_one_is_big_enough() {
    let folder = tempfile::tempdir().unwrap();
    let mut noise = fastrand::Rng::with_seed(7);
    let frames: Vec<_> = (0..1_000)
        .map(|n| {
            frame(
                START + n,
                &std::iter::repeat_with(|| noise.alphanumeric()).take(100).collect::<String>(),
            )
        })
        .collect();
    let limits = Limits { file_bytes: 20_000, block_bytes: 4_000, ..Limits::default() };
    let files = written(folder.path(), &frames, limits);
    assert!(files.len() > 3, "{} files", files.len());
    assert!(files[1].ends_with("test-20240808T235415Z-2.capture.zst"));
    for file in &files[..files.len() - 1] {
        let size = fs::metadata(file).unwrap().len();
        assert!((20_000..25_000).contains(&size), "{size}");
    }
    let back: Vec<_> = files.iter().flat_map(|file| all(file)).collect();
    assert!(back == frames);
}

#[test]
fn what_a_crash_leaves_is_read_up_to_the_last_block() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { block_frames: 10, ..Limits::default() };
    let mut writer = Writer::new(folder.path(), "test", limits).unwrap();
    (0..25).for_each(|n| writer.write(&frame(START + n, "{\"a\":1}")).unwrap());
    drop(writer);
    let part = folder.path().join("test-20240808T235415Z.capture.zst.part");
    let mut reader = reader::open(&part).unwrap();
    let read = reader.by_ref().collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(read.len(), 20);
    let remark = reader.remark().unwrap();
    assert!(remark.contains("is incomplete: it ends"), "{remark}");
    assert!(remark.contains("after line 21"), "{remark}");

    // The same bytes under the name of a whole file are an error, behind the same frames.
    let whole = folder.path().join("whole.capture.zst");
    fs::rename(part, &whole).unwrap();
    let read: Vec<_> = reader::open(&whole).unwrap().collect();
    assert_eq!(read.len(), 21);
    let error = read[20].as_ref().unwrap_err();
    assert!(matches!(error, RecordingError::Broken { line: 21, .. }), "{error}");
    assert!(error.to_string().contains("whole.capture.zst"), "{error}");
}

#[test]
fn a_part_may_end_at_any_byte() {
    let folder = tempfile::tempdir().unwrap();
    let frames: Vec<_> = (0..30).map(|n| frame(START + n, &format!("{{\"n\":{n}}}"))).collect();
    let limits = Limits { block_frames: 7, ..Limits::default() };
    let packed = fs::read(&written(folder.path(), &frames, limits)[0]).unwrap();
    let plain = zstd::decode_all(&packed[..]).unwrap();
    let mut most = 0;
    for (name, bytes) in [("a.zst.part", &packed), ("a.part", &plain)] {
        for end in 0..bytes.len() {
            let path = file(folder.path(), name, &bytes[..end]);
            let Ok(mut reader) = reader::open(&path) else {
                // So early that nothing shows what it is.
                assert!(end < 20, "{name} of {end} bytes");
                continue;
            };
            let read = reader.by_ref().collect::<Result<Vec<_>, _>>().unwrap();
            assert_eq!(read, frames[..read.len()], "{name} of {end} bytes");
            most = most.max(read.len());
            // Plain text may be cut between two lines, which cannot be seen.
            assert!(reader.remark().is_some() || bytes[end - 1] == b'\n', "{name} {end}");
        }
    }
    assert_eq!(most, 30);
}

#[test]
fn a_part_may_end_in_zeros() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { block_frames: 1, ..Limits::default() };
    let frames = [frame(START, "1"), frame(START, "2")];
    let mut bytes = fs::read(&written(folder.path(), &frames, limits)[0]).unwrap();
    // A power cut: the file has its length, but the disk never saw its end.
    let end = bytes.len() - 8;
    bytes[end..].fill(0);
    bytes.extend([0; 4_096]);
    let mut reader = reader::open(&file(folder.path(), "a.part", &bytes)).unwrap();
    assert!(reader.by_ref().collect::<Result<Vec<_>, _>>().is_ok());
    let remark = reader.remark().unwrap();
    assert!(remark.contains("cannot be decompressed"), "{remark}");
}

#[test]
fn packing_is_told_by_the_bytes_and_frames_may_follow_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let first = written(folder.path(), &[frame(START, "1")], Limits::default());
    let second = written(folder.path(), &[frame(START + 1, "2")], Limits::default());
    let both = [fs::read(&first[0]).unwrap(), fs::read(&second[0]).unwrap()].concat();
    let expected = [frame(START, "1"), frame(START + 1, "2")];
    assert_eq!(all(&file(folder.path(), "both", &both)), expected);

    let plain = zstd::decode_all(&both[..]).unwrap();
    assert_eq!(all(&file(folder.path(), "plain.gz", &plain)), expected);
    let mut gzip = Vec::new();
    for half in plain.chunks(plain.len() / 2) {
        let mut encoder = flate2::write::GzEncoder::new(&mut gzip, flate2::Compression::fast());
        encoder.write_all(half).unwrap();
        encoder.finish().unwrap();
    }
    assert_eq!(all(&file(folder.path(), "packed.zst", &gzip)), expected);
}

// Wrong files.

#[test]
fn a_wrong_line_is_named_and_the_next_one_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for (text, line, what) in [
        ("#barflow-recording 1\n1 0 sent a\n1 0 heard b\n1 0 sent c\n".to_owned(), 3, "\"heard\""),
        ("1723161253937 a\n\n17231612539 b\n1723161253937 c".to_owned(), 3, "digits"),
        ("1.5: a\nwss:/x <-> 1.5\n1.5: c\n".to_owned(), 2, "neither a time nor a URL"),
        ("1.5: a\nwss://x => 1.5\n1.5: c\n".to_owned(), 2, "not an arrow"),
        ("1.5: a\n1.5x: b\n1.5: c\n".to_owned(), 2, "not a time in seconds"),
        ("1.5: a\nwss://x <-> later\n1.5: c\n".to_owned(), 2, "not a time in seconds"),
        (json(r#""t":"recv","conn":"x","ts":1.5"#), 2, "\"data\" is missing"),
        (json(r#""t":"recv","conn":"x","data":"b""#), 2, "\"ts\" is missing"),
        (json(r#""t":"recv","ts":1.5,"data":"b""#), 2, "\"conn\" is missing"),
        (json(r#""t":"recv","conn":"x","ts":1e9,"data":"b""#), 2, "not a time in seconds"),
        (json(r#""t":"heard""#), 2, "\"heard\""),
        (json(r#""t":"recv","conn":"#), 2, "not a line of a recording"),
    ] {
        let path = file(folder.path(), "wrong", text.as_bytes());
        let read: Vec<_> = reader::open(&path).unwrap().collect();
        let [Ok(a), Err(error), Ok(c)] = &read[..] else { panic!("{text}: {read:?}") };
        assert_eq!((a.frame.as_slice(), c.frame.as_slice()), (&b"a"[..], &b"c"[..]));
        let said = error.to_string();
        assert!(said.starts_with(&format!("\"{}\", line {line}: ", path.display())), "{said}");
        assert!(said.contains(what), "{said}");
    }
}

/// Three JSON lines, the middle one as said.
fn json(middle: &str) -> String {
    let line = |data| format!(r#"{{"t":"recv","conn":"x","ts":1.5,"data":"{data}"}}"#);
    format!("{}\n{{{middle}}}\n{}\n", line("a"), line("c"))
}

#[test]
fn files_that_are_no_recording_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (bytes, what) in [
        (&b""[..], "is empty"),
        (b"\n\n\n", "is empty"),
        (
            b"timestamp,price\n1,2\n",
            "not a known recording format; it starts with \"timestamp,price\"",
        ),
        (
            b"#barflow-recording 2 x\n",
            "is a recording of version \"2\"; this barflow reads version 1",
        ),
        (b"\x1f\x8b\x08", "the file ends in the middle of a compressed block"),
        (b"\x28\xb5\x2f\xfdxxxxxxxxxxxxxxx", "cannot be decompressed"),
    ] {
        let path = file(folder.path(), "wrong", bytes);
        let Err(error) = reader::open(&path) else { panic!("{what}: opened") };
        let said = error.to_string();
        assert!(said.contains(what), "{said}");
        assert!(said.contains(&path.display().to_string()), "{said}");
    }
    let Err(error) = reader::open(&folder.path().join("none")) else { panic!("opened") };
    assert!(error.to_string().contains("could not open"), "{error}");
}

proptest! {
    #[test]
    fn anything_written_is_read(
        frames in proptest::collection::vec(
            (any::<i64>(), 0u32..4, 0u8..4, proptest::collection::vec(any::<u8>(), 0..50)),
            1..40,
        ),
        block_frames in 1u32..10,
    ) {
        let directions =
            [Direction::Connect, Direction::Sent, Direction::Received, Direction::Answer];
        let frames: Vec<_> = frames
            .into_iter()
            .map(|(recv_time, connection, direction, frame)| {
                let direction = directions[usize::from(direction)];
                Recorded { recv_time, connection, direction, frame }
            })
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { block_frames, ..Limits::default() };
        let files = written(folder.path(), &frames, limits);
        let back: Vec<_> = files.iter().flat_map(|file| all(file)).collect();
        prop_assert_eq!(back, frames);
    }
}

// The thread.

#[test]
fn the_thread_writes_what_the_sockets_hand_in() {
    let folder = tempfile::tempdir().unwrap();
    let stop = Stop::new();
    let inner = folder.path().join("made/for/it");
    let (recorder, recording) = recorder::start(&inner, "live", &stop).unwrap();
    let other = recorder.clone();
    recorder.take(START, 0, Direction::Connect, b"wss://venue");
    other.take(START + 1, 1, Direction::Received, b"{\n}");
    drop((recorder, other));
    let files = recording.finish().unwrap();
    assert_eq!(files, [inner.join("live-20240808T235415Z.capture.zst")]);
    let frames = all(&files[0]);
    assert_eq!(frames.len(), 2);
    assert_eq!((frames[1].connection, frames[1].frame.as_slice()), (1, &b"{\n}"[..]));
    assert!(!stop.is_raised());
}

#[test]
fn a_quiet_feed_can_be_read_while_it_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let (recorder, recording) = recorder::start(folder.path(), "live", &Stop::new()).unwrap();
    recorder.take(START, 0, Direction::Received, b"{}");
    let part = folder.path().join("live-20240808T235415Z.capture.zst.part");
    let begun = std::time::Instant::now();
    loop {
        let frames = reader::open(&part).map(|reader| reader.filter_map(Result::ok).count());
        if frames.is_ok_and(|frames| frames == 1) {
            break;
        }
        assert!(begun.elapsed().as_secs() < 60, "the frame never became readable");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    drop(recorder);
    assert_eq!(recording.finish().unwrap().len(), 1);
}

#[test]
fn a_disk_that_refuses_stops_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("gone");
    let stop = Stop::new();
    let (recorder, recording) = recorder::start(&inner, "live", &stop).unwrap();
    fs::remove_dir(&inner).unwrap();
    recorder.take(START, 0, Direction::Received, b"{}");
    drop(recorder);
    let error = recording.finish().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    assert!(error.to_string().contains("could not write"), "{error}");
    assert!(stop.is_raised());
    assert!(stop.take_cause().is_some());
}
