//! What recordings say of themselves: hosts, symbols, and the market that speaks.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

use barflow_operators::instrument::LONGEST_PART;
use barflow_replay::progress::StopFlag;

use super::{FileCounts, RecordingOptions, Recordings, RecordingsError, SYMBOLS, few_connections};
use crate::feeds::print::{Ids, Listing, Prints};
use crate::feeds::provenance::{Origin, RecordingNote, host, left_out, origin};
use crate::recording::{Direction, reader};

/// Hosts of a file that its notes tell of.
const HOSTS: usize = 100;

/// What a file says of itself, apart from its trades.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Hosts that are the venue's own, or unknown to everybody.
    own: BTreeSet<String>,
    /// Hosts of others, and the protocols that are spoken there.
    others: BTreeMap<String, Vec<&'static str>>,
    /// When its first frame was received, ns, if it says so.
    begins: Option<i64>,
    /// Connections that are read.
    connections: u64,
    /// Whether any frame came over a connection that is read.
    read: bool,
    /// What a venue would write as a symbol, where it is read and where it is not.
    pub(super) symbols: [BTreeSet<String>; 2],
}

impl Recordings {
    /// Reads what the files say of themselves, and puts them in the order in which they were made:
    /// names sort in others (`x_10` before `x_9`), and trades that come after later ones are not used.
    pub(super) fn survey_in_order(
        &mut self,
        stop: &StopFlag,
    ) -> Result<Vec<Survey>, RecordingsError> {
        let mut surveyed = Vec::new();
        for path in std::mem::take(&mut self.files) {
            surveyed.push((self.survey(&path, stop)?, path));
        }
        surveyed.sort_by(|(a, a_path), (b, b_path)| (a.begins, a_path).cmp(&(b.begins, b_path)));
        let (surveys, files) = surveyed.into_iter().unzip();
        self.files = files;
        Ok(surveys)
    }

    /// Reads what a file says of itself.
    fn survey(&self, path: &Path, stop: &StopFlag) -> Result<Survey, RecordingsError> {
        const KEYS: [&[u8]; 4] =
            [b"\"s\":\"", b"\"product_id\":\"", b"\"symbol\":\"", b"\"instId\":\""];
        let finders: Vec<_> = KEYS.iter().map(memchr::memmem::Finder::new).collect();
        let (mut survey, mut foreign) = (Survey::default(), HashSet::new());
        // A damaged frame may look like one of another market: the majority counts.
        let (mut confirmed, mut contradicted, mut first) = (0u64, 0u64, None);
        let mut frames = reader::open_until(path, stop)?;
        while let Some(frame) = frames.next() {
            let frame = frame?;
            survey.begins = survey.begins.or(Some(frame.recv_time).filter(|time| *time > 0));
            if frame.direction == Direction::Connect {
                let url = String::from_utf8_lossy(&frame.frame).into_owned();
                survey.connections += u64::from(!self.is_elsewhere(&frame.frame));
                match origin(&url, self.venue.as_ref()) {
                    Origin::Fits if survey.own.len() < HOSTS => survey.own.extend(host(&url)),
                    Origin::Fits => {}
                    Origin::Differs { host, protocols } => {
                        if !self.any_host {
                            foreign.insert(frame.connection);
                            few_connections(&foreign, path)?;
                        }
                        if survey.others.len() < HOSTS {
                            survey.others.insert(host, protocols);
                        }
                    }
                }
                continue;
            }
            let is_foreign = foreign.contains(&frame.connection);
            if frame.direction == Direction::Received && !is_foreign {
                survey.read = true;
                confirmed += u64::from(self.venue.confirms(&frame.frame));
                if let Some(what) = self.venue.contradicts(&frame.frame) {
                    contradicted += 1;
                    first.get_or_insert((frames.line(), what));
                }
            }
            let symbols = &mut survey.symbols[usize::from(is_foreign)];
            for (key, finder) in KEYS.iter().zip(&finders) {
                for at in finder.find_iter(&frame.frame) {
                    let rest = &frame.frame[at + key.len()..];
                    // Without an end, or with one so far away, it is no symbol.
                    let rest = &rest[..rest.len().min(LONGEST_PART + 1)];
                    let end = memchr::memchr(b'"', rest).unwrap_or(0);
                    if let Ok(text) = std::str::from_utf8(&rest[..end])
                        && end > 0
                        && !symbols.contains(text)
                    {
                        symbols.insert(text.replace("\\/", "/"));
                        if symbols.len() > SYMBOLS {
                            return Err(RecordingsError::ManySymbols);
                        }
                    }
                }
            }
        }
        match first {
            Some((line, (found, spoken))) if contradicted > confirmed => {
                let (path, protocol) = (path.to_owned(), self.venue.protocol());
                Err(RecordingsError::OtherMarket { path, line, found, protocol, spoken })
            }
            _ => Ok(survey),
        }
    }

    /// A file from another exchange that this protocol could read must not pass for one of its own.
    pub(super) fn refuse_elsewhere(
        &self,
        path: &Path,
        survey: &Survey,
        stop: &StopFlag,
    ) -> Result<(), RecordingsError> {
        let Some((host, spoken)) = survey.others.iter().next() else { return Ok(()) };
        if survey.read || self.any_host {
            return Ok(());
        }
        let options = RecordingOptions::default();
        let symbols = survey.symbols[1].iter();
        let listings = symbols.filter_map(|text| self.symbol(text, &options).ok().flatten());
        let listings: Arc<[Listing]> = listings.map(|symbol| symbol.listing).collect();
        let mut decoder = self.venue.decoder(self.channel, listings);
        let mut prints = Prints::default();
        for frame in reader::open_until(path, stop)? {
            let frame = frame?;
            prints.clear();
            if frame.direction == Direction::Received
                && decoder.decode(&frame.frame, &mut prints).is_ok()
                && !prints.rows.is_empty()
            {
                let (path, protocol) = (path.to_owned(), self.venue.protocol());
                let (host, spoken) = (host.clone(), spoken.clone());
                return Err(RecordingsError::OtherHost { path, host, protocol, spoken });
            }
        }
        Ok(())
    }

    /// What is worth knowing, once everything has been read.
    pub(super) fn take_notes(
        &mut self,
        surveys: &[Survey],
        counts: &[FileCounts],
        unread: BTreeMap<String, Vec<String>>,
    ) {
        let protocol = self.venue.protocol();
        for ((path, survey), counts) in self.files.iter().zip(surveys).zip(counts) {
            let others = survey.others.keys().cloned();
            if counts.rows == 0 {
                let hosts: BTreeSet<String> = survey.own.iter().cloned().chain(others).collect();
                let (path, hosts) = (path.clone(), hosts.into_iter().collect());
                self.notes.push(RecordingNote::NoTrades { path, hosts, protocol });
            } else if !survey.others.is_empty() && !self.any_host {
                let (path, hosts) = (path.clone(), others.collect());
                self.notes.push(RecordingNote::PassedOver { path, hosts });
            }
        }
        let connections: u64 = surveys.iter().map(|survey| survey.connections).sum();
        if connections > 1 && self.venue.ids(self.channel) == Ids::Names {
            let reconnects = connections - 1;
            self.notes.push(RecordingNote::Interrupted { reconnects, protocol });
        }
        let foreign: u64 = counts.iter().map(|counts| counts.foreign).sum();
        if foreign > 0 || self.symbols.is_empty() {
            self.notes.extend(left_out(unread, foreign));
        }
    }
}
