//! Bars as Parquet: one file per instrument and specification, all named at the end.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barflow_operators::instrument::InstrumentId;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use self::columns::Columns;
use super::atomic_file::AtomicFile;
use super::record::{BarRecord, SCHEMA_VERSION};
use crate::graph::sink::{BarSink, Commit, SinkError, SinkReport};

mod columns;

/// Bars gathered before they are handed to the encoder.
const ROWS_AT_ONCE: usize = 4096;

/// Writes bars into a folder.
pub struct ParquetBars {
    folder: PathBuf,
    files: BTreeMap<(InstrumentId, Arc<str>), BarFile>,
    bars: u64,
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
    pub fn new(folder: &Path) -> Result<Self, SinkError> {
        std::fs::create_dir_all(folder)
            .map_err(|e| super::atomic_file::refused("create the folder", folder, &e))?;
        Ok(Self { folder: folder.to_owned(), files: BTreeMap::new(), bars: 0 })
    }

    fn file_for(
        &mut self,
        record: &BarRecord<'_>,
        key: (InstrumentId, Arc<str>),
    ) -> Result<&mut BarFile, SinkError> {
        match self.files.entry(key) {
            std::collections::btree_map::Entry::Occupied(open) => Ok(open.into_mut()),
            std::collections::btree_map::Entry::Vacant(vacant) => {
                Ok(vacant.insert(BarFile::create(&self.folder, record)?))
            }
        }
    }
}

impl BarSink for ParquetBars {
    fn commit(&mut self, commit: &Commit) -> Result<(), SinkError> {
        for (bar, diff) in &commit.bars {
            let record = BarRecord::of(bar, *diff);
            let key = (bar.feed.instrument.clone(), Arc::clone(&bar.spec));
            let file = self.file_for(&record, key)?;
            file.columns.push(&record);
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
        let mut places = Vec::with_capacity(complete.len());
        for (atomic, written) in complete {
            places.push(atomic.commit(&written)?.display().to_string());
        }
        Ok(SinkReport { bars: self.bars, places })
    }
}

impl BarFile {
    fn create(folder: &Path, record: &BarRecord<'_>) -> Result<Self, SinkError> {
        let name =
            format!("{}-{}-{}.{}.parquet", record.venue, record.market, record.symbol, record.spec);
        let path = folder.join(name);
        let (atomic, file) = AtomicFile::create(&path)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(format!("barflow {}", env!("CARGO_PKG_VERSION")))
            .set_key_value_metadata(Some(vec![parquet::file::metadata::KeyValue::new(
                "barflow.schema_version".to_owned(),
                SCHEMA_VERSION.to_string(),
            )]))
            .build();
        let columns = Columns::new();
        let writer = ArrowWriter::try_new(file, columns.schema(), Some(properties))
            .map_err(|e| encode_error(&path, &e))?;
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
