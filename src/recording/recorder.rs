//! Frames on their way into a recording, and the thread that writes them.

use std::io;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::writer::{Limits, Writer};
use super::{Direction, Recorded, RecordingError};
use crate::budget::Budget;
use crate::stop::Stop;

/// Frames that may wait for the disk.
const QUEUE: usize = 65_536;

/// Bytes of them. A venue may send frames of megabytes.
const QUEUE_BYTES: usize = 64 << 20;

/// The longest that a frame of a quiet feed waits before it can be read from the file.
const IDLE: Duration = Duration::from_secs(1);

/// The sockets' end of a recording: cheap to clone, and blocks when the disk cannot keep up.
#[derive(Clone, Debug)]
pub struct Recorder {
    to: Sender<Recorded>,
    bytes: Budget,
}

impl Recorder {
    /// Sends frames there; the receiver takes the length of each off `bytes`.
    pub fn new(to: Sender<Recorded>, bytes: Budget) -> Self {
        Self { to, bytes }
    }

    /// Takes a frame.
    pub fn take(&self, recv_time: i64, connection: u32, direction: Direction, frame: &[u8]) {
        let recorded = Recorded { recv_time, connection, direction, frame: frame.to_vec() };
        self.bytes.enter(frame.len());
        // Fails only when the writer is gone; the error is reported by [`Recording::finish`].
        let _ = self.to.send(recorded);
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
    let bytes = Budget::new(QUEUE_BYTES);
    let waiting = Waiting { frames, bytes: bytes.clone() };
    let stop = stop.clone();
    let thread = std::thread::Builder::new().name("record".to_owned()).spawn(move || {
        write_all(&waiting, writer).map_err(|error| {
            let error = io::Error::from(error);
            stop.fail(io::Error::new(error.kind(), error.to_string()));
            error
        })
    })?;
    Ok((Recorder::new(send, bytes), Recording(thread)))
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

/// Frames that wait for the disk.
struct Waiting {
    frames: Receiver<Recorded>,
    bytes: Budget,
}

impl Waiting {
    /// One that has come; its room is free.
    fn taken(&self, recorded: Recorded) -> Recorded {
        self.bytes.leave(recorded.frame.len());
        recorded
    }
}

/// Writes until every recorder is gone.
fn write_all(waiting: &Waiting, mut writer: Writer) -> Result<Vec<PathBuf>, RecordingError> {
    let _closing = waiting.bytes.until_dropped();
    let frames = &waiting.frames;
    loop {
        let Ok(first) = frames.recv() else { return writer.finish() };
        writer.write(&waiting.taken(first))?;
        // From the first frame of a block, not from the last: a trickle must not put it off.
        let due = Instant::now() + IDLE;
        while writer.is_pending() {
            match frames.recv_deadline(due) {
                Ok(frame) => writer.write(&waiting.taken(frame))?,
                Err(RecvTimeoutError::Timeout) => writer.flush()?,
                Err(RecvTimeoutError::Disconnected) => return writer.finish(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames may have megabytes each, and tens of thousands may wait.
    #[test]
    fn frames_that_wait_for_the_disk_are_bounded_by_their_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (send, frames) = bounded::<Recorded>(QUEUE);
        let bytes = Budget::new(100);
        let recorder = Recorder::new(send, bytes.clone());
        recorder.take(1, 0, Direction::Received, &[b'x'; 90]);
        assert!(!bytes.enter_within(11, Duration::ZERO), "a frame more has to wait");
        let writer = Writer::new(folder.path(), "x", Limits::default()).unwrap();
        let waiting = Waiting { frames, bytes: bytes.clone() };
        std::thread::scope(|threads| {
            let writing = threads.spawn(move || write_all(&waiting, writer).unwrap());
            for _ in 0..20 {
                recorder.take(2, 0, Direction::Received, &[b'y'; 90]);
            }
            drop(recorder);
            assert_eq!(writing.join().unwrap().len(), 1);
        });
    }
}
