//! Recorded connections: raw frames with the times at which they came.

pub mod record;

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
}
