//! Any text as `--faults`, and connections on which what it describes goes wrong.
#![no_main]

use std::time::Duration;

use barflow_simulator::exchange::faults::{FaultInjector, Faults, Sent};
use libfuzzer_sys::fuzz_target;

/// Trades of a connection: more than the longest that one is held back.
const TRADES: u32 = 40;

fuzz_target!(|text: &str| {
    let Ok(faults) = text.parse::<Faults>() else { return };
    let chances = [
        faults.drop,
        faults.duplicate,
        faults.reorder,
        faults.garbage,
        faults.unknown,
        faults.huge,
        faults.rest_5xx,
        faults.refuse,
        faults.gap.map_or(0.0, |(chance, _)| chance),
        faults.rest_429.map_or(0.0, |(chance, _)| chance),
    ];
    assert!(chances.iter().all(|chance| (0.0..=1.0).contains(chance)), "{faults:?}");
    assert_eq!(text.parse(), Ok(faults.clone()), "read twice");

    let run = |connection: u64| {
        let mut injector = FaultInjector::new(&faults, 7, connection, Duration::ZERO);
        let mut sent = Vec::new();
        for place in 0..TRADES {
            let now = Duration::from_millis(u64::from(place));
            injector.trade(0, place, place + 1 == TRADES, now, &mut sent);
        }
        sent
    };
    for connection in 0..4 {
        let sent = run(connection);
        assert_eq!(sent, run(connection), "the same seed, another outcome");
        let last = Sent::Trade(0, TRADES - 1);
        assert!(sent.contains(&last), "the last trade shows what is missing: {sent:?}");
    }
});
