//! Why a registry gives no id, in words.

use super::api::Refusal;
use super::decision::Fit;
use super::wire::SchemaId;

/// Why a registry gives no id or no schema.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The settings are wrong.
    #[error("{0}")]
    Settings(String),
    /// It does not answer, for now.
    #[error("schema registry at \"{url}\" {what}")]
    Unavailable {
        /// Where it is, without secrets.
        url: String,
        /// What happened.
        what: String,
    },
    /// The end was asked for before it had answered.
    #[error("stopped while waiting for the schema registry at \"{url}\"")]
    Stopped {
        /// Where it is, without secrets.
        url: String,
    },
    /// It answers, but does not do what it is asked for.
    #[error("schema registry at \"{url}\": {task}: {}", said(refusal))]
    Refused {
        /// Where it is, without secrets.
        url: String,
        /// What it was asked for.
        task: String,
        /// What it answered.
        refusal: Refusal,
    },
    /// The schema is not there.
    #[error(
        "schema registry at \"{url}\": the schema of bars is not registered under subject \"{subject}\" ({})",
        fits(*fit)
    )]
    Missing {
        /// Where it is, without secrets.
        url: String,
        /// Which subject.
        subject: String,
        /// Whether it could be.
        fit: Fit,
    },
    /// The schema does not fit those of its subject.
    #[error(
        "schema registry at \"{url}\": the schema of bars is not compatible with the newest version of subject \
         \"{subject}\"{}{said}", if said.is_empty() { "" } else { ": " }
    )]
    Conflict {
        /// Where it is, without secrets.
        url: String,
        /// Which subject.
        subject: String,
        /// What the registry says about it.
        said: String,
    },
    /// Records name more schemas than those of one writer.
    #[error(
        "schema registry at \"{url}\": id {id} is one too many, after {most} others: these are not the records \
         of one schema and its versions"
    )]
    TooManyIds {
        /// Where it is, without secrets.
        url: String,
        /// The first one that was not asked about.
        id: SchemaId,
        /// How many were.
        most: usize,
    },
    /// There is no schema of an id.
    #[error("schema registry at \"{url}\" has no schema with id {id}")]
    NoSuchId {
        /// Where it is, without secrets.
        url: String,
        /// Which.
        id: SchemaId,
    },
}

impl RegistryError {
    /// What to do about it, where something can be said.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Missing { fit: Fit::Incompatible, subject, .. }
            | Self::Conflict { subject, .. } => {
                return Some(format!(
                    "\"{subject}\" holds records of another schema, or of a barflow that this one cannot follow; \
                     give the bars a --topic of their own, or see what barflow's schemas are compatible with in \
                     docs/kafka.md"
                ));
            }
            Self::Missing { .. } => {
                "--schema-register auto registers it; where only administrators may do that, docs/kafka.md has \
                 the request"
            }
            Self::Refused { refusal, .. } => return of_refusal(refusal).map(str::to_owned),
            Self::NoSuchId { .. } => "it belongs to another registry",
            Self::TooManyIds { .. } => {
                "somebody else writes to the topic; without --schema-registry, records are told by their length"
            }
            Self::Settings(_) | Self::Unavailable { .. } | Self::Stopped { .. } => return None,
        };
        Some(text.to_owned())
    }
}

/// An answer in words.
fn said(refusal: &Refusal) -> String {
    let (status, code, said) = match refusal {
        Refusal::Meaningless(what) => return what.clone(),
        Refusal::Status { status, code, said } => (status, code, said),
    };
    let what = match (status, code) {
        (401, _) => "it wants a login, or refuses this one",
        (403, _) => "the user may not do that",
        (404 | 405, None) => "there is no schema registry at this address",
        (409, _) => "the schema is not compatible",
        (422, Some(42203)) => "its compatibility level is not valid",
        (422, _) => "it does not accept the schema",
        (404, Some(40401)) => "there is no such subject",
        (404, Some(40402)) => "there is no such version",
        (404, Some(40403)) => "there is no such schema",
        (429, _) => "too many requests",
        (300..=399, _) => "it redirects, which is not followed",
        (500..=599, _) => "it failed",
        _ => "it refused",
    };
    let number = match code {
        Some(code) if u32::from(*status) != *code => format!("HTTP {status}, code {code}"),
        _ => format!("HTTP {status}"),
    };
    match said.is_empty() {
        true => format!("{what} ({number})"),
        false => format!("{what} ({number}: {said})"),
    }
}

fn fits(fit: Fit) -> &'static str {
    match fit {
        Fit::Unknown => "the subject has other schemas",
        Fit::FirstOfSubject => "there is no such subject",
        Fit::Compatible => "it is compatible with the newest version there",
        Fit::Incompatible => "it is not compatible with the newest version there",
    }
}

fn of_refusal(refusal: &Refusal) -> Option<&'static str> {
    let Refusal::Status { status, code, .. } = refusal else { return None };
    match (status, code) {
        (401, _) => Some(
            "--schema-registry-login '${NAME}' names the environment variable that holds USER:PASSWORD, \
             --schema-registry-token '${NAME}' one that holds a bearer token",
        ),
        (403, _) => Some(
            "--schema-register never needs read access only; check also needs access to compatibility checks, \
             auto write access",
        ),
        (404 | 405, None) => Some(
            "the URL must contain the path of the registry's Confluent interface, such as /apis/ccompat/v7 for \
             Apicurio",
        ),
        (300..=399, _) => {
            Some("set schema_registry (--schema-registry) to the URL that it redirects to")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: Option<u32>) -> RegistryError {
        let refusal = Refusal::Status { status, code, said: "why".to_owned() };
        let (url, task) = ("http://r".to_owned(), "looking for subject \"s\"".to_owned());
        RegistryError::Refused { url, task, refusal }
    }

    #[test]
    fn every_answer_has_words_and_where_it_helps_advice() {
        for (status, code, words, advice) in [
            (401, None, "wants a login", Some("--schema-registry-login")),
            (403, Some(40301), "may not", Some("--schema-register never")),
            (404, None, "no schema registry at this address", Some("/apis/ccompat/v7")),
            (409, Some(409), "not compatible (HTTP 409: why)", None),
            (422, Some(42201), "does not accept the schema (HTTP 422, code 42201: why)", None),
            (404, Some(40401), "no such subject", None),
            (307, None, "redirects", Some("schema_registry")),
            (500, Some(50001), "it failed", None),
        ] {
            let error = refused(status, code);
            let said = error.to_string();
            assert!(said.starts_with("schema registry at \"http://r\": looking for"), "{said}");
            assert!(said.contains(words), "{said}");
            let hint = error.hint();
            assert_eq!(hint.is_some(), advice.is_some(), "{said}");
            assert!(hint.unwrap_or_default().contains(advice.unwrap_or_default()));
        }
    }
}
