//! How processes find each other: each calls those before it and is called by those after it.
//!
//! Nobody is waited for: calls, callers and their greetings advance side by side, and a greeting has one deadline for
//! all of it. So a slow or silent stranger takes one of [`CALLERS`] places for a few seconds and holds nobody up.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::ClusterError;
use super::conversation::Conversation;
use super::dialer::Dialer;
use super::greeting::{Greeting, GreetingError};
use super::handshake::{ClusterJob, Handshake};
use super::link::Link;
use super::secret::ClusterSecret;
use super::strangers::Strangers;
use crate::graph::workers::Workers;
use crate::stop::Stop;

/// Between two rounds.
const ROUND: Duration = Duration::from_millis(10);

/// Between two calls to a process that was not reached.
const AGAIN: Duration = Duration::from_millis(50);

/// Between two calls to something else that answers at a process's address.
const AGAIN_A_STRANGER: Duration = Duration::from_secs(1);

/// Between two lines of log about who is missing.
const LINE: Duration = Duration::from_secs(5);

/// Callers that are heard at the same time. If there are more, the one that came first has to go.
const CALLERS: usize = 64;

/// Connections accepted per round.
const ACCEPTS: usize = 16;

/// Connects to all other processes; none at the place of this one.
pub(super) fn connect(
    workers: &Workers,
    job: &ClusterJob,
    secret: &ClusterSecret,
    patience: Duration,
    stop: &Stop,
) -> Result<Vec<Option<Link>>, ClusterError> {
    let began = Instant::now();
    let mut connecting = Connecting::new(workers, job, secret, began)?;
    let mut next_line = began + LINE;
    loop {
        let now = Instant::now();
        connecting.accept(now);
        connecting.hear(now)?;
        connecting.call(now)?;
        connecting.forget_the_dead();
        if connecting.is_complete() {
            tracing::info!(
                process = workers.process(),
                "all {} processes are connected",
                workers.processes()
            );
            return Ok(connecting.links);
        }
        if stop.is_raised() {
            return Err(ClusterError::Stopped { missing: connecting.missing() });
        }
        if now >= began + patience {
            return Err(connecting.out_of_patience(patience));
        }
        if now >= next_line {
            next_line = now + LINE;
            tracing::info!("waiting for the other processes: {}", connecting.missing());
        }
        thread::sleep(ROUND);
    }
}

struct Connecting<'a> {
    workers: &'a Workers,
    job: &'a ClusterJob,
    secret: &'a ClusterSecret,
    listener: Option<TcpListener>,
    /// The first came first.
    callers: VecDeque<Caller>,
    calls: Vec<Call>,
    links: Vec<Option<Link>>,
    /// Why a process could not be reached, as last seen.
    trouble: Vec<String>,
    strangers: Strangers,
}

/// A connection of somebody else.
struct Caller {
    from: SocketAddr,
    conversation: Conversation,
    /// What to do once it was answered.
    verdict: Option<Verdict>,
}

impl Caller {
    fn who(&self) -> String {
        who(self.from)
    }
}

fn who(from: SocketAddr) -> String {
    format!("a connection from {from}")
}

/// What becomes of a caller who has proven itself.
enum Verdict {
    Join(usize),
    SendAway,
    End(ClusterError),
}

/// A process before this one.
struct Call {
    peer: usize,
    dialer: Dialer,
    state: CallState,
    answered_by: AnsweredBy,
}

/// What has answered at an address so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AnsweredBy {
    Nobody,
    /// Only what is not a process of this version.
    Strangers,
    Process,
}

enum CallState {
    Rests(Instant),
    Dials,
    Talks(Box<Conversation>),
}

impl<'a> Connecting<'a> {
    fn new(
        workers: &'a Workers,
        job: &'a ClusterJob,
        secret: &'a ClusterSecret,
        now: Instant,
    ) -> Result<Self, ClusterError> {
        let (process, processes) = (workers.process(), workers.processes());
        let address = &workers.hosts()[process];
        // Nobody calls the last one.
        let listener = match process + 1 < processes {
            true => Some(listen(address, secret).map_err(|source| ClusterError::Listen {
                process,
                address: address.clone(),
                source,
            })?),
            false => None,
        };
        let calls = workers.hosts()[..process].iter().enumerate().map(|(peer, address)| {
            let dialer = Dialer::start(address.clone(), secret.clone())?;
            let state = CallState::Rests(now);
            Ok(Call { peer, dialer, state, answered_by: AnsweredBy::Nobody })
        });
        Ok(Self {
            calls: calls.collect::<io::Result<_>>()?,
            workers,
            job,
            secret,
            listener,
            callers: VecDeque::new(),
            links: (0..processes).map(|_| None).collect(),
            trouble: vec!["did not connect".to_owned(); processes],
            strangers: Strangers::default(),
        })
    }

    fn is_complete(&self) -> bool {
        self.absent().next().is_none()
    }

    fn absent(&self) -> impl Iterator<Item = usize> + '_ {
        let me = self.workers.process();
        (0..self.links.len()).filter(move |peer| *peer != me && self.links[*peer].is_none())
    }

    fn missing(&self) -> String {
        let said = |peer| {
            format!("process {peer} at {} {}", self.workers.hosts()[peer], self.trouble[peer])
        };
        let strangers = self.strangers.summary();
        self.absent().map(said).chain(strangers).collect::<Vec<_>>().join("; ")
    }

    /// Why no more is waited for: if something else sits at a process's address, waiting was of no use.
    fn out_of_patience(&self, patience: Duration) -> ClusterError {
        let stranger = self.calls.iter().find(|call| {
            self.links[call.peer].is_none() && call.answered_by == AnsweredBy::Strangers
        });
        match stranger {
            Some(Call { peer, .. }) => {
                let address = self.workers.hosts()[*peer].clone();
                ClusterError::Stranger { process: *peer, address, patience }
            }
            None => ClusterError::Absent { patience, missing: self.missing() },
        }
    }

    /// Connections that have ended again; the process may come back.
    fn forget_the_dead(&mut self) {
        for (link, trouble) in self.links.iter_mut().zip(&mut self.trouble) {
            if link.as_ref().is_some_and(|link| !link.is_alive()) {
                *link = None;
                *trouble = "connected and went away".to_owned();
            }
        }
    }

    fn accept(&mut self, now: Instant) {
        for _ in 0..ACCEPTS {
            let Some(listener) = &self.listener else { return };
            let (socket, from) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => {
                    // A caller that hung up, or no file handles left; the next round tries again.
                    self.report("a connection that could not be accepted", error, now);
                    return;
                }
            };
            if self.callers.len() >= CALLERS
                && let Some(first) = self.callers.pop_front()
            {
                self.report(first.who(), GreetingError::Crowded, now);
                first.conversation.hang_up();
            }
            let conversation = Greeting::listen(self.secret)
                .and_then(|greeting| Conversation::begin(socket, greeting, now));
            match conversation {
                Ok(conversation) => {
                    self.callers.push_back(Caller { from, conversation, verdict: None });
                }
                Err(error) => self.report(who(from), error, now),
            }
        }
    }

    fn report(&mut self, who: impl Display, why: impl ToString, now: Instant) {
        if let Some(line) = self.strangers.count(who, why, now) {
            tracing::warn!("{line}");
        }
    }

    /// Hears the processes after this one.
    fn hear(&mut self, now: Instant) -> Result<(), ClusterError> {
        for _ in 0..self.callers.len() {
            let Some(mut caller) = self.callers.pop_front() else { break };
            match self.converse(&mut caller, now) {
                Ok(false) => self.callers.push_back(caller),
                Ok(true) => self.decide(caller)?,
                Err(error) => {
                    self.report(caller.who(), error, now);
                    caller.conversation.hang_up();
                }
            }
        }
        Ok(())
    }

    /// Whether a caller was heard and answered.
    fn converse(&self, caller: &mut Caller, now: Instant) -> Result<bool, GreetingError> {
        if caller.verdict.is_none() {
            let Some(theirs) = caller.conversation.advance(now)? else { return Ok(false) };
            let (reply, verdict) = self.judge(&theirs);
            caller.conversation.answer(&reply)?;
            caller.verdict = Some(verdict);
        }
        caller.conversation.is_said(now)
    }

    /// What to say to a caller who knows the secret; it learns as much as this process.
    fn judge(&self, theirs: &Handshake) -> (Handshake, Verdict) {
        let peer = theirs.process;
        let mut reply = Handshake::new(self.workers, self.job, peer);
        let known = peer < self.links.len() && peer > self.workers.process();
        if known && self.links[peer].as_ref().is_some_and(Link::is_alive) {
            reply.refused = Some(format!("process {peer} is already connected"));
            tracing::warn!(process = peer, "rejected a second connection of a process");
            return (reply, Verdict::SendAway);
        }
        let verdict = match self.compare(peer, theirs) {
            Err(error) => Verdict::End(error),
            Ok(()) if known => Verdict::Join(peer),
            Ok(()) => {
                let what = format!("it says that it is process {peer}");
                Verdict::End(self.other_job(peer, what))
            }
        };
        (reply, verdict)
    }

    fn decide(&mut self, caller: Caller) -> Result<(), ClusterError> {
        match caller.verdict {
            Some(Verdict::Join(peer)) => self.join(peer, caller.conversation),
            Some(Verdict::End(error)) => Err(error),
            Some(Verdict::SendAway) | None => Ok(()),
        }
    }

    fn join(&mut self, peer: usize, conversation: Conversation) -> Result<(), ClusterError> {
        match conversation.finish() {
            Ok((socket, sealer, opener)) => {
                self.links[peer] = Some(Link::new(peer, self.workers, socket, sealer, opener)?);
            }
            Err(error) => self.trouble[peer] = format!("did not connect ({error})"),
        }
        Ok(())
    }

    /// Calls every missing process before this one.
    fn call(&mut self, now: Instant) -> Result<(), ClusterError> {
        for mut call in std::mem::take(&mut self.calls) {
            let peer = call.peer;
            call.state = match call.state {
                state if self.links[peer].is_some() => state,
                CallState::Rests(until) if now < until => CallState::Rests(until),
                CallState::Rests(_) => {
                    call.dialer.call();
                    CallState::Dials
                }
                CallState::Dials => self.dialled(peer, &call.dialer, now),
                CallState::Talks(conversation) => {
                    self.talk(peer, conversation, &mut call.answered_by, now)?
                }
            };
            self.calls.push(call);
        }
        Ok(())
    }

    fn dialled(&mut self, peer: usize, dialer: &Dialer, now: Instant) -> CallState {
        let begin = |socket: TcpStream| {
            let says = Handshake::new(self.workers, self.job, peer);
            Conversation::begin(socket, Greeting::call(self.secret, says)?, now)
        };
        match dialer.result() {
            None => CallState::Dials,
            Some(result) => match result.map_err(GreetingError::from).and_then(begin) {
                Ok(conversation) => CallState::Talks(Box::new(conversation)),
                Err(error) => {
                    self.trouble[peer] = format!("did not answer ({error})");
                    CallState::Rests(now + AGAIN)
                }
            },
        }
    }

    fn talk(
        &mut self,
        peer: usize,
        mut conversation: Box<Conversation>,
        answered_by: &mut AnsweredBy,
        now: Instant,
    ) -> Result<CallState, ClusterError> {
        match conversation.advance(now) {
            Ok(None) => return Ok(CallState::Talks(conversation)),
            Ok(Some(theirs)) => {
                *answered_by = AnsweredBy::Process;
                self.compare(peer, &theirs)?;
                self.join(peer, *conversation)?;
            }
            Err(GreetingError::Stranger | GreetingError::OtherVersion) => {
                if *answered_by == AnsweredBy::Nobody {
                    *answered_by = AnsweredBy::Strangers;
                    tracing::warn!(
                        process = peer,
                        address = self.workers.hosts()[peer],
                        "the server there is not a barflow process of this version; calling again"
                    );
                }
                self.trouble[peer] = "is not a barflow process of this version".to_owned();
                return Ok(CallState::Rests(now + AGAIN_A_STRANGER));
            }
            Err(GreetingError::Closed) => {
                self.trouble[peer] = "closed the connection without an answer (it has another \
                                      cluster_secret, or is another version of barflow)"
                    .to_owned();
            }
            Err(error) => self.trouble[peer] = format!("did not answer ({error})"),
        }
        Ok(CallState::Rests(now + AGAIN))
    }

    fn compare(&self, peer: usize, theirs: &Handshake) -> Result<(), ClusterError> {
        let ours = Handshake::new(self.workers, self.job, peer);
        match theirs.refused.clone().or_else(|| ours.differs_from(theirs)) {
            Some(what) => Err(self.other_job(peer, what)),
            None => Ok(()),
        }
    }

    fn other_job(&self, process: usize, what: String) -> ClusterError {
        let unknown = || "an address that is not among the hosts".to_owned();
        let address = self.workers.hosts().get(process).cloned().unwrap_or_else(unknown);
        ClusterError::OtherJob { process, address, what }
    }
}

fn listen(address: &str, secret: &ClusterSecret) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    let ip = listener.local_addr()?.ip();
    if !secret.admits(ip) {
        let text = format!("{ip} can be reached from other computers; that needs cluster_secret");
        return Err(io::Error::new(ErrorKind::PermissionDenied, text));
    }
    listener.set_nonblocking(true)?;
    Ok(listener)
}
