//! What a bar looks like as bytes.

use barflow::sinks::encode::{Encoder, Encoding, avro};
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

/// As serde_avro_fast 2.1 wrote them, which barflow used before: readers' bytes do not change with
/// the library.
const AVRO_BAR: &str = "c301aed96ad78c6194dd0464692862696e616e63653a73706f743a425443555344540e62696e616e63650873\
     706f740e425443555344540c747261646573008080c8fea1babdb82ffea79eb8a9babdb82fd00fe20fc3f528\
     5c5fd9ed400000000010e2ed403333333303c9ed400000000080d5ed40abaaaaaa2ad6ed40343333333333d3\
     3f66666666e6e6d140000000000000c03ff6285c8f2ad6bd40140818d7a3703d8adea7c00000000000000038\
     a8c048afbc9af2d77a3e02000000008070a740020000000000408f40027b14ae47e17a64bf02d7a3703d0ab7\
     5740127468726573686f6c642030313233343536373839616263646566000000";
const AVRO_RETRACTION: &str = "c301aed96ad78c6194dd0464692862696e616e63653a73706f743a425443555344540e62696e616e63650873\
     706f740e425443555344540c747261646573008080c8fea1babdb82ffea79eb8a9babdb82ffeffffffffffff\
     ffff01e20fc3f5285c5fd9ed400000000010e2ed403333333303c9ed400000000080d5ed40abaaaaaa2ad6ed\
     40343333333333d33f66666666e6e6d140000000000000c03ff6285c8f2ad6bd40140818d7a3703d8adea7c0\
     02000000000000f83f02ffffffffffffef7f000000000038a8c0000000000000f07f00020000000000408f40\
     027b14ae47e17a64bf02d7a3703d0ab75740126d61785f7469636b7320303132333435363738396162636465\
     66feffffff1fd80401";

#[test]
fn avro_bars_have_the_same_bytes_as_ever() {
    let mut encoder = Encoder::new(Encoding::Avro);
    let first = made(bar(0));
    assert_eq!(hex::encode(encoder.encode(&BarRecord::of(&first, 1)).unwrap()), AVRO_BAR);
    let mut runs = bar(0);
    (runs.theta_buy, runs.theta_sell, runs.threshold) = (Some(1.5), Some(f64::MAX), None);
    (runs.first_trade_id, runs.theta_max) = (i64::MAX as u64, f64::INFINITY);
    (runs.revision, runs.missing_ids) = (u32::MAX, 300);
    runs.close_reason = CloseReason::MaxTicks;
    let runs = made(runs);
    let bytes = encoder.encode(&BarRecord::of(&runs, -1)).unwrap();
    assert_eq!(hex::encode(bytes), AVRO_RETRACTION);

    let read = avro::read(bytes).unwrap().unwrap();
    let mut expected = serde_json::to_value(BarRecord::of(&runs, -1)).unwrap();
    assert_eq!(read["theta_max"], serde_json::Value::Null, "JSON knows no infinity");
    expected["theta_max"] = serde_json::Value::Null;
    assert_eq!(read, expected);
}

#[test]
fn a_damaged_avro_record_is_an_error_and_takes_no_memory() {
    let whole = hex::decode(AVRO_BAR).unwrap();
    for cut in 2..whole.len() {
        assert!(avro::read(&whole[..cut]).unwrap().is_err(), "cut at {cut}");
    }
    let longer = [&whole[..], b"x"].concat();
    assert!(avro::read(&longer).unwrap().unwrap_err().contains("1 bytes after the record"));
    // A text of 2^62 bytes.
    let huge = [&whole[..10], &[0xff; 8][..], &[0x7f]].concat();
    assert!(avro::read(&huge).unwrap().is_err());
    assert!(avro::read(b"{}").is_none());
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
