//! A bar in Avro single-object encoding: `C3 01`, the schema's CRC-64-AVRO fingerprint (8 bytes,
//! little-endian), then the fields of `bar.avsc` one after another.
//!
//! Source: Apache Avro specification 1.12, "Single-object encoding".

use std::io::{self, Read};
use std::sync::LazyLock;

use apache_avro::headers::{HeaderBuilder, RabinFingerprintHeader};
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{GenericSingleObjectReader, Schema};

use super::EncodeError;
use crate::sinks::record::BarRecord;

/// The schema, as it is published.
pub const SCHEMA: &str = include_str!("bar.avsc");

/// The schemas of earlier versions, the first one first. Records of theirs stay in topics.
pub const FORMER: [&str; 3] = [
    include_str!("former/bar-1.avsc"),
    include_str!("former/bar-2.avsc"),
    include_str!("former/bar-3.avsc"),
];

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
    record.fits_long()?;
    let Writer { header, fields } = &*WRITER;
    bytes.extend_from_slice(header);
    fields.write_ser(bytes, record)?;
    Ok(())
}

/// The longest text that a record may claim to have, so that a damaged length takes no memory.
const LONGEST: usize = 1 << 20;

/// A reader of each version, and what its records begin with; the current one first.
static READERS: LazyLock<Vec<(Vec<u8>, GenericSingleObjectReader)>> = LazyLock::new(|| {
    apache_avro::util::max_allocation_bytes(LONGEST);
    let of = |schema: Schema| {
        let header = RabinFingerprintHeader::from_schema(&schema).build_header();
        let reader = GenericSingleObjectReader::builder().schema(schema).build();
        // As above: there is nothing that could be missing.
        (header, reader.expect("bar.avsc names no other schema"))
    };
    std::iter::once(SCHEMA).chain(FORMER).map(|text| of(parsed(text))).collect()
});

/// Reads a record of any version back as JSON fields; none if the bytes are not in this encoding.
/// Fields that its version did not have are not there.
///
/// # Errors
/// When they are of another schema or damaged.
pub fn read(bytes: &[u8]) -> Option<Result<serde_json::Value, String>> {
    let marked = bytes.starts_with(&[0xC3, 0x01]);
    marked.then(|| {
        let mut from = Whole { rest: bytes, missed: false };
        let mine = READERS.iter().find(|(header, _)| bytes.starts_with(header));
        // The error of the current version's reader names the fingerprints.
        let (_, reader) = mine.unwrap_or(&READERS[0]);
        let value = reader.read_value(&mut from).map_err(|e| e.to_string())?;
        match from.rest.len() {
            _ if from.missed => Err("the record ends before its last field".to_owned()),
            0 => as_json(value).ok_or_else(|| "a field has a type of another schema".to_owned()),
            left => Err(format!("{left} bytes after the record")),
        }
    })
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
