//! Corrections and revisions: late, missing and corrected trades.
//!
//! ```text
//! correction ─► roll back to the retained state before it ─► feed the trades again
//!                  ─► compare bar by bar ─► stop where the digests agree ─► −1 / +1
//! ```
//!
//! Adaptive bars depend on all history, but they forget it (docs/BARS.md, self-synchronisation):
//! once the builder that took the corrected trades closes a bar on the same trade and in the same
//! state as the one before, nothing differs from there on. So a correction costs about as much as
//! the stretch that it changes.

mod block;
pub mod correction;
pub mod missing;
pub mod retained;
pub mod update;
mod walk;

pub use self::correction::{Change, Correction, CorrectionOutcome, Refusal};
pub use self::missing::ids_of;
pub use self::retained::{Retained, Window};
pub use self::update::{Revision, Update};
