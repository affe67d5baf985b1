//! What goes over a connection between processes: encrypted frames, each a length (u16, big-endian) and as many
//! bytes. They can neither be read, changed, repeated, left out nor put in another order without notice.

use std::sync::Arc;

use snow::StatelessTransportState;

/// Bytes of a frame's length.
const LENGTH: usize = 2;

/// Bytes that authenticate a frame.
const TAG: usize = 16;

/// Most bytes that fit into a frame.
pub const MOST: usize = u16::MAX as usize - TAG;

/// Bytes that are not what the other side has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A length that no frame has here.
    #[error("it sent a frame of {length} bytes; {TAG} to {longest} are possible")]
    Length {
        /// As it was sent.
        length: usize,
        /// Longest possible.
        longest: usize,
    },
    /// Not encrypted with the key of this connection, or not the next frame.
    #[error("it sent a frame that is not authentic")]
    Forged,
    /// More than a frame holds was to be sent.
    #[error("a frame cannot hold {0} bytes")]
    TooMuch(usize),
}

/// The sending side.
pub struct Sealer {
    session: Arc<StatelessTransportState>,
    /// Number of the next frame.
    number: u64,
    frame: Vec<u8>,
}

/// The receiving side.
pub struct Opener {
    session: Arc<StatelessTransportState>,
    /// Number of the next frame.
    number: u64,
    /// Longest frame taken.
    longest: usize,
    frame: Vec<u8>,
    plain: Vec<u8>,
}

/// Both sides of a session that has just begun. Frames of a greeting are no longer than `longest`.
pub(super) fn open(session: StatelessTransportState, longest: usize) -> (Sealer, Opener) {
    let session = Arc::new(session);
    let sealer = Sealer { session: Arc::clone(&session), number: 0, frame: Vec::new() };
    (sealer, Opener { session, number: 0, longest, frame: Vec::new(), plain: Vec::new() })
}

impl Sealer {
    /// The next frame, with these bytes in it.
    ///
    /// # Errors
    /// When they are more than [`MOST`].
    pub fn seal(&mut self, bytes: &[u8]) -> Result<&[u8], FrameError> {
        self.frame.resize(LENGTH + bytes.len() + TAG, 0);
        let sealed = self.session.write_message(self.number, bytes, &mut self.frame[LENGTH..]);
        let sealed = sealed.map_err(|_| FrameError::TooMuch(bytes.len()))?;
        let length = u16::try_from(sealed).map_err(|_| FrameError::TooMuch(bytes.len()))?;
        self.frame[..LENGTH].copy_from_slice(&length.to_be_bytes());
        self.frame.truncate(LENGTH + sealed);
        self.number += 1;
        Ok(&self.frame)
    }
}

impl Opener {
    /// How many bytes are needed next: never more than belong to the current frame.
    pub fn wanted(&self) -> usize {
        match self.length() {
            None => LENGTH - self.frame.len(),
            Some(length) => LENGTH + length - self.frame.len(),
        }
    }

    /// Whether no frame has begun.
    pub fn is_between_frames(&self) -> bool {
        self.frame.is_empty()
    }

    /// Frames of any length from now on.
    pub(super) fn take_any_length(&mut self) {
        self.longest = u16::MAX.into();
    }

    /// Takes bytes of the current frame, which [`Opener::wanted`] are; true if it is complete with them.
    ///
    /// # Errors
    /// When the frame is not the other side's next one.
    pub fn take(&mut self, bytes: &[u8]) -> Result<bool, FrameError> {
        self.frame.extend_from_slice(bytes);
        let Some(length) = self.length() else { return Ok(false) };
        if length < TAG || length > self.longest {
            return Err(FrameError::Length { length, longest: self.longest });
        }
        if self.frame.len() < LENGTH + length {
            return Ok(false);
        }
        self.plain.resize(length, 0);
        let sealed = &self.frame[LENGTH..LENGTH + length];
        let opened = self.session.read_message(self.number, sealed, &mut self.plain);
        let opened = opened.map_err(|_| FrameError::Forged)?;
        self.plain.truncate(opened);
        self.number += 1;
        self.frame.clear();
        Ok(true)
    }

    /// What the last complete frame holds.
    pub fn plain(&self) -> &[u8] {
        &self.plain
    }

    fn length(&self) -> Option<usize> {
        let length = self.frame.first_chunk::<LENGTH>()?;
        Some(u16::from_be_bytes(*length).into())
    }
}
