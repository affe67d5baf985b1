//! Asks the archive, again where that may help.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use barflow_replay::progress::Progress;
use ureq::http::Method;

use super::error::FetchError;
use super::limits::{FLOOR, Pace, SizeLimit, Tries};
use super::listing::escape;
use super::response::{Part, Response, Setback, judge};
use super::waiting::{Pump, Waiting};
use crate::backoff::Backoff;
use crate::net::proxy::{Proxies, Proxy, ProxyError};
use crate::net::trust::{Trust, TrustError};
use crate::net::url::Url;

/// How to ask.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Address of the archive; keys are appended to it.
    pub base: Url,
    /// Address of its listing.
    pub listing: Url,
    /// Certificates that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Failed attempts for one file before giving up.
    pub tries: u32,
    /// How long a response may take to begin, or stall.
    pub timeout: Duration,
    /// Bytes of a file of which the archive lists no size.
    pub ceiling: u64,
}

/// Asks; shared by all transfers.
pub struct Client {
    options: ClientOptions,
    proxies: Proxies,
    /// One for each way to a server.
    agents: Mutex<Vec<(Way, ureq::Agent)>>,
    waiting: Waiting,
    /// No request is sent before this moment, as the archive asked.
    quiet_until: Mutex<Option<Instant>>,
}

/// What a client of ureq is made for.
#[derive(PartialEq, Eq)]
struct Way {
    proxy: Option<Proxy>,
    is_encrypted: bool,
}

/// Why the archive cannot be reached at all.
#[derive(Debug, thiserror::Error)]
pub enum NoWay {
    /// The environment's proxy cannot be used.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// There are no certificates to trust.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// An answer whose body is still to be read.
pub struct Answer {
    /// What part of the file it is.
    pub part: Part,
    /// The body.
    body: Pump,
    pace: Pace,
    begun: Instant,
}

/// Whether a file is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is not.
    Absent,
    /// It is.
    Present {
        /// Its size, if the archive says.
        bytes: Option<u64>,
    },
}

/// First and longest wait between attempts, unless the archive asks for another one.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Longest pause that the archive may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Longest text read: a page of 1,000 keys is some 500 KB.
const TEXT_BYTES: u64 = 8 << 20;
/// Redirects of one request.
const REDIRECTS: usize = 10;

impl Answer {
    /// Reads some of the body; 0 at its end.
    ///
    /// # Errors
    /// When the connection breaks, or the body stands still.
    pub fn read(&mut self, block: &mut [u8]) -> Result<usize, Setback> {
        let read = self.body.read(block)?;
        if read > 0 {
            self.pace.came(read as u64, self.begun.elapsed()).map_err(Setback::passing)?;
        }
        Ok(read)
    }
}

impl Client {
    /// A client that gives up when `stop` is raised, and goes through the environment's `proxies`.
    ///
    /// # Errors
    /// When the proxy on the way cannot be used, or nobody is trusted.
    pub fn new(
        options: ClientOptions,
        stop: Arc<AtomicBool>,
        proxies: Proxies,
    ) -> Result<Self, NoWay> {
        let (agents, quiet_until) = (Mutex::default(), Mutex::new(None));
        let waiting = Waiting::until(stop);
        let client = Self { options, proxies, agents, waiting, quiet_until };
        client.agent(&client.options.base)?;
        client.agent(&client.options.listing)?;
        Ok(client)
    }

    /// The client of ureq for a URL.
    fn agent(&self, url: &Url) -> Result<ureq::Agent, NoWay> {
        let proxy = self.proxies.for_url(url.exposed())?;
        let way = Way { proxy, is_encrypted: url.is_encrypted() };
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, agent)) = agents.iter().find(|(other, _)| *other == way) {
            return Ok(agent.clone());
        }
        let mut config = ureq::Agent::config_builder()
            .timeout_connect(Some(self.options.timeout))
            .timeout_recv_response(Some(self.options.timeout))
            .timeout_per_read(Some(self.options.timeout))
            .http_status_as_error(false)
            // Followed by us: none leads away from encryption, and a login stays with its origin.
            .max_redirects(0)
            .proxy(way.proxy.as_ref().map(Proxy::for_rest).transpose()?)
            .user_agent(concat!("barflow/", env!("CARGO_PKG_VERSION")));
        if way.is_encrypted {
            config = config.tls_config(Trust::of(self.options.ca_file.as_deref())?.for_rest());
        }
        let agent = ureq::Agent::from(config.build());
        agents.push((way, agent.clone()));
        Ok(agent)
    }

    /// The address of a key.
    pub fn url(&self, key: &str) -> Url {
        self.options.base.below(&format!("/{}", escape(key)))
    }

    /// The address of the listing.
    pub fn listing(&self) -> &Url {
        &self.options.listing
    }

    /// How long a file may be of which so many bytes are listed.
    pub fn limit(&self, listed: Option<u64>) -> SizeLimit {
        SizeLimit::of(listed, self.options.ceiling)
    }

    /// Attempts for a file.
    pub fn tries(&self) -> Tries {
        Tries::new(self.options.tries)
    }

    /// Whether a stop was requested.
    pub fn is_stopped(&self) -> bool {
        self.waiting.is_over()
    }

    /// What ends the reading of a file when a stop is requested.
    pub fn reading(&self) -> Progress {
        Progress::until(self.waiting.flag().into())
    }

    /// Attempts something until it succeeds, cannot, or no try is left.
    ///
    /// # Errors
    /// The final setback, or the last of too many.
    pub fn persist<T>(
        &self,
        url: &Url,
        tries: &mut Tries,
        mut attempt: impl FnMut() -> Result<T, Setback>,
    ) -> Result<T, FetchError> {
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        loop {
            self.wait_for_quiet()?;
            let (what, pause) = match attempt() {
                Ok(value) => return Ok(value),
                Err(Setback::Final(error)) => return Err(error),
                Err(Setback::NoSuchPart) => ("HTTP 416: no such part".to_owned(), None),
                Err(Setback::Passing { what, pause, reached }) => {
                    if tries.reached(reached) {
                        backoff.success();
                    }
                    (what, pause)
                }
            };
            let wait = backoff.after_failure(fastrand::f64());
            if !tries.failed() {
                let (url, tries) = (url.to_string(), tries.failures());
                return Err(FetchError::GaveUp { url, tries, what });
            }
            tracing::debug!(%url, what, "asking again");
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
        self.waiting.sleep_until(until)
    }

    /// Sends a request and follows redirects; the whole body may take `body`.
    fn send(
        &self,
        method: &Method,
        url: &Url,
        headers: &[(&str, &str)],
        body: Duration,
    ) -> Result<Response, Setback> {
        let mut to = url.clone();
        for _ in 0..=REDIRECTS {
            let agent = self.agent(&to).map_err(|no| match no {
                NoWay::Proxy(error) => Setback::meaningless(url, error),
                NoWay::Trust(error) => Setback::Final(error.into()),
            })?;
            let mut request = ureq::http::Request::builder().method(method).uri(to.exposed());
            if let Some(login) = to.login() {
                request = request.header("authorization", login.header());
            }
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request = request.body(()).map_err(|error| Setback::of(url, &error.into()))?;
            let request = agent.configure_request(request).timeout_recv_body(Some(body)).build();
            let response = self.waiting.on_a_thread(move || agent.run(request))?;
            let response = response.map_err(|error| self.no_response(url, &to, &error))?;
            let location = response.headers().get("location");
            let (301..=303 | 307 | 308, Some(location)) = (response.status().as_u16(), location)
            else {
                // The body of an error is read as well.
                let url = url.clone();
                return self.waiting.on_a_thread(move || judge(&url, response))?;
            };
            let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
            to = to.redirected(&location).map_err(|what| Setback::meaningless(url, what))?;
        }
        Err(Setback::meaningless(url, "too many redirects"))
    }

    /// What it means that a URL, asked for on behalf of another, does not respond.
    fn no_response(&self, url: &Url, to: &Url, error: &ureq::Error) -> Setback {
        match (Setback::of(url, error), self.proxies.for_url(to.exposed())) {
            (Setback::Passing { what, pause, reached }, Ok(Some(proxy))) => {
                Setback::Passing { what: format!("{proxy}: {what}"), pause, reached }
            }
            (setback, _) => setback,
        }
    }

    /// How long one stands still before the floor is looked at: that is 100 bytes a second.
    fn window(&self) -> Duration {
        self.options.timeout.saturating_mul(2)
    }

    /// Asks once for a file that may be so long, from an offset on.
    ///
    /// # Errors
    /// When there is no body that begins there, or it is too long.
    pub fn open(&self, url: &Url, from: u64, limit: SizeLimit) -> Result<Answer, Setback> {
        // Ranges are of the file as it is.
        let mut headers = vec![("accept-encoding", "identity")];
        let range = format!("bytes={from}-");
        if from > 0 {
            headers.push(("range", &range));
        }
        // What does not even come to be read, such as the lengths of chunks, is slow as well.
        let slowest = Duration::from_secs(limit.bytes().div_ceil(FLOOR)) + self.window();
        let response = self.send(&Method::GET, url, &headers, slowest)?;
        let part = Part::of(&response, from).map_err(Setback::passing)?;
        if part.end.max(part.total).is_some_and(|bytes| bytes > limit.bytes()) {
            return Err(FetchError::TooLong { url: url.to_string(), limit }.into());
        }
        let body = Pump::start(response.into_body().into_reader(), self.waiting.clone())?;
        Ok(Answer { part, body, pace: Pace::over(self.window()), begun: Instant::now() })
    }

    /// Reads a short text.
    ///
    /// # Errors
    /// When it does not come.
    pub fn text(&self, url: &Url) -> Result<String, FetchError> {
        self.persist(url, &mut self.tries(), || {
            let body = self.options.timeout.saturating_mul(4);
            let mut response = self.send(&Method::GET, url, &[], body)?;
            let read = self.waiting.on_a_thread(move || {
                response.body_mut().with_config().limit(TEXT_BYTES).read_to_vec()
            });
            match read? {
                Ok(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
                Err(ureq::Error::BodyExceedsLimit(_)) => {
                    Err(Setback::meaningless(url, format!("longer than {TEXT_BYTES} bytes")))
                }
                Err(error) => Err(Setback::of(url, &error)),
            }
        })
    }

    /// Asks whether a file is there.
    ///
    /// # Errors
    /// When there is no response.
    pub fn presence(&self, url: &Url) -> Result<Presence, FetchError> {
        let asked = self.persist(url, &mut self.tries(), || {
            let identity = [("accept-encoding", "identity")];
            let response = self.send(&Method::HEAD, url, &identity, self.options.timeout)?;
            let length = response.headers().get("content-length");
            Ok(length.and_then(|value| value.to_str().ok()?.parse().ok()))
        });
        match asked {
            Ok(bytes) => Ok(Presence::Present { bytes }),
            Err(FetchError::NotFound { .. }) => Ok(Presence::Absent),
            Err(error) => Err(error),
        }
    }
}
