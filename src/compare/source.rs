//! Reads bars back: JSON lines, Parquet files and folders, Kafka topics.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use barflow_replay::files::Lines;
use barflow_replay::progress::StopFlag;
use barflow_replay::spool;
use rdkafka::Message;
use rdkafka::consumer::Consumer;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

use super::cell::{Cell, NEEDED, Row};
use super::parquet_bars::{self, Unread as UnreadBars};
use super::schemas::Schemas;
use crate::graph::sink::SinkError;
use crate::registry::RegistryError;
use crate::sinks::encode::avro;
use crate::sinks::kafka::KafkaSettings;
use crate::sinks::kafka::topic_reader::{ReadError, consumer, read_to_end};
use crate::sinks::progress_file;
use crate::sinks::record::{BarRecord, INT64};

/// How long Kafka may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// An output that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// No such file or folder, or not readable.
    #[error("{path} could not be read: {reason}")]
    File {
        /// Which.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// A line or message that is not a bar.
    #[error("{place}: not a bar: {reason}")]
    NotABar {
        /// `file:line`, `topic[partition]@offset`.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// The settings of Kafka are wrong.
    #[error(transparent)]
    Settings(#[from] SinkError),
    /// The registry does not say what a schema is.
    #[error(transparent)]
    Registry(RegistryError),
    /// Kafka does not answer or has no such topic.
    #[error("topic \"{topic}\" at \"{brokers}\" could not be read: {reason}")]
    Kafka {
        /// Brokers.
        brokers: String,
        /// Topic.
        topic: String,
        /// What librdkafka says.
        reason: String,
    },
}

impl From<RegistryError> for SourceError {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Settings(_) => Self::Settings(error.into()),
            error => Self::Registry(error),
        }
    }
}

/// Reads all rows of an output: `FILE.jsonl`, `FILE.parquet`, a folder of them, or
/// `kafka://HOST:PORT/TOPIC`, reached by the other `settings` of Kafka.
///
/// # Errors
/// When it cannot be read, or holds something that is not a bar.
pub fn read(source: &str, settings: &KafkaSettings) -> Result<Vec<Row>, SourceError> {
    let mut rows = Vec::new();
    read_each(source, settings, &StopFlag::default(), &mut |row| rows.push(row))?;
    Ok(rows)
}

/// As [`read`], bar by bar; a pipe is not waited for any more once `stop` is raised.
///
/// # Errors
/// As [`read`].
pub fn read_each(
    source: &str,
    settings: &KafkaSettings,
    stop: &StopFlag,
    each: &mut dyn FnMut(Row),
) -> Result<(), SourceError> {
    if let Some(rest) = source.strip_prefix("kafka://") {
        let Some((brokers, topic)) = rest.split_once('/').filter(|(_, topic)| !topic.is_empty())
        else {
            let reason = "must be kafka://HOST:PORT/TOPIC".to_owned();
            return Err(SourceError::File { path: source.to_owned(), reason });
        };
        let settings = KafkaSettings { brokers: brokers.to_owned(), ..settings.clone() };
        return kafka(&settings, topic, each);
    }
    let path = Path::new(source);
    let there = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?;
    if there.is_dir() {
        let mut found = Vec::new();
        find(path, &there, &mut BTreeSet::new(), &mut found)?;
        found.sort();
        return found.iter().try_for_each(|file| read_file(file, each));
    }
    if !there.is_file() {
        spool::take(path, u64::MAX, stop).map_err(|e| unreadable(path, &e))?;
    }
    read_file(path, each)
}

fn unreadable(path: &Path, error: &dyn fmt::Display) -> SourceError {
    SourceError::File { path: path.display().to_string(), reason: error.to_string() }
}

/// The files of bars below a folder; each folder is looked into once, however many links lead to it.
fn find(
    folder: &Path,
    metadata: &Metadata,
    seen: &mut BTreeSet<(u64, u64)>,
    found: &mut Vec<PathBuf>,
) -> Result<(), SourceError> {
    if !seen.insert((metadata.dev(), metadata.ino())) {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder).map_err(|e| unreadable(folder, &e))? {
        let path = entry.map_err(|e| unreadable(folder, &e))?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_bars =
            matches!(ending, Some("parquet" | "jsonl")) && !progress_file::is_name_of_one(&name);
        match std::fs::metadata(&path) {
            Ok(there) if there.is_dir() => find(&path, &there, seen, found)?,
            Err(error) if is_bars => return Err(unreadable(&path, &error)),
            _ if is_bars => found.push(path),
            _ => {}
        }
    }
    Ok(())
}

fn read_file(path: &Path, each: &mut dyn FnMut(Row)) -> Result<(), SourceError> {
    let file = spool::open(path).map_err(|e| unreadable(path, &e))?;
    if path.extension().is_some_and(|ending| ending == "parquet") {
        parquet_bars::read(file, each).map_err(|error| match error {
            UnreadBars::File(reason) => unreadable(path, &reason),
            UnreadBars::NotBars(reason) => {
                SourceError::NotABar { place: path.display().to_string(), reason }
            }
        })
    } else {
        json_lines(path, file, each)
    }
}

fn json_lines(path: &Path, file: File, each: &mut dyn FnMut(Row)) -> Result<(), SourceError> {
    let mut lines = Lines::new(file);
    while let Some(line) = lines.next_line().map_err(|e| unreadable(path, &e))? {
        if line.text.trim_ascii().is_empty() {
            continue;
        }
        each(json(line.text).map_err(|reason| SourceError::NotABar {
            place: format!("{}:{}", path.display(), line.number),
            reason,
        })?);
    }
    Ok(())
}

fn json(bytes: &[u8]) -> Result<Row, String> {
    let fields: Fields = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    row(fields.0.iter())
}

/// The fields of a JSON object, each once.
struct Fields(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(EachOnce)
    }
}

/// Reads an object; a name that comes again says that two programs disagree on what it says.
struct EachOnce;

impl<'de> Visitor<'de> for EachOnce {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if fields.contains_key(&name) {
                return Err(A::Error::custom(format_args!("\"{name}\" is there twice")));
            }
            fields.insert(name, value);
        }
        Ok(Fields(fields))
    }
}

/// The row that a record is read back as.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn written(record: &BarRecord<'_>) -> Result<Row, String> {
    bar(&serde_json::to_value(record).map_err(|error| error.to_string())?)
}

fn bar(value: &Value) -> Result<Row, String> {
    let Value::Object(fields) = value else { return Err("must be an object".to_owned()) };
    row(fields.iter())
}

fn row<'a>(fields: impl Iterator<Item = (&'a String, &'a Value)>) -> Result<Row, String> {
    let cell = |(name, value): (&String, &Value)| {
        let cell = match Cell::from(value) {
            // JSON with int64 = string.
            Cell::Text(digits) if INT64.contains(&name.as_str()) => {
                digits.parse().map_or(Cell::Text(digits), Cell::Whole)
            }
            cell => cell,
        };
        (name.clone(), cell)
    };
    let row = Row(fields.map(cell).collect());
    for needed in NEEDED {
        if *row.get(needed) == Cell::Null {
            return Err(format!("\"{needed}\" is missing"));
        }
    }
    Ok(row)
}

/// Reads a topic from its beginning to where it ends now, committed messages only. `settings` say how to
/// reach Kafka.
///
/// # Errors
/// When it cannot be read, or holds something that is not a bar.
pub fn kafka(
    settings: &KafkaSettings,
    topic: &str,
    each: &mut dyn FnMut(Row),
) -> Result<(), SourceError> {
    let schemas = Schemas::of(settings);
    let reader = consumer(settings.reader()?, "barflow-diff", "read_committed");
    let read = reader.map_err(|error| Unread::Topic(error.into())).and_then(|reader| {
        let range = |partition| {
            let range = reader.fetch_watermarks(topic, partition, PATIENCE);
            range.map_err(|error| Unread::Topic(error.into()))
        };
        read_to_end(&reader, topic, PATIENCE, range, |message| {
            let value = message.payload().unwrap_or_default();
            let not_a_bar = |reason| {
                let place = format!("{topic}[{}]@{}", message.partition(), message.offset());
                Unread::Row(SourceError::NotABar { place, reason })
            };
            let row = match avro::split_registered(value) {
                Some(split) => {
                    let (id, record) = split.map_err(not_a_bar)?;
                    let read = schemas.read(id, record).map_err(|e| Unread::Row(e.into()))?;
                    read.and_then(|value| bar(&value))
                }
                None => match avro::read(value) {
                    Some(read) => read.and_then(|value| bar(&value)),
                    None => json(value),
                },
            };
            each(row.map_err(not_a_bar)?);
            Ok(())
        })
    });
    read.map_err(|error| match error {
        Unread::Row(error) => error,
        Unread::Topic(error) => SourceError::Kafka {
            brokers: settings.brokers.clone(),
            topic: topic.to_owned(),
            reason: error.to_string(),
        },
    })
}

enum Unread {
    Row(SourceError),
    Topic(ReadError),
}

impl From<ReadError> for Unread {
    fn from(error: ReadError) -> Self {
        Self::Topic(error)
    }
}
