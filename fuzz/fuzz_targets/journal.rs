//! Any bytes as a journal of so many bars as the first byte says.
#![no_main]

use barflow::sinks::journal::entries::{Damage, Entries, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((bars, journal)) = bytes.split_first() else { return };
    let bars = u64::from(*bars);
    let (mut read, mut ended) = (0, false);
    for entry in Entries::new(journal, journal.len() as u64, bars) {
        assert!(!ended, "nothing follows damage");
        match entry {
            Ok(update) => {
                read += 1;
                // What was read can be written.
                write(&update, &mut Vec::new()).expect("a bar is numbers and names");
            }
            Err(Damage::Disk(error)) => panic!("bytes in memory are always read: {error}"),
            Err(_) => ended = true,
        }
    }
    assert!(read <= bars && (ended || read == bars));
});
