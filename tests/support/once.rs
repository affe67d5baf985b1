//! Whether bars are there exactly once, and a table of what was tried.

use std::collections::BTreeMap;

/// Bars in the order in which they stand, by instrument and specification.
pub type ByKey = BTreeMap<(String, String), Vec<String>>;

/// Sorts lines of bars by their key; their order within a key stays.
pub fn by_key(lines: impl IntoIterator<Item = String>) -> ByKey {
    let mut bars = ByKey::new();
    for line in lines {
        let bar: serde_json::Value = serde_json::from_str(&line).unwrap();
        let text = |field: &str| bar[field].as_str().unwrap().to_owned();
        bars.entry((text("instrument"), text("spec"))).or_default().push(line);
    }
    bars
}

pub fn count(bars: &ByKey) -> usize {
    bars.values().map(Vec::len).sum()
}

/// How many of the wanted are not there, and how many are there too often.
pub fn lost_and_repeated(wanted: &ByKey, found: &ByKey) -> (usize, usize) {
    let mut balance: BTreeMap<&String, isize> = BTreeMap::new();
    for line in wanted.values().flatten() {
        *balance.entry(line).or_default() -= 1;
    }
    for line in found.values().flatten() {
        *balance.entry(line).or_default() += 1;
    }
    let lost = balance.values().filter(|n| **n < 0).map(|n| n.unsigned_abs()).sum();
    let repeated = balance.values().filter(|n| **n > 0).map(|n| n.unsigned_abs()).sum();
    (lost, repeated)
}

/// What was tried in one case.
#[derive(Debug, Default)]
pub struct Toll {
    kills: BTreeMap<&'static str, usize>,
    series: usize,
    bars: usize,
    lost: usize,
    repeated: usize,
}

impl Toll {
    pub fn kill(&mut self, place: &'static str) {
        *self.kills.entry(place).or_default() += 1;
    }

    /// Takes in a series that has come to its end; fails unless every bar is there once, in order.
    pub fn close(&mut self, wanted: &ByKey, found: &ByKey, about: &str) {
        let (lost, repeated) = lost_and_repeated(wanted, found);
        assert!(
            lost == 0 && repeated == 0,
            "{about}: {} bars wanted, {} found, {lost} lost, {repeated} repeated or other",
            count(wanted),
            count(found)
        );
        assert!(wanted == found, "{about}: the bars of a key are out of order");
        self.series += 1;
        self.bars += count(found);
        self.lost += lost;
        self.repeated += repeated;
    }

    /// Says what was tried, as rows of a table.
    pub fn print(&self, case: &str) {
        for (place, kills) in &self.kills {
            println!("| {case} | {place} | {kills} | | | |");
        }
        let kills: usize = self.kills.values().sum();
        let Self { series, bars, lost, repeated, .. } = self;
        println!("| {case} | {series} series | {kills} | {bars} | {lost} | {repeated} |");
    }
}
