//! Validates files against expectation suites and reports the result (`barflow quality`).
//!
//! ```text
//! files, folders, a store ─► inputs ─► one judge per instrument (operators::quality) ─► report
//!                              └─────► checksums, recorded rows ─────────────────────┘
//! ```
//!
//! **Invariant:** the judging itself is `operators::quality`, the same machine as in the live graph;
//! here are files and forms.

pub mod files;
pub mod footer;
pub mod gx;
pub mod html;
pub mod inputs;
pub mod json;
pub mod judged;
pub mod manifest;
pub mod plots;
pub mod report;
pub mod run;
pub mod table;
