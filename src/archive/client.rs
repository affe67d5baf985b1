//! Asks the archive, again where that may help.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::error::FetchError;
use super::listing::escape;
use crate::backoff::{Backoff, retry_after};
use crate::proxy::{Proxies, Proxy, ProxyError};

/// How to ask.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Address of the archive; keys are appended to it.
    pub base: String,
    /// Address of its listing.
    pub listing: String,
    /// Consecutive attempts without progress before giving up.
    pub tries: u32,
    /// How long a response may take to begin, or stall.
    pub timeout: Duration,
}

/// Asks; shared by all transfers.
pub struct Client {
    agent: ureq::Agent,
    listing_agent: ureq::Agent,
    options: ClientOptions,
    stop: Arc<AtomicBool>,
    /// No request is sent before this moment, as the archive asked.
    quiet_until: Mutex<Option<Instant>>,
}

/// Why one attempt did not succeed.
#[derive(Debug)]
pub enum Setback {
    /// The next one may.
    Passing {
        /// What happened.
        what: String,
        /// How long the archive asked to wait.
        pause: Option<Duration>,
        /// Whether something had come nevertheless.
        progress: bool,
    },
    /// No other will.
    Final(FetchError),
}

impl Setback {
    /// A passing one.
    pub fn passing(what: impl ToString) -> Self {
        Self::Passing { what: what.to_string(), pause: None, progress: false }
    }
}

impl From<FetchError> for Setback {
    fn from(error: FetchError) -> Self {
        Self::Final(error)
    }
}

/// An answer whose body is still to be read.
pub struct Answer {
    /// Bytes from which on the body is; 0 if it is all.
    pub from: u64,
    /// Total bytes, if known.
    pub total: Option<u64>,
    /// The body.
    pub body: Box<dyn Read>,
}

/// First and longest wait between attempts, unless the archive asks for another one.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Longest pause that the archive may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Longest text read: a page of 1,000 keys is some 500 KB.
const TEXT_BYTES: u64 = 8 << 20;

impl Client {
    /// A client that gives up when `stop` is raised, and goes through the environment's `proxies`.
    ///
    /// # Errors
    /// When the proxy on the way cannot be used.
    pub fn new(
        options: ClientOptions,
        stop: Arc<AtomicBool>,
        proxies: &Proxies,
    ) -> Result<Self, ProxyError> {
        let agent = |url: &str| {
            let proxy = proxies.for_url(url)?;
            let agent: ureq::Agent = ureq::Agent::config_builder()
                .timeout_connect(Some(options.timeout))
                .timeout_recv_response(Some(options.timeout))
                .timeout_per_read(Some(options.timeout))
                .http_status_as_error(false)
                .proxy(proxy.as_ref().map(Proxy::for_rest).transpose()?)
                .user_agent(concat!("barflow/", env!("CARGO_PKG_VERSION")))
                .build()
                .into();
            Ok(agent)
        };
        let (agent, listing_agent) = (agent(&options.base)?, agent(&options.listing)?);
        Ok(Self { agent, listing_agent, options, stop, quiet_until: Mutex::new(None) })
    }

    fn agent(&self, url: &str) -> &ureq::Agent {
        if url.starts_with(&self.options.base) { &self.agent } else { &self.listing_agent }
    }

    /// The address of a key.
    pub fn url(&self, key: &str) -> String {
        format!("{}/{}", self.options.base.trim_end_matches('/'), escape(key))
    }

    /// The address of the listing.
    pub fn listing(&self) -> &str {
        &self.options.listing
    }

    /// Whether a stop was requested.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Attempts something until it succeeds, cannot, or has brought nothing too often in a row.
    ///
    /// # Errors
    /// The final setback, or the last of too many.
    pub fn persist<T>(
        &self,
        url: &str,
        mut attempt: impl FnMut() -> Result<T, Setback>,
    ) -> Result<T, FetchError> {
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        loop {
            self.wait_for_quiet()?;
            let (what, pause) = match attempt() {
                Ok(value) => return Ok(value),
                Err(Setback::Final(error)) => return Err(error),
                Err(Setback::Passing { what, pause, progress }) => {
                    if progress {
                        backoff.success();
                    }
                    (what, pause)
                }
            };
            let wait = backoff.after_failure(fastrand::f64());
            if backoff.failures() >= self.options.tries {
                let (url, tries) = (url.to_owned(), backoff.failures());
                return Err(FetchError::GaveUp { url, tries, what });
            }
            tracing::debug!(url, what, "asking again");
            match pause {
                // A rate limit holds for all transfers of this process.
                Some(pause) => self.be_quiet(pause.min(LONGEST_PAUSE).max(wait)),
                None => self.sleep_until(Instant::now() + wait)?,
            }
        }
    }

    fn be_quiet(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut quiet = self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
        *quiet = Some(quiet.map_or(until, |before| before.max(until)));
    }

    fn wait_for_quiet(&self) -> Result<(), FetchError> {
        let until = *self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleep_until(until.unwrap_or_else(Instant::now))
    }

    fn sleep_until(&self, until: Instant) -> Result<(), FetchError> {
        loop {
            if self.is_stopped() {
                return Err(FetchError::Stopped);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(Duration::from_millis(50)));
        }
    }

    /// Asks once for a file, from an offset on.
    ///
    /// # Errors
    /// When there is no body that begins there.
    pub fn open(&self, url: &str, from: u64) -> Result<Answer, Setback> {
        // Ranges are of the file as it is.
        let mut request = self.agent(url).get(url).header("accept-encoding", "identity");
        if from > 0 {
            request = request.header("range", format!("bytes={from}-"));
        }
        let answer = request.call().map_err(|error| setback(url, &error))?;
        let answer = judge(url, answer)?;
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let length: Option<u64> = header("content-length").and_then(|text| text.parse().ok());
        let (begins, total) = if answer.status() == 206 {
            let range = header("content-range").and_then(content_range);
            range.ok_or_else(|| Setback::passing("a part without a readable content-range"))?
        } else {
            (0, length)
        };
        // A server without ranges sends everything again.
        if begins != from && begins != 0 {
            return Err(Setback::passing(format!(
                "requested from byte {from}, received from {begins}"
            )));
        }
        Ok(Answer { from: begins, total, body: Box::new(answer.into_body().into_reader()) })
    }

    /// Reads a short text.
    ///
    /// # Errors
    /// When it does not come.
    pub fn text(&self, url: &str) -> Result<String, FetchError> {
        self.persist(url, || {
            let mut text = Vec::new();
            let mut body = self.open(url, 0)?.body.take(TEXT_BYTES + 1);
            body.read_to_end(&mut text).map_err(Setback::passing)?;
            if text.len() as u64 > TEXT_BYTES {
                let (url, what) = (url.to_owned(), "the text is too long".to_owned());
                return Err(FetchError::Meaningless { url, what }.into());
            }
            Ok(String::from_utf8_lossy(&text).into_owned())
        })
    }

    /// Asks for the size of a file; none if it is not there.
    ///
    /// # Errors
    /// When there is no response.
    pub fn size(&self, url: &str) -> Result<Option<u64>, FetchError> {
        let asked = self.persist(url, || {
            let answer = self.agent(url).head(url).call().map_err(|error| setback(url, &error))?;
            let answer = judge(url, answer)?;
            let length = answer.headers().get("content-length");
            Ok(length.and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0))
        });
        match asked {
            Ok(bytes) => Ok(Some(bytes)),
            Err(FetchError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Parses `bytes 5-9/10`: the first byte and the total length.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()))
}

type Response = ureq::http::Response<ureq::Body>;

fn judge(url: &str, mut answer: Response) -> Result<Response, Setback> {
    let status = answer.status().as_u16();
    let url = url.to_owned();
    match status {
        200 | 206 => Ok(answer),
        404 | 410 => Err(FetchError::NotFound { url }.into()),
        // The requested range is after the end; the caller starts from the beginning.
        416 => Err(Setback::passing("HTTP 416: no such part")),
        418 | 429 | 500..=599 => {
            let pause = retry_after(answer.headers(), SystemTime::now());
            // Without a word on how long, the usual wait holds for all.
            let pause = pause.or((status == 418 || status == 429).then_some(Duration::ZERO));
            Err(Setback::Passing { what: format!("HTTP {status}"), pause, progress: false })
        }
        _ => {
            let text = answer.body_mut().with_config().limit(4096).read_to_string();
            let said = text.unwrap_or_default().trim().chars().take(200).collect();
            Err(FetchError::Refused { url, status, said }.into())
        }
    }
}

fn setback(url: &str, error: &ureq::Error) -> Setback {
    let meaningless =
        |what: String| Setback::Final(FetchError::Meaningless { url: url.to_owned(), what });
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::RequireHttpsOnly(_) => {
            meaningless(format!("not a valid address: {error}"))
        }
        ureq::Error::TooManyRedirects => meaningless("too many redirects".to_owned()),
        _ => Setback::passing(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_say_where_they_begin() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 0-0/*"), Some((0, None)));
        for text in ["", "bytes */10", "5-9/10", "bytes x-9/10"] {
            assert_eq!(content_range(text), None, "{text}");
        }
    }
}
