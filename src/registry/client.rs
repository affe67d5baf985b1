//! Sends requests to a registry.
//!
//! **Invariant:** a login or token is sent to the registry's own address only: no redirect is followed. An answer has
//! at most [`LONGEST`] bytes, and a request with all its attempts ends in time, or as soon as the end is asked for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::api::{Answer, Request};
use super::error::RegistryError;
use super::settings::{Authorization, RegistrySettings};
use crate::backoff::Backoff;
use crate::net::proxy::{Proxies, Proxy};
use crate::net::trust::Trust;
use crate::net::url::{Url, redacted};
use crate::net::waiting;
use crate::printable::line;
use crate::stop::Stop;

/// Bytes of an answer that are read: a schema has a few thousand.
const LONGEST: u64 = 1 << 16;

/// First and longest wait between attempts.
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// What content is called.
const MEDIA: &str = "application/vnd.schemaregistry.v1+json";

/// The way to a registry.
pub(super) struct Client {
    base: Url,
    who: Option<Authorization>,
    agent: ureq::Agent,
    proxy: Option<Proxy>,
}

/// How long to try.
pub(super) struct Until<'a> {
    /// When to give up.
    pub(super) deadline: Instant,
    /// Ends it before.
    pub(super) stop: &'a Stop,
}

impl Client {
    /// The way there, with every reference resolved.
    ///
    /// # Errors
    /// When something cannot be used that the settings or the environment name.
    pub(super) fn of(
        settings: &RegistrySettings,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, RegistryError> {
        let wrong = |error: &dyn std::fmt::Display| {
            RegistryError::Settings(format!("{}: {error}", super::settings::ADDRESS))
        };
        let (base, who) = settings.resolve(environment)?;
        let proxy = Proxies::of(environment).for_url(base.exposed()).map_err(|e| wrong(&e))?;
        let through = proxy.as_ref().map(Proxy::for_rest).transpose().map_err(|e| wrong(&e))?;
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(through)
            .user_agent(concat!("barflow/", env!("CARGO_PKG_VERSION")));
        if base.is_encrypted() {
            let trust = Trust::of(settings.ca_file.as_deref()).map_err(|e| wrong(&e))?;
            config = config.tls_config(trust.for_rest());
        }
        Ok(Self { base, who, agent: config.build().into(), proxy })
    }

    /// Where the registry is, without secrets.
    pub(super) fn url(&self) -> String {
        self.base.to_string()
    }

    /// Asks until there is an answer that is not about a moment of weakness, or time is up.
    ///
    /// # Errors
    /// [`RegistryError::Unavailable`], [`RegistryError::Stopped`].
    pub(super) fn ask(
        self: &Arc<Self>,
        request: &Request,
        until: &Until<'_>,
    ) -> Result<Answer, RegistryError> {
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        loop {
            if until.stop.is_raised() {
                return Err(RegistryError::Stopped { url: self.url() });
            }
            let left = until.deadline.saturating_duration_since(Instant::now()).max(WAITS.0);
            let (client, asked) = (Arc::clone(self), request.clone());
            let is_over = || until.stop.is_raised();
            let work = move || client.attempt(&asked, left);
            let attempt = waiting::on_a_thread("registry", is_over, work);
            let answered = match attempt {
                Ok(Some(answered)) => answered,
                Ok(None) => continue,
                Err(error) => Err(error.into()),
            };
            let what = match answered {
                Ok(answer) if !is_passing(answer.status) => return Ok(answer),
                Ok(answer) => format!("is not available: HTTP {}", answer.status),
                Err(ureq::Error::BodyExceedsLimit(_)) => {
                    let what = format!("sent an answer longer than {LONGEST} bytes");
                    return Err(RegistryError::Unavailable { url: self.url(), what });
                }
                Err(error) => self.unanswered(&error, left),
            };
            let wait = backoff.after_failure(0.5 + fastrand::f64() / 2.0);
            if Instant::now() + wait >= until.deadline {
                return Err(RegistryError::Unavailable { url: self.url(), what });
            }
            tracing::debug!(url = %self.base, "the schema registry {what}; asking again");
            waiting::sleep_until(Instant::now() + wait, is_over);
        }
    }

    fn attempt(&self, request: &Request, left: Duration) -> Result<Answer, ureq::Error> {
        let url = self.base.below(&request.path);
        let method = if request.body.is_some() { "POST" } else { "GET" };
        let mut head = ureq::http::Request::builder()
            .method(method)
            .uri(url.exposed())
            .header("accept", MEDIA);
        if let Some(who) = &self.who {
            head = head.header("authorization", who.header());
        }
        let response = match &request.body {
            Some(body) => {
                let head = head.header("content-type", MEDIA);
                let request = head.body(body.as_str())?;
                self.agent.run(self.within(request, left))
            }
            None => {
                let request = head.body(())?;
                self.agent.run(self.within(request, left))
            }
        };
        let mut response = response?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(LONGEST).read_to_vec()?;
        Ok(Answer { status, body })
    }

    fn within<B: ureq::AsSendBody>(
        &self,
        request: ureq::http::Request<B>,
        left: Duration,
    ) -> ureq::http::Request<B> {
        self.agent.configure_request(request).timeout_global(Some(left)).build()
    }

    /// Why there is no answer.
    fn unanswered(&self, error: &ureq::Error, left: Duration) -> String {
        let what = match error {
            ureq::Error::Timeout(_) => format!("did not answer within {left:.1?}"),
            error => format!("could not be reached: {error}"),
        };
        let what = match &self.proxy {
            Some(proxy) => format!("{what} ({proxy})"),
            None => what,
        };
        line(&redacted(&what)).into_owned()
    }
}

fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}
