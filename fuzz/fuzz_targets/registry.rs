//! Any bytes as what a schema registry answers (a status of two bytes, then the content), and as a record in the
//! registry's wire format.
#![no_main]

use barflow::registry::api::{Answer, Reply, schema};
use barflow::registry::decision::{Decision, Next, Register};
use barflow::registry::wire::split;
use barflow::sinks::encode::avro::Version;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    record(bytes);
    let Some((status, body)) = bytes.split_first_chunk() else { return };
    let answer = Answer { status: u16::from_be_bytes(*status), body: body.to_owned() };
    for register in [Register::Never, Register::Check, Register::Auto] {
        ask(register, &answer);
    }
    let found = schema(&answer);
    assert!(answer.status == 200 || !matches!(found, Ok(Some(_))), "a schema of an error");
});

/// A registry that has one answer to all questions.
fn ask(register: Register, answer: &Answer) {
    let mut decision = Decision::begin(register);
    for _ in 0..3 {
        let Ok(reply) = decision.question().reply(answer) else { return };
        if let Reply::Id(_) = reply {
            assert_eq!(answer.status, 200, "an id of an error");
        }
        match decision.after(reply) {
            Next::Ask(next) => decision = next,
            Next::Use(id) => {
                assert!(id.prefix()[1] < 0x80, "an id that Java takes for a negative one");
                return;
            }
            _ => return,
        }
    }
    panic!("it asks without an end");
}

/// The bytes as a record of a topic.
fn record(bytes: &[u8]) {
    if let Some(Ok((id, rest))) = split(bytes) {
        assert_eq!([&id.prefix()[..], rest].concat(), bytes, "nothing is lost");
        // A bar of any version, or a reason.
        let _ = Version::read_any(rest);
    }
}
