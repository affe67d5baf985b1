//! Observes a job while it runs.

use barflow_replay::progress::Progress;

use super::live::status::Status;
use super::report::{JobReport, Notice};

/// How much a replay is about to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InputSize {
    /// Files.
    pub files: usize,
    /// Their bytes on disk; none where progress is not counted in bytes.
    pub bytes: Option<u64>,
}

/// Receives what happens during a run. Every method does nothing unless it is overridden.
pub trait Observer: Sync {
    /// A replay begins to read; `progress` counts what has been read so far.
    fn reading(&self, size: InputSize, progress: &Progress) {
        let _ = (size, progress);
    }

    /// A replay has read everything, or has stopped reading.
    fn read(&self) {}

    /// A live job begins to listen; `status` can be read as long as the job runs.
    fn listening(&self, status: &Status) {
        let _ = status;
    }

    /// Something worth knowing about the bars of this run.
    fn notice(&self, notice: &Notice) {
        let _ = notice;
    }

    /// The run is over, whether it succeeded or not.
    fn ended(&self, report: &JobReport) {
        let _ = report;
    }
}

/// An observer that ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {}

/// Collects notices, and hands each to the observer.
pub(super) struct Notices<'a> {
    observer: &'a dyn Observer,
    all: Vec<Notice>,
}

impl<'a> Notices<'a> {
    pub(super) fn new(observer: &'a dyn Observer) -> Self {
        Self { observer, all: Vec::new() }
    }

    pub(super) fn add(&mut self, notice: Notice) {
        self.observer.notice(&notice);
        self.all.push(notice);
    }

    pub(super) fn extend(&mut self, notices: impl IntoIterator<Item = Notice>) {
        notices.into_iter().for_each(|notice| self.add(notice));
    }

    pub(super) fn into_all(self) -> Vec<Notice> {
        self.all
    }
}
