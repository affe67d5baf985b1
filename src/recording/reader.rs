//! Reads recordings of all known formats.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use barflow_replay::progress::StopFlag;
use barflow_replay::spool;
use flate2::bufread::MultiGzDecoder;

use super::error::excerpt;
use super::{Recorded, RecordingError, cryptofeed, hftbacktest, native};

/// The longest line: an answer of REST (16 MiB), the longest that is recorded, every byte of which is
/// escaped by another one. A line is read whole before a signal is heeded.
const LONGEST_LINE: u64 = 32 << 20;

/// Blank lines before the first line that says what a file is.
const BLANK_LINES: u64 = 1000;

/// Bytes decoded at a time.
const CHUNK: usize = 128 << 10;

/// Who wrote a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// This program.
    Native,
    /// cryptofeed, text.
    CryptofeedText,
    /// cryptofeed, JSON lines.
    CryptofeedJson,
    /// hftbacktest's collector.
    Hftbacktest,
}

/// The frames of a recording, in the order of the file, read as they are asked for.
///
/// After [`RecordingError::Line`] the next line follows; every other error is the last item.
pub struct Reader {
    lines: Lines,
    format: Format,
    parser: Parser,
    /// Looking at the file left its first line in the buffer.
    looked_at: bool,
}

enum Parser {
    Native,
    Text(cryptofeed::Text),
    Json(cryptofeed::JsonLines),
    Hftbacktest,
}

/// Opens a recording. gzip, zstd (one frame or many) and plain text are recognised by their first
/// bytes, the format by the first line; names do not matter, but for this: a file named `….part`
/// was being written when it was last touched, and may end anywhere ([`Reader::remark`]).
///
/// # Errors
/// When the file cannot be read or is not a recording.
pub fn open(path: &Path) -> Result<Reader, RecordingError> {
    open_until(path, &StopFlag::default())
}

/// As [`open`]; once `stop` is raised, all that comes is [`RecordingError::Stopped`].
///
/// # Errors
/// As [`open`].
pub fn open_until(path: &Path, stop: &StopFlag) -> Result<Reader, RecordingError> {
    let mut lines = Lines::open(path, stop)?;
    let format = loop {
        if !lines.advance()? {
            if lines.remark.is_some() {
                // Cut before the first flush: nothing to read, and nothing wrong either.
                break Format::Native;
            }
            return Err(RecordingError::no_recording(path, "is empty"));
        }
        if !lines.line.is_empty() {
            break format_of(&lines.line)
                .map_err(|what| RecordingError::no_recording(path, what))?;
        }
        if lines.number >= BLANK_LINES {
            let what = format!("begins with {BLANK_LINES} blank lines");
            return Err(RecordingError::no_recording(path, what));
        }
    };
    let parser = match format {
        Format::Native => Parser::Native,
        Format::CryptofeedText => Parser::Text(cryptofeed::Text::default()),
        Format::CryptofeedJson => Parser::Json(cryptofeed::JsonLines::default()),
        Format::Hftbacktest => Parser::Hftbacktest,
    };
    Ok(Reader { lines, format, parser, looked_at: true })
}

fn format_of(line: &[u8]) -> Result<Format, String> {
    if line.starts_with(native::MARK) {
        return native::parse(line).map(|_| Format::Native).map_err(|what| format!("is {what}"));
    }
    let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let scheme = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    match line.get(digits) {
        Some(b'{') if digits == 0 => Ok(Format::CryptofeedJson),
        Some(b' ') if digits > 0 => Ok(Format::Hftbacktest),
        Some(b'.' | b':') if digits > 0 => Ok(Format::CryptofeedText),
        _ if line.starts_with(b"configuration: ") => Ok(Format::CryptofeedText),
        _ if scheme.windows(3).any(|part| part == b"://") => Ok(Format::CryptofeedText),
        _ => Err(format!("is not a known recording format; it starts with {}", excerpt(line))),
    }
}

impl Reader {
    /// Who wrote it.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Number of the line last read, from 1.
    pub fn line(&self) -> u64 {
        self.lines.number
    }

    /// Reads no line after this one.
    pub fn until_line(mut self, last: u64) -> Self {
        self.lines.last = last;
        self
    }

    /// After the last item: what a reader should know of the end of the file.
    pub fn remark(&self) -> Option<&str> {
        self.lines.remark.as_deref()
    }

    fn parse(&mut self) -> Result<Option<Recorded>, String> {
        let line = &self.lines.line;
        match &mut self.parser {
            Parser::Native => native::parse(line),
            Parser::Text(text) => text.parse(line),
            Parser::Json(json) => json.parse(line),
            Parser::Hftbacktest => hftbacktest::parse(line).map(Some),
        }
    }

    /// Lines of barflow recordings end with a line feed: without one it is half a frame, whatever
    /// it looks like.
    fn is_cut(&self) -> bool {
        self.format == Format::Native && !self.lines.terminated
    }
}

impl Iterator for Reader {
    type Item = Result<Recorded, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if !std::mem::take(&mut self.looked_at) {
                match self.lines.advance() {
                    Ok(true) => {}
                    Ok(false) => return None,
                    Err(error) => return Some(Err(error)),
                }
            } else if self.lines.ended {
                return None;
            }
            if self.lines.line.is_empty() {
                continue;
            }
            if self.is_cut() {
                self.lines.number -= 1;
                return self.lines.end("in the middle of a line").map(Err);
            }
            match self.parse() {
                Ok(Some(recorded)) => return Some(Ok(recorded)),
                Ok(None) => {}
                Err(what) => {
                    let number = self.lines.number;
                    return Some(Err(RecordingError::line(&self.lines.path, number, what)));
                }
            }
        }
    }
}

/// The lines of a file.
struct Lines {
    path: PathBuf,
    source: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    number: u64,
    /// The line ended with a line feed.
    terminated: bool,
    ended: bool,
    /// The file was still being written.
    part: bool,
    remark: Option<String>,
    /// The last line that is wanted.
    last: u64,
    stop: StopFlag,
}

impl Lines {
    fn open(path: &Path, stop: &StopFlag) -> Result<Self, RecordingError> {
        if stop.is_raised() {
            return Err(RecordingError::Stopped);
        }
        let file = spool::open(path).map_err(|e| RecordingError::io("open", path, e))?;
        let file = Stoppable { file, stop: stop.clone() };
        let source = decoded(file).map_err(|error| match stop.is_raised() {
            true => RecordingError::Stopped,
            false => RecordingError::io("read", path, error),
        })?;
        Ok(Self {
            path: path.to_owned(),
            source,
            line: Vec::new(),
            number: 0,
            terminated: true,
            ended: false,
            part: path.extension().is_some_and(|extension| extension == "part"),
            remark: None,
            last: u64::MAX,
            stop: stop.clone(),
        })
    }

    /// Reads the next line, without its line feed; `false` when there is none.
    fn advance(&mut self) -> Result<bool, RecordingError> {
        self.line.clear();
        if self.ended || self.number >= self.last {
            self.ended = true;
            return Ok(false);
        }
        // There may be many lines without a frame.
        if self.stop.is_raised() {
            self.ended = true;
            return Err(RecordingError::Stopped);
        }
        let read = (&mut self.source).take(LONGEST_LINE).read_until(b'\n', &mut self.line);
        match read {
            Ok(0) => {
                self.ended = true;
                if self.part && self.number == 0 {
                    let _ = self.end("before the first frames were written");
                }
                Ok(false)
            }
            Ok(_) => {
                self.terminated = self.line.pop_if(|byte| *byte == b'\n').is_some();
                if !self.terminated && self.line.len() as u64 == LONGEST_LINE {
                    self.ended = true;
                    let what = format!("a line of more than {LONGEST_LINE} bytes");
                    return Err(RecordingError::broken(&self.path, self.number, what));
                }
                self.number += 1;
                Ok(true)
            }
            Err(error) => match self.end_at(error) {
                Some(error) => Err(error),
                None => Ok(false),
            },
        }
    }

    /// The bytes cannot be read or decoded any further.
    fn end_at(&mut self, error: io::Error) -> Option<RecordingError> {
        if self.stop.is_raised() {
            self.ended = true;
            return Some(RecordingError::Stopped);
        }
        // What the system refused has a number of the system; the rest are the decoders' words.
        if error.raw_os_error().is_some() {
            self.ended = true;
            return Some(RecordingError::io("read", &self.path, error));
        }
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return self.end("in the middle of a compressed block");
        }
        self.end(&format!("with bytes that cannot be decompressed ({error})"))
    }

    fn end(&mut self, how: &str) -> Option<RecordingError> {
        self.ended = true;
        self.line.clear();
        if self.part {
            let path = self.path.display();
            self.remark = Some(format!(
                "\"{path}\" is incomplete: it ends {how} after line {}; everything before that is \
                 used",
                self.number
            ));
            return None;
        }
        let what = format!("the file ends {how}");
        Some(RecordingError::broken(&self.path, self.number, what))
    }
}

/// A file that cannot be read any more once the end was asked for: some compressed bytes decode to nothing.
struct Stoppable {
    file: File,
    stop: StopFlag,
}

impl Read for Stoppable {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stop.is_raised() {
            true => Err(io::Error::other("stopped")),
            false => self.file.read(buffer),
        }
    }
}

/// Undoes the compression that the first bytes show.
fn decoded(file: Stoppable) -> io::Result<Box<dyn BufRead + Send>> {
    let mut file = BufReader::with_capacity(CHUNK, file);
    Ok(match file.fill_buf()? {
        [0x1f, 0x8b, ..] => Box::new(BufReader::with_capacity(CHUNK, MultiGzDecoder::new(file))),
        // A frame, or one that decoders skip.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            let decoder = zstd::Decoder::with_buffer(file)?;
            Box::new(BufReader::with_capacity(CHUNK, decoder))
        }
        _ => Box::new(file),
    })
}
