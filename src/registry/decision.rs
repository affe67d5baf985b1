//! Which questions are asked until it is known under which id records are written, or why they are not. Pure.
//!
//! **Invariant:** only [`Register::Auto`] registers anything, and nothing else of the registry changes.

use super::api::{Question, Reply};
use super::wire::SchemaId;

/// What may be done about a schema that is not registered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Register {
    /// Nothing: it must be there.
    Never,
    /// Nothing: it must be there, and be compatible with the newest version of its subject.
    #[default]
    Check,
    /// It is registered.
    Auto,
}

impl Register {
    /// `never`, `check` or `auto`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Check => "check",
            Self::Auto => "auto",
        }
    }
}

/// Whether a schema that is not registered could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Nobody was asked.
    Unknown,
    /// Its subject does not exist: nothing speaks against it.
    FirstOfSubject,
    /// The registry says so.
    Compatible,
    /// The registry says that it could not.
    Incompatible,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask this.
    Ask(Decision),
    /// Write records under this id.
    Use(SchemaId),
    /// Write nothing: the schema is not registered.
    Missing(Fit),
    /// Write nothing: the schema does not fit those of its subject; what the registry says.
    Conflict(String),
    /// The reply answers another question.
    Meaningless,
}

/// A decision under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    register: Register,
    found: Option<SchemaId>,
    question: Question,
}

impl Decision {
    /// The first question.
    pub fn begin(register: Register) -> Self {
        Self { register, found: None, question: Question::LookUp }
    }

    /// What is asked now.
    pub fn question(self) -> Question {
        self.question
    }

    /// What follows from the reply.
    pub fn after(self, reply: Reply) -> Next {
        let ask = |question, found| Next::Ask(Self { question, found, ..self });
        match (self.question, reply, self.register) {
            (Question::LookUp, Reply::Id(id), Register::Never) => Next::Use(id),
            (Question::LookUp, Reply::Id(id), _) => ask(Question::Compare, Some(id)),
            (Question::LookUp, Reply::NoSubject | Reply::NoSchema, Register::Auto) => {
                ask(Question::Register, None)
            }
            (Question::LookUp, Reply::NoSubject, _) => Next::Missing(Fit::FirstOfSubject),
            (Question::LookUp, Reply::NoSchema, Register::Never) => Next::Missing(Fit::Unknown),
            (Question::LookUp, Reply::NoSchema, Register::Check) => ask(Question::Compare, None),
            (Question::Compare, Reply::Compatible(is), _) => match (self.found, is) {
                (Some(id), true) => Next::Use(id),
                (Some(_), false) => Next::Conflict(String::new()),
                (None, true) => Next::Missing(Fit::Compatible),
                (None, false) => Next::Missing(Fit::Incompatible),
            },
            // Deleted between two questions.
            (Question::Compare, Reply::NoSubject, _) => Next::Missing(Fit::FirstOfSubject),
            (Question::Register, Reply::Id(id), _) => Next::Use(id),
            (Question::Register, Reply::Conflict(said), _) => Next::Conflict(said),
            _ => Next::Meaningless,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id() -> SchemaId {
        SchemaId::try_from(7).unwrap()
    }

    /// The questions that are asked when these are the replies, and how it ends.
    fn asked(register: Register, replies: &[Reply]) -> (Vec<Question>, Next) {
        let (mut decision, mut questions) = (Decision::begin(register), Vec::new());
        for reply in replies {
            questions.push(decision.question());
            match decision.after(reply.clone()) {
                Next::Ask(next) => decision = next,
                end => return (questions, end),
            }
        }
        (questions, Next::Ask(decision))
    }

    #[test]
    fn every_way_of_registering_has_its_questions() {
        use Question::{Compare, LookUp, Register as Add};
        use Register::{Auto, Check, Never};
        let (found, fits) = (Reply::Id(id()), Reply::Compatible(true));
        let unfit = Reply::Compatible(false);
        let conflict = Reply::Conflict("why".to_owned());
        for (register, replies, questions, end) in [
            (Never, vec![found.clone()], vec![LookUp], Next::Use(id())),
            (Never, vec![Reply::NoSchema], vec![LookUp], Next::Missing(Fit::Unknown)),
            (Never, vec![Reply::NoSubject], vec![LookUp], Next::Missing(Fit::FirstOfSubject)),
            (Check, vec![found.clone(), fits.clone()], vec![LookUp, Compare], Next::Use(id())),
            (
                Check,
                vec![found.clone(), unfit.clone()],
                vec![LookUp, Compare],
                Next::Conflict(String::new()),
            ),
            (
                Check,
                vec![Reply::NoSchema, fits.clone()],
                vec![LookUp, Compare],
                Next::Missing(Fit::Compatible),
            ),
            (
                Check,
                vec![Reply::NoSchema, unfit],
                vec![LookUp, Compare],
                Next::Missing(Fit::Incompatible),
            ),
            (Check, vec![Reply::NoSubject], vec![LookUp], Next::Missing(Fit::FirstOfSubject)),
            (Auto, vec![found.clone(), fits], vec![LookUp, Compare], Next::Use(id())),
            (Auto, vec![Reply::NoSubject, found.clone()], vec![LookUp, Add], Next::Use(id())),
            (Auto, vec![Reply::NoSchema, found], vec![LookUp, Add], Next::Use(id())),
            (
                Auto,
                vec![Reply::NoSchema, conflict],
                vec![LookUp, Add],
                Next::Conflict("why".to_owned()),
            ),
        ] {
            assert_eq!(asked(register, &replies), (questions, end), "{register:?} {replies:?}");
        }
    }

    fn any_reply() -> impl Strategy<Value = Reply> {
        prop_oneof![
            Just(Reply::Id(id())),
            Just(Reply::NoSubject),
            Just(Reply::NoSchema),
            any::<bool>().prop_map(Reply::Compatible),
            Just(Reply::Conflict(String::new())),
        ]
    }

    proptest! {
        #[test]
        fn whatever_is_answered_few_questions_are_asked_and_only_auto_registers(
            replies in prop::collection::vec(any_reply(), 3),
            register in prop_oneof![
                Just(Register::Never), Just(Register::Check), Just(Register::Auto)
            ],
        ) {
            let (questions, end) = asked(register, &replies);
            prop_assert!(questions.len() <= 2 && !matches!(end, Next::Ask(_)));
            if register != Register::Auto {
                prop_assert!(!questions.contains(&Question::Register));
            }
            if matches!(end, Next::Use(_)) {
                prop_assert!(replies.contains(&Reply::Id(id())));
            }
        }
    }
}
