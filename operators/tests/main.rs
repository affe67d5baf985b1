//! The tests of the operators, as one program.
#![allow(clippy::unwrap_used, missing_docs)]

mod agreement;
mod behaviour;
mod checkpoint;
mod compat_properties;
mod ends;
mod generate;
mod golden;
mod golden_finmlkit;
mod golden_mlfinlab;
mod golden_nautilus;
mod golden_predecessor;
mod golden_risklabai;
mod market;
mod oracle;
mod parallel;
mod properties;
mod quality;
mod revisions;
mod scripts;
mod sweep;
mod synchronisation;
