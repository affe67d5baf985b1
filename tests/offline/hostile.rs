//! Files made to harm: they end with words, or by a signal, and never by a panic.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{ArrayRef, DictionaryArray, Float64Array, Int64Array, ListArray, RecordBatch};
use barflow_replay::checksum::{sum_of, verify_published};
use barflow_replay::error::ReplayError;
use barflow_replay::progress::Progress;
use barflow_replay::sniff;
use barflow_replay::store::audit::audit;
use barflow_replay::trades_parquet::verify::verify;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use crate::support::archives;
use crate::support::process::{Process, barflow, wait_until};
use crate::support::spoiled;

/// An archive with one trade and then blank lines, 20 MB in each of many members that have bytes of
/// their own.
fn blank_lines(folder: &Path, members: usize) -> PathBuf {
    let piece = folder.join("piece.zip");
    let mut archive = ZipWriter::new(File::create(&piece).unwrap());
    archive.start_file("blank.csv", SimpleFileOptions::default()).unwrap();
    let lines = vec![b'\n'; 1 << 20];
    (0..20).for_each(|_| archive.write_all(&lines).unwrap());
    archive.finish().unwrap();
    let mut piece = ZipArchive::new(File::open(&piece).unwrap()).unwrap();

    let path = folder.join("BTCUSDT-trades-2024-03-01.zip");
    let mut archive = ZipWriter::new(File::create(&path).unwrap());
    archive.start_file("BTCUSDT-trades-2024-03-01.csv", SimpleFileOptions::default()).unwrap();
    writeln!(archive, "{}", archives::day_rows(1, 1)[0]).unwrap();
    for number in 0..members {
        let member = piece.by_index_raw(0).unwrap();
        archive.raw_copy_file_rename(member, format!("{number:06}.csv")).unwrap();
    }
    archive.finish().unwrap();
    path
}

#[test]
fn a_signal_ends_the_reading_of_blank_lines() {
    let folder = tempfile::tempdir().unwrap();
    // Some hours of reading; nothing but the signal ends it in time.
    let archive = blank_lines(folder.path(), 20_000);
    for more in [&["--no-verify"][..], &[], &["--no-verify", "--parallel", "2"]] {
        let mut command = barflow();
        command.arg("replay").arg(&archive).args(["--bar", "t=tick,size=1", "--sink", "none"]);
        command.args(more);
        let mut process = Process::start(command);
        process.wait_until("it reads", |process| reads(process.id(), &archive));
        let (code, _, said) = process.stop();
        assert_eq!(code, Some(143), "{more:?}: {said}");
        let shares = said.split(" % read").filter_map(|text| text.rsplit(['\r', '\n']).next());
        let shares = shares.filter_map(|text| text.trim().parse::<u64>().ok());
        assert!(shares.max().unwrap_or(0) <= 100, "{said}");
    }
}

#[test]
fn a_signal_ends_every_command_that_reads_and_its_exit_code_tells_a_part_from_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let archive = blank_lines(folder.path(), 20_000);
    let again = "same command";
    for (arguments, outputs, said) in [
        (&["convert", "--store", "store"][..], &["store/trades"][..], again),
        (&["quality", "--json", "report.json"], &["report.json"], again),
        (
            &["sweep", "--grid", "kind=imbalance", "--grid", "target=100,200", "--out", "sweep"],
            &["sweep/summary.parquet"],
            again,
        ),
        (&["verify", "--against", ".", "--bar", "t=tick,size=1"], &[], again),
        (&["replay", "--out", "bars.jsonl"], &[], again),
        (&["sync-report"], &[], ""),
    ] {
        let mut command = barflow();
        command.args(arguments).arg(&archive).current_dir(folder.path());
        let mut process = Process::start(command);
        process.wait_until("it reads", |process| reads(process.id(), &archive));
        process.signal("TERM");
        let end = process.end();
        match said {
            // Nothing is lost by an end at once.
            "" => assert_eq!(end.code, None, "{arguments:?}: {}", end.said),
            said => {
                assert_eq!(end.code, Some(143), "{arguments:?}: {}", end.said);
                assert!(end.said.contains(said), "{arguments:?}: {}", end.said);
            }
        }
        for output in outputs {
            let output = folder.path().join(output);
            let empty = fs::read_dir(&output).is_ok_and(|mut inside| inside.next().is_none());
            assert!(empty || !output.exists(), "{arguments:?}: {}", output.display());
        }
    }
}

/// A recording whose frames are no trades and have blank lines between them: some hours of reading.
fn endless_recording(folder: &Path, members: usize) -> PathBuf {
    let path = folder.join("x.capture.gz");
    let packed = |text: &[u8]| {
        let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        to.write_all(text).unwrap();
        to.finish().unwrap()
    };
    let mut begin = b"1709251200.0: wss://stream.binance.com:9443/ws\n".to_vec();
    begin.extend(b"1709251200.1: {\"result\":null,\"id\":1}\n");
    let blank = packed(&vec![b'\n'; 20 << 20]);
    let mut file = File::create(&path).unwrap();
    file.write_all(&packed(&begin)).unwrap();
    (0..members).for_each(|_| file.write_all(&blank).unwrap());
    path
}

#[test]
fn a_signal_ends_the_reading_of_a_recording_without_trades() {
    let folder = tempfile::tempdir().unwrap();
    let recording = endless_recording(folder.path(), 2_000);
    for arguments in [
        &["replay", "--protocol", "binance-spot", "--sink", "none", "--bar", "t=tick,size=1"][..],
        &["verify", "--protocol", "binance-spot", "--against", ".", "--bar", "t=tick,size=1"],
    ] {
        let mut command = barflow();
        command.args(arguments).arg(&recording).current_dir(folder.path());
        let mut process = Process::start(command);
        process.wait_until("it reads", |process| reads(process.id(), &recording));
        let (code, _, said) = process.stop();
        assert_eq!(code, Some(143), "{arguments:?}: {said}");
        assert!(said.contains("run the same command again"), "{arguments:?}: {said}");
    }
}

/// A file of blank lines is refused as not a recording before all of it is read.
#[test]
fn a_file_that_begins_with_blank_lines_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.capture");
    fs::write(&path, vec![b'\n'; 2_000]).unwrap();
    let mut command = barflow();
    command.args(["replay", "--protocol", "binance-spot", "--sink", "none"]).arg(&path);
    let (code, said) = Process::start(command).finish();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("x.capture\" begins with 1000 blank lines"), "{said}");
}

/// Whether a process has the file open.
fn reads(process: u32, path: &Path) -> bool {
    let Ok(handles) = fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    let path = path.canonicalize().unwrap();
    handles.flatten().any(|handle| fs::read_link(handle.path()).is_ok_and(|of| of == path))
}

#[test]
fn checks_that_read_a_whole_file_end_when_they_are_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let archive =
        archives::write(folder.path(), "BTCUSDT-trades-2024-03-01", &archives::day_rows(1, 50));
    let parquet = spoiled::as_parquet(std::slice::from_ref(&archive), &folder.path().join("kept"));
    let raised = Progress::until(Arc::new(AtomicBool::new(true)).into());
    assert!(matches!(audit(&parquet, &raised), Err(ReplayError::Stopped)));
    assert!(matches!(verify_published(&archive, &raised), Err(ReplayError::Stopped)));
    assert!(matches!(sum_of(&archive, &raised), Err(ReplayError::Stopped)));
    assert!(matches!(verify(&parquet, &raised), Err(ReplayError::Stopped)));
    let free = Progress::default();
    audit(&parquet, &free).unwrap();
    verify_published(&archive, &free).unwrap();
}

#[test]
fn no_byte_of_a_parquet_file_makes_its_reader_panic() {
    let folder = tempfile::tempdir().unwrap();
    let archive =
        archives::write(folder.path(), "BTCUSDT-trades-2024-03-01", &archives::day_rows(1, 200));
    let kept = spoiled::as_parquet(&[archive], &folder.path().join("kept"));
    let mut whole = fs::read(&kept).unwrap();
    // Without its seal every changed byte is read.
    let seal = memchr::memmem::find(&whole, b"barflow.seal").unwrap();
    whole[seal..seal + 12].copy_from_slice(b"barflow.none");
    let path = folder.path().join("changed.trades.parquet");
    let (mut refused, mut random) = (0, fastrand::Rng::with_seed(15));
    for at in (0..whole.len()).chain((0..whole.len()).rev().take(300)) {
        let mut changed = whole.clone();
        changed[at] ^= 1 << random.u8(0..8);
        fs::write(&path, changed).unwrap();
        if let Err(error) = audit(&path, &Progress::default()) {
            refused += 1;
            assert!(error.to_string().contains("changed.trades.parquet"), "{error}");
        }
        let _ = sniff::table(&path, None);
    }
    assert!(refused > whole.len() / 2, "{refused} of {}", whole.len());
}

/// The peak memory that a summary tells of, in MiB.
pub fn peak(said: &str) -> u64 {
    let memory = said.split("peak memory ").nth(1).and_then(|rest| rest.split(' ').next());
    memory.and_then(|text| text.replace(',', "").parse().ok()).unwrap_or_else(|| panic!("{said}"))
}

/// A thousand trades in Parquet whose texts are one of a megabyte, which the file has once.
fn repeated_text(folder: &Path, name: &str, text_in: &str, encoding: Option<Encoding>) -> PathBuf {
    let rows = 0..1000i64;
    let number = |of: fn(i64) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.clone().map(of)))
    };
    let prices: ArrayRef = Arc::new(Float64Array::from_iter_values(rows.clone().map(|_| 61000.5)));
    let large = "x".repeat(1_000_000);
    let texts = |text: &str| -> ArrayRef {
        let all = rows.clone().map(|_| text);
        Arc::new(all.collect::<DictionaryArray<Int32Type>>())
    };
    let note = if text_in == "note" { &*large } else { "a note" };
    let side = if text_in == "side" { &*large } else { "buy" };
    let batch = RecordBatch::try_from_iter([
        ("id", number(|row| row + 1)),
        ("price", Arc::clone(&prices)),
        ("qty", prices),
        ("time", number(|row| 1_709_251_200_000 + row)),
        ("side", texts(side)),
        ("note", texts(note)),
    ])
    .unwrap();
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_dictionary_page_size_limit(1 << 30);
    if let Some(encoding) = encoding {
        properties = properties.set_dictionary_enabled(false);
        properties = properties.set_column_encoding("side".into(), encoding);
        properties = properties.set_column_encoding("note".into(), encoding);
    }
    let path = folder.join(name);
    let to = File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(to, batch.schema(), Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    assert!(fs::metadata(&path).unwrap().len() < 100_000, "{text_in} {encoding:?}");
    path
}

#[test]
fn a_text_that_parquet_has_once_and_every_row_names_costs_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    for encoding in [None, Some(Encoding::DELTA_BYTE_ARRAY)] {
        for text_in in ["note", "side"] {
            let path = repeated_text(folder.path(), "x.parquet", text_in, encoding);
            let mut command = barflow();
            command.arg("replay").arg(&path).args(["--instrument", "a:b:C", "--sink", "none"]);
            command.args(["--bar", "t=tick,size=100", "--quarantine"]);
            command.arg(folder.path().join("rejects.jsonl"));
            let (code, said) = Process::start(command).finish();
            assert!(code.is_some_and(|code| code < 2), "{said}");
            assert!(peak(&said) < 300, "{text_in}, {encoding:?}: {said}");
            let refused = if text_in == "side" { "quarantined 1,000" } else { "quarantined 0" };
            assert!(said.contains(refused), "{text_in}, {encoding:?}: {said}");
        }
    }
    let rejects = fs::read_to_string(folder.path().join("rejects.jsonl")).unwrap();
    assert!(rejects.contains("(1000000 bytes)") && rejects.len() < 4_000_000, "{}", rejects.len());
}

#[test]
fn a_column_whose_rows_have_many_values_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let lists = (0..3).map(|_| Some((0..1000i64).map(Some)));
    let prices: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists));
    let plain: ArrayRef = Arc::new(Int64Array::from_iter_values(1..4));
    let columns = [("price", prices), ("qty", Arc::clone(&plain)), ("time", plain)];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let to = File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(to, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let mut command = barflow();
    command.arg("replay").arg(&path).args(["--instrument", "a:b:C", "--bar", "t=tick,size=1"]);
    let (code, said) = Process::start(command).finish();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("its column \"price\" has values of the type List"), "{said}");
}

/// A recording with one trade in each of many symbols that nobody has heard of.
fn made_up_symbols(path: &Path, symbols: usize) {
    let mut text = "wss://stream.binance.com:9443/ws <-> 1709251200.0\n".to_owned();
    for n in 0..symbols {
        writeln!(
            text,
            "1709251200.5: {{\"e\":\"trade\",\"E\":1709251200000,\"s\":\"S{n}\",\"t\":1,\"p\":\"1\",\
             \"q\":\"1\",\"T\":1709251200000,\"m\":false,\"M\":true}}"
        )
        .unwrap();
    }
    fs::write(path, text).unwrap();
}

#[test]
fn a_symbol_of_a_recording_costs_no_more_than_its_trades_and_there_is_a_limit_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.capture");
    let replay = || {
        let mut command = barflow();
        command.args(["replay", "--protocol", "binance-spot", "--sink", "none"]);
        command.args(["--bar", "t=tick,size=1"]).arg(&path);
        Process::start(command).finish()
    };
    made_up_symbols(&path, 2000);
    let (code, said) = replay();
    assert_eq!(code, Some(0), "{said}");
    assert!(peak(&said) < 130, "{said}");
    made_up_symbols(&path, 10_001);
    let (code, said) = replay();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("more than 10000 symbols"), "{said}");
}

#[test]
fn the_first_signal_ends_a_run_whose_output_nobody_reads() {
    let folder = tempfile::tempdir().unwrap();
    let archive =
        archives::write(folder.path(), "BTCUSDT-trades-2024-03-01", &archives::day_rows(1, 20_000));
    let mut command = barflow();
    command.arg("replay").arg(&archive).args(["--bar", "t=tick,size=1"]);
    let (process, out) = Process::start_with_pipe(command);
    let (mut before, mut same) = (0, 0);
    wait_until("the pipe is full", || {
        let now = rustix::io::ioctl_fionread(&out).unwrap();
        same = if now > 0 && now == before { same + 1 } else { 0 };
        before = now;
        same > 50
    });
    process.signal("TERM");
    let (code, said) = process.finish();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("standard output: its reader takes nothing"), "{said}");
    assert!(said.contains("not everything read before is in the output"), "{said}");
}

#[test]
fn the_first_signal_ends_a_report_that_nobody_reads() {
    let folder = tempfile::tempdir().unwrap();
    let archives = archives::days(folder.path(), 1..=1, 10);
    let mut convert = barflow();
    convert.args(["convert", "--store", "store"]).args(&archives).current_dir(folder.path());
    assert_eq!(Process::start(convert).finish().0, Some(0));

    // What is damaged is printed.
    let places = format!("{}/store/**/*.parquet", folder.path().display());
    let trades = glob::glob(&places).unwrap().next().unwrap().unwrap();
    let mut bytes = fs::read(&trades).unwrap();
    bytes[10] ^= 1;
    fs::write(&trades, bytes).unwrap();

    let (out, mut full) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&full, true).unwrap();
    while full.write_all(&[b'x'; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&full, false).unwrap();
    let mut command = barflow();
    command.args(["store", "verify", "--store", "store"]).current_dir(folder.path());
    let mut process = Process::start_into(command, full.into());
    // The number of the system call and its first argument, which is standard output.
    let writes = format!("{} 0x1 ", libc::SYS_write);
    process.wait_until("it prints", |process| {
        let call = fs::read_to_string(format!("/proc/{}/syscall", process.id()));
        call.is_ok_and(|call| call.starts_with(&writes))
    });
    process.signal("TERM");
    let (code, said) = process.finish();
    assert_eq!(code, Some(143), "{said}");
    assert!(said.contains("nobody reads what it prints; run the same command again"), "{said}");
    drop(out);
}

#[test]
fn the_log_names_a_limited_number_of_refused_corrections() {
    let folder = tempfile::tempdir().unwrap();
    let archives = archives::days(folder.path(), 1..=1, 10);
    let mut text = "action,trade_id\n".to_owned();
    for id in 0..1500 {
        writeln!(text, "remove,{}", 1_000_000 + id).unwrap();
    }
    fs::write(folder.path().join("corrections.csv"), text).unwrap();
    let mut command = barflow();
    command.args(["replay", "--bar", "t=tick,size=1", "--sink", "none"]).args(&archives);
    command.args(["--corrections", "corrections.csv", "--quarantine", "refused.jsonl"]);
    command.current_dir(folder.path());
    let (code, said) = Process::start(command).finish();
    assert_eq!(code, Some(1), "{said}");
    let lines = |text: &str| said.lines().filter(|line| line.contains(text)).count();
    assert_eq!(lines("correction refused: "), 1000, "{said}");
    assert_eq!(lines("further corrections that are refused are only counted"), 1, "{said}");
    let refused = fs::read_to_string(folder.path().join("refused.jsonl")).unwrap();
    assert_eq!(refused.lines().count(), 1500);
}
