//! What several test binaries share. Each uses a part of it.
#![allow(dead_code, unused_imports)]

pub mod avro;
pub mod bars;
pub mod graph_runs;
pub mod kafka;
pub mod live;
pub mod shapes;
pub mod venue;
