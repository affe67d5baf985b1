//! Answers requests.

use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use axum::response::IntoResponse;
use barflow_server::Limits;
use fastrand::Rng;
use hyper_util::service::TowerToHyperService;
use percent_encoding::percent_decode_str;
use tower_http::services::ServeFile;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::corrupt::{BodyFault, corrupt};
use super::faults::{Faults, Kind};
use super::listing;
use super::tree::{Content, Tree, open_published};
use super::{ServerOptions, Tally};
use crate::serving::stopped;

struct ServerState {
    tree: Tree,
    options: ServerOptions,
    tally: Arc<Tally>,
    /// Requests so far, by published key: clients can make up any number of others.
    asked: Mutex<HashMap<String, u64>>,
}

/// Serves until `stop` is raised.
pub(super) async fn serve(
    listener: TcpListener,
    tree: Tree,
    options: ServerOptions,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
) -> io::Result<()> {
    let state = Arc::new(ServerState { tree, options, tally, asked: Mutex::default() });
    let app = Router::new().fallback(answer).with_state(state);
    let service = TowerToHyperService::new(app);
    let serving = barflow_server::serve("the archive server", listener, Limits::default(), service);
    tokio::select! {
        served = serving => served,
        () = stopped(&stop) => Ok(()),
    }
}

async fn answer(
    State(state): State<Arc<ServerState>>,
    Query(query): Query<HashMap<String, String>>,
    request: Request,
) -> Response<Body> {
    state.tally.requests.fetch_add(1, Ordering::Relaxed);
    let key = percent_decode_str(request.uri().path().trim_start_matches('/'));
    let key = key.decode_utf8_lossy().into_owned();
    let mut dice = state.dice(&key);
    if let Some(refusal) = state.refusal(&mut dice, &request, &query) {
        return refusal;
    }
    if key.is_empty() {
        return state.list(&query);
    }
    let archive = key.trim_end_matches(".CHECKSUM");
    // The same for every request of the file.
    let mut lot = Rng::with_seed(xxh3_64_with_seed(archive.as_bytes(), state.options.seed));
    let (missing, wrong_sum) = (lot.f64(), lot.f64());
    let faults = &state.options.faults;
    match state.tree.keys.get(&key).map(|published| &published.content) {
        None => not_found(),
        Some(_) if missing < faults.missing => {
            state.tally.count(Kind::Missing);
            not_found()
        }
        Some(Content::Text(text)) if wrong_sum < faults.wrong_sum => {
            state.tally.count(Kind::WrongSum);
            let digit = if text.starts_with('0') { "1" } else { "0" };
            format!("{digit}{}", text.get(1..).unwrap_or_default()).into_response()
        }
        Some(Content::Text(text)) => text.clone().into_response(),
        Some(Content::File(path)) => state.file(path, request, &mut dice).await,
    }
}

fn not_found() -> Response<Body> {
    (StatusCode::NOT_FOUND, "no such key").into_response()
}

impl ServerState {
    /// Chances of this request: of the seed, the key, and how often it was asked for. A key that is not published
    /// has the same chances every time.
    fn dice(&self, key: &str) -> Rng {
        let times = match key.is_empty() || self.tree.keys.contains_key(key) {
            true => {
                let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
                let times = asked.entry(key.to_owned()).or_default();
                *times += 1;
                *times
            }
            false => 1,
        };
        let seed = xxh3_64_with_seed(key.as_bytes(), self.options.seed ^ (times << 32));
        Rng::with_seed(seed)
    }

    fn refusal(
        &self,
        dice: &mut Rng,
        request: &Request,
        query: &HashMap<String, String>,
    ) -> Option<Response<Body>> {
        let faults = &self.options.faults;
        // All dice are thrown, so that one fault more does not change the others.
        let (too_many, server, redirect) = (dice.f64(), dice.f64(), dice.f64());
        if let Some((chance, after)) = faults.too_many
            && too_many < chance
        {
            self.tally.count(Kind::TooMany);
            let after = [(header::RETRY_AFTER, after.to_string())];
            return Some((StatusCode::TOO_MANY_REQUESTS, after, "slow down").into_response());
        }
        if server < faults.server {
            self.tally.count(Kind::Server);
            return Some((StatusCode::SERVICE_UNAVAILABLE, "come back later").into_response());
        }
        if redirect < faults.redirect && !query.contains_key("redirected") {
            self.tally.count(Kind::Redirect);
            let uri = request.uri();
            let more = uri.query().map_or(String::new(), |query| format!("{query}&"));
            let there = format!("{}?{more}redirected=1", uri.path());
            return Some((StatusCode::FOUND, [(header::LOCATION, there)]).into_response());
        }
        None
    }

    fn list(&self, query: &HashMap<String, String>) -> Response<Body> {
        let Some(most) = self.options.page else { return not_found() };
        let of = |name: &str| query.get(name).map_or("", String::as_str);
        let page = listing::page(&self.tree, of("prefix"), of("marker"), most);
        ([(header::CONTENT_TYPE, "application/xml")], page).into_response()
    }

    async fn file(
        &self,
        path: &std::path::Path,
        mut request: Request,
        dice: &mut Rng,
    ) -> Response<Body> {
        self.tally.archives.fetch_add(1, Ordering::Relaxed);
        let faults = &self.options.faults;
        let whole = dice.f64() < faults.no_range;
        if request.headers().contains_key(header::RANGE) {
            if whole {
                self.tally.count(Kind::NoRange);
                request.headers_mut().remove(header::RANGE);
            } else {
                self.tally.parts.fetch_add(1, Ordering::Relaxed);
            }
        }
        let is_head = request.method() == Method::HEAD;
        let file = match open_published(path) {
            Ok(file) => file,
            // Not what was listed, or gone.
            Err(_) => return not_found(),
        };
        // The open file itself: nothing can take its place.
        let opened = format!("/dev/fd/{}", file.as_raw_fd());
        let mut served = match ServeFile::new(opened).try_call(request).await {
            Ok(served) => served.map(Body::new),
            Err(error) => {
                return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response();
            }
        };
        drop(file);
        if served.status().is_success() {
            let zip = HeaderValue::from_static("application/zip");
            served.headers_mut().insert(header::CONTENT_TYPE, zip);
        }
        let length = served.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|value: &HeaderValue| value.to_str().ok()?.parse().ok());
        if is_head {
            return served;
        }
        let fault = self.fault(faults, length.unwrap_or(0), dice);
        served.map(|body| corrupt(body, fault))
    }

    fn fault(&self, faults: &Faults, length: u64, dice: &mut Rng) -> BodyFault {
        let mut at = |chance: f64, kind: Kind| {
            let (happens, byte) = (dice.f64() < chance, dice.u64(..length.max(1)));
            (happens && length > 0).then(|| {
                self.tally.count(kind);
                byte
            })
        };
        let (stalls, pause) = faults.stall.unwrap_or_default();
        BodyFault {
            cut: at(faults.cut, Kind::Cut),
            stall: at(stalls, Kind::Stall).map(|byte| (byte, pause)),
            flip: at(faults.corrupt, Kind::Corrupt),
            rate: faults.rate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_published_key_only() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("BTCUSDT-trades-2024-03-01.zip"), "a zip").unwrap();
        let tree = Tree::of(&[folder.path().display().to_string()], None).unwrap();
        let keys: Vec<String> = tree.keys.keys().cloned().collect();
        let options = ServerOptions {
            listen: ([127, 0, 0, 1], 0).into(),
            faults: Faults::default(),
            seed: 1,
            page: None,
        };
        let state = ServerState { tree, options, tally: Arc::default(), asked: Mutex::default() };
        let first = state.dice(&keys[0]).f64();
        assert_ne!(state.dice(&keys[0]).f64(), first);
        let made_up: Vec<f64> =
            (0..1000).map(|n| state.dice(&format!("data/made-up-{n}.zip")).f64()).collect();
        assert_eq!(state.dice("data/made-up-0.zip").f64(), made_up[0]);
        state.dice("");
        assert_eq!(state.asked.lock().unwrap().len(), 2);
    }
}
