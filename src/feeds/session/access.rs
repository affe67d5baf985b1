//! How a feed reaches its venue, and with which key.

use std::time::Duration;

use crate::feeds::plan::FeedPlan;
use crate::proxy::{Proxies, Proxy, ProxyError};

/// What a feed's connections need besides its plan.
#[derive(Clone, Default)]
pub struct Access {
    /// Key of REST requests, where the venue takes one.
    pub api_key: Option<String>,
    websocket: Option<Proxy>,
    rest: Option<ureq::Proxy>,
}

impl Access {
    /// The way to a feed's venue; proxies are those of the environment, unless the feed wants none.
    ///
    /// # Errors
    /// When the environment names a proxy that cannot be used.
    pub fn of(
        plan: &FeedPlan,
        api_key: Option<String>,
        proxies: &Proxies,
    ) -> Result<Self, ProxyError> {
        if plan.direct {
            return Ok(Self { api_key, ..Self::default() });
        }
        let rest = proxies.for_url(plan.rest_base())?;
        Ok(Self {
            api_key,
            websocket: proxies.for_url(plan.websocket_base())?,
            rest: rest.as_ref().map(Proxy::for_rest).transpose()?,
        })
    }

    /// The proxy of websockets.
    pub(super) fn websocket(&self) -> Option<&Proxy> {
        self.websocket.as_ref()
    }

    /// A client for REST. It follows no redirect: a venue's API has none, and a key must not be sent
    /// to where one leads.
    pub(super) fn rest(&self, timeout: Duration) -> ureq::Agent {
        ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(self.rest.clone())
            .user_agent(concat!("barflow/", env!("CARGO_PKG_VERSION")))
            .build()
            .into()
    }
}
