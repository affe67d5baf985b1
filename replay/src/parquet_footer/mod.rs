//! The footer of a Parquet file, read within limits.
//!
//! The library takes the columns of a footer in a function that calls itself for each column within
//! another, and some hundred bytes for each of its parts, which can be one byte in the file. So the footer
//! is looked at first: what it has more of than any file of trades or bars is refused.

mod scan;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;

use crate::parquet_guard::guarded;

/// Bytes of the longest footer: a file of ours may list a million ids that were left out.
pub(crate) const LONGEST: u64 = 64 << 20;

/// Length and magic at the end of a file.
const TAIL: usize = 8;

/// Reads a file's footer, as these options say.
///
/// # Errors
/// What the library says, and when the footer is larger than those of trades and bars.
pub fn read(file: &File, options: ArrowReaderOptions) -> Result<ArrowReaderMetadata, String> {
    let Some(bytes) = bytes(file)? else {
        // It ends in no footer that is read, which the library says in its words.
        return guarded(|| ArrowReaderMetadata::load(file, options));
    };
    scan::check(&bytes)?;
    guarded(|| {
        let metadata = ParquetMetaDataReader::decode_metadata(&bytes)?;
        ArrowReaderMetadata::try_new(Arc::new(metadata), options)
    })
}

/// The bytes of the footer; none where there is none.
fn bytes(file: &File) -> Result<Option<Vec<u8>>, String> {
    let disk = |error: io::Error| ParquetError::from(error).to_string();
    let end = file.metadata().map_err(disk)?.len();
    let Some(begin_of_tail) = end.checked_sub(TAIL as u64) else { return Ok(None) };
    let mut tail = [0; TAIL];
    file.read_exact_at(&mut tail, begin_of_tail).map_err(disk)?;
    let [a, b, c, d, magic @ ..] = tail;
    let length = u64::from(u32::from_le_bytes([a, b, c, d]));
    let Some(begin) = begin_of_tail.checked_sub(length).filter(|_| magic == *b"PAR1") else {
        return Ok(None);
    };
    if length > LONGEST {
        return Err(format!(
            "a footer of {} MiB (those of at most {} MiB are read): write the file again with fewer or \
             larger row groups",
            length >> 20,
            LONGEST >> 20
        ));
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, begin).map_err(disk)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A file that ends in these bytes as its footer.
    fn read_of(footer: &[u8], length: u32) -> Result<ArrowReaderMetadata, String> {
        let mut file = tempfile::tempfile().unwrap();
        let parts = [b"PAR1", footer, &length.to_le_bytes(), b"PAR1"];
        file.write_all(&parts.concat()).unwrap();
        read(&file, ArrowReaderOptions::default())
    }

    #[test]
    fn a_footer_that_is_too_long_is_not_read() {
        let mut file = tempfile::tempfile().unwrap();
        file.set_len(100 << 20).unwrap();
        io::Seek::seek(&mut file, io::SeekFrom::End(0)).unwrap();
        file.write_all(&(65u32 << 20).to_le_bytes()).unwrap();
        file.write_all(b"PAR1").unwrap();
        let error = read(&file, ArrowReaderOptions::default()).unwrap_err();
        assert!(error.starts_with("a footer of 65 MiB (those of at most 64 MiB"), "{error}");
    }

    #[test]
    fn what_is_no_footer_is_said_by_the_library() {
        for (footer, length) in [(&b""[..], 99), (b"", 0), (&[0x15, 2, 0], 3), (&[0xff; 9], 9)] {
            let error = read_of(footer, length).unwrap_err();
            assert!(error.len() > 10, "{error}");
        }
    }
}
