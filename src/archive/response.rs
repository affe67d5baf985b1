//! What an archive's responses mean.

use std::time::{Duration, SystemTime};

use super::error::FetchError;
use crate::backoff::retry_after;
use crate::net::url::{Url, redacted};
use crate::printable::said;

/// A response.
pub(super) type Response = ureq::http::Response<ureq::Body>;

/// Why one attempt did not succeed.
#[derive(Debug)]
pub enum Setback {
    /// The next one may.
    Passing {
        /// What happened.
        what: String,
        /// How long the archive asked to wait.
        pause: Option<Duration>,
        /// How much of the file there is nevertheless.
        reached: u64,
    },
    /// The file has no such part: it ends before, or is another one now.
    NoSuchPart,
    /// No other will.
    Final(FetchError),
}

impl Setback {
    /// A passing one.
    pub fn passing(what: impl ToString) -> Self {
        let what = redacted(&what.to_string()).into_owned();
        Self::Passing { what, pause: None, reached: 0 }
    }

    /// An error of the client.
    pub(super) fn of(url: &Url, error: &ureq::Error) -> Self {
        match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                Self::meaningless(url, "not a valid address")
            }
            _ => Self::passing(error),
        }
    }

    /// An answer that means nothing here.
    pub(super) fn meaningless(url: &Url, what: impl ToString) -> Self {
        Self::Final(FetchError::Meaningless { url: url.to_string(), what: what.to_string() })
    }
}

impl From<FetchError> for Setback {
    fn from(error: FetchError) -> Self {
        Self::Final(error)
    }
}

/// Where the part of a file that a response holds lies within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its first byte.
    pub from: u64,
    /// The byte after its last one, if that is known.
    pub end: Option<u64>,
    /// Bytes of the whole file, if they are known.
    pub total: Option<u64>,
}

impl Part {
    /// Of a response to a request for everything from a byte on.
    ///
    /// # Errors
    /// When it is another part.
    pub(super) fn of(response: &Response, from: u64) -> Result<Self, String> {
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let length = header("content-length").and_then(|text| text.parse().ok());
        Self::read(response.status().as_u16(), from, length, header("content-range"))
    }

    fn read(
        status: u16,
        from: u64,
        length: Option<u64>,
        range: Option<&str>,
    ) -> Result<Self, String> {
        if status != 206 {
            // A server without ranges sends everything again.
            return Ok(Self { from: 0, end: length, total: length });
        }
        let range = range.unwrap_or("nothing");
        let (begins, last, total) = content_range(range)
            .ok_or_else(|| format!("a part without a valid content-range ({range})"))?;
        if begins != from || from == 0 {
            return Err(format!("requested from byte {from}, received from {begins}"));
        }
        let end = last + 1;
        if length.is_some_and(|length| length != end - begins) {
            return Err(format!(
                "content-range ({range}) and content-length contradict each other"
            ));
        }
        Ok(Self { from: begins, end: Some(end), total })
    }
}

/// Parses `bytes 5-9/10`: the first byte, the last, and the total length.
fn content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let total = match total {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    let fits = first <= last && last < total.unwrap_or(u64::MAX);
    fits.then_some((first, last, total))
}

/// Tells a usable response from a setback.
///
/// # Errors
/// The setback.
pub(super) fn judge(url: &Url, mut response: Response) -> Result<Response, Setback> {
    let status = response.status().as_u16();
    match status {
        200 | 206 => Ok(response),
        404 | 410 => Err(FetchError::NotFound { url: url.to_string() }.into()),
        416 => Err(Setback::NoSuchPart),
        418 | 429 | 500..=599 => {
            let pause = retry_after(response.headers(), SystemTime::now());
            // Without a word on how long, the usual wait holds for all.
            let pause = pause.or((status == 418 || status == 429).then_some(Duration::ZERO));
            Err(Setback::Passing { what: format!("HTTP {status}"), pause, reached: 0 })
        }
        _ => {
            let body = response.body_mut().with_config().limit(4096).read_to_vec();
            let said = said(&body.unwrap_or_default());
            Err(FetchError::Refused { url: url.to_string(), status, said }.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_what_contradicts_itself_is_none() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, 9, Some(10))));
        assert_eq!(content_range("bytes 0-0/*"), Some((0, 0, None)));
        for text in [
            "",
            "bytes */10",
            "5-9/10",
            "bytes x-9/10",
            "bytes 5-9/9",
            "bytes 9-5/10",
            "bytes 5-18446744073709551615/*",
            "bytes 5-9/x",
        ] {
            assert_eq!(content_range(text), None, "{text}");
        }
    }

    #[test]
    fn a_part_is_the_one_that_was_requested() {
        let part = |from, length, range| Part::read(206, from, length, Some(range));
        let good = Part { from: 5, end: Some(10), total: Some(10) };
        assert_eq!(part(5, Some(5), "bytes 5-9/10"), Ok(good));
        assert_eq!(part(5, None, "bytes 5-9/10"), Ok(good));
        for (from, length, range) in [
            (5, Some(5), "bytes 0-4/10"),
            (5, Some(6), "bytes 5-9/10"),
            (0, Some(10), "bytes 0-9/10"),
            (5, Some(5), "bytes 5-"),
        ] {
            assert!(part(from, length, range).is_err(), "{from} {length:?} {range}");
        }
        assert!(Part::read(206, 5, None, None).is_err());
        let all = Part { from: 0, end: Some(7), total: Some(7) };
        assert_eq!(Part::read(200, 5, Some(7), None), Ok(all), "a server without ranges");
    }
}
