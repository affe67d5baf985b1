//! Which files to bring, and why some days will not come. Pure: no clock, no network.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::ToSpan;
use jiff::civil::Date;

use super::place::Period;

/// What the archive says of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Its size, if it says.
    pub bytes: Option<u64>,
    /// The archive's tag of its content.
    pub etag: Option<String>,
}

/// What is published of one series.
pub type Published = BTreeMap<Period, Listed>;

/// Days or months.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granularity {
    /// A file per day.
    Daily,
    /// A file per month, of every month that the range touches.
    Monthly,
    /// Whole months where they are published and no day of them is here already; days for the rest.
    Auto,
}

/// Which days are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchRange {
    /// The first.
    pub from: Date,
    /// The last.
    pub to: Date,
    /// In which files.
    pub granularity: Granularity,
}

/// Why a day does not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is not over, or so recent that it can still be published.
    NotYet,
    /// The symbol was not traded yet.
    BeforeListing {
        /// The first day published.
        first: Date,
    },
    /// The symbol is not traded any more.
    Delisted {
        /// The last day published.
        last: Date,
    },
    /// Days before and after it are published: a hole.
    Missing,
    /// Nothing is published of the symbol.
    Unknown,
}

/// Days in a row that do not come for the same reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absent {
    /// The first.
    pub from: Date,
    /// The last.
    pub to: Date,
    /// Why.
    pub why: Why,
}

/// `2024-03-02 to 2024-03-04: not published yet`.
impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from == self.to {
            true => write!(f, "{}", self.from)?,
            false => write!(f, "{} to {}", self.from, self.to)?,
        }
        match self.why {
            Why::NotYet => write!(f, ": not published yet"),
            Why::BeforeListing { first } => {
                write!(f, ": before the first day in the archive, {first}")
            }
            Why::Delisted { last } => {
                write!(f, ": after the last day in the archive, {last}; delisted?")
            }
            Why::Missing => write!(f, ": missing in the archive, which has days before and after"),
            Why::Unknown => write!(f, ": nothing of this symbol is in the archive"),
        }
    }
}

/// What to do for a series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Files that make up the range, in order.
    pub files: Vec<Period>,
    /// Days that they do not hold.
    pub absent: Vec<Absent>,
}

/// How long after its end a file may take to be published. Days come the next morning, months in the
/// first days of the next one; both have been late.
const GRACE_DAYS: i32 = 10;

/// Chooses files. `here` are periods that are in the store already, `today` is the day that is not
/// over yet.
pub fn plan(
    wanted: FetchRange,
    published: &Published,
    here: &BTreeSet<Period>,
    today: Date,
) -> Plan {
    let mut plan = Plan::default();
    let mut month = wanted.from.first_of_month();
    while month <= wanted.to {
        let last = month.last_of_month();
        let part = (month.max(wanted.from), last.min(wanted.to));
        if takes_month(wanted.granularity, month, part, published, here) {
            plan.files.push(Period::Month(month));
        } else if wanted.granularity == Granularity::Monthly {
            plan.leave(part, last, published, today);
        } else {
            for day in days(part) {
                match published.contains_key(&Period::Day(day)) {
                    true => plan.files.push(Period::Day(day)),
                    false => plan.leave((day, day), day, published, today),
                }
            }
        }
        let Ok(next) = last.tomorrow() else { break };
        month = next;
    }
    plan
}

fn takes_month(
    granularity: Granularity,
    month: Date,
    part: (Date, Date),
    published: &Published,
    here: &BTreeSet<Period>,
) -> bool {
    let is_published = published.contains_key(&Period::Month(month));
    match granularity {
        Granularity::Daily => false,
        Granularity::Monthly => is_published,
        Granularity::Auto if here.contains(&Period::Month(month)) => is_published,
        Granularity::Auto => {
            let all = days((month, month.last_of_month()));
            let begun = all.into_iter().any(|day| here.contains(&Period::Day(day)));
            let whole = part == (month, month.last_of_month());
            let lacks =
                || days(part).into_iter().any(|day| !published.contains_key(&Period::Day(day)));
            is_published && !begun && (whole || lacks())
        }
    }
}

fn days((first, last): (Date, Date)) -> Vec<Date> {
    first.series(1.day()).take_while(|day| *day <= last).collect()
}

impl Plan {
    /// Notes days that no file holds; `end` is the last day of the file that would.
    fn leave(&mut self, (from, to): (Date, Date), end: Date, published: &Published, today: Date) {
        let why = why(from, end, published, today);
        match self.absent.last_mut() {
            Some(before) if before.why == why && before.to.tomorrow().ok() == Some(from) => {
                before.to = to;
            }
            _ => self.absent.push(Absent { from, to, why }),
        }
    }
}

fn why(day: Date, end: Date, published: &Published, today: Date) -> Why {
    let first = published.keys().map(|period| period.days().0).min();
    let last = published.keys().map(|period| period.days().1).max();
    let (Some(first), Some(last)) = (first, last) else { return Why::Unknown };
    // A difference of dates is exact in days.
    let since = |date: Date| (today - date).get_days();
    let is_month = end != day;
    if day > last && since(last) > GRACE_DAYS {
        Why::Delisted { last }
    } else if day > last || end >= today {
        Why::NotYet
    } else if end < first {
        Why::BeforeListing { first }
    } else if is_month && since(end) <= GRACE_DAYS {
        Why::NotYet
    } else {
        Why::Missing
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    fn published(days: &[(Date, Date)], months: &[Date]) -> Published {
        let days = days.iter().flat_map(|range| super::days(*range)).map(Period::Day);
        days.chain(months.iter().copied().map(Period::Month))
            .map(|period| (period, Listed::default()))
            .collect()
    }

    fn wanted(from: Date, to: Date, granularity: Granularity) -> FetchRange {
        FetchRange { from, to, granularity }
    }

    const TODAY: Date = date(2024, 5, 3);

    #[test]
    fn whole_months_come_as_months_and_the_rest_as_days() {
        let all = published(
            &[(date(2024, 1, 1), date(2024, 5, 1))],
            &[date(2024, 1, 1), date(2024, 2, 1), date(2024, 3, 1)],
        );
        let range = wanted(date(2024, 1, 30), date(2024, 5, 2), Granularity::Auto);
        let chosen = plan(range, &all, &BTreeSet::new(), TODAY);
        let names: Vec<String> = chosen.files.iter().map(Period::to_string).collect();
        assert_eq!(names[..4], ["2024-01-30", "2024-01-31", "2024-02", "2024-03"]);
        assert_eq!(names.len(), 2 + 2 + 30 + 1, "April is not published as a month");
        assert_eq!(
            chosen.absent,
            [Absent { from: date(2024, 5, 2), to: date(2024, 5, 2), why: Why::NotYet }]
        );
        // A month that was started in days continues in days.
        let here = BTreeSet::from([Period::Day(date(2024, 3, 5))]);
        let chosen = plan(range, &all, &here, TODAY);
        assert_eq!(chosen.files.len(), 2 + 1 + 31 + 30 + 1);
    }

    #[test]
    fn reasons_are_told_apart() {
        let alive = published(
            &[(date(2024, 4, 10), date(2024, 4, 20)), (date(2024, 4, 22), date(2024, 5, 1))],
            &[],
        );
        let range = wanted(date(2024, 4, 8), date(2024, 5, 5), Granularity::Daily);
        let absent = plan(range, &alive, &BTreeSet::new(), TODAY).absent;
        let told: Vec<String> = absent.iter().map(Absent::to_string).collect();
        assert_eq!(
            told,
            [
                "2024-04-08 to 2024-04-09: before the first day in the archive, 2024-04-10",
                "2024-04-21: missing in the archive, which has days before and after",
                "2024-05-02 to 2024-05-05: not published yet",
            ]
        );
        let gone = published(&[(date(2023, 1, 1), date(2023, 2, 1))], &[]);
        let absent = plan(range, &gone, &BTreeSet::new(), TODAY).absent;
        assert_eq!(absent.len(), 1);
        assert_eq!(absent[0].why, Why::Delisted { last: date(2023, 2, 1) });
        let absent = plan(range, &Published::new(), &BTreeSet::new(), TODAY).absent;
        assert_eq!(absent.len(), 1);
        assert_eq!(absent[0].why, Why::Unknown);
    }

    #[test]
    fn a_month_whose_days_are_not_all_published_comes_whole() {
        let all = published(&[(date(2021, 3, 1), date(2021, 3, 5))], &[date(2021, 3, 1)]);
        let range = wanted(date(2021, 3, 4), date(2021, 3, 8), Granularity::Auto);
        let chosen = plan(range, &all, &BTreeSet::new(), TODAY);
        assert_eq!(chosen.files, [Period::Month(date(2021, 3, 1))]);
        let monthly = wanted(date(2021, 3, 4), date(2021, 4, 8), Granularity::Monthly);
        let chosen = plan(monthly, &all, &BTreeSet::new(), TODAY);
        assert_eq!(chosen.files, [Period::Month(date(2021, 3, 1))]);
        assert_eq!(chosen.absent[0].to, date(2021, 4, 8));
    }

    proptest! {
        /// Every day that is wanted is in exactly one file, or said to be absent.
        #[test]
        fn every_day_is_accounted_for_once(
            from in 0i32..400, length in 0i32..150, granularity in 0..3,
            holes in prop::collection::btree_set(0i32..500, 0..60),
            months in prop::collection::btree_set(0i32..16, 0..16),
            here in prop::collection::btree_set(0i32..500, 0..10),
        ) {
            let day = |n: i32| date(2023, 1, 1).checked_add(n.days()).unwrap();
            let granularity =
                [Granularity::Daily, Granularity::Monthly, Granularity::Auto][granularity as usize];
            let mut all = Published::new();
            for n in (0..500).filter(|n| !holes.contains(n)) {
                all.insert(Period::Day(day(n)), Listed::default());
            }
            for n in &months {
                let first = date(2023, 1, 1).checked_add(n.months()).unwrap();
                all.insert(Period::Month(first), Listed::default());
            }
            let here: BTreeSet<Period> = here.iter().map(|n| Period::Day(day(*n))).collect();
            let range = wanted(day(from), day(from + length), granularity);
            let chosen = plan(range, &all, &here, day(500));
            let mut seen = BTreeMap::<Date, u32>::new();
            for file in &chosen.files {
                prop_assert!(all.contains_key(file));
                for one in days(file.days()).into_iter().filter(|d| (range.from..=range.to).contains(d)) {
                    *seen.entry(one).or_default() += 1;
                }
            }
            for absent in &chosen.absent {
                for one in days((absent.from, absent.to)) {
                    *seen.entry(one).or_default() += 1;
                }
            }
            let expected: BTreeMap<Date, u32> =
                days((range.from, range.to)).into_iter().map(|day| (day, 1)).collect();
            prop_assert_eq!(seen, expected);
        }
    }
}
