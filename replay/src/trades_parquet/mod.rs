//! barflow's own trades as Parquet: written by `--sink-trades`, read back faster than any text.
//!
//! Columns: `trade_id` (u64), `event_time` (timestamp, UTC; ns, or µs where the venue has no more),
//! `price`, `qty` (f64), `aggressor` (i8: +1 buyer, −1 seller, 0 unknown), `count` (u32, aggregates
//! only), `quote` (f64, only where it is not `price * qty`). File metadata under `barflow.*` says
//! what the trades have in common, and seals the file: a flipped bit anywhere is found.

pub mod digest;
pub mod facts;
mod layout;
pub mod left_out;
pub mod read;
pub(crate) mod seal;
pub mod verify;
pub mod write;

/// Key of the feed, as JSON, in the file's metadata.
const FEED_KEY: &str = "barflow.feed";
/// Key of the layout's version.
const VERSION_KEY: &str = "barflow.trades_version";
/// Version of the layout.
const VERSION: &str = "1";
