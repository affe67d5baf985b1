//! A bar as one JSON object, fields in the order of [`BarRecord`].
//!
//! Numbers are the shortest text that reads back to the same bits. JSON knows neither NaN nor
//! infinities: a non-finite number becomes `null`. No bar of finite trades carries one, short of
//! sums that overflow an f64.

use super::EncodeError;
use crate::sinks::record::BarRecord;

/// Appends the record, without a line end.
///
/// # Errors
/// Never for today's `BarRecord`; the JSON writer's type permits it.
pub fn append(bytes: &mut Vec<u8>, record: &BarRecord<'_>) -> Result<(), EncodeError> {
    Ok(serde_json::to_writer(bytes, record)?)
}
