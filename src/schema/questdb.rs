//! A table of QuestDB.
//!
//! Source: QuestDB's documentation, "CREATE TABLE", "Deduplication".

use super::fields::Kind;
use super::sql::{Types, columns, list};

const TYPES: Types = Types {
    text: "VARCHAR",
    long: "LONG",
    time: "TIMESTAMP_NS",
    double: "DOUBLE",
    bool: "BOOLEAN",
};

pub(super) fn render() -> String {
    let lines = columns(
        |name| format!("\"{name}\""),
        |field| match (field.kind, field.name.as_str()) {
            // Names that repeat in every row.
            (Kind::Text, name) if name != "bar_id" && name != "state_digest" => "SYMBOL".to_owned(),
            (kind, _) => TYPES.of(kind).to_owned(),
        },
    );
    format!(
        "-- One row per version of a bar and per withdrawal, however often it is written.\n\
         CREATE TABLE bars (\n{}\n) TIMESTAMP(\"close_time\") PARTITION BY DAY WAL\n\
         DEDUP UPSERT KEYS(\"close_time\", \"instrument\", \"spec\", \"last_trade_id\", \"revision\", \"retracts\");\n\n\
         -- The current bars. Join on known_time, never on open_time.\n\
         -- SELECT * FROM (\n\
         --     SELECT *, row_number() OVER (PARTITION BY bar_id ORDER BY revision DESC, retracts DESC) AS newest\n\
         --     FROM bars\n\
         -- ) WHERE newest = 1 AND NOT retracts;\n",
        list(&lines)
    )
}
