//! What a bar looks like as bytes.

use barflow::sinks::encode::{Encoder, Encoding};
use barflow::sinks::record::BarRecord;
use barflow_operators::bar::{Bar, CloseReason};
use barflow_operators::published::PublishedBar;

use crate::support::avro::assert_same;
use crate::support::bars::{bar, feed, published};

fn made(bar: Bar) -> PublishedBar {
    published("di", &feed("binance:spot:BTCUSDT"), bar)
}

#[test]
fn a_json_bar_looks_like_this() {
    let mut strange = bar(0);
    strange.close_reason = CloseReason::MaxTicks;
    strange.theta_max = f64::INFINITY;
    let bar = made(strange);
    let expected = r#"{"spec":"di","instrument":"binance:spot:BTCUSDT","venue":"binance","market":"spot","symbol":"BTCUSDT","input":"trades","seq":0,"open_time":1709251200000000000,"close_time":1709251200999999999,"first_trade_id":1000,"last_trade_id":1009,"open":61130.98,"high":61200.5,"low":61000.1,"close":61100.0,"vwap":61105.333333333336,"volume":0.30000000000000004,"quote_volume":18331.6,"buy_volume":0.125,"buy_quote_volume":7638.16625,"ticks":10,"buy_ticks":4,"trade_count":12,"theta":-3055.27,"theta_buy":null,"theta_sell":null,"theta_min":-3100.0,"theta_max":null,"threshold":3000.25,"expected_ticks":1000.0,"expected_imbalance":-0.0025,"sigma":94.86,"close_reason":"max_ticks","state_digest":"0123456789abcdef","revision":0,"missing_ids":0,"retracts":false}"#;
    let mut encoder = Encoder::new(Encoding::Json);
    // Twice: the buffer is used again.
    for _ in 0..2 {
        let bytes = encoder.encode(&BarRecord::from(&bar)).unwrap();
        assert_eq!(std::str::from_utf8(bytes).unwrap(), expected);
    }
}

#[test]
fn an_avro_bar_is_what_the_schema_says_to_another_library() {
    let mut runs = bar(1);
    (runs.theta_buy, runs.theta_sell, runs.threshold) = (Some(1.5), Some(f64::MAX), None);
    runs.first_trade_id = i64::MAX as u64;
    let mut encoder = Encoder::new(Encoding::Avro);
    for bar in [bar(0), runs].map(made) {
        assert_same(encoder.encode(&BarRecord::from(&bar)).unwrap(), &bar);
    }
}

#[test]
fn the_fingerprint_changes_only_when_the_schema_does() {
    let mut encoder = Encoder::new(Encoding::Avro);
    let bytes = encoder.encode(&BarRecord::from(&made(bar(0)))).unwrap().to_vec();
    assert_eq!(
        bytes[..10],
        [0xC3, 0x01, 174, 217, 106, 215, 140, 97, 148, 221],
        "a new schema needs a new schema version"
    );
}

#[test]
fn an_id_beyond_avros_longs_is_refused_by_name() {
    let mut huge = bar(0);
    huge.last_trade_id = 1 << 63;
    let bar = made(huge);
    let mut encoder = Encoder::new(Encoding::Avro);
    let error = encoder.encode(&BarRecord::from(&bar)).unwrap_err().to_string();
    assert!(error.contains("\"last_trade_id\" is 9223372036854775808"), "{error}");
}
