//! The tests of reading files, as one program.
#![allow(clippy::unwrap_used, missing_docs)]

mod both_ways;
mod changed;
mod damage;
mod histories;
mod reading;
