//! The servers that barflow is tested against, without the internet: an exchange simulator, which
//! speaks the venues' protocols and plays trades through them, and an archive server. Both inject
//! faults.
//!
//! A crate of its own, which cannot use the decoders and clients that it tests: an error that both
//! sides shared would go unnoticed.

pub mod archive;
pub mod exchange;
pub mod fault_text;
pub mod serving;
