//! A text as `--columns`, a header, and rows as text: which column is what.
#![no_main]

use std::borrow::Cow;

use arbitrary::Arbitrary;
use barflow_replay::columns::cell::Cell;
use barflow_replay::columns::choice::ColumnChoice;
use barflow_replay::columns::resolve::{Seen, resolve};
use barflow_replay::rows::header::{header_names, is_header};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    choice: Option<&'a str>,
    header: &'a str,
    rows: Vec<Vec<&'a str>>,
}

fuzz_target!(|input: Input<'_>| {
    let choice = match input.choice.map(str::parse::<ColumnChoice>) {
        Some(Ok(choice)) => Some(choice),
        Some(Err(why)) => {
            assert!(!why.is_empty());
            None
        }
        None => None,
    };
    let names = is_header(input.header).then(|| header_names(input.header));
    let cell = |text: &&str| Cell::Text(Cow::Owned((*text).to_owned()));
    let rows = input.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    let seen = Seen { names, delimiter: b',', rows };
    match resolve(&seen, choice.as_ref()) {
        Ok(found) => {
            let columns = found.columns;
            let width = columns.names.len();
            let needed = [columns.time, columns.price, columns.qty];
            assert!(needed.iter().all(|at| *at < width), "{columns:?}");
            let ids = [columns.id, columns.quote, columns.exchange, columns.symbol];
            assert!(ids.iter().flatten().all(|at| *at < width), "{columns:?}");
            assert!(!columns.describe().is_empty());
        }
        Err(why) => assert!(!why.is_empty()),
    }
});
