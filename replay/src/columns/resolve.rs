//! From a header, what the user says, and the first rows to [`Columns`].

use super::cell::{Cell, ROUNDED};
use super::choice::ColumnChoice;
use super::listed::listed;
use super::market::Market;
use super::names::{Known, Role, known, plain};
use super::{Columns, Side, TimeForm, WithoutIds, read};
use crate::binance::unit_ns;

/// What is seen of a file before it is read.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Names of its columns; none if it has no header.
    pub names: Option<Vec<String>>,
    /// What separates the fields of a line.
    pub delimiter: u8,
    /// Its first rows.
    pub rows: Vec<Vec<Cell<'static>>>,
}

/// What was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// Where what is.
    pub columns: Columns,
    /// Why its ids are not used, if it has some.
    pub without_ids: Option<WithoutIds>,
    /// What rows say of their market.
    pub market: Option<Market>,
    /// Time of the first row that has one, ns.
    pub first_time: i64,
}

/// Understands a file.
///
/// # Errors
/// What is missing or doubtful, and what was understood.
pub fn resolve(seen: &Seen, choice: Option<&ColumnChoice>) -> Result<Resolved, String> {
    let width = seen.rows.first().map_or(0, Vec::len);
    let by_position = || (1..=width).map(|position| position.to_string()).collect();
    let names = seen.names.clone().unwrap_or_else(by_position);
    let mut found = draft(&names, choice)?;
    found.columns.delimiter = seen.delimiter;
    found.columns.form = form(&seen.rows, found.columns.time, found.unit)?;
    settle_zero(&mut found.columns, &seen.rows)?;
    if choice.is_none() {
        refuse_second_ids(&found.columns, &seen.rows)?;
    }
    let market = Market::of(&found.columns, &seen.rows);
    let without_ids = found.columns.id.and_then(|at| {
        let exchange = market.as_ref().and_then(|market| market.exchange.as_ref());
        let of_binance = exchange.is_some_and(|exchange| exchange.starts_with("binance"));
        let consecutive = found.trusted_ids || of_binance;
        without_ids(&seen.rows, at, consecutive)
    });
    if without_ids.is_some() {
        found.columns.id = None;
    }
    let columns = found.columns;
    let time = |row: &Vec<Cell<'static>>| row.get(columns.time)?.time(columns.form);
    let first_time = seen.rows.iter().find_map(time).unwrap_or(0);
    Ok(Resolved { columns, without_ids, market, first_time })
}

/// The columns of a file with these names that its values matter in, in the file's order.
///
/// # Errors
/// What is missing or doubtful, and what was understood.
pub fn needed(names: &[String], choice: Option<&ColumnChoice>) -> Result<Vec<usize>, String> {
    let columns = draft(names, choice)?.columns;
    let mut needed = columns.needed();
    needed.extend(second_ids(&columns));
    needed.sort_unstable();
    Ok(needed)
}

/// Columns that could have the ids as well.
fn second_ids(columns: &Columns) -> impl Iterator<Item = usize> {
    let is_id = |name: &String| known(name).is_some_and(|known| known.role == Role::Id);
    let places = columns.names.iter().enumerate().filter(move |(_, name)| is_id(name));
    places.map(|(at, _)| at).filter(|at| columns.id.is_some_and(|id| id != *at))
}

/// Of two columns that number the rows, nothing says which has the venue's ids. One that is text, empty, or
/// jumps is another thing, and one of the same numbers says the same.
///
/// # Errors
/// When there are two such columns.
fn refuse_second_ids(columns: &Columns, rows: &[Vec<Cell<'static>>]) -> Result<(), String> {
    let Some(id) = columns.id else { return Ok(()) };
    let ids = |at: usize| rows.iter().map(move |row| row.get(at).and_then(Cell::id));
    let is_rival = |at: &usize| without_ids(rows, *at, false).is_none() && !ids(*at).eq(ids(id));
    if without_ids(rows, id, false).is_some() {
        return Ok(());
    }
    match second_ids(columns).find(is_rival) {
        None => Ok(()),
        Some(other) => Err(format!(
            "several columns could be its id: {}, {}; name one with --columns time=…,price=…,qty=…,id=…",
            columns.names[id], columns.names[other]
        )),
    }
}

fn draft(names: &[String], choice: Option<&ColumnChoice>) -> Result<Draft, String> {
    let mut finder = Finder { names, known: names.iter().map(|name| known(name)).collect() };
    match choice {
        Some(choice) => finder.chosen(choice),
        None => finder.guessed(),
    }
}

/// Columns before their values were looked at.
struct Draft {
    columns: Columns,
    /// The unit that was said, by the user or by the column's name.
    unit: Option<i64>,
    /// Whether the user named the id column: then its numbers are the venue's ids.
    trusted_ids: bool,
}

struct Finder<'a> {
    names: &'a [String],
    known: Vec<Option<Known>>,
}

impl Finder<'_> {
    /// The one column of a role.
    fn role(&self, role: Role) -> Result<Option<usize>, String> {
        let of_role = |at: usize| self.known[at].filter(|known| known.role == role);
        let all = || (0..self.names.len()).filter_map(|at| Some((of_role(at)?.rank, at)));
        let Some(rank) = all().map(|(rank, _)| rank).min() else { return Ok(None) };
        let best: Vec<usize> = all().filter(|(r, _)| *r == rank).map(|(_, at)| at).collect();
        match best[..] {
            [one] => Ok(Some(one)),
            _ => {
                let named: Vec<&str> = best.iter().map(|at| self.names[*at].as_str()).collect();
                let word = word(role);
                Err(format!(
                    "several columns could be its {word}: {}; name one with --columns \
                     time=…,price=…,qty=…",
                    listed(&named, ", ")
                ))
            }
        }
    }

    /// The first column of a role, where another one of it changes nothing.
    fn first(&self, role: Role) -> Option<usize> {
        self.known.iter().position(|known| known.is_some_and(|known| known.role == role))
    }

    fn guessed(&mut self) -> Result<Draft, String> {
        let needed = [Role::Time, Role::Price, Role::Qty];
        let mut places = Vec::new();
        let mut missing = Vec::new();
        for role in needed {
            match self.role(role)? {
                Some(at) => places.push(at),
                None => missing.push(word(role)),
            }
        }
        let [time, price, qty] = places[..] else {
            let understood: Vec<String> = (self.names.iter().zip(&self.known))
                .filter_map(|(name, known)| Some(format!("{} = {name}", word((*known)?.role))))
                .collect();
            let understood = match understood.is_empty() {
                true => "none of its columns is known".to_owned(),
                false => format!("understood: {}", listed(&understood, ", ")),
            };
            return Err(format!(
                "its header \"{}\" names no column for {} ({understood}); name the columns with \
                 --columns time=…,price=…,qty=…",
                listed(self.names, ","),
                missing.join(", ")
            ));
        };
        let maker = self.role(Role::BuyerIsMaker)?;
        let side = match (self.role(Role::Side)?, maker) {
            (Some(column), _) => Some(self.word(column, None, None)),
            (None, Some(column)) => Some(Side::BuyerIsMaker { column }),
            (None, None) => None,
        };
        let span = self.role(Role::FirstId)?.zip(self.role(Role::LastId)?);
        let unit = self.known[time].and_then(|known| known.unit);
        let columns = Columns {
            names: self.names.to_vec(),
            delimiter: b',',
            time,
            form: TimeForm::Text,
            price,
            qty,
            quote: self.role(Role::Quote)?,
            id: self.role(Role::Id)?,
            span,
            maker: maker.filter(|_| matches!(side, Some(Side::Word { .. }))),
            side,
            exchange: self.role(Role::Exchange)?,
            symbol: self.role(Role::Symbol)?,
            base: self.first(Role::Base),
            counter: self.first(Role::Counter),
        };
        Ok(Draft { columns, unit, trusted_ids: false })
    }

    fn chosen(&mut self, choice: &ColumnChoice) -> Result<Draft, String> {
        let find = |name: &String| self.named(name);
        let maybe = |name: &Option<String>| name.as_ref().map(find).transpose();
        let (time, qty) = (find(&choice.time)?, find(&choice.qty)?);
        let side = match (maybe(&choice.side)?, maybe(&choice.buyer_is_maker)?) {
            (Some(column), _) if column == qty => Some(Side::SignOfQty),
            (Some(column), _) => {
                let is_maker =
                    self.known[column].is_some_and(|known| known.role == Role::BuyerIsMaker);
                let words = (choice.side_buy.clone(), choice.side_sell.clone());
                Some(match is_maker && words == (None, None) {
                    true => Side::BuyerIsMaker { column },
                    false => self.word(column, words.0, words.1),
                })
            }
            (None, Some(column)) => Some(Side::BuyerIsMaker { column }),
            (None, None) => None,
        };
        let unit = choice.unit.or_else(|| self.known[time].and_then(|known| known.unit));
        let columns = Columns {
            names: self.names.to_vec(),
            delimiter: b',',
            time,
            form: TimeForm::Text,
            price: find(&choice.price)?,
            qty,
            quote: maybe(&choice.quote)?,
            id: maybe(&choice.id)?,
            span: None,
            side,
            maker: None,
            exchange: self.first(Role::Exchange).filter(|_| !choice.any_exchange),
            base: self.first(Role::Base),
            counter: self.first(Role::Counter),
            // Whether or not it was named: rows of two symbols are not one series.
            symbol: match maybe(&choice.symbol)? {
                Some(symbol) => Some(symbol),
                None => self.role(Role::Symbol)?,
            },
        };
        Ok(Draft { columns, unit, trusted_ids: true })
    }

    fn word(&self, column: usize, buy: Option<String>, sell: Option<String>) -> Side {
        let name = plain(&self.names[column]);
        let zero_is_unknown = matches!(name.as_str(), "aggressor" | "aggressorside" | "sign");
        Side::Word { column, buy, sell, zero_is_unknown, of_maker: false }
    }

    /// The column of this name: exactly, or else as names are compared.
    fn named(&self, name: &String) -> Result<usize, String> {
        let exactly: Vec<usize> =
            (0..self.names.len()).filter(|at| self.names[*at] == *name).collect();
        match exactly[..] {
            [] => {}
            [one] => return Ok(one),
            [one, other, ..] => {
                return Err(format!(
                    "--columns names \"{name}\", and its columns {} and {} both have that name; give them \
                     different names",
                    one + 1,
                    other + 1
                ));
            }
        }
        let like: Vec<usize> = (0..self.names.len())
            .filter(|at| !plain(name).is_empty() && plain(&self.names[*at]) == plain(name))
            .collect();
        match like[..] {
            [one] => Ok(one),
            _ => Err(format!(
                "--columns names \"{name}\", and its columns are {}",
                listed(self.names, ", ")
            )),
        }
    }
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Time => "time",
        Role::Price => "price",
        Role::Qty => "qty",
        Role::Quote => "quote",
        Role::Id => "id",
        Role::FirstId => "first id",
        Role::LastId => "last id",
        Role::Side => "side",
        Role::BuyerIsMaker => "buyer_is_maker",
        Role::BestMatch => "best match",
        Role::Exchange => "exchange",
        Role::Symbol => "symbol",
        Role::Base => "base currency",
        Role::Counter => "quote currency",
    }
}

/// How times are written, by the first one that is understood: one that is not is a bad row.
fn form(rows: &[Vec<Cell<'static>>], at: usize, unit: Option<i64>) -> Result<TimeForm, String> {
    let cells = || rows.iter().filter_map(|row| row.get(at)).filter(|cell| !cell.is_empty());
    let understood = cells().find_map(|cell| {
        if cell.time(TimeForm::Text).is_some() {
            return Some(TimeForm::Text);
        }
        if let Some(unit) = unit {
            let form = TimeForm::Number { unit };
            return cell.time(form).map(|_| form);
        }
        // Whole units decide by magnitude.
        let units = cell.time(TimeForm::Number { unit: 1 })?;
        let unit = unit_ns(u64::try_from(units).ok()?)?;
        Some(TimeForm::Number { unit })
    });
    match (understood, cells().next()) {
        (Some(form), _) => Ok(form),
        (None, None) => Ok(TimeForm::Text),
        (None, Some(cell)) if cell.is_rounded() => {
            Err(format!("its time \"{}\" is {ROUNDED}", cell.text()))
        }
        (None, Some(cell)) => Err(format!(
            "its time \"{}\" is neither ISO 8601 nor a number of s, ms, µs or ns since 1970; name \
             another column with --columns time=…,price=…,qty=…",
            cell.text()
        )),
    }
}

/// Whether 0 means that the side is not known: it does where −1 is the seller, and where both sides were named. With 0
/// and 1 alone nothing says which is which. Where the first rows have neither 0 nor −1, a later 0 is a bad row.
///
/// # Errors
/// When the first rows have 0 and no −1.
fn settle_zero(columns: &mut Columns, rows: &[Vec<Cell<'static>>]) -> Result<(), String> {
    let Some(Side::Word { column, buy, sell, zero_is_unknown, .. }) = &mut columns.side else {
        return Ok(());
    };
    if !*zero_is_unknown || buy.is_some() && sell.is_some() {
        return Ok(());
    }
    let has = |wanted: f64| {
        let mut signs = rows.iter().filter_map(|row| row.get(*column)?.number());
        signs.any(|sign| sign == wanted)
    };
    *zero_is_unknown = has(-1.0);
    match has(0.0) && !*zero_is_unknown {
        false => Ok(()),
        true => Err(format!("its column \"{}\" has {}", columns.names[*column], read::ZERO)),
    }
}

/// Whether ids number the trades; those of `consecutive` sources do if they are numbers.
fn without_ids(rows: &[Vec<Cell<'static>>], at: usize, consecutive: bool) -> Option<WithoutIds> {
    let cells = || rows.iter().filter_map(|row| row.get(at));
    let mut ids: Vec<u64> = cells().filter_map(Cell::id).collect();
    let others = cells().count() - ids.len();
    // One of many is a bad row; an export without ids has none at all, or mostly none.
    if others * 2 > ids.len() {
        let empty = cells().filter(|cell| cell.is_empty()).count();
        return Some(if empty == others { WithoutIds::Empty } else { WithoutIds::Text });
    }
    ids.sort_unstable();
    ids.dedup();
    let steps = ids.len().saturating_sub(1);
    let jumps = ids.windows(2).filter(|pair| pair[1] - pair[0] > 1).count();
    // Few rows say nothing.
    (!consecutive && steps >= 9 && jumps * 2 > steps).then_some(WithoutIds::Holes)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn seen(text: &str) -> Seen {
        let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect());
        let names: Vec<String> = lines.next().unwrap();
        let cell = |text: String| Cell::Text(Cow::Owned(text));
        let rows = lines.map(|row: Vec<String>| row.into_iter().map(cell).collect()).collect();
        Seen { names: Some(names), delimiter: b',', rows }
    }

    #[test]
    fn headers_of_exporters_are_understood() {
        for (text, described, without_ids) in [
            (
                "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n\
                 bitmex,XBTUSD,1709251200000000,1,0-1,buy,60000,1",
                "time=timestamp,price=price,qty=amount,side=side,symbol=symbol,time_unit=us",
                Some(WithoutIds::Text),
            ),
            (
                "timestamp,datetime,symbol,id,order,type,side,takerOrMaker,price,amount,cost\n\
                 1709251200000,2024-03-01T00:00:00Z,BTC/USDT,5,,,buy,,60000,1,60000",
                "time=timestamp,price=price,qty=amount,quote=cost,side=side,id=id,symbol=symbol,\
                 time_unit=ms",
                None,
            ),
            (
                "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,\
                 homeNotional,foreignNotional\n\
                 1709251200.123,BTCUSDT,Buy,0.1,60000,PlusTick,x-1,1,0.1,6000",
                "time=timestamp,price=price,qty=size,quote=foreignNotional,side=side,\
                 symbol=symbol,time_unit=s",
                Some(WithoutIds::Text),
            ),
            (
                ",ts_ms,px,qty,buyer_is_maker\n0,1709251200000,60000,1,True",
                "time=ts_ms,price=px,qty=qty,buyer_is_maker=buyer_is_maker,time_unit=ms",
                None,
            ),
        ] {
            let resolved = resolve(&seen(text), None).unwrap();
            assert_eq!(resolved.columns.describe(), described, "{text}");
            assert_eq!(resolved.without_ids, without_ids, "{text}");
        }
    }

    #[test]
    fn what_is_missing_or_doubtful_is_refused_with_what_was_understood() {
        for (text, wanted) in [
            ("foo,bar,baz\n1,2,3", "names no column for time, price, qty (none of its columns"),
            (
                "time,price,colour\n1,2,3",
                "no column for qty (understood: time = time, price = price)",
            ),
            (
                "time,price,volume,amount\n1,2,3,4",
                "several columns could be its qty: volume, amount",
            ),
            ("date,time,price,qty\n2024-03-01,12:00:00,1,1", "time \"12:00:00\" is neither"),
        ] {
            let error = resolve(&seen(text), None).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
        let choice = "time=when,price=price,qty=qty".parse().unwrap();
        let error = resolve(&seen("time,price,qty\n1,2,3"), Some(&choice)).unwrap_err();
        assert!(error.contains("\"when\", and its columns are time, price, qty"), "{error}");
    }

    #[test]
    fn the_time_of_a_row_of_a_database_is_not_the_trades_where_there_is_another() {
        let time = |names: &str| {
            let rows = "1709251200000,1709251200001,1,1";
            let seen = seen(&format!("{names},price,qty\n{rows}"));
            resolve(&seen, None).map(|resolved| resolved.columns.time)
        };
        for other in ["datetime", "date", "timestamp", "participant_timestamp"] {
            assert_eq!(time(&format!("created_at,{other}")), Ok(1), "{other}");
        }
        assert_eq!(time("created_at,x"), Ok(0));
        let error = time("ts,exch_ts").unwrap_err();
        assert!(error.contains("several columns could be its time: ts, exch_ts"), "{error}");
    }

    #[test]
    fn codes_of_two_sides_are_not_taken_for_a_sign() {
        let file = |codes: [&str; 3]| {
            let rows = codes.map(|code| format!("1709251200000,1,1,{code}"));
            format!("time,price,qty,aggressor\n{}", rows.join("\n"))
        };
        for (signs, zero) in
            [(["1", "0", "-1"], true), (["1", "1", "1"], false), (["-1", "0", "-1"], true)]
        {
            let side = resolve(&seen(&file(signs)), None).unwrap().columns.side;
            let found = matches!(side, Some(Side::Word { zero_is_unknown, .. }) if zero_is_unknown);
            assert_eq!(found, zero, "{signs:?}");
        }
        let half = "time=time,price=price,qty=qty,side=aggressor,side_buy=1".parse().unwrap();
        for signs in [["1", "0", "1"], ["0", "0", "0"], ["0.0", "", "1.0"]] {
            for choice in [None, Some(&half)] {
                let error = resolve(&seen(&file(signs)), choice).unwrap_err();
                assert!(error.contains("side_buy=1,side_sell=0"), "{error}");
            }
        }
        let words = "time=time,price=price,qty=qty,side=aggressor,side_buy=1,side_sell=0";
        resolve(&seen(&file(["1", "0", "1"])), Some(&words.parse().unwrap())).unwrap();
    }

    #[test]
    fn ids_that_jump_are_not_numbers_of_trades_unless_somebody_says_so() {
        let file = |step: u64| {
            let rows: Vec<String> =
                (0..30).map(|n| format!("{},{},1,1", 1000 + n * step, 1709251200000 + n)).collect();
            format!("id,time,price,qty\n{}", rows.join("\n"))
        };
        assert_eq!(resolve(&seen(&file(1)), None).unwrap().without_ids, None);
        let sparse = resolve(&seen(&file(7)), None).unwrap();
        assert_eq!((sparse.without_ids, sparse.columns.id), (Some(WithoutIds::Holes), None));
        let choice = "time=time,price=price,qty=qty,id=id".parse().unwrap();
        assert_eq!(resolve(&seen(&file(7)), Some(&choice)).unwrap().columns.id, Some(0));
    }
}
