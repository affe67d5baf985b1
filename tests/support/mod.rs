//! What the test programs share. Each uses a part of it.
#![allow(dead_code, unused_imports)]

pub mod archives;
pub mod avro;
pub mod bars;
pub mod days;
pub mod graph_runs;
pub mod hanging;
pub mod jobs;
pub mod kafka;
pub mod kills;
pub mod live;
pub mod lives;
pub mod mangled;
pub mod members;
pub mod once;
pub mod peers;
pub mod process;
pub mod progress;
pub mod protocols;
pub mod real;
pub mod registry;
pub mod rights;
pub mod rows;
pub mod scripted;
pub mod scripted_http;
pub mod servers;
pub mod shapes;
pub mod simulator;
pub mod spoiled;
pub mod tls;
pub mod transactions;
pub mod wire;
