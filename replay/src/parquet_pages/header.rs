//! The header in front of a page of Parquet, as far as it says what the page takes.
//!
//! Headers are Thrift structs in the compact protocol. One that could be read in two ways, such as with
//! a field twice, is refused: the library must find the same sizes as are found here.

use std::io::{self, Read};

/// Bytes of the longest header: the smallest and the largest value of the page can be in it.
const LONGEST: usize = 1 << 20;

/// Structs in structs.
const DEEPEST: usize = 4;

/// The number of the type of pages that are dictionaries.
const DICTIONARY: i64 = 2;

/// The number of the encoding of texts as differences from the one before.
const DELTA_BYTE_ARRAY: i64 = 7;

/// What a header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// Whether the page is the dictionary of the others.
    pub(super) is_dictionary: bool,
    /// Whether each text is written as the difference from the one before.
    pub(super) is_difference: bool,
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
    let (mut scan, mut header) = (Scan { from, seen: Vec::new() }, Header::default());
    let (mut unpacked, mut packed) = (None, None);
    scan.fields(&mut Vec::new(), &mut |path, value| match path {
        [1] => header.is_dictionary = value == DICTIONARY,
        [2] => unpacked = Some(value),
        [3] => packed = Some(value),
        // The encoding of a page of the first and of the second version.
        [5, 2] | [8, 4] => header.is_difference |= value == DELTA_BYTE_ARRAY,
        // Negative ones are refused by the library.
        [8, 5 | 6] => header.levels = header.levels.saturating_add(value.try_into().unwrap_or(0)),
        _ => {}
    })?;
    let size = |size: Option<i64>| size.and_then(|size| i32::try_from(size).ok()?.try_into().ok());
    let (Some(unpacked), Some(packed)) = (size(unpacked), size(packed)) else {
        return Err(not_a_header());
    };
    Ok((Header { unpacked, packed, ..header }, scan.seen))
}

fn not_a_header() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what is not the header of a page")
}

/// Takes the numbers of fields on the way to a number, and the number.
type Each<'a> = &'a mut dyn FnMut(&[i16], i64);

struct Scan<'a, R> {
    from: &'a mut R,
    seen: Vec<u8>,
}

impl<R: Read> Scan<'_, R> {
    /// The fields of a struct, whose own place is `path`.
    fn fields(&mut self, path: &mut Vec<i16>, each: Each<'_>) -> io::Result<()> {
        let mut last = 0i16;
        loop {
            let byte = self.byte()?;
            let (step, kind) = (i16::from(byte >> 4), byte & 0x0f);
            if byte == 0 {
                return Ok(());
            }
            let id = match step {
                0 => i16::try_from(self.number()?).ok(),
                step => last.checked_add(step),
            };
            last = id.filter(|id| *id > last).ok_or_else(not_a_header)?;
            path.push(last);
            self.value(kind, path, each)?;
            path.pop();
        }
    }

    fn value(&mut self, kind: u8, path: &mut Vec<i16>, each: Each<'_>) -> io::Result<()> {
        match kind {
            // A truth is its type.
            1 | 2 => Ok(()),
            3 => self.byte().map(drop),
            4..=6 => {
                let number = self.number()?;
                each(path, number);
                Ok(())
            }
            8 => {
                let length = usize::try_from(self.unsigned()?).map_err(|_| not_a_header())?;
                self.bytes(length)
            }
            12 if path.len() < DEEPEST => self.fields(path, each),
            _ => Err(not_a_header()),
        }
    }

    fn bytes(&mut self, length: usize) -> io::Result<()> {
        let begin = self.seen.len();
        let end = begin.checked_add(length).filter(|end| *end <= LONGEST);
        self.seen.resize(end.ok_or_else(not_a_header)?, 0);
        self.from.read_exact(&mut self.seen[begin..])
    }

    fn byte(&mut self) -> io::Result<u8> {
        self.bytes(1)?;
        self.seen.last().copied().ok_or_else(not_a_header)
    }

    fn unsigned(&mut self) -> io::Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(not_a_header())
    }

    fn number(&mut self) -> io::Result<i64> {
        let zigzag = self.unsigned()?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
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
        let expected =
            Header { is_difference: true, unpacked: 100, packed: 30, ..Header::default() };
        assert_eq!((header, &bytes[..], from), (expected, &PAGE[..], &b"data"[..]));
        let dictionary = [0x15, 4, 0x15, 200, 1, 0x15, 60, 0];
        let (header, _) = read(&mut &dictionary[..]).unwrap();
        assert!(header.is_dictionary && !header.is_difference);
        // The eighth field: values, nulls, rows, encoding, and 3 and 4 bytes of levels.
        let second = [0x15, 6, 0x15, 200, 1, 0x15, 60, 0x5c];
        let second = [&second[..], &[0x15, 20, 0x15, 0, 0x15, 20, 0x15, 0, 0x15, 6, 0x15, 8, 0, 0]];
        assert_eq!(read(&mut &second.concat()[..]).unwrap().0.levels, 7);
    }

    #[test]
    fn what_could_be_read_in_two_ways_or_has_no_end_is_refused() {
        for bytes in [
            &PAGE[..15],
            // No sizes; one that is negative; one that no 32 bits can hold.
            &[0x15, 0, 0],
            &[0x15, 0, 0x15, 1, 0x15, 60, 0],
            &[0x15, 0, 0x16, 0x80, 0x80, 0x80, 0x80, 0x20, 0x15, 60, 0],
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
