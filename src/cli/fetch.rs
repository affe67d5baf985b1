//! `barflow fetch`: the public archive onto a disk.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use barflow_operators::batch::InputKind;
use barflow_replay::store::work::{Alone, lock};
use clap::{Args, ValueHint};
use jiff::civil::Date;

use super::failure::{Failure, Outcome};
use super::fetch_progress::Transfers;
use super::say::{say, show};
use super::signals::Signals;
use super::stdout::print;
use super::store::selection::{bytes, kind};
use crate::archive::client::{Client, ClientOptions};
use crate::archive::error::FetchError;
use crate::archive::manifest::Manifest;
use crate::archive::place::{Market, Period, Series};
use crate::archive::plan::{Absent, FetchRange, Granularity, Plan, Published, Why, plan};
use crate::archive::run::{self, Download, DownloadOutcome};
use crate::archive::survey::{self, Source};
use crate::config::durations::duration_ns;
use crate::config::instant::day;
use crate::net::address::{Address, Speaks, weakness};
use crate::net::proxy::Proxies;
use crate::net::url::Url;
use crate::printable::line;
use crate::sinks::roll::Roll;
use crate::stop::Stop;
use crate::thousands::counted;

const EXAMPLES: &str = "\
Examples:
  # sizes first
  barflow fetch --symbol BTCUSDT --from 2022-01-01 --to 2024-12-31 --store history --dry-run

  # three years, whole months where they are published
  barflow fetch --symbol BTCUSDT --from 2022-01-01 --to 2024-12-31 --store history

  # aggregates of two USD-M futures up to yesterday
  barflow fetch --market um --symbol BTCUSDT,ETHUSDT --kind aggTrades --from 2024-11-01 --store history

  # another archive with the same layout (such as `barflow archive-server`)
  barflow fetch --base-url http://127.0.0.1:8800 --symbol BTCUSDT --from 2024-03-01 --to 2024-03-03 \\
    --store history

Files are verified against the published SHA-256 and get their final name only if it matches.
If interrupted at any point, the same command resumes; verified files are not downloaded
again. See docs/fetch.md.

Exit codes: 0 everything published is in the store; 1 days are missing in the archive, or archives were refused;
2 wrong usage, or an unknown symbol; 3 the archive or the disk is unavailable.";

/// The venue's own archive.
const BASE: &str = "https://data.binance.vision";
/// Where that one lists its keys: its own address shows a page for people.
const LISTING: &str = "https://s3-ap-northeast-1.amazonaws.com/data.binance.vision";

/// `barflow fetch`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct FetchArgs {
    /// Whose archive
    #[arg(long, value_name = "VENUE", default_value = "binance", value_parser = ["binance"])]
    venue: String,

    /// Market: spot, um (USD-M futures) or cm (COIN-M futures)
    #[arg(long, value_name = "MARKET", default_value = "spot")]
    market: Market,

    /// Symbols, separated by commas
    #[arg(long, value_name = "SYMBOL,…", required = true, value_delimiter = ',', value_parser = symbol)]
    symbol: Vec<String>,

    /// trades or aggTrades
    #[arg(long, value_name = "KIND", default_value = "trades", value_parser = kind)]
    kind: InputKind,

    /// First day, such as 2024-03-01 or 2024-03
    #[arg(long, value_name = "DATE", value_parser = first_day)]
    from: Date,

    /// Last day, inclusive, such as 2024-03-31 or 2024-03 [default: yesterday, UTC]
    #[arg(long, value_name = "DATE", value_parser = last_day)]
    to: Option<Date>,

    /// Daily or monthly files; auto: whole months where they are published and not already started
    /// as days
    #[arg(long, value_name = "daily|monthly|auto", default_value = "auto", value_parser = granularity)]
    granularity: Granularity,

    /// Folder of the store
    #[arg(long, value_name = "DIR", env = "BARFLOW_STORE", value_hint = ValueHint::DirPath)]
    store: PathBuf,

    /// Address of an archive with the same layout, or ${NAME} or ${file:/path} for one with a login
    /// [default: the venue's]
    #[arg(long, value_name = "URL", env = "BARFLOW_ARCHIVE_URL", hide_env_values = true)]
    base_url: Option<String>,

    /// Address of that archive's key listing, as of S3 [default: the venue's, or --base-url]
    #[arg(long, value_name = "URL", env = "BARFLOW_ARCHIVE_LISTING_URL", hide_env_values = true)]
    listing_url: Option<String>,

    /// Also trust the certificates of this file (PEM)
    #[arg(long, value_name = "FILE", env = "BARFLOW_CA_FILE", value_hint = ValueHint::FilePath)]
    ca_file: Option<PathBuf>,

    /// Parallel downloads
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,

    /// Failed attempts for a file before giving up; each MB of progress restores one
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    tries: u32,

    /// How long a response may take to begin, or stall; in twice this time it has to bring 100 bytes a
    /// second
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = timeout)]
    timeout: Duration,

    /// Largest file to take; one that the archive lists is taken up to the listed size
    #[arg(long, value_name = "SIZE", default_value = "20GB", value_parser = size)]
    max_file: u64,

    /// List what would be downloaded, with sizes, and stop
    #[arg(long)]
    dry_run: bool,

    /// The day that is not over yet; for tests
    #[arg(long, value_name = "DATE", hide = true, value_parser = day)]
    today: Option<Date>,
}

fn symbol(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    match !text.is_empty() && text.chars().all(good) {
        true => Ok(text.to_uppercase()),
        false => Err("is not a symbol such as BTCUSDT".to_owned()),
    }
}

fn first_day(text: &str) -> Result<Date, String> {
    day_or_month(text).map(|period| period.days().0)
}

fn last_day(text: &str) -> Result<Date, String> {
    day_or_month(text).map(|period| period.days().1)
}

fn day_or_month(text: &str) -> Result<Period, String> {
    let month = || Some(Period::Month(day(&format!("{text}-01")).ok()?));
    let period = day(text).ok().map(Period::Day).or_else(month);
    period.ok_or_else(|| "is not a date such as 2024-03-01 or 2024-03".to_owned())
}

fn granularity(text: &str) -> Result<Granularity, String> {
    match text {
        "daily" => Ok(Granularity::Daily),
        "monthly" => Ok(Granularity::Monthly),
        "auto" => Ok(Granularity::Auto),
        _ => Err("is not one of daily, monthly, auto".to_owned()),
    }
}

fn timeout(text: &str) -> Result<Duration, String> {
    match duration_ns(text) {
        Ok(ns) if ns > 0 => Ok(Duration::from_nanos(ns.unsigned_abs())),
        _ => Err("is not a time such as 30s".to_owned()),
    }
}

fn size(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(Roll::Bytes(bytes)) => Ok(bytes),
        _ => Err("is not a size such as 20GB".to_owned()),
    }
}

/// The URL that an option gives, or leads to.
fn address(option: &str, text: &str) -> Result<Url, Failure> {
    let usage = |what: String| Failure::usage(anyhow::anyhow!(what));
    let environment = |name: &str| std::env::var(name).ok();
    let address = Address::read(option, text, Speaks::Http).map_err(usage)?;
    address.resolve(option, Speaks::Http, &environment).map_err(usage)
}

impl FetchArgs {
    fn series(&self) -> Vec<Series> {
        let symbols: BTreeSet<&String> = self.symbol.iter().collect();
        let series = |symbol: &String| Series {
            market: self.market,
            kind: self.kind,
            symbol: symbol.clone(),
        };
        symbols.into_iter().map(series).collect()
    }

    fn client(&self, stop: &Stop) -> Result<Client, Failure> {
        let base = address("--base-url", self.base_url.as_deref().unwrap_or(BASE))?;
        let listing = match (&self.listing_url, &self.base_url) {
            (Some(listing), _) => address("--listing-url", listing)?,
            (None, Some(_)) => base.clone(),
            (None, None) => address("--listing-url", LISTING)?,
        };
        let mut weak: Vec<String> = weakness("--base-url", &base).into_iter().collect();
        weak.extend(weakness("--listing-url", &listing).filter(|_| listing != base));
        for weakness in weak {
            say!("warning: {weakness}");
        }
        let options = ClientOptions {
            base,
            listing,
            ca_file: self.ca_file.clone(),
            tries: self.tries,
            timeout: self.timeout,
            ceiling: self.max_file,
        };
        Client::new(options, stop.flag(), Proxies::of_environment()).map_err(Failure::usage)
    }

    fn wanted(&self, today: Date) -> Result<FetchRange, Failure> {
        let to = self.to.or_else(|| today.yesterday().ok()).unwrap_or(today);
        if self.from > to {
            let error = anyhow::anyhow!("--from {} is later than --to {to}", self.from);
            return Err(Failure::usage(error));
        }
        Ok(FetchRange { from: self.from, to, granularity: self.granularity })
    }
}

/// Runs the command.
///
/// # Errors
/// Wrong usage (2), outside world (3).
pub fn run(args: &FetchArgs) -> Result<Outcome, Failure> {
    let begun = Instant::now();
    let utc = || jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let today = args.today.unwrap_or_else(utc);
    let wanted = args.wanted(today)?;
    let stop = Stop::new();
    Signals::raise(&stop)?;
    let client = args.client(&stop)?;
    let _alone: Option<Alone> = match args.dry_run {
        true => None,
        false => Some(lock(&args.store, "fetch.lock", "another fetch")?),
    };
    let manifest = match args.dry_run {
        true => Manifest::read(&args.store),
        false => Manifest::open(&args.store),
    };
    let manifest = manifest.map_err(failure)?;
    let (plans, unknown) = match plans(args, &client, &manifest, wanted, today) {
        Ok(plans) => plans,
        Err(FetchError::Stopped) => return Ok(stopped(&stop)),
        Err(error) => return Err(failure(error)),
    };
    let mut holes = false;
    for (series, planned) in &plans {
        holes |= planned.absent.iter().any(|absent| absent.why == Why::Missing);
        tell(series, &planned.absent);
    }
    let jobs: Vec<Download> = plans.into_iter().flat_map(|(_, planned)| planned.jobs).collect();
    let (here, missing): (Vec<Download>, Vec<Download>) =
        jobs.into_iter().partition(|job| job.is_here(&args.store, &manifest));
    if args.dry_run {
        list(&here, &missing);
    } else if let Some(outcome) = bring(args, &client, manifest, &here, &missing, &stop, begun)? {
        return Ok(outcome);
    }
    match (unknown.first(), holes) {
        (Some(series), _) => {
            let error = anyhow::anyhow!("nothing of {series} is in the archive");
            Err(Failure::usage(error).hint(
                "symbols are written as the venue writes them; --market spot, um and cm have \
                 their own",
            ))
        }
        (None, true) => Ok(Outcome::WithRejects),
        (None, false) => Ok(Outcome::Done),
    }
}

/// What is to be done for one series.
struct Planned {
    jobs: Vec<Download>,
    absent: Vec<Absent>,
}

/// The plans of all series, and those of which nothing is published.
type Plans = (Vec<(Series, Planned)>, Vec<Series>);

fn plans(
    args: &FetchArgs,
    client: &Client,
    manifest: &Manifest,
    wanted: FetchRange,
    today: Date,
) -> Result<Plans, FetchError> {
    let all = args.series();
    let source = match all.first() {
        Some(series) => survey::source(client, series)?,
        None => Source::Listing,
    };
    if source == Source::Files {
        say!("{} has no listing: requesting each file", client.listing());
    }
    let (mut plans, mut unknown) = (Vec::new(), Vec::new());
    for series in all {
        let published = survey::published(client, &series, wanted, source)?;
        if published.is_empty() {
            unknown.push(series);
            continue;
        }
        let Plan { files, absent } =
            plan(wanted, &published, &here(&series, manifest, &published), today);
        let jobs = files.into_iter().map(|period| Download {
            key: series.key(period),
            listed: published.get(&period).cloned().unwrap_or_default(),
        });
        let jobs = jobs.collect();
        plans.push((series, Planned { jobs, absent }));
    }
    Ok((plans, unknown))
}

/// Periods of a series that the store has.
fn here(series: &Series, manifest: &Manifest, published: &Published) -> BTreeSet<Period> {
    let is_here = |period: &&Period| manifest.is_verified(&run::place(&series.key(**period)));
    published.keys().filter(is_here).copied().collect()
}

fn tell(series: &Series, absent: &[Absent]) {
    for absent in absent {
        say!("{series}: {absent}");
    }
}

/// One line per file on standard output: bytes, what would be done, key.
fn list(here: &[Download], missing: &[Download]) {
    let mut lines: Vec<(&Download, &str)> = here.iter().map(|job| (job, "here")).collect();
    lines.extend(missing.iter().map(|job| (job, "fetch")));
    lines.sort_by(|a, b| a.0.key.cmp(&b.0.key));
    let mut text = String::new();
    for (job, what) in lines {
        let bytes = job.listed.bytes.map_or("-".to_owned(), |bytes| bytes.to_string());
        text += &format!("{bytes}\t{what}\t{}\n", line(&job.key));
    }
    print(&text);
    let size = |jobs: &[Download]| bytes(jobs.iter().filter_map(|job| job.listed.bytes).sum());
    say!(
        "{} ({}) to fetch, {} ({}) already present",
        counted(missing.len() as u64, "file"),
        size(missing),
        here.len(),
        size(here)
    );
}

/// Brings what is missing; an outcome if the run ends with it.
fn bring(
    args: &FetchArgs,
    client: &Client,
    manifest: Manifest,
    here: &[Download],
    missing: &[Download],
    stop: &Stop,
    begun: Instant,
) -> Result<Option<Outcome>, Failure> {
    let total: u64 = missing.iter().filter_map(|job| job.listed.bytes).sum();
    let shown = Transfers::start(missing.len(), total);
    let watch = Arc::clone(&shown);
    let outcomes =
        run::run(missing, &args.store, client, manifest, args.jobs.into(), stop, &*watch);
    shown.finish();
    let (mut fetched, mut wire, mut found, mut left) = (0, 0, 0, 0);
    let (mut refused, mut trouble) = (0, None);
    for outcome in outcomes.map_err(failure)? {
        match outcome {
            Some(DownloadOutcome::Fetched(bytes, path)) => {
                fetched += 1;
                wire += bytes;
                show!("{}", path.display());
            }
            Some(DownloadOutcome::Found) => found += 1,
            Some(DownloadOutcome::Failed(FetchError::Stopped)) | None => left += 1,
            Some(DownloadOutcome::Failed(error)) if error.is_of_the_file() => refused += 1,
            Some(DownloadOutcome::Failed(error)) => {
                left += 1;
                trouble = trouble.or(Some(error));
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    say!(
        "{} ({}) fetched in {seconds:.1} s; {} already present, {refused} refused",
        counted(fetched, "file"),
        bytes(wire),
        here.len() + found,
    );
    if let Some(error) = trouble {
        say!("{} left; run the same command to resume", counted(left, "file"));
        return Err(failure(error));
    }
    if left > 0 {
        return Ok(Some(stopped(stop)));
    }
    Ok((refused > 0).then_some(Outcome::WithRejects))
}

fn stopped(stop: &Stop) -> Outcome {
    say!("stopped; run the same command to resume");
    Outcome::stopped(stop)
}

fn failure(error: FetchError) -> Failure {
    let hint = match &error {
        FetchError::Refused { status: 403 | 451, .. } => {
            "the archive refuses requests from this network; use a mirror with --base-url"
        }
        FetchError::GaveUp { .. } => {
            "run the same command to resume; raise --tries or --timeout to wait longer"
        }
        FetchError::NoRoom { .. } => "make room; the same command resumes",
        FetchError::Disk { .. } => "downloaded data are kept; run the same command to resume",
        FetchError::Trust(_) => return Failure::usage(error),
        FetchError::Meaningless { .. } => {
            "is --base-url, or --listing-url, the address of an archive?"
        }
        _ => return Failure::outside(error),
    };
    Failure::outside(error).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn dates_may_be_months() {
        assert_eq!(first_day("2024-02"), Ok(date(2024, 2, 1)));
        assert_eq!(last_day("2024-02"), Ok(date(2024, 2, 29)));
        assert_eq!(last_day("2024-02-03"), Ok(date(2024, 2, 3)));
        for text in ["2024", "2024-13", "x", ""] {
            assert!(first_day(text).is_err(), "{text}");
        }
    }

    #[test]
    fn symbols_are_those_of_a_path() {
        assert_eq!(symbol("btcusdt"), Ok("BTCUSDT".to_owned()));
        for text in ["", "../x", "A/B", "A B"] {
            assert!(symbol(text).is_err(), "{text}");
        }
    }
}
