//! Several instruments in the order of event time: whose trades are read next, and when a bar may leave.
//!
//! ```text
//! files of each instrument ─► turns: the instrument furthest behind ─► bars ─► merge ─► bars of all
//! ```
//!
//! Both are plain machines. [`Turns`](turns::Turns) keeps the instruments close together, so that few bars wait;
//! [`Merge`](merge::Merge) makes the order, whatever was read when.

pub mod clock;
pub mod expected;
pub mod merge;
pub mod turns;
