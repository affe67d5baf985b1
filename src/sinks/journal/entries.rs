//! Bars as a journal has them: a head, a bar in postcard's format, and the checksum of both.
//!
//! The head is the length of the bar with `MARK` in its highest byte. Entries without mark and checksum
//! were written by earlier versions; they come before those that have one.

use std::io::{self, BufReader, Read, Take};

use barflow_operators::published::PublishedBar;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::bounded::{self, Overlong};

/// What reading a journal does when the end is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenStopped {
    /// It ends with an error: a later run reads it again.
    Ends,
    /// It continues: it belongs to the end.
    Continues,
}

/// The longest entry: far above any bar.
const LONGEST: u64 = 1 << 20;

/// Bytes of a head.
const LENGTH: u64 = 4;

/// Highest byte of the head of an entry that ends with a checksum.
const MARK: u32 = 0xbf << 24;

/// Bytes of a checksum.
const CHECKSUM: u64 = 8;

/// A bar, published (+1) or retracted (−1).
pub type Update = (PublishedBar, isize);

/// A journal that is not as it was written.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// The disk does not let us read it.
    #[error(transparent)]
    Disk(#[from] io::Error),
    /// An entry cannot be of that length.
    #[error("damaged at byte {at}, bar {bar}: its entry claims {reason}")]
    Length {
        /// Where.
        at: u64,
        /// Which bar, from 1.
        bar: u64,
        /// Why not.
        reason: Overlong,
    },
    /// An entry is not a bar.
    #[error("damaged at byte {at}, bar {bar}: {reason}")]
    Entry {
        /// Where.
        at: u64,
        /// Which bar, from 1.
        bar: u64,
        /// What is wrong.
        reason: postcard::Error,
    },
    /// An entry is not what was written.
    #[error("damaged at byte {at}, bar {bar}: {what}")]
    Changed {
        /// Where.
        at: u64,
        /// Which bar, from 1.
        bar: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// There are more bytes than bars.
    #[error(
        "damaged: its {bars} bars end at byte {at}, and its checkpoint expects {expected} bytes"
    )]
    Rest {
        /// Where the last bar ends.
        at: u64,
        /// How many bars there are.
        bars: u64,
        /// Where it should end.
        expected: u64,
    },
}

/// Adds an entry.
///
/// # Errors
/// When a bar cannot be written, which is none that is made of numbers and names.
pub fn write(update: &Update, to: &mut Vec<u8>) -> Result<(), postcard::Error> {
    let entry = postcard::to_stdvec(update)?;
    let head = (MARK | entry.len() as u32).to_le_bytes();
    to.extend_from_slice(&head);
    to.extend_from_slice(&entry);
    to.extend_from_slice(&checksum(head, &entry));
    Ok(())
}

fn checksum(head: [u8; 4], entry: &[u8]) -> [u8; CHECKSUM as usize] {
    xxh3_64_with_seed(entry, u32::from_le_bytes(head).into()).to_le_bytes()
}

/// The entries of a journal.
pub struct Entries<R> {
    from: BufReader<Take<R>>,
    /// Bytes in which the entries are.
    bytes: u64,
    /// Entries in them.
    bars: u64,
    /// Bytes read.
    at: u64,
    /// Entries read.
    read: u64,
    /// Whether entries have checksums from here on.
    checked: bool,
    buffer: Vec<u8>,
}

impl<R: Read> Entries<R> {
    /// Those of the first `bytes`, which hold so many `bars`.
    pub fn new(from: R, bytes: u64, bars: u64) -> Self {
        let from = BufReader::new(from.take(bytes));
        Self { from, bytes, bars, at: 0, read: 0, checked: false, buffer: Vec::new() }
    }

    fn read_next(&mut self) -> Result<Update, Damage> {
        let (at, bar) = (self.at, self.read + 1);
        let wrong = |reason| Damage::Length { at, bar, reason };
        let left = self.bytes - self.at;
        let cut = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Damage::Changed { at, bar, what: "its entry is cut" },
            _ => Damage::Disk(error),
        };
        let of_length = bounded::length(LENGTH, left, LENGTH).map_err(wrong)?;
        bounded::fill(&mut self.from, of_length, &mut self.buffer).map_err(cut)?;
        let head: [u8; 4] = self.buffer[..].try_into().unwrap_or_default();
        let claimed = u32::from_le_bytes(head);
        let is_checked = claimed & 0xff00_0000 == MARK;
        let (claimed, after) = match is_checked {
            true => (claimed & !MARK, CHECKSUM),
            false => (claimed, 0),
        };
        let left = (left - LENGTH).saturating_sub(after);
        let length = bounded::length(claimed.into(), left, LONGEST).map_err(wrong)?;
        bounded::fill(&mut self.from, length, &mut self.buffer).map_err(cut)?;
        let changed = |what| Damage::Changed { at, bar, what };
        if is_checked {
            let mut expected = [0; CHECKSUM as usize];
            self.from.read_exact(&mut expected).map_err(cut)?;
            if expected != checksum(head, &self.buffer) {
                return Err(changed("its checksum does not match"));
            }
        } else if self.checked {
            return Err(changed("its entry has no checksum"));
        }
        let update = postcard::from_bytes(&self.buffer).map_err(|reason| Damage::Entry {
            at,
            bar,
            reason,
        })?;
        self.checked = is_checked;
        self.at += LENGTH + length as u64 + after;
        self.read += 1;
        Ok(update)
    }
}

impl<R: Read> Iterator for Entries<R> {
    type Item = Result<Update, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.read < self.bars {
            let next = self.read_next();
            if next.is_err() {
                self.bars = self.read;
                self.bytes = self.at;
            }
            return Some(next);
        }
        let (at, bars, expected) = (self.at, self.bars, self.bytes);
        if at == expected {
            return None;
        }
        self.bytes = at;
        Some(Err(Damage::Rest { at, bars, expected }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use barflow_operators::bar::{CloseReason, Levels, OpenBar};
    use barflow_operators::batch::{Feed, IdKind, InputKind};
    use proptest::prelude::*;

    use super::*;

    fn journal(bars: u64) -> Vec<u8> {
        let feed = Arc::new(Feed {
            instrument: "a:b:C".parse().unwrap(),
            input: InputKind::Trades,
            ids: IdKind::Venue,
            has_aggressor: true,
        });
        let mut bytes = Vec::new();
        for seq in 0..bars {
            let bar = OpenBar::default().finish(seq, &Levels::default(), CloseReason::Threshold, 7);
            let feed = Arc::clone(&feed);
            write(
                &(
                    PublishedBar {
                        spec: "t".into(),
                        feed,
                        bar,
                        received: None,
                        synchronised: Default::default(),
                    },
                    1,
                ),
                &mut bytes,
            )
            .unwrap();
        }
        bytes
    }

    fn read(bytes: &[u8], bars: u64) -> Result<u64, Damage> {
        let entries = Entries::new(bytes, bytes.len() as u64, bars);
        entries.map(|entry| entry.map(|_| 1)).sum()
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(read(&journal(3), 3).unwrap(), 3);
        assert_eq!(read(&[], 0).unwrap(), 0);
    }

    #[test]
    fn a_length_that_cannot_be_is_named_with_its_place() {
        let mut bytes = journal(3);
        let second = bytes.len() / 3;
        bytes[second..second + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        let text = read(&bytes, 3).unwrap_err().to_string();
        let place = format!("damaged at byte {second}, bar 2: its entry claims 4294967295 bytes");
        assert!(text.starts_with(&place), "{text}");
        bytes[second..second + 4].copy_from_slice(&(1u32 << 19).to_le_bytes());
        let text = read(&bytes, 3).unwrap_err().to_string();
        assert!(text.contains("524288 bytes, and") && text.contains("are left"), "{text}");
        assert!(read(&journal(2), 3).unwrap_err().to_string().contains("0 are left"));
        assert!(read(&journal(3), 2).unwrap_err().to_string().contains("its 2 bars end at byte"));
    }

    #[test]
    fn any_flipped_bit_is_noticed_and_earlier_entries_are_read() {
        let sealed = journal(3);
        for at in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[at / 8] ^= 1 << (at % 8);
            assert!(read(&damaged, 3).is_err(), "bit {at}");
        }
        let one = journal(1);
        let length = one.len() - 12;
        let mut earlier = (length as u32).to_le_bytes().to_vec();
        earlier.extend_from_slice(&one[4..4 + length]);
        assert_eq!(read(&[&earlier[..], &one].concat(), 2).unwrap(), 2);
        let error = read(&[&one[..], &earlier].concat(), 2).unwrap_err().to_string();
        assert!(error.contains("bar 2: its entry has no checksum"), "{error}");
    }

    #[test]
    fn a_cut_entry_is_damage_and_no_error_of_the_disk() {
        let two = journal(2);
        let longer = |bytes: &[u8]| Entries::new(bytes, two.len() as u64, 2).collect::<Vec<_>>();
        for end in two.len() / 2..two.len() {
            for read in
                [read(&two[..end], 2).map(|_| ()), longer(&two[..end]).pop().unwrap().map(|_| ())]
            {
                let error = read.unwrap_err();
                assert!(!matches!(error, Damage::Disk(_)), "cut at {end}: {error}");
                assert!(error.to_string().contains("bar 2"), "cut at {end}: {error}");
            }
        }
        let found = [3, 0, 0, 0, 191, 191, 47, 39, 84, 255, 0];
        for end in 0..found.len() {
            let error = read(&found[..end], 1).unwrap_err();
            assert!(!matches!(error, Damage::Disk(_)), "cut at {end}: {error}");
        }
    }

    proptest! {
        #[test]
        fn damage_ends_the_reading(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in any::<prop::sample::Index>(),
            bars in 0..8u64,
        ) {
            let mut bytes = journal(4);
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            let entries = Entries::new(&bytes[..], bytes.len() as u64, bars);
            let read: Vec<_> = entries.collect();
            prop_assert!(read.len() as u64 <= bars + 1);
            prop_assert!(!read.iter().any(|entry| matches!(entry, Err(Damage::Disk(_)))));
        }
    }
}
