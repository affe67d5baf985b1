//! A bar as a row of CSV (RFC 4180), the fields in the order of [`BarRecord`].
//!
//! Numbers are those of the JSON encoding; null is an empty cell. Rows end with a line feed alone, as
//! every Unix tool and spreadsheet reads it. A text that a spreadsheet would take for a formula gets
//! an apostrophe before it.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{CharEscape, Formatter};

use crate::sinks::record::BarRecord;

/// Writes a bar as a row.
///
/// # Errors
/// When the writer refuses.
pub fn write_row(out: &mut impl Write, record: &BarRecord<'_>) -> io::Result<()> {
    write(out, record, Part::Values)
}

/// Writes the row of names, for which any bar will do.
///
/// # Errors
/// When the writer refuses.
pub fn write_header(out: &mut impl Write, record: &BarRecord<'_>) -> io::Result<()> {
    write(out, record, Part::Names)
}

fn write(out: &mut impl Write, record: &BarRecord<'_>, part: Part) -> io::Result<()> {
    let cells = Cells { part, in_name: false, text: String::new() };
    // The writer that is handed over gets what the formatter passes on: names or values.
    record.serialize(&mut Serializer::with_formatter(&mut *out, cells))?;
    out.write_all(b"\n")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Names,
    Values,
}

/// Turns one flat JSON object into the cells of a row.
struct Cells {
    part: Part,
    in_name: bool,
    /// The text that is being written.
    text: String,
}

impl Cells {
    fn cell<W: ?Sized + Write>(&self, out: &mut W, cell: &str) -> io::Result<()> {
        if self.in_name == (self.part == Part::Names) {
            out.write_all(cell.as_bytes())
        } else {
            Ok(())
        }
    }
}

/// A text as a cell: quoted where it has to be, and never a formula.
fn cell_of(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

impl Formatter for Cells {
    fn begin_object<W: ?Sized + Write>(&mut self, _out: &mut W) -> io::Result<()> {
        Ok(())
    }

    fn end_object<W: ?Sized + Write>(&mut self, _out: &mut W) -> io::Result<()> {
        Ok(())
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.in_name = true;
        if first { Ok(()) } else { out.write_all(b",") }
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, _out: &mut W) -> io::Result<()> {
        self.in_name = false;
        Ok(())
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, _out: &mut W) -> io::Result<()> {
        Ok(())
    }

    fn begin_string<W: ?Sized + Write>(&mut self, _out: &mut W) -> io::Result<()> {
        self.text.clear();
        Ok(())
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        _out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        self.text.push_str(fragment);
        Ok(())
    }

    fn write_char_escape<W: ?Sized + Write>(
        &mut self,
        _out: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        self.text.push(match escape {
            CharEscape::Quote => '"',
            CharEscape::ReverseSolidus => '\\',
            CharEscape::Solidus => '/',
            CharEscape::Backspace => '\u{8}',
            CharEscape::FormFeed => '\u{c}',
            CharEscape::LineFeed => '\n',
            CharEscape::CarriageReturn => '\r',
            CharEscape::Tab => '\t',
            CharEscape::AsciiControl(byte) => char::from(byte),
        });
        Ok(())
    }

    fn end_string<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.cell(out, &cell_of(&self.text))
    }

    fn write_null<W: ?Sized + Write>(&mut self, _out: &mut W) -> io::Result<()> {
        Ok(())
    }

    fn write_bool<W: ?Sized + Write>(&mut self, out: &mut W, value: bool) -> io::Result<()> {
        self.cell(out, if value { "true" } else { "false" })
    }

    fn write_u32<W: ?Sized + Write>(&mut self, out: &mut W, value: u32) -> io::Result<()> {
        self.cell(out, &value.to_string())
    }

    fn write_u64<W: ?Sized + Write>(&mut self, out: &mut W, value: u64) -> io::Result<()> {
        self.cell(out, &value.to_string())
    }

    fn write_i64<W: ?Sized + Write>(&mut self, out: &mut W, value: i64) -> io::Result<()> {
        self.cell(out, &value.to_string())
    }

    fn write_f64<W: ?Sized + Write>(&mut self, out: &mut W, value: f64) -> io::Result<()> {
        if self.part == Part::Names {
            return Ok(());
        }
        // As JSON writes it.
        serde_json::ser::CompactFormatter.write_f64(out, value)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use barflow_operators::bar::{CloseReason, Levels, OpenBar};
    use barflow_operators::batch::Feed;
    use barflow_operators::convergence::monitor::Synchronised;
    use barflow_operators::published::PublishedBar;

    use super::*;

    fn bar(spec: &str, volume: f64) -> PublishedBar {
        let feed = Feed::numbered("a:b:C".parse().unwrap());
        let open = OpenBar { volume, quote_volume: 1e21, open_time: -5, ..OpenBar::default() };
        let bar = open.finish(7, &Levels::default(), CloseReason::Threshold, 0xab);
        PublishedBar {
            spec: spec.into(),
            feed: Arc::new(feed),
            bar,
            received: None,
            synchronised: Synchronised::Unknown,
        }
    }

    #[test]
    fn cells_are_the_values_of_json_under_the_names_of_json() {
        for volume in [0.1, 3.0, 1e-7, f64::NAN] {
            let bar = bar("x", volume);
            let record = BarRecord::of(&bar, 1);
            let (mut names, mut row) = (Vec::new(), Vec::new());
            write_header(&mut names, &record).unwrap();
            write_row(&mut row, &record).unwrap();
            let cells = |bytes: Vec<u8>| -> Vec<String> {
                let line = String::from_utf8(bytes).unwrap();
                line.strip_suffix('\n').unwrap().split(',').map(str::to_owned).collect()
            };
            let json = serde_json::to_string(&record).unwrap();
            let json: Vec<(String, String)> = json[1..json.len() - 1]
                .split(",\"")
                .map(|field| {
                    let (name, value) = field.split_once("\":").unwrap();
                    let value = if value == "null" { "" } else { value.trim_matches('"') };
                    (name.trim_matches('"').to_owned(), value.to_owned())
                })
                .collect();
            let row: Vec<(String, String)> = cells(names).into_iter().zip(cells(row)).collect();
            assert_eq!(row, json);
        }
    }

    #[test]
    fn a_text_is_never_a_formula_and_never_breaks_its_row() {
        for (text, cell) in [
            ("plain", "plain"),
            ("=1+1", "'=1+1"),
            ("-x", "'-x"),
            ("@a", "'@a"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("+a,b", "\"'+a,b\""),
        ] {
            assert_eq!(cell_of(text), cell);
            let mut row = Vec::new();
            write_row(&mut row, &BarRecord::of(&bar(text, 1.0), 1)).unwrap();
            assert!(String::from_utf8(row).unwrap().starts_with(&format!("{cell},")));
        }
    }
}
