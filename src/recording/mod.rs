//! Recordings of connections: raw frames with their times of receipt.
//!
//! [`reader::open`] reads the recordings of this program, of cryptofeed and of hftbacktest, packed or
//! plain; [`writer::Writer`] writes our own (described in [`native`]); [`recorder`] is the thread that
//! takes frames from the sockets. No clock is read here: times are those of the frames.

pub mod cryptofeed;
mod error;
pub mod hftbacktest;
pub mod native;
pub mod reader;
pub mod recorder;
mod recv_time;
pub mod writer;

pub use error::RecordingError;

/// One line of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// When it came (or was sent), in ns since the Unix epoch.
    pub recv_time: i64,
    /// Number of the connection within the recording, from 0.
    pub connection: u32,
    /// Who said it.
    pub direction: Direction,
    /// The frame as it was.
    pub frame: Vec<u8>,
}

/// Which way a recorded frame went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The client connected; the frame is the URL.
    Connect,
    /// From the client to the venue.
    Sent,
    /// From the venue to the client.
    Received,
    /// From the venue to the client, but over REST: the frame is the body of the answer. Only
    /// recordings of other programs hold such frames.
    Answer,
}
