//! What leaves the builders.

use super::Epoch;
use crate::checkpoint::instrument_state::SealedRecord;
use crate::end::Unfinished;
use crate::instrument::InstrumentId;
use crate::position::Position;
use crate::progress::Progress;
use crate::published::PublishedBar;

/// A bar as a differential update: +1 published, −1 retracted by a later correction.
pub type BarUpdate = (PublishedBar, Epoch, isize);

/// What a worker has decided, in one order: a bar, then the position of the input that closed it; a
/// report, or a cut, after everything that it covers.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // Most are bars.
pub enum Out {
    /// A bar. In order per instrument and specification.
    Bar(BarUpdate),
    /// How far an instrument's input is applied: its bars are complete through the position's trade.
    Progress(InstrumentId, Position),
    /// How far bars are complete, for readers: all of them were given before.
    Report(Vec<Progress>),
    /// What is left of an instrument's builders at the end of its input.
    Left(InstrumentId, Vec<Unfinished>),
    /// A checkpoint, which makes everything before it count as a whole: every instrument of this
    /// worker that has moved since the cut before. None without checkpoints.
    Cut(Vec<SealedRecord>),
}

impl Out {
    /// The bar, if it is one.
    pub fn bar(&self) -> Option<&BarUpdate> {
        match self {
            Self::Bar(update) => Some(update),
            Self::Progress(..) | Self::Report(_) | Self::Left(..) | Self::Cut(_) => None,
        }
    }
}
