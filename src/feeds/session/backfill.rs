//! Asks the venue's REST, one question at a time, within its limits.

use std::io;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::pacer::Pacer;
use crate::backoff::Backoff;
use crate::feeds::plan::FeedPlan;
use crate::feeds::venue::Request;

/// Largest answer read: 1,000 trades are some 200 KB.
const ANSWER_BYTES: u64 = 16 << 20;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest pause that a venue may ask for before we give the question back.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// What an instrument waits for.
    Gap,
    /// What came after its last trade.
    Tail,
    /// A gap that it did not wait for.
    Owed,
}

/// What is asked, and for whom.
pub(super) struct Question {
    pub(super) slot: u32,
    pub(super) about: About,
    pub(super) request: Request,
}

/// What came of it.
pub(super) struct Answer {
    pub(super) slot: u32,
    pub(super) about: About,
    pub(super) body: Result<Vec<u8>, String>,
}

/// A thread that asks. It ends with this handle.
pub(super) struct Backfill(std_mpsc::Sender<Question>);

impl Backfill {
    /// Starts the thread; answers come out of the receiver.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(
        plan: &Arc<FeedPlan>,
        api_key: Option<String>,
    ) -> io::Result<(Self, mpsc::UnboundedReceiver<Answer>)> {
        let (ask, questions) = std_mpsc::channel();
        let (answer, answers) = mpsc::unbounded_channel();
        let plan = Arc::clone(plan);
        thread::Builder::new()
            .name(format!("rest {}", plan.name))
            .spawn(move || work(&plan, api_key.as_deref(), &questions, &answer))?;
        Ok((Self(ask), answers))
    }

    /// Asks; the answer comes when it comes.
    pub(super) fn ask(&self, question: Question) {
        // The thread lives as long as this handle.
        let _ = self.0.send(question);
    }
}

fn work(
    plan: &FeedPlan,
    api_key: Option<&str>,
    questions: &std_mpsc::Receiver<Question>,
    answers: &mpsc::UnboundedSender<Answer>,
) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        .user_agent(concat!("barflow/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let mut pacer = Pacer::new(plan.venue.limits().requests);
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    for Question { slot, about, request } in questions {
        thread::sleep(pacer.spend(request.weight, Instant::now()));
        let url = format!("{}{}", plan.rest_base().trim_end_matches('/'), request.path);
        let mut pause = None;
        let body = fetch(&agent, plan, api_key, &url, &mut pause);
        match &body {
            Ok(_) => backoff.success(),
            Err(_) => {
                let wait = backoff.after_failure(fastrand::f64());
                thread::sleep(pause.map_or(wait, |asked: Duration| asked.min(LONGEST_PAUSE)));
            }
        }
        if answers.send(Answer { slot, about, body }).is_err() {
            return;
        }
    }
}

fn fetch(
    agent: &ureq::Agent,
    plan: &FeedPlan,
    api_key: Option<&str>,
    url: &str,
    pause: &mut Option<Duration>,
) -> Result<Vec<u8>, String> {
    let mut request = agent.get(url);
    if let (Some(header), Some(key)) = (plan.venue.api_key_header(), api_key) {
        request = request.header(header, key);
    }
    if let Some((header, value)) = plan.venue.rest_header() {
        request = request.header(header, value);
    }
    // The query says what is asked, and carries no secret.
    let mut answer = request.call().map_err(|error| format!("GET {url}: {error}"))?;
    let status = answer.status().as_u16();
    if status == 429 || status == 418 || status == 503 {
        let asked = answer.headers().get("retry-after").and_then(|v| v.to_str().ok()?.parse().ok());
        *pause = asked.map(Duration::from_secs);
    }
    let body = answer.body_mut().with_config().limit(ANSWER_BYTES).read_to_vec();
    let body = body.map_err(|error| format!("GET {url}: {error}"))?;
    // Venues explain themselves in the body of a refusal.
    if status != 200 {
        let said = String::from_utf8_lossy(&body[..body.len().min(300)]).trim().to_owned();
        return Err(format!("GET {url}: HTTP {status}: {said}"));
    }
    Ok(body)
}
