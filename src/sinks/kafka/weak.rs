//! Settings that let someone on the network path read what is sent, or impersonate a broker.

use std::collections::BTreeMap;

/// What is weak about these properties, and what to do about it.
pub(super) fn weaknesses(properties: &BTreeMap<String, String>) -> Vec<String> {
    let value = |names: &[&str]| {
        let found = names.iter().find_map(|name| properties.get(*name));
        found.map(|value| value.trim().to_ascii_lowercase()).unwrap_or_default()
    };
    let protocol = value(&["security.protocol"]);
    let mut found = Vec::new();
    if matches!(protocol.as_str(), "ssl" | "sasl_ssl") {
        if value(&["enable.ssl.certificate.verification"]) == "false" {
            found.push(
                "kafka property \"enable.ssl.certificate.verification\" = \"false\": anyone on the \
                 network path can impersonate a broker; remove it, and name the authority by ssl.ca.location"
                    .to_owned(),
            );
        }
        if value(&["ssl.endpoint.identification.algorithm"]) == "none" {
            found.push(
                "kafka property \"ssl.endpoint.identification.algorithm\" = \"none\": any certificate of \
                 the authority is accepted as a broker's; remove it, and give the brokers certificates with \
                 their host names"
                    .to_owned(),
            );
        }
    }
    let mechanism = value(&["sasl.mechanism", "sasl.mechanisms"]);
    if protocol == "sasl_plaintext" && matches!(mechanism.as_str(), "plain" | "oauthbearer") {
        found.push(format!(
            "kafka property \"security.protocol\" = \"sasl_plaintext\" with {}: the secret is sent \
             unencrypted; use sasl_ssl",
            mechanism.to_ascii_uppercase()
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weak(properties: &[(&str, &str)]) -> Vec<String> {
        weaknesses(&properties.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect())
    }

    #[test]
    fn what_lets_others_in_is_named_and_nothing_else() {
        let tls = ("security.protocol", "SASL_SSL");
        let plain = ("sasl.mechanism", "PLAIN");
        for (properties, named) in [
            (vec![tls, ("enable.ssl.certificate.verification", "false")], "ssl.ca.location"),
            (vec![tls, ("ssl.endpoint.identification.algorithm", "none")], "host names"),
            (vec![("security.protocol", "sasl_plaintext"), plain], "use sasl_ssl"),
            (
                vec![("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanisms", "PLAIN")],
                "with PLAIN",
            ),
        ] {
            let found = weak(&properties);
            assert!(found.len() == 1 && found[0].contains(named), "{found:?}");
        }
        let scram = ("sasl.mechanism", "SCRAM-SHA-512");
        for fine in [
            vec![],
            vec![tls, plain],
            vec![tls, ("enable.ssl.certificate.verification", "true")],
            vec![("security.protocol", "sasl_plaintext"), scram],
        ] {
            assert!(weak(&fine).is_empty(), "{fine:?}");
        }
    }
}
