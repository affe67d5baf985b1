//! The port that serves metrics to Prometheus.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use barflow_server::Limits;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::sync::Mutex;

/// The format of the text, as Prometheus names it.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How old a text may be: requests that come together share one.
const FRESH: Duration = Duration::from_millis(200);

/// Between two looks at samples of histograms that nobody has asked for.
const UPKEEP: Duration = Duration::from_secs(5);

/// Why metrics are not served.
#[derive(Debug, thiserror::Error)]
pub(super) enum PortError {
    /// The address cannot be listened at, or there is no thread to be had.
    #[error(transparent)]
    System(#[from] std::io::Error),
    /// Metrics are collected already, by somebody else.
    #[error(transparent)]
    Recorder(#[from] metrics_exporter_prometheus::BuildError),
}

/// Collects metrics from now on, and serves them on a thread of its own.
pub(super) fn start(address: SocketAddr) -> Result<(), PortError> {
    let listener = TcpListener::bind(address)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = PrometheusBuilder::new().install_recorder()?;
    let page = Arc::new(Page { handle: handle.clone(), last: Mutex::default() });
    let service = service_fn(move |request: Request<Incoming>| {
        let page = Arc::clone(&page);
        let (request, _) = request.into_parts();
        async move { Ok::<_, Infallible>(answer(&request, &page).await) }
    });
    thread::Builder::new().name("metrics".to_owned()).spawn(move || {
        runtime.block_on(async {
            let upkeep = async {
                loop {
                    tokio::time::sleep(UPKEEP).await;
                    handle.run_upkeep();
                }
            };
            let name = "the metrics port";
            tokio::select! {
                served = barflow_server::serve(name, listener, Limits::default(), service) => {
                    if let Err(error) = served {
                        tracing::warn!(%error, "metrics are no longer served");
                    }
                }
                () = upkeep => {}
            }
        });
    })?;
    Ok(())
}

/// All metrics as text.
struct Page {
    handle: PrometheusHandle,
    /// The text that was served last, which slow readers share.
    last: Mutex<Option<(Instant, Bytes)>>,
}

impl Page {
    async fn text(&self) -> Bytes {
        let mut last = self.last.lock().await;
        if let Some((made, text)) = last.as_ref()
            && made.elapsed() < FRESH
        {
            return text.clone();
        }
        let text = Bytes::from(self.handle.render());
        *last = Some((Instant::now(), text.clone()));
        text
    }
}

async fn answer(request: &Parts, page: &Page) -> Response<Full<Bytes>> {
    let said = |text: &'static str| Full::new(Bytes::from_static(text.as_bytes()));
    let mut response = match request.uri.path() {
        "/metrics" | "/health" if !matches!(request.method, Method::GET | Method::HEAD) => {
            let mut refused = Response::new(said("GET or HEAD\n"));
            *refused.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            refused
        }
        // hyper leaves the body out of the response to a HEAD.
        "/metrics" => Response::new(Full::new(page.text().await)),
        "/health" => Response::new(said("OK\n")),
        _ => {
            let mut unknown = Response::new(said("metrics are at /metrics\n"));
            *unknown.status_mut() = StatusCode::NOT_FOUND;
            unknown
        }
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    response
}
