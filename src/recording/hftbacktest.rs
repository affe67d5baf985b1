//! Recordings of hftbacktest's collector: `recv_time frame`, one connection, nothing but frames
//! that came.

use super::error::excerpt;
use super::{Direction, Recorded, recv_time};

/// Understands a line.
///
/// # Errors
/// What is wrong with it.
pub fn parse(line: &[u8]) -> Result<Recorded, String> {
    let Some(space) = memchr::memchr(b' ', line) else {
        return Err(format!("{} is not \"recv_time frame\"", excerpt(line)));
    };
    Ok(Recorded {
        recv_time: recv_time::count(&line[..space])?,
        connection: 0,
        direction: Direction::Received,
        frame: line[space + 1..].to_vec(),
    })
}
