//! What a header is, and which layout it is that of.

use super::{Layout, RowFormat};
use crate::columns::fields::split;
use crate::columns::names::{Role, known};

/// A header names columns: it begins like a name, perhaps after blanks, and none of its fields is a
/// number.
pub fn is_header(line: &str) -> bool {
    let begins = line
        .trim_start_matches(' ')
        .starts_with(|c: char| c.is_ascii_alphabetic() || "_\",;\t|".contains(c));
    let fields = || line.split([',', ';', '\t', '|']).map(|field| field.trim().trim_matches('"'));
    let has_name = |field: &str| field.contains(|c: char| c.is_alphabetic());
    begins
        && fields().nth(1).is_some()
        && fields().any(has_name)
        && !fields().any(|field| field.parse::<f64>().is_ok())
}

/// Whether a line names columns of trades: what follows it is not to be read as what precedes it.
pub fn names_columns(line: &str) -> bool {
    let names = || line.split([',', ';', '\t', '|']).filter(|name| known(name).is_some());
    is_header(line) && names().nth(1).is_some()
}

/// The names in a header whose fields are separated by commas.
pub fn header_names(line: &str) -> Vec<String> {
    split(line, b',').into_iter().map(|name| name.trim().to_owned()).collect()
}

/// Bytes of byte order mark and header, and whether there is a header.
pub fn before_rows(bytes: &[u8]) -> (usize, bool) {
    let mark = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let rest = &bytes[mark..];
    let line_end = memchr::memchr(b'\n', rest).map_or(rest.len(), |place| place + 1);
    match is_header(&String::from_utf8_lossy(&rest[..line_end])) {
        true => (mark + line_end, true),
        false => (mark, false),
    }
}

/// The layout whose own parser reads a file with this header; none if its columns stand elsewhere.
pub fn canonical(names: &[String]) -> Option<Layout> {
    let roles: Vec<Option<Role>> = names.iter().map(|name| Some(known(name)?.role)).collect();
    let is = |wanted: &[(usize, Role)]| wanted.iter().all(|(at, role)| roles[*at] == Some(*role));
    // A role must not be claimed by a second column.
    let once = |role: Role| roles.iter().filter(|found| **found == Some(role)).count() == 1;
    let needed = [Role::Time, Role::Price, Role::BuyerIsMaker].into_iter().all(once);
    let start = [(0, Role::Id), (1, Role::Price), (2, Role::Qty)];
    match names.len() {
        3 if is(&[(0, Role::Time), (1, Role::Price), (2, Role::Qty)]) => Some(Layout::Kraken),
        columns @ (6 | 7)
            if needed
                && is(&start)
                && is(&[(4, Role::Time), (5, Role::BuyerIsMaker)])
                && matches!(roles[3], Some(Role::Quote | Role::Qty))
                && (columns == 6 || roles[6] == Some(Role::BestMatch)) =>
        {
            Some(Layout::Trades { columns })
        }
        columns @ (7 | 8)
            if needed
                && is(&start)
                && is(&[(3, Role::FirstId), (4, Role::LastId), (5, Role::Time)])
                && roles[6] == Some(Role::BuyerIsMaker)
                && (columns == 7 || roles[7] == Some(Role::BestMatch)) =>
        {
            Some(Layout::AggTrades { columns })
        }
        _ => None,
    }
}

impl RowFormat {
    /// Whether a line is the header of files of this format, wherever it stands.
    pub fn is_own_header(&self, line: &str) -> bool {
        if self.header.as_deref().map(str::trim) == Some(line.trim()) {
            return true;
        }
        is_header(line) && canonical(&header_names(line)).as_ref() == Some(&self.layout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(header: &str) -> Vec<String> {
        header.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn headers_of_known_layouts_have_their_own_parser_and_others_do_not() {
        for (header, layout) in [
            ("id,price,qty,quote_qty,time,is_buyer_maker", Some(Layout::Trades { columns: 6 })),
            ("id,price,qty,base_qty,time,is_buyer_maker", Some(Layout::Trades { columns: 6 })),
            (
                "id,price,qty,quoteQty,time,isBuyerMaker,isBestMatch",
                Some(Layout::Trades { columns: 7 }),
            ),
            (
                "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
                Some(Layout::AggTrades { columns: 7 }),
            ),
            ("timestamp,price,volume", Some(Layout::Kraken)),
            ("timestamp,volume,price", None),
            ("id,qty,price,quote_qty,time,is_buyer_maker", None),
            ("exchange,symbol,timestamp,local_timestamp,id,side,price,amount", None),
        ] {
            assert_eq!(canonical(&names(header)), layout, "{header}");
        }
    }
}
