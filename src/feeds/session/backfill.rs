//! Asks the venue's REST, one question at a time, within its limits.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self as std_mpsc, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;

use super::access::Access;
use super::rate_limiter::RateLimiter;
use crate::backoff::{Backoff, retry_after};
use crate::feeds::plan::FeedPlan;
use crate::feeds::state::{Answer, NoAnswer, Query};
use crate::net::url::{Url, redacted};
use crate::printable::{excerpt, said};

/// Largest answer read, decompressed: 1,000 trades are some 200 KB.
const ANSWER_BYTES: u64 = 16 << 20;

/// How long one request may take, to the end of its answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a redirect's target that are shown.
pub(super) const LOCATION: usize = 300;

/// Longest pause that a venue may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

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

/// Queries that wait to be sent: those that hold bars up first, then those that were asked least often.
#[derive(Default)]
struct Queue {
    waiting: BinaryHeap<Reverse<Waiting>>,
    came: u64,
}

struct Waiting {
    /// Priority, attempts, and how many came before.
    rank: (u8, u32, u64),
    query: Query,
}

impl Queue {
    fn push(&mut self, query: Query) {
        self.came += 1;
        let rank = (query.ask.question.priority(), query.ask.attempts, self.came);
        self.waiting.push(Reverse(Waiting { rank, query }));
    }

    /// The weight of the next one.
    fn weight(&self) -> Option<u32> {
        self.waiting.peek().map(|Reverse(next)| next.query.ask.request.weight)
    }

    fn pop(&mut self) -> Option<Query> {
        self.waiting.pop().map(|Reverse(next)| next.query)
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}

/// What a request came to.
pub(super) enum Fetched {
    Body(Vec<u8>),
    /// Not now, says the venue; and perhaps for how long.
    Refused(String, Option<Duration>),
    /// The venue answers something else.
    Failed(String),
    /// There is no answer at all, so that other requests would fail as well.
    Unreachable(String),
}

/// The requests of one feed.
struct Sender<'a> {
    plan: &'a FeedPlan,
    access: &'a Access,
    agent: ureq::Agent,
    rate_limiter: RateLimiter,
    backoff: Backoff,
    /// No request before this: venues answer those who ask in spite of a ban with a longer one.
    quiet_until: Instant,
    queue: Queue,
    answers: &'a mpsc::UnboundedSender<Answer>,
}

fn work(
    plan: &FeedPlan,
    access: &Access,
    queries: &std_mpsc::Receiver<Query>,
    answers: &mpsc::UnboundedSender<Answer>,
) {
    let mut sender = Sender {
        plan,
        access,
        agent: access.agent(TIMEOUT),
        rate_limiter: RateLimiter::new(plan.venue.limits().requests),
        backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(5)),
        quiet_until: Instant::now(),
        queue: Queue::default(),
        answers,
    };
    while sender.take_in(queries) && sender.send_next() {}
}

impl Sender<'_> {
    /// Takes in queries until the first of the queue can be sent; false at the end.
    fn take_in(&mut self, queries: &std_mpsc::Receiver<Query>) -> bool {
        loop {
            match queries.try_recv() {
                Ok(query) => {
                    self.queue.push(query);
                    continue;
                }
                Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => {}
            }
            let now = Instant::now();
            let wait = self.queue.weight().map(|weight| {
                let quiet = self.quiet_until.saturating_duration_since(now);
                quiet.max(self.rate_limiter.wait(weight, now))
            });
            let query = match wait {
                Some(Duration::ZERO) => return true,
                Some(wait) => queries.recv_timeout(wait),
                None => queries.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match query {
                Ok(query) => self.queue.push(query),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// Sends the first of the queue; false if nobody waits for its answer any more.
    fn send_next(&mut self) -> bool {
        let Some(Query { slot, ask }) = self.queue.pop() else { return true };
        let began = Instant::now();
        self.rate_limiter.spend(ask.request.weight, began);
        let url = self.access.rest().below(&ask.request.path);
        let fetched = fetch(&self.agent, self.plan, self.access.api_key(), &url);
        let took = began.elapsed();
        let pause = match &fetched {
            Fetched::Body(_) => {
                self.backoff.success();
                Duration::ZERO
            }
            Fetched::Refused(_, Some(asked)) => (*asked).min(LONGEST_PAUSE),
            Fetched::Refused(_, None) | Fetched::Failed(_) | Fetched::Unreachable(_) => {
                self.backoff.after_failure(fastrand::f64())
            }
        };
        self.quiet_until = Instant::now() + pause;
        let mut alive = true;
        if matches!(fetched, Fetched::Unreachable(_)) {
            while let Some(Query { slot, ask }) = self.queue.pop() {
                let (question, took) = (ask.question, Duration::ZERO);
                let body = Err(NoAnswer::Unsent);
                alive &= self.answers.send(Answer { slot, question, took, body }).is_ok();
            }
        }
        let body = match fetched {
            Fetched::Body(body) => Ok(body),
            Fetched::Refused(said, _) => Err(NoAnswer::Refused(said)),
            Fetched::Failed(said) | Fetched::Unreachable(said) => Err(NoAnswer::Failed(said)),
        };
        let answer = Answer { slot, question: ask.question, took, body };
        alive && self.answers.send(answer).is_ok()
    }
}

pub(super) fn fetch(
    agent: &ureq::Agent,
    plan: &FeedPlan,
    api_key: Option<&str>,
    url: &Url,
) -> Fetched {
    let mut request = agent.get(url.exposed());
    if let Some(login) = url.login() {
        request = request.header("authorization", login.header());
    }
    if let (Some(header), Some(key)) = (plan.venue.api_key_header(), api_key) {
        request = request.header(header, key);
    }
    if let Some((header, value)) = plan.venue.rest_header() {
        request = request.header(header, value);
    }
    let mut answer = match request.call() {
        Ok(answer) => answer,
        Err(error) => return unreachable(url, &error),
    };
    let status = answer.status().as_u16();
    let pause = retry_after(answer.headers(), SystemTime::now());
    if let (300..=399, Some(to)) = (status, answer.headers().get("location")) {
        let to = String::from_utf8_lossy(to.as_bytes());
        let to = redacted(&to);
        let to = excerpt(&to, LOCATION);
        let said = format!("GET {url}: HTTP {status}: redirects are not followed (to {to})");
        return Fetched::Failed(said);
    }
    let body = match answer.body_mut().with_config().limit(ANSWER_BYTES).read_to_vec() {
        Ok(body) => body,
        Err(ureq::Error::BodyExceedsLimit(limit)) => {
            return Fetched::Failed(format!("GET {url}: the answer is longer than {limit} bytes"));
        }
        Err(error) => return unreachable(url, &error),
    };
    if status == 200 {
        return Fetched::Body(body);
    }
    // Venues explain themselves in the body of a refusal.
    let said = format!("GET {url}: HTTP {status}: {}", said(&body));
    match status {
        418 | 429 | 500..=599 => Fetched::Refused(said, pause),
        _ if pause.is_some() || plan.venue.refusals().contains(&status) => {
            Fetched::Refused(said, pause)
        }
        _ => Fetched::Failed(said),
    }
}

/// What is said of a request without an answer; errors may repeat addresses with their logins.
fn unreachable(url: &Url, error: &ureq::Error) -> Fetched {
    Fetched::Unreachable(format!("GET {url}: {}", redacted(&error.to_string())))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::feeds::gap_tracker::{Ask, Question};
    use crate::feeds::state::tests::plan;
    use crate::feeds::venue::Request;
    use crate::net::address::{Address, Speaks};
    use crate::net::proxy::Proxies;

    /// A plan with this REST base, and the way there.
    fn at(rest: &str) -> (Arc<FeedPlan>, Access) {
        let mut plan = plan("binance-spot", &["A"]);
        plan.websocket =
            Some(Address::read("websocket", "ws://[::1]:9", Speaks::Websocket).unwrap());
        plan.rest = Some(Address::read("rest", rest, Speaks::Http).unwrap());
        let access = Access::of(&plan, &Proxies::default(), &|_| None).unwrap();
        (Arc::new(plan), access)
    }

    fn query(path: &str, question: Question, attempts: u32) -> Query {
        let request = Request { path: path.to_owned(), weight: 1 };
        Query { slot: 0, ask: Ask { question, request, attempts } }
    }

    type Answers = mpsc::UnboundedReceiver<Answer>;

    const GAP: Question = Question::Gap { first: 1 };

    /// A venue that gives these answers, one per connection; returns the paths that were asked for.
    fn venue(answers: &'static [&str]) -> (Backfill, Answers, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (plan, access) = at(&format!("http://{}", listener.local_addr().unwrap()));
        let (backfill, from) = Backfill::start(&plan, &access).unwrap();
        let serve = move |answer: &&str| {
            let (mut socket, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let read = socket.read(&mut request).unwrap();
            let head = format!("HTTP/1.1 {answer}\r\nconnection: close\r\n");
            write!(socket, "{head}content-length: 2\r\n\r\n[]").unwrap();
            let request = String::from_utf8_lossy(&request[..read]).into_owned();
            request.split(' ').nth(1).unwrap().to_owned()
        };
        (backfill, from, thread::spawn(move || answers.iter().map(serve).collect()))
    }

    #[test]
    fn during_a_pause_queries_wait_and_those_asked_least_often_go_first() {
        let (backfill, mut answers, venue) =
            venue(&["418 I'm a teapot\r\nretry-after: 2", "200 OK", "200 OK", "200 OK"]);
        let began = Instant::now();
        backfill.ask(query("/banned", GAP, 0));
        let refused = answers.blocking_recv().unwrap();
        assert!(matches!(refused.body, Err(NoAnswer::Refused(said)) if said.contains("HTTP 418")));
        backfill.ask(query("/tail", Question::Tail { first: 1 }, 0));
        backfill.ask(query("/often", GAP, 3));
        backfill.ask(query("/new", GAP, 0));
        let bodies: Vec<_> = (0..3).map(|_| answers.blocking_recv().unwrap().body).collect();
        assert_eq!(bodies, [Ok(b"[]".to_vec()), Ok(b"[]".to_vec()), Ok(b"[]".to_vec())]);
        assert!(began.elapsed() >= Duration::from_secs(2));
        assert_eq!(venue.join().unwrap(), ["/banned", "/new", "/often", "/tail"]);
    }

    #[test]
    fn limits_and_server_errors_are_refusals_and_other_statuses_failures() {
        let (backfill, mut answers, venue) =
            venue(&["503 Away", "403 Forbidden", "403 Slow\r\nretry-after: 0"]);
        let mut refused = || {
            backfill.ask(query("/", GAP, 0));
            matches!(answers.blocking_recv().unwrap().body, Err(NoAnswer::Refused(_)))
        };
        assert_eq!([refused(), refused(), refused()], [true, false, true]);
        venue.join().unwrap();
    }

    /// A server with one answer, and what becomes of a request to it that has this time.
    fn fetched(answer: Vec<u8>, drip: Option<Duration>, timeout: Duration) -> Fetched {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (plan, access) = at(&format!("http://{}", listener.local_addr().unwrap()));
        thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let _ = socket.read(&mut [0; 4096]);
            let _ = socket.write_all(&answer);
            while let Some(pause) = drip
                && socket.write_all(b" ").is_ok()
            {
                thread::sleep(pause);
            }
        });
        fetch(&access.agent(timeout), &plan, None, &access.rest().below("/x"))
    }

    #[test]
    fn an_answer_is_limited_once_it_is_decompressed() {
        let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        for _ in 0..64 {
            bomb.write_all(&[b' '; 1 << 20]).unwrap();
        }
        let bomb = bomb.finish().unwrap();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
            bomb.len()
        );
        let answer = [head.as_bytes(), &bomb].concat();
        assert!(answer.len() < 100_000);
        match fetched(answer, None, TIMEOUT) {
            Fetched::Failed(said) => assert!(said.contains("longer than 16777216 bytes"), "{said}"),
            _ => panic!("it was taken"),
        }
    }

    #[test]
    fn addresses_in_what_is_said_show_no_secrets() {
        let elsewhere = "HTTP/1.1 302 Found\r\nlocation: http://me:pa55@h/x?api_key=k3y\r\n\r\n";
        let moved = fetched(elsewhere.into(), None, TIMEOUT);
        let error = ureq::Error::BadUri("http://me:pa55@h/x?api_key=k3y".to_owned());
        let (_, access) = at("http://127.0.0.1:9");
        for fetched in [moved, unreachable(access.rest(), &error)] {
            let (Fetched::Failed(said) | Fetched::Unreachable(said)) = fetched else {
                panic!("it was taken")
            };
            assert!(said.contains("h/x"), "{said}");
            assert!(!said.contains("pa55") && !said.contains("k3y"), "{said}");
        }
    }

    #[test]
    fn an_answer_that_drips_ends_with_the_time_of_its_request() {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n".to_vec();
        let drip = Some(Duration::from_millis(20));
        match fetched(head, drip, Duration::from_millis(300)) {
            Fetched::Unreachable(said) => assert!(said.contains("timeout"), "{said}"),
            _ => panic!("it was taken"),
        }
    }

    #[test]
    fn where_nobody_answers_every_query_learns_of_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (plan, access) = at(&format!("http://{}", listener.local_addr().unwrap()));
        drop(listener);
        let (backfill, mut answers) = Backfill::start(&plan, &access).unwrap();
        (0..5).for_each(|_| backfill.ask(query("/", GAP, 0)));
        let unanswered = (0..5).map(|_| answers.blocking_recv().unwrap().body.unwrap_err());
        for why in unanswered {
            assert!(matches!(why, NoAnswer::Failed(_) | NoAnswer::Unsent), "{why:?}");
        }
    }
}
