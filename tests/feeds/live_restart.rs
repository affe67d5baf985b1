//! A live run that was killed and comes back when the exchange no longer has what it missed.

use std::fs;
use std::path::Path;

use crate::support::live::{Simulator, assert_same, listen, replayed, two_days, words};
use crate::support::process::{Process, barflow};

const TICK: &str = "t=tick,size=100";

/// Id of the last trade that counts, by the checkpoint beside a file.
fn last_trade(out: &Path) -> u64 {
    let shown =
        barflow().args(["checkpoints", "show", "--json", "--at"]).arg(out).output().unwrap();
    let line = String::from_utf8(shown.stdout).unwrap();
    let value: serde_json::Value = serde_json::from_str(line.trim()).unwrap_or_default();
    value["position"]["trade_id"].as_u64().unwrap_or(0)
}

fn wait_for_trade(live: &mut Process, out: &Path, trade_id: u64) {
    live.wait_until(&format!("trade {trade_id}"), |_| last_trade(out) >= trade_id);
}

#[test]
fn what_the_venue_has_no_more_is_a_gap_on_the_ledger_and_on_the_bar() {
    let folder = tempfile::tempdir().unwrap();
    let Some((day, _)) = two_days(folder.path(), 4_000) else { return };
    let rows: Vec<String> = fs::read_to_string(&day).unwrap().lines().map(str::to_owned).collect();
    let id = |row: &String| row.split(',').next().unwrap().parse::<u64>().unwrap();
    let part = |name: &str, rows: &[String]| {
        let path = folder.path().join(name);
        fs::write(&path, rows.join("\n") + "\n").unwrap();
        path
    };
    // A gap that only the ids show, and an exchange that lists only what comes after it.
    let before = part("XBTUSD-trades-2018-01-01.csv", &rows[..1_550]);
    let behind = part("XBTUSD-trades-2018-01-02.csv", &rows[2_000..]);
    let (out, gaps) = (folder.path().join("bars.jsonl"), folder.path().join("gaps.jsonl"));
    let config = folder.path().join("live.toml");
    fs::write(
        &config,
        "[feeds.spot]\nvenue = \"binance-spot\"\ninstruments = [\"XBTUSD\"]\n\
         backfill_budget = \"1s\"\n",
    )
    .unwrap();
    let start = |simulator: &Simulator| {
        let files = [("--config", &config), ("--gaps", &gaps), ("--out", &out)];
        let mut arguments = vec!["--at", &simulator.address, "--bar", TICK];
        arguments.extend(files.iter().flat_map(|(name, path)| [*name, path.to_str().unwrap()]));
        arguments.extend(words("--delivery exactly-once --commit-interval 20ms"));
        listen(&arguments)
    };
    let protocol = ["--protocol", "binance-spot", "--speed", "max"];
    let simulator = Simulator::start(&protocol, &[&before]);
    let mut live = start(&simulator);
    wait_for_trade(&mut live, &out, id(&rows[1_549]));
    live.kill();
    drop(simulator);
    let first_run = fs::read(&out).unwrap();
    assert!(!first_run.is_empty(), "what was decided is there");

    let simulator = Simulator::start(&protocol, &[&behind]);
    let mut live = start(&simulator);
    wait_for_trade(&mut live, &out, id(rows.last().unwrap()));
    let (code, _, said) = live.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("trades are missing"), "{said}");
    let ledger: serde_json::Value =
        serde_json::from_str(fs::read_to_string(&gaps).unwrap().trim()).unwrap();
    let (first, last) = (id(&rows[1_550]), id(&rows[1_999]));
    assert_eq!(
        (ledger["first_missing"].as_u64(), ledger["last_missing"].as_u64()),
        (Some(first), Some(last))
    );

    assert!(fs::read(&out).unwrap().starts_with(&first_run), "and it stays");
    let bars: Vec<String> = fs::read_to_string(&out).unwrap().lines().map(str::to_owned).collect();
    // Replay of the same files has the same hole.
    let expected = replayed(&[&before, &behind], "binance:spot:XBTUSD", TICK);
    assert_same(&bars, &expected, "with a hole");
    let flagged = format!("\"missing_ids\":{}", last - first + 1);
    assert_eq!(bars.iter().filter(|bar| bar.contains(&flagged)).count(), 1);
}
