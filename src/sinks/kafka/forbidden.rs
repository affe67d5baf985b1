//! Properties of librdkafka that do more than talk to brokers. A configuration comes from a repository,
//! and a user who can change one must not thereby run code here: neither in a run nor in a check.

/// What such a property would do; none for the others. Names are compared in any case, and kinds of
/// names beside those that are known today.
pub(super) fn effect(property: &str) -> Option<&'static str> {
    const CODE: &str = "loads native code";
    const COMMAND: &str = "runs a command";
    const FILE: &str = "writes a file";
    const OTHERS: &str = "sends secrets to other servers than the brokers";
    const POINTER: &str = "is for programs alone";
    let name = property.trim().to_ascii_lowercase();
    let contains = |words: &[&str]| words.iter().any(|word| name.contains(word));
    let ends = |words: &[&str]| words.iter().any(|word| name.ends_with(word));
    if contains(&["plugin", ".engine", "provider", "library"]) {
        // plugin.library.paths, ssl.engine.location, ssl.engine.id, ssl.providers
        return Some(CODE);
    }
    if ends(&[".cmd", ".command"]) {
        // sasl.kerberos.kinit.cmd
        return Some(COMMAND);
    }
    if name.starts_with("offset.store.") {
        return Some(FILE);
    }
    if ends(&[".url", ".uri"]) || name == "sasl.oauthbearer.metadata.authentication.type" {
        // sasl.oauthbearer.token.endpoint.url
        return Some(OTHERS);
    }
    if ends(&["_cb", "opaque", "_data"]) || name == "interceptors" || name.starts_with("ssl_") {
        return Some(POINTER);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_that_run_something_are_known_by_their_kind() {
        for property in [
            "plugin.library.paths",
            "Plugin.Library.Paths",
            " plugin.library.paths",
            "ssl.engine.location",
            "ssl.engine.id",
            "ssl.providers",
            "sasl.kerberos.kinit.cmd",
            "offset.store.path",
            "offset.store.method",
            "sasl.oauthbearer.token.endpoint.url",
            "sasl.oauthbearer.metadata.authentication.type",
            "log_cb",
            "open_cb",
            "opaque",
            "interceptors",
            "ssl_engine_callback_data",
        ] {
            assert!(effect(property).is_some(), "{property}");
        }
        for property in [
            "security.protocol",
            "ssl.ca.location",
            "ssl.keystore.location",
            "sasl.password",
            "sasl.kerberos.keytab",
            "sasl.oauthbearer.config",
            "enable.auto.offset.store",
            "client.id",
            "linger.ms",
            "debug",
        ] {
            assert_eq!(effect(property), None, "{property}");
        }
    }
}
