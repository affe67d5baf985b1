//! What goes wrong: chosen by a seed, a connection at a time.

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

use fastrand::Rng;

use crate::fault_text::{FaultsError, duration, parts};

/// Names of the faults, as in `--faults` and in the summary.
pub const KINDS: [&str; 13] = [
    "drop",
    "duplicate",
    "reorder",
    "garbage",
    "unknown",
    "huge",
    "disconnect",
    "stall",
    "gap",
    "rest-429",
    "rest-5xx",
    "refuse",
    "delist",
];

/// One of [`KINDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Each is its name; the table is docs/simulator.md.
pub enum Kind {
    Drop,
    Duplicate,
    Reorder,
    Garbage,
    Unknown,
    Huge,
    Disconnect,
    Stall,
    Gap,
    Rest429,
    Rest5xx,
    Refuse,
    Delist,
}

/// How often something happens, on average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Every {
    /// Every so many trades of a connection.
    Trades(f64),
    /// Every so often.
    Time(Duration),
}

/// Which faults, how often. Probabilities are per trade and connection, or per request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// A trade is not sent; REST has it.
    pub drop: f64,
    /// A trade is sent twice.
    pub duplicate: f64,
    /// A trade is sent up to five trades late.
    pub reorder: f64,
    /// An invalid frame is sent as well.
    pub garbage: f64,
    /// A message of an unknown kind is sent as well.
    pub unknown: f64,
    /// A frame of 8 MiB is sent as well.
    pub huge: f64,
    /// The connection is cut without a close frame.
    pub disconnect: Option<Every>,
    /// The connection is silent for so long.
    pub stall: Option<(Every, Duration)>,
    /// So many trades in a row are neither sent nor listed by REST.
    pub gap: Option<(f64, u32)>,
    /// REST says 429, and to come back after so many seconds.
    pub rest_429: Option<(f64, u64)>,
    /// REST says 503.
    pub rest_5xx: f64,
    /// A websocket handshake is answered by 503.
    pub refuse: f64,
    /// After so many trades of the tape the last instrument is not listed any more, and all
    /// connections are closed; after so many more, if any, it is listed again.
    pub delist: Option<(usize, Option<usize>)>,
}

impl Faults {
    /// Whether the last instrument is not listed when so many trades have happened.
    pub(super) fn delists(&self, happened: usize) -> bool {
        self.delist.is_some_and(|(after, length)| {
            happened >= after && length.is_none_or(|length| happened < after + length)
        })
    }
}

impl FromStr for Faults {
    type Err = FaultsError;

    /// `drop=0.001,duplicate=0.01,disconnect=30s,stall=5000:2s,gap=0.0005:10`.
    fn from_str(text: &str) -> Result<Self, FaultsError> {
        let mut faults = Self::default();
        for part in parts(text) {
            let part = part?;
            match part.name {
                "drop" => faults.drop = part.chance()?,
                "duplicate" => faults.duplicate = part.chance()?,
                "reorder" => faults.reorder = part.chance()?,
                "garbage" => faults.garbage = part.chance()?,
                "unknown" => faults.unknown = part.chance()?,
                "huge" => faults.huge = part.chance()?,
                "rest-5xx" => faults.rest_5xx = part.chance()?,
                "refuse" => faults.refuse = part.chance()?,
                "disconnect" => {
                    faults.disconnect = Some(every(part.value).ok_or_else(|| part.wrong(EVERY))?)
                }
                "stall" => {
                    let pause = part.more.and_then(duration).ok_or_else(|| part.wrong(STALL))?;
                    faults.stall =
                        Some((every(part.value).ok_or_else(|| part.wrong(EVERY))?, pause));
                }
                "gap" => {
                    let length = part.more.unwrap_or("1").parse().ok().filter(|length| *length > 0);
                    let length = length.ok_or_else(|| {
                        part.wrong("must be probability:trades, such as 0.001:10")
                    })?;
                    faults.gap = Some((part.chance()?, length));
                }
                "delist" => {
                    let trades = |text: &str| {
                        text.parse()
                            .map_err(|_| part.wrong("must be trades[:trades], such as 500:2000"))
                    };
                    faults.delist = Some((trades(part.value)?, part.more.map(trades).transpose()?));
                }
                "rest-429" => {
                    let (chance, after) = part.chance_of_pause(Some(Duration::ZERO))?;
                    faults.rest_429 = Some((chance, after.as_secs()));
                }
                _ => return Err(part.wrong(&format!("is not one of {}", KINDS.join(", ")))),
            }
        }
        Ok(faults)
    }
}

const EVERY: &str = "must be a duration such as 30s, or a number of trades such as 5000";
const STALL: &str = "must be interval:pause, such as 60s:5s or 5000:200ms";

fn every(text: &str) -> Option<Every> {
    match text.parse::<f64>() {
        Ok(trades) => (trades >= 1.0).then_some(Every::Trades(trades)),
        Err(_) => duration(text).map(Every::Time),
    }
}

/// What a connection is sent instead of one trade.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sent {
    /// A trade: which series, which place.
    Trade(u32, u32),
    /// An invalid frame, drawn by this number.
    Garbage(u32),
    /// A message of an unknown kind.
    Unknown,
    /// A frame larger than anybody takes.
    Huge,
    /// Silence for so long.
    Stall(Duration),
    /// The end.
    Disconnect,
}

/// Chooses the faults of one connection. Reads no clock: callers pass the time.
#[derive(Debug)]
pub struct FaultInjector {
    faults: Faults,
    rng: Rng,
    /// Trades held back, by series: place, and after how many trades it goes.
    held: HashMap<u32, Vec<(u32, u32)>>,
    disconnect: Next,
    stall: Next,
    counts: [u64; KINDS.len()],
}

/// When something happens next.
#[derive(Debug, Default)]
struct Next {
    trades: Option<u64>,
    time: Option<Duration>,
}

impl Next {
    fn draw(every: Option<Every>, rng: &mut Rng, now: Duration) -> Self {
        // Exponential: as memoryless as the ways a network fails.
        let stretch = -(1.0 - rng.f64()).ln();
        match every {
            None => Self::default(),
            Some(Every::Trades(mean)) => {
                Self { trades: Some((mean * stretch).ceil().max(1.0) as u64), time: None }
            }
            Some(Every::Time(mean)) => {
                // Beyond all time is never.
                let wait = Duration::try_from_secs_f64(mean.as_secs_f64() * stretch).ok();
                Self { trades: None, time: wait.and_then(|wait| now.checked_add(wait)) }
            }
        }
    }

    fn is_due(&mut self, now: Duration) -> bool {
        if let Some(trades) = &mut self.trades {
            *trades = trades.saturating_sub(1);
            return *trades == 0;
        }
        self.time.is_some_and(|time| now >= time)
    }
}

impl FaultInjector {
    /// Faults of the connection of that number, which began at `now`.
    pub fn new(faults: &Faults, seed: u64, connection: u64, now: Duration) -> Self {
        let mut rng = Rng::with_seed(seed ^ connection.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let disconnect = Next::draw(faults.disconnect, &mut rng, now);
        let stall = Next::draw(faults.stall.map(|(every, _)| every), &mut rng, now);
        Self {
            faults: faults.clone(),
            rng,
            held: HashMap::new(),
            disconnect,
            stall,
            counts: Default::default(),
        }
    }

    /// What is sent when a trade happens. The last trade of a series, and all that was held back
    /// before it, is always sent: it shows what is missing.
    pub fn trade(
        &mut self,
        series: u32,
        place: u32,
        last: bool,
        now: Duration,
        sent: &mut Vec<Sent>,
    ) {
        let chance = |rng: &mut Rng, chance: f64| chance > 0.0 && rng.f64() < chance;
        let held = self.held.entry(series).or_default();
        let mut late: Vec<u32> = Vec::new();
        held.retain_mut(|(place, wait)| {
            *wait -= 1;
            let goes = *wait == 0 || last;
            if goes {
                late.push(*place);
            }
            !goes
        });
        if last {
            sent.extend(late.drain(..).map(|place| Sent::Trade(series, place)));
            sent.push(Sent::Trade(series, place));
            return;
        }
        if chance(&mut self.rng, self.faults.garbage) {
            self.counts[Kind::Garbage as usize] += 1;
            sent.push(Sent::Garbage(self.rng.u32(..)));
        }
        if chance(&mut self.rng, self.faults.unknown) {
            self.counts[Kind::Unknown as usize] += 1;
            sent.push(Sent::Unknown);
        }
        if chance(&mut self.rng, self.faults.huge) {
            self.counts[Kind::Huge as usize] += 1;
            sent.push(Sent::Huge);
        }
        if chance(&mut self.rng, self.faults.reorder) {
            self.counts[Kind::Reorder as usize] += 1;
            held.push((place, self.rng.u32(1..=5)));
        } else if chance(&mut self.rng, self.faults.drop) {
            self.counts[Kind::Drop as usize] += 1;
        } else {
            sent.push(Sent::Trade(series, place));
            if chance(&mut self.rng, self.faults.duplicate) {
                self.counts[Kind::Duplicate as usize] += 1;
                sent.push(Sent::Trade(series, place));
            }
        }
        sent.extend(late.into_iter().map(|place| Sent::Trade(series, place)));
        if let Some((every, pause)) = self.faults.stall
            && self.stall.is_due(now)
        {
            self.stall = Next::draw(Some(every), &mut self.rng, now);
            self.counts[Kind::Stall as usize] += 1;
            sent.push(Sent::Stall(pause));
        }
        if self.disconnect.is_due(now) {
            self.disconnect = Next::default();
            self.counts[Kind::Disconnect as usize] += 1;
            sent.push(Sent::Disconnect);
        }
    }

    /// How often each fault came about since this was last asked.
    pub fn take_counts(&mut self) -> [u64; KINDS.len()] {
        std::mem::take(&mut self.counts)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_says_what_goes_wrong() {
        let faults: Faults =
            "drop=0.001, disconnect=30s,stall=5000:200ms,gap=0.0005:10,rest-429=0.1:2s"
                .parse()
                .unwrap();
        assert_eq!(faults.drop, 0.001);
        assert_eq!(faults.disconnect, Some(Every::Time(Duration::from_secs(30))));
        assert_eq!(faults.stall, Some((Every::Trades(5000.0), Duration::from_millis(200))));
        assert_eq!((faults.gap, faults.rest_429), (Some((0.0005, 10)), Some((0.1, 2))));
        for wrong in [
            "drop",
            "drop=2",
            "disconnect=soon",
            "stall=5s",
            "gap=0.1:x",
            "surprise=1",
            "rest-429=0.1:x",
            "delist=1:x",
        ] {
            let error = wrong.parse::<Faults>().unwrap_err().to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn what_is_due_after_all_time_never_comes() {
        let faults: Faults = "disconnect=2000000000000000h,stall=1e300:1s".parse().unwrap();
        for seed in 0..100 {
            let mut injector = FaultInjector::new(&faults, seed, 0, Duration::from_secs(1));
            let mut sent = Vec::new();
            injector.trade(0, 0, false, Duration::from_secs(1), &mut sent);
            assert_eq!(sent, [Sent::Trade(0, 0)]);
        }
    }

    proptest! {
        #[test]
        fn without_drops_every_trade_is_sent_at_least_once_and_the_same_seed_repeats(
            seed: u64,
            duplicate in 0.0..0.5f64,
            reorder in 0.0..0.5f64,
        ) {
            let faults = Faults { duplicate, reorder, garbage: 0.1, unknown: 0.1, ..Faults::default() };
            let run = || {
                let mut injector = FaultInjector::new(&faults, seed, 3, Duration::ZERO);
                let mut sent = Vec::new();
                for place in 0..300 {
                    injector.trade(place % 3, place / 3, place >= 297, Duration::ZERO, &mut sent);
                }
                sent
            };
            let sent = run();
            prop_assert_eq!(&sent, &run());
            for series in 0..3 {
                let mut places: Vec<u32> = sent.iter().filter_map(|sent| match sent {
                    Sent::Trade(of, place) if *of == series => Some(*place),
                    _ => None,
                }).collect();
                prop_assert_eq!(*places.last().unwrap(), 99);
                places.sort_unstable();
                places.dedup();
                prop_assert_eq!(places, (0..100).collect::<Vec<_>>());
            }
        }

        #[test]
        fn faults_come_about_as_often_as_asked(seed: u64) {
            let faults: Faults = "drop=0.1,disconnect=200".parse().unwrap();
            let (mut sent, mut ends) = (Vec::new(), 0);
            let mut injector = FaultInjector::new(&faults, seed, 0, Duration::ZERO);
            for place in 0..20_000 {
                let before = sent.len();
                injector.trade(0, place, false, Duration::ZERO, &mut sent);
                if sent[before..].contains(&Sent::Disconnect) {
                    ends += 1;
                    injector = FaultInjector::new(&faults, seed, ends, Duration::ZERO);
                }
            }
            let trades = sent.iter().filter(|sent| matches!(sent, Sent::Trade(..))).count();
            prop_assert!((17_500..18_500).contains(&trades), "{}", trades);
            prop_assert!((40..190).contains(&ends), "{}", ends);
        }
    }
}
