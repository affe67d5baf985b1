//! Bars from a program of one's own: a made-up day is replayed into a file, without the command
//! line.
//!
//! ```text
//! cargo run --release --example embed
//! ```

use std::error::Error;

use barflow::config::file::ConfigFile;
use barflow::config::replay::{ReplaySettings, Typed};
use barflow::job::{ReplayJob, Silent};
use barflow::stop::Stop;
use barflow_operators::batch::InputKind;
use barflow_replay::synth::{SynthOptions, write_days};

/// Replays a made-up day and prints its bars.
pub fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("barflow-embed-{}", std::process::id()));
    let day = made_up_day(&folder)?;
    let bars = folder.join("bars.jsonl");

    let config = format!(
        "[replay]\nfiles = [{day:?}]\n[sink]\nout = {bars:?}\n\
         [bars.dib]\nkind = \"imbalance\"\ntarget = 500\n"
    );
    let file = ConfigFile::parse("embed.toml", &config)?;
    let settings = ReplaySettings::understand(file, Typed::default())?;
    let report = ReplayJob::new(settings).run(&Stop::new(), &Silent)?;

    print!("{}", std::fs::read_to_string(&bars)?);
    for ((instrument, spec), lengths) in &report.bars {
        eprintln!("{instrument} {spec}: {} bars", lengths.ticks.len());
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Writes a day of made-up trades, in the layout of Binance's archive.
fn made_up_day(folder: &std::path::Path) -> Result<std::path::PathBuf, Box<dyn Error>> {
    let days = write_days(&SynthOptions {
        out: folder.to_owned(),
        instrument: "binance:spot:BTCUSDT".parse()?,
        date: jiff::civil::date(2024, 3, 1),
        days: 1,
        trades: 20_000,
        seed: 1,
        input: InputKind::Trades,
    })?;
    days.into_iter().next().ok_or_else(|| "no day was written".into())
}
