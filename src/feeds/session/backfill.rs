//! Asks the venue's REST, one question at a time, within its limits.

use std::io;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;

use super::access::Access;
use super::rate_limiter::RateLimiter;
use crate::backoff::{Backoff, retry_after};
use crate::feeds::gap_tracker::Ask;
use crate::feeds::plan::FeedPlan;
use crate::feeds::state::{Answer, Query};

/// Largest answer read: 1,000 trades are some 200 KB.
const ANSWER_BYTES: u64 = 16 << 20;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest pause that a venue may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// How long a query waits for such a pause to end before it is given back: the gap tracker has to be able
/// to give up.
const BREATH: Duration = Duration::from_secs(5);

/// A thread that sends requests. It ends with this handle.
pub(super) struct Backfill(std_mpsc::Sender<Query>);

impl Backfill {
    /// Starts the thread; answers come out of the receiver.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(
        plan: &Arc<FeedPlan>,
        access: &Access,
    ) -> io::Result<(Self, mpsc::UnboundedReceiver<Answer>)> {
        let (ask, queries) = std_mpsc::channel();
        let (answer, answers) = mpsc::unbounded_channel();
        let (plan, access) = (Arc::clone(plan), access.clone());
        thread::Builder::new()
            .name(format!("rest {}", plan.name))
            .spawn(move || work(&plan, &access, &queries, &answer))?;
        Ok((Self(ask), answers))
    }

    /// Queues a request; its answer comes out of the receiver.
    pub(super) fn ask(&self, query: Query) {
        // The thread lives as long as this handle.
        let _ = self.0.send(query);
    }
}

fn work(
    plan: &FeedPlan,
    access: &Access,
    queries: &std_mpsc::Receiver<Query>,
    answers: &mpsc::UnboundedSender<Answer>,
) {
    let agent = access.rest(TIMEOUT);
    let mut rate_limiter = RateLimiter::new(plan.venue.limits().requests);
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    let mut quiet_until = Instant::now();
    for Query { slot, ask: Ask { question, request } } in queries {
        // Venues answer those who ask in spite of a ban with a longer one.
        let left = || quiet_until.saturating_duration_since(Instant::now());
        thread::sleep(left().min(BREATH));
        let body = if left().is_zero() {
            thread::sleep(rate_limiter.spend(request.weight, Instant::now()));
            let url = format!("{}{}", plan.rest_base().trim_end_matches('/'), request.path);
            let mut pause = None;
            let body = fetch(&agent, plan, access.api_key.as_deref(), &url, &mut pause);
            match (&body, pause) {
                (Ok(_), _) => backoff.success(),
                (Err(_), Some(asked)) => quiet_until = Instant::now() + asked.min(LONGEST_PAUSE),
                (Err(_), None) => thread::sleep(backoff.after_failure(fastrand::f64())),
            }
            body
        } else {
            Err(format!("rate limited by the venue: {} s left", left().as_secs() + 1))
        };
        if answers.send(Answer { slot, question, body }).is_err() {
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
        *pause = retry_after(answer.headers(), SystemTime::now());
    }
    if let (300..=399, Some(to)) = (status, answer.headers().get("location")) {
        let to = String::from_utf8_lossy(to.as_bytes()).into_owned();
        return Err(format!("GET {url}: HTTP {status}: redirects are not followed (to {to})"));
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::feeds::gap_tracker::Question;
    use crate::feeds::state::tests::plan;
    use crate::feeds::venue::Request;

    #[test]
    fn no_request_is_sent_while_the_venue_wants_a_pause() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut plan = plan("binance-spot", &["A"]);
        plan.rest = Some(format!("http://{}", listener.local_addr().unwrap()));
        let venue = thread::spawn(move || {
            for answer in ["418 I'm a teapot\r\nretry-after: 7", "200 OK"] {
                let (mut socket, _) = listener.accept().unwrap();
                let _ = socket.read(&mut [0; 4096]).unwrap();
                let head = format!("HTTP/1.1 {answer}\r\nconnection: close\r\n");
                write!(socket, "{head}content-length: 2\r\n\r\n[]").unwrap();
            }
        });
        let (backfill, mut answers) = Backfill::start(&Arc::new(plan), &Access::default()).unwrap();
        let mut ask = || {
            let request = Request { path: "/x".to_owned(), weight: 1 };
            let ask = Ask { question: Question::Gap { first: 1 }, request };
            backfill.ask(Query { slot: 0, ask });
            answers.blocking_recv().unwrap().body
        };
        assert!(ask().unwrap_err().contains("HTTP 418"));
        // Given back before the pause is over, without a request: the next answer is for the third.
        let told = ask().unwrap_err();
        assert!(told.contains("rate limited by the venue"), "{told}");
        assert_eq!(ask().unwrap(), b"[]");
        venue.join().unwrap();
    }
}
