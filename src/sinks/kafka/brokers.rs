//! What addresses of brokers look like. Pure.

use crate::net::url::{redacted, redacted_address};

/// Everything wrong with `HOST:PORT,…`, without its secrets.
pub fn broker_problems(brokers: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if brokers.split(',').any(|broker| broker.trim().is_empty()) {
        problems.push(format!(
            "brokers is \"{}\"; it must be host:port, several separated by commas",
            redacted_address(brokers)
        ));
    }
    for broker in brokers.split(',').map(str::trim) {
        if broker.contains('@') {
            // Not shown: what is before it may be a password.
            problems.push(
                "brokers contains \"@\"; it must be host:port, and a login is set by the kafka \
                 properties sasl.username and sasl.password"
                    .to_owned(),
            );
        } else if let Some((scheme, rest)) = broker.split_once("://") {
            problems.push(format!(
                "brokers is \"{}\"; it must be host:port without {scheme}://, such as {}",
                redacted(broker),
                rest.split(['/', '?']).next().unwrap_or_default()
            ));
        } else if let Some(what) = foreign(broker) {
            problems.push(format!("brokers contains {what}; it must be host:port"));
        }
    }
    problems
}

/// What no host has, and could end the quotes around it in what `barflow schema` prints.
fn foreign(text: &str) -> Option<String> {
    let c = text.chars().find(|c| c.is_control() || matches!(c, '\\' | '\''))?;
    Some(if c.is_control() { "a control character".to_owned() } else { format!("\"{c}\"") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_brokers_and_nothing_else_is() {
        let problems = broker_problems;
        for fine in ["h:1", "h", "h:1, i:2", "[::1]:9092", "10.0.0.1:9092", "bröker.example:1"] {
            assert_eq!(problems(fine), [""; 0], "{fine}");
        }
        for (brokers, word) in [
            ("", "several separated by commas"),
            ("h:1,", "several separated by commas"),
            ("u:s3cret@h:1", "contains \"@\""),
            ("kafka://h:1", "without kafka://"),
            ("h:1\\", "contains \"\\\""),
            ("h:1,i'); DROP TABLE bars; --", "contains \"'\""),
            ("h:1\ni:2", "contains a control character"),
            ("h\u{1b}[2J:1", "contains a control character"),
        ] {
            let said = problems(brokers);
            assert!(said.len() == 1 && said[0].contains(word), "{brokers}: {said:?}");
            assert!(!said[0].contains("s3cret") && !said[0].contains(char::is_control), "{said:?}");
        }
    }
}
