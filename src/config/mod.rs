//! Settings: flags override the environment, which overrides the file, which overrides defaults.
//!
//! Everything is read before anything is done, and all problems are reported at once, each with
//! the place it came from, the key, the value and the rule. After that no module sees raw text.

pub mod bar_help;
pub mod bar_kinds;
pub mod bars;
pub mod cluster;
pub mod delivery;
pub mod durations;
pub mod feeds;
pub mod file;
pub mod instant;
pub mod instruments;
pub mod kafka;
mod limits;
pub mod live;
pub mod max_bad;
pub mod problem;
pub mod quality;
pub mod read_order;
pub mod replay;
pub mod revisions;
pub mod section;
pub mod sink_kind;
pub mod sweep;
pub mod targets;
