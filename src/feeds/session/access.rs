//! How a feed reaches its venue, and with which secrets.

use std::sync::Arc;
use std::time::Duration;

use tokio_tungstenite::Connector;

use crate::feeds::plan::FeedPlan;
use crate::net::address::{Address, Speaks, weakness};
use crate::net::proxy::{Proxies, Proxy, ProxyError};
use crate::net::trust::{Trust, TrustError};
use crate::net::url::Url;
use crate::secrets::{self, Value};

/// What a feed's connections need besides its plan.
#[derive(Clone)]
pub struct Access {
    websocket: Url,
    rest: Url,
    api_key: Option<String>,
    websocket_proxy: Option<Proxy>,
    rest_proxy: Option<ureq::Proxy>,
    trust: Option<Trust>,
}

/// Why a feed has no way to its venue.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The key's reference leads nowhere.
    #[error("api_key: {0}")]
    Key(String),
    /// An address cannot be used.
    #[error("{0}")]
    Address(String),
    /// The key would be sent unencrypted.
    #[error("api_key would be sent unencrypted to {0}")]
    KeyInTheClear(Url),
    /// The environment's proxy cannot be used.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// There are no certificates to trust.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

impl Access {
    /// The way to a feed's venue, with every reference resolved; proxies are those of the environment, unless
    /// the feed wants none.
    ///
    /// # Errors
    /// When something that the plan or the environment names cannot be used.
    pub fn of(
        plan: &FeedPlan,
        proxies: &Proxies,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, AccessError> {
        let base = |setting, chosen: &Option<Address>, usual, speaks| match chosen {
            Some(address) => address.resolve(setting, speaks, environment),
            None => Url::parse(usual).map_err(|error| format!("{setting} {error}")),
        };
        let venue = &plan.venue;
        let (websocket, rest) = (venue.websocket_base(), venue.rest_base());
        let websocket = base("websocket", &plan.websocket, websocket, Speaks::Websocket);
        let websocket = websocket.map_err(AccessError::Address)?;
        let rest = base("rest", &plan.rest, rest, Speaks::Http).map_err(AccessError::Address)?;
        let api_key = key(plan, environment).map_err(AccessError::Key)?;
        if api_key.is_some() && rest.is_exposed_on_the_way() {
            return Err(AccessError::KeyInTheClear(rest));
        }
        let through = |url: &Url| match plan.direct {
            true => Ok(None),
            false => proxies.for_url(url.exposed()),
        };
        let is_encrypted = websocket.is_encrypted() || rest.is_encrypted();
        Ok(Self {
            api_key,
            websocket_proxy: through(&websocket)?,
            rest_proxy: through(&rest)?.as_ref().map(Proxy::for_rest).transpose()?,
            trust: match is_encrypted || plan.ca_file.is_some() {
                true => Some(Trust::of(plan.ca_file.as_deref())?),
                false => None,
            },
            websocket,
            rest,
        })
    }

    /// What is weak about the way, and what to do about it.
    pub fn weaknesses(&self) -> Vec<String> {
        let bases = [("websocket", &self.websocket), ("rest", &self.rest)];
        bases.into_iter().filter_map(|(setting, url)| weakness(setting, url)).collect()
    }

    /// Base of the websocket.
    pub(super) fn websocket(&self) -> &Url {
        &self.websocket
    }

    /// Base of the REST interface.
    pub(super) fn rest(&self) -> &Url {
        &self.rest
    }

    /// Key of REST requests, where the venue takes one.
    pub(super) fn api_key(&self) -> Option<&str> {
        self.api_key.as_deref()
    }

    /// The proxy of websockets.
    pub(super) fn websocket_proxy(&self) -> Option<&Proxy> {
        self.websocket_proxy.as_ref()
    }

    /// Who encrypts websockets.
    pub(super) fn connector(&self) -> Option<Connector> {
        let trust = self.trust.as_ref().filter(|_| self.websocket.is_encrypted())?;
        Some(Connector::Rustls(Arc::clone(&trust.for_websocket())))
    }

    /// A client for REST. It follows no redirect: a venue's API has none, and a key must not be sent
    /// to where one leads.
    pub(super) fn agent(&self, timeout: Duration) -> ureq::Agent {
        let mut config = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(self.rest_proxy.clone())
            .user_agent(concat!("barflow/", env!("CARGO_PKG_VERSION")));
        if let Some(trust) = &self.trust {
            config = config.tls_config(trust.for_rest());
        }
        config.build().into()
    }
}

/// The key itself.
fn key(
    plan: &FeedPlan,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<String>, String> {
    let Some(reference) = &plan.api_key else { return Ok(None) };
    let value = Value::parse(reference).map_err(str::to_owned)?;
    let key = value.resolve(environment)?;
    secrets::keep(&key);
    Ok(Some(key))
}
