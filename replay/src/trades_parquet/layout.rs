//! The columns of a file of trades.

use arrow_schema::{DataType, TimeUnit};

/// Whether a column has the type in which it is written.
pub(super) type IsWritten = fn(&DataType) -> bool;

/// The columns of trades, whose values have a fixed length: decoding them takes no more memory than
/// their number says.
pub(super) const COLUMNS: [(&str, IsWritten); 7] = [
    ("trade_id", |kind| matches!(kind, DataType::UInt64)),
    ("event_time", |kind| {
        matches!(kind, DataType::Timestamp(TimeUnit::Nanosecond | TimeUnit::Microsecond, _))
    }),
    ("price", |kind| matches!(kind, DataType::Float64)),
    ("qty", |kind| matches!(kind, DataType::Float64)),
    ("aggressor", |kind| matches!(kind, DataType::Int8)),
    ("count", |kind| matches!(kind, DataType::UInt32)),
    ("quote", |kind| matches!(kind, DataType::Float64)),
];
