//! How two processes recognise each other: a Noise handshake with the shared secret, then each says what it does.
//! No sockets and no clock here; randomness for the keys of a connection comes from the system.
//!
//! The caller sends the name of the protocol and its first Noise message (`-> psk, e`), the other side the same with
//! the second (`<- e, ee`). Both have a fixed length. From there on everything is encrypted with keys that only the
//! two know, and only for this connection; the first frames are the handshakes, the caller's first. So a side that
//! does not know the secret learns nothing but the name of the protocol, and what was recorded is of no use later.

use snow::params::NoiseParams;
use snow::{Builder, HandshakeState};

use super::frames::{self, FrameError, Opener, Sealer};
use super::handshake::Handshake;
use super::secret::ClusterSecret;

/// The first bytes of a connection between processes; the number is raised when something in it changes.
const MAGIC: &[u8; 14] = b"barflow mesh 2";

/// What all versions begin with.
const ANY_VERSION: usize = MAGIC.len() - 1;

/// Ephemeral keys with a shared secret, X25519, ChaCha20-Poly1305, BLAKE2s.
const NOISE: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";

/// Bytes of either Noise message: a public key and a tag.
const MESSAGE: usize = 32 + 16;

/// Bytes of either side's opening.
const OPENING: usize = MAGIC.len() + MESSAGE;

/// Longest handshake taken. It has some ten hashes in it.
const LONGEST: usize = 1 << 14;

/// Why a connection is not one between two processes of a job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GreetingError {
    /// The other side speaks something else.
    #[error("it is not a barflow process")]
    Stranger,
    /// The other side speaks another version of the protocol.
    #[error("it is another version of barflow")]
    OtherVersion,
    /// The other side does not know the secret.
    #[error("it does not know the secret of this job")]
    Unproven,
    /// It was slower than a process is.
    #[error("it did not say in time who it is")]
    Late,
    /// The other side has closed the connection.
    #[error("it closed the connection")]
    Closed,
    /// There was no room for it any more.
    #[error("too many others connected after it")]
    Crowded,
    /// The system refuses.
    #[error("{0}")]
    Io(String),
}

impl From<FrameError> for GreetingError {
    fn from(_: FrameError) -> Self {
        Self::Unproven
    }
}

impl From<std::io::Error> for GreetingError {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset => Self::Closed,
            _ => Self::Io(error.to_string()),
        }
    }
}

/// Both directions of a connection, encrypted.
pub(super) struct Channel {
    pub(super) sealer: Sealer,
    pub(super) opener: Opener,
}

enum Stage {
    /// The other side's opening is awaited, and what to say after it, for the side that speaks first.
    Opening(Box<HandshakeState>, Option<Handshake>),
    /// Both have proven that they know the secret, as soon as the first frame has come.
    Sealed(Box<Channel>),
    /// It went wrong.
    Failed,
}

/// One side of a greeting.
pub struct Greeting {
    stage: Stage,
    /// The other side's opening so far.
    opening: Vec<u8>,
    outbox: Vec<u8>,
    heard: Option<Handshake>,
}

impl Greeting {
    /// The caller's side.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub(super) fn call(secret: &ClusterSecret, says: Handshake) -> Result<Self, GreetingError> {
        let mut noise = noise(secret, |builder| builder.build_initiator())?;
        let outbox = opening(&mut noise)?;
        let stage = Stage::Opening(Box::new(noise), Some(says));
        Ok(Self { stage, opening: Vec::new(), outbox, heard: None })
    }

    /// The side that is called.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn listen(secret: &ClusterSecret) -> Result<Self, GreetingError> {
        let noise = noise(secret, |builder| builder.build_responder())?;
        let stage = Stage::Opening(Box::new(noise), None);
        Ok(Self { stage, opening: Vec::new(), outbox: Vec::new(), heard: None })
    }

    /// How many bytes are needed next; they are the other side's greeting and nothing after it.
    pub fn wanted(&self) -> usize {
        match &self.stage {
            Stage::Opening(..) => OPENING - self.opening.len(),
            Stage::Sealed(channel) if self.heard.is_none() => channel.opener.wanted(),
            Stage::Sealed(_) | Stage::Failed => 0,
        }
    }

    /// Takes at most [`Greeting::wanted`] bytes.
    ///
    /// # Errors
    /// When the other side is not a process that knows the secret.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), GreetingError> {
        let taken = match std::mem::replace(&mut self.stage, Stage::Failed) {
            Stage::Opening(noise, says) => self.open(noise, says, bytes),
            Stage::Sealed(channel) => self.hear(channel, bytes),
            Stage::Failed => Err(GreetingError::Stranger),
        };
        self.stage = taken?;
        Ok(())
    }

    fn open(
        &mut self,
        mut noise: Box<HandshakeState>,
        says: Option<Handshake>,
        bytes: &[u8],
    ) -> Result<Stage, GreetingError> {
        self.opening.extend_from_slice(bytes);
        let name = &self.opening[..self.opening.len().min(MAGIC.len())];
        if !MAGIC.starts_with(name) {
            let other = name.len() == MAGIC.len() && name.starts_with(&MAGIC[..ANY_VERSION]);
            return Err(if other { GreetingError::OtherVersion } else { GreetingError::Stranger });
        }
        if self.opening.len() < OPENING {
            return Ok(Stage::Opening(noise, says));
        }
        let message = &self.opening[MAGIC.len()..];
        noise.read_message(message, &mut [0; MESSAGE]).map_err(|_| GreetingError::Unproven)?;
        if says.is_none() {
            self.outbox.extend(opening(&mut noise)?);
        }
        let session = noise.into_stateless_transport_mode();
        let session = session.map_err(|_| GreetingError::Unproven)?;
        let (sealer, opener) = frames::open(session, LONGEST);
        let mut channel = Box::new(Channel { sealer, opener });
        if let Some(says) = says {
            self.outbox.extend(channel.sealer.seal(&says.to_bytes())?);
        }
        Ok(Stage::Sealed(channel))
    }

    fn hear(&mut self, mut channel: Box<Channel>, bytes: &[u8]) -> Result<Stage, GreetingError> {
        if channel.opener.take(bytes)? {
            let heard = Handshake::from_bytes(channel.opener.plain());
            self.heard = Some(heard.ok_or(GreetingError::OtherVersion)?);
        }
        Ok(Stage::Sealed(channel))
    }

    /// What the other side does, once it has said and proven it.
    pub fn heard(&self) -> Option<&Handshake> {
        self.heard.as_ref()
    }

    /// Answers a caller who has proven itself.
    ///
    /// # Errors
    /// When it has not, or the answer is too long.
    pub(super) fn answer(&mut self, says: &Handshake) -> Result<(), GreetingError> {
        match &mut self.stage {
            Stage::Sealed(channel) if self.heard.is_some() => {
                self.outbox.extend(channel.sealer.seal(&says.to_bytes())?);
                Ok(())
            }
            _ => Err(GreetingError::Unproven),
        }
    }

    /// What is to be sent; what was sent is removed from its front.
    pub fn outbox(&mut self) -> &mut Vec<u8> {
        &mut self.outbox
    }

    /// The connection, after the other side was heard.
    pub(super) fn into_channel(self) -> Option<Channel> {
        match self.stage {
            Stage::Sealed(mut channel) if self.heard.is_some() => {
                channel.opener.take_any_length();
                Some(*channel)
            }
            _ => None,
        }
    }
}

fn noise(
    secret: &ClusterSecret,
    build: impl FnOnce(Builder<'_>) -> Result<HandshakeState, snow::Error>,
) -> Result<HandshakeState, GreetingError> {
    let refused = |error: snow::Error| GreetingError::Io(error.to_string());
    let params: NoiseParams = NOISE.parse().map_err(refused)?;
    let builder = Builder::new(params).prologue(MAGIC).map_err(refused)?;
    build(builder.psk(0, secret.key()).map_err(refused)?).map_err(refused)
}

fn opening(noise: &mut HandshakeState) -> Result<Vec<u8>, GreetingError> {
    let mut message = [0; MESSAGE];
    let refused = |error: snow::Error| GreetingError::Io(error.to_string());
    let length = noise.write_message(&[], &mut message).map_err(refused)?;
    Ok([&MAGIC[..], &message[..length]].concat())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::graph::cluster::handshake::ClusterJob;
    use crate::graph::workers::Workers;

    fn secret() -> ClusterSecret {
        ClusterSecret::new("correct horse battery staple, twice").unwrap()
    }

    fn handshake(process: usize, to: usize) -> Handshake {
        let hosts = vec!["a:1".to_owned(), "b:2".to_owned()];
        let job = ClusterJob::new("replay").with("bars", "x");
        Handshake::new(&Workers::Cluster { threads: 2, process, hosts }, &job, to)
    }

    fn caller(secret: &ClusterSecret) -> Greeting {
        Greeting::call(secret, handshake(1, 0)).unwrap()
    }

    /// Hands over what one side has to say, in pieces of this size; the bytes as well.
    fn hand_over(
        from: &mut Greeting,
        to: &mut Greeting,
        piece: usize,
    ) -> Result<Vec<u8>, GreetingError> {
        let bytes = std::mem::take(from.outbox());
        let mut rest = bytes.as_slice();
        while !rest.is_empty() && to.wanted() > 0 {
            let (piece, more) = rest.split_at(piece.min(to.wanted()).min(rest.len()));
            to.take(piece)?;
            rest = more;
        }
        assert!(rest.is_empty(), "bytes that were not wanted");
        Ok(bytes)
    }

    /// A whole greeting: both sides, and what the caller has said.
    fn greeted(piece: usize) -> (Greeting, Greeting, Vec<u8>) {
        let (mut caller, mut called) = (caller(&secret()), Greeting::listen(&secret()).unwrap());
        let mut said = hand_over(&mut caller, &mut called, piece).unwrap();
        hand_over(&mut called, &mut caller, piece).unwrap();
        assert_eq!((called.heard(), caller.heard()), (None, None));
        said.extend(hand_over(&mut caller, &mut called, piece).unwrap());
        assert_eq!(called.heard(), Some(&handshake(1, 0)));
        called.answer(&handshake(0, 1)).unwrap();
        hand_over(&mut called, &mut caller, piece).unwrap();
        assert_eq!(caller.heard(), Some(&handshake(0, 1)));
        (caller, called, said)
    }

    fn channels() -> (Channel, Channel) {
        let (caller, called, _) = greeted(1 << 10);
        (caller.into_channel().unwrap(), called.into_channel().unwrap())
    }

    #[test]
    fn both_sides_hear_what_the_other_said_however_the_bytes_are_cut() {
        for piece in [1, 7, 62, 1 << 10] {
            let (caller, called, _) = greeted(piece);
            assert_eq!((caller.wanted(), called.wanted()), (0, 0));
            let (mut one, mut other) =
                (caller.into_channel().unwrap(), called.into_channel().unwrap());
            for bytes in [b"".to_vec(), b"progress".to_vec(), vec![7; frames::MOST]] {
                let frame = one.sealer.seal(&bytes).unwrap().to_vec();
                assert!(other.opener.take(&frame[..2]).is_ok());
                assert!(other.opener.take(&frame[2..]).unwrap());
                assert_eq!(other.opener.plain(), bytes);
                assert!(other.opener.is_between_frames());
                let back = other.sealer.seal(&bytes).unwrap().to_vec();
                assert!(one.opener.take(&back).unwrap());
            }
            assert!(one.sealer.seal(&vec![7; frames::MOST + 1]).is_err());
        }
    }

    #[test]
    fn who_does_not_know_the_secret_is_told_nothing() {
        let other = ClusterSecret::new(&"x".repeat(32)).unwrap();
        for theirs in [other, ClusterSecret::of_this_computer()] {
            let mut called = Greeting::listen(&secret()).unwrap();
            let told = hand_over(&mut caller(&theirs), &mut called, 9);
            assert_eq!(told, Err(GreetingError::Unproven));
            assert_eq!((called.outbox().len(), called.heard(), called.wanted()), (0, None, 0));
            assert!(called.answer(&handshake(0, 1)).is_err() && called.into_channel().is_none());
        }
        for (bytes, error) in [
            (&b"GET / HTTP/1.1\r\n"[..], GreetingError::Stranger),
            (&b"barflow mesh 1\0\0\xff\xff{"[..], GreetingError::OtherVersion),
            (&b"barflow mash 2"[..], GreetingError::Stranger),
        ] {
            let mut called = Greeting::listen(&secret()).unwrap();
            assert_eq!(called.take(bytes), Err(error));
            assert_eq!((called.outbox().len(), called.wanted()), (0, 0));
        }
    }

    #[test]
    fn a_recorded_greeting_is_of_no_use() {
        let (_, _, said) = greeted(1 << 10);
        let mut called = Greeting::listen(&secret()).unwrap();
        called.take(&said[..OPENING]).unwrap();
        // An opening, which says nothing to those who do not know the secret.
        assert_eq!(called.outbox().len(), OPENING);
        called.take(&said[OPENING..OPENING + 2]).unwrap();
        let wanted = called.wanted();
        let replayed = called.take(&said[OPENING + 2..OPENING + 2 + wanted]);
        assert_eq!((replayed, called.heard()), (Err(GreetingError::Unproven), None));
        // Nor is what a caller says its own answer.
        let mut caller = caller(&secret());
        let reflected = caller.outbox().clone();
        assert_eq!(caller.take(&reflected), Err(GreetingError::Unproven));
    }

    #[test]
    fn a_length_is_not_believed() {
        let mut called = Greeting::listen(&secret()).unwrap();
        let opening = caller(&secret()).outbox().clone();
        called.take(&opening).unwrap();
        assert_eq!(called.wanted(), 2);
        assert!(called.take(&[0xff, 0xff]).is_err());
        assert_eq!(called.wanted(), 0);
    }

    #[test]
    fn frames_that_are_changed_repeated_left_out_or_exchanged_are_noticed() {
        let (mut one, _) = channels();
        let frames: Vec<Vec<u8>> =
            [&b"one"[..], b"two"].map(|text| one.sealer.seal(text).unwrap().to_vec()).into();
        // A session has its own keys.
        let (_, mut other) = channels();
        assert_eq!(other.opener.take(&frames[0]), Err(FrameError::Forged));
        for order in [[0, 0], [1, 0]] {
            let (mut one, mut other) = channels();
            let frames: Vec<Vec<u8>> =
                [&b"one"[..], b"two"].map(|text| one.sealer.seal(text).unwrap().to_vec()).into();
            let taken = order.map(|which| other.opener.take(&frames[which]));
            assert!(taken.contains(&Err(FrameError::Forged)), "{order:?}: {taken:?}");
        }
        let (mut one, mut other) = channels();
        let mut frame = one.sealer.seal(b"one").unwrap().to_vec();
        frame[3] ^= 1;
        assert_eq!(other.opener.take(&frame), Err(FrameError::Forged));
        let (_, mut other) = channels();
        assert!(matches!(other.opener.take(&[0, 15]), Err(FrameError::Length { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever is changed in a greeting, the other side never takes the sender for a process.
        #[test]
        fn no_change_of_a_greeting_is_accepted(
            at in 0_usize..200,
            to in any::<u8>(),
            piece in 1_usize..70,
            extra in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut bytes = caller(&secret()).outbox().clone();
            bytes.extend(extra);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = to;
            }
            let mut called = Greeting::listen(&secret()).unwrap();
            let mut rest = bytes.as_slice();
            while !rest.is_empty() && called.wanted() > 0 {
                let (piece, more) = rest.split_at(piece.min(called.wanted()).min(rest.len()));
                rest = more;
                if called.take(piece).is_err() {
                    break;
                }
            }
            prop_assert_eq!(called.heard(), None);
            prop_assert!(called.wanted() <= OPENING.max(LONGEST));
        }
    }
}
