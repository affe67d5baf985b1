//! Any bytes as what another process of a job sends: to a process that waits for greetings, and to the check of
//! timely's messages.
#![no_main]

use std::sync::LazyLock;

use barflow::graph::cluster::ClusterSecret;
use barflow::graph::cluster::greeting::Greeting;
use barflow::graph::cluster::messages::{MessageCheck, MessageError};
use libfuzzer_sys::fuzz_target;

/// Longest piece of a greeting that may be asked for: what it has to be kept for.
const PIECE: usize = 1 << 14;

static SECRETS: LazyLock<[ClusterSecret; 2]> = LazyLock::new(|| {
    let secret = ClusterSecret::new("what those who make inputs do not know");
    [ClusterSecret::of_this_computer(), secret.expect("it is long enough")]
});

/// Hears bytes in pieces of this size. Without the secret, nobody is taken for a process.
fn greet(secret: &ClusterSecret, bytes: &[u8], piece: usize) {
    let mut greeting = Greeting::listen(secret).expect("the system has randomness");
    let mut rest = bytes;
    while !rest.is_empty() && greeting.wanted() > 0 {
        assert!(greeting.wanted() <= PIECE);
        let (piece, more) = rest.split_at(piece.min(greeting.wanted()).min(rest.len()));
        rest = more;
        if greeting.take(piece).is_err() {
            assert_eq!(greeting.wanted(), 0);
            break;
        }
    }
    assert!(greeting.heard().is_none());
}

/// From workers 2 and 3 to workers 4 to 7.
fn check(bytes: &[u8], piece: usize) -> (Result<(), MessageError>, bool) {
    let mut check = MessageCheck::new(2..4, 4..8);
    let judged = bytes.chunks(piece).try_for_each(|piece| check.pass(piece));
    (judged, check.has_ended())
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let piece = usize::from(*first).max(1);
    for secret in &*SECRETS {
        greet(secret, bytes, piece);
    }
    assert_eq!(check(bytes, piece), check(bytes, bytes.len().max(1)));
});
