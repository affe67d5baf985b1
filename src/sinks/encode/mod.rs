//! A bar record as bytes.
//!
//! **Invariant:** pure; the same record makes the same bytes on every computer. An encoder keeps
//! its buffers, so a bar costs no allocation once they have grown.

use self::json::Int64;
use crate::registry::SchemaId;
use crate::sinks::record::{BarRecord, BeyondLong};

pub mod avro;
pub mod json;
mod same_schema;

/// How bars are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoding {
    /// One JSON object, see [`json`].
    #[default]
    Json,
    /// Avro single-object encoding, see [`avro`].
    Avro,
    /// Avro in Confluent's wire format, for readers with a schema registry.
    AvroConfluent,
}

/// The words for encodings.
pub const ENCODINGS: [(&str, Encoding); 3] = [
    (Encoding::Json.as_str(), Encoding::Json),
    (Encoding::Avro.as_str(), Encoding::Avro),
    (Encoding::AvroConfluent.as_str(), Encoding::AvroConfluent),
];

impl Encoding {
    /// `json`, `avro` or `avro-confluent`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Avro => "avro",
            Self::AvroConfluent => "avro-confluent",
        }
    }

    /// The media type, for message headers.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Avro | Self::AvroConfluent => "application/avro",
        }
    }
}

impl std::fmt::Display for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Encoding {
    type Err = UnknownEncoding;

    fn from_str(text: &str) -> Result<Self, UnknownEncoding> {
        let known = ENCODINGS.iter().find(|(word, _)| *word == text);
        known.map(|(_, encoding)| *encoding).ok_or_else(|| UnknownEncoding(text.to_owned()))
    }
}

/// A text that names no encoding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("encoding \"{0}\" is not one of json, avro and avro-confluent")]
pub struct UnknownEncoding(pub String);

/// Why a bar could not be written as bytes.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Avro has no unsigned 64-bit numbers.
    #[error(transparent)]
    BeyondLong(#[from] BeyondLong),
    /// The JSON writer's word.
    #[error("could not write JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Readers find the schema by its id.
    #[error("avro-confluent needs the id of the schema in a registry")]
    NoSchemaId,
    /// The Avro writer's word.
    #[error("could not write Avro: {0}")]
    Avro(#[from] apache_avro::Error),
}

/// Writes bars in one encoding.
pub struct Encoder {
    encoding: Encoding,
    int64: Int64,
    bytes: Vec<u8>,
}

impl Encoder {
    /// An encoder.
    pub fn new(encoding: Encoding) -> Self {
        Self { encoding, int64: Int64::Number, bytes: Vec::with_capacity(1024) }
    }

    /// Writes 64-bit integers so, where the encoding is JSON.
    pub fn with_int64(self, int64: Int64) -> Self {
        Self { int64, ..self }
    }

    /// Which encoding it writes.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The record as bytes, valid until the next call.
    ///
    /// # Errors
    /// When the encoding cannot hold a value.
    pub fn encode(&mut self, record: &BarRecord<'_>) -> Result<&[u8], EncodeError> {
        self.bytes.clear();
        match self.encoding {
            Encoding::Json => json::write(&mut self.bytes, record, self.int64)?,
            Encoding::Avro => avro::append(&mut self.bytes, record)?,
            Encoding::AvroConfluent => return Err(EncodeError::NoSchemaId),
        }
        Ok(&self.bytes)
    }

    /// The record in Confluent's wire format, whatever the encoding; valid until the next call.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_registered(
        &mut self,
        id: SchemaId,
        record: &BarRecord<'_>,
    ) -> Result<&[u8], EncodeError> {
        self.bytes.clear();
        avro::append_registered(&mut self.bytes, id, record)?;
        Ok(&self.bytes)
    }
}
