//! What surrounds saved state: a mark, a version, a checksum.

use std::io::{self, Read};

use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

/// First bytes of everything saved.
const MARK: [u8; 4] = *b"BFCK";

/// Version of the content. It changes whenever an older or newer barflow would misread it.
pub const VERSION: u16 = 8;

/// Before the content: the mark and the version.
const HEAD: usize = MARK.len() + 2;

/// Behind the content: its checksum.
const TAIL: usize = 8;

/// Bytes that are looked at at once.
const BLOCK: usize = 1 << 16;

/// Saved state that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It does not begin as ours do.
    #[error("not a barflow checkpoint")]
    Foreign,
    /// It was written by another version.
    #[error("it has version {found}; this barflow reads version {VERSION}")]
    Version {
        /// What it says.
        found: u16,
    },
    /// Its checksum is wrong, or its content makes no sense.
    #[error("it is damaged: {0}")]
    Damaged(String),
}

/// Puts a mark, the version and a checksum (xxh3-64) around what is saved, in postcard's format:
/// numbers keep their bit patterns.
pub fn seal(content: &impl Serialize) -> Vec<u8> {
    let mut head = MARK.to_vec();
    head.extend_from_slice(&VERSION.to_le_bytes());
    // The format refuses nothing but sequences of unknown length, and a Vec is never full; what we
    // save has neither.
    let mut bytes = postcard::to_extend(content, head)
        .unwrap_or_else(|error| unreachable!("the state cannot be serialised: {error}"));
    let checksum = xxh3_64(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Whether the bytes of a file are an envelope that is whole, looked at block by block: a length that
/// somebody made up costs no memory. What is foreign is known by its first bytes.
///
/// # Errors
/// When they cannot be read.
pub fn check(mut from: impl Read, bytes: u64) -> io::Result<Result<(), Unreadable>> {
    let mut block = vec![0; BLOCK];
    let mut left = bytes.saturating_sub(TAIL as u64);
    let mut hash = Xxh3Default::new();
    let mut is_first = true;
    while left > 0 {
        let next = left.min(BLOCK as u64) as usize;
        from.read_exact(&mut block[..next])?;
        if std::mem::take(&mut is_first) && !block[..next].starts_with(&MARK) {
            return Ok(Err(Unreadable::Foreign));
        }
        hash.update(&block[..next]);
        left -= next as u64;
    }
    if is_first {
        return Ok(Err(Unreadable::Foreign));
    }
    let mut tail = [0; TAIL];
    from.read_exact(&mut tail)?;
    Ok(match hash.digest().to_le_bytes() == tail {
        true => Ok(()),
        false => Err(Unreadable::Damaged("its checksum does not match".to_owned())),
    })
}

/// Takes the content out again.
///
/// # Errors
/// When it is foreign, of another version, or damaged.
pub fn open<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    if bytes.len() < HEAD + TAIL || bytes[..MARK.len()] != MARK {
        return Err(Unreadable::Foreign);
    }
    let (sealed, tail) = bytes.split_at(bytes.len() - TAIL);
    if xxh3_64(sealed).to_le_bytes() != *tail {
        return Err(Unreadable::Damaged("its checksum does not match".to_owned()));
    }
    let found = u16::from_le_bytes([sealed[MARK.len()], sealed[MARK.len() + 1]]);
    if found != VERSION {
        return Err(Unreadable::Version { found });
    }
    postcard::from_bytes(&sealed[HEAD..]).map_err(|error| Unreadable::Damaged(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_bits() {
        let numbers = vec![0.1, -0.0, f64::from_bits(0x7ff8_0000_0000_0001), f64::MIN_POSITIVE];
        let again: Vec<f64> = open(&seal(&numbers)).unwrap();
        let bits = |numbers: &[f64]| numbers.iter().map(|n| n.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&again), bits(&numbers));
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let sealed = seal(&("state", 7u64));
        for at in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[at / 8] ^= 1 << (at % 8);
            assert!(open::<(String, u64)>(&damaged).is_err(), "bit {at}");
            assert!(check(&damaged[..], damaged.len() as u64).unwrap().is_err(), "bit {at}");
        }
        for end in 0..sealed.len() {
            assert!(open::<(String, u64)>(&sealed[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn what_is_sealed_is_whole_and_what_is_foreign_is_not_read() {
        for length in [0, 1, BLOCK - 20, BLOCK, 3 * BLOCK] {
            let sealed = seal(&vec![7u8; length]);
            assert_eq!(check(&sealed[..], sealed.len() as u64).unwrap(), Ok(()));
            let cut = sealed.len() as u64 - 1;
            assert!(check(&sealed[..], cut).unwrap().is_err());
        }
        let mut zeros = io::repeat(0).take(1 << 40);
        assert_eq!(check(&mut zeros, 1 << 40).unwrap(), Err(Unreadable::Foreign));
        assert_eq!(zeros.limit(), (1 << 40) - BLOCK as u64);
        assert_eq!(check(&b"BFCK"[..], 4).unwrap(), Err(Unreadable::Foreign));
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let mut sealed = seal(&7u64);
        sealed.truncate(sealed.len() - TAIL);
        sealed[MARK.len()] = 9;
        let checksum = xxh3_64(&sealed);
        sealed.extend_from_slice(&checksum.to_le_bytes());
        assert_eq!(open::<u64>(&sealed), Err(Unreadable::Version { found: 9 }));
        assert_eq!(open::<u64>(b"{\"json\": true, \"long\": true}"), Err(Unreadable::Foreign));
    }
}
