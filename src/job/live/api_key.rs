//! The key of a feed's REST interface, resolved from its reference in the configuration.

use crate::feeds::plan::FeedPlan;
use crate::feeds::session::SessionFault;
use crate::sinks::kafka::secrets::Value;

/// Reads the key that a feed sends with its REST requests, if it has one.
///
/// # Errors
/// When the variable or file that the reference names cannot be read.
pub(super) fn resolve(plan: &FeedPlan) -> Result<Option<String>, SessionFault> {
    let Some(reference) = &plan.api_key else { return Ok(None) };
    let value = Value::parse(reference).map_err(str::to_owned);
    let key = value.and_then(|value| value.resolve(&|name| std::env::var(name).ok()));
    key.map(Some).map_err(|what| SessionFault {
        feed: plan.name.clone(),
        what: format!("api_key: {what}"),
        hint: "set it, or omit api_key: then only trades that REST serves without a key are \
               backfilled",
        configured: true,
    })
}
