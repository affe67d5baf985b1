//! Parquet whose own counts are not true: in pages, footers, and what a store prints of them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::process::{Process, barflow};
use crate::support::{archives, spoiled};

fn unsigned(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// The fields of a struct: number, type, value.
fn fields(all: &[(u8, u8, Vec<u8>)]) -> Vec<u8> {
    let (mut bytes, mut last) = (Vec::new(), 0);
    for (id, kind, value) in all {
        bytes.push((id - last) << 4 | kind);
        bytes.extend(value);
        last = *id;
    }
    bytes.push(0);
    bytes
}

fn number(id: u8, value: u64) -> (u8, u8, Vec<u8>) {
    (id, 6, unsigned(2 * value))
}

fn text(id: u8, value: &str) -> (u8, u8, Vec<u8>) {
    (id, 8, [unsigned(value.len() as u64), value.into()].concat())
}

fn list(id: u8, kind: u8, parts: &[Vec<u8>]) -> (u8, u8, Vec<u8>) {
    (id, 9, [vec![0xf0 | kind], unsigned(parts.len() as u64), parts.concat()].concat())
}

fn page(data: &[u8], values: u64, encoding: u64) -> Vec<u8> {
    let levels = [number(1, values), number(2, encoding), number(3, 3), number(4, 3)];
    let size = data.len() as u64;
    let header = [number(1, 0), number(2, size), number(3, size), (5, 12, fields(&levels))];
    [fields(&header), data.to_vec()].concat()
}

fn dictionary(data: &[u8], values: u64) -> Vec<u8> {
    let size = data.len() as u64;
    let about = fields(&[number(1, values), number(2, 0)]);
    let header = [number(1, 2), number(2, size), number(3, size), (7, 12, about)];
    [fields(&header), data.to_vec()].concat()
}

/// Name, type, encodings, pages.
type Column = (&'static str, u64, &'static [u64], Vec<u8>);

/// A column of a schema, or a group of so many.
fn element(name: &str, kind: Option<u64>, children: Option<u64>) -> Vec<u8> {
    let kind = kind.map(|kind| [number(1, kind), number(3, 0)]);
    let all = kind.into_iter().flatten().chain([text(4, name)]);
    fields(&all.chain(children.map(|children| number(5, children))).collect::<Vec<_>>())
}

fn file(data: &[u8], schema: &[Vec<u8>], groups: &[Vec<u8>], rows: u64) -> Vec<u8> {
    let footer = [number(1, 1), list(2, 12, schema), number(3, rows), list(4, 12, groups)];
    let footer = fields(&footer);
    let length = (footer.len() as u32).to_le_bytes();
    [b"PAR1", data, &footer, &length, b"PAR1"].concat()
}

/// Three trades with other pages in the place of the times, the sides or none.
fn trades(other: Option<Column>) -> Vec<u8> {
    let whole = |values: [u64; 3]| values.map(u64::to_le_bytes).concat();
    let real = |value: f64| [value.to_le_bytes(); 3].concat();
    let sides = [3, 0, 0, 0, b'b', b'u', b'y'].repeat(3);
    let time = 1_709_251_200_000;
    let mut columns: Vec<Column> = vec![
        ("time", 2, &[0], page(&whole([time, time + 1, time + 2]), 3, 0)),
        ("price", 5, &[0], page(&real(1.5), 3, 0)),
        ("qty", 5, &[0], page(&real(2.0), 3, 0)),
        ("side", 6, &[0], page(&sides, 3, 0)),
    ];
    for column in &mut columns {
        if let Some(other) = other.as_ref().filter(|other| other.0 == column.0) {
            *column = other.clone();
        }
    }
    let (mut data, mut chunks) = (Vec::new(), Vec::new());
    for (name, kind, encodings, pages) in &columns {
        let (begin, size) = (4 + data.len() as u64, pages.len() as u64);
        data.extend(pages);
        let encodings: Vec<_> = encodings.iter().map(|encoding| unsigned(2 * encoding)).collect();
        let path = [unsigned(name.len() as u64), (*name).into()].concat();
        let about = [
            number(1, *kind),
            list(2, 5, &encodings),
            list(3, 8, &[path]),
            number(4, 0),
            number(5, 3),
            number(6, size),
            number(7, size),
            number(9, begin),
        ];
        chunks.push(fields(&[number(2, begin), (3, 12, fields(&about))]));
    }
    let group = fields(&[list(1, 12, &chunks), number(2, data.len() as u64), number(3, 3)]);
    let root = element("root", None, Some(columns.len() as u64));
    let schema = columns.iter().map(|(name, kind, ..)| element(name, Some(*kind), None));
    file(&data, &std::iter::once(root).chain(schema).collect::<Vec<_>>(), &[group], 3)
}

/// What a command comes to: its exit code and its words.
fn run(arguments: &[&str], path: &Path) -> (Option<i32>, String) {
    let mut command = barflow();
    command.args(arguments).arg(path);
    Process::start(command).finish()
}

fn replay(path: &Path) -> (Option<i32>, String) {
    let arguments = ["replay", "--instrument", "a:b:C", "--bar", "t=tick,size=1", "--sink", "none"];
    run(&arguments, path)
}

fn write(folder: &Path, bytes: &[u8]) -> PathBuf {
    let path = folder.join("x.parquet");
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn counts_of_a_page_that_cannot_be_are_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let (code, said) = replay(&write(folder.path(), &trades(None)));
    assert_eq!(code, Some(0), "{said}");
    // A block of so many lengths that are all 0.
    let lengths = |count: u64| {
        let head = [unsigned((count / 128 + 1) * 128), unsigned(1), unsigned(count)];
        [head.concat(), vec![0, 0, 0]].concat()
    };
    let sides = |data: &[u8], values| Some(("side", 6, &[6][..], page(data, values, 6)));
    let times = |values| {
        let first = dictionary(&1_709_251_200_000u64.to_le_bytes(), values);
        Some(("time", 2, &[0, 8][..], [first, page(&[1, 6, 0], 3, 8)].concat()))
    };
    let side = "in column \"side\" in row group 1 of 1";
    let time = "in column \"time\" in row group 1 of 1";
    for (other, expected, place) in [
        (
            sides(&lengths(1 << 29), 3),
            "a page of 3 values with the lengths of 536870912 texts",
            side,
        ),
        (sides(&lengths(1 << 45), 3), "with the lengths of 35184372088832 texts", side),
        (sides(&lengths(1 << 29), 1 << 29), "a page of 536870912 values", side),
        (times(1 << 28), "a dictionary of 268435456 values in 8 bytes", time),
        (times((1 << 31) - 1), "a dictionary of 2147483647 values in 8 bytes", time),
    ] {
        let (code, said) = replay(&write(folder.path(), &trades(other)));
        assert_eq!(code, Some(2), "{said}");
        for part in ["x.parquet: ", expected, place] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}

#[test]
fn footers_of_more_than_trades_need_are_refused_before_they_are_understood() {
    let folder = tempfile::tempdir().unwrap();
    let groups = (0..10_000).map(|_| element("", None, Some(1)));
    let root = || element("root", None, Some(1));
    let leaf = || element("x", Some(2), None);
    let deep: Vec<_> = [root()].into_iter().chain(groups).chain([leaf()]).collect();
    let many = (0..100_000).map(|_| element("", Some(2), None));
    let wide: Vec<_> = [element("root", None, Some(100_000))].into_iter().chain(many).collect();
    for schema in [deep, wide] {
        let expected = "a footer with more than 10000 columns";
        let path = write(folder.path(), &file(&[], &schema, &[], 0));
        let (code, said) = replay(&path);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("x.parquet: ") && said.contains(expected), "{said}");
        for arguments in [&["check"][..], &["quality"], &["diff", path.to_str().unwrap()]] {
            let (code, said) = run(arguments, &path);
            assert!(code.is_some_and(|code| code < 128), "{arguments:?}: {said}");
        }
    }
    let groups = (0..5_000).map(|_| element("", None, Some(1)));
    let deep: Vec<_> = [root()].into_iter().chain(groups).chain([leaf()]).collect();
    let (code, said) = replay(&write(folder.path(), &file(&[], &deep, &[], 0)));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("columns more than 32 deep within others"), "{said}");
}

#[test]
fn messages_name_some_of_many_columns() {
    let folder = tempfile::tempdir().unwrap();
    let many = (0..5_000).map(|n| element(&format!("column{n}"), Some(2), None));
    let wide: Vec<_> = [element("root", None, Some(5_000))].into_iter().chain(many).collect();
    let (code, said) = replay(&write(folder.path(), &file(&[], &wide, &[], 0)));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("column19,… and 4980 more\" names no column for time"), "{said}");
}

#[test]
fn what_a_footer_says_moves_no_cursor_where_it_is_printed_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let archives = archives::days(folder.path(), 1..=1, 150);
    let store = folder.path().join("store");
    let convert = ["convert", "--store", store.to_str().unwrap()];
    let (code, said) = run(&convert, &archives[0]);
    assert_eq!(code, Some(0), "{said}");
    let pattern = format!("{}/trades/**/*.parquet", store.display());
    let kept = glob::glob(&pattern).unwrap().next().unwrap().unwrap();
    let forged = folder.path().join("forged.parquet");
    let turn =
        |sources: Option<String>| sources.unwrap().replace("BTCUSDT", "\u{9b}31m\u{202e}\u{7f}");
    spoiled::rewrite_with_note(&kept, &forged, "barflow.sources", &turn);
    fs::rename(forged, kept).unwrap();
    let out = barflow().args(["store", "info", "--store"]).arg(&store).output().unwrap();
    let shown = String::from_utf8(out.stdout).unwrap();
    assert!(shown.contains("\\u009b31m\\u202e\\u007f"), "{shown:?}");
    assert!(!shown.contains(['\u{9b}', '\u{202e}', '\u{7f}']), "{shown:?}");
    let line: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert!(line["sources"][0]["name"].as_str().unwrap().starts_with("\u{9b}31m\u{202e}\u{7f}"));
}
