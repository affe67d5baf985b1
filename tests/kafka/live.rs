//! From a simulator that injects faults into a real Kafka, and the same bars as replay.

use std::fs;

use crate::support::kafka::{broker, committed, unique};
use crate::support::live::{DIB, Simulator, joining, listen, renamed, replayed, two_days};
use crate::support::process::output;

const FAULTS: &str = "drop=0.002,duplicate=0.02,reorder=0.01,disconnect=4000,garbage=0.002,\
                      unknown=0.002,rest-429=0.1,rest-5xx=0.1";

#[test]
fn a_topic_fed_live_equals_replay_whatever_went_wrong_on_the_way() {
    let Some(kafka) = broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some((history, day)) = two_days(folder.path(), 12_000) else { return };
    let instrument = "coinbase:spot:BTC-USD";
    let expected = replayed(&[&history, &day], instrument, DIB);
    let file = folder.path().join("expected.jsonl");
    fs::write(&file, expected.join("\n") + "\n").unwrap();
    let mut arguments = vec!["--protocol", "coinbase", "--instrument", instrument];
    arguments.extend(["--speed", "max", "--faults", FAULTS]);
    let simulator = Simulator::start(&arguments, &[&day]);
    let topic = unique("live");
    let venue_of = ["--venue", "coinbase", "--instrument", "BTC-USD", "--at", &simulator.address];
    let sink = ["--sink", "kafka", "--brokers", &kafka.plain, "--topic", &topic, "--create-topics"];
    let renamed = renamed(instrument);
    let history = joining(&history, &renamed);
    let mut live = listen(&[&venue_of[..], &history, &sink].concat());
    // The topic appears with the first bar.
    live.wait_until("all bars", |_| committed(&kafka.plain, &topic) >= expected.len());
    let (code, _, said) = live.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("received → acknowledged"), "{said}");
    let target = format!("kafka://{}/{topic}", kafka.plain);
    let same = output(&["diff", file.to_str().unwrap(), &target], None);
    let told = String::from_utf8_lossy(&same.stderr).into_owned();
    assert_eq!(same.status.code(), Some(0), "{told}\n{said}");
    assert!(told.contains(&format!("the same: {} bars", expected.len())), "{told}");
}
