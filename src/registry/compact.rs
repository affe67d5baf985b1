//! JSON without white space. Pure.
//!
//! Some registries compare schemas as texts, so that the same schema with other line ends would get another id:
//! it is always sent like this.

/// The text of valid JSON without the white space between its tokens.
pub fn compact(json: &str) -> String {
    let mut short = String::with_capacity(json.len());
    let (mut is_text, mut is_escaped) = (false, false);
    for c in json.chars() {
        if is_text {
            is_text = c != '"' || is_escaped;
            is_escaped = c == '\\' && !is_escaped;
        } else if matches!(c, ' ' | '\t' | '\n' | '\r') {
            continue;
        } else {
            is_text = c == '"';
        }
        short.push(c);
    }
    short
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn only_what_is_between_tokens_goes() {
        let json = "{ \"a b\" :\n[ 1,\t2 ], \"q\\\" \\\\\" : \" x \" }\r\n";
        assert_eq!(compact(json), "{\"a b\":[1,2],\"q\\\" \\\\\":\" x \"}");
    }

    proptest! {
        #[test]
        fn the_value_stays_and_a_short_text_stays_as_it_is(
            texts in prop::collection::vec("[ \\PC\"\\\\\n\t]*", 0..5),
            number in -1e6..1e6f64,
        ) {
            let value = serde_json::json!({ "texts": texts, "number": number, "none": null });
            let short = compact(&serde_json::to_string_pretty(&value).unwrap());
            prop_assert_eq!(&short, &value.to_string());
            prop_assert_eq!(serde_json::from_str::<Value>(&short).unwrap(), value);
            prop_assert_eq!(compact(&short), short);
        }
    }
}
