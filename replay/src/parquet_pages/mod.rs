//! A Parquet file whose pages are unpacked only while they take a limited amount of memory.
//!
//! A page is decoded whole, and a few KB of a codec can stand for gigabytes. So each page's header is
//! looked at as the library reads it, before the page is: [`MOST`] is what the pages may have that are
//! unpacked at the same time, which are one of each column and its dictionary. A codec that gives more
//! than the header said is stopped by the library at the header's size; gzip, which it unpacks to its
//! end, is unpacked once before to be counted, and other codecs without a limit are refused.
//!
//! The library also makes room for as many values as a page says it has. No page has more than its row
//! group has rows, no dictionary more than its bytes can hold, and what is made for them counts as a part of
//! the page. Texts whose lengths stand before them have a count of their own, which is looked at in
//! the page.

mod header;
mod lengths;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Chain, Cursor, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use parquet::arrow::ProjectionMask;
use parquet::basic::{Compression, Encoding, Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::{ChunkReader, Length};

use self::header::{Content, Header, Layout};

/// Bytes of the pages that are unpacked at the same time. Writers make pages of about 1 MiB.
const MOST: u64 = 256 << 20;

/// A file that refuses pages that take too much memory.
pub(crate) struct BoundedFile {
    file: File,
    pages: Arc<Pages>,
}

/// Why a file was refused, once it was.
#[derive(Clone)]
pub(crate) struct Refusal(Arc<Pages>);

impl Refusal {
    /// The reason, in words that follow "found".
    pub(crate) fn reason(&self) -> Option<String> {
        self.0.state().refused.clone()
    }
}

/// The column chunks of a file, and what of them is unpacked.
struct Pages {
    metadata: Arc<ParquetMetaData>,
    /// By their places in the file.
    chunks: Vec<Chunk>,
    /// Bytes that may be unpacked at the same time.
    most: u64,
    state: Mutex<State>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Chunk {
    begin: u64,
    end: u64,
    group: usize,
    column: usize,
}

#[derive(Default)]
struct State {
    /// By column.
    unpacked: BTreeMap<usize, Unpacked>,
    refused: Option<String>,
}

/// What is unpacked of a column.
#[derive(Clone, Copy, Default)]
struct Unpacked {
    group: usize,
    dictionary: u64,
    page: u64,
    /// The page whose header was read last.
    last: Option<Expected>,
}

/// What a header says of the bytes behind it.
#[derive(Clone, Copy)]
struct Expected {
    /// Where the header begins.
    before: u64,
    /// Where they begin.
    start: u64,
    header: Header,
}

impl BoundedFile {
    /// A file with the footer that was read of it.
    ///
    /// # Errors
    /// When columns share bytes, or wanted ones are packed in a way that is not read.
    pub(crate) fn new(
        file: File,
        metadata: &Arc<ParquetMetaData>,
        wanted: &ProjectionMask,
    ) -> Result<Self, String> {
        let mut chunks = Vec::new();
        for (group, columns) in metadata.row_groups().iter().enumerate() {
            for (column, chunk) in columns.columns().iter().enumerate() {
                let begin = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
                let begin = u64::try_from(begin).map_err(|_| "a column with a negative place")?;
                let length = u64::try_from(chunk.compressed_size());
                let end = length.ok().and_then(|length| begin.checked_add(length));
                let end = end.ok_or("a column with an impossible length")?;
                chunks.push(Chunk { begin, end, group, column });
            }
        }
        chunks.retain(|chunk| chunk.begin < chunk.end);
        chunks.sort_unstable();
        let metadata = Arc::clone(metadata);
        let pages = Pages { metadata, chunks, most: MOST, state: Mutex::default() };
        for chunk in pages.chunks.iter().filter(|chunk| wanted.leaf_included(chunk.column)) {
            pages.check_codec(chunk)?;
        }
        for two in pages.chunks.windows(2) {
            if let [one, other] = two
                && one.end > other.begin
            {
                let (one, other) = (pages.place(one), pages.place(other));
                return Err(format!("bytes that are both of {one} and of {other}"));
            }
        }
        Ok(Self { file, pages: Arc::new(pages) })
    }

    pub(crate) fn refusal(&self) -> Refusal {
        Refusal(Arc::clone(&self.pages))
    }
}

impl Length for BoundedFile {
    fn len(&self) -> u64 {
        Length::len(&self.file)
    }
}

impl ChunkReader for BoundedFile {
    type T = Headed;

    /// The library reads headers of pages this way, and nothing else; what it knows it does not read again.
    fn get_read(&self, start: u64) -> Result<Headed> {
        let file = self.file.get_read(start)?;
        Ok(Headed(Reading::Unread { file, pages: Arc::clone(&self.pages), start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if length as u64 > Length::len(self).saturating_sub(start) {
            return Err(ParquetError::EOF("a page that ends after the file".to_owned()));
        }
        let begin = self.pages.begin_of_lengths(start).unwrap_or(start);
        let before = (start - begin) as usize;
        let page = self.file.get_bytes(begin, before + length)?;
        let bytes = page.slice(before..);
        self.pages.count(start, &bytes).map_err(ParquetError::General)?;
        if begin < start {
            self.pages.count_lengths(begin, &page).map_err(ParquetError::General)?;
        }
        Ok(bytes)
    }
}

/// What begins with the header of a page, which is looked at when the first byte of it is read.
pub(crate) struct Headed(Reading);

enum Reading {
    /// Nothing was read yet.
    Unread { file: BufReader<File>, pages: Arc<Pages>, start: u64 },
    /// The page fits.
    Fits(Chain<Cursor<Vec<u8>>, BufReader<File>>),
    /// It does not, which was said.
    Refused,
}

impl Read for Headed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Reading::Unread { file, pages, start } = &mut self.0 {
            let looked = header::read(file).and_then(|(header, bytes)| {
                let looked = pages.look_at(*start, bytes.len(), header);
                looked.map(|()| bytes).map_err(io::Error::other)
            });
            let Reading::Unread { file, .. } = std::mem::replace(&mut self.0, Reading::Refused)
            else {
                return Ok(0);
            };
            self.0 = Reading::Fits(Cursor::new(looked?).chain(file));
        }
        match &mut self.0 {
            Reading::Fits(rest) => rest.read(buffer),
            _ => Err(io::Error::other("the header of a page that was refused")),
        }
    }
}

/// Whole MiB, rounded up.
fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

impl Pages {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A chunk in words.
    fn place(&self, chunk: &Chunk) -> String {
        let schema = self.metadata.file_metadata().schema_descr();
        let column = schema.columns().get(chunk.column);
        let name = column.map(|column| column.path().string()).unwrap_or_default();
        let groups = self.metadata.num_row_groups();
        format!("column \"{name}\" in row group {} of {groups}", chunk.group + 1)
    }

    /// The column chunk of a byte.
    fn chunk(&self, at: u64) -> Result<&Chunk, String> {
        let next = self.chunks.partition_point(|chunk| chunk.begin <= at);
        let chunk = next.checked_sub(1).and_then(|at| self.chunks.get(at));
        Ok(chunk.filter(|chunk| at < chunk.end).ok_or("a page that is of no column")?)
    }

    fn metadata_of(&self, chunk: &Chunk) -> Result<&ColumnChunkMetaData, String> {
        let group = self.metadata.row_groups().get(chunk.group);
        let column = group.and_then(|group| group.columns().get(chunk.column));
        Ok(column.ok_or("a page that is of no column")?)
    }

    /// Takes a page into account whose header begins at this byte and has so many.
    fn look_at(&self, start: u64, length: usize, header: Header) -> Result<(), String> {
        let mut state = self.state();
        let looked = self.judge(&mut state, start, length, header);
        if let Err(reason) = &looked {
            state.refused = Some(reason.clone());
        }
        looked
    }

    /// Unpacks gzip piece by piece, to find out whether it has more bytes than its header says.
    fn count(&self, start: u64, bytes: &[u8]) -> Result<(), String> {
        let Ok(chunk) = self.chunk(start) else { return Ok(()) };
        if !matches!(self.metadata_of(chunk)?.compression(), Compression::GZIP(_)) {
            return Ok(());
        }
        let last = self.state().unpacked.get(&chunk.column).and_then(|column| column.last);
        let place = self.place(chunk);
        let header = last.filter(|last| last.start == start).map(|last| last.header);
        let header = header.ok_or_else(|| format!("a page without a header in {place}"))?;
        let packed = usize::try_from(header.levels).ok().and_then(|levels| bytes.get(levels..));
        let most = header.unpacked.saturating_sub(header.levels);
        // Damage is found by the library, which unpacks as much as was unpacked here.
        let mut gzip = MultiGzDecoder::new(packed.unwrap_or_default()).take(most + 1);
        if io::copy(&mut gzip, &mut io::sink()).is_ok_and(|unpacked| unpacked > most) {
            let said = header.unpacked;
            let reason = format!(
                "a page in {place} that unpacks to more than the {said} bytes of its header"
            );
            self.state().refused = Some(reason.clone());
            return Err(reason);
        }
        Ok(())
    }

    /// Where the header of a page of texts with their lengths before them begins, whose bytes begin here.
    fn begin_of_lengths(&self, start: u64) -> Option<u64> {
        let chunk = self.chunk(start).ok()?;
        let last = self.state().unpacked.get(&chunk.column)?.last?;
        let has_lengths =
            matches!(last.header.content, Content::Values(_, layout) if layout.lengths() > 0);
        (has_lengths && last.start == start).then_some(last.before)
    }

    /// Compares the lengths that a page of texts has with its header, with which it begins.
    fn count_lengths(&self, begin: u64, page: &Bytes) -> Result<(), String> {
        let chunk = self.chunk(begin)?;
        lengths::check(page, self.metadata_of(chunk)?).map_err(|reason| {
            let reason = format!("{reason} in {}", self.place(chunk));
            self.state().refused = Some(reason.clone());
            reason
        })
    }

    fn judge(
        &self,
        state: &mut State,
        start: u64,
        length: usize,
        header: Header,
    ) -> Result<(), String> {
        let chunk = self.chunk(start)?;
        self.check_claims(chunk, header)?;
        self.check_counts(chunk, header)?;
        let is_dictionary = matches!(header.content, Content::Dictionary(_));
        let unpacked = state.unpacked.entry(chunk.column).or_default();
        if is_dictionary || unpacked.group != chunk.group {
            *unpacked = Unpacked { group: chunk.group, ..Unpacked::default() };
        }
        unpacked.last = Some(Expected { before: start, start: start + length as u64, header });
        let decoded = decoded(self.metadata_of(chunk)?, header.content);
        let bytes = header.unpacked.max(header.packed).saturating_add(decoded);
        let kind = if is_dictionary { &mut unpacked.dictionary } else { &mut unpacked.page };
        *kind = bytes;
        let all =
            state.unpacked.values().map(|column| column.dictionary.saturating_add(column.page));
        let (all, most) = (all.fold(0, u64::saturating_add), self.most);
        if all <= most {
            return Ok(());
        }
        let place = self.place(chunk);
        let page = match bytes {
            bytes if mib(bytes) == mib(all) => format!("a page of {} in {place}", mib(bytes)),
            bytes => {
                let all = mib(all);
                format!("a page of {} in {place}, {all} with those of all columns", mib(bytes))
            }
        };
        Err(format!(
            "{page}; at most {} are unpacked at once: write the file again with smaller pages or row \
             groups",
            mib(most)
        ))
    }

    /// The library unpacks these to their end, whatever the header says, or cannot.
    fn check_codec(&self, chunk: &Chunk) -> Result<(), String> {
        let codec = match self.metadata_of(chunk)?.compression() {
            Compression::BROTLI(_) => "brotli",
            Compression::LZO => "LZO",
            Compression::LZ4 => "the old LZ4 of Hadoop",
            _ => return Ok(()),
        };
        let place = self.place(chunk);
        Err(format!(
            "{codec} in {place}, which is not read: write the file again with zstd, snappy, gzip or \
             LZ4_RAW, or without compression"
        ))
    }

    /// Holds a page against what the footer says of its column, as far as that decides about memory.
    fn check_claims(&self, chunk: &Chunk, header: Header) -> Result<(), String> {
        let column = self.metadata_of(chunk)?;
        let said = column.encodings().any(|encoding| encoding == Encoding::DELTA_BYTE_ARRAY);
        let longest = u64::try_from(column.uncompressed_size()).unwrap_or(0);
        let is_difference = matches!(header.content, Content::Values(_, Layout::Differences));
        if is_difference && !(said && header.unpacked <= longest) {
            let place = self.place(chunk);
            return Err(format!("a page of texts in {place} of which the footer says nothing"));
        }
        Ok(())
    }

    /// Holds the count of a page against what can be in it.
    fn check_counts(&self, chunk: &Chunk, header: Header) -> Result<(), String> {
        let column = self.metadata_of(chunk)?;
        let place = || self.place(chunk);
        match header.content {
            Content::Dictionary(values) => {
                let bytes = header.unpacked.max(header.packed);
                if u64::from(values).saturating_mul(least(column)) > bytes {
                    let place = place();
                    return Err(format!(
                        "a dictionary of {values} values in {bytes} bytes in {place}"
                    ));
                }
            }
            Content::Values(values, _) => {
                let group = self.metadata.row_groups().get(chunk.group);
                let rows = group.map_or(0, |group| group.num_rows());
                // A row of a list has several values.
                let is_list = column.column_descr().max_rep_level() > 0;
                let most = if is_list { column.num_values() } else { rows };
                if i64::from(values) > most {
                    let place = place();
                    return Err(format!("a page of {values} values in {place}, which has {most}"));
                }
            }
            Content::Other => {}
        }
        Ok(())
    }
}

/// The fewest bytes of a value of a dictionary.
fn least(column: &ColumnChunkMetaData) -> u64 {
    match column.column_type() {
        Type::BOOLEAN => 0,
        Type::INT32 | Type::FLOAT | Type::BYTE_ARRAY => 4,
        Type::INT64 | Type::DOUBLE => 8,
        Type::INT96 => 12,
        Type::FIXED_LEN_BYTE_ARRAY => column.column_descr().type_length().max(0) as u64,
    }
}

/// Bytes that the library takes for the values of a page beside the page.
fn decoded(column: &ColumnChunkMetaData, content: Content) -> u64 {
    /// Of a text of a dictionary: where it is.
    const VIEW: u64 = 16;
    match (content, column.column_type()) {
        (Content::Dictionary(values), Type::BYTE_ARRAY) => u64::from(values) * VIEW,
        (Content::Dictionary(values), Type::BOOLEAN) => u64::from(values),
        (Content::Dictionary(values), _) => u64::from(values).saturating_mul(least(column)),
        (Content::Values(values, layout), _) => u64::from(values) * layout.lengths(),
        (Content::Other, _) => 0,
    }
}

#[cfg(test)]
mod tests;
