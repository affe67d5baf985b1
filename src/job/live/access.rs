//! How a feed reaches its venue: proxies of the environment, and the key of its REST interface,
//! resolved from its reference in the configuration.

use crate::feeds::plan::FeedPlan;
use crate::feeds::session::{Access, SessionFault};
use crate::proxy::Proxies;
use crate::sinks::kafka::secrets::Value;

/// Resolves what a feed needs to reach its venue.
///
/// # Errors
/// When the variable or file that the key's reference names cannot be read, or the environment names a
/// proxy that cannot be used.
pub(super) fn resolve(plan: &FeedPlan) -> Result<Access, SessionFault> {
    let fault =
        |what: String, hint| SessionFault { feed: plan.name.clone(), what, hint, configured: true };
    let key = api_key(plan).map_err(|what| {
        let hint = "set it, or omit api_key: then only trades that REST serves without a key are \
                    backfilled";
        fault(format!("api_key: {what}"), hint)
    })?;
    Access::of(plan, key, &Proxies::of_environment()).map_err(|error| {
        let hint = "name an HTTP proxy, except the venue's hosts in NO_PROXY, or set proxy = \"none\" \
                    for this feed";
        fault(error.to_string(), hint)
    })
}

fn api_key(plan: &FeedPlan) -> Result<Option<String>, String> {
    let Some(reference) = &plan.api_key else { return Ok(None) };
    let value = Value::parse(reference).map_err(str::to_owned)?;
    value.resolve(&|name| std::env::var(name).ok()).map(Some)
}
