//! What a run needs to resume as if it had never stopped: one instrument at a time.
//!
//! ```text
//! OrderedBatch ─► InstrumentState ─► bars
//!                 │ cut
//!                 ▼
//!              Record: the whole state, or the trades since the last whole one
//! ```
//!
//! Instruments do not know of each other, so a checkpoint is consistent when each instrument's part
//! is: its state, its position and the bars that left it. Which worker kept it does not matter.

pub mod envelope;
pub mod instrument_state;
pub mod record;
