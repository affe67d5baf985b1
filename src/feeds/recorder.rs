//! Frames on their way into a recording.

use crossbeam::channel::Sender;

use crate::capture::{Direction, Recorded};

/// The sockets' end of a recording: cheap to clone, and blocks when the disk cannot keep up.
#[derive(Clone, Debug)]
pub struct Recorder(Sender<Recorded>);

impl Recorder {
    /// Sends frames there.
    pub fn new(to: Sender<Recorded>) -> Self {
        Self(to)
    }

    /// Takes a frame.
    pub fn take(&self, recv_time: i64, connection: u32, direction: Direction, frame: &[u8]) {
        let recorded = Recorded { recv_time, connection, direction, frame: frame.to_vec() };
        // Fails only when the writer is gone; it has said why and raised the stop flag.
        let _ = self.0.send(recorded);
    }
}
