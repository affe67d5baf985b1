//! Views of DuckDB over files of bars.
//!
//! Source: DuckDB's documentation, "JSON: reading", "Parquet".

use super::fields::Kind;
use super::sql::{Types, columns, list};

const TYPES: Types =
    Types { text: "VARCHAR", long: "BIGINT", time: "BIGINT", double: "DOUBLE", bool: "BOOLEAN" };

pub(super) fn render() -> String {
    // Named one by one: DuckDB would guess a digest such as 0000000000001234 to be a number.
    let json =
        columns(|name| format!("\"{name}\":"), |field| format!("'{}'", TYPES.of(field.kind)));
    let times: Vec<String> = super::fields::fields()
        .iter()
        .filter(|field| field.kind == Kind::Time)
        .map(|field| format!("make_timestamp_ns(\"{0}\") AS \"{0}\"", field.name))
        .collect();
    format!(
        "-- JSON lines (--sink jsonl). Times are UTC, with all their digits.\n\
         CREATE OR REPLACE VIEW bars AS\nSELECT * REPLACE (\n{}\n)\n\
         FROM read_json('bars.jsonl', format = 'newline_delimited', columns = {{\n{}\n}});\n\n\
         -- Parquet (--sink parquet): types, digests and times are in the files.\n\
         -- CREATE OR REPLACE VIEW bars AS\n\
         -- SELECT * FROM read_parquet('bars/**/*.parquet', hive_partitioning = false);\n\n\
         -- The current bars: without corrections they are all bars. Join on known_time, never on open_time.\n\
         CREATE OR REPLACE VIEW current_bars AS\n\
         SELECT * FROM bars\n\
         QUALIFY row_number() OVER (PARTITION BY bar_id ORDER BY revision DESC, retracts DESC) = 1\n\
         AND NOT retracts;\n",
        list(&times),
        list(&json),
    )
}
