//! Files in, files out: no exchange, no broker.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod changed_files;
mod cli;
mod colours;
mod columns;
mod contract;
mod daily;
mod destroy;
mod encodings;
mod ends;
mod files;
mod first_hour;
mod foreign_files;
mod graph;
mod graph_checkpoints;
mod histories;
mod hostile;
mod left_out;
mod misread;
mod mutations;
mod order_rule;
mod outputs;
mod oversized;
mod pages;
mod parallel;
mod paths;
mod peers_dvc;
mod peers_store;
mod progress;
mod quality;
mod quality_conflicts;
mod quality_graph;
mod quality_gx;
mod store;
mod store_edges;
mod strangers;
mod supply_chain;
mod sweep;
mod sweep_compared;
mod sync_report;
mod three_columns;
mod tidy;
mod times;
