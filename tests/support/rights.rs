//! Rights of Kafka users, given over the wire: librdkafka's Rust binding cannot.

use super::hanging::text;
use super::transactions::exchange;

/// Kafka's numbers for what a right is about.
pub const TOPIC: i8 = 2;
pub const GROUP: i8 = 3;
pub const TRANSACTIONAL_ID: i8 = 5;

/// Kafka's numbers for what may be done.
pub const READ: i8 = 3;
pub const WRITE: i8 = 4;
pub const CREATE: i8 = 5;
pub const DESCRIBE: i8 = 8;
pub const DESCRIBE_CONFIGS: i8 = 10;

/// Lets a user do something to everything of this kind whose name begins so. `broker` is a listener
/// on which we may do everything.
pub fn allow(broker: &str, user: &str, kind: i8, prefix: &str, operation: i8) {
    const CREATE_ACLS: i16 = 30;
    const PREFIXED: i8 = 4;
    const ALLOW: i8 = 3;
    let mut request = Vec::new();
    for number in [CREATE_ACLS, 1] {
        request.extend(number.to_be_bytes());
    }
    request.extend(7i32.to_be_bytes());
    text(&mut request, "rights");
    request.extend(1i32.to_be_bytes());
    request.push(kind as u8);
    text(&mut request, prefix);
    request.push(PREFIXED as u8);
    text(&mut request, &format!("User:{user}"));
    text(&mut request, "*");
    request.extend([operation as u8, ALLOW as u8]);
    // Correlation, throttle, one result: its error.
    let answer = exchange(broker, &request);
    assert_eq!(answer[12..14], [0, 0], "Kafka refused to give a right: {answer:?}");
}
