//! Configuration files: TOML into sections, keeping line numbers.

use std::collections::BTreeMap;
use std::path::Path;

use barflow_replay::files;
use toml::de::{DeTable, DeValue};

use super::problem::{Problems, suggestion};
use super::section::{Section, Value};

/// The sections of one file.
#[derive(Debug, Default)]
pub struct ConfigFile {
    /// `[replay]`, `[sink]`, `[kafka]`, `[kafka.properties]` by dotted name.
    pub sections: BTreeMap<String, Section>,
    /// `[bars.NAME]`, in the order of the file.
    pub bars: Vec<(String, Section)>,
    /// `[feeds.NAME]`, in the order of the file.
    pub feeds: Vec<(String, Section)>,
    /// `[expect.NAME]`, in the order of the file.
    pub expect: Vec<(String, Section)>,
}

/// Bytes of a file of settings that are read.
pub(super) const LONGEST: u64 = 4 << 20;

const SECTIONS: [&str; 6] = ["replay", "live", "sink", "kafka", "sweep", "grid"];

impl ConfigFile {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, is not TOML, or has unknown sections.
    pub fn read(path: &Path) -> Result<Self, Problems> {
        let origin = path.display().to_string();
        let mut problems = Problems::default();
        match files::read_named(path, LONGEST) {
            Ok(text) => Self::parse(&origin, &text),
            Err(error) => {
                problems.add(origin, format!("could not be read: {error}"));
                Err(problems)
            }
        }
    }

    /// Understands a file's text; `origin` names it in messages.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(origin: &str, text: &str) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let lines = Text::new(origin, text);
        let table = match DeTable::parse(text) {
            Ok(table) => table.into_inner(),
            Err(error) => {
                let at = lines.at(error.span().map_or(0, |span| span.start));
                problems.add(at, error.message().to_owned());
                return Err(problems);
            }
        };
        let mut file = Self::default();
        for (key, value) in table {
            let at = lines.at(key.span().start);
            let name = key.into_inner().into_owned();
            let DeValue::Table(inner) = value.into_inner() else {
                problems.add(at, misplaced(&name));
                continue;
            };
            let named = match name.as_str() {
                "bars" => Some(&mut file.bars),
                "feeds" => Some(&mut file.feeds),
                "expect" => Some(&mut file.expect),
                _ => None,
            };
            if let Some(named) = named {
                for (key, value) in inner {
                    let at = lines.at(key.span().start);
                    let key = key.into_inner().into_owned();
                    match value.into_inner() {
                        DeValue::Table(keys) => {
                            let title = format!("[{name}.{key}]");
                            let mut section = Section::new(title, at);
                            fill(&mut section, keys, &lines, &mut problems);
                            named.push((key, section));
                        }
                        _ => problems.add(at, format!("{name}.{key} must be a table of keys")),
                    }
                }
            } else if SECTIONS.contains(&name.as_str()) {
                file.add(&name, at, inner, &lines, &mut problems);
            } else {
                let known = SECTIONS.iter().copied().chain(["bars", "feeds", "expect"]);
                let hint = suggestion(&name, known);
                let message = format!(
                    "unknown section [{name}]{hint}; there are [replay], [live], \
                     [feeds.NAME], [sink], [kafka], [kafka.properties], [bars.NAME], [sweep], \
                     [grid] and [expect.NAME]"
                );
                problems.add(at, message);
            }
        }
        // Tables come sorted by name; people expect their own order.
        for named in [&mut file.bars, &mut file.feeds, &mut file.expect] {
            named.sort_by_key(|(_, section)| line_number(&section.origin));
        }
        problems.or(file)
    }

    /// Takes a section, an empty one if it is not there.
    pub fn take(&mut self, name: &str) -> Section {
        let empty = || Section::new(format!("[{name}]"), format!("[{name}]"));
        self.sections.remove(name).unwrap_or_else(empty)
    }

    fn add(
        &mut self,
        name: &str,
        at: String,
        table: DeTable<'_>,
        lines: &Text<'_>,
        problems: &mut Problems,
    ) {
        let mut section = Section::new(format!("[{name}]"), at);
        let mut plain = DeTable::new();
        for (key, value) in table {
            let is_table = matches!(value.get_ref(), DeValue::Table(_));
            if name == "kafka" && key.get_ref() == "properties" && is_table {
                let at = lines.at(key.span().start);
                let mut properties = Section::new("[kafka.properties]", at);
                if let DeValue::Table(keys) = value.into_inner() {
                    fill_dotted(&mut properties, "", keys, lines, problems);
                }
                self.sections.insert("kafka.properties".to_owned(), properties);
            } else {
                plain.insert(key, value);
            }
        }
        fill(&mut section, plain, lines, problems);
        self.sections.insert(name.to_owned(), section);
    }
}

/// Where a key belongs that is outside all sections, if that is known.
fn misplaced(name: &str) -> String {
    const KEYS: [(&str, &[&str]); 5] = [
        (
            "kafka",
            &[
                "brokers",
                "topic",
                "encoding",
                "schema_registry",
                "schema_register",
                "key",
                "headers",
                "create_topics",
                "partitions",
                "current",
            ],
        ),
        ("sink", &["kind", "out", "int64", "delivery", "job", "commit_interval"]),
        ("replay", &["files", "instrument", "workers", "quarantine", "store", "protocol"]),
        ("live", &["record", "report_every", "gaps"]),
        ("feeds.NAME", &["venue", "instruments", "at"]),
    ];
    if ["bars", "feeds", "expect"].contains(&name) {
        return format!("\"{name}\" is not a list: write [{name}.NAME], one section for each");
    }
    let section = KEYS.iter().find(|(_, keys)| keys.contains(&name));
    let section =
        section.map_or("a section such as [replay]".to_owned(), |(s, _)| format!("[{s}]"));
    format!("\"{name}\" must be in {section}")
}

fn fill(section: &mut Section, table: DeTable<'_>, lines: &Text<'_>, problems: &mut Problems) {
    for (key, value) in table {
        let at = lines.at(key.span().start);
        let key = key.into_inner().into_owned();
        match as_value(value.into_inner()) {
            Some(value) => section.put(key, value, at),
            None => problems.add(at, format!("{key} must be a string, a number or a list")),
        }
    }
}

/// librdkafka's names have dots, which TOML reads as tables in tables unless quoted; both do.
fn fill_dotted(
    section: &mut Section,
    prefix: &str,
    table: DeTable<'_>,
    lines: &Text<'_>,
    problems: &mut Problems,
) {
    for (key, value) in table {
        let at = lines.at(key.span().start);
        let name = format!("{prefix}{}", key.into_inner());
        match value.into_inner() {
            DeValue::Table(inner) => {
                fill_dotted(section, &format!("{name}."), inner, lines, problems);
            }
            other => match as_value(other) {
                Some(value) => section.put(name, value, at),
                None => problems.add(at, format!("{name} must be a string or a number")),
            },
        }
    }
}

fn as_value(value: DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::Array(items) => {
            let texts = items.into_iter().map(|item| scalar(item.into_inner()));
            texts.collect::<Option<Vec<_>>>().map(Value::List)
        }
        other => scalar(other).map(Value::Text),
    }
}

fn scalar(value: DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.into_owned()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        DeValue::Datetime(time) => Some(time.to_string()),
        DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// The text of a file, and where its lines begin.
struct Text<'a> {
    origin: &'a str,
    starts: Vec<usize>,
}

impl<'a> Text<'a> {
    fn new(origin: &'a str, text: &str) -> Self {
        let ends = memchr::memchr_iter(b'\n', text.as_bytes());
        Self { origin, starts: ends.map(|end| end + 1).collect() }
    }

    /// The file and the line of a place in it.
    fn at(&self, offset: usize) -> String {
        let line = 1 + self.starts.partition_point(|start| *start <= offset);
        format!("{}:{line}", self.origin)
    }
}

fn line_number(origin: &str) -> usize {
    origin.rsplit(':').next().and_then(|line| line.parse().ok()).unwrap_or(0)
}
