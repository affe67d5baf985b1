//! Downloads Binance's public archive of trades and verifies every file.
//!
//! ```text
//! what is wanted ─┐
//! listing ────────┼─► plan ─► transfers (several at once) ─► STORE/archive/data/…  + .CHECKSUM
//! what is here ───┘               │                          STORE/manifest.jsonl
//!                                 └─ partial file, hashed as it grows; its name when the hash is right
//! ```
//!
//! Source: github.com/binance/binance-public-data. The archive is a bucket that lists its keys as S3
//! does (docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjects.html); where there is no such
//! listing, single files are asked for.

pub mod client;
pub mod error;
pub mod limits;
pub mod listing;
pub mod manifest;
pub mod place;
pub mod plan;
pub mod response;
pub mod run;
pub mod survey;
pub mod transfer;
mod waiting;
