//! What surrounds saved state: a mark, a version, a checksum.

use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_64;

/// First bytes of everything saved.
const MARK: [u8; 4] = *b"BFCK";

/// Version of the content. It changes whenever an older or newer barflow would misread it.
pub const VERSION: u16 = 6;

/// Before the content: the mark and the version.
const HEAD: usize = MARK.len() + 2;

/// Behind the content: its checksum.
const TAIL: usize = 8;

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
        }
        for end in 0..sealed.len() {
            assert!(open::<(String, u64)>(&sealed[..end]).is_err(), "cut at {end}");
        }
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
