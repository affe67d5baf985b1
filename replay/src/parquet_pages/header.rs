//! The header in front of a page of Parquet, as far as it says what the page takes.
//!
//! One that could be read in two ways, such as with a field twice, is refused: the library must find the
//! same sizes as are found here.

use std::collections::BTreeMap;
use std::io::{self, Read};

use crate::parquet_thrift::shapes::PAGE_HEADER;
use crate::parquet_thrift::{self, Source, Visit};

/// Bytes of the longest header: the smallest and the largest value of the page can be in it.
const LONGEST: usize = 1 << 20;

/// What is in a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// The dictionary of the pages of values, of so many values.
    Dictionary(u32),
    /// So many values, or places without one.
    Values(u32, Layout),
    /// What the library passes over.
    Other,
}

/// How values are written, as far as that decides about memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// The lengths of all texts first.
    Lengths,
    /// The difference of each text from the one before, their lengths first.
    Differences,
    /// In a way that has no counts of its own before the values.
    Uncounted,
}

impl Layout {
    /// By the number of an encoding.
    fn of(encoding: i64) -> Self {
        match encoding {
            6 => Self::Lengths,
            7 => Self::Differences,
            _ => Self::Uncounted,
        }
    }

    /// Bytes of the lengths of a text, once they are unpacked.
    pub(super) fn lengths(self) -> u64 {
        match self {
            Self::Lengths => 4,
            Self::Differences => 8,
            Self::Uncounted => 0,
        }
    }
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// What the page is.
    pub(super) content: Content,
    /// Bytes of the page, unpacked.
    pub(super) unpacked: u64,
    /// Bytes of the page in the file.
    pub(super) packed: u64,
    /// Bytes at its beginning that are never packed: the levels of a page of the second version.
    pub(super) levels: u64,
}

/// Reads a header; also returns its bytes, which are then gone from the reader.
///
/// # Errors
/// When it is not a header, or a longer one than there are.
pub(super) fn read(from: &mut impl Read) -> io::Result<(Header, Vec<u8>)> {
    let (mut seen, mut said) = (Seen { from, bytes: Vec::new() }, Said::default());
    parquet_thrift::read(&mut seen, PAGE_HEADER, &mut said)?;
    let header = of_fields(&said.0).ok_or_else(not_a_header)?;
    Ok((header, seen.bytes))
}

/// None where a field is missing or impossible.
fn of_fields(said: &BTreeMap<Vec<i16>, i64>) -> Option<Header> {
    let field = |path: &[i16]| said.get(path).copied();
    let size = |path: &[i16]| u32::try_from(i32::try_from(field(path)?).ok()?).ok();
    // The fields of a page of the first and of the second version have places of their own.
    let content = match field(&[1])? {
        0 => Content::Values(size(&[5, 1])?, Layout::of(field(&[5, 2])?)),
        2 => Content::Dictionary(size(&[7, 1])?),
        3 => Content::Values(size(&[8, 1])?, Layout::of(field(&[8, 4])?)),
        _ => Content::Other,
    };
    // Negative ones are refused by the library.
    let levels = [field(&[8, 5]), field(&[8, 6])].into_iter().flatten();
    let levels =
        levels.filter_map(|length| u64::try_from(length).ok()).fold(0, u64::saturating_add);
    Some(Header { content, unpacked: size(&[2])?.into(), packed: size(&[3])?.into(), levels })
}

fn not_a_header() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what is not the header of a page")
}

/// Numbers by their places.
#[derive(Default)]
struct Said(BTreeMap<Vec<i16>, i64>);

impl Visit for Said {
    fn number(&mut self, place: &[i16], value: i64) -> io::Result<()> {
        if matches!(place, [1..=3] | [5 | 7 | 8, 1..=6]) {
            self.0.insert(place.to_vec(), value);
        }
        Ok(())
    }
}

/// Keeps what was read.
struct Seen<'a, R> {
    from: &'a mut R,
    bytes: Vec<u8>,
}

impl<R: Read> Source for Seen<'_, R> {
    fn byte(&mut self) -> io::Result<u8> {
        self.skip(1)?;
        self.bytes.last().copied().ok_or_else(not_a_header)
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        let begin = self.bytes.len();
        let length = usize::try_from(length).ok();
        let end = length.and_then(|length| begin.checked_add(length)).filter(|end| *end <= LONGEST);
        self.bytes.resize(end.ok_or_else(not_a_header)?, 0);
        self.from.read_exact(&mut self.bytes[begin..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of 100 bytes, packed in 30, whose values are differences.
    const PAGE: [u8; 16] = [
        0x15, 0, 0x15, 200, 1, 0x15, 60, // type, sizes
        0x2c, 0x15, 20, 0x15, 14, 0x15, 6, 0, // the fifth field: values, encoding, levels
        0,
    ];

    #[test]
    fn sizes_and_encoding_are_read_and_nothing_behind_the_header() {
        let mut from = &[&PAGE[..], b"data"].concat()[..];
        let (header, bytes) = read(&mut from).unwrap();
        let content = Content::Values(10, Layout::Differences);
        let expected = Header { content, unpacked: 100, packed: 30, levels: 0 };
        assert_eq!((header, &bytes[..], from), (expected, &PAGE[..], &b"data"[..]));
        // The eighth field: values, nulls, rows, encoding, and 3 and 4 bytes of levels.
        let second = [0x15, 6, 0x15, 200, 1, 0x15, 60, 0x5c];
        let second = [&second[..], &[0x15, 20, 0x15, 0, 0x15, 20, 0x15, 0, 0x15, 6, 0x15, 8, 0, 0]];
        assert_eq!(read(&mut &second.concat()[..]).unwrap().0.levels, 7);
        for (bytes, content) in [
            // The seventh field: values, encoding.
            (
                &[0x15, 4, 0x15, 2, 0x15, 2, 0x4c, 0x15, 20, 0x15, 0, 0, 0][..],
                Content::Dictionary(10),
            ),
            // The eighth field: values, nulls, rows, encoding.
            (
                &[0x15, 6, 0x15, 2, 0x15, 2, 0x5c, 0x15, 20, 0x15, 0, 0x15, 20, 0x15, 12, 0, 0],
                Content::Values(10, Layout::Lengths),
            ),
            // A page of the first version with what the library takes for one of the second.
            (
                &[
                    0x15, 0, 0x15, 2, 0x15, 2, 0x2c, 0x15, 2, 0x15, 0, 0, 0x3c, 0x15, 20, 0x35, 12,
                    0, 0,
                ],
                Content::Values(1, Layout::Uncounted),
            ),
            (&[0x15, 2, 0x15, 2, 0x15, 2, 0], Content::Other),
        ] {
            let (header, _) = read(&mut &*bytes).unwrap();
            assert_eq!(header.content, content, "{bytes:x?}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_or_has_no_end_is_refused() {
        for bytes in [
            &PAGE[..15],
            // No sizes; one that is negative; one that no 32 bits can hold.
            &[0x15, 0, 0],
            &[0x15, 0, 0x15, 1, 0x15, 60, 0],
            &[0x15, 0, 0x16, 0x80, 0x80, 0x80, 0x80, 0x20, 0x15, 60, 0],
            // No count; one below zero; no encoding.
            &[0x15, 0, 0x15, 2, 0x15, 2, 0x2c, 0x25, 0, 0, 0],
            &[0x15, 4, 0x15, 2, 0x15, 2, 0x4c, 0x15, 1, 0, 0],
            &[0x15, 0, 0x15, 2, 0x15, 2, 0x2c, 0x15, 2, 0, 0],
            // A checksum that is a text, in which the library would find other fields.
            &[0x15, 0, 0x15, 2, 0x15, 2, 0x18, 3, 0x1c, 0x15, 0, 0x2c, 0x15, 2, 0x15, 0, 0, 0],
            // The second field twice.
            &[0x15, 0, 0x15, 2, 0x15, 2, 0x05, 4, 200, 1, 0],
            // A text of 2 GiB, a number without an end, structs in structs, a list.
            &[0x18, 0xff, 0xff, 0xff, 0xff, 0x07],
            &[0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x1c; 1000],
            &[0x19, 0x05, 0],
        ] {
            assert!(read(&mut &bytes[..]).is_err(), "{bytes:x?}");
        }
    }
}
