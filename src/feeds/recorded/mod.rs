//! Recordings as a source: the frames of a feed, read again by the feed's own decoder and reorder
//! buffers, so that a recorded day makes the bars that listening to it made.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barflow_operators::batch::TradeBatch;
use barflow_operators::input_batch::{InputBatch, Reject};
use barflow_operators::instrument::InstrumentId;
use barflow_operators::pool::BatchPool;
use barflow_operators::position::{FilePosition, Position};
use barflow_operators::sequence::FeedOrder;
use barflow_operators::trade::Trade;
use barflow_replay::checksum::verify_published;
use barflow_replay::error::ReplayError;
use barflow_replay::find::{Found, find_by};
use barflow_replay::plan_note::Reason;
use barflow_replay::progress::{Progress, StopFlag};

use crate::feeds::plan::{AHEAD_MAX, Symbol};
use crate::feeds::print::{BadRow, Listing, Prints, Standing};
use crate::feeds::provenance::{Origin, RecordingNote, origin};
use crate::feeds::reorder_buffer::{Disposition, Released, ReorderBuffer};
use crate::feeds::venue::{Channel, Decode, Venue};
use crate::feeds::{venue, venues};
use crate::graph::run::{Feeder, Workers};
use crate::printable::excerpt_of_bytes;
use crate::recording::{Direction, RecordingError, reader};

mod error;
mod places;
mod survey;

use self::places::Places;

pub use self::error::RecordingsError;

/// Prints that wait for a missing id before it is given up: a recording has no backfill.
const PATIENCE: usize = 1024;

/// How far a trade's time may lie after its receive time.
const AHEAD_MAX_NS: i64 = AHEAD_MAX.as_nanos() as i64;

/// How much of a bad frame is kept in its report.
const REPORTED: usize = 4096;

/// Recordings of one protocol, and the instruments found in them.
#[derive(Clone)]
pub struct Recordings {
    venue: Arc<dyn Venue>,
    channel: Channel,
    symbols: Vec<Symbol>,
    files: Vec<PathBuf>,
    any_host: bool,
    notes: Vec<RecordingNote>,
}

/// What the user says about recordings.
#[derive(Clone, Debug, Default)]
pub struct RecordingOptions {
    /// Only this instrument.
    pub instrument: Option<InstrumentId>,
    /// What a contract is worth, where the venue does not tell.
    pub contract_size: Option<f64>,
    /// Read connections to any host, not only those of the venue.
    pub any_host: bool,
    /// First event time wanted, ns.
    pub from: Option<i64>,
    /// First event time no longer wanted, ns.
    pub to: Option<i64>,
    /// Ends a look at recordings that takes long.
    pub stop: StopFlag,
}

impl Recordings {
    /// Finds the files and reads them once for the symbols that they mention.
    ///
    /// # Errors
    /// When there is nothing to read.
    pub fn find(
        inputs: &[String],
        protocol: &str,
        channel: Option<Channel>,
        options: &RecordingOptions,
    ) -> Result<Self, RecordingsError> {
        let venue = venue(protocol).ok_or_else(|| {
            let known: Vec<_> = venues().iter().map(|venue| venue.protocol()).collect();
            RecordingsError::Protocol(protocol.to_owned(), known.join(", "))
        })?;
        let channel = channel.or(venue.channels().first().copied()).unwrap_or(Channel::Trades);
        if !venue.channels().contains(&channel) {
            return Err(RecordingsError::Channel(venue.protocol(), channel));
        }
        let Found { paths, notes } = files(inputs, &options.stop)?;
        let files: Vec<PathBuf> = paths.into_iter().collect();
        let progress = Progress::until(options.stop.clone());
        files.iter().try_for_each(|path| verify_published(path, &progress))?;
        let any_host = options.any_host;
        let notes = notes.into_iter().map(RecordingNote::Search).collect();
        let mut all = Self { venue, channel, symbols: Vec::new(), files, any_host, notes };
        let surveys = all.survey_in_order(&options.stop)?;
        for (path, survey) in all.files.iter().zip(&surveys) {
            all.refuse_elsewhere(path, survey, &options.stop)?;
        }
        let mentioned: BTreeSet<&String> = surveys.iter().flat_map(|s| &s.symbols[0]).collect();
        if mentioned.len() > SYMBOLS {
            return Err(RecordingsError::ManySymbols);
        }
        let mut unread: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for text in mentioned {
            match all.symbol(text, options) {
                Ok(Some(symbol)) => all.symbols.push(symbol),
                Ok(None) => {}
                Err(reason) => unread.entry(reason).or_default().push(text.clone()),
            }
        }
        let mut seen = HashSet::new();
        let counts = all.read(options, |slot, piece| {
            if !piece.released.trades.is_empty() {
                seen.insert(slot);
            }
            piece.released.trades.reset(Arc::clone(&piece.released.trades.feed));
            piece.released.left_out.clear();
            true
        })?;
        let mut slot = 0;
        all.symbols.retain(|_| {
            slot += 1;
            seen.contains(&(slot - 1))
        });
        all.take_notes(&surveys, &counts, unread);
        match all.symbols.is_empty() {
            true => {
                Err(RecordingsError::Empty { protocol: all.venue.protocol(), notes: all.notes })
            }
            false => Ok(all),
        }
    }

    /// The instrument of a symbol as messages have it; none if it is not wanted.
    fn symbol(&self, text: &str, options: &RecordingOptions) -> Result<Option<Symbol>, String> {
        // A pair with a slash is written with a dash in instruments.
        let symbol =
            Symbol::read(self.venue.as_ref(), &text.replace('/', "-"), options.contract_size)?;
        let wanted = options.instrument.as_ref().is_none_or(|id| *id == symbol.instrument);
        Ok(Some(symbol).filter(|symbol| symbol.listing.symbol == text && wanted))
    }

    /// What is worth knowing about them.
    pub fn notes(&self) -> &[RecordingNote] {
        &self.notes
    }

    /// The files.
    pub fn paths(&self) -> &[PathBuf] {
        &self.files
    }

    /// How many files there are.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// The instruments that have trades.
    pub fn instruments(&self) -> Vec<InstrumentId> {
        self.symbols.iter().map(|symbol| symbol.instrument.clone()).collect()
    }

    /// Instruments, what messages call them, and all their trades.
    ///
    /// # Errors
    /// When a file is broken.
    pub fn trades(
        &self,
        options: &RecordingOptions,
    ) -> Result<Vec<(Symbol, Vec<Trade>)>, RecordingsError> {
        let mut trades: Vec<Vec<Trade>> = vec![Vec::new(); self.symbols.len()];
        self.read(options, |slot, piece| {
            let batch = &mut piece.released.trades;
            trades[slot].extend(batch.iter());
            batch.reset(Arc::clone(&batch.feed));
            piece.released.left_out.clear();
            true
        })?;
        Ok(self.symbols.iter().cloned().zip(trades).collect())
    }

    /// One feeder for all workers: a recording holds the instruments of a connection interleaved.
    pub fn feeders(
        self,
        workers: &Workers,
        options: RecordingOptions,
        pool: BatchPool,
    ) -> Vec<Feeder> {
        let share = workers.share();
        let feeder: Feeder = Box::new(move |inlets, stop| {
            let mut ended = false;
            let options = RecordingOptions { stop: stop.flag().into(), ..options };
            let read = self.read(&options, |slot, piece| {
                let instrument = &self.symbols[slot].instrument;
                let feed = Arc::clone(&piece.released.trades.feed);
                let Some(worker) = share.worker(instrument) else {
                    // Another process reads the same files for it.
                    piece.released.trades.reset(feed);
                    piece.released.order = FeedOrder::default();
                    piece.rejects.clear();
                    piece.released.left_out.clear();
                    return !stop.is_raised();
                };
                let inlet = &inlets[worker];
                // Only who fills batches gets one with room for thousands of trades.
                let next = match piece.released.trades.len() < FULL {
                    true => TradeBatch::with_capacity(feed, 0),
                    false => pool.take(&feed),
                };
                let trades = std::mem::replace(&mut piece.released.trades, next);
                let rejects = std::mem::take(&mut piece.rejects);
                let mut position = piece.position.clone();
                position.trade_id = piece.buffer.last().map(|(id, _)| id);
                let position = Position::File(position);
                let mut input_batch = InputBatch::new(trades, rejects, position.clone(), position);
                input_batch.order = Some(std::mem::take(&mut piece.released.order));
                input_batch.left_out = std::mem::take(&mut piece.released.left_out);
                input_batch.places = piece.places.take();
                ended = stop.is_raised() || inlet.send(input_batch).is_err();
                !ended
            });
            // Told before the inlets go: an input that fails has not come to its end.
            match read {
                Ok(_) | Err(RecordingsError::Search(ReplayError::Stopped)) => {}
                Err(error) => stop.fail(error),
            }
            Ok(())
        });
        vec![feeder]
    }

    /// Reads all files once; `take` receives what a slot has released, and returns whether to
    /// continue.
    fn read(
        &self,
        options: &RecordingOptions,
        mut take: impl FnMut(usize, &mut RecordedBatch) -> bool,
    ) -> Result<Vec<FileCounts>, RecordingsError> {
        let listings: Arc<[Listing]> = self.symbols.iter().map(|s| s.listing.clone()).collect();
        let mut decoder = self.venue.decoder(self.channel, listings);
        let first = self.files.first().map(|path| path.display().to_string());
        let start = FilePosition::start(first.unwrap_or_default().into());
        let mut pieces: Vec<RecordedBatch> =
            self.symbols.iter().map(|symbol| self.piece(symbol, start.clone())).collect();
        let mut hand_over = |slot, piece: &mut RecordedBatch| {
            let goes_on = take(slot, piece);
            piece.places.take();
            goes_on
        };
        let mut prints = Prints::default();
        let mut counts = vec![FileCounts::default(); self.files.len()];
        for (path, counted) in self.files.iter().zip(0..) {
            let source: Arc<str> = path.display().to_string().into();
            let mut passed_over = HashSet::new();
            let mut frames = reader::open_until(path, &options.stop)?;
            while let Some(frame) = frames.next() {
                let frame = frame?;
                match frame.direction {
                    Direction::Connect if self.is_elsewhere(&frame.frame) => {
                        passed_over.insert(frame.connection);
                        few_connections(&passed_over, path)?;
                    }
                    Direction::Received if !passed_over.contains(&frame.connection) => {
                        let line = frames.line();
                        prints.clear();
                        hear(decoder.as_mut(), &frame.frame, &mut prints);
                        if frame.recv_time > 0 {
                            let latest = frame.recv_time.saturating_add(AHEAD_MAX_NS);
                            prints.set_future_aside(latest, self.venue.ids(self.channel));
                        }
                        counts[counted].rows += prints.rows.len() as u64;
                        counts[counted].foreign += u64::from(prints.foreign);
                        let place = FramePlace { source: &source, line, frame: &frame.frame };
                        let touched = give_out(&mut prints, &mut pieces, options, &place);
                        let full = touched.filter(|slot| pieces[*slot].is_full());
                        if full.is_some_and(|slot| !hand_over(slot, &mut pieces[slot])) {
                            return Ok(counts);
                        }
                    }
                    _ => {}
                }
            }
        }
        for (slot, piece) in pieces.iter_mut().enumerate() {
            while piece.buffer.give_up(&mut piece.released).is_some() {}
            piece.note_places();
            if !hand_over(slot, piece) {
                break;
            }
        }
        Ok(counts)
    }

    fn piece(&self, symbol: &Symbol, position: FilePosition) -> RecordedBatch {
        let feed = symbol.feed(self.venue.as_ref(), self.channel);
        let trades = TradeBatch::with_capacity(feed, 0);
        RecordedBatch {
            buffer: ReorderBuffer::new(self.venue.ids(self.channel), usize::MAX),
            released: Released::new(trades),
            rejects: Vec::new(),
            position,
            places: Places::default(),
        }
    }

    /// Whether a connection is not one of this protocol's.
    fn is_elsewhere(&self, url: &[u8]) -> bool {
        self.is_other(url) || self.is_foreign(url)
    }

    /// Whether a connection was to another venue's host.
    fn is_foreign(&self, url: &[u8]) -> bool {
        let url = String::from_utf8_lossy(url);
        !self.any_host && origin(&url, self.venue.as_ref()) != Origin::Fits
    }

    /// Whether a connection spoke another protocol of the same venue, by its URL.
    fn is_other(&self, url: &[u8]) -> bool {
        let url = String::from_utf8_lossy(url);
        let ends = |venue: &dyn Venue| {
            let path = venue.websocket_path(self.channel, &[]);
            path.len() > 1 && url.ends_with(&path)
        };
        !ends(self.venue.as_ref()) && venues().iter().any(|other| ends(other.as_ref()))
    }
}

/// Trades of a piece before it is handed over.
const FULL: usize = 4096;

/// Symbols that recordings may mention: no venue lists as many, and each takes memory.
const SYMBOLS: usize = 10_000;

/// Connections that a file may have.
const CONNECTIONS: usize = 1_000_000;

/// What a file brought.
#[derive(Clone, Copy, Debug, Default)]
struct FileCounts {
    /// Rows of instruments that are read.
    rows: u64,
    /// Rows of others.
    foreign: u64,
}

/// What one instrument has released and not yet handed over.
struct RecordedBatch {
    buffer: ReorderBuffer,
    released: Released,
    rejects: Vec<Reject>,
    position: FilePosition,
    places: Places,
}

impl RecordedBatch {
    fn at(&mut self, source: &Arc<str>, line: u64) {
        self.position.source = Arc::clone(source);
        self.position.line = line;
    }

    /// Sets a row aside.
    fn reject(&mut self, bad: &BadRow, place: &FramePlace<'_>) {
        let FramePlace { source, line, frame } = *place;
        self.rejects.push(Reject {
            row: self.released.trades.len() as u32,
            source: Arc::clone(source),
            line,
            field: bad.field.to_owned(),
            value: bad.value.clone(),
            reason: bad.reason.clone(),
            raw: excerpt_of_bytes(frame, REPORTED),
        });
    }

    /// What is not in the recording will not come.
    fn lose_patience(&mut self) {
        if self.buffer.waits() > PATIENCE {
            self.buffer.give_up(&mut self.released);
        }
    }

    /// Notes where the trades stand that were released by the frame of its position.
    fn note_places(&mut self) {
        self.places.note(&self.released.trades, &self.position);
        if self.buffer.waits() == 0 {
            self.places.none_waits();
        }
    }

    fn is_full(&self) -> bool {
        self.released.trades.len() >= FULL
            || self.released.left_out.len() >= FULL
            || !self.rejects.is_empty()
    }
}

/// Where a frame is.
struct FramePlace<'a> {
    source: &'a Arc<str>,
    line: u64,
    frame: &'a [u8],
}

/// Gives the rows of a frame to the instruments that they are of; returns which of them has taken the
/// last one.
fn give_out(
    prints: &mut Prints,
    pieces: &mut [RecordedBatch],
    options: &RecordingOptions,
    place: &FramePlace<'_>,
) -> Option<usize> {
    for bad in prints.bad.drain(..) {
        if let Some(piece) = pieces.get_mut(bad.slot.unwrap_or(0) as usize) {
            piece.reject(&bad, place);
        }
    }
    let mut touched = None;
    for print in &prints.rows {
        let slot = print.slot as usize;
        let time = print.trade.event_time;
        let within =
            options.from.is_none_or(|from| time >= from) && options.to.is_none_or(|to| time < to);
        let piece = &mut pieces[slot];
        // An id without a time counts where ids around it do.
        if within || time == 0 && piece.buffer.last().is_some() {
            piece.at(place.source, place.line);
            let taken = piece.buffer.take(print, &mut piece.released);
            let is_lost = taken == Disposition::BeforeFirst && print.standing == Standing::Trade;
            let bad = is_lost.then(|| piece.buffer.before_the_first(print));
            if let Some(bad) = bad.or_else(|| piece.buffer.contradiction(print, taken)) {
                piece.reject(&bad, place);
            }
            if taken == Disposition::Waits {
                piece.places.wait(print.trade.trade_id, &piece.position);
            }
            piece.lose_patience();
            piece.note_places();
            touched = Some(slot);
        }
    }
    touched
}

/// Refuses a file whose connections would take up the memory.
fn few_connections(connections: &HashSet<u32>, path: &Path) -> Result<(), RecordingsError> {
    match connections.len() > CONNECTIONS {
        true => Err(RecordingsError::ManyConnections { path: path.to_owned() }),
        false => Ok(()),
    }
}

/// Reads a frame; what is wrong with it as a whole is a bad row of the first instrument.
fn hear(decoder: &mut dyn Decode, frame: &[u8], prints: &mut Prints) {
    if let Err(error) = decoder.decode(frame, prints) {
        let (value, reason) = (String::new(), error.to_string());
        prints.bad.push(BadRow { slot: None, id: None, field: "frame", value, reason });
    }
}

/// Whether the first of these inputs is a recording rather than a file of trades.
pub fn are_recordings(inputs: &[String]) -> bool {
    let found = files(inputs, &StopFlag::default());
    let first = found.ok().and_then(|found| found.paths.into_iter().next());
    first.is_some_and(|path| reader::open(&path).is_ok())
}

/// Files that the inputs name, in the order of their names: recordings carry their times in them.
/// They are found as files of trades are; of folders and patterns those are taken that begin as
/// recordings do, whatever their names.
fn files(inputs: &[String], stop: &StopFlag) -> Result<Found, ReplayError> {
    // What is damaged further on is told when it is read.
    let choose = |path: &Path| {
        let is_other = matches!(reader::open(path), Err(RecordingError::NoRecording { .. }));
        is_other.then_some(Reason::NotARecording)
    };
    find_by(&choose, inputs, stop)
}
