//! Own data: columns by name in any order, from any exporter, in CSV and in Parquet of any writer.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int8Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, UInt64Array,
};
use parquet::arrow::ArrowWriter;

use crate::support::process::barflow;

const MARCH_MS: i64 = 1_709_251_200_000;
const BAR: [&str; 2] = ["--bar", "t=tick,size=10"];
const ID: [&str; 2] = ["--instrument", "own:spot:X"];

struct Ran {
    bars: String,
    log: String,
    code: Option<i32>,
}

fn run(folder: &Path, arguments: &[&str]) -> Ran {
    let ran = barflow().current_dir(folder).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { bars: text(&ran.stdout), log: text(&ran.stderr), code: ran.status.code() }
}

fn replay(folder: &Path, file: &str, more: &[&str]) -> Ran {
    run(folder, &[&["replay", file], &BAR[..], more].concat())
}

/// A trade of the tape that all files of a test hold.
#[derive(Clone, Copy)]
struct Row {
    id: u64,
    ms: i64,
    /// In hundredths.
    price: i64,
    /// In thousandths.
    qty: i64,
    maker: bool,
}

fn tape() -> Vec<Row> {
    (1..=40i64)
        .map(|n| Row {
            id: n as u64,
            ms: MARCH_MS + n * 137,
            price: 6_000_000 + n * n * 7 % 991,
            qty: 125 * (1 + n % 5),
            maker: n % 3 == 0,
        })
        .collect()
}

fn price(row: &Row) -> String {
    format!("{}.{:02}", row.price / 100, row.price % 100)
}

fn qty(row: &Row) -> String {
    format!("{}.{:03}", row.qty / 1000, row.qty % 1000)
}

/// A column's name, and how its cells are written.
type Column<'a> = (&'a str, fn(&Row) -> String);

/// A CSV of these columns.
fn csv(columns: &[Column<'_>], delimiter: &str) -> String {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let mut text = names.join(delimiter) + "\n";
    for row in tape() {
        let fields: Vec<String> = columns.iter().map(|(_, field)| field(&row)).collect();
        writeln!(text, "{}", fields.join(delimiter)).unwrap();
    }
    text
}

/// The bars of a run that succeeded, without what names the source.
fn numbers(ran: &Ran) -> Vec<String> {
    assert_eq!(ran.code, Some(0), "{}", ran.log);
    let keep = ["open", "high", "low", "close", "volume", "buy_volume", "ticks", "open_time"];
    ran.bars
        .lines()
        .map(|line| {
            let bar: serde_json::Value = serde_json::from_str(line).unwrap();
            keep.iter().map(|key| format!("{key}={} ", bar[*key])).collect()
        })
        .collect()
}

fn maker(row: &Row) -> String {
    row.maker.to_string()
}

fn side(row: &Row) -> String {
    (if row.maker { "sell" } else { "buy" }).to_owned()
}

fn canonical(folder: &Path) -> Vec<String> {
    let text = csv(
        &[
            ("id", |r| r.id.to_string()),
            ("price", price),
            ("qty", qty),
            ("quote_qty", |_| "1".to_owned()),
            ("time", |r| r.ms.to_string()),
            ("is_buyer_maker", maker),
        ],
        ",",
    );
    fs::write(folder.join("canonical.csv"), text).unwrap();
    let ran = replay(folder, "canonical.csv", &ID);
    let bars = numbers(&ran);
    assert_eq!(bars.len(), 4);
    bars
}

fn id(row: &Row) -> String {
    row.id.to_string()
}

fn ms(row: &Row) -> String {
    row.ms.to_string()
}

fn seconds(row: &Row) -> String {
    format!("{}.{:03}", row.ms / 1000, row.ms % 1000)
}

fn iso(row: &Row) -> String {
    jiff::Timestamp::from_millisecond(row.ms).unwrap().to_string()
}

/// Names of columns, and what is in them.
type Columns = &'static [Column<'static>];

/// Delimiters and columns of the programs that write them.
const SHAPES: [(&str, Columns); 6] = [
    (",", &[("TIME", ms), ("Is Buyer Maker", maker), ("QTY", qty), ("Price", price), ("ID", id)]),
    (
        ",",
        &[
            ("exchange", |_| "x".into()),
            ("symbol", |_| "X".into()),
            ("timestamp", |r| (r.ms * 1000).to_string()),
            ("local_timestamp", |_| "1".into()),
            ("id", id),
            ("side", side),
            ("price", price),
            ("amount", qty),
        ],
    ),
    (
        ",",
        &[
            ("timestamp", seconds),
            ("symbol", |_| "X".into()),
            ("side", |r| side(r).to_uppercase()),
            ("size", qty),
            ("price", price),
            ("tradeId", id),
        ],
    ),
    (";", &[("datetime", iso), ("px", price), ("volume", qty), ("side", side), ("trade_id", id)]),
    (
        "\t",
        &[
            ("", id),
            ("ts_ns", |r| (r.ms * 1_000_000).to_string()),
            ("p", price),
            ("q", qty),
            ("m", maker),
            ("aggTradeId", id),
        ],
    ),
    (
        ",",
        &[
            ("a", id),
            ("price", price),
            ("amount", qty),
            ("cost", |_| "1".into()),
            ("takerOrMaker", |_| String::new()),
            ("timestamp", ms),
            ("side", side),
        ],
    ),
];

#[test]
fn columns_are_taken_by_the_names_of_the_header_whatever_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let expected = canonical(folder);
    for (n, (delimiter, columns)) in SHAPES.into_iter().enumerate() {
        let name = format!("shape{n}.csv");
        fs::write(folder.join(&name), csv(columns, delimiter)).unwrap();
        let ran = replay(folder, &name, &ID);
        assert_eq!(numbers(&ran), expected, "{name}");
        assert!(!ran.log.contains("without ids"), "{name}: {}", ran.log);
    }
}

#[test]
fn a_header_that_is_not_understood_is_refused_with_what_was_understood() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (text, wanted) in [
        (
            "when,price,qty\n1709251200000,1,1\n",
            "names no column for time (understood: price = price, qty = qty)",
        ),
        ("foo,bar,baz,qux,a1,b1\n1,1,1,1,1709251200000,true\n", "none of its columns is known"),
        ("time,price,volume,amount\n1709251200000,1,1,2\n", "several columns could be its qty"),
    ] {
        fs::write(folder.join("x.csv"), text).unwrap();
        let ran = replay(folder, "x.csv", &ID);
        assert_eq!((ran.bars.as_str(), ran.code), ("", Some(2)), "{}", ran.log);
        assert!(ran.log.contains("x.csv") && ran.log.contains(wanted), "{}", ran.log);
    }
}

#[test]
fn a_header_amid_the_rows_is_passed_over_if_it_is_the_files_own_and_else_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let expected = canonical(folder);
    let text = fs::read_to_string(folder.join("canonical.csv")).unwrap();
    let (header, rows) = text.split_once('\n').unwrap();
    let half = rows.len() / 2;
    let half = half + rows[half..].find('\n').unwrap() + 1;
    let joined = format!("{header}\n{}{header}\n{}", &rows[..half], &rows[half..]);
    fs::write(folder.join("joined.csv"), joined).unwrap();
    let ran = replay(folder, "joined.csv", &ID);
    assert_eq!(numbers(&ran), expected);
    let other = format!("{text}id,qty,price,quote_qty,time,is_buyer_maker\n");
    fs::write(folder.join("other.csv"), other).unwrap();
    let ran = replay(folder, "other.csv", &ID);
    assert_eq!(ran.code, Some(2), "{}", ran.log);
    assert!(ran.log.contains("a header among the rows"), "{}", ran.log);
}

#[test]
fn named_columns_read_files_with_and_without_a_header_and_check_shows_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let expected = canonical(folder);
    let text = csv(
        &[
            ("stamp", |r| r.ms.to_string()),
            ("what", |r| (if r.maker { "S" } else { "B" }).to_owned()),
            ("how_much", qty),
            ("for", price),
            ("number", |r| r.id.to_string()),
        ],
        ",",
    );
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    fs::write(folder.join("own.csv.gz"), packed.finish().unwrap()).unwrap();
    let (_, rows) = text.split_once('\n').unwrap();
    fs::write(folder.join("bare.csv"), rows).unwrap();
    let named = "time=stamp,price=for,qty=how_much,side=what,side_buy=B,id=number,time_unit=ms";
    let placed = "time=1,price=4,qty=3,side=2,id=5";
    for (file, columns) in [("own.csv.gz", named), ("bare.csv", placed)] {
        let ran = replay(folder, file, &[&ID[..], &["--columns", columns]].concat());
        assert_eq!(numbers(&ran), expected, "{file}");
    }
    // The same in a configuration.
    let toml = format!(
        "[replay]\nfiles = [\"own.csv.gz\"]\ninstrument = \"own:spot:X\"\ncolumns = \"{named}\"\n"
    );
    fs::write(folder.join("job.toml"), toml).unwrap();
    let ran = run(folder, &[&["replay", "--config", "job.toml"][..], &BAR].concat());
    assert_eq!(numbers(&ran), expected, "{}", ran.log);
    let shown = run(folder, &["check", "job.toml", "own.csv.gz", "--columns", named]);
    assert_eq!(shown.code, Some(0), "{}", shown.log);
    for wanted in
        ["job.toml: ok", "(gzip of trades)", named, "2024-03-01T00:00:00.137Z", "--instrument"]
    {
        assert!(shown.bars.contains(wanted), "{wanted} in {}", shown.bars);
    }
    let wrong = replay(folder, "own.csv.gz", &["--columns", "time=stamp,price=for"]);
    assert_eq!(wrong.code, Some(2), "{}", wrong.log);
    assert!(wrong.log.contains("\"qty\" is missing"), "{}", wrong.log);
    let absent = [&ID[..], &["--columns", "time=stamp,price=nix,qty=how_much"]].concat();
    let wrong = replay(folder, "own.csv.gz", &absent);
    assert_eq!(wrong.code, Some(2), "{}", wrong.log);
    assert!(wrong.log.contains("\"nix\", and its columns are stamp, what"), "{}", wrong.log);
}

#[test]
fn ids_that_are_not_numbers_or_leave_holes_make_a_source_without_ids_and_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let expected = canonical(folder);
    type Id = (&'static str, fn(&Row) -> String, &'static str);
    let ids: [Id; 3] = [
        ("uuid.csv", |r| format!("{:08x}-1111-2222-3333-444455556666", r.id * 97), "not numbers"),
        ("empty.csv", |_| String::new(), "empty"),
        ("holes.csv", |r| (r.id * 13 + r.id % 3).to_string(), "holes by design"),
    ];
    for (name, id, why) in ids {
        let text = csv(
            &[
                ("timestamp", |r| r.ms.to_string()),
                ("id", id),
                ("side", side),
                ("price", price),
                ("amount", qty),
            ],
            ",",
        );
        fs::write(folder.join(name), text).unwrap();
        let ran = replay(folder, name, &ID);
        assert!(ran.log.contains("gaps 0") && ran.log.contains(why), "{name}: {}", ran.log);
        assert_eq!(numbers(&ran), expected, "{name}");
    }
}

#[test]
fn sides_that_are_not_known_are_kept_and_codes_are_bad_rows() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let header = "time,price,qty,side\n";
    let row = |n: i64, side: &str| format!("{},60000,1,{side}\n", MARCH_MS + n);
    let known: String = ["buy", "unknown", "SELL", ""].iter().map(|side| row(1, side)).collect();
    fs::write(folder.join("known.csv"), format!("{header}{known}")).unwrap();
    let one = [&ID[..], &["--bar", "u=tick,size=4"]].concat();
    let ran = run(folder, &[&["replay", "known.csv"], &one[..]].concat());
    assert_eq!((ran.bars.lines().count(), ran.code), (1, Some(0)), "{}", ran.log);
    fs::write(folder.join("codes.csv"), format!("{header}{}{}", row(1, "buy"), row(2, "2")))
        .unwrap();
    let ran = run(folder, &[&["replay", "codes.csv"], &one[..]].concat());
    assert_eq!(ran.code, Some(1), "{}", ran.log);
    assert!(ran.log.contains("side_buy=WORD"), "{}", ran.log);
}

#[test]
fn a_side_of_0_without_minus_1_is_refused_wherever_it_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let rows = |side: &dyn Fn(i64) -> i64| -> String {
        let row = |n| format!("{},60000,1,{}\n", MARCH_MS + n, side(n));
        (0..1500).map(row).collect()
    };
    let one = [&ID[..], &["--bar", "u=tick,size=1500"]].concat();
    let replay = |rows: String, more: &[&str]| {
        fs::write(folder.join("x.csv"), format!("time,price,qty,aggressor\n{rows}")).unwrap();
        run(folder, &[&["replay", "x.csv"], &one[..], more].concat())
    };
    let late = |n: i64| i64::from(n < 1200);
    for (rows, code, place) in [(rows(&late), 1, "x.csv:1202: field"), (rows(&|_| 0), 2, "")] {
        let ran = replay(rows, &[]);
        assert_eq!(ran.code, Some(code), "{}", ran.log);
        assert!(ran.log.contains("side_buy=1,side_sell=0"), "{}", ran.log);
        assert!(ran.log.contains(place), "{}", ran.log);
    }
    for (sell, sides) in [("0", &late as &dyn Fn(i64) -> i64), ("-1", &|n| (n > 1200).into())] {
        let columns =
            format!("time=time,price=price,qty=qty,side=aggressor,side_buy=1,side_sell={sell}");
        let ran = replay(rows(sides), &["--columns", &columns]);
        assert_eq!((ran.code, ran.bars.lines().count()), (Some(0), 1), "{}", ran.log);
    }
}

fn parquet(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap();
    let file = fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn parquet_of_any_writer_is_read_by_its_names_whatever_its_types() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let expected = canonical(folder);
    let tape = tape();
    let ms = || tape.iter().map(|r| r.ms);
    let times: Vec<(&str, ArrayRef)> = vec![
        ("timestamp", Arc::new(Int64Array::from_iter_values(ms()))),
        ("timestamp", Arc::new(TimestampMillisecondArray::from_iter_values(ms()))),
        ("datetime", Arc::new(TimestampMicrosecondArray::from_iter_values(ms().map(|t| t * 1000)))),
        (
            "ts",
            Arc::new(
                TimestampNanosecondArray::from_iter_values(ms().map(|t| t * 1_000_000))
                    .with_timezone("Europe/Berlin"),
            ),
        ),
        ("time", Arc::new(Float64Array::from_iter_values(ms().map(|t| t as f64 / 1000.0)))),
        (
            "time",
            Arc::new(StringArray::from_iter_values(
                ms().map(|t| jiff::Timestamp::from_millisecond(t).unwrap().to_string()),
            )),
        ),
    ];
    let decimal = |values: Vec<i64>, scale: i8| -> ArrayRef {
        let values = values.into_iter().map(i128::from);
        let array = Decimal128Array::from_iter_values(values);
        Arc::new(array.with_precision_and_scale(18, scale).unwrap())
    };
    let prices: Vec<ArrayRef> = vec![
        Arc::new(Float64Array::from_iter_values(tape.iter().map(|r| price(r).parse().unwrap()))),
        decimal(tape.iter().map(|r| r.price).collect(), 2),
        Arc::new(StringArray::from_iter_values(tape.iter().map(price))),
    ];
    let qtys: Vec<ArrayRef> = vec![
        Arc::new(Float32Array::from_iter_values(tape.iter().map(|r| qty(r).parse().unwrap()))),
        decimal(tape.iter().map(|r| r.qty).collect(), 3),
    ];
    let sides: Vec<(&str, ArrayRef)> = vec![
        ("side", Arc::new(StringArray::from_iter_values(tape.iter().map(side)))),
        ("is_buyer_maker", Arc::new(BooleanArray::from_iter(tape.iter().map(|r| Some(r.maker))))),
        (
            "aggressor",
            Arc::new(Int8Array::from_iter_values(
                tape.iter().map(|r| if r.maker { -1 } else { 1 }),
            )),
        ),
    ];
    let ids: ArrayRef = Arc::new(UInt64Array::from_iter_values(tape.iter().map(|r| r.id)));
    for (n, time) in times.into_iter().enumerate() {
        let mut columns = vec![
            ("amount", Arc::clone(&qtys[n % qtys.len()])),
            sides[n % sides.len()].clone(),
            ("price", Arc::clone(&prices[n % prices.len()])),
            time,
        ];
        if n % 2 == 0 {
            columns.insert(1, ("trade_id", Arc::clone(&ids)));
        }
        let name = format!("of{n}.parquet");
        parquet(&folder.join(&name), columns);
        let ran = replay(folder, &name, &ID);
        assert_eq!(numbers(&ran), expected, "{name}");
        let threads = replay(folder, &name, &[&ID[..], &["--parallel", "2"]].concat());
        assert_eq!(numbers(&threads), expected, "{name}");
    }
}

#[test]
fn nulls_in_a_needed_column_are_bad_rows_and_names_that_are_not_known_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let times: ArrayRef = Arc::new(Int64Array::from_iter_values((0..30).map(|n| MARCH_MS + n)));
    let price = |n: i64| (n != 17).then_some(60_000.5 + n as f64);
    let prices: ArrayRef = Arc::new(Float64Array::from_iter((0..30).map(price)));
    let qtys: ArrayRef = Arc::new(Int64Array::from_iter_values((0..30).map(|n| 1 + n % 3)));
    let columns = |name| {
        vec![(name, Arc::clone(&times)), ("price", Arc::clone(&prices)), ("qty", Arc::clone(&qtys))]
    };
    parquet(&folder.join("nulls.parquet"), columns("time"));
    let ran = replay(folder, "nulls.parquet", &ID);
    assert_eq!(ran.code, Some(1), "{}", ran.log);
    assert!(ran.log.contains("price") && ran.log.contains("null"), "{}", ran.log);
    let aside = [&ID[..], &["--quarantine", "bad.jsonl"]].concat();
    let ran = replay(folder, "nulls.parquet", &aside);
    assert_eq!((ran.bars.lines().count(), ran.code), (2, Some(1)), "{}", ran.log);
    let bad = fs::read_to_string(folder.join("bad.jsonl")).unwrap();
    assert!(bad.lines().count() == 1 && bad.contains("\"line\":18"), "{bad}");
    parquet(&folder.join("when.parquet"), columns("when"));
    let ran = replay(folder, "when.parquet", &ID);
    assert_eq!(ran.code, Some(2), "{}", ran.log);
    assert!(ran.log.contains("no column for time"), "{}", ran.log);
    let chosen =
        [&ID[..], &["--columns", "time=when,price=price,qty=qty", "--quarantine", "bad2.jsonl"]]
            .concat();
    let ran = replay(folder, "when.parquet", &chosen);
    assert_eq!(ran.bars.lines().count(), 2, "{}", ran.log);
}
