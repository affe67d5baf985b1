//! Bars as JSON lines, on standard output or in a file.

use std::fs::File;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::Path;

use super::atomic_file::{AtomicFile, refused};
use super::json_lines::write_line;
use super::record::BarRecord;
use crate::graph::sink::{BarSink, Commit, SinkError, SinkReport};

/// One JSON object a line, fields as in [`BarRecord`].
#[derive(Debug)]
pub struct JsonLines {
    to: Target,
    bars: u64,
}

#[derive(Debug)]
enum Target {
    /// Locked anew for each commit: the sink lives on another thread than its maker.
    Stdout,
    File(Option<(AtomicFile, BufWriter<File>)>),
}

impl JsonLines {
    /// Writes to standard output, flushed at each commit.
    pub fn stdout() -> Self {
        Self { to: Target::Stdout, bars: 0 }
    }

    /// Writes to a file that appears when the run is over.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn file(path: &Path) -> Result<Self, SinkError> {
        let (atomic, file) = AtomicFile::create(path)?;
        let writer = BufWriter::with_capacity(1 << 18, file);
        Ok(Self { to: Target::File(Some((atomic, writer))), bars: 0 })
    }
}

impl BarSink for JsonLines {
    fn commit(&mut self, commit: &Commit) -> Result<(), SinkError> {
        match &mut self.to {
            Target::Stdout if commit.bars.is_empty() => {}
            Target::Stdout => {
                let mut out = BufWriter::<StdoutLock<'_>>::new(io::stdout().lock());
                write_bars(&mut out, commit).and_then(|()| out.flush()).map_err(stdout_error)?;
            }
            Target::File(Some((atomic, out))) => {
                write_bars(out, commit).map_err(|e| refused("write", atomic.path(), &e))?;
            }
            Target::File(None) => {}
        }
        self.bars += commit.bars.len() as u64;
        Ok(())
    }

    fn finish(&mut self) -> Result<SinkReport, SinkError> {
        let place = match &mut self.to {
            Target::Stdout => "standard output".to_owned(),
            Target::File(open) => match open.take() {
                Some((atomic, mut out)) => {
                    out.flush().map_err(|e| refused("write", atomic.path(), &e))?;
                    atomic.commit(out.get_ref())?.display().to_string()
                }
                None => return Ok(SinkReport { bars: self.bars, places: Vec::new() }),
            },
        };
        Ok(SinkReport { bars: self.bars, places: vec![place] })
    }
}

fn write_bars(out: &mut impl Write, commit: &Commit) -> io::Result<()> {
    for (bar, diff) in &commit.bars {
        write_line(out, &BarRecord::of(bar, *diff))?;
    }
    Ok(())
}

fn stdout_error(error: io::Error) -> SinkError {
    if error.kind() == io::ErrorKind::BrokenPipe {
        SinkError::ClosedPipe
    } else {
        SinkError::Refused(format!("could not write to standard output: {error}"))
    }
}
