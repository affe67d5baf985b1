//! Which kind of sink takes the bars.

/// Where bars go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SinkKind {
    /// JSON lines.
    #[default]
    JsonLines,
    /// CSV.
    Csv,
    /// Parquet files.
    Parquet,
    /// Kafka topics.
    Kafka,
    /// Nowhere.
    None,
}

/// The words for sinks.
pub(super) const SINKS: [(&str, SinkKind); 5] = [
    (SinkKind::JsonLines.as_str(), SinkKind::JsonLines),
    (SinkKind::Csv.as_str(), SinkKind::Csv),
    (SinkKind::Parquet.as_str(), SinkKind::Parquet),
    (SinkKind::Kafka.as_str(), SinkKind::Kafka),
    (SinkKind::None.as_str(), SinkKind::None),
];

impl SinkKind {
    /// `jsonl`, `csv`, `parquet`, `kafka` or `none`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::JsonLines => "jsonl",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::Kafka => "kafka",
            Self::None => "none",
        }
    }
}
