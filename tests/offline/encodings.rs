//! What a bar looks like as bytes.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema_compatibility::SchemaCompatibility;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use barflow::registry::SchemaId;
use barflow::sinks::encode::json::Int64;
use barflow::sinks::encode::{Encoder, Encoding, avro};
use barflow::sinks::record::{BarRecord, INT64, SCHEMA_VERSION};
use barflow_operators::bar::{Bar, CloseReason};
use barflow_operators::published::PublishedBar;
use sha2::{Digest, Sha256};

use crate::support::avro::assert_same;
use crate::support::bars::{bar, feed, published};
use crate::support::process::told;

fn made(bar: Bar) -> PublishedBar {
    published("di", &feed("binance:spot:BTCUSDT"), bar)
}

#[test]
fn a_json_bar_looks_like_this() {
    let mut strange = bar(0);
    strange.close_reason = CloseReason::MaxTicks;
    strange.theta_max = f64::INFINITY;
    let bar = made(strange);
    let expected = r#"{"spec":"di","instrument":"binance:spot:BTCUSDT","venue":"binance","market":"spot","symbol":"BTCUSDT","input":"trades","seq":0,"open_time":1709251200000000000,"close_time":1709251200999999999,"first_trade_id":1000,"last_trade_id":1009,"open":61130.98,"high":61200.5,"low":61000.1,"close":61100.0,"vwap":61105.333333333336,"volume":0.30000000000000004,"quote_volume":18331.6,"buy_volume":0.125,"buy_quote_volume":7638.16625,"ticks":10,"buy_ticks":4,"trade_count":12,"theta":-3055.27,"theta_buy":null,"theta_sell":null,"theta_min":-3100.0,"theta_max":null,"threshold":3000.25,"expected_ticks":1000.0,"expected_imbalance":-0.0025,"sigma":94.86,"close_reason":"max_ticks","state_digest":"0123456789abcdef","revision":0,"missing_ids":0,"retracts":false,"bar_id":"binance:spot:BTCUSDT/di/1009","known_time":1709251200999999999,"high_time":1709251200300000000,"low_time":1709251200600000000,"quadratic_variation":1234.5}"#;
    let mut encoder = Encoder::new(Encoding::Json);
    // Twice: the buffer is used again.
    for _ in 0..2 {
        assert_eq!(BarRecord::from(&bar).bar_id, "binance:spot:BTCUSDT/di/1009");
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

/// As they are from version 4 on: readers' bytes change neither with a library nor with barflow.
/// The same before version 4, as topics still have it.
const AVRO_BAR_3: &str = "c301aed96ad78c6194dd0464692862696e616e63653a73706f743a425443555344540e62696e616e6365087\
     3706f740e425443555344540c747261646573008080c8fea1babdb82ffea79eb8a9babdb82fd00fe20fc3f5\
     285c5fd9ed400000000010e2ed403333333303c9ed400000000080d5ed40abaaaaaa2ad6ed4034333333333\
     3d33f66666666e6e6d140000000000000c03ff6285c8f2ad6bd40140818d7a3703d8adea7c0000000000000\
     0038a8c048afbc9af2d77a3e02000000008070a740020000000000408f40027b14ae47e17a64bf02d7a3703\
     d0ab75740127468726573686f6c642030313233343536373839616263646566000000";
const AVRO_BAR: &str = "c301c9d0a8b713445c1b0464692862696e616e63653a73706f743a425443555344540e62696e616e6365087\
     3706f740e425443555344540c747261646573008080c8fea1babdb82ffea79eb8a9babdb82fd00fe20fc3f5\
     285c5fd9ed400000000010e2ed403333333303c9ed400000000080d5ed40abaaaaaa2ad6ed4034333333333\
     3d33f66666666e6e6d140000000000000c03ff6285c8f2ad6bd40140818d7a3703d8adea7c0000000000000\
     0038a8c048afbc9af2d77a3e02000000008070a740020000000000408f40027b14ae47e17a64bf02d7a3703\
     d0ab75740127468726573686f6c642030313233343536373839616263646566000000023862696e616e6365\
     3a73706f743a425443555344542f64692f3130303902fea79eb8a9babdb82f02808cd59ca4babdb82f02809\
     8e2baa6babdb82f0200000000004a9340";
const AVRO_RETRACTION: &str = "c301c9d0a8b713445c1b0464692862696e616e63653a73706f743a425443555344540e62696e616e6365087\
     3706f740e425443555344540c747261646573008080c8fea1babdb82ffea79eb8a9babdb82ffeffffffffff\
     ffffff01e20fc3f5285c5fd9ed400000000010e2ed403333333303c9ed400000000080d5ed40abaaaaaa2ad\
     6ed40343333333333d33f66666666e6e6d140000000000000c03ff6285c8f2ad6bd40140818d7a3703d8ade\
     a7c002000000000000f83f02ffffffffffffef7f000000000038a8c0000000000000f07f000200000000004\
     08f40027b14ae47e17a64bf02d7a3703d0ab75740126d61785f7469636b7320303132333435363738396162\
     63646566feffffff1fd80401023862696e616e63653a73706f743a425443555344542f64692f3130303902f\
     ea79eb8a9babdb82f02808cd59ca4babdb82f028098e2baa6babdb82f0200000000004a9340";

#[test]
fn avro_bars_have_the_bytes_of_the_contract() {
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
        [0xC3, 0x01, 201, 208, 168, 183, 19, 68, 92, 27],
        "a new schema needs a new schema version"
    );
}

#[test]
fn the_registered_text_changes_only_with_the_version() {
    // Registries compare texts: a corrected comment would be another schema in all of them.
    let text = avro::registered();
    assert_eq!(
        hex::encode(Sha256::digest(text)),
        "fbd5680ec356f6cd328f365cb9b24d7d723606faf45b70030a8f0c4c795b2b70",
        "a new schema needs a new schema version"
    );
    let (short, whole): (serde_json::Value, serde_json::Value) =
        (serde_json::from_str(text).unwrap(), serde_json::from_str(avro::SCHEMA).unwrap());
    assert_eq!(short, whole);
}

#[test]
fn records_of_a_registry_are_the_same_after_another_prefix_and_read_by_id_or_length() {
    let id = SchemaId::try_from(258).unwrap();
    let first = made(bar(0));
    let record = BarRecord::of(&first, 1);
    let mut encoder = Encoder::new(Encoding::AvroConfluent);
    assert!(encoder.encode(&record).is_err(), "there is no id");
    let bytes = encoder.encode_registered(id, &record).unwrap().to_vec();
    let datum = &hex::decode(AVRO_BAR).unwrap()[10..];
    assert_eq!(bytes, [&[0, 0, 0, 1, 2], datum].concat());
    assert_eq!(avro::split_registered(&bytes), Some(Ok((id, datum))));
    assert!(avro::read(&bytes).is_none() && avro::split_registered(b"{}").is_none());

    let expected = serde_json::to_value(&record).unwrap();
    let versions = versions();
    let current = versions.last().unwrap();
    let texts = avro::FORMER.into_iter().chain([avro::SCHEMA]);
    let mut lengths = Vec::new();
    for (wrote, text) in versions.iter().zip(texts) {
        let value = resolved(current, wrote, datum);
        let datum = GenericDatumWriter::builder(wrote).build().unwrap().write_value_to_vec(value);
        let datum = datum.unwrap();
        lengths.push(datum.len());
        // As a registry gives it back: in another order, without docs.
        let plain = Schema::parse_str(text).unwrap().canonical_form();
        let version = avro::Version::of(&plain).unwrap();
        assert!(std::ptr::eq(version, avro::Version::of(text).unwrap()));
        let renamed = text.replace("\"retracts\"", "\"withdrawn\"").replace("\"ticks\"", "\"t\"");
        assert!(avro::Version::of(&renamed).is_none());
        let read = version.read_datum(&datum).unwrap();
        assert_eq!(avro::Version::read_any(&datum).as_ref(), Ok(&read));
        for (name, value) in read.as_object().unwrap() {
            assert_eq!(value, &expected[name], "{name}");
        }
        for cut in 0..datum.len() {
            assert!(version.read_datum(&datum[..cut]).is_err(), "cut at {cut}");
        }
        assert!(version.read_datum(&[&datum[..], b"x"].concat()).is_err());
    }
    assert!(lengths.is_sorted() && lengths.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(avro::Version::of("\"int\"").is_none() && avro::Version::of("{").is_none());
    assert!(avro::Version::read_any(&[]).is_err() && avro::Version::read_any(b"x").is_err());
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

#[test]
fn int64_as_strings_is_the_same_record() {
    let mut far = bar(0);
    (far.last_trade_id, far.revision) = (u64::MAX, 3);
    let bar = made(far);
    let record = BarRecord::of(&bar, -1);
    let numbers = serde_json::to_value(&record).unwrap();
    let mut encoder = Encoder::new(Encoding::Json).with_int64(Int64::Text);
    let texts: serde_json::Value =
        serde_json::from_slice(encoder.encode(&record).unwrap()).unwrap();
    let names: Vec<&String> = numbers.as_object().unwrap().keys().collect();
    assert_eq!(names, texts.as_object().unwrap().keys().collect::<Vec<_>>());
    for name in names {
        let (number, text) = (&numbers[name], &texts[name]);
        if INT64.contains(&name.as_str()) {
            assert!(number.is_u64(), "{name}");
            assert_eq!(text.as_str().unwrap(), number.to_string(), "{name}");
        } else {
            assert_eq!(text, number, "{name}");
            // What a double holds.
            assert!(!number.is_u64() || name == "revision", "{name}");
        }
    }
}

/// All versions, the oldest first.
fn versions() -> Vec<Schema> {
    let texts = avro::FORMER.into_iter().chain([avro::SCHEMA]);
    texts.map(|text| Schema::parse_str(text).unwrap()).collect()
}

#[test]
fn every_version_reads_every_other() {
    let versions = versions();
    assert_eq!(versions.len(), SCHEMA_VERSION as usize);
    for (writer, wrote) in versions.iter().enumerate() {
        for (reader, reads) in versions.iter().enumerate() {
            let (writer, reader) = (writer + 1, reader + 1);
            SchemaCompatibility::can_read(wrote, reads)
                .unwrap_or_else(|e| panic!("version {reader} cannot read version {writer}: {e}"));
        }
    }
    let docs: serde_json::Value = serde_json::from_str(avro::SCHEMA).unwrap();
    let says = format!("A bar, schema version {SCHEMA_VERSION}. ");
    assert!(docs["doc"].as_str().unwrap().starts_with(&says));
}

fn resolved(wrote: &Schema, reads: &Schema, mut bytes: &[u8]) -> Value {
    let reader = GenericDatumReader::builder(wrote).reader_schema(reads).build().unwrap();
    reader.read_value(&mut bytes).unwrap()
}

#[test]
fn records_of_every_version_are_read_by_every_other() {
    let (first, versions) = (made(bar(0)), versions());
    let bytes = Encoder::new(Encoding::Avro).encode(&BarRecord::from(&first)).unwrap().to_vec();
    let current = versions.last().unwrap();
    for wrote in &versions {
        // The fields of a version are the first ones of the next.
        let value = resolved(current, wrote, &bytes[10..]);
        let writer = GenericDatumWriter::builder(wrote).build().unwrap();
        let datum = writer.write_value_to_vec(value).unwrap();
        for reads in &versions {
            let read = resolved(wrote, reads, &datum);
            let Value::Record(fields) = read else { panic!("{read:?}") };
            let names = |schema: &Schema| -> Vec<String> {
                let Schema::Record(record) = schema else { panic!("{schema:?}") };
                record.fields.iter().map(|field| field.name.clone()).collect()
            };
            let wrote = names(wrote);
            assert_eq!(
                fields.iter().map(|(name, _)| name).collect::<Vec<_>>(),
                names(reads).iter().collect::<Vec<_>>()
            );
            for (name, value) in fields {
                let is_default = matches!(&value, Value::Long(0) | Value::Boolean(false))
                    || matches!(&value, Value::Union(_, inner) if **inner == Value::Null);
                assert!(wrote.contains(&name) || is_default, "{name}: {value:?}");
            }
        }
    }
}

#[test]
fn records_of_an_earlier_version_are_read_from_topics() {
    let read = avro::read(&hex::decode(AVRO_BAR_3).unwrap()).unwrap().unwrap();
    let mut expected = serde_json::to_value(BarRecord::from(&made(bar(0)))).unwrap();
    for name in ["bar_id", "known_time", "high_time", "low_time", "quadratic_variation"] {
        expected.as_object_mut().unwrap().remove(name).unwrap();
    }
    assert_eq!(read, expected);
}

/// Every output refuses them as one does, and before any bar.
#[test]
fn ids_beyond_signed_64_bit_numbers_are_bad_rows_for_every_output() {
    let folder = tempfile::tempdir().unwrap();
    let row = |id: u64| format!("{id},60000,0.5,1,1709251200000,True,True\n");
    let span = |id: u64| format!("{id},60000,0.5,{id},{id},1709251200000,True,True\n");
    let mapped = |id: u64| format!("{id},60000,0.5,1709251200000\n");
    let beyond = 1 << 63;
    for (name, text, field) in [
        ("BTCUSDT-trades-2024-03-01.csv", row(beyond - 1) + &row(beyond), "trade_id"),
        ("BTCUSDT-aggTrades-2024-03-01.csv", span(beyond - 1) + &span(beyond), "agg_trade_id"),
        (
            "x.csv",
            format!("id,price,qty,time\n{}{}", mapped(beyond - 1), mapped(beyond)),
            "trade_id",
        ),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
        for sink in ["jsonl", "csv", "parquet", "none"] {
            let out = format!("{name}.{sink}");
            let bar =
                ["replay", name, "--instrument", "binance:spot:BTCUSDT", "--bar", "t=tick,size=1"];
            let sink = match sink {
                "none" => vec!["--sink", sink],
                _ => vec!["--sink", sink, "--out", &out],
            };
            let said = told(folder.path(), 1, &[&bar[..], &sink].concat());
            for wanted in [&format!("field \"{field}\""), "2^63", "\"9223372036854775808\""] {
                assert!(said.contains(wanted), "{wanted}: {said}");
            }
        }
    }
}
