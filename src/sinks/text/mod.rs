//! Bars as lines of text, JSON or CSV, on standard output or in a file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use barflow_replay::files::Access;
use barflow_replay::output::{Output, Stream, Writing, open_output, standard_output};

use super::atomic_file::{AtomicFile, refused};
use super::encode::json::{self, Int64};
use super::in_place;
use super::record::BarRecord;
use crate::graph::sink::{BarSink, Commit, SinkError, SinkReport};
use crate::standard_output;
use crate::stop::Stop;
use crate::telemetry::terminal::above;

pub mod csv;

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFormat {
    /// One JSON object, fields as in [`BarRecord`].
    Json(Int64),
    /// The cells of a row; the first row names them.
    Csv,
}

/// One bar a line.
#[derive(Debug)]
pub struct TextBars {
    format: LineFormat,
    to: Target,
    /// Whether the names of the columns are written, or none are needed.
    headed: bool,
    bars: u64,
}

#[derive(Debug)]
enum Target {
    /// Standard output.
    Stdout {
        /// Where it leads.
        to: Output,
        /// Whether it is a terminal, which may have a line that redraws itself.
        is_terminal: bool,
    },
    /// Appears when the run is over.
    Atomic(Option<(AtomicFile, BufWriter<File>)>),
    /// Grows with every commit.
    Growing(PathBuf, File),
    /// A pipe or device that was named.
    Stream(PathBuf, Stream),
}

impl LineFormat {
    /// Writes a bar, and before it the names of the columns unless they are `headed`.
    ///
    /// # Errors
    /// When the writer refuses.
    pub fn write(
        self,
        out: &mut impl Write,
        record: &BarRecord<'_>,
        headed: &mut bool,
    ) -> io::Result<()> {
        match self {
            Self::Json(int64) => {
                json::write(&mut *out, record, int64)?;
                out.write_all(b"\n")
            }
            Self::Csv => {
                if !std::mem::replace(headed, true) {
                    csv::write_header(out, record)?;
                }
                csv::write_row(out, record)
            }
        }
    }

    /// Whether a file that begins with this line is one of ours.
    fn begins(self, line: &str) -> bool {
        match self {
            Self::Json(_) => line.starts_with("{\"spec\":"),
            Self::Csv => line.starts_with("spec,instrument,"),
        }
    }
}

impl TextBars {
    /// Writes to standard output, flushed at each commit. Once the end was asked for, a reader that takes
    /// nothing is not waited for.
    ///
    /// # Errors
    /// When there is no standard output.
    pub fn stdout(format: LineFormat, stop: &Stop) -> Result<Self, SinkError> {
        if standard_output::was_closed() {
            let text =
                "standard output is closed; name a file with --out, or use --sink none for no bars";
            return Err(SinkError::Refused(text.to_owned()));
        }
        let is_terminal = io::stdout().is_terminal();
        let to = standard_output(&stop.flag().into()).map_err(stdout_error)?;
        Ok(Self { format, to: Target::Stdout { to, is_terminal }, headed: false, bars: 0 })
    }

    /// Writes to a file that appears when the run is over.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn file(path: &Path, format: LineFormat) -> Result<Self, SinkError> {
        let (atomic, file) = AtomicFile::create(path)?;
        let writer = BufWriter::with_capacity(1 << 18, file);
        Ok(Self { format, to: Target::Atomic(Some((atomic, writer))), headed: false, bars: 0 })
    }

    /// Adds to a file, which can be read at any time: bars of a live run that keeps no checkpoints.
    /// What a run that was killed left of a line goes. A pipe is waited for until the run is stopped.
    ///
    /// # Errors
    /// When the file cannot be written, or is not one of bars in this format.
    pub fn grow(path: &Path, format: LineFormat, stop: &Stop) -> Result<Self, SinkError> {
        let disk = |error: io::Error| refused("write", path, &error);
        super::create_folder_of(path)?;
        let opened = open_output(path, Access::Usual, Writing::Update, &stop.flag().into());
        let mut file = match opened.map_err(disk)? {
            Output::File(file) => file,
            Output::Stream(stream) => {
                let to = Target::Stream(path.to_owned(), stream);
                return Ok(Self { format, to, headed: false, bars: 0 });
            }
        };
        let whole = whole_lines(&mut file).map_err(disk)?;
        let mut first = String::new();
        file.seek(SeekFrom::Start(0)).map_err(disk)?;
        // Bytes that are not text are not ours either.
        let read = BufReader::new((&file).take(1 << 16)).read_line(&mut first);
        let is_empty = file.metadata().map_err(disk)?.len() == 0;
        if !is_empty && (read.is_err() || !format.begins(&first)) {
            return Err(SinkError::Settings(vec![format!(
                "\"{}\" exists and does not hold bars in this format; a live run only adds to its \
                 own files: name another --out",
                path.display()
            )]));
        }
        file.set_len(whole).and_then(|()| file.seek(SeekFrom::End(0))).map_err(disk)?;
        let to = Target::Growing(path.to_owned(), file);
        Ok(Self { format, to, headed: whole > 0, bars: 0 })
    }

    fn write_bars(&mut self, commit: &Commit) -> Result<(), SinkError> {
        let (format, headed) = (self.format, &mut self.headed);
        let mut lines = |out: &mut dyn Write| -> io::Result<()> {
            let mut out = out;
            for (bar, diff) in &commit.bars {
                format.write(&mut out, &BarRecord::of(bar, *diff), headed)?;
            }
            Ok(())
        };
        match &mut self.to {
            Target::Stdout { to, is_terminal } => {
                let write = || {
                    let mut out = BufWriter::new(to);
                    lines(&mut out).and_then(|()| out.flush())
                };
                if *is_terminal { above(write) } else { write() }.map_err(stdout_error)
            }
            Target::Atomic(Some((atomic, out))) => {
                lines(out).map_err(|e| refused("write", atomic.path(), &e))
            }
            Target::Atomic(None) => Ok(()),
            Target::Stream(path, stream) => {
                let mut out = BufWriter::new(stream);
                lines(&mut out).and_then(|()| out.flush()).map_err(|e| refused("write", path, &e))
            }
            Target::Growing(path, file) => {
                let disk = |e: io::Error| refused("write", path, &e);
                let written = file.stream_position().map_err(disk)?;
                in_place::check(path, file, written)?;
                let mut bytes = Vec::new();
                lines(&mut bytes).and_then(|()| file.write_all(&bytes)).map_err(disk)
            }
        }
    }
}

/// How many bytes of a file are whole lines.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    const BLOCK: u64 = 1 << 16;
    let mut end = file.metadata()?.len();
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        block.clear();
        file.take(end - start).read_to_end(&mut block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

impl BarSink for TextBars {
    fn commit(&mut self, commit: &Commit) -> Result<(), SinkError> {
        if !commit.bars.is_empty() {
            self.write_bars(commit)?;
        }
        self.bars += commit.bars.len() as u64;
        Ok(())
    }

    fn finish(&mut self) -> Result<SinkReport, SinkError> {
        let place = match &mut self.to {
            Target::Stdout { .. } => "standard output".to_owned(),
            Target::Stream(path, _) => path.display().to_string(),
            Target::Growing(path, file) => {
                file.sync_all().map_err(|e| refused("write", path, &e))?;
                path.display().to_string()
            }
            Target::Atomic(open) => match open.take() {
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

fn stdout_error(error: io::Error) -> SinkError {
    if error.kind() == io::ErrorKind::BrokenPipe {
        SinkError::ClosedPipe
    } else {
        SinkError::Refused(format!("could not write to standard output: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_line_goes_and_whole_lines_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bars.jsonl");
        let long = format!("{{\"spec\":\"{}\"}}\n", "x".repeat(200_000));
        for (before, after) in [
            (String::new(), String::new()),
            (
                "{\"spec\":1}\n{\"spec\":2}\n{\"sp".to_owned(),
                "{\"spec\":1}\n{\"spec\":2}\n".to_owned(),
            ),
            ("{\"spec\":".to_owned(), String::new()),
            (format!("{long}{}", long.trim_end()), long.clone()),
        ] {
            std::fs::write(&path, before).unwrap();
            TextBars::grow(&path, LineFormat::Json(Int64::Number), &Stop::new())
                .unwrap()
                .finish()
                .unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
        }
    }

    #[test]
    fn files_of_another_kind_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");
        for content in [&b"dear diary\n"[..], b"spec,instrument,x\n", b"\xff\xfe\n", b"x"] {
            std::fs::write(&path, content).unwrap();
            let wrong =
                TextBars::grow(&path, LineFormat::Json(Int64::Number), &Stop::new()).unwrap_err();
            assert!(matches!(wrong, SinkError::Settings(_)), "{wrong}");
            assert_eq!(std::fs::read(&path).unwrap(), content);
        }
    }
}
