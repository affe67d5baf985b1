//! The dataflow operators: thin drivers of the pure rules.
//!
//! ```text
//! inputs ─► quality (if expectations are held against the input) ─► counts per day (differential)
//!              │
//!              ▼
//! inputs ─► validate ─► sequenced trades ─► bars ─► ±bars (differential)
//!              ├─► rejects                   └────► progress: how far each instrument is
//!              └─► facts ─► ledger (differential counts)
//!
//! inputs with its bars ─► built ─► the same outputs, made beforehand by threads that shared the history
//! ```
//!
//! **Invariant:** here and in the root package's `graph` are the only uses of timely and
//! differential. Logical time is an [`Epoch`], the ordinal of an input batch; event time is data.
//! What depends on order (sequence, bars) is a timely operator over one ordered source per
//! instrument; what does not (counts, gaps) is a differential collection.

pub mod bars;
pub mod built;
pub mod daily;
pub(crate) mod leaving;
pub mod ledger;
pub mod out;
mod outputs;
pub mod quality;
pub mod validate;

/// Logical time: the ordinal of an input batch, over all sources of a process.
pub type Epoch = u64;
