//! Requests to a registry with Confluent's REST interface, and what its answers mean. Pure.
//!
//! Source: Confluent documentation, "Schema Registry API Reference"; Apicurio Registry has the same below
//! `/apis/ccompat/v7`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::wire::SchemaId;
use crate::printable::{line, said};

/// Of a subject, what can be in a path as it is.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Below the address of the registry.
    pub path: String,
    /// The content that is posted; none for a request that only reads.
    pub body: Option<String>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP's status.
    pub status: u16,
    /// The content.
    pub body: Vec<u8>,
}

/// Which question to ask about a schema and its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Is it registered there?
    LookUp,
    /// Is it compatible with the newest version there?
    Compare,
    /// Register it there.
    Register,
}

/// What a registry says about a schema and its subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is registered, now or since before.
    Id(SchemaId),
    /// There is no such subject, or it has no version.
    NoSubject,
    /// The subject has other schemas only.
    NoSchema,
    /// Whether it is compatible.
    Compatible(bool),
    /// It is not registered because it is not compatible.
    Conflict(String),
}

/// An answer that is not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The registry refuses.
    Status {
        /// HTTP's status.
        status: u16,
        /// The registry's own code, which tells that it is a registry.
        code: Option<u32>,
        /// What it says.
        said: String,
    },
    /// The answer means nothing here.
    Meaningless(String),
}

impl Refusal {
    /// Whether the same request may succeed later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Status { status: 408 | 429 | 500..=599, .. })
    }
}

impl Question {
    /// The request.
    pub fn request(self, subject: &str, schema: &str) -> Request {
        let subject = utf8_percent_encode(subject, &PLAIN);
        let path = match self {
            Self::LookUp => format!("/subjects/{subject}"),
            Self::Compare => format!("/compatibility/subjects/{subject}/versions/latest"),
            Self::Register => format!("/subjects/{subject}/versions"),
        };
        let body = json!({ "schema": schema, "schemaType": "AVRO" });
        Request { path, body: Some(body.to_string()) }
    }

    /// What the answer says.
    ///
    /// # Errors
    /// When it says something else.
    pub fn reply(self, answer: &Answer) -> Result<Reply, Refusal> {
        #[derive(Deserialize)]
        struct Id {
            id: SchemaId,
        }
        #[derive(Deserialize)]
        struct Compatible {
            is_compatible: bool,
        }
        let refusal = match content(answer) {
            Ok(body) => {
                return Ok(match self {
                    Self::LookUp | Self::Register => Reply::Id(read::<Id>(body)?.id),
                    Self::Compare => Reply::Compatible(read::<Compatible>(body)?.is_compatible),
                });
            }
            Err(refusal) => refusal,
        };
        match (self, refusal) {
            // Subject or version not found.
            (Self::LookUp | Self::Compare, Refusal::Status { code: Some(40401 | 40402), .. }) => {
                Ok(Reply::NoSubject)
            }
            (Self::LookUp, Refusal::Status { code: Some(40403), .. }) => Ok(Reply::NoSchema),
            (Self::Register, Refusal::Status { status: 409, said, .. }) => {
                Ok(Reply::Conflict(said))
            }
            (_, refusal) => Err(refusal),
        }
    }
}

/// The request for a schema by its id.
pub fn by_id(id: SchemaId) -> Request {
    Request { path: format!("/schemas/ids/{id}"), body: None }
}

/// The schema that was asked for; none if there is none of that id.
///
/// # Errors
/// When the answer is another one.
pub fn schema(answer: &Answer) -> Result<Option<String>, Refusal> {
    #[derive(Deserialize)]
    struct Schema {
        schema: String,
    }
    match content(answer) {
        Ok(body) => Ok(Some(read::<Schema>(body)?.schema)),
        // Schema not found; Apicurio takes it for a subject.
        Err(Refusal::Status { code: Some(40401 | 40403), .. }) => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

/// The content of an answer that is not an error.
fn content(answer: &Answer) -> Result<&[u8], Refusal> {
    /// What errors consist of.
    #[derive(Deserialize)]
    struct Problem {
        error_code: Option<u32>,
        #[serde(default)]
        message: String,
    }
    if answer.status == 200 {
        return Ok(&answer.body);
    }
    let problem = serde_json::from_slice(&answer.body).ok();
    let (code, said) = match problem {
        Some(Problem { error_code: Some(code), message }) => (Some(code), said(message.as_bytes())),
        _ => (None, said(&answer.body)),
    };
    Err(Refusal::Status { status: answer.status, code, said: line(&said).into_owned() })
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        let said = said(body);
        Refusal::Meaningless(format!(
            "answered with something else than a registry does: {error} in \"{}\"",
            line(&said)
        ))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: body.as_bytes().to_vec() }
    }

    fn id(id: u64) -> SchemaId {
        SchemaId::try_from(id).unwrap()
    }

    #[test]
    fn requests_name_the_subject_and_carry_the_schema_as_text() {
        let asked = Question::LookUp.request("bars.dib.current-value", "{\"a\": \"ü\"}");
        assert_eq!(asked.path, "/subjects/bars.dib.current-value");
        let body: serde_json::Value = serde_json::from_str(&asked.body.unwrap()).unwrap();
        assert_eq!(body, json!({ "schema": "{\"a\": \"ü\"}", "schemaType": "AVRO" }));
        let path = |question: Question| question.request("a/b?c%d", "").path;
        assert_eq!(path(Question::Register), "/subjects/a%2Fb%3Fc%25d/versions");
        assert_eq!(
            path(Question::Compare),
            "/compatibility/subjects/a%2Fb%3Fc%25d/versions/latest"
        );
        assert_eq!(by_id(id(7)), Request { path: "/schemas/ids/7".into(), body: None });
    }

    #[test]
    fn answers_are_told_apart_by_the_registrys_own_codes() {
        use Question::{Compare, LookUp, Register};
        let found = r#"{"subject":"s","id":7,"version":1,"schema":"{}"}"#;
        let absent = |code: u32| format!(r#"{{"error_code":{code},"message":"none"}}"#);
        for (question, status, body, reply) in [
            (LookUp, 200, found.to_owned(), Reply::Id(id(7))),
            (Register, 200, r#"{"id":9}"#.to_owned(), Reply::Id(id(9))),
            (LookUp, 404, absent(40401), Reply::NoSubject),
            (LookUp, 404, absent(40403), Reply::NoSchema),
            (Compare, 404, absent(40402), Reply::NoSubject),
            (Compare, 200, r#"{"is_compatible":true}"#.to_owned(), Reply::Compatible(true)),
            (Register, 409, absent(409), Reply::Conflict("none".to_owned())),
        ] {
            assert_eq!(question.reply(&answer(status, &body)), Ok(reply), "{question:?} {body}");
        }
    }

    #[test]
    fn what_is_not_an_answer_is_refused_with_what_was_said() {
        let of = |status, body: &str| Question::LookUp.reply(&answer(status, body)).unwrap_err();
        let status = |status, code, said: &str| Refusal::Status { status, code, said: said.into() };
        assert_eq!(of(404, "<html>\u{1b}[2J"), status(404, None, "<html>\\u{1b}[2J"));
        assert_eq!(
            of(422, r#"{"error_code":42201,"message":"Input schema is an invalid Avro schema"}"#),
            status(422, Some(42201), "Input schema is an invalid Avro schema")
        );
        assert!(of(503, "").is_passing() && of(429, "").is_passing());
        assert!(!of(401, "").is_passing() && !of(301, "").is_passing());
        for body in ["", "{}", "[]", r#"{"id":-1}"#, r#"{"id":2147483648}"#, r#"{"id":"7"}"#] {
            assert!(matches!(of(200, body), Refusal::Meaningless(_)), "{body}");
        }
    }

    #[test]
    fn a_schema_comes_by_its_id_or_is_not_there() {
        assert_eq!(schema(&answer(200, r#"{"schema":"\"int\""}"#)), Ok(Some("\"int\"".to_owned())));
        assert_eq!(schema(&answer(404, r#"{"error_code":40403,"message":""}"#)), Ok(None));
        assert!(schema(&answer(404, "no such page")).is_err());
    }

    proptest! {
        #[test]
        fn no_answer_is_taken_for_an_id_that_it_is_not(status in 100u16..600, body: Vec<u8>) {
            for question in [Question::LookUp, Question::Compare, Question::Register] {
                let reply = question.reply(&Answer { status, body: body.clone() });
                prop_assert!(status == 200 || !matches!(reply, Ok(Reply::Id(_))));
            }
            let _ = schema(&Answer { status, body });
        }
    }
}
