//! What one file is: its instrument, and how its rows are read.

use std::path::Path;
use std::sync::Arc;

use barflow_operators::batch::{Feed, IdKind, InputKind};
use barflow_operators::instrument::InstrumentId;

use crate::columns::market::Market;
use crate::decode::Container;
use crate::error::ReplayError;
use crate::line_end;
use crate::margin;
use crate::members::{self, Members};
use crate::named;
use crate::naming::{self, Naming};
use crate::plan::{FileKind, PlanOptions, PlannedFile};
use crate::plan_note::PlanNote;
use crate::rows::{Exclude, Layout, Quote, RowFormat};
use crate::sniff::{self, Sniffed};
use crate::{binance, spool, told, trades_parquet};

/// What one file is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recognised {
    /// Its instrument and how it is read; none if nothing of it is wanted.
    pub trades: Option<(Feed, PlannedFile)>,
    /// A file without trades: what they would have in common, as far as that can be told.
    pub empty: Option<Feed>,
    /// What is worth knowing about it.
    pub notes: Vec<PlanNote>,
}

/// What a file is; without trades if its name says that none of them are wanted, or if it has a header
/// and no rows.
///
/// # Errors
/// When it is empty, damaged or of an unknown layout.
pub fn recognise(path: &Path, options: &PlanOptions) -> Result<Recognised, ReplayError> {
    named::is_of_trades(path, path)?;
    let mut naming = naming::read(path);
    if is_outside(&naming, options) && !is_chosen_by_times(path)? {
        return Ok(noted(PlanNote::OutOfRange(vec![path.to_owned()])));
    }
    let container = sniff::container(path)?;
    let bytes = spool::length(path).map_err(|e| ReplayError::io("open", path, e))?;
    if is_own(path, container)? {
        let head = trades_parquet::read::head(path)?;
        let given = given(path, Some(head.feed.instrument.symbol()), options)?;
        let is_doubtful = given.is_none() && !head.is_sealed;
        let feed = Feed { instrument: given.unwrap_or(head.feed.instrument), ..head.feed };
        let Some(first_time) = head.first_time else { return Ok(empty(path, Some(feed))) };
        let kind = FileKind::Parquet;
        let file = PlannedFile::whole(path, container, kind, first_time, bytes);
        let notes = is_doubtful.then(|| PlanNote::Unsealed(vec![path.to_owned()]));
        return Ok(Recognised { notes: notes.into_iter().collect(), ..trades_of(feed, file) });
    }
    let mut members = Members::default();
    if container == Container::Zip {
        let file = spool::open(path).map_err(|e| ReplayError::io("open", path, e))?;
        members = members::open(path, file)?.1;
        naming = named::members_agree(path, naming, &members.read)?;
        told::one_symbol_of_members(path, &members.read)?;
        let mut names = members.read.iter().map(|(_, name)| Path::new(name));
        names.try_for_each(|name| named::is_of_trades(path, name))?;
    }
    named::path_agrees(path, &naming, options.instrument.as_ref(), &options.renames)?;
    let named = naming.symbol.as_deref().filter(|_| !naming.symbol_of_folder);
    named::market_agrees(path, &naming, options.instrument.as_ref(), &options.renames)?;
    let given = given(path, named, options)?;
    naming.lean = named::lean_place(path, &naming, given.as_ref(), &options.renames)?;
    let choice = options.columns.as_ref();
    let looked = match container {
        Container::Parquet => sniff::table(path, choice),
        _ => sniff::rows(path, container, &naming, choice, &options.stop),
    };
    let sniffed = match looked {
        Err(ReplayError::HeaderOnly { header, .. }) => {
            let feed = feed_of_header(path, &naming, &header, given);
            return Ok(empty(path, feed));
        }
        sniffed => sniffed?,
    };
    named::input_agrees(path, &naming, &sniffed.layout)?;
    check_kraken(path, &sniffed, given.as_ref(), &members)?;
    let instrument = instrument_of(path, &naming, &sniffed, given, options)?;
    margin::agrees(path, named, sniffed.margin, &instrument)?;
    let first_time = sniffed.first_time;
    let sniffed = Sniffed { layout: side_of(&instrument, sniffed.layout), ..sniffed };
    let of_maker = sniffed.layout.has_side_of_maker();
    let of_maker = of_maker.then(|| PlanNote::SideOfMaker { instrument: instrument.clone() });
    let (feed, format, note) = format_of(instrument, sniffed, options);
    let cut = line_end::note(path, container, format.layout.ends_with_a_number());
    let kind = match container {
        Container::Parquet => FileKind::Table(format),
        _ => FileKind::Rows(format),
    };
    let file = PlannedFile::whole(path, container, kind, first_time, bytes);
    let mut recognised = trades_of(feed, file);
    recognised.notes.extend(note.into_iter().chain(of_maker).chain(cut));
    if !members.passed_over.is_empty() {
        let (archive, members) = (path.to_owned(), members.passed_over);
        recognised.notes.push(PlanNote::MembersPassedOver { archive, members });
    }
    Ok(recognised)
}

/// The instrument that was given, or else that of the name or the rows, if neither contradicts the other.
fn instrument_of(
    path: &Path,
    naming: &Naming,
    sniffed: &Sniffed,
    given: Option<InstrumentId>,
    options: &PlanOptions,
) -> Result<InstrumentId, ReplayError> {
    let market = sniffed.market.as_deref();
    if let Some(given) = given {
        market
            .map_or(Ok(()), |market| named::rows_agree(path, market, &given, &options.renames))?;
        return Ok(given);
    }
    named::name_agrees_with_rows(path, naming, market.and_then(|market| market.symbol.as_deref()))?;
    name_instrument(path, naming, sniffed)
}

/// Coinbase itself writes the maker's side.
fn side_of(instrument: &InstrumentId, layout: Layout) -> Layout {
    match &layout {
        Layout::Mapped(columns) if instrument.venue() == "coinbase" && columns.is_of_coinbase() => {
            let of_maker = columns.with_side_of_maker();
            of_maker.map_or(layout, |columns| Layout::Mapped(Arc::new(columns)))
        }
        _ => layout,
    }
}

/// How the rows of an instrument's file are read.
fn format_of(
    instrument: InstrumentId,
    sniffed: Sniffed,
    options: &PlanOptions,
) -> (Feed, RowFormat, Option<PlanNote>) {
    let ordinal = sniffed.layout.is_ordinal();
    let quote = if instrument.venue() == "binance" && instrument.market() == "cm" {
        let rule = || binance::contract_size(instrument.symbol());
        Quote::Inverse { contract: options.contract_size.unwrap_or_else(rule) }
    } else if options.quote_from_source && sniffed.layout.has_quote() {
        Quote::Source
    } else {
        Quote::Product
    };
    let futures = instrument.venue() == "binance" && matches!(instrument.market(), "um" | "cm");
    let exclude = Exclude {
        zero_qty: futures || sniffed.layout.is_of_futures(),
        suspicious: !options.keep_suspicious,
    };
    let feed = Feed {
        instrument,
        input: sniffed.layout.input(),
        ids: if ordinal { IdKind::Ordinal } else { IdKind::Venue },
        has_aggressor: sniffed.layout.has_aggressor(),
    };
    let note = |why| PlanNote::WithoutIds { instrument: feed.instrument.clone(), why };
    let note = sniffed.without_ids.map(note);
    let format = RowFormat {
        layout: sniffed.layout,
        unit: sniffed.unit,
        market: sniffed.market,
        quote,
        exclude,
        header: sniffed.header,
    };
    (feed, format, note)
}

/// Whether what looks like Kraken's is of one pair, and Kraken's at all.
fn check_kraken(
    path: &Path,
    sniffed: &Sniffed,
    given: Option<&InstrumentId>,
    members: &Members,
) -> Result<(), ReplayError> {
    if is_of_kraken(&sniffed.layout) {
        named::one_pair(path, &members.read)?;
    }
    let is_told = given.is_some_and(|instrument| instrument.venue() == "kraken");
    if sniffed.layout == Layout::Kraken && sniffed.header.is_none() && !is_told {
        named::is_of_kraken(path, &members.read)?;
    }
    Ok(())
}

/// Whether files of this layout are named for their pair alone.
fn is_of_kraken(layout: &Layout) -> bool {
    match layout {
        Layout::Kraken => true,
        Layout::Mapped(columns) => columns.is_bare(),
        _ => false,
    }
}

/// Whether the times within a file choose it, whatever its name says: barflow's own. No other is opened.
fn is_chosen_by_times(path: &Path) -> Result<bool, ReplayError> {
    let is_parquet = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"));
    Ok(is_parquet && is_own(path, sniff::container(path)?)?)
}

fn is_own(path: &Path, container: Container) -> Result<bool, ReplayError> {
    Ok(container == Container::Parquet && trades_parquet::read::is_own(path)?)
}

fn trades_of(feed: Feed, file: PlannedFile) -> Recognised {
    Recognised { trades: Some((feed, file)), ..Recognised::default() }
}

fn empty(path: &Path, feed: Option<Feed>) -> Recognised {
    Recognised { empty: feed, ..noted(PlanNote::NoTrades(vec![path.to_owned()])) }
}

fn noted(note: PlanNote) -> Recognised {
    Recognised { notes: vec![note], ..Recognised::default() }
}

/// The instrument that was given, if a file that says `symbol` can be of it.
fn given(
    path: &Path,
    symbol: Option<&str>,
    options: &PlanOptions,
) -> Result<Option<InstrumentId>, ReplayError> {
    if let Some((symbol, given)) = symbol.zip(options.instrument.as_ref()) {
        named::agrees(path, symbol, given, &options.renames)?;
    }
    Ok(options.instrument.clone())
}

/// What the trades would have in common that a file has none of.
fn feed_of_header(
    path: &Path,
    naming: &Naming,
    header: &str,
    given: Option<InstrumentId>,
) -> Option<Feed> {
    let columns = header.split(',').count();
    let layout = match naming.input? {
        InputKind::Trades => Layout::Trades { columns },
        InputKind::AggTrades => Layout::AggTrades { columns },
    };
    let input = layout.input();
    let (unit, first_time) = (1_000_000, 0);
    let (without_ids, market, header, margin) = (None, None, None, None);
    let sniffed = Sniffed { layout, unit, without_ids, market, header, margin, first_time };
    let instrument = given.or_else(|| name_instrument(path, naming, &sniffed).ok())?;
    Some(Feed { instrument, input, ids: IdKind::Venue, has_aggressor: true })
}

fn name_instrument(
    path: &Path,
    naming: &Naming,
    sniffed: &Sniffed,
) -> Result<InstrumentId, ReplayError> {
    let layout = &sniffed.layout;
    let stem = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = stem.split('.').next().unwrap_or_default();
    let symbol = naming.symbol.clone();
    let pair = || symbol.as_deref().or_else(|| named::pair(stem));
    let kraken = || pair().map(|pair| format!("kraken:spot:{pair}"));
    let text = match layout {
        Layout::Mapped(columns) if columns.exchange.is_some() => {
            return named_by_rows(path, sniffed.market.as_deref());
        }
        Layout::Mapped(columns) if naming.input.is_none() => {
            columns.is_bare().then(kraken).flatten()
        }
        Layout::Kraken => kraken(),
        Layout::Lean { .. } => symbol
            .zip(naming.lean.as_ref())
            .map(|(symbol, place)| format!("lean:{}:{symbol}", place.security)),
        Layout::Trades { .. } | Layout::AggTrades { .. } | Layout::Mapped(_) => {
            let of_rows = sniffed.market.as_deref().and_then(|market| market.symbol.as_ref());
            if let Some(symbol) =
                [symbol.as_ref(), of_rows].into_iter().flatten().find(|s| s.contains('-'))
            {
                let reason = format!(
                    "its symbol {symbol} is not one of Binance, whose symbols have no dashes; say of which \
                     venue it is with --instrument venue:market:SYMBOL"
                );
                return Err(ReplayError::layout(path, reason));
            }
            symbol.map(|symbol| {
                let market = naming.market.unwrap_or(if naming::is_coin_margined(&symbol) {
                    "cm"
                } else if layout.is_of_futures() {
                    "um"
                } else {
                    "spot"
                });
                format!("binance:{market}:{symbol}")
            })
        }
    };
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        let reason = "its name does not contain the instrument (SYMBOL-trades-DATE…); give it \
                      with --instrument venue:market:SYMBOL";
        ReplayError::layout(path, reason)
    })
}

/// The instrument that Tardis means. Only exchanges whose markets are divided here as they are there
/// have a name; guessing one for the others would keep their bars apart from live ones.
fn named_by_rows(path: &Path, market: Option<&Market>) -> Result<InstrumentId, ReplayError> {
    let of_exchange = |exchange: &str| match exchange {
        "binance" => Some("spot"),
        "binance-futures" => Some("um"),
        "binance-delivery" => Some("cm"),
        _ => None,
    };
    let text = market.and_then(|market| {
        let place = of_exchange(market.exchange.as_deref()?)?;
        Some(format!("binance:{place}:{}", market.symbol.as_ref()?))
    });
    let market = market.map(Market::to_string).unwrap_or_default();
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        let reason = format!(
            "its rows are of {market}, which is not known; give the instrument with --instrument \
             venue:market:SYMBOL"
        );
        ReplayError::layout(path, reason)
    })
}

/// Whether a file's name puts it wholly outside the wanted times. An hour's grace on both sides:
/// recorders cut days by their own clocks.
fn is_outside(naming: &Naming, options: &PlanOptions) -> bool {
    const GRACE_NS: i64 = 3_600_000_000_000;
    const DAY_NS: i64 = 24 * GRACE_NS;
    let Some((first, last)) = naming.days else { return false };
    // LEAN's days are those of the market; a day of grace covers any zone.
    let start = |day: jiff::civil::Date| {
        let zoned = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        i64::try_from(zoned.timestamp().as_nanosecond()).ok()
    };
    let (Some(first), Some(last)) = (start(first), start(last)) else { return false };
    let before = options.from.is_some_and(|from| last.saturating_add(2 * DAY_NS + GRACE_NS) < from);
    let after = options.to.is_some_and(|to| first.saturating_sub(DAY_NS + GRACE_NS) >= to);
    before || after
}
