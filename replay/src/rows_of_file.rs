//! The rows of one text file, decoded on a thread of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use barflow_operators::batch::{Feed, TradeBatch};
use barflow_operators::input_batch::{InputBatch, LeftOut, Reject, RowPlace};
use barflow_operators::position::{FilePosition, Position};
use crossbeam::channel::{Receiver, bounded};

use crate::backwards;
use crate::decode::{Block, Buffers, Decoding, MARGIN, decode};
use crate::error::ReplayError;
use crate::plan::PlannedFile;
use crate::progress::Progress;
use crate::read_options::ReadOptions;
use crate::rows::edges::Edges;
use crate::rows::header::before_rows;
use crate::rows::read::read_rows;
use crate::rows::{Output, RowRules};
use crate::wanted_end::WantedEnd;

/// Bytes of a header in messages.
const HEADER_SHOWN: usize = 200;

/// Blocks decoded ahead of the rows: enough to ride out hiccups, 2 MiB.
const BLOCKS_AHEAD: usize = 4;

/// What a thread that decodes says.
enum Decoded {
    Block(Block),
    Failed(ReplayError),
    /// All was read. A thread that is gone without having said so has panicked.
    End,
}

/// Rows of one text file.
pub(crate) struct RowsOfFile {
    path: PathBuf,
    blocks: Receiver<Decoded>,
    decoding: Option<JoinHandle<()>>,
    buffers: Buffers,
    rules: RowRules,
    /// Names the place in rejects: the file, or archive and member.
    place: Arc<str>,
    block: Option<(Block, usize)>,
    line: u64,
    /// Lines of the file, if it is read from its end.
    lines: Option<u64>,
    /// What stands outside the wanted times.
    edges: Edges,
    wanted_end: WantedEnd,
    /// Where the next input batch starts.
    at: FilePosition,
    /// Whether the decoder has said that it was all.
    at_end: bool,
}

impl RowsOfFile {
    pub(crate) fn open(
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
        let (part, byte) = (file.part.clone(), at.byte);
        let member = at.member.clone();
        let decoding = thread::Builder::new()
            .name("decode".to_owned())
            .spawn(move || {
                let from = Some((member.as_deref(), byte));
                let take = &mut |block: Block| {
                    part.has(&block) && send.send(Decoded::Block(block)).is_ok()
                };
                let decode = if part.backwards { backwards::decode } else { decode };
                let (path, progress, buffers) = (&path, &progress, &spare);
                let what = Decoding { path, container, from, progress, buffers };
                let last = match decode(what, take) {
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
            lines: None,
            edges: Edges::default(),
            wanted_end: WantedEnd::default(),
            at,
            at_end: false,
        })
    }

    /// The next input batch; None at the file's end. The last rows of a file are an input batch of
    /// their own, so that an input batch never spans two files.
    pub(crate) fn next_batch(
        &mut self,
        feed: &Arc<Feed>,
        options: &ReadOptions,
        ordinal: &mut u64,
    ) -> Result<Option<InputBatch>, ReplayError> {
        let mut trades = options.pool.take(feed);
        let (mut rejects, mut left_out) = (Vec::new(), Vec::new());
        let mut start = None;
        let (mut known, mut behind) = ((0, 0), None);
        while self.is_in_block(&options.progress)? {
            let Some((block, at)) = &mut self.block else { break };
            start.get_or_insert_with(|| self.at.clone());
            let mut out = Output {
                batch: &mut trades,
                rejects: &mut rejects,
                left_out: &mut left_out,
                source: &self.place,
                line: self.line,
                ordinal,
                rows: options.batch_rows,
                edges: &mut self.edges,
                behind,
                other_header: false,
            };
            *at = read_rows(&self.rules, &block.bytes, *at, block.end, &mut out);
            if out.other_header {
                let line =
                    block.lines.map_or(out.line, |lines| (lines + 1).saturating_sub(out.line));
                return Err(other_header(&self.at, line, &block.bytes[*at..block.end]));
            }
            let full = out.is_full();
            (self.line, behind) = (out.line, out.behind);
            if let Some(lines) = block.lines {
                turn(lines, &mut rejects[known.0..], &mut left_out[known.1..]);
                known = (rejects.len(), left_out.len());
            }
            self.lines = block.lines;
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
        self.look_outside(&trades, &mut rejects);
        if options.to_may_move {
            self.wanted_end.check(&self.path, trades.len(), behind)?;
        }
        if let Some(last) = trades.trade_id.last() {
            self.at.trade_id = Some(*last);
        }
        let Some(start) = start else { return Ok(None) };
        let falls = self.lines.map(|lines| RowPlace {
            row: 0,
            source: start.place(),
            line: (lines + 1).saturating_sub(start.line),
            falls: true,
        });
        let end = self.at.clone().into();
        let mut batch = InputBatch::new(trades, rejects, Position::File(start), end);
        batch.left_out = left_out;
        batch.places.extend(falls);
        Ok(Some(batch))
    }

    /// Rejects rows outside the wanted times that the trades of the batch contradict.
    fn look_outside(&mut self, trades: &TradeBatch, rejects: &mut Vec<Reject>) {
        let known = rejects.len();
        rejects.extend(self.edges.ids.end_batch(trades));
        if let Some(lines) = self.lines {
            turn(lines, &mut rejects[known..], &mut []);
        }
        // As they stand in the input.
        rejects.sort_by_key(|reject| reject.row);
    }

    /// Whether there are rows to read: of the block that was begun, or else of the next one.
    fn is_in_block(&mut self, progress: &Progress) -> Result<bool, ReplayError> {
        while self.block.is_none() {
            // There may be many blocks without a trade.
            if progress.is_stopped() {
                return Err(ReplayError::Stopped);
            }
            match self.blocks.recv() {
                Ok(Decoded::Block(block)) => self.enter(block),
                Ok(Decoded::Failed(error)) => return Err(error),
                Ok(Decoded::End) => {
                    self.at_end = true;
                    return Ok(false);
                }
                Err(_) if self.at_end => return Ok(false),
                Err(_) => return Err(ReplayError::decoder_crashed(&self.path)),
            }
        }
        Ok(true)
    }

    /// Steps to a block; at a member's start passes over byte order mark and header.
    fn enter(&mut self, block: Block) {
        let mut at = MARGIN;
        self.at.member.clone_from(&block.member);
        if block.first {
            self.line = 1;
            self.place = self.at.place();
            let rows = &block.bytes[at..block.end];
            let (bytes, is_header) = before_rows(rows);
            let line = String::from_utf8_lossy(&rows[..bytes]);
            let line = line.trim_start_matches('\u{feff}').trim();
            // One of other columns is left to end the reading.
            if !is_header || self.rules.format.is_own_header(line) {
                at += bytes;
                self.line += u64::from(is_header);
            }
        }
        self.at.byte = block.offset + block.length.min((at - MARGIN) as u64);
        self.at.line = self.line;
        self.block = Some((block, at));
    }
}

/// The rows after such a header have other columns. Taken for rows of the first, they could be read as
/// trades that never were.
fn other_header(at: &FilePosition, line: u64, rest: &[u8]) -> ReplayError {
    let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len()).min(HEADER_SHOWN);
    let header = String::from_utf8_lossy(&rest[..end]);
    let member = at.member.as_ref().map(|member| format!("member \"{member}\", "));
    let reason = format!(
        "{}line {line}: a header among the rows that is not the file's first: \"{}\"; the rows after \
         it have other columns, so cut the file there and give both parts",
        member.unwrap_or_default(),
        header.trim()
    );
    ReplayError::layout(Path::new(&*at.source), reason)
}

/// Read from its end: lines are counted as they stand in a file of so many.
pub(crate) fn turn(lines: u64, rejects: &mut [Reject], left_out: &mut [LeftOut]) {
    let turned = |line: u64| (lines + 1).saturating_sub(line);
    rejects.iter_mut().for_each(|row| row.line = turned(row.line));
    left_out.iter_mut().for_each(|row| row.line = turned(row.line));
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
