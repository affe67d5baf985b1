//! Lengths that are read from outside: never believed.

use std::io::{self, Read};

/// Why a stretch of so many bytes is not there.
#[derive(Debug, thiserror::Error)]
pub enum Overlong {
    /// It would be longer than anything that is written.
    #[error("{length} bytes, and the limit is {most}")]
    Most {
        /// How long it is said to be.
        length: u64,
        /// The longest possible.
        most: u64,
    },
    /// It would go beyond the end.
    #[error("{length} bytes, and {left} are left")]
    Left {
        /// How long it is said to be.
        length: u64,
        /// Bytes up to the end.
        left: u64,
    },
}

/// A length that was read, if it can be true: at most `most`, and not more than is `left`.
///
/// # Errors
/// When it cannot.
pub fn length(length: u64, left: u64, most: u64) -> Result<usize, Overlong> {
    if length > most {
        return Err(Overlong::Most { length, most });
    }
    if length > left {
        return Err(Overlong::Left { length, left });
    }
    // Not above `left`, and what is left is on a disk of this computer.
    usize::try_from(length).map_err(|_| Overlong::Left { length, left })
}

/// Replaces what is in a buffer by the next `length` bytes. Takes no more memory than came.
///
/// # Errors
/// When they do not come.
pub fn fill(from: &mut impl Read, length: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    let came = from.take(length as u64).read_to_end(buffer)?;
    if came < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_held_against_what_is_left_and_what_is_possible() {
        assert_eq!(length(3, 3, 4).unwrap(), 3);
        assert_eq!(length(5, 9, 4).unwrap_err().to_string(), "5 bytes, and the limit is 4");
        assert_eq!(length(4, 3, 4).unwrap_err().to_string(), "4 bytes, and 3 are left");
        assert!(length(u64::MAX, u64::MAX - 1, u64::MAX).is_err());
    }

    #[test]
    fn a_buffer_grows_with_what_comes() {
        let mut buffer = vec![7; 3];
        fill(&mut &b"abcd"[..], 2, &mut buffer).unwrap();
        assert_eq!(buffer, b"ab");
        assert!(fill(&mut &b"abcd"[..], usize::MAX, &mut buffer).is_err());
        assert!(buffer.capacity() < 1 << 16);
    }
}
