//! Bar builders as pure state machines: trades in, bars out.
//!
//! A [`rule::Rule`] says when to close and what to learn; [`builder::Builder`] is the frame all
//! rules share; [`machine::BarMachine`] is any of them.

pub mod boundary;
pub mod builder;
#[cfg(feature = "compat")]
pub mod compat;
pub mod expected_ticks;
pub mod filled;
pub mod fixed;
pub mod flow_moments;
pub mod machine;
pub mod product;
pub mod round;
pub mod rule;
pub mod runs;
pub mod size;
pub mod wald;
