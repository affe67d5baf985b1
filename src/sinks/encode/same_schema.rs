//! What of the text of an Avro schema tells it from others. Pure.
//!
//! A registry's text is a stranger's: it is compared as JSON, and never given to what parses schemas.

use serde_json::Value;

/// The schema's JSON without docs, every type that is only named as its name. Two texts with the same value are
/// schemas whose records have the same bytes and the same fields. None for what is not JSON, or is nested more than
/// 127 deep.
pub(super) fn essence(schema: &str) -> Option<Value> {
    serde_json::from_str(schema).ok().map(plain)
}

fn plain(schema: Value) -> Value {
    match schema {
        Value::Array(parts) => parts.into_iter().map(plain).collect(),
        Value::Object(mut parts) => {
            parts.remove("doc");
            let is_alone = parts.len() == 1;
            match parts.get("type") {
                Some(name @ Value::String(_)) if is_alone => name.clone(),
                _ => parts.into_iter().map(of_key).collect(),
            }
        }
        other => other,
    }
}

/// A default is a value, not a part of the schema.
fn of_key((key, part): (String, Value)) -> (String, Value) {
    let part = if key == "default" { part } else { plain(part) };
    (key, part)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn docs_order_white_space_and_the_way_of_naming_a_type_do_not_matter() {
        let one = r#"{"type":"record","name":"R","doc":"d","fields":[
            {"name":"a","type":"string","doc":"of a"},
            {"name":"b","type":["null",{"type":"long","doc":""}],"default":null}]}"#;
        let same = r#"{"fields":[{"type":{"type":"string"},"name":"a"},
            {"default":null,"type":[{"type":"null"},"long"],"name":"b"}],"name":"R","type":"record"}"#;
        assert_eq!(essence(one), essence(same));
        assert_eq!(essence(r#"{"type":"int"}"#), essence("\"int\""));
    }

    #[test]
    fn everything_else_does() {
        let of = |more: &str| essence(&format!(r#"{{"name":"a","type":"long"{more}}}"#)).unwrap();
        let all = ["", r#","default":0"#, r#","default":{"doc":1}"#, r#","default":{}"#];
        let all = all.map(of);
        for (at, one) in all.iter().enumerate() {
            assert!(all[..at].iter().all(|other| other != one), "{one}");
        }
        let time = r#"{"type":"long","logicalType":"timestamp-micros"}"#;
        assert_ne!(essence(time), essence("\"long\""));
        assert_ne!(essence(r#"["null","long"]"#), essence(r#"["long","null"]"#));
    }

    #[test]
    fn what_is_not_json_or_too_deep_is_none() {
        for text in ["", "{", "int", "{\"type\":\"int\"} x"] {
            assert_eq!(essence(text), None, "{text}");
        }
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(essence(&deep(127)).is_some() && essence(&deep(200)).is_none());
        assert_eq!(essence(&"{\"items\":".repeat(100_000)), None);
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in "[\\[\\]{}:,\"a-z0-9 ]{0,80}") {
            let _ = essence(&text);
        }
    }
}
