//! Any bytes as what a checkpoint holds, under a mark, a version and a checksum that are right: the state
//! of an instrument (first byte even), or a checkpoint in a file.
#![no_main]

use barflow::checkpoints::job::JobName;
use barflow::checkpoints::saved::{Entries, Saved};
use barflow::sinks::local_checkpoint::LocalCheckpoint;
use barflow_operators::checkpoint::envelope::{open, seal};
use libfuzzer_sys::fuzz_target;
use serde::ser::{Serialize, SerializeTuple, Serializer};

/// Bytes as they are: a tuple has no length in front of it.
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        for byte in self.0 {
            tuple.serialize_element(byte)?;
        }
        tuple.end()
    }
}

fn restore(job: &JobName, entries: &Entries) {
    let Ok(saved) = Saved::understand(job, entries) else { return };
    for state in saved.instruments.values() {
        assert!(state.bars().count() == state.specs().count());
        let _ = state.resume();
    }
}

fuzz_target!(|bytes: &[u8]| {
    let job: JobName = "j".parse().expect("a name");
    let Some((kind, content)) = bytes.split_first() else { return };
    let sealed = seal(&Raw(content));
    if kind % 2 == 0 {
        restore(&job, &Entries::from([(job.record_key("a:b:C/0"), sealed)]));
    } else if let Ok(checkpoint) = open::<LocalCheckpoint>(&sealed) {
        restore(&job, &checkpoint.entries);
    }
});
