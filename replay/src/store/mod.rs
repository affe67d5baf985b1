//! A trade store: a folder of trades as Parquet, one file per instrument and day (month, year).
//!
//! ```text
//! STORE/archive/data/spot/daily/…          archives as published       (`barflow fetch`)
//! STORE/manifest.jsonl                     what is known of them
//! STORE/trades/binance/spot/trades/BTCUSDT/BTCUSDT-trades-2024-03-01.parquet
//! STORE/conversions.jsonl                  which archives became which files
//! ```
//!
//! Files describe themselves (their metadata: [`Facts`](crate::trades_parquet::facts::Facts)); nothing
//! but the journal of conversions is kept beside them. A file has its name only when it was written,
//! made durable, read back and found equal.

pub mod audit;
pub mod claim;
pub mod compact;
pub mod convert;
pub mod days;
pub mod journal;
pub mod layout;
pub mod resets;
pub mod series;
pub mod work;
