//! Records of progress, held against the bars that they speak of.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::kafka::{Received, committed, read_each};
use super::process::until;

/// The records of a topic that count so far, in order; none if it is not there yet.
pub fn records(broker: &str, topic: &str) -> Vec<(String, Value)> {
    let record =
        |message: &Received| (message.key.clone(), serde_json::from_slice(&message.value).unwrap());
    let messages = messages(broker, topic);
    messages.iter().filter(|message| !message.value.is_empty()).map(record).collect()
}

/// The newest record of each key.
pub fn newest(broker: &str, topic: &str) -> BTreeMap<String, Value> {
    let mut newest = BTreeMap::new();
    for Received { key, value, .. } in messages(broker, topic) {
        match value.is_empty() {
            // A tombstone.
            true => newest.remove(&key),
            false => newest.insert(key, serde_json::from_slice(&value).unwrap()),
        };
    }
    newest
}

/// The bars that count so far, by the keys of progress.
pub fn bars(broker: &str, topic: &str) -> BTreeMap<String, Vec<Value>> {
    let mut bars: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for message in messages(broker, topic) {
        let bar: Value = serde_json::from_slice(&message.value).unwrap();
        let key = format!("{}/{}", message.key, message.headers["spec"]);
        bars.entry(key).or_default().push(bar);
    }
    bars
}

fn messages(broker: &str, topic: &str) -> Vec<Received> {
    let mut messages = Vec::new();
    if committed(broker, topic) > 0 {
        read_each(broker, topic, |message| messages.push(message));
    }
    messages
}

/// A number of a record.
pub fn number(record: &Value, field: &str) -> u64 {
    record[field].as_u64().unwrap_or_else(|| panic!("{field} of {record}"))
}

/// Every bar that the newest records speak of counts, and no bar beyond them, once the marks of the last
/// commit are written; nobody writes meanwhile.
pub fn assert_at_its_bars(broker: &str, topic: &str, about: &str) {
    let said = newest(broker, &format!("{topic}.progress"));
    let agrees = || {
        let bars = bars(broker, topic);
        let came = |key: &String| bars.get(key).map_or(0, |bars| bars.len() as u64);
        let is_so = said.iter().all(|(key, record)| came(key) >= number(record, "bars"));
        is_so.then_some(bars)
    };
    let Some(bars) = until(Duration::from_secs(60), agrees) else {
        panic!("{about}: progress is ahead of its bars: {said:?}");
    };
    let last = |bar: &Value| number(bar, "last_trade_id");
    let last_trades: BTreeMap<_, Vec<u64>> =
        bars.iter().map(|(key, bars)| (key, bars.iter().map(last).collect())).collect();
    assert_at(&said, about, |key| last_trades.get(key).map_or(&[][..], Vec::as_slice));
}

/// Every bar that a record speaks of is there, and no bar that is there lies between the last of them and
/// what is complete; `last_trades` are those of the bars of a key, in order.
pub fn assert_at<'a>(
    said: &BTreeMap<String, Value>,
    about: &str,
    last_trades: impl Fn(&String) -> &'a [u64],
) {
    for (key, record) in said {
        let through = number(record, "complete_trade_id");
        let made = number(record, "bars") as usize;
        let last_trades = last_trades(key);
        assert!(made <= last_trades.len(), "{about}: {record} is ahead of {}", last_trades.len());
        let before = made.checked_sub(1).map(|last| last_trades[last]);
        assert!(before.is_none_or(|last| last <= through), "{about}: {record}");
        let next = last_trades.get(made);
        assert!(next.is_none_or(|next| *next > through), "{about}: {record} behind bar {made}");
    }
}
