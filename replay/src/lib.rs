//! Historical trade files in, trades out.
//!
//! ```text
//! names, folders, patterns ─► plan ─► per instrument: verify ─► decode ─► rows ─► inputs
//!                                        (next file)  (own thread)  (columns)
//! ```
//!
//! A [`plan::Plan`] says which files make up each instrument's history, in which order; the
//! [`planner`] makes it, and an [`stream::InstrumentStream`] reads them. Every valid row becomes a
//! trade in a column batch, every other row a reject with its line; nothing is lost and nothing
//! panics.
//!
//! **Invariant:** no dataflow, no Kafka, no thresholds. Repeats and gaps of ids are judged later,
//! where live feeds are judged too.

pub mod atomic_file;
mod backwards;
pub mod binance;
pub mod checksum;
pub mod chunks;
pub mod columns;
mod continued;
pub mod corrections;
pub mod decode;
pub mod error;
pub mod file_part;
pub mod files;
pub mod find;
pub mod history;
pub mod lean;
pub mod line_end;
mod margin;
pub mod members;
mod merge;
pub mod named;
mod named_days;
pub mod naming;
mod numbers;
pub mod output;
pub mod parquet_footer;
pub mod parquet_guard;
mod parquet_pages;
mod parquet_thrift;
pub mod plan;
pub mod plan_note;
pub mod planner;
pub mod progress;
pub mod read_options;
pub mod recognise;
pub mod resume;
pub mod rows;
mod rows_of_file;
pub mod sniff;
pub mod spool;
pub mod store;
pub mod stream;
pub mod synth;
pub mod table;
mod table_format;
mod tardis;
pub mod threads;
mod time_order;
pub mod told;
pub mod trades_parquet;
pub mod unchanged;
mod wanted_end;
