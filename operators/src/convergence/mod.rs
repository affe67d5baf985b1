//! When builders that began at different trades become the same builder.
//!
//! [`estimate`] says from a specification after how many trades to expect it, [`measure`] measures
//! it on a stream, [`monitor`] watches for it beside a builder that is at work.
//!
//! **Invariant:** two builders agree when they close a bar on the same trade in the same state; no
//! estimate replaces that comparison.

pub mod estimate;
pub mod measure;
pub mod monitor;
