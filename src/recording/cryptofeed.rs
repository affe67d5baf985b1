//! Recordings of cryptofeed: the older text captures and the newer JSON lines.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::excerpt;
use super::{Direction, Recorded, recv_time};

/// Numbers for connections, in order of appearance.
#[derive(Debug, Default)]
struct Connections(HashMap<String, u32>);

impl Connections {
    fn number(&mut self, name: &str) -> Result<u32, String> {
        if let Some(number) = self.0.get(name) {
            return Ok(*number);
        }
        let next = u32::try_from(self.0.len()).map_err(|_| "too many connections".to_owned())?;
        self.0.insert(name.to_owned(), next);
        Ok(next)
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
            "connect" => (Direction::Connect, line.addr.ok_or("\"addr\" is missing")?),
            "send" => (Direction::Sent, line.data.ok_or("\"data\" is missing")?),
            "recv" => (Direction::Received, line.data.ok_or("\"data\" is missing")?),
            "http" => (Direction::Answer, line.data.ok_or("\"data\" is missing")?),
            other => {
                return Err(format!("unknown \"t\": \"{}\"", other.escape_debug()));
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
