//! Our own format: lines of text, one per frame, for `zstdgrep` as much as for programs.
//!
//! ```text
//! #barflow-recording 1 recv_ns connection direction frame
//! 1723161253937085768 0 connect wss://stream.binance.com:9443/stream?streams=btcusdt@trade
//! 1723161253937085999 0 received {"stream":"btcusdt@trade","data":{…}}
//! ```
//!
//! The first line names the format and its version. Every other line is the receive time (ns since
//! the Unix epoch, decimal, may be negative), the number of the connection, the direction
//! (`connect`, `sent`, `received`, `answer`) and the frame, with one space between.
//!
//! A frame is written as it was, but for what would break a line or make `grep` take the file for
//! binary: a backslash is `\\`, a line feed `\n`, a carriage return `\r`, and every other control
//! character (tabs stay) and every byte that is not UTF-8 is `\x` with two lowercase hex digits. Any
//! bytes come back as they were.
//!
//! Files are zstd-compressed. Recordings may be concatenated (`cat a b`): a first line in
//! the middle is skipped.

use std::io::Write;

use super::error::excerpt;
use super::{Direction, Recorded};

/// The start of every barflow recording, without the version.
pub const MARK: &[u8] = b"#barflow-recording ";

/// The first line.
pub const HEADER: &[u8] = b"#barflow-recording 1 recv_ns connection direction frame\n";

/// Appends the line of a frame, with its line feed.
pub fn encode(recorded: &Recorded, line: &mut Vec<u8>) {
    let word = word(recorded.direction);
    // Writing to memory cannot fail.
    let _ = write!(line, "{} {} {word} ", recorded.recv_time, recorded.connection);
    escape(&recorded.frame, line);
    line.push(b'\n');
}

/// Understands a line; `None` for a first line.
///
/// # Errors
/// What is wrong with it.
pub fn parse(line: &[u8]) -> Result<Option<Recorded>, String> {
    if let Some(rest) = line.strip_prefix(MARK) {
        let version = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
        return match version {
            b"1" => Ok(None),
            other => Err(format!(
                "a recording of version {}; this barflow reads version 1",
                excerpt(other)
            )),
        };
    }
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let (Some(time), Some(connection), Some(direction), Some(frame)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        let line = excerpt(line);
        return Err(format!("{line} is not \"recv_ns connection direction frame\""));
    };
    Ok(Some(Recorded {
        recv_time: number(time)
            .ok_or_else(|| format!("the receive time {} is not a number of ns", excerpt(time)))?,
        connection: number(connection)
            .ok_or_else(|| format!("the connection {} is not a number", excerpt(connection)))?,
        direction: named(direction)
            .ok_or_else(|| format!("the direction {} is unknown", excerpt(direction)))?,
        frame: unescape(frame)?,
    }))
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn word(direction: Direction) -> &'static str {
    match direction {
        Direction::Connect => "connect",
        Direction::Sent => "sent",
        Direction::Received => "received",
        Direction::Answer => "answer",
    }
}

fn named(word: &[u8]) -> Option<Direction> {
    Some(match word {
        b"connect" => Direction::Connect,
        b"sent" => Direction::Sent,
        b"received" => Direction::Received,
        b"answer" => Direction::Answer,
        _ => return None,
    })
}

fn escape(frame: &[u8], line: &mut Vec<u8>) {
    for chunk in frame.utf8_chunks() {
        let valid = chunk.valid().as_bytes();
        let mut copied = 0;
        for (at, byte) in valid.iter().enumerate() {
            let short: &[u8] = match byte {
                b'\\' => b"\\\\",
                b'\n' => b"\\n",
                b'\r' => b"\\r",
                b'\t' | 0x20..=0x7e | 0x80.. => continue,
                _ => b"",
            };
            line.extend_from_slice(&valid[copied..at]);
            copied = at + 1;
            if short.is_empty() { hex(*byte, line) } else { line.extend_from_slice(short) }
        }
        line.extend_from_slice(&valid[copied..]);
        chunk.invalid().iter().for_each(|byte| hex(*byte, line));
    }
}

fn hex(byte: u8, line: &mut Vec<u8>) {
    let _ = write!(line, "\\x{byte:02x}");
}

fn unescape(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut frame = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        frame.extend_from_slice(&rest[..at]);
        let escaped = &rest[at..];
        let (byte, length) = match escaped.get(1) {
            Some(b'\\') => (b'\\', 2),
            Some(b'n') => (b'\n', 2),
            Some(b'r') => (b'\r', 2),
            Some(b'x') => match escaped.get(2..4).and_then(hex_value) {
                Some(byte) => (byte, 4),
                None => return Err(unknown(escaped)),
            },
            _ => return Err(unknown(escaped)),
        };
        frame.push(byte);
        rest = &escaped[length..];
    }
    frame.extend_from_slice(rest);
    Ok(frame)
}

fn unknown(escaped: &[u8]) -> String {
    let shown = excerpt(&escaped[..escaped.len().min(4)]);
    format!("the frame contains {shown}, which is not one of \\\\ \\n \\r \\xHH")
}

fn hex_value(digits: &[u8]) -> Option<u8> {
    // Not from_str_radix: it takes signs.
    digits.iter().try_fold(0, |sum: u8, digit| {
        let value = (*digit as char).to_digit(16)?;
        u8::try_from(value).ok().map(|value| sum << 4 | value)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn direction() -> impl Strategy<Value = Direction> {
        prop_oneof![
            Just(Direction::Connect),
            Just(Direction::Sent),
            Just(Direction::Received),
            Just(Direction::Answer),
        ]
    }

    fn frame() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            // Dense in what needs escaping.
            "[\\\\nrx0-9a-f\n\r\t\0 é]{0,40}".prop_map(String::into_bytes),
        ]
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(
            recv_time in any::<i64>(),
            connection in any::<u32>(),
            direction in direction(),
            frame in frame(),
        ) {
            let recorded = Recorded { recv_time, connection, direction, frame };
            let mut line = Vec::new();
            encode(&recorded, &mut line);
            prop_assert_eq!(line.pop(), Some(b'\n'));
            prop_assert!(std::str::from_utf8(&line).is_ok());
            prop_assert!(!line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t'));
            prop_assert_eq!(parse(&line), Ok(Some(recorded)));
        }

        #[test]
        fn no_line_makes_the_reader_panic(line in frame()) {
            let _ = parse(&line);
        }
    }

    #[test]
    fn a_line_can_be_read_by_eye() {
        let recorded = Recorded {
            recv_time: 17,
            connection: 3,
            direction: Direction::Received,
            frame: b"{\"a\":\"b\\n\"}\n\xff\x00\xc3\xa9".to_vec(),
        };
        let mut line = Vec::new();
        encode(&recorded, &mut line);
        let text = String::from_utf8(line).unwrap();
        assert_eq!(text, "17 3 received {\"a\":\"b\\\\n\"}\\n\\xff\\x00é\n");
    }

    #[test]
    fn wrong_lines_say_what_is_wrong() {
        for (line, what) in [
            ("17 3 received", "recv_ns connection direction frame"),
            ("x 3 received {}", "receive time \"x\""),
            ("17 -3 received {}", "connection \"-3\""),
            ("17 3 heard {}", "direction \"heard\""),
            ("17 3 received \\q", "not one of"),
            ("17 3 received \\x+1", "not one of"),
            ("17 3 received \\", "not one of"),
            ("#barflow-recording 2 x", "version \"2\""),
        ] {
            let error = parse(line.as_bytes()).unwrap_err();
            assert!(error.contains(what), "{line}: {error}");
        }
    }
}
