//! A bar in Avro: what tells the schema, then the fields of `bar.avsc` one after another.
//!
//! Single-object encoding tells it by `C3 01` and the schema's CRC-64-AVRO fingerprint (8 bytes, little-endian);
//! Confluent's wire format by an id ([`wire`]).
//!
//! Source: Apache Avro specification 1.12, "Single-object encoding".

use std::io::{self, Read};
use std::sync::LazyLock;

use apache_avro::headers::{HeaderBuilder, RabinFingerprintHeader};
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{GenericSingleObjectReader, Schema};

use super::EncodeError;
use super::same_schema::essence;
use crate::registry::compact::compact;
use crate::registry::wire::{self, SchemaId};
use crate::sinks::record::BarRecord;

/// The schema, as it is published.
pub const SCHEMA: &str = include_str!("bar.avsc");

/// The schemas of earlier versions, the first one first. Records of theirs stay in topics.
pub const FORMER: [&str; 3] = [
    include_str!("former/bar-1.avsc"),
    include_str!("former/bar-2.avsc"),
    include_str!("former/bar-3.avsc"),
];

/// The schema as it is registered. Registries compare texts: with another one it would be another schema.
pub fn registered() -> &'static str {
    static COMPACT: LazyLock<String> = LazyLock::new(|| compact(SCHEMA));
    &COMPACT
}

/// The schema, parsed once.
fn schema() -> &'static Schema {
    static PARSED: LazyLock<Schema> = LazyLock::new(|| parsed(SCHEMA));
    &PARSED
}

fn parsed(text: &str) -> Schema {
    // The texts are part of the program, and tests read with all of them: they parse.
    Schema::parse_str(text).expect("bar.avsc is a valid Avro schema")
}

/// Writes records of the schema, which is resolved once.
struct Writer {
    /// What every record begins with.
    header: Vec<u8>,
    fields: GenericDatumWriter<'static>,
}

static WRITER: LazyLock<Writer> = LazyLock::new(|| {
    let header = RabinFingerprintHeader::from_schema(schema()).build_header();
    // Numbers without a sign are longs where the form is not one for people: `sinks::record`.
    let fields = GenericDatumWriter::builder(schema()).human_readable(false).build();
    // The schema has no references to others, which are all that could be missing.
    Writer { header, fields: fields.expect("bar.avsc names no other schema") }
});

/// Appends the record.
///
/// # Errors
/// When an id or a count does not fit into a long.
pub fn append(bytes: &mut Vec<u8>, record: &BarRecord<'_>) -> Result<(), EncodeError> {
    append_after(bytes, &WRITER.header, record)
}

/// Appends the record in Confluent's wire format.
///
/// # Errors
/// As [`append`].
pub fn append_registered(
    bytes: &mut Vec<u8>,
    id: SchemaId,
    record: &BarRecord<'_>,
) -> Result<(), EncodeError> {
    append_after(bytes, &id.prefix(), record)
}

fn append_after(
    bytes: &mut Vec<u8>,
    prefix: &[u8],
    record: &BarRecord<'_>,
) -> Result<(), EncodeError> {
    record.fits_long()?;
    bytes.extend_from_slice(prefix);
    WRITER.fields.write_ser(bytes, record)?;
    Ok(())
}

/// The longest text that a record may claim to have, so that a damaged length takes no memory.
const LONGEST: usize = 1 << 20;

/// A version of the schema, with what reads its records.
pub struct Version {
    /// What its records begin with in single-object encoding; it holds the fingerprint.
    header: Vec<u8>,
    objects: GenericSingleObjectReader,
    schema: Schema,
    /// What a text of it can be: as it is published, or in Avro's canonical form, which has no defaults.
    essences: [Option<serde_json::Value>; 2],
}

/// All versions, the current one first.
static VERSIONS: LazyLock<Vec<Version>> = LazyLock::new(|| {
    apache_avro::util::max_allocation_bytes(LONGEST);
    let of = |text: &str| {
        let schema = parsed(text);
        let essences = [essence(text), essence(&schema.canonical_form())];
        let header = RabinFingerprintHeader::from_schema(&schema).build_header();
        let reader = GenericSingleObjectReader::builder().schema(schema.clone()).build();
        // As above: there is nothing that could be missing.
        let objects = reader.expect("bar.avsc names no other schema");
        Version { header, objects, schema, essences }
    };
    std::iter::once(SCHEMA).chain(FORMER).map(of).collect()
});

/// Reads a record of any version back as JSON fields; none if the bytes are not in single-object encoding.
/// Fields that its version did not have are not there.
///
/// # Errors
/// When they are of another schema or damaged.
pub fn read(bytes: &[u8]) -> Option<Result<serde_json::Value, String>> {
    let marked = bytes.starts_with(&[0xC3, 0x01]);
    marked.then(|| {
        let mine = VERSIONS.iter().find(|version| bytes.starts_with(&version.header));
        // The error of the current version's reader names the fingerprints.
        let reader = &mine.unwrap_or(&VERSIONS[0]).objects;
        whole(bytes, |from| reader.read_value(from))
    })
}

/// The id and the record of bytes in Confluent's wire format; none if they are in another one.
///
/// # Errors
/// When they end before the record.
pub fn split_registered(bytes: &[u8]) -> Option<Result<(SchemaId, &[u8]), String>> {
    wire::split(bytes).map(|split| split.map_err(|error| error.to_string()))
}

impl Version {
    /// The version that a schema is; none if it is another schema. Docs, white space and the order of keys do not
    /// matter. The text may be a stranger's: it is only compared.
    pub fn of(schema: &str) -> Option<&'static Self> {
        Self::position(schema).and_then(Self::at)
    }

    /// As [`of`](Self::of), as the position among all versions.
    pub fn position(schema: &str) -> Option<usize> {
        let schema = Some(essence(schema)?);
        VERSIONS.iter().position(|version| version.essences.contains(&schema))
    }

    /// The version at a position.
    pub fn at(position: usize) -> Option<&'static Self> {
        VERSIONS.get(position)
    }

    /// Reads a record without anything before it, as [`read`] does.
    ///
    /// # Errors
    /// When the bytes are not exactly one record.
    pub fn read_datum(&'static self, bytes: &[u8]) -> Result<serde_json::Value, String> {
        let reader = GenericDatumReader::builder(&self.schema).human_readable(false).build();
        let reader = reader.map_err(|error| error.to_string())?;
        whole(bytes, |from| reader.read_value(from))
    }

    /// Reads a record of which nobody knows the version. The fields of each version are the first ones of the
    /// next, so the bytes are exactly one record of one version at most.
    ///
    /// # Errors
    /// What the current version's reader says, if they are a record of none.
    pub fn read_any(bytes: &[u8]) -> Result<serde_json::Value, String> {
        let mut read = VERSIONS.iter().map(|version| version.read_datum(bytes));
        let current = read.next().unwrap_or_else(|| Err("no version".to_owned()));
        current.or_else(|error| read.find_map(Result::ok).ok_or(error))
    }
}

/// Reads exactly one record.
fn whole(
    bytes: &[u8],
    read: impl FnOnce(&mut Whole<'_>) -> apache_avro::AvroResult<Value>,
) -> Result<serde_json::Value, String> {
    let mut from = Whole { rest: bytes, missed: false };
    let value = read(&mut from).map_err(|e| e.to_string())?;
    match from.rest.len() {
        _ if from.missed => Err("the record ends before its last field".to_owned()),
        0 => as_json(value).ok_or_else(|| "a field has a type of another schema".to_owned()),
        left => Err(format!("{left} bytes after the record")),
    }
}

/// A record that notices when it is read beyond its end: the library makes a null of what is cut off.
struct Whole<'a> {
    rest: &'a [u8],
    missed: bool,
}

impl Read for Whole<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.rest.read(to)?;
        self.missed |= read < to.len();
        Ok(read)
    }
}

/// As JSON has it: a number that is not finite is null. None for a value that no field of the schema
/// can have.
fn as_json(value: Value) -> Option<serde_json::Value> {
    Some(match value {
        Value::Record(fields) => {
            let fields = fields.into_iter().map(|(name, value)| Some((name, as_json(value)?)));
            fields.collect::<Option<_>>()?
        }
        Value::Union(_, value) if *value == Value::Null => serde_json::Value::Null,
        Value::Union(_, value) => as_json(*value)?,
        Value::Boolean(truth) => truth.into(),
        Value::Long(number) => number.into(),
        Value::Double(number) => number.into(),
        Value::String(text) => text.into(),
        _ => return None,
    })
}
