//! Names of all metrics: `barflow_<part>_<noun>_<unit>[_total]`. docs/live.md lists them.
#![allow(missing_docs)] // Each name says what it counts; the table in docs/live.md says more.

pub const QUALITY: &str = "barflow_data_quality_score";
pub const FRAMES: &str = "barflow_feed_frames_total";
pub const TRADES: &str = "barflow_feed_trades_total";
pub const EXCLUDED: &str = "barflow_feed_excluded_total";
pub const DUPLICATES: &str = "barflow_feed_duplicates_total";
pub const OTHER_MESSAGES: &str = "barflow_feed_other_messages_total";
pub const UNKNOWN_MESSAGES: &str = "barflow_feed_unknown_messages_total";
pub const BAD_FRAMES: &str = "barflow_feed_bad_frames_total";
pub const BAD_ROWS: &str = "barflow_feed_bad_rows_total";
pub const FOREIGN_ROWS: &str = "barflow_feed_foreign_rows_total";
pub const CONNECTS: &str = "barflow_feed_connects_total";
pub const CONNECT_FAILURES: &str = "barflow_feed_connect_failures_total";
pub const DISCONNECTS: &str = "barflow_feed_disconnects_total";
pub const REFUSALS: &str = "barflow_feed_refusals_total";
pub const REFUSED: &str = "barflow_feed_refused";
pub const CONNECTIONS: &str = "barflow_feed_connections";
pub const GAPS_OPENED: &str = "barflow_feed_gaps_opened_total";
pub const GAPS_FILLED: &str = "barflow_feed_gaps_filled_total";
pub const GAPS_GIVEN_UP: &str = "barflow_feed_gaps_given_up_total";
pub const NOT_COMPARED: &str = "barflow_feed_duplicates_by_id_total";
pub const CONFLICTS: &str = "barflow_feed_conflicts_total";
pub const IDS_ANEW: &str = "barflow_feed_id_resets_total";
pub const LAG: &str = "barflow_feed_lag_seconds";
pub const GAP_HEALING: &str = "barflow_feed_gap_healing_seconds";
pub const BACKFILLED_TRADES: &str = "barflow_feed_backfilled_trades_total";
pub const BACKFILL_REQUESTS: &str = "barflow_feed_backfill_requests_total";
pub const BACKFILL_FAILURES: &str = "barflow_feed_backfill_failures_total";
