//! A schema registry with Confluent's REST interface: under which id the schema of a subject is registered, and
//! which schema an id stands for.
//!
//! ```text
//! subject, schema ─► decision ─► api: request ─► client ─► registry
//!                       ▲                            │
//!                       └── api: reply ◄─────────────┘      once per subject, then from memory
//! ```
//!
//! Knows nothing of bars and topics. [`wire`], [`api`] and [`decision`] are pure.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use self::api::{Question, Refusal, Reply};
use self::client::{Client, Until};
pub use self::decision::Register;
use self::decision::{Decision, Next};
pub use self::error::RegistryError;
pub use self::settings::RegistrySettings;
pub use self::wire::SchemaId;
use crate::stop::Stop;

pub mod api;
mod client;
pub mod compact;
pub mod decision;
mod error;
pub mod settings;
pub mod wire;

/// Ids about which a registry is asked: one reader meets a few, all versions of one schema.
const MOST_IDS: usize = 100;

/// A registry. Clones share what they know: what was found out once is not asked again, so that the registry may
/// be away from then on.
#[derive(Clone)]
pub struct Registry(Arc<Shared>);

struct Shared {
    settings: RegistrySettings,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    client: Option<Arc<Client>>,
    ids: BTreeMap<String, SchemaId>,
    /// Which of the schemas that the reader knows an id is, if any; never what a registry sent.
    schemas: BTreeMap<SchemaId, Option<usize>>,
}

/// How long a registry may take.
#[derive(Clone, Copy)]
pub struct Patience<'a> {
    /// For one subject or schema.
    pub time: Duration,
    /// Until when for all of them together; none if that does not matter.
    pub until: Option<Instant>,
    /// Ends it before.
    pub stop: &'a Stop,
}

impl Patience<'_> {
    fn begin(&self) -> Until<'_> {
        let deadline = Instant::now() + self.time;
        let deadline = self.until.map_or(deadline, |until| until.min(deadline));
        Until { deadline, stop: self.stop }
    }
}

impl Registry {
    /// A registry; nothing is asked yet.
    pub fn new(settings: RegistrySettings) -> Self {
        Self(Arc::new(Shared { settings, known: Mutex::default() }))
    }

    /// Where it is, and how it is used.
    pub fn settings(&self) -> &RegistrySettings {
        &self.0.settings
    }

    /// Under which id this schema is registered for a subject; registers it if that is wanted.
    ///
    /// # Errors
    /// Why no record can be written.
    pub fn id(
        &self,
        subject: &str,
        schema: &str,
        patience: Patience<'_>,
    ) -> Result<SchemaId, RegistryError> {
        if let Some(id) = self.known(|known| known.ids.get(subject).copied()) {
            return Ok(id);
        }
        let client = self.client()?;
        let until = patience.begin();
        let url = || client.url();
        let named = || subject.to_owned();
        let mut decision = Decision::begin(self.settings().register);
        let (id, question) = loop {
            let question = decision.question();
            let reply = ask(&client, question, (subject, schema), &until)?;
            match decision.after(reply) {
                Next::Ask(next) => decision = next,
                Next::Use(id) => break (id, question),
                Next::Missing(fit) => {
                    return Err(RegistryError::Missing { url: url(), subject: named(), fit });
                }
                Next::Conflict(said) => {
                    return Err(RegistryError::Conflict { url: url(), subject: named(), said });
                }
                Next::Meaningless => {
                    let refusal = Refusal::Meaningless("answered something else".to_owned());
                    return Err(refused(&client, question, subject, refusal));
                }
            }
        };
        if question == Question::Register {
            tracing::info!(subject, %id, "schema registered");
        }
        self.known(|known| known.ids.insert(subject.to_owned(), id));
        Ok(id)
    }

    /// Which schema an id is, by its position among those that the reader knows; none if it is another one.
    /// `position` is given the text, which may be anything.
    ///
    /// # Errors
    /// When there is none of that id, and when there are too many ids.
    pub fn which(
        &self,
        id: SchemaId,
        position: impl FnOnce(&str) -> Option<usize>,
        patience: Patience<'_>,
    ) -> Result<Option<usize>, RegistryError> {
        let (found, count) =
            self.known(|known| (known.schemas.get(&id).copied(), known.schemas.len()));
        if let Some(found) = found {
            return Ok(found);
        }
        let client = self.client()?;
        if count >= MOST_IDS {
            return Err(RegistryError::TooManyIds { url: client.url(), id, most: MOST_IDS });
        }
        let answer = client.ask(&api::by_id(id), &patience.begin())?;
        let found = api::schema(&answer).map_err(|refusal| {
            let task = format!("looking for the schema with id {id}");
            RegistryError::Refused { url: client.url(), task, refusal }
        })?;
        let schema = found.ok_or_else(|| RegistryError::NoSuchId { url: client.url(), id })?;
        let which = position(&schema);
        self.known(|known| known.schemas.insert(id, which));
        Ok(which)
    }

    fn known<T>(&self, with: impl FnOnce(&mut Known) -> T) -> T {
        with(&mut self.0.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The way there, found once.
    fn client(&self) -> Result<Arc<Client>, RegistryError> {
        if let Some(client) = self.known(|known| known.client.clone()) {
            return Ok(client);
        }
        let client = Arc::new(Client::of(self.settings(), &|name| std::env::var(name).ok())?);
        self.known(|known| known.client = Some(Arc::clone(&client)));
        Ok(client)
    }
}

fn ask(
    client: &Arc<Client>,
    question: Question,
    (subject, schema): (&str, &str),
    until: &Until<'_>,
) -> Result<Reply, RegistryError> {
    let answer = client.ask(&question.request(subject, schema), until)?;
    question.reply(&answer).map_err(|refusal| refused(client, question, subject, refusal))
}

fn refused(client: &Client, question: Question, subject: &str, refusal: Refusal) -> RegistryError {
    let task = match question {
        Question::LookUp => format!("looking for the schema of subject \"{subject}\""),
        Question::Compare => format!("checking the compatibility with subject \"{subject}\""),
        Question::Register => format!("registering the schema under subject \"{subject}\""),
    };
    RegistryError::Refused { url: client.url(), task, refusal }
}

/// Two are equal if they lead to the same place.
impl PartialEq for Registry {
    fn eq(&self, other: &Self) -> bool {
        self.settings() == other.settings()
    }
}

impl Eq for Registry {}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_for_one_ends_with_the_time_for_all() {
        let (stop, now) = (Stop::new(), Instant::now());
        let (short, long) = (Duration::from_secs(60), Duration::from_secs(600));
        let deadline = |time, until| Patience { time, until, stop: &stop }.begin().deadline;
        assert_eq!(deadline(long, Some(now + short)), now + short);
        assert!(deadline(short, Some(now + long)) < now + long);
        assert!(deadline(long, None) >= now + long);
    }
}
