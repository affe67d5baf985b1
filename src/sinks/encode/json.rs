//! A record as one JSON object, its fields in their order.
//!
//! Numbers are the shortest text that reads back to the same bits. JSON knows neither NaN nor
//! infinities: a non-finite number becomes `null`. No bar of finite trades carries one, short of
//! sums that overflow an f64.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{CompactFormatter, Formatter};

/// How 64-bit integers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Int64 {
    /// As numbers, which readers that parse into doubles round beyond 2^53.
    #[default]
    Number,
    /// As strings of digits, like protobuf's JSON.
    Text,
}

impl Int64 {
    /// `number` or `string`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Text => "string",
        }
    }
}

/// Writes the record, without a line end.
///
/// # Errors
/// When the writer refuses.
pub fn write(out: impl Write, record: &impl Serialize, int64: Int64) -> serde_json::Result<()> {
    match int64 {
        Int64::Number => serde_json::to_writer(out, record),
        Int64::Text => record.serialize(&mut Serializer::with_formatter(out, Quoted)),
    }
}

/// Puts 64-bit integers into quotes.
struct Quoted;

impl Formatter for Quoted {
    fn write_u64<W: ?Sized + Write>(&mut self, out: &mut W, value: u64) -> io::Result<()> {
        out.write_all(b"\"")?;
        CompactFormatter.write_u64(out, value)?;
        out.write_all(b"\"")
    }

    fn write_i64<W: ?Sized + Write>(&mut self, out: &mut W, value: i64) -> io::Result<()> {
        out.write_all(b"\"")?;
        CompactFormatter.write_i64(out, value)?;
        out.write_all(b"\"")
    }
}
