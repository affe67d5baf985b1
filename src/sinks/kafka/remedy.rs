//! What can be done about an error of Kafka: which pass by themselves, and which last.

use rdkafka::types::RDKafkaErrorCode;

use crate::graph::sink::SinkError;

/// What can be done about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// To look for other running copies.
    Look,
    /// Nothing before a person has done something: it would be refused again.
    Person,
    /// To try again, with a new producer: a broker is away, a leader is being elected, time was up.
    Again,
}

impl Remedy {
    /// About what has no code, or one of no known meaning, trying again is right: a run that ends for nothing
    /// is worse than one that ends some minutes late. So it is about what librdkafka itself says of logins and
    /// TLS: a broker that goes away amid a handshake looks the same.
    pub(super) fn of(code: Option<RDKafkaErrorCode>) -> Self {
        use RDKafkaErrorCode::*;
        match code {
            Some(Fenced | ProducerFenced | InvalidProducerEpoch) => Self::Look,
            Some(
                SaslAuthenticationFailed
                | UnsupportedSASLMechanism
                | TopicAuthorizationFailed
                | GroupAuthorizationFailed
                | ClusterAuthorizationFailed
                | TransactionalIdAuthorizationFailed
                | SecurityDisabled
                | UnsupportedFeature
                | UnsupportedVersion
                | UnsupportedForMessageFormat
                | UnsupportedCompressionType
                | MessageSizeTooLarge
                | MessageBatchTooLarge
                | InvalidMessageSize
                | InvalidTimestamp
                | InvalidRecord
                | InvalidTopic
                | InvalidRequiredAcks
                | InvalidTransactionTimeout
                | InvalidPartitions
                | InvalidConfig
                | PolicyViolation,
            ) => Self::Person,
            _ => Self::Again,
        }
    }

    /// An error with this remedy. A producer without a transactional id cannot be a copy of another.
    pub(super) fn error(self, text: String, is_transactional: bool) -> SinkError {
        match self {
            Self::Look if is_transactional => SinkError::Fenced(text),
            Self::Person => SinkError::Refused(text),
            Self::Look | Self::Again => SinkError::Unavailable(text),
        }
    }
}

/// What to do about it, on a line of its own.
pub(super) fn hint(code: Option<RDKafkaErrorCode>) -> &'static str {
    use RDKafkaErrorCode::*;
    match code {
        Some(MessageSizeTooLarge | MessageBatchTooLarge) => {
            "\nhint: raise the topic's max.message.bytes and, if it is above 1 MB, the kafka \
             property message.max.bytes"
        }
        Some(TopicAuthorizationFailed) => {
            "\nhint: the user needs Write and Describe on the bar topics, and also Read on the \
             checkpoint topic"
        }
        Some(TransactionalIdAuthorizationFailed) => {
            "\nhint: the user needs Write and Describe on transactional ids that begin \
             with \"barflow.\"; --delivery at-least-once does not need them"
        }
        Some(InvalidTimestamp) => {
            "\nhint: the broker rejects timestamps in the future; see the topic's \
             message.timestamp.after.max.ms"
        }
        Some(UnknownTopic | UnknownTopicOrPartition) => {
            "\nhint: if the topic was deleted, --create-topics at the next start creates it"
        }
        Some(UnsupportedVersion | UnsupportedFeature | UnsupportedForMessageFormat) => {
            "\nhint: the broker is too old for this; transactions need Kafka 0.11, and \
             --delivery at-least-once does without them"
        }
        Some(InvalidTransactionTimeout) => {
            "\nhint: the kafka property transaction.timeout.ms exceeds the broker's \
             transaction.max.timeout.ms"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_tried_again_and_what_lasts_is_not() {
        use RDKafkaErrorCode::*;
        let passing = [
            BrokerTransportFailure,
            AllBrokersDown,
            Resolve,
            OperationTimedOut,
            MessageTimedOut,
            TimedOutQueue,
            RequestTimedOut,
            LeaderNotAvailable,
            NotLeaderForPartition,
            BrokerNotAvailable,
            ReplicaNotAvailable,
            NetworkException,
            CoordinatorLoadInProgress,
            CoordinatorNotAvailable,
            NotCoordinator,
            NotEnoughReplicas,
            NotEnoughReplicasAfterAppend,
            NotController,
            ConcurrentTransactions,
            KafkaStorageError,
            UnknownLeaderEpoch,
            FencedLeaderEpoch,
            ThrottlingQuotaExceeded,
            InvalidReplicationFactor,
            Unknown,
            Authentication,
            SSL,
        ];
        for code in passing {
            assert_eq!(Remedy::of(Some(code)), Remedy::Again, "{code}");
        }
        assert_eq!(Remedy::of(None), Remedy::Again);
        let lasting = [
            SaslAuthenticationFailed,
            TopicAuthorizationFailed,
            GroupAuthorizationFailed,
            ClusterAuthorizationFailed,
            TransactionalIdAuthorizationFailed,
            UnsupportedVersion,
            MessageSizeTooLarge,
            MessageBatchTooLarge,
            InvalidTopic,
            PolicyViolation,
        ];
        for code in lasting {
            let error = Remedy::of(Some(code)).error("x".to_owned(), true);
            assert!(matches!(error, SinkError::Refused(_)), "{code}");
        }
        for code in [Fenced, ProducerFenced, InvalidProducerEpoch] {
            let error = |transactional| Remedy::of(Some(code)).error(String::new(), transactional);
            assert!(matches!(error(true), SinkError::Fenced(_)), "{code}");
            assert!(matches!(error(false), SinkError::Unavailable(_)), "{code}");
        }
    }
}
