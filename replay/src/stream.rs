//! Reads one instrument's history, file after file.
//!
//! Decoding runs on a thread of its own, a few blocks ahead of the rows; the next file is verified
//! on another while the current one is read. Dropping the stream ends both.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use barflow_operators::batch::Feed;
use barflow_operators::input_batch::InputBatch;
use barflow_operators::pool::BatchPool;
use barflow_operators::position::{FilePosition, Position};
use crossbeam::channel::{Receiver, bounded};

use crate::checksum::verify;
use crate::decode::{Block, Buffers, MARGIN, decode};
use crate::error::ReplayError;
use crate::plan::{FileKind, InstrumentPlan, PlannedFile};
use crate::progress::Progress;
use crate::rows::{Output, Quote, RowRules, read_rows};
use crate::sniff::is_header;
use crate::trades_parquet::read::ParquetTrades;

/// Blocks decoded ahead of the rows: enough to ride out hiccups, 2 MiB.
const BLOCKS_AHEAD: usize = 4;

/// How a history is read.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// Trades per input batch.
    pub batch_rows: usize,
    /// Where batches come from.
    pub pool: BatchPool,
    /// Verify each file before anything of it is used.
    pub verify: bool,
    /// First event time wanted, ns.
    pub from: Option<i64>,
    /// First event time no longer wanted, ns.
    pub to: Option<i64>,
    /// Continue from here.
    pub resume: Option<FilePosition>,
    /// How far reading has got.
    pub progress: Progress,
}

impl ReadOptions {
    /// Everything, verified, in batches of `batch_rows`.
    pub fn new(batch_rows: usize) -> Self {
        Self {
            batch_rows,
            pool: BatchPool::new(batch_rows, 64),
            verify: true,
            from: None,
            to: None,
            resume: None,
            progress: Progress::default(),
        }
    }
}

/// An iterator over one instrument's input batches. After an error it ends.
pub struct InstrumentStream {
    feed: Arc<Feed>,
    files: VecDeque<PlannedFile>,
    options: ReadOptions,
    verifying: Option<JoinHandle<Result<(), ReplayError>>>,
    current: Option<Reading>,
    ordinal: u64,
    /// Id of the last trade read.
    last_id: Option<u64>,
    failed: bool,
}

enum Reading {
    Rows(Box<RowsOfFile>),
    Parquet(Box<ParquetTrades>),
}

impl InstrumentStream {
    /// Prepares to read; nothing is opened yet.
    ///
    /// # Errors
    /// When the position to resume at is in none of the files.
    pub fn open(plan: InstrumentPlan, options: ReadOptions) -> Result<Self, ReplayError> {
        let mut files: VecDeque<PlannedFile> = plan.files.into();
        if let Some(resume) = &options.resume {
            drop_files_before(&mut files, resume)?;
        }
        let last_id = options.resume.as_ref().and_then(|resume| resume.trade_id);
        Ok(Self {
            feed: plan.feed,
            files,
            options,
            verifying: None,
            current: None,
            ordinal: last_id.map_or(1, |id| id + 1),
            last_id,
            failed: false,
        })
    }

    /// How many rows without ids of their own it has numbered.
    pub fn numbered(&self) -> u64 {
        self.ordinal - 1
    }

    /// Verifies the next file (unless that has started), opens it, and begins to verify the one
    /// after it.
    fn advance(&mut self) -> Result<bool, ReplayError> {
        let Some(file) = self.files.pop_front() else { return Ok(false) };
        let verifying = self.verifying.take().or_else(|| self.begin_to_verify(&file));
        if let Some(verifying) = verifying {
            let verdict = verifying.join();
            verdict.unwrap_or_else(|_| {
                Err(ReplayError::corrupt(&file.path, "verification", "an answer", "a panic"))
            })?;
        }
        if let Some(next) = self.files.front() {
            self.verifying = self.begin_to_verify(next);
        }
        let resume = self.options.resume.take();
        self.current = Some(match &file.kind {
            FileKind::Parquet => {
                let from = resume.map_or(0, |resume| resume.byte);
                let trades =
                    ParquetTrades::open(&file.path, Arc::clone(&self.feed), from, &self.options)?;
                Reading::Parquet(Box::new(trades))
            }
            FileKind::Rows(format) => {
                let rules = RowRules {
                    format: format.clone(),
                    from: self.options.from.unwrap_or(i64::MIN),
                    to: self.options.to.unwrap_or(i64::MAX),
                };
                let start = resume.unwrap_or_else(|| FilePosition {
                    trade_id: self.last_id,
                    ..FilePosition::start(file.path.display().to_string().into())
                });
                let reading = RowsOfFile::open(&file, rules, start, &self.options)?;
                Reading::Rows(Box::new(reading))
            }
        });
        Ok(true)
    }

    fn begin_to_verify(&self, file: &PlannedFile) -> Option<JoinHandle<Result<(), ReplayError>>> {
        let (path, container) = (file.path.clone(), file.container);
        let progress = self.options.progress.clone();
        self.options.verify.then(|| thread::spawn(move || verify(&path, container, &progress)))
    }

    fn read(&mut self) -> Result<Option<InputBatch>, ReplayError> {
        loop {
            let input_batch = match &mut self.current {
                Some(Reading::Rows(rows)) => {
                    rows.next_batch(&self.feed, &self.options, &mut self.ordinal)?
                }
                Some(Reading::Parquet(trades)) => trades.next_batch()?,
                None => {
                    if self.advance()? {
                        continue;
                    }
                    return Ok(None);
                }
            };
            match input_batch {
                Some(input_batch) => {
                    self.options.progress.add_rows(input_batch.trades.len() as u64);
                    self.last_id = input_batch.end.trade_id().or(self.last_id);
                    return Ok(Some(input_batch));
                }
                None => self.current = None,
            }
        }
    }
}

impl Iterator for InstrumentStream {
    type Item = Result<InputBatch, ReplayError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.read().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

/// Leaves the file of a position and those after it.
///
/// # Errors
/// When it is none of them.
pub(crate) fn drop_files_before(
    files: &mut VecDeque<PlannedFile>,
    position: &FilePosition,
) -> Result<(), ReplayError> {
    let here = |file: &PlannedFile| file.path.display().to_string() == *position.source;
    let Some(place) = files.iter().position(here) else {
        let text = format!("no file is called \"{}\"", position.source);
        return Err(ReplayError::Resume(text));
    };
    files.drain(..place);
    Ok(())
}

/// What a thread that decodes says.
enum Decoded {
    Block(Block),
    Failed(ReplayError),
    /// All was read. A thread that is gone without having said so has panicked.
    End,
}

/// Rows of one text file.
struct RowsOfFile {
    path: PathBuf,
    blocks: Receiver<Decoded>,
    decoding: Option<JoinHandle<()>>,
    buffers: Buffers,
    rules: RowRules,
    /// Names the place in rejects: the file, or archive and member.
    place: Arc<str>,
    block: Option<(Block, usize)>,
    line: u64,
    /// Where the next input batch starts.
    at: FilePosition,
    /// Whether the decoder has said that it was all.
    at_end: bool,
}

impl RowsOfFile {
    fn open(
        file: &PlannedFile,
        rules: RowRules,
        at: FilePosition,
        options: &ReadOptions,
    ) -> Result<Self, ReplayError> {
        let (send, blocks) = bounded(BLOCKS_AHEAD);
        let (path, container) = (file.path.clone(), file.container);
        let progress = options.progress.clone();
        let buffers = Buffers::default();
        let spare = buffers.clone();
        let (member, byte) = (at.member.clone(), at.byte);
        let decoding = thread::Builder::new()
            .name("decode".to_owned())
            .spawn(move || {
                let from = Some((member.as_deref(), byte));
                let take = &mut |block| send.send(Decoded::Block(block)).is_ok();
                let last = match decode(&path, container, from, &progress, &spare, take) {
                    Ok(()) => Decoded::End,
                    Err(error) => Decoded::Failed(error),
                };
                // Nobody listens any more if the stream was dropped.
                let _ = send.send(last);
            })
            .map_err(|e| ReplayError::io("start a thread to decode", &file.path, e))?;
        let (place, decoding, line) = (at.place(), Some(decoding), at.line);
        let path = file.path.clone();
        Ok(Self {
            path,
            blocks,
            decoding,
            buffers,
            rules,
            place,
            block: None,
            line,
            at,
            at_end: false,
        })
    }

    /// The next input batch; None at the file's end. The last rows of a file are an input batch of
    /// their own, so that an input batch never spans two files.
    fn next_batch(
        &mut self,
        feed: &Arc<Feed>,
        options: &ReadOptions,
        ordinal: &mut u64,
    ) -> Result<Option<InputBatch>, ReplayError> {
        let mut trades = options.pool.take(feed);
        let (mut rejects, mut left_out) = (Vec::new(), Vec::new());
        let mut start = None;
        loop {
            let Some((block, at)) = &mut self.block else {
                match self.blocks.recv() {
                    Ok(Decoded::Block(block)) => self.enter(block),
                    Ok(Decoded::Failed(error)) => return Err(error),
                    Ok(Decoded::End) => {
                        self.at_end = true;
                        break;
                    }
                    Err(_) if self.at_end => break,
                    Err(_) => return Err(ReplayError::decoder_gone(&self.path)),
                }
                continue;
            };
            start.get_or_insert_with(|| self.at.clone());
            let mut out = Output {
                batch: &mut trades,
                rejects: &mut rejects,
                left_out: &mut left_out,
                source: &self.place,
                line: self.line,
                ordinal,
                rows: options.batch_rows,
            };
            *at = read_rows(&self.rules, &block.bytes, *at, block.end, &mut out);
            let full = out.is_full();
            self.line = out.line;
            self.at.byte = block.offset + block.length.min((*at - MARGIN) as u64);
            self.at.line = self.line;
            if *at >= block.end
                && let Some((block, _)) = self.block.take()
            {
                self.buffers.give_back(block.bytes);
            }
            if full {
                break;
            }
        }
        if let Some(last) = trades.trade_id.last() {
            self.at.trade_id = Some(*last);
        }
        let Some(start) = start else { return Ok(None) };
        let (start, end) = (Position::File(start), self.at.clone().into());
        Ok(Some(InputBatch { left_out, ..InputBatch::new(trades, rejects, start, end) }))
    }

    /// Steps to a block; at a member's start passes over byte order mark and header.
    fn enter(&mut self, block: Block) {
        let mut at = MARGIN;
        self.at.member.clone_from(&block.member);
        if block.first {
            self.line = 1;
            self.place = self.at.place();
            if block.bytes[at..block.end].starts_with(b"\xef\xbb\xbf") {
                at += 3;
            }
            let rest = &block.bytes[at..block.end];
            let line_end = memchr::memchr(b'\n', rest).map_or(rest.len(), |place| place + 1);
            if is_header(&String::from_utf8_lossy(&rest[..line_end])) {
                at += line_end;
                self.line = 2;
            }
        }
        self.at.byte = block.offset + block.length.min((at - MARGIN) as u64);
        self.at.line = self.line;
        self.block = Some((block, at));
    }
}

impl Drop for RowsOfFile {
    fn drop(&mut self) {
        // Closing the channel is what ends the decoder; wait for it so that no thread outlives us.
        let (_, closed) = bounded(0);
        self.blocks = closed;
        if let Some(decoding) = self.decoding.take() {
            // A panic was noticed where the end of the file was missing.
            let _ = decoding.join();
        }
    }
}

/// Whether an instrument's quote value has to be stored beside price and quantity.
pub fn stores_quote(files: &[PlannedFile]) -> bool {
    files.iter().any(|file| match &file.kind {
        FileKind::Rows(format) => format.quote != Quote::Product,
        FileKind::Parquet => false,
    })
}
