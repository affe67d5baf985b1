//! `barflow demo`: from nothing to bars in one command.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use barflow_operators::batch::InputKind;
use barflow_replay::synth::{SynthOptions, write_days};
use clap::{Args, ValueHint};

use super::failure::{Failure, Outcome};
use super::say::{self, say};
use super::{demo_table, stdout};
use crate::config::file::ConfigFile;
use crate::config::replay::{ReplaySettings, Typed};
use crate::config::section::Value;
use crate::thousands::grouped;

const BARS: [&str; 2] = [
    "dib=imbalance,measure=dollar,threshold=wald,target=1000,alpha=0.001,warmup=1000",
    "hour=time,every=1h",
];

/// `barflow demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Folder for the day and its bars
    #[arg(long, value_name = "DIR", default_value = "barflow-demo", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,

    /// Trades in the day
    #[arg(long, value_name = "N", default_value_t = 300_000)]
    pub trades: u64,
}

/// Makes a day, replays it, shows some bars, and says what to look at next.
///
/// # Errors
/// What the disk refuses.
pub fn run(args: &DemoArgs) -> Result<Outcome, Failure> {
    let day = jiff::civil::Date::constant(2024, 3, 1);
    // A constant, and a valid id.
    let instrument =
        "binance:spot:BTCUSDT".parse().map_err(|e| Failure::usage(anyhow::Error::new(e)))?;
    say!("generating a day of {} trades in {} …", grouped(args.trades), args.out.display());
    let options = SynthOptions {
        out: args.out.clone(),
        instrument,
        date: day,
        days: 1,
        trades: args.trades.max(1),
        seed: 1,
        input: InputKind::Trades,
    };
    let paths = write_days(&options)?;
    let out = args.out.join("bars.jsonl");
    let mut typed = Typed { bars: BARS.map(str::to_owned).to_vec(), ..Typed::default() };
    let files = paths.iter().map(|path| path.display().to_string()).collect();
    typed.replay.put("files", Value::List(files), "demo");
    typed.sink.put("out", Value::Text(out.display().to_string()), "demo");
    let settings = ReplaySettings::understand(ConfigFile::default(), typed)?;
    say!("replaying it to {} …", out.display());
    let outcome = super::replay::replay(settings)?;
    if let Outcome::Stopped(_) = outcome {
        return Ok(outcome);
    }

    let file = std::fs::File::open(&out).map_err(|e| Failure::outside(anyhow::Error::new(e)))?;
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    let bars: Vec<serde_json::Value> =
        lines.filter_map(|line| serde_json::from_str(&line).ok()).collect();
    stdout::print(&shown(&bars));
    let day = paths.first().map(|path| path.display().to_string()).unwrap_or_default();
    say::report(&format!(
        "\nNext:\n  \
         barflow replay {day} --bar 'tib=imbalance,measure=tick,target=500'\n  \
         barflow replay {day} --sink parquet --out {}/parquet\n  \
         barflow replay --help\n",
        args.out.display()
    ));
    Ok(outcome)
}

/// The first and the last imbalance bars, and the prices of the day.
fn shown(bars: &[serde_json::Value]) -> String {
    const ENDS: usize = 5;
    let imbalance: Vec<_> = bars.iter().filter(|bar| bar["spec"] == "dib").cloned().collect();
    let closes: Vec<f64> = imbalance.iter().filter_map(|bar| bar["close"].as_f64()).collect();
    let mut text = String::from("\nThe imbalance bars (dib) of 2024-03-01, times in UTC:\n\n");
    if imbalance.len() <= 2 * ENDS {
        text += &demo_table::table(&imbalance);
    } else {
        let last = demo_table::table(&imbalance[imbalance.len() - ENDS..]);
        text += &demo_table::table(&imbalance[..ENDS]);
        text += &format!("… {} more\n", grouped((imbalance.len() - 2 * ENDS) as u64));
        text.extend(last.lines().skip(1).flat_map(|line| [line, "\n"]));
    }
    let low = closes.iter().copied().fold(f64::INFINITY, f64::min);
    let high = closes.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if high.is_finite() {
        let line = demo_table::sparkline(&closes);
        text += &format!("\nclosing prices, {low:.2} to {high:.2}:\n  {line}\n");
    }
    text
}
