//! Values that are far longer, and claims that are far larger, than those of any honest file.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, RecordBatch};
use arrow_schema::{Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Encoding;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use crate::hostile::peak;
use crate::support::archives;
use crate::support::process::{Process, barflow, wait_until};
use crate::support::spoiled;

/// Trades as we keep them, with another value of a key of the footer.
fn footer_says(folder: &Path, key: &str, value: &dyn Fn(Option<String>) -> String) -> PathBuf {
    let kept = folder.join("kept");
    let kept = match fs::read_dir(&kept) {
        Ok(mut files) => files.next().unwrap().unwrap().path(),
        Err(_) => {
            let rows = archives::day_rows(1, 200);
            let archive = archives::write(folder, "BTCUSDT-trades-2024-03-01", &rows);
            spoiled::as_parquet(&[archive], &kept)
        }
    };
    let path = folder.join("changed.trades.parquet");
    spoiled::rewrite_with_note(&kept, &path, key, value);
    path
}

fn finish(arguments: &[&str], path: &Path) -> (Option<i32>, String) {
    let mut command = barflow();
    command.args(arguments).arg(path);
    Process::start(command).finish()
}

const REPLAY: [&str; 5] = ["replay", "--bar", "t=tick,size=50", "--sink", "none"];

#[test]
fn ids_that_a_footer_leaves_out_are_counted_before_they_are_believed() {
    let folder = tempfile::tempdir().unwrap();
    let says = |text: &str| footer_says(folder.path(), "barflow.left_out", &|_| text.to_owned());
    for text in [
        r#"{"x":[[1,4611686018427387904]]}"#,
        r#"{"x":[[0,18446744073709551615]]}"#,
        r#"{"x":[[5000,7000000]]}"#,
        r#"{"x":[[2,1]]}"#,
    ] {
        let path = says(text);
        for more in [&[][..], &["--parallel", "2"]] {
            let (code, said) = finish(&[&REPLAY[..], more].concat(), &path);
            assert_eq!(code, Some(2), "{text}: {said}");
            let named = said.contains("changed.trades.parquet: barflow.left_out: expected");
            assert!(named, "{text}: {said}");
        }
    }
    let path = says(r#"{"x":[[10000,1009999]]}"#);
    let (code, said) = finish(&REPLAY, &path);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("left out 1,000,000 (x)") && peak(&said) < 300, "{said}");
}

#[test]
fn a_symbol_has_a_length_and_a_long_value_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let symbol = |letters: usize| {
        footer_says(folder.path(), "barflow.feed", &|feed| {
            feed.unwrap().replace("BTCUSDT", &"B".repeat(letters))
        })
    };
    let (code, said) = finish(&REPLAY, &symbol(256));
    assert_eq!(code, Some(0), "{said}");
    for letters in [257, 3_000_000] {
        let (code, said) = finish(&REPLAY, &symbol(letters));
        assert_eq!(code, Some(2), "{letters}: {}", said.len());
        assert!(said.contains("barflow.feed") && said.contains("256 bytes"), "{said:.2000}");
        assert!(said.len() < 2000, "{letters}: {}", said.len());
    }
    let csv = folder.path().join("BTCUSDT-trades-2024-03-01.csv");
    fs::write(&csv, archives::day_rows(1, 20).join("\n")).unwrap();
    let long = format!("a:b:{}", "C".repeat(100_000));
    let (code, said) = finish(&[&REPLAY[..], &["--instrument", &long]].concat(), &csv);
    assert_eq!(code, Some(2));
    assert!(said.len() < 2000 && said.contains("256 bytes"), "{said:.2000}");
}

/// A file of bars in which a column has the same text in every row.
fn bars_with(folder: &Path, column: &str, text: &str, encoding: Option<Encoding>) -> PathBuf {
    let out = folder.join("bars");
    if !out.exists() {
        let rows = archives::day_rows(1, 1000);
        let archive = archives::write(folder, "BTCUSDT-trades-2024-03-01", &rows);
        let mut command = barflow();
        command.arg("replay").arg(archive).args(["--bar", "t=tick,size=1", "--sink", "parquet"]);
        command.arg("--out").arg(&out);
        let (code, said) = Process::start(command).finish();
        assert_eq!(code, Some(0), "{said}");
    }
    let made = File::open(out.join("binance-spot-BTCUSDT.t.parquet")).unwrap();
    let made = ParquetRecordBatchReaderBuilder::try_new(made).unwrap();
    let batch = made.with_batch_size(1000).build().unwrap().next().unwrap().unwrap();
    assert_eq!(batch.num_rows(), 1000);
    let texts: ArrayRef = Arc::new((0..1000).map(|_| text).collect::<DictionaryArray<Int32Type>>());
    let schema = batch.schema();
    let fields = schema.fields().iter().zip(batch.columns());
    let mut columns: Vec<(&str, ArrayRef)> =
        fields.map(|(field, array)| (field.name().as_str(), Arc::clone(array))).collect();
    columns.retain(|(name, _)| *name != column);
    columns.push((column, texts));
    let field = |(name, array): &(&str, ArrayRef)| {
        Field::new(*name, array.data_type().clone(), array.is_nullable())
    };
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    let batch = RecordBatch::try_new(schema, arrays).unwrap();
    let mut properties = WriterProperties::builder()
        .set_compression(parquet::basic::Compression::ZSTD(Default::default()))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_dictionary_page_size_limit(1 << 30);
    if let Some(encoding) = encoding {
        properties = properties.set_column_dictionary_enabled(column.into(), false);
        properties = properties.set_column_encoding(column.into(), encoding);
    }
    let path = folder.join("changed.parquet");
    let to = File::create(&path).unwrap();
    // Nothing says that the texts are in a dictionary: each is to be a text of its own.
    let options = ArrowWriterOptions::new().with_properties(properties.build());
    let options = options.with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(to, batch.schema(), options).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path
}

/// Runs a command with 1 GB of addresses.
fn confined(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 1000000; exec \"$@\"", "sh"]);
    command.arg(barflow().get_program()).args(arguments);
    Process::start(command).finish()
}

#[test]
fn only_the_columns_of_bars_are_compared_and_their_texts_are_short() {
    let folder = tempfile::tempdir().unwrap();
    let large = "x".repeat(1_000_000);
    for encoding in [None, Some(Encoding::DELTA_BYTE_ARRAY)] {
        for column in ["extra", "close_reason"] {
            let path = bars_with(folder.path(), column, &large, encoding);
            let archive = folder.path().join("BTCUSDT-trades-2024-03-01.zip");
            let (path, archive) = (path.to_str().unwrap(), archive.to_str().unwrap());
            let diff = ["diff", path, path];
            let verify = ["verify", "--bar", "t=tick,size=1", "--against", path, archive];
            for arguments in [&diff[..], &verify] {
                let (code, said) = confined(arguments);
                let case = format!("{column}, {encoding:?}: {said}");
                if column == "extra" {
                    assert_eq!(code, Some(0), "{case}");
                    continue;
                }
                assert_eq!(code, Some(2), "{case}");
                assert!(said.contains("changed.parquet"), "{case}");
                assert!(said.contains("\"close_reason\" has a text of 1000000 bytes"), "{case}");
            }
        }
    }
    // A dictionary is as good as its values.
    let path = bars_with(folder.path(), "close_reason", "threshold", None);
    let made = folder.path().join("bars");
    let (code, said) = confined(&["diff", path.to_str().unwrap(), made.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn connections_of_a_recording_have_short_names_and_there_is_a_limit_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let connect = |name: &str| {
        format!("{{\"t\":\"connect\",\"conn\":\"{name}\",\"ts\":1.1,\"addr\":\"wss://x\"}}\n")
    };
    let read = ["replay", "--protocol", "binance-spot", "--bar", "t=tick,size=1", "--sink", "none"];
    for (name, line) in [
        ("json", connect(&"a".repeat(100_000))),
        ("text", format!("wss://{} <-> 1.1\n", "a".repeat(100_000))),
    ] {
        let path = folder.path().join(name);
        let first = if name == "json" { connect("a") } else { "wss://x <-> 1.0\n".to_owned() };
        fs::write(&path, first + &line).unwrap();
        let (code, said) = finish(&read, &path);
        assert_eq!(code, Some(2), "{said:.2000}");
        assert!(said.contains(&format!("/{name}\", line 2: ")), "{said:.2000}");
        assert!(said.contains("a connection has a name of 100"), "{said:.2000}");
        assert!(said.len() < 2000, "{}", said.len());
    }
    let path = folder.path().join("many");
    let mut file = std::io::BufWriter::new(File::create(&path).unwrap());
    for n in 0..=100_000 {
        file.write_all(connect(&format!("{n}")).as_bytes()).unwrap();
    }
    drop(file);
    let (code, said) = finish(&read, &path);
    assert_eq!(code, Some(2), "{said:.2000}");
    let named = said.contains("/many\", line 100001: it names more than 100000");
    assert!(named, "{said:.2000}");
}

#[test]
fn secrets_and_certificates_are_not_read_from_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let csv = folder.path().join("BTCUSDT-trades-2024-03-01.csv");
    fs::write(&csv, archives::day_rows(1, 20).join("\n")).unwrap();
    fs::write(folder.path().join("hosts"), "127.0.0.1:1\n127.0.0.1:2\n").unwrap();
    let settings = format!(
        "[feeds.a]\nvenue = \"binance-spot\"\ninstruments = [\"BTCUSDT\"]\napi_key = \"${{file:{}}}\"\n\
         websocket = \"ws://127.0.0.1:1\"\nrest = \"http://127.0.0.1:1\"\n\
         [bars.t]\nkind = \"tick\"\nsize = 1\n[sink]\nkind = \"none\"\n",
        pipe.display()
    );
    fs::write(folder.path().join("c.toml"), settings).unwrap();
    let day = ["--from", "2024-03-01", "--to", "2024-03-01", "--symbol", "BTCUSDT"];
    let secret = format!("${{file:{}}}", pipe.display());
    let mesh = ["--hosts", "hosts", "--process", "0", "--cluster-secret", &secret];
    let url = ["--store", "s", "--base-url", "https://127.0.0.1:1", "--ca-file", "pipe"];
    for arguments in [
        ["live", "--config", "c.toml"].to_vec(),
        [&REPLAY[..], &mesh, &[csv.to_str().unwrap()]].concat(),
        [&["fetch"][..], &day, &url].concat(),
    ] {
        let mut command = barflow();
        command.current_dir(folder.path()).args(&arguments);
        let mut process = Process::start(command);
        // It is not opened for writing, so nothing would ever come.
        wait_until("it ends", || !process.runs());
        let (code, said) = process.finish();
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        assert!(said.contains("it is a pipe, not a regular file"), "{arguments:?}: {said}");
    }
}

#[test]
fn messages_about_settings_and_corrections_have_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("BTCUSDT-trades-2024-03-01.csv");
    fs::write(&csv, archives::day_rows(1, 20).join("\n")).unwrap();
    let corrections = folder.path().join("c.csv");
    let digits = "7".repeat(1_000_000);
    fs::write(&corrections, format!("action,trade_id\nremove,{digits}\n")).unwrap();
    let file = corrections.to_str().unwrap();
    let (code, said) = finish(&[&REPLAY[..], &["--corrections", file]].concat(), &csv);
    assert_eq!(code, Some(2), "{said:.2000}");
    let told = said.contains("line 2: field \"trade_id\"") && said.contains("(1000000 bytes)");
    assert!(told && said.len() < 2000, "{said:.2000}");

    let hosts = folder.path().join("hosts");
    let mut lines = String::new();
    for n in 0..5000 {
        writeln!(lines, "bad{n}").unwrap();
    }
    fs::write(&hosts, lines).unwrap();
    let hosts = ["--hosts", hosts.to_str().unwrap(), "--process", "0"];
    let (code, said) = finish(&[&REPLAY[..], &hosts].concat(), &csv);
    assert_eq!(code, Some(2), "{said:.2000}");
    assert!(said.contains("hosts:1:") && said.contains("hosts:20:"), "{said:.4000}");
    assert!(said.contains("5000 problems") && said.contains("4980 more"), "{said:.4000}");
    assert!(said.lines().count() < 30, "{}", said.lines().count());
}
