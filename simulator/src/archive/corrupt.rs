//! Injects faults into the body of an answer.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::{StreamExt, stream};

/// What happens to a body, at which of its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BodyFault {
    /// The connection ends before this byte.
    pub cut: Option<u64>,
    /// Nothing comes for so long before this byte.
    pub stall: Option<(u64, Duration)>,
    /// This byte is another.
    pub flip: Option<u64>,
    /// Bytes a second.
    pub rate: Option<u64>,
}

/// The body with this fault.
pub fn corrupt(body: Body, fault: BodyFault) -> Body {
    if fault == BodyFault::default() {
        return body;
    }
    let begin = (body.into_data_stream(), fault, 0u64);
    Body::from_stream(stream::unfold(begin, |(mut chunks, mut left, at)| async move {
        if left.cut == Some(at) {
            return Some((Err(io::Error::other("cut on purpose")), (chunks, left, at)));
        }
        let chunk = match chunks.next().await? {
            Ok(chunk) => chunk,
            Err(error) => return Some((Err(io::Error::other(error)), (chunks, left, at))),
        };
        let end = at + chunk.len() as u64;
        if let Some((_, pause)) = left.stall.take_if(|(byte, _)| *byte < end) {
            tokio::time::sleep(pause).await;
        }
        if let Some(rate) = left.rate {
            let pause = Duration::from_secs_f64(chunk.len() as f64 / rate as f64);
            tokio::time::sleep(pause).await;
        }
        let mut bytes = chunk.to_vec();
        if let Some(byte) = left.flip.take_if(|byte| *byte < end)
            && let Some(byte) = bytes.get_mut((byte - at) as usize)
        {
            *byte ^= 1;
        }
        let end = match left.cut {
            Some(cut) if cut < end => {
                bytes.truncate((cut - at) as usize);
                cut
            }
            _ => end,
        };
        Some((Ok(Bytes::from(bytes)), (chunks, left, end)))
    }))
}
