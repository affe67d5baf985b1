//! How many texts a page says it has where their lengths stand before them.
//!
//! The lengths are packed as differences, of which a block of five bytes can stand for any number: the
//! library makes room for all of them first. There cannot be more of them than values in the page. Of
//! differences of texts there are two such lists, the second one behind the first.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageReader};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::serialized_reader::SerializedPageReader;

/// Numbers in a part of a block come in multiples of this.
const STEP: u64 = 32;

/// Looks at a page with its header, as the library unpacks it.
///
/// # Errors
/// What is wrong with it, in words that "in column …" can follow.
pub(super) fn check(page: &Bytes, column: &ColumnChunkMetaData) -> Result<(), String> {
    let unpacked = unpack(page, column).map_err(|error| format!("{error},"))?;
    if column.column_descr().max_rep_level() > 0 {
        return Err("lists of texts with their lengths before them, which are not read,".to_owned());
    }
    let (bytes, values, encoding, levels) = match &unpacked {
        Page::DataPage { buf, num_values, encoding, def_level_encoding, .. } => {
            let levels = levels(buf, *def_level_encoding, column)?;
            (buf, *num_values, *encoding, levels)
        }
        Page::DataPageV2 { buf, num_values, encoding, def_levels_byte_len, .. } => {
            (buf, *num_values, *encoding, *def_levels_byte_len as usize)
        }
        Page::DictionaryPage { .. } => return Ok(()),
    };
    let mut lists = Lists(bytes.get(levels..).ok_or("a page of texts that ends before them")?);
    let counts = match encoding {
        Encoding::DELTA_LENGTH_BYTE_ARRAY => vec![lists.count()],
        Encoding::DELTA_BYTE_ARRAY => vec![lists.pass(), lists.count()],
        _ => return Ok(()),
    };
    for count in counts {
        let count = count.ok_or("a page of texts without their lengths")?;
        if count > u64::from(values) {
            return Err(format!("a page of {values} values with the lengths of {count} texts"));
        }
    }
    Ok(())
}

/// Unpacks a page that begins with its header.
fn unpack(page: &Bytes, column: &ColumnChunkMetaData) -> Result<Page, String> {
    let alone = column.clone().into_builder();
    let alone = alone.set_dictionary_page_offset(None).set_data_page_offset(0);
    let alone = alone.set_total_compressed_size(page.len() as i64).build();
    let alone = alone.map_err(|error| error.to_string())?;
    let reader = SerializedPageReader::new(Arc::new(page.clone()), &alone, 0, None);
    let read = reader.and_then(|mut reader| reader.get_next_page());
    read.map_err(|error| error.to_string())?.ok_or_else(|| "no page".to_owned())
}

/// Bytes of the levels in front of the values in a page of the first version.
fn levels(
    bytes: &Bytes,
    encoding: Encoding,
    column: &ColumnChunkMetaData,
) -> Result<usize, &'static str> {
    if column.column_descr().max_def_level() == 0 {
        return Ok(0);
    }
    let length = bytes.first_chunk::<4>().map(|length| u32::from_le_bytes(*length));
    match (encoding, length) {
        (Encoding::RLE, Some(length)) => Ok((length as usize).saturating_add(4)),
        _ => Err("levels of texts that are not read"),
    }
}

/// Lists of numbers that are packed as differences.
struct Lists<'a>(&'a [u8]);

/// What a list begins with.
struct Head {
    /// Numbers of a block.
    block: u64,
    /// Parts of a block.
    parts: u64,
    count: u64,
}

impl<'a> Lists<'a> {
    /// How many numbers the next list says it has.
    fn count(&mut self) -> Option<u64> {
        self.head().map(|head| head.count)
    }

    /// As [`Self::count`]; what follows the list is next.
    fn pass(&mut self) -> Option<u64> {
        let head = self.head()?;
        let per_part = head.block.checked_div(head.parts)?;
        if per_part == 0 || !per_part.is_multiple_of(STEP) {
            return None;
        }
        // The first number is in the head.
        let mut left = head.count.saturating_sub(1);
        while left > 0 {
            self.number()?;
            let widths = self.take(head.parts)?;
            for width in widths {
                if left == 0 {
                    break;
                }
                self.take(u64::from(*width).checked_mul(per_part / 8)?)?;
                left = left.saturating_sub(per_part);
            }
        }
        Some(head.count)
    }

    fn head(&mut self) -> Option<Head> {
        let (block, parts, count) = (self.number()?, self.number()?, self.number()?);
        self.number()?;
        Some(Head { block, parts, count })
    }

    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}
