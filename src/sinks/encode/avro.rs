//! A bar in Avro single-object encoding: `C3 01`, the schema's CRC-64-AVRO fingerprint (8 bytes,
//! little-endian), then the fields of `bar.avsc` one after another.
//!
//! Source: Apache Avro specification 1.12, "Single-object encoding".

use std::sync::LazyLock;

use serde_avro_fast::Schema;
use serde_avro_fast::ser::SerializerConfig;

use super::EncodeError;
use crate::sinks::record::BarRecord;

/// The schema, as it is published.
pub const SCHEMA: &str = include_str!("bar.avsc");

/// The schema, parsed once.
pub fn schema() -> &'static Schema {
    static PARSED: LazyLock<Schema> = LazyLock::new(|| {
        // The text is part of the program, and a test encodes with it: it parses.
        SCHEMA.parse().expect("bar.avsc is a valid Avro schema")
    });
    &PARSED
}

/// Appends the record.
///
/// # Errors
/// When an id or a count does not fit into a long.
pub fn append(
    bytes: &mut Vec<u8>,
    record: &BarRecord<'_>,
    config: &mut SerializerConfig<'_>,
) -> Result<(), EncodeError> {
    record.fits_long()?;
    serde_avro_fast::to_single_object(record, bytes, config)?;
    Ok(())
}

/// Reads a record back as JSON fields; none if the bytes are not in this encoding.
///
/// # Errors
/// When they are of another schema or damaged.
pub fn read(bytes: &[u8]) -> Option<Result<serde_json::Value, String>> {
    let marked = bytes.starts_with(&[0xC3, 0x01]);
    marked.then(|| {
        serde_avro_fast::from_single_object_slice(bytes, schema()).map_err(|e| e.to_string())
    })
}
