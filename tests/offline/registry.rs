//! What a run says and does when a schema registry answers something else than an id.
//!
//! The servers here know one answer each; `tests/kafka/registry.rs` uses a real registry.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use barflow::net::address::{Address, Speaks};
use barflow::registry::{Patience, Register, Registry, RegistryError, RegistrySettings, SchemaId};
use barflow::sinks::encode::avro;
use barflow::stop::Stop;

use crate::support::process::{Process, barflow, wait_until};
use crate::support::scripted_http::{Http, Request, redirect, whole};
use crate::support::servers;

const FOUND: &str = r#"{"subject":"bars.t-value","version":1,"id":7,"schema":"{}"}"#;

fn problem(code: u32) -> String {
    format!(r#"{{"error_code":{code},"message":"as the registry says it"}}"#)
}

fn trades(folder: &tempfile::TempDir) -> PathBuf {
    let path = folder.path().join("BTCUSDT-trades-2024-03-01.csv");
    fs::write(&path, "1,100.5,2.0,201.0,1709251200000,True,True\n").unwrap();
    path
}

/// A replay into a broker that is not there: the registry comes first.
fn command(folder: &tempfile::TempDir, url: &str, more: &[&str]) -> Command {
    let mut run = barflow();
    run.arg("replay").arg(trades(folder)).args(["--instrument", "binance:spot:BTCUSDT"]);
    run.args(["--bar", "t=tick,size=1", "--sink", "kafka", "--brokers", "127.0.0.1:1"]);
    run.args(["--encoding", "avro-confluent", "--schema-registry", url]).args(more);
    run
}

/// It is run to its end.
fn replay(url: &str, more: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut run = command(&folder, url, more);
    let output = run.envs(environment.iter().copied()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn registry_at(address: &str, register: Register) -> Registry {
    let address = Address::read("schema_registry", address, Speaks::Http).unwrap();
    Registry::new(RegistrySettings { register, ..RegistrySettings::at(address) })
}

fn patience(stop: &Stop, ms: u64) -> Patience<'_> {
    Patience { time: Duration::from_millis(ms), until: None, stop }
}

/// Answers by what is asked: looking up, comparing, registering.
fn scripted(look_up: (u16, String), compare: (u16, String), register: (u16, String)) -> Http {
    Http::serve(move |request, stream| {
        let (status, body) = match () {
            () if request.path.contains("/compatibility/") => &compare,
            () if request.path.ends_with("/versions") => &register,
            () => &look_up,
        };
        whole(stream, &format!("{status} Status"), body.as_bytes());
    })
}

fn none() -> (u16, String) {
    (500, String::new())
}

fn absent(code: u32) -> (u16, String) {
    (404, problem(code))
}

/// A run that the registry ends: way of registering, answers, what is said.
fn refused(register: &str, [look_up, compare, add]: [(u16, String); 3], words: &[&str]) {
    let server = scripted(look_up, compare, add);
    let url = format!("http://{}/base", server.address);
    let (code, said) = replay(&url, &["--schema-register", register], &[]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains(&format!("schema registry at \"{url}\"")), "{said}");
    assert!(!said.contains('\u{1b}'), "{said}");
    for wanted in words {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert!(server.asked().iter().all(|asked| asked.path.starts_with("/base/")));
    let adds = |asked: &Request| {
        asked.path.ends_with("/versions") && !asked.path.contains("/compatibility/")
    };
    assert_eq!(server.asked().iter().any(adds), register == "auto", "{said}");
}

#[test]
fn a_schema_that_is_missing_or_does_not_fit_ends_the_run_with_words_and_advice() {
    let fits = |fits: bool| (200, format!(r#"{{"is_compatible":{fits}}}"#));
    let advice = "--schema-register auto";
    let is_missing = "is not registered under subject \"bars.t-value\" (there is no such subject)";
    let unfit = "is not compatible with the newest version of subject";
    refused("check", [absent(40401), none(), none()], &[is_missing, advice]);
    let could = "it is compatible with the newest version there";
    refused("check", [absent(40403), fits(true), none()], &[could, advice]);
    let could_not = "it is not compatible with the newest version there";
    refused("check", [absent(40403), fits(false), none()], &[could_not, "--topic"]);
    refused("never", [absent(40403), none(), none()], &["the subject has other schemas"]);
    refused("check", [(200, FOUND.to_owned()), fits(false), none()], &[unfit, "--topic"]);
    let conflict = [absent(40403), none(), (409, problem(409))];
    refused("auto", conflict, &[unfit, "as the registry says it"]);
}

#[test]
fn every_other_answer_ends_the_run_with_words_and_advice() {
    let added = |answer| [absent(40401), none(), answer];
    let looked_up = |status, body: &str| [(status, body.to_owned()), none(), none()];
    let invalid = "does not accept the schema (HTTP 422, code 42201: as the registry says it)";
    refused("auto", added((422, problem(42201))), &["registering the schema", invalid]);
    let forbidden = ["the user may not do that", "--schema-register never"];
    refused("auto", added((403, problem(40301))), &forbidden);
    let login = "it wants a login, or refuses this one (HTTP 401)";
    refused("check", looked_up(401, ""), &[login, "--schema-registry-login"]);
    let elsewhere = ["there is no schema registry at this address", "/apis/ccompat/v7"];
    refused("check", looked_up(404, "<html>nothing\u{1b}[2J here"), &elsewhere);
    refused("check", looked_up(200, "{}"), &["missing field `id`"]);
    refused("check", looked_up(200, &"x".repeat((1 << 16) + 1)), &["longer than 65536 bytes"]);
}

#[test]
fn the_schema_is_sent_as_one_line_with_a_login_that_goes_nowhere_else() {
    let elsewhere = scripted((200, FOUND.to_owned()), (500, String::new()), (500, String::new()));
    let to = format!("http://{}/subjects", elsewhere.address);
    let server = Http::serve(move |_, stream| redirect(stream, &to));
    let login = [("REGISTRY_LOGIN", "scott:t1ger-lily")];
    let given = ["--schema-registry-login", "${REGISTRY_LOGIN}"];
    let (code, said) = replay(&format!("http://{}", server.address), &given, &login);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("it redirects, which is not followed"), "{said}");
    assert!(!said.contains("t1ger") && elsewhere.asked().is_empty(), "{said}");
    let [asked] = &server.asked()[..] else { panic!("{said}") };
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/subjects/bars.t-value"));
    assert!(asked.head.contains("content-type: application/vnd.schemaregistry.v1+json"));
    // base64 of scott:t1ger-lily, in the lower case of heads here.
    assert!(asked.head.contains("authorization: basic c2nvdhq6ddfnzxitbglseq=="), "{}", asked.head);
    let body: serde_json::Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!(body["schema"], avro::registered());
    assert!(!avro::registered().contains('\n') && !avro::registered().contains("\": "));
}

#[test]
fn a_token_is_sent_as_it_is_and_printed_nowhere() {
    let server = scripted((401, String::new()), (500, String::new()), (500, String::new()));
    let token = [("REGISTRY_TOKEN", "eyJhbGci.t1ger-lily")];
    let given = ["--schema-registry-token", "${REGISTRY_TOKEN}"];
    let (code, said) = replay(&format!("http://{}", server.address), &given, &token);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("--schema-registry-token") && !said.contains("t1ger"), "{said}");
    let asked = server.asked();
    let sends = |asked: &Request| asked.head.contains("authorization: bearer eyjhbgci.t1ger-lily");
    assert!(!asked.is_empty() && asked.iter().all(sends));
    let both = [&given[..], &["--schema-registry-login", "${REGISTRY_TOKEN}"]].concat();
    let (code, said) = replay("https://127.0.0.1:1", &both, &token);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("cannot be combined"), "{said}");
}

#[test]
fn a_registry_that_is_away_is_an_error_with_its_url_and_without_its_secrets() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    drop(taken);
    let url = [("URL", format!("http://scott:t1ger-lily@127.0.0.1:{port}/path"))];
    let environment = url.each_ref().map(|(name, value)| (*name, value.as_str()));
    let (code, said) = replay("${URL}", &[], &environment);
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains(&format!("schema registry at \"http://***@127.0.0.1:{port}/***\"")),
        "{said}"
    );
    assert!(said.contains("could not be reached") && !said.contains("t1ger"), "{said}");
}

#[test]
fn a_registry_that_fails_for_a_moment_is_asked_again_and_one_that_hangs_is_not_waited_for() {
    let times = std::sync::atomic::AtomicU32::new(0);
    let server = Http::serve(move |request, stream| {
        let first = times.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 2;
        let fits = request.path.contains("/compatibility/");
        match (first, fits) {
            (true, _) => whole(stream, "503 Away", b""),
            (_, true) => whole(stream, "200 OK", br#"{"is_compatible":true}"#),
            (_, false) => whole(stream, "200 OK", FOUND.as_bytes()),
        }
    });
    let stop = Stop::new();
    let registry = registry_at(&format!("http://{}", server.address), Register::Check);
    let id = registry.id("bars.t-value", "\"int\"", patience(&stop, 60_000)).unwrap();
    assert_eq!((id.to_string().as_str(), server.asked().len()), ("7", 4));

    // One byte of an answer now and then.
    let slow = servers::serve(|mut stream| {
        let _ = servers::head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n");
        while stream.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let registry = registry_at(&format!("http://{slow}"), Register::Check);
    let began = Instant::now();
    let error = registry.id("s", "\"int\"", patience(&stop, 500)).unwrap_err();
    assert!(matches!(&error, RegistryError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("did not answer within"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    // A run that is to end does not try again.
    stop.raise();
    let registry = registry_at("http://127.0.0.1:1", Register::Check);
    let error = registry.id("s", "\"int\"", patience(&stop, 600_000)).unwrap_err();
    assert!(matches!(error, RegistryError::Stopped { .. }), "{error}");
}

#[test]
fn a_registry_that_is_silent_does_not_delay_the_end() {
    let server = Http::serve(|_, stream| {
        // Until the run is gone.
        let _ = stream.read(&mut [0]);
    });
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://{}", server.address);
    let run = Process::start(command(&folder, &url, &["--bar", "u=tick,size=1"]));
    wait_until("a question", || !server.asked().is_empty());
    run.signal("TERM");
    let (code, said) = run.finish();
    assert_eq!(code, Some(143), "{said}");
    let stopped = format!("stopped while waiting for the schema registry at \"{url}\"");
    assert!(said.contains(&stopped) && !said.contains("did not answer"), "{said}");
    assert_eq!(server.asked().len(), 1, "the other topic is not asked about");
}

#[test]
fn what_was_found_once_is_known_to_all_clones_when_the_registry_is_away() {
    let gone = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let away = std::sync::Arc::clone(&gone);
    let server = Http::serve(move |request, stream| {
        if !away.load(std::sync::atomic::Ordering::Relaxed) {
            assert!(request.path.starts_with("/subjects/"));
            whole(stream, "200 OK", FOUND.as_bytes());
        }
    });
    let stop = Stop::new();
    let registry = registry_at(&format!("http://{}", server.address), Register::Never);
    let clone = registry.clone();
    let id = registry.id("s", "\"int\"", patience(&stop, 60_000)).unwrap();
    gone.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(clone.id("s", "\"int\"", patience(&stop, 1)).unwrap(), id);
    assert!(clone.id("another", "\"int\"", patience(&stop, 1)).is_err());
}

#[test]
fn of_schemas_it_is_only_kept_which_they_are_and_of_a_limited_number_of_ids() {
    let server = Http::serve(|request, stream| {
        let schema = match request.path.as_str() {
            "/schemas/ids/2" => avro::FORMER[1],
            "/schemas/ids/3" => avro::SCHEMA,
            _ => r#"{"type":"fixed","name":"f","size":18446744073709551615}"#,
        };
        let answer = serde_json::json!({ "schema": schema }).to_string();
        whole(stream, "200 OK", answer.as_bytes());
    });
    let stop = Stop::new();
    let registry = registry_at(&format!("http://{}", server.address), Register::Never);
    let clone = registry.clone();
    let which = |id: u64| {
        let id = SchemaId::try_from(id).unwrap();
        clone.which(id, avro::Version::position, patience(&stop, 60_000))
    };
    for _ in 0..2 {
        let found: Vec<_> = (1..=100).map(|id| which(id).unwrap()).collect();
        assert_eq!(found[1], avro::Version::position(avro::FORMER[1]));
        assert_eq!(found[2], avro::Version::position(avro::SCHEMA));
        assert_eq!(found.iter().flatten().count(), 2, "{found:?}");
    }
    let error = which(101).unwrap_err();
    assert!(matches!(error, RegistryError::TooManyIds { .. }), "{error}");
    assert!(error.to_string().contains("id 101 is one too many"), "{error}");
    assert_eq!(server.asked().len(), 100);
}

#[test]
fn a_registry_beyond_this_computer_is_reached_through_the_proxy() {
    let proxy = Http::serve(|_, stream| whole(stream, "502 No", b""));
    let environment = [("HTTP_PROXY", format!("http://{}", proxy.address))];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let (code, said) = replay("http://registry.example:8081", &[], &environment);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("http://registry.example:8081") && said.contains("HTTP_PROXY"), "{said}");
    let asked = proxy.asked();
    assert!(asked.iter().all(|asked| asked.method == "CONNECT"), "{asked:?}");
    assert_eq!(asked[0].path, "registry.example:8081");
}

#[test]
fn settings_that_cannot_be_are_all_named_before_anything_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("barflow.toml");
    let checked = |kafka: &str| {
        let text = format!(
            "[replay]\nfiles = [\"x.csv\"]\n[sink]\nkind = \"kafka\"\n[bars.t]\nkind = \"tick\"\nsize = 1\n\
             [kafka]\nbrokers = \"127.0.0.1:1\"\n{kafka}"
        );
        fs::write(&file, text).unwrap();
        let output = barflow().arg("check").arg(&file).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let confluent = "encoding = \"avro-confluent\"\n";
    let registry = "schema_registry = \"http://127.0.0.1:8081\"\n";
    for (kafka, words) in [
        (confluent.to_owned(), "needs schema_registry"),
        (registry.to_owned(), "schema_registry is for encoding = \"avro-confluent\""),
        ("schema_register = \"auto\"".to_owned(), "needs schema_registry"),
        (
            format!("{confluent}schema_registry = \"https://u:t1ger@h\""),
            "put the whole URL into an environment variable",
        ),
        (
            format!("{confluent}{registry}schema_registry_login = \"u:t1ger\""),
            "must be a reference to USER:PASSWORD",
        ),
        (
            format!(
                "{confluent}schema_registry = \"http://h\"\nschema_registry_login = \"${{LOGIN}}\""
            ),
            "would be sent unencrypted to http://h",
        ),
        (format!("{confluent}schema_registry = \"h:8081\""), "must be a URL with https://"),
        (
            format!("{confluent}{registry}schema_register = \"always\""),
            "is not one of never, check, auto",
        ),
        ("key = \"avro\"".to_owned(), "is not one of text, json"),
        (
            "key = \"json\"\n[kafka.properties]\npartitioner = \"random\"".to_owned(),
            "cannot be combined with key = \"json\"",
        ),
    ] {
        let (code, said) = checked(&kafka);
        assert_eq!(code, Some(2), "{kafka}: {said}");
        assert!(said.contains(words) && !said.contains("t1ger"), "{kafka}: {said}");
    }
    let (code, said) = checked(&format!(
        "{confluent}schema_registry = \"http://registry.example\"\nschema_register = \"never\"\nkey = \"json\""
    ));
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("schema_registry = \"http://registry.example\" is not encrypted"),
        "{said}"
    );
}
