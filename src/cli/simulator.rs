//! `barflow simulator`: plays trades through an exchange's protocol.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use barflow_operators::instrument::InstrumentId;
use barflow_operators::trade::Trade;
use barflow_replay::named::Renames;
use barflow_replay::plan::PlanOptions;
use barflow_replay::planner::plan;
use barflow_replay::read_options::ReadOptions;
use barflow_replay::stream::InstrumentStream;
use barflow_simulator::exchange::exchange;
use barflow_simulator::exchange::faults::{Faults, Kind};
use barflow_simulator::exchange::protocol::Exchange;
use barflow_simulator::exchange::tape::{Contract, Series, Tape};
use barflow_simulator::exchange::{SimulatorOptions, Speed};
use clap::{Args, ValueHint};

use super::failure::{Failure, Outcome};
use super::notes;
use super::say::say;
use super::signals::Signals;
use crate::config::feeds::CHANNELS;
use crate::feeds::plan::Symbol;
use crate::feeds::print::{self, Listing};
use crate::feeds::recorded::{RecordingOptions, Recordings, are_recordings};
use crate::feeds::venue::{Channel, Venue};
use crate::stop::Stop;
use crate::telemetry;
use crate::thousands::counted;

const EXAMPLES: &str = "\
Examples:
  # a day through Binance's protocol, at sixty times its speed
  barflow simulator --protocol binance-spot --speed 60x BTCUSDT-trades-2024-03-01.zip

  # the same trades as Coinbase would send them, with faults; bars in another terminal
  barflow simulator --protocol coinbase --instrument coinbase:spot:BTC-USD --speed max \\
    --faults drop=0.001,duplicate=0.01,reorder=0.005,disconnect=30s,rest-429=0.1 day.zip
  barflow live --venue coinbase --instrument BTC-USD --at 127.0.0.1:9000

  # a load test: 20 instruments, 50,000 trades a second
  barflow simulator --protocol binance-spot --copies 20 --rate 50000 day.zip

Faults (docs/simulator.md): drop, duplicate, reorder, garbage, unknown, huge, rest-5xx, refuse = chance;
disconnect = 30s or 5000 (trades); delist = trades[:trades]; stall = 60s:5s; gap = probability:trades;
rest-429 = probability:pause.";

/// How much later each copy of an instrument trades than the one before, ns.
const COPY_DELAY: i64 = 37_000_000_000;

/// `barflow simulator`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SimulatorArgs {
    /// Trades to play: files as for replay, or recordings (of `barflow record`, cryptofeed or
    /// hftbacktest) of this protocol
    #[arg(value_name = "FILES", required = true, value_hint = ValueHint::AnyPath)]
    files: Vec<String>,

    /// Protocol to speak: binance-spot, binance-um, binance-cm, coinbase, coinbase-exchange,
    /// kraken, bybit-spot, bybit-linear, bybit-inverse, okx
    #[arg(long, value_name = "NAME")]
    protocol: String,

    /// Address for websocket and REST; port 0 lets the system choose
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,

    /// Channel of recordings: trades or aggregates [default: the venue's first]
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<String>,

    /// How fast: 1x, 60x, max (as fast as clients read)
    #[arg(long, value_name = "SPEED", default_value = "1x", conflicts_with = "rate")]
    speed: String,

    /// Trades per second, in place of --speed
    #[arg(long, value_name = "N")]
    rate: Option<f64>,

    /// Play the files as this instrument, such as coinbase:spot:BTC-USD
    #[arg(long, value_name = "ID")]
    instrument: Option<String>,

    /// What a contract is worth, where the protocol counts contracts and does not say
    #[arg(long, value_name = "SIZE")]
    contract_size: Option<f64>,

    /// Play each instrument under N symbols: BTCUSDT, BTCUSDT2, BTCUSDT3, …, each 37 s later than
    /// the previous
    #[arg(long, value_name = "N", default_value_t = 1)]
    copies: u32,

    /// Faults to inject, with their rates
    #[arg(long, value_name = "FAULTS", default_value = "")]
    faults: Faults,

    /// Seed of the faults
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// Start at once, without waiting for the first subscription
    #[arg(long)]
    start_now: bool,

    /// Exit when the tape has been played
    #[arg(long)]
    once: bool,
}

/// Plays until the tape ends or a signal comes.
pub fn run(args: &SimulatorArgs) -> Result<Outcome, Failure> {
    let unknown =
        || anyhow::anyhow!("protocol \"{}\" is not one of those in --help", args.protocol);
    let exchange = exchange(&args.protocol).ok_or_else(|| Failure::usage(unknown()))?;
    let venue = crate::feeds::venue(&args.protocol).ok_or_else(|| Failure::usage(unknown()))?;
    let speed = speed(args).map_err(Failure::usage)?;
    let (tape, lost) = tape(args, exchange.as_ref(), venue.as_ref()).map_err(Failure::usage)?;
    let options = SimulatorOptions {
        listen: args.listen,
        speed,
        faults: args.faults.clone(),
        seed: args.seed,
        start_now: args.start_now,
        once: args.once,
    };
    let stop = Stop::default();
    Signals::raise(&stop)?;
    telemetry::start(tracing::Level::WARN, None)
        .map_err(|error| Failure::outside(anyhow::anyhow!(error)))?;
    let trades = counted(tape.order.len() as u64, "trade");
    let instruments = counted(tape.series.len() as u64, "instrument");
    say!("{trades} of {instruments} as {}", args.protocol);
    let running = barflow_simulator::exchange::start(exchange, tape, options)
        .with_context(|| format!("cannot listen at {}", args.listen))
        .map_err(Failure::outside)?;
    running.tally.faults[Kind::Gap as usize].store(lost, Ordering::Relaxed);
    let mut stdout = std::io::stdout();
    // The parent process may have closed it; nothing depends on it.
    let _ = writeln!(stdout, "listening on {}", running.address).and_then(|()| stdout.flush());
    let mut announced = false;
    while !stop.is_raised() && !running.has_ended() {
        std::thread::sleep(Duration::from_millis(20));
        if !announced && running.tally.ended.load(Ordering::Acquire) {
            announced = true;
            say!("end of the tape; REST requests are still served (Ctrl-C stops)");
        }
    }
    let tally = Arc::clone(&running.tally);
    running.stop().map_err(Failure::outside)?;
    say!("{}", tally.summary());
    Ok(Outcome::Done)
}

impl SimulatorArgs {
    fn channel(&self) -> Option<Channel> {
        let channel = self.channel.as_deref()?;
        CHANNELS.iter().find(|(name, _)| *name == channel).map(|(_, channel)| *channel)
    }
}

fn speed(args: &SimulatorArgs) -> anyhow::Result<Speed> {
    let positive = |number: f64| (number > 0.0 && number.is_finite()).then_some(number);
    if let Some(rate) = args.rate {
        return Ok(Speed::Rate(positive(rate).context("--rate must be greater than 0")?));
    }
    if args.speed == "max" {
        return Ok(Speed::Max);
    }
    let times = args.speed.trim_end_matches('x').parse().ok().and_then(positive);
    Ok(Speed::Times(times.with_context(|| {
        format!("--speed \"{}\" is neither a factor such as 60x nor max", args.speed)
    })?))
}

/// Reads everything into memory: REST must be able to list any of the trades.
fn tape(
    args: &SimulatorArgs,
    exchange: &dyn Exchange,
    venue: &dyn Venue,
) -> anyhow::Result<(Tape, u64)> {
    let mut series = Vec::new();
    let mut lost = 0;
    let histories = match are_recordings(&args.files) {
        true => recorded(args)?,
        false => filed(args, venue)?,
    };
    for (played, mut trades) in histories {
        trades.sort_by_key(|trade| trade.trade_id);
        if let Some((chance, length)) = args.faults.gap {
            lost += Tape::lose(&mut trades, chance, length, args.seed);
        }
        let Listing { symbol, contract } = played.listing;
        let contract = match contract {
            print::Contract::Base => Contract::Base,
            print::Contract::Linear { size } => Contract::Linear { size },
            print::Contract::Inverse { size } => Contract::Inverse { size },
        };
        for copy in 1..=args.copies.max(1) {
            let symbol = if copy > 1 { format!("{symbol}{copy}") } else { symbol.clone() };
            // Later than the original, so that not all bars close at once.
            let later = i64::from(copy - 1) * COPY_DELAY;
            let trades =
                trades.iter().map(|trade| Trade { event_time: trade.event_time + later, ..*trade });
            series.push(Series::new(symbol, contract, trades.collect(), exchange.time_unit())?);
        }
    }
    Ok((Tape::new(series), lost))
}

/// The trades of recordings.
fn recorded(args: &SimulatorArgs) -> anyhow::Result<Vec<(Symbol, Vec<Trade>)>> {
    let instrument = args.instrument.as_deref().map(str::parse).transpose()?;
    let options = RecordingOptions {
        instrument,
        contract_size: args.contract_size,
        // Bars are not made of what it plays.
        any_host: true,
        ..RecordingOptions::default()
    };
    let found = Recordings::find(&args.files, &args.protocol, args.channel(), &options)?;
    Ok(found.trades(&options)?)
}

/// The trades of files, under the symbols that the protocol has for their instruments.
fn filed(args: &SimulatorArgs, venue: &dyn Venue) -> anyhow::Result<Vec<(Symbol, Vec<Trade>)>> {
    let instrument = args.instrument.as_deref().map(str::parse).transpose()?;
    let options = PlanOptions {
        instrument,
        // Files are played as whatever is wanted.
        renames: Renames::Anything,
        contract_size: args.contract_size,
        ..PlanOptions::default()
    };
    let mut histories = Vec::new();
    let planned = plan(&args.files, &options)?;
    notes::print(&planned.notes);
    for history in planned.instruments {
        let instrument = history.feed.instrument.clone();
        let played = played(args, venue, &instrument)?;
        let mut trades: Vec<Trade> = Vec::new();
        for input_batch in InstrumentStream::open(history, ReadOptions::new(8192))? {
            let input_batch = input_batch?;
            if let Some(bad) = input_batch.rejects.first() {
                anyhow::bail!("{}, line {}: {} {}", bad.source, bad.line, bad.field, bad.reason);
            }
            trades.extend(input_batch.trades.iter());
        }
        histories.push((played, trades));
    }
    Ok(histories)
}

/// An instrument of the files as the protocol lists it.
fn played(
    args: &SimulatorArgs,
    venue: &dyn Venue,
    instrument: &InstrumentId,
) -> anyhow::Result<Symbol> {
    let protocol = &args.protocol;
    match Symbol::read(venue, instrument.symbol(), args.contract_size) {
        Ok(played) if played.instrument == *instrument => Ok(played),
        // It is one of this venue's, but something is wrong with it: a contract of unknown size.
        Err(reason) if protocol.split('-').next() == Some(instrument.venue()) => {
            anyhow::bail!("{instrument} cannot be played: {reason}")
        }
        _ => anyhow::bail!(
            "the files hold {instrument}, which is not an instrument of {protocol}; --instrument sets \
             the one to play them as"
        ),
    }
}
