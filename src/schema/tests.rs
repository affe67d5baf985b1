use super::*;

fn source(encoding: Encoding, current: bool) -> Source {
    Source {
        topic: "bars.d'ib".to_owned(),
        current,
        encoding,
        key: KeyFormat::Text,
        int64: Int64::Number,
        brokers: "localhost:9092".to_owned(),
        registry: "http://localhost:8081".to_owned(),
    }
}

const ALL: [Artefact; 12] = [
    Artefact::Avro,
    Artefact::JsonSchema,
    Artefact::Flink,
    Artefact::Clickhouse,
    Artefact::Duckdb,
    Artefact::Questdb,
    Artefact::KafkaConnect(Connector::File),
    Artefact::KafkaConnect(Connector::Iceberg),
    Artefact::KafkaConnect(Connector::S3),
    Artefact::KafkaConnect(Connector::Jdbc),
    Artefact::KafkaConnect(Connector::Clickhouse),
    Artefact::AsyncApi,
];

#[test]
fn every_field_is_in_every_schema_and_table() {
    let with_fields = |artefact: &Artefact| !matches!(artefact, Artefact::KafkaConnect(_));
    for artefact in ALL.into_iter().filter(with_fields) {
        let text = artefact.render(&source(Encoding::Json, false)).unwrap();
        for field in fields::fields() {
            let name = &field.name;
            let quoted = [format!("\"{name}\""), format!("`{name}`")];
            assert!(quoted.iter().any(|name| text.contains(name)), "{artefact:?}: {name}");
        }
    }
}

#[test]
fn readers_of_topics_read_what_is_committed_and_are_refused_what_they_cannot_read() {
    for artefact in [Artefact::Flink, Artefact::KafkaConnect(Connector::File)] {
        for encoding in [Encoding::Json, Encoding::AvroConfluent] {
            for current in [false, true] {
                let text = artefact.render(&source(encoding, current)).unwrap();
                assert!(text.contains("read_committed"), "{text}");
                let registry = text.contains("http://localhost:8081");
                assert_eq!(registry, encoding == Encoding::AvroConfluent, "{text}");
            }
        }
    }
    for artefact in [Artefact::Flink, Artefact::Clickhouse, Artefact::KafkaConnect(Connector::S3)] {
        let refused = artefact.render(&source(Encoding::Avro, false)).unwrap_err();
        assert!(refused.to_string().contains("--encoding avro-confluent or json"), "{refused}");
    }
    let refused = Artefact::Clickhouse.render(&source(Encoding::Json, true)).unwrap_err();
    assert!(refused.to_string().contains("read bars.d'ib, whose rows"), "{refused}");
}

#[test]
fn json_keys_are_key_columns_where_an_engine_has_them() {
    let with = |artefact: Artefact, key, current| {
        artefact.render(&Source { key, ..source(Encoding::Json, current) }).unwrap()
    };
    let text = with(Artefact::Flink, KeyFormat::Json, true);
    assert!(text.contains("PRIMARY KEY (`instrument`, `spec`, `last_trade_id`) NOT ENFORCED"));
    assert!(text.contains("'key.format' = 'json'") && !text.contains("bar_key"), "{text}");
    let text = with(Artefact::Flink, KeyFormat::Text, true);
    assert!(text.contains("PRIMARY KEY (`bar_key`)") && text.contains("'key.format' = 'raw'"));
    let converter = |key| {
        let text = with(Artefact::KafkaConnect(Connector::Jdbc), key, false);
        let config = serde_json::from_str::<serde_json::Value>(&text).unwrap()["config"].clone();
        (config["key.converter"].clone(), config["key.converter.schemas.enable"].clone())
    };
    let name = |class: &str| format!("org.apache.kafka.connect.{class}").into();
    assert_eq!(converter(KeyFormat::Json), (name("json.JsonConverter"), "false".into()));
    assert_eq!(converter(KeyFormat::Text), (name("storage.StringConverter"), Default::default()));
    let key = |key| {
        let document: serde_json::Value =
            serde_json::from_str(&with(Artefact::AsyncApi, key, false)).unwrap();
        document["components"]["messages"]["bar"]["bindings"]["kafka"]["key"].clone()
    };
    assert_eq!(key(KeyFormat::Text), serde_json::json!({ "type": "string" }));
    let names = serde_json::json!(["instrument", "spec", "last_trade_id"]);
    assert_eq!(key(KeyFormat::Json)["required"], names);
    // The columns are in the value as well: nothing else changes with the key.
    for artefact in [Artefact::Clickhouse, Artefact::Duckdb, Artefact::Avro] {
        let [text, json] = [KeyFormat::Text, KeyFormat::Json].map(|key| with(artefact, key, false));
        assert_eq!(text, json);
    }
}

#[test]
fn what_users_name_cannot_leave_its_quotes() {
    let registry = "http://h/#\\'); DROP TABLE bars; --".to_owned();
    let source_of = Source { registry, ..source(Encoding::AvroConfluent, false) };
    let text = Artefact::Clickhouse.render(&source_of).unwrap();
    assert!(text.contains("'http://h/#\\\\''); DROP TABLE bars; --'"), "{text}");
    // Flink takes a backslash as it is.
    let text = Artefact::Flink.render(&source_of).unwrap();
    assert!(text.contains("'http://h/#\\''); DROP TABLE bars; --'"), "{text}");
    for artefact in [Artefact::Flink, Artefact::Clickhouse] {
        let text = artefact.render(&source(Encoding::Json, false)).unwrap();
        assert!(text.contains("'bars.d''ib'"), "{text}");
        assert!(!text.replace("d''ib", "").contains("d'ib"), "{text}");
        assert!(text.contains("bars_d_ib"), "{text}");
    }
}

#[test]
fn documents_are_json() {
    for artefact in ALL {
        let text = artefact.render(&source(Encoding::AvroConfluent, false)).unwrap();
        let is_sql = matches!(
            artefact,
            Artefact::Flink | Artefact::Clickhouse | Artefact::Duckdb | Artefact::Questdb
        );
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), !is_sql, "{text}");
    }
}
