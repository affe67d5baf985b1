//! Many configurations in one pass over the trades.
//!
//! ```text
//! batch ─► signed flow x, once per measure and sign rule ─┬─► tiles: 16 wald builders side by side
//!                                                         └─► plain builders: every other rule
//!                                                                │
//!                                                            closes: configuration, row, digest
//! ```
//!
//! **Invariant:** the bits of a configuration's state are those of its own
//! [`BarMachine`](crate::bars::machine::BarMachine) at every trade; tests compare bars one by one.

pub mod builder_batch;
pub mod close;
mod flows;
mod kernel;
mod tile;

pub use self::builder_batch::BuilderBatch;
pub use self::close::Close;
pub use self::kernel::Features;
