//! Bars as Parquet: one file per instrument and specification, and of each part of a live job; all
//! named at the end.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barflow_operators::instrument::InstrumentId;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use self::columns::Columns;
use super::atomic_file::{AtomicFile, refused, remove_replaced};
use super::folder_lock::FolderLock;
use super::record::{BarRecord, SCHEMA_VERSION};
use super::roll::Roll;
use crate::graph::sink::{BarSink, Commit, SinkError, SinkReport};

pub(crate) mod columns;

/// What files say of themselves in their metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileInfo {
    /// Parameters of each specification by its name, as JSON.
    pub specifications: BTreeMap<Arc<str>, String>,
    /// What the trades were read from.
    pub inputs: String,
}

/// Which part of a live job's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where parts end.
    pub roll: Roll,
    /// How many came before it.
    pub number: u64,
}

/// Bars gathered before they are handed to the encoder.
const ROWS_AT_ONCE: usize = 4096;

/// Bars of a row group: each has its own statistics, by which readers pass over what they do not need.
const ROWS_OF_A_GROUP: usize = 1 << 16;

/// Writes bars into a folder.
pub struct ParquetBars {
    folder: PathBuf,
    info: FileInfo,
    part: Option<Part>,
    files: BTreeMap<FileKey, BarFile>,
    earlier: Vec<PathBuf>,
    bars: u64,
    /// Held until everything is written.
    lock: Option<FolderLock>,
}

/// Instrument, specification, period of the part.
type FileKey = (InstrumentId, Arc<str>, i64);

/// Name of the file of an instrument's bars.
pub fn file_name(id: &InstrumentId, spec: &str) -> String {
    format!("{}-{}-{}.{spec}.parquet", id.venue(), id.market(), id.symbol())
}

struct BarFile {
    atomic: AtomicFile,
    writer: ArrowWriter<File>,
    columns: Columns,
}

impl ParquetBars {
    /// Files go into `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(folder: &Path, info: FileInfo) -> Result<Self, SinkError> {
        std::fs::create_dir_all(folder).map_err(|e| refused("create the folder", folder, &e))?;
        let folder = folder.to_owned();
        let (files, earlier) = (BTreeMap::new(), Vec::new());
        Ok(Self { folder, info, part: None, files, earlier, bars: 0, lock: None })
    }

    /// Writes a part of a live job's files, each named after its period and the part.
    pub fn of_part(self, part: Part) -> Self {
        Self { part: Some(part), ..self }
    }

    /// Nobody else writes into the folder meanwhile.
    pub fn holding(self, lock: FolderLock) -> Self {
        Self { lock: Some(lock), ..self }
    }

    /// These files of an earlier run go when the new ones are complete.
    pub fn replacing(self, earlier: Vec<PathBuf>) -> Self {
        Self { earlier, ..self }
    }

    fn file_for(
        &mut self,
        record: &BarRecord<'_>,
        key: FileKey,
    ) -> Result<&mut BarFile, SinkError> {
        match self.files.entry(key) {
            Entry::Occupied(open) => Ok(open.into_mut()),
            Entry::Vacant(vacant) => {
                let mut name =
                    format!("{}-{}-{}.{}", record.venue, record.market, record.symbol, record.spec);
                if let Some(Part { roll, number }) = self.part {
                    let period = roll.name(vacant.key().2).map(|period| format!(".{period}"));
                    name.push_str(&format!("{}.part-{number:06}", period.unwrap_or_default()));
                }
                let path = self.folder.join(format!("{name}.parquet"));
                Ok(vacant.insert(BarFile::create(&path, record, &self.info)?))
            }
        }
    }
}

impl BarSink for ParquetBars {
    fn commit(&mut self, commit: &Commit) -> Result<(), SinkError> {
        for (bar, diff) in &commit.bars {
            let record = BarRecord::of(bar, *diff);
            let period = self.part.map_or(0, |part| part.roll.period(&bar.bar));
            let key = (bar.feed.instrument.clone(), Arc::clone(&bar.spec), period);
            let file = self.file_for(&record, key)?;
            let path = file.atomic.path();
            let pushed = file.columns.push(&record);
            pushed.map_err(|e| {
                SinkError::Refused(format!("could not write \"{}\": {e}", path.display()))
            })?;
            if file.columns.len() >= ROWS_AT_ONCE {
                file.write_out()?;
            }
        }
        self.bars += commit.bars.len() as u64;
        Ok(())
    }

    fn finish(&mut self) -> Result<SinkReport, SinkError> {
        let files = std::mem::take(&mut self.files);
        // All are complete before the first gets its name, so that a full disk leaves none.
        let mut complete = Vec::with_capacity(files.len());
        for mut file in files.into_values() {
            file.write_out()?;
            let path = file.atomic.path().to_owned();
            let written = file.writer.into_inner().map_err(|e| encode_error(&path, &e))?;
            complete.push((file.atomic, written));
        }
        remove_replaced(&self.earlier, complete.iter().map(|(atomic, _)| atomic.path()))
            .map_err(|(path, e)| refused("replace", &path, &e))?;
        let mut places = Vec::with_capacity(complete.len());
        for (atomic, written) in complete {
            places.push(atomic.commit(&written)?.display().to_string());
        }
        self.lock = None;
        Ok(SinkReport { bars: self.bars, places })
    }
}

impl BarFile {
    fn create(path: &Path, record: &BarRecord<'_>, info: &FileInfo) -> Result<Self, SinkError> {
        let (atomic, file) = AtomicFile::create(path)?;
        let version = env!("CARGO_PKG_VERSION");
        let mut says = vec![
            ("barflow.schema", SCHEMA_VERSION.to_string()),
            ("barflow.version", version.to_owned()),
            ("barflow.spec", record.spec.to_owned()),
            ("barflow.instrument", record.instrument.to_owned()),
            ("barflow.inputs", info.inputs.clone()),
        ];
        if let Some(parameters) = info.specifications.get(record.spec) {
            says.push(("barflow.specification", parameters.clone()));
        }
        let says = says.into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(format!("barflow {version}"))
            .set_key_value_metadata(Some(says.collect()))
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_max_row_group_row_count(Some(ROWS_OF_A_GROUP))
            .build();
        let columns = Columns::new();
        let writer = ArrowWriter::try_new(file, columns.schema(), Some(properties))
            .map_err(|e| encode_error(path, &e))?;
        Ok(Self { atomic, writer, columns })
    }

    fn write_out(&mut self) -> Result<(), SinkError> {
        let path = self.atomic.path().to_owned();
        let batch = self.columns.take().map_err(|e| encode_error(&path, &e.into()))?;
        self.writer.write(&batch).map_err(|e| encode_error(&path, &e))
    }
}

fn encode_error(path: &Path, error: &ParquetError) -> SinkError {
    SinkError::Refused(format!("could not write \"{}\": {error}", path.display()))
}
