//! Running a replay or a live job, from validated settings to a report.
//!
//! ```text
//! settings ─► source ─┐
//!                     ├─► start: fence, meet the other processes, restore ─► graph ─► report
//! settings ─► sink ───┘
//! ```
//!
//! The command line is one caller among others: what was typed, signals, progress bars, the text of
//! the summary and exit codes are its own business.
//!
//! **Invariant:** nothing here knows clap, signals, standard error or exit codes.

pub mod bad_share;
mod cluster;
pub mod corrections;
pub mod error;
pub mod live;
pub mod observer;
pub mod outputs;
mod places;
mod progress_path;
pub mod rejects;
pub mod replay;
pub mod report;
pub mod sink;
pub mod source;
pub mod start;

pub use error::JobError;
pub use live::LiveJob;
pub use observer::{Observer, Silent};
pub use replay::ReplayJob;
pub use report::{JobReport, Notice};
