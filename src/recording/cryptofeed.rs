//! Recordings of cryptofeed: the older text captures and the newer JSON lines.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde::Deserialize;
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_128;

use super::error::excerpt;
use super::{Direction, Recorded, recv_time};

/// Bytes of the longest name of a connection: of a URL that lists a thousand streams.
const LONGEST_NAME: usize = 64 << 10;

/// Connections that a recording may name. Each takes some 30 bytes, whatever its name.
const MOST: usize = 100_000;

/// Numbers for connections, in order of appearance, by hashes of their names.
#[derive(Debug, Default)]
struct Connections(HashMap<u128, u32>);

impl Connections {
    fn number(&mut self, name: &str) -> Result<u32, String> {
        let name = short(name)?;
        let next = self.0.len();
        match self.0.entry(xxh3_128(name.as_bytes())) {
            Entry::Occupied(number) => Ok(*number.get()),
            Entry::Vacant(_) if next >= MOST => Err(format!(
                "it names more than {MOST} connections, the most that is read of a file"
            )),
            // The limit fits.
            Entry::Vacant(number) => Ok(*number.insert(next as u32)),
        }
    }
}

/// A name or URL that is not too long.
fn short(name: &str) -> Result<&str, String> {
    match name.len() {
        ..=LONGEST_NAME => Ok(name),
        bytes => Err(format!(
            "a connection has a name of {bytes} bytes; it may have {LONGEST_NAME} bytes"
        )),
    }
}

/// The text captures: one websocket connection, and the REST answers that came meanwhile.
///
/// ```text
/// configuration: {…}               what the recorder was asked for; skipped
/// wss://venue <-> 1617566591.1     connected
/// wss://venue <- 1617566591.2: …   sent
/// https://venue/… -> 1617566591.3: …   answer of a REST request
/// 1617566591.4: …                  received
/// ```
#[derive(Debug, Default)]
pub struct Text {
    connections: Connections,
    /// The websocket connection that lines without a URL belong to.
    websocket: Option<u32>,
}

impl Text {
    /// Parses a line; `None` for one that is not a frame.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(&mut self, line: &[u8]) -> Result<Option<Recorded>, String> {
        if line.starts_with(b"configuration: ") {
            return Ok(None);
        }
        if line.first().is_some_and(u8::is_ascii_digit) {
            let (recv_time, frame) = timed(line)?;
            let connection = match self.websocket {
                Some(number) => number,
                None => self.connections.number("")?,
            };
            self.websocket = Some(connection);
            let direction = Direction::Received;
            return Ok(Some(Recorded { recv_time, connection, direction, frame: frame.to_vec() }));
        }
        self.with_url(line).map(Some)
    }

    fn with_url(&mut self, line: &[u8]) -> Result<Recorded, String> {
        let parts = memchr::memchr(b' ', line).and_then(|space| {
            let (url, rest) = (std::str::from_utf8(&line[..space]).ok()?, &line[space + 1..]);
            let arrow = memchr::memchr(b' ', rest)?;
            url.contains("://").then_some((url, &rest[..arrow], &rest[arrow + 1..]))
        });
        let Some((url, arrow, rest)) = parts else {
            return Err(format!("{} starts with neither a time nor a URL", excerpt(line)));
        };
        let (direction, recv_time, frame) = match arrow {
            b"<->" => (Direction::Connect, recv_time::seconds(rest)?, url.as_bytes()),
            b"<-" => {
                let (time, frame) = timed(rest)?;
                (Direction::Sent, time, frame)
            }
            b"->" => {
                let (time, frame) = timed(rest)?;
                (Direction::Answer, time, frame)
            }
            other => return Err(format!("after the URL comes {}, not an arrow", excerpt(other))),
        };
        let connection = if direction == Direction::Answer {
            // The query says what was asked, not whom: requests to one endpoint are one connection.
            self.connections.number(url.split_once('?').map_or(url, |(endpoint, _)| endpoint))?
        } else {
            let number = self.connections.number(url)?;
            self.websocket = Some(number);
            number
        };
        Ok(Recorded { recv_time, connection, direction, frame: frame.to_vec() })
    }
}

/// Takes "seconds: frame" apart.
fn timed(text: &[u8]) -> Result<(i64, &[u8]), String> {
    let colon = memchr::memchr(b':', text).filter(|colon| text.get(colon + 1) == Some(&b' '));
    let Some(colon) = colon else {
        return Err(format!("{} is not \"seconds: frame\"", excerpt(text)));
    };
    Ok((recv_time::seconds(&text[..colon])?, &text[colon + 2..]))
}

/// The JSON lines: all connections of a run.
///
/// ```text
/// {"t":"header",…}                                      skipped
/// {"t":"connect","conn":"…","ts":1786310818.22,"addr":"wss://…"}
/// {"t":"send"|"recv"|"http","conn":"…","ts":…,"data":"the frame, escaped"}
/// ```
#[derive(Debug, Default)]
pub struct JsonLines {
    connections: Connections,
}

#[derive(Deserialize)]
struct Line<'a> {
    t: String,
    conn: Option<String>,
    // As text: the digits are exact, the number is not.
    #[serde(borrow)]
    ts: Option<&'a RawValue>,
    addr: Option<String>,
    data: Option<String>,
}

impl JsonLines {
    /// Parses a line; `None` for one that is not a frame.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(&mut self, line: &[u8]) -> Result<Option<Recorded>, String> {
        let line: Line<'_> = serde_json::from_slice(line)
            .map_err(|e| format!("{} is not a line of a recording: {e}", excerpt(line)))?;
        let (direction, frame) = match line.t.as_str() {
            "header" => return Ok(None),
            "connect" => {
                let url = line.addr.ok_or("\"addr\" is missing")?;
                short(&url)?;
                (Direction::Connect, url)
            }
            "send" => (Direction::Sent, line.data.ok_or("\"data\" is missing")?),
            "recv" => (Direction::Received, line.data.ok_or("\"data\" is missing")?),
            "http" => (Direction::Answer, line.data.ok_or("\"data\" is missing")?),
            other => {
                return Err(format!("unknown \"t\": {}", excerpt(other.as_bytes())));
            }
        };
        Ok(Some(Recorded {
            recv_time: recv_time::seconds(line.ts.ok_or("\"ts\" is missing")?.get().as_bytes())?,
            connection: self.connections.number(&line.conn.ok_or("\"conn\" is missing")?)?,
            direction,
            frame: frame.into_bytes(),
        }))
    }
}
