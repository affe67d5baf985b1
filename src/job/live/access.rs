//! How a feed reaches its venue: what its settings and the environment name, resolved.

use crate::feeds::plan::FeedPlan;
use crate::feeds::session::{Access, AccessError, SessionFault};
use crate::net::proxy::Proxies;

/// Resolves what a feed needs to reach its venue, and says what is weak about the way.
///
/// # Errors
/// When something that the plan or the environment names cannot be used.
pub(super) fn resolve(plan: &FeedPlan) -> Result<Access, SessionFault> {
    let environment = |name: &str| std::env::var(name).ok();
    let access = Access::of(plan, &Proxies::of_environment(), &environment).map_err(|error| {
        let hint = hint(&error);
        SessionFault { feed: plan.name.clone(), what: error.to_string(), hint, configured: true }
    })?;
    for weakness in access.weaknesses() {
        tracing::warn!(feed = %plan.name, "{weakness}");
    }
    Ok(access)
}

fn hint(error: &AccessError) -> &'static str {
    match error {
        AccessError::Key(_) => {
            "set it, or omit api_key: then only trades that REST serves without a key are backfilled"
        }
        AccessError::Address(_) => "set the variable or the file to a URL, or name the URL itself",
        AccessError::KeyInTheClear(_) => "use https://, or omit api_key",
        AccessError::Proxy(_) => {
            "name an HTTP proxy, except the venue's hosts in NO_PROXY, or set proxy = \"none\" for this \
             feed"
        }
        AccessError::Trust(_) => "certificates are needed for wss:// and https://",
    }
}
