//! What can be said of a JSON message without its values: keys and their order, types, and how
//! numbers and times are written.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Keys whose words tell kinds of messages apart: these are compared as they are.
const WORDS: [&str; 12] = [
    "e", "X", "type", "channel", "op", "method", "event", "name", "L", "ret_msg", "retMsg",
    "category",
];

/// How closely values are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Grain {
    /// How numbers and times are written, and the words of [`WORDS`]: for recordings.
    Fine,
    /// Types only: for examples whose values are invented.
    Coarse,
}

/// JSON with its keys in order.
enum Tree {
    Null,
    Bool,
    Number(String),
    Text(String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Tree;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Tree, E> {
        Ok(Tree::Bool)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Tree, E> {
        Ok(Tree::Number(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Tree, E> {
        Ok(Tree::Number(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Tree, E> {
        Ok(Tree::Number(format!("{number:?}")))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(one) = from.next_element()? {
            list.push(one);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Tree, A::Error> {
        let mut map = Vec::new();
        while let Some(one) = from.next_entry()? {
            map.push(one);
        }
        Ok(Tree::Map(map))
    }
}

/// Times of today have 10 digits in s, 13 in ms, 16 in µs, and begin with 1; ids do not happen to.
fn number(text: &str) -> &'static str {
    let whole = text.split('.').next().unwrap();
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match (whole.len(), text.starts_with('1'), digits) {
        (13, true, true) => "ms",
        (16, true, true) => "µs",
        (19, true, true) => "ns",
        (10, true, false) => "seconds",
        _ => "number",
    }
}

fn text(text: &str) -> String {
    let uuid = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts: Vec<usize> = text.split('-').map(str::len).collect();
    if text.is_empty() {
        "nothing".to_owned()
    } else if text.parse::<f64>().is_ok() {
        format!("{} in text", number(text))
    } else if text.parse::<jiff::Timestamp>().is_ok() && text.ends_with('Z') {
        "RFC 3339".to_owned()
    } else if text.split('-').all(uuid) && parts == [8, 4, 4, 4, 12] {
        "UUID".to_owned()
    } else {
        match text.starts_with(|c: char| c.is_ascii_digit()) && text.contains(' ') {
            true => skeleton(text),
            false => "text".to_owned(),
        }
    }
}

/// Every run of digits as a nine: what is left is how it is written.
fn skeleton(text: &str) -> String {
    let mut out = text.replace(|c: char| c.is_ascii_digit(), "9");
    while out.contains("99") {
        out = out.replace("99", "9");
    }
    out
}

fn describe(tree: &Tree, place: &str, grain: Grain, without: &[&str], out: &mut BTreeSet<String>) {
    let coarse = grain == Grain::Coarse;
    let leaf = match tree {
        Tree::Null => "null".to_owned(),
        Tree::Bool => "true or false".to_owned(),
        Tree::Number(_) if coarse => "number".to_owned(),
        Tree::Number(digits) => number(digits).to_owned(),
        Tree::Text(words) if coarse => match words.parse::<f64>() {
            Ok(_) => "number in text".to_owned(),
            Err(_) => "text".to_owned(),
        },
        Tree::Text(words) => match WORDS.contains(&place.rsplit('/').next().unwrap()) {
            true => format!("{words:?}"),
            false => text(words),
        },
        Tree::List(list) => {
            // Lists that are rows, as Kraken's, have numbers beside texts; others are of one kind.
            let numbers = list.iter().any(|one| matches!(one, Tree::Number(_)));
            let row = numbers && list.iter().any(|one| matches!(one, Tree::Text(_)));
            for (at, one) in list.iter().enumerate() {
                let at = if row { at.to_string() } else { "*".to_owned() };
                describe(one, &format!("{place}/{at}"), grain, without, out);
            }
            "list".to_owned()
        }
        Tree::Map(map) => {
            let kept = map.iter().filter(|(key, _)| !without.contains(&key.as_str()));
            let keys: Vec<&str> = kept.clone().map(|(key, _)| key.as_str()).collect();
            for (key, one) in kept {
                describe(one, &format!("{place}/{key}"), grain, without, out);
            }
            format!("{{{}}}", keys.join(", "))
        }
    };
    out.insert(format!("{place}: {leaf}"));
}

/// What is to be said of these messages, but for some keys.
pub fn shapes<'a>(
    messages: impl IntoIterator<Item = &'a String>,
    grain: Grain,
    without: &[&str],
) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for message in messages {
        let tree: Tree = serde_json::from_str(message).unwrap_or_else(|e| panic!("{e}: {message}"));
        describe(&tree, "", grain, without, &mut out);
    }
    out
}
