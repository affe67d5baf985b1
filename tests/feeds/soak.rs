//! A bounded run under everything that goes wrong: `BARFLOW_SOAK=5 cargo test --test feeds soak` runs five
//! minutes; without the variable it is passed over.

use std::fs;
use std::time::Instant;

use crate::support::live::{DIB, Simulator, assert_same, replayed, two_days};

const FAULTS: &str = "drop=0.001,duplicate=0.01,reorder=0.005,disconnect=5s,stall=20s:2s,\
                      garbage=0.001,unknown=0.001,rest-429=0.1,rest-5xx=0.1,refuse=0.2";

/// Resident memory in KiB and open descriptors.
fn uses(process: u32) -> Option<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let memory = line.split_whitespace().nth(1)?.parse().ok()?;
    let descriptors = fs::read_dir(format!("/proc/{process}/fd")).ok()?.count() as u64;
    Some((memory, descriptors))
}

#[test]
fn memory_and_descriptors_stay_where_they_are_and_nothing_is_lost() {
    let Some(minutes) = std::env::var("BARFLOW_SOAK").ok().and_then(|m| m.parse::<u64>().ok())
    else {
        println!("SKIPPED: BARFLOW_SOAK is not set");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let rate = 1_000;
    let Some((history, day)) = two_days(folder.path(), (minutes * 60 * rate) as usize / 2) else {
        return;
    };
    let files = [history.as_path(), day.as_path()];
    let expected = replayed(&files, "binance:spot:XBTUSD", DIB);
    let rate = rate.to_string();
    let simulator = Simulator::start(
        &["--protocol", "binance-spot", "--rate", &rate, "--faults", FAULTS, "--seed", "9"],
        &files,
    );
    let mut live = simulator.listen(&format!("--bar {DIB}"));
    let began = Instant::now();
    let mut seen = Vec::new();
    // Bars are waited for in between, so that a run that died is noticed.
    for bars in (0..expected.len()).step_by(20).skip(1) {
        live.wait_for(bars);
        seen.push(uses(live.id()).unwrap());
    }
    live.wait_for(expected.len());
    let (code, bars, said) = live.stop();
    assert_eq!(code, Some(0), "{said}");
    assert_same(&bars, &expected, &format!("{said}\n{}", simulator.stop()));
    // The first fifth fills pools and buffers.
    let (settled, last) = (seen[seen.len() / 5], *seen.last().unwrap());
    println!("{:?}: {settled:?} → {last:?} KiB, descriptors", began.elapsed());
    assert!(last.0 < settled.0 + 8 * 1024, "memory: {settled:?} → {last:?} KiB");
    assert!(last.1 <= settled.1 + 4, "descriptors: {settled:?} → {last:?}");
}
