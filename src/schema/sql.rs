//! What SQL dialects share.

use super::fields::{Field, Kind, fields};

/// A literal text of standard SQL, in which nothing but the quote is special.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name for a table of a topic's bars.
pub(super) fn table_of(topic: &str) -> String {
    let name: String =
        topic.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("t_{name}") } else { name }
}

/// The lines of a table's columns: names as the dialect quotes them, types as it calls them.
pub(super) fn columns(
    quote: impl Fn(&str) -> String,
    type_of: impl Fn(&Field) -> String,
) -> Vec<String> {
    fields().iter().map(|field| format!("{} {}", quote(&field.name), type_of(field))).collect()
}

/// Types by kind.
pub(super) struct Types {
    pub(super) text: &'static str,
    pub(super) long: &'static str,
    pub(super) time: &'static str,
    pub(super) double: &'static str,
    pub(super) bool: &'static str,
}

impl Types {
    pub(super) fn of(&self, kind: Kind) -> &'static str {
        match kind {
            Kind::Text => self.text,
            Kind::Long => self.long,
            Kind::Time => self.time,
            Kind::Double => self.double,
            Kind::Bool => self.bool,
        }
    }
}

/// Lines of a list, indented, with commas between them.
pub(super) fn list(lines: &[String]) -> String {
    lines.iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join(",\n")
}
