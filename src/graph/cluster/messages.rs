//! timely's messages in the bytes of another process: each has a header that says for which workers it is and how
//! long. timely takes those for granted, so they are checked before it sees them; and an end that was announced (a
//! message without a body) is told from one that was not.

use std::ops::Range;

/// Bytes before every message: six big-endian u64.
const HEADER: usize = 48;

/// Longest message taken. Processes send each other progress and counters, a few KB at a time; trades stay in the
/// process that reads them. A message is kept in memory as a whole, so this bounds what a peer can take.
const LONGEST: u64 = 64 << 20;

/// A header that no process of this job sends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// More than a message can have.
    #[error("it sent a message of {length} bytes; {LONGEST} are possible")]
    Length {
        /// As it was sent.
        length: u64,
    },
    /// From a worker that it does not have.
    #[error("it sent a message of worker {worker}; its workers are {} to {}", .its.start, .its.end - 1)]
    Source {
        /// As it was sent.
        worker: u64,
        /// The workers that it has.
        its: Range<u64>,
    },
    /// For workers that are not here.
    #[error(
        "it sent a message for workers {} to {}; those of this process are {} to {}",
        .workers.start, .workers.end, .here.start, .here.end - 1
    )]
    Target {
        /// As it was sent.
        workers: Range<u64>,
        /// The workers of this process.
        here: Range<u64>,
    },
    /// After it had announced the end.
    #[error("it sent a message after its last one")]
    AfterTheEnd,
}

/// Follows the messages of one process.
#[derive(Debug)]
pub struct MessageCheck {
    its: Range<u64>,
    here: Range<u64>,
    header: [u8; HEADER],
    have: usize,
    body: u64,
    ended: bool,
}

impl MessageCheck {
    /// Messages of the process with the workers `its` to the process with the workers `here`.
    pub fn new(its: Range<usize>, here: Range<usize>) -> Self {
        let wide = |workers: Range<usize>| workers.start as u64..workers.end as u64;
        let (its, here) = (wide(its), wide(here));
        Self { its, here, header: [0; HEADER], have: 0, body: 0, ended: false }
    }

    /// Whether the end was announced.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Follows these bytes.
    ///
    /// # Errors
    /// When they have a header that is not valid: then they must not be passed on.
    pub fn pass(&mut self, mut bytes: &[u8]) -> Result<(), MessageError> {
        while !bytes.is_empty() {
            if self.ended {
                return Err(MessageError::AfterTheEnd);
            }
            if self.body > 0 {
                let passed = bytes.len().min(usize::try_from(self.body).unwrap_or(usize::MAX));
                self.body -= passed as u64;
                bytes = &bytes[passed..];
                continue;
            }
            let taken = bytes.len().min(HEADER - self.have);
            self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == HEADER {
                self.have = 0;
                self.body = self.checked()?;
                self.ended = self.body == 0;
            }
        }
        Ok(())
    }

    /// The length of the message whose header is complete.
    fn checked(&self) -> Result<u64, MessageError> {
        let mut fields = [0; HEADER / 8];
        for (field, bytes) in fields.iter_mut().zip(self.header.as_chunks::<8>().0) {
            *field = u64::from_be_bytes(*bytes);
        }
        let [_channel, source, lower, upper, length, _number] = fields;
        if length == 0 {
            return Ok(0);
        }
        if length > LONGEST {
            return Err(MessageError::Length { length });
        }
        if !self.its.contains(&source) {
            return Err(MessageError::Source { worker: source, its: self.its.clone() });
        }
        if lower >= upper || lower < self.here.start || upper > self.here.end {
            let here = self.here.clone();
            return Err(MessageError::Target { workers: lower..upper, here });
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use timely::communication::networking::MessageHeader;

    use super::*;

    fn header(source: usize, targets: Range<usize>, length: usize) -> Vec<u8> {
        let (target_lower, target_upper) = (targets.start, targets.end);
        let header =
            MessageHeader { channel: 7, source, target_lower, target_upper, length, seqno: 9 };
        let mut bytes = Vec::new();
        header.write_to(&mut bytes).unwrap();
        assert_eq!(bytes.len(), HEADER);
        bytes
    }

    fn message(length: usize) -> Vec<u8> {
        let mut bytes = header(1, 2..4, length);
        bytes.resize(HEADER + length, 0);
        bytes
    }

    /// From a process with workers 0 and 1 to one with workers 2 and 3.
    fn check() -> MessageCheck {
        MessageCheck::new(0..2, 2..4)
    }

    /// Bodies are all zeros, as the last header is: only counting distinguishes them.
    #[test]
    fn the_end_is_told_from_zeros_however_the_bytes_are_cut() {
        let bytes = [message(200), message(1), message(48), header(0, 0..0, 0)].concat();
        for piece in [1, 2, 47, 48, 49, 100, bytes.len()] {
            let mut check = check();
            for (at, piece) in bytes[..bytes.len() - 1].chunks(piece).enumerate() {
                check.pass(piece).unwrap();
                assert!(!check.has_ended(), "piece {at}");
            }
            check.pass(&bytes[bytes.len() - 1..]).unwrap();
            assert!(check.has_ended());
            assert_eq!(check.pass(&[0]), Err(MessageError::AfterTheEnd));
        }
    }

    #[test]
    fn headers_that_no_process_of_the_job_sends_are_refused() {
        let refused = |header: Vec<u8>| check().pass(&header).unwrap_err().to_string();
        let huge = refused(header(1, 2..3, 1 << 40));
        assert_eq!(huge, "it sent a message of 1099511627776 bytes; 67108864 are possible");
        let foreign = refused(header(2, 2..3, 8));
        assert_eq!(foreign, "it sent a message of worker 2; its workers are 0 to 1");
        for targets in [0..1, 1..3, 3..5, 4..5] {
            let text = refused(header(1, targets, 8));
            assert!(text.ends_with("those of this process are 2 to 3"), "{text}");
        }
        for empty in [(3, 3), (3, 2), (usize::MAX, 3)] {
            let targets = Range { start: empty.0, end: empty.1 };
            assert!(check().pass(&header(1, targets, 8)).is_err());
        }
    }

    proptest! {
        /// However the bytes are cut, they are judged alike, and what passes has valid headers only.
        #[test]
        fn bytes_are_judged_alike_however_they_are_cut(
            headers in prop::collection::vec((0_usize..4, 0_usize..6, 0_usize..6, 0_usize..90), 0..6),
            noise in prop::collection::vec(any::<u8>(), 0..60),
            cuts in prop::collection::vec(1_usize..70, 1..9),
        ) {
            let mut bytes = Vec::new();
            let mut valid = true;
            for (source, lower, upper, length) in headers {
                bytes.extend(header(source, Range { start: lower, end: upper }, length));
                bytes.resize(bytes.len() + length, 0);
                valid &= length > 0 && source < 2 && lower >= 2 && upper <= 4 && lower < upper;
            }
            let whole = check().pass(&bytes);
            prop_assert!(!valid || whole.is_ok(), "{:?}", whole);
            bytes.extend(noise);
            let whole = check().pass(&bytes);
            let mut pieces = check();
            let mut rest = bytes.as_slice();
            let mut judged = Ok(());
            for cut in cuts.iter().cycle() {
                let (piece, more) = rest.split_at((*cut).min(rest.len()));
                judged = pieces.pass(piece);
                rest = more;
                if judged.is_err() || rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(judged, whole);
        }
    }
}
