//! What exchanges have sent, and how to lay what we send beside it.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use barflow::recording::{Direction, reader};
use serde_json::value::RawValue;

use super::days::real;
use super::shapes::{Grain, shapes};

/// Where the recordings are; none where they are not.
pub fn data() -> Option<PathBuf> {
    real("")
}

/// What a venue sent over connections whose address has `address` in it, with `part` in it.
pub fn recorded(data: &Path, file: &str, address: &str, part: &str) -> Vec<String> {
    let mut here = Vec::new();
    let mut found = Vec::new();
    for line in reader::open(&data.join(file)).unwrap() {
        let line = line.unwrap();
        let text = String::from_utf8(line.frame).unwrap();
        match line.direction {
            Direction::Connect if text.contains(address) => here.push(line.connection),
            // hftbacktest's recordings do not say with whom they are.
            Direction::Received
                if text.contains(part)
                    && (address.is_empty() || here.contains(&line.connection)) =>
            {
                found.push(text);
            }
            _ => {}
        }
    }
    found
}

/// Recorded messages that others keep in a field of lines of JSON.
pub fn kept(data: &Path, file: &str, field: &str, part: &str) -> Vec<String> {
    let lines = fs::read_to_string(data.join(file)).unwrap();
    let mut found = Vec::new();
    for line in lines.lines() {
        let line: HashMap<String, Box<RawValue>> = serde_json::from_str(line).unwrap();
        let raw = line[field].get();
        let text = match serde_json::from_str::<String>(raw) {
            Ok(text) => text,
            Err(_) => raw.to_owned(),
        };
        found.extend(text.contains(part).then_some(text));
    }
    found
}

/// A message that others keep as an example.
pub fn example(data: &Path, file: &str) -> Vec<String> {
    vec![fs::read_to_string(data.join("fixtures").join(file)).unwrap()]
}

/// What the venue's documentation shows, where nothing recorded was found.
pub fn documented(text: &str) -> Vec<String> {
    vec![text.to_owned()]
}

/// Keys that only one side has, and why.
pub type Keys<'a> = &'a [(&'a str, &'a str)];

/// Everything that is to be said of our messages must be so of real ones.
pub fn compare(
    what: &str,
    ours: &[&String],
    real: &[String],
    grain: Grain,
    only_real: Keys<'_>,
    only_ours: Keys<'_>,
) {
    assert!(!ours.is_empty() && !real.is_empty(), "{what}: {} {}", ours.len(), real.len());
    let has = |text: &String, key: &str| text.contains(&format!("\"{key}\":"));
    for (key, reason) in only_real {
        let real = real.iter().any(|text| has(text, key));
        assert!(real && !ours.iter().any(|text| has(text, key)), "{what}, {key}: not so: {reason}");
    }
    for (key, reason) in only_ours {
        let ours = ours.iter().all(|text| has(text, key));
        assert!(ours && !real.iter().any(|text| has(text, key)), "{what}, {key}: not so: {reason}");
    }
    let names = |keys: Keys<'_>| keys.iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>();
    let (skip_real, skip_ours) = (names(only_real), names(only_ours));
    let skip_real: Vec<&str> = skip_real.iter().map(String::as_str).collect();
    let skip_ours: Vec<&str> = skip_ours.iter().map(String::as_str).collect();
    let wanted = shapes(real, grain, &skip_real);
    for shape in shapes(ours.iter().copied(), grain, &skip_ours) {
        assert!(wanted.contains(&shape), "{what}: {shape}\nis none of {wanted:#?}");
    }
}
