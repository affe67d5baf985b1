//! Frames on their way into a recording, and the thread that writes them.

use std::io;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::writer::{Limits, Writer};
use super::{Direction, Recorded, RecordingError};
use crate::stop::Stop;

/// Frames that may wait for the disk.
const QUEUE: usize = 65_536;

/// The longest that a frame of a quiet feed waits before it can be read from the file.
const IDLE: Duration = Duration::from_secs(1);

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
        // Fails only when the writer is gone; the error is reported by [`Recording::finish`].
        let _ = self.0.send(recorded);
    }
}

/// A recording under way.
pub struct Recording(JoinHandle<io::Result<Vec<PathBuf>>>);

/// Starts writing into `folder`, files named `stem-TIME.capture.zst`, a new one every UTC hour and
/// every 256 MB. When the disk refuses, the stop flag goes up.
///
/// # Errors
/// When the folder cannot be made.
pub fn start(folder: &Path, stem: &str, stop: &Stop) -> io::Result<(Recorder, Recording)> {
    std::fs::create_dir_all(folder)?;
    let writer = Writer::new(folder, stem, Limits::default())?;
    let (send, frames) = bounded::<Recorded>(QUEUE);
    let stop = stop.clone();
    let thread = std::thread::Builder::new().name("record".to_owned()).spawn(move || {
        write_all(&frames, writer).map_err(|error| {
            let error = io::Error::from(error);
            stop.fail(io::Error::new(error.kind(), error.to_string()));
            error
        })
    })?;
    Ok((Recorder::new(send), Recording(thread)))
}

impl Recording {
    /// Waits for the last frame to be written; every [`Recorder`] must be gone. Returns the files.
    ///
    /// # Errors
    /// When the disk refused.
    pub fn finish(self) -> io::Result<Vec<PathBuf>> {
        self.0.join().unwrap_or_else(|_| Err(io::Error::other("the recording thread panicked")))
    }
}

/// Writes until every recorder is gone.
fn write_all(
    frames: &Receiver<Recorded>,
    mut writer: Writer,
) -> Result<Vec<PathBuf>, RecordingError> {
    loop {
        let Ok(first) = frames.recv() else { return writer.finish() };
        writer.write(&first)?;
        // From the first frame of a block, not from the last: a trickle must not put it off.
        let due = Instant::now() + IDLE;
        while writer.is_pending() {
            match frames.recv_deadline(due) {
                Ok(frame) => writer.write(&frame)?,
                Err(RecvTimeoutError::Timeout) => writer.flush()?,
                Err(RecvTimeoutError::Disconnected) => return writer.finish(),
            }
        }
    }
}
