//! A real schema registry for tests: one per test binary, gone when the binary ends, however it ends.
//!
//! `BARFLOW_TEST_REGISTRY=URL` uses one that runs already. Without a Java that can run one (`deploy/registry/server
//! java`), or with `BARFLOW_SKIP_KAFKA=1`, its tests are left out, and say so.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::{Value, json};

/// A running registry.
pub struct TestRegistry {
    /// URL of its Confluent interface.
    pub url: String,
    /// Ends when its standard input does, and takes the registry along.
    _keeper: Option<Child>,
}

/// The registry of this test binary; none if the tests are to be skipped.
pub fn registry() -> Option<&'static TestRegistry> {
    static REGISTRY: OnceLock<Option<TestRegistry>> = OnceLock::new();
    let found = REGISTRY.get_or_init(|| {
        if std::env::var("BARFLOW_SKIP_KAFKA").is_ok_and(|value| value == "1") {
            return None;
        }
        if let Ok(url) = std::env::var("BARFLOW_TEST_REGISTRY") {
            return Some(TestRegistry { url, _keeper: None });
        }
        script().arg("java").output().unwrap().status.success().then(start)
    });
    if found.is_none() {
        println!("SKIPPED: no Java 21 or newer for a schema registry, or BARFLOW_SKIP_KAFKA=1");
    }
    found.as_ref()
}

fn script() -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/registry/server");
    let mut command = Command::new(path);
    // Where cargo builds is not known to a test; tests know their own folder.
    command.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap());
    command
}

fn start() -> TestRegistry {
    let mut keeper =
        script().arg("run").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut url = String::new();
    BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut url).unwrap();
    assert!(url.starts_with("http://"), "the registry did not start");
    TestRegistry { url: url.trim().to_owned(), _keeper: Some(keeper) }
}

impl TestRegistry {
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let head = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("content-type", "application/vnd.schemaregistry.v1+json");
        let answer = match body {
            Some(body) => agent.run(head.body(body.to_string()).unwrap()),
            None => agent.run(head.body(()).unwrap()),
        };
        let mut answer = answer.unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or_default())
    }

    /// Registers a schema, as somebody else would.
    pub fn register(&self, subject: &str, schema: &str) {
        let body = json!({ "schema": schema, "schemaType": "AVRO" });
        let (status, said) =
            self.ask("POST", &format!("/subjects/{subject}/versions"), Some(&body));
        assert_eq!(status, 200, "{said}");
    }

    /// From now on versions of a subject must read each other.
    pub fn demand_compatibility(&self, subject: &str) {
        let body = json!({ "compatibility": "FULL_TRANSITIVE" });
        let (status, said) = self.ask("PUT", &format!("/config/{subject}"), Some(&body));
        assert_eq!(status, 200, "{said}");
    }

    /// How many versions a subject has.
    pub fn versions(&self, subject: &str) -> usize {
        let (_, versions) = self.ask("GET", &format!("/subjects/{subject}/versions"), None);
        versions.as_array().map_or(0, Vec::len)
    }
}

/// A way to a registry that can be cut.
pub struct Way {
    /// The registry's URL over this way.
    pub url: String,
    open: Arc<AtomicBool>,
    asked: Arc<AtomicU32>,
    carried: Arc<Mutex<Vec<TcpStream>>>,
}

impl Way {
    pub fn to(registry: &TestRegistry) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap().to_string();
        let rest = registry.url.strip_prefix("http://").unwrap();
        let (there, path) = rest.split_once('/').unwrap();
        let url = format!("http://{here}/{path}");
        let (open, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU32::new(0)));
        let carried = Arc::<Mutex<Vec<TcpStream>>>::default();
        let (there, is_open, count) = (there.to_owned(), Arc::clone(&open), Arc::clone(&asked));
        let streams = Arc::clone(&carried);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::Relaxed);
                if is_open.load(Ordering::Relaxed) {
                    let stream = stream.unwrap();
                    streams.lock().unwrap().push(stream.try_clone().unwrap());
                    carry(stream, TcpStream::connect(&there).unwrap());
                }
            }
        });
        Self { url, open, asked, carried }
    }

    /// Lets nothing through any more, or everything.
    pub fn set_open(&self, open: bool) {
        self.open.store(open, Ordering::Relaxed);
        if !open {
            for stream in self.carried.lock().unwrap().drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    /// How many connections were attempted.
    pub fn attempts(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }
}

/// Carries what comes and what comes back, until one side has nothing more.
fn carry(mut near: TcpStream, mut far: TcpStream) {
    let (mut from, mut to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    std::thread::spawn(move || {
        let mut block = [0; 4096];
        while let Ok(read) = far.read(&mut block) {
            if read == 0 || near.write_all(&block[..read]).is_err() {
                break;
            }
        }
        let _ = near.shutdown(Shutdown::Both);
    });
}
