//! Which pages are unpacked.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use parquet::basic::{BrotliLevel, GzipLevel, ZstdLevel};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaDataBuilder};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};

use super::*;

/// Two groups of 100 rows: in each two columns with a page of about 10 KB.
fn written(properties: WriterPropertiesBuilder) -> (tempfile::NamedTempFile, ArrowReaderMetadata) {
    let numbers: ArrayRef = Arc::new(UInt64Array::from_iter_values(0..200));
    let texts = StringArray::from_iter_values((0..200).map(|n| format!("{n:0100}")));
    let other: ArrayRef = Arc::new(texts.clone());
    let columns = [("id", numbers), ("side", Arc::new(texts) as ArrayRef), ("note", other)];
    let columns = columns.map(|(name, values)| (name, values, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let properties = properties
        .set_dictionary_enabled(false)
        .set_max_row_group_row_count(Some(100))
        .set_column_encoding("note".into(), Encoding::DELTA_BYTE_ARRAY)
        .build();
    let to = file.reopen().unwrap();
    let mut writer = ArrowWriter::try_new(to, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let footer = ArrowReaderMetadata::load(&file.reopen().unwrap(), Default::default()).unwrap();
    (file, footer)
}

fn zstd() -> WriterPropertiesBuilder {
    WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()))
}

fn open(
    file: &tempfile::NamedTempFile,
    footer: &ArrowReaderMetadata,
) -> Result<BoundedFile, String> {
    BoundedFile::new(file.reopen().unwrap(), footer.metadata(), &ProjectionMask::all())
}

/// Reads everything with so many bytes of pages at once: rows, or why it is refused.
fn read(
    file: &tempfile::NamedTempFile,
    footer: &ArrowReaderMetadata,
    most: u64,
) -> Result<usize, String> {
    let mut bounded = open(file, footer)?;
    Arc::get_mut(&mut bounded.pages).unwrap().most = most;
    let refusal = bounded.refusal();
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bounded, footer.clone());
    let batches = builder.build().unwrap().collect::<Result<Vec<_>, _>>();
    let rows = batches.map(|batches| batches.iter().map(RecordBatch::num_rows).sum());
    rows.map_err(|error| refusal.reason().unwrap_or_else(|| error.to_string()))
}

/// The footer with every column chunk changed.
fn changed(
    footer: &ArrowReaderMetadata,
    change: impl Fn(usize, ColumnChunkMetaData) -> ColumnChunkMetaData,
) -> ArrowReaderMetadata {
    let mut metadata = ParquetMetaDataBuilder::from((**footer.metadata()).clone());
    let groups = metadata.take_row_groups().into_iter().map(|group| {
        let mut group = group.into_builder();
        let columns = group.take_columns().into_iter().enumerate();
        let columns = columns.map(|(column, chunk)| change(column, chunk)).collect();
        group.set_column_metadata(columns).build().unwrap()
    });
    let groups = groups.collect();
    let metadata = metadata.set_row_groups(groups).build();
    ArrowReaderMetadata::try_new(Arc::new(metadata), Default::default()).unwrap()
}

#[test]
fn pages_of_all_columns_are_unpacked_within_one_limit_and_what_is_above_is_named() {
    let (file, footer) = written(zstd());
    assert_eq!(read(&file, &footer, MOST), Ok(200));
    // Pages of 800, 10,400 and some 1,000 bytes; those of the first group are gone before the second.
    assert_eq!(read(&file, &footer, 14_000), Ok(200));
    let error = read(&file, &footer, 11_000).unwrap_err();
    assert!(error.starts_with("a page of 1 MiB in column "), "{error}");
    assert!(error.contains(" in row group 1 of 2; at most 1 MiB"), "{error}");
    let error = read(&file, &footer, 100).unwrap_err();
    assert!(
        error.starts_with("a page of 1 MiB in column \"id\" in row group 1 of 2; at"),
        "{error}"
    );
}

#[test]
fn dictionaries_count_as_well_until_the_next_group() {
    let (_file, footer) = written(zstd());
    let pages = Pages {
        metadata: Arc::clone(footer.metadata()),
        chunks: vec![
            Chunk { begin: 0, end: 10, group: 0, column: 1 },
            Chunk { begin: 10, end: 20, group: 1, column: 1 },
        ],
        most: 150,
        state: Mutex::default(),
    };
    let page = |unpacked| sized(Content::Values(1, Layout::Uncounted), unpacked);
    let dictionary = |unpacked| sized(Content::Dictionary(0), unpacked);
    assert_eq!(pages.look_at(0, 10, dictionary(100)), Ok(()));
    assert_eq!(pages.look_at(1, 10, page(50)), Ok(()));
    assert_eq!(pages.look_at(2, 10, page(40)), Ok(()));
    assert!(pages.look_at(3, 10, page(51)).is_err());
    assert_eq!(pages.look_at(10, 10, page(51)), Ok(()));
    assert_eq!(pages.look_at(11, 10, dictionary(100)), Ok(()));
    assert!(pages.look_at(20, 10, page(1)).unwrap_err().contains("of no column"));
    let pages = Pages { most: 3 << 20, ..pages };
    assert!(pages.look_at(10, 10, dictionary(2 << 20)).is_ok());
    let error = pages.look_at(11, 10, page(2 << 20)).unwrap_err();
    let expected = "a page of 2 MiB in column \"side\" in row group 2 of 2, 4 MiB with those of all columns; \
                    at most 3 MiB are unpacked at once";
    assert!(error.starts_with(expected), "{error}");
    // What is not packed is in memory as it is in the file.
    let packed = Header { packed: 151, ..page(0) };
    assert!(Pages { most: 150, ..pages }.look_at(12, 10, packed).is_err());
}

/// A page of so many bytes.
fn sized(content: Content, unpacked: u64) -> Header {
    Header { content, unpacked, packed: 0, levels: 0 }
}

#[test]
fn counts_of_a_page_are_held_against_its_bytes_and_the_rows() {
    let (_file, footer) = written(zstd());
    let chunk = |column| {
        let begin = 10 * column as u64;
        Chunk { begin, end: begin + 10, group: 0, column }
    };
    let pages = Pages {
        metadata: Arc::clone(footer.metadata()),
        chunks: vec![chunk(0), chunk(1)],
        most: 1000,
        state: Mutex::default(),
    };
    let (numbers, texts) = (0, 10);
    for (at, header, expected) in [
        (numbers, sized(Content::Dictionary(10), 80), None),
        (
            numbers,
            sized(Content::Dictionary(11), 80),
            Some("a dictionary of 11 values in 80 bytes in "),
        ),
        (texts, sized(Content::Dictionary(20), 80), None),
        (
            texts,
            sized(Content::Dictionary(21), 80),
            Some("a dictionary of 21 values in 80 bytes in "),
        ),
        (numbers, sized(Content::Values(100, Layout::Uncounted), 8), None),
        (
            numbers,
            sized(Content::Values(101, Layout::Uncounted), 8),
            Some("a page of 101 values in column \"id\" in row group 1 of 2, which has 100"),
        ),
        // Views of 16 bytes, lengths of 4: they count as well.
        (texts, sized(Content::Dictionary(50), 250), Some("a page of 1 MiB in ")),
        (texts, sized(Content::Values(100, Layout::Lengths), 500), None),
        (texts, sized(Content::Values(100, Layout::Lengths), 700), Some("a page of 1 MiB in ")),
        // What is passed over has no values.
        (texts, sized(Content::Other, 8), None),
    ] {
        *pages.state() = State::default();
        let looked = pages.look_at(at, 10, header);
        match expected {
            None => assert_eq!(looked, Ok(()), "{header:?}"),
            Some(expected) => {
                assert!(looked.clone().unwrap_err().starts_with(expected), "{looked:?}");
            }
        }
    }
}

/// A column of 200 texts and nulls, with lengths before them.
fn lengths(
    encoding: Encoding,
    nulls: bool,
    properties: WriterPropertiesBuilder,
) -> tempfile::NamedTempFile {
    let text = |n: i32| (!nulls || n % 3 > 0).then(|| format!("{n:050}"));
    let texts: ArrayRef = Arc::new(StringArray::from_iter((0..200).map(text)));
    let batch = RecordBatch::try_from_iter([("side", texts)]).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let properties = properties
        .set_dictionary_enabled(false)
        .set_column_encoding("side".into(), encoding)
        .build();
    let to = file.reopen().unwrap();
    let mut writer = ArrowWriter::try_new(to, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    file
}

fn footer_of(file: &tempfile::NamedTempFile) -> ArrowReaderMetadata {
    ArrowReaderMetadata::load(&file.reopen().unwrap(), Default::default()).unwrap()
}

#[test]
fn lengths_of_texts_are_counted_in_both_versions_of_a_page_packed_or_not() {
    for encoding in [Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY] {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            for nulls in [false, true] {
                for packing in [
                    Compression::UNCOMPRESSED,
                    Compression::SNAPPY,
                    Compression::LZ4_RAW,
                    Compression::GZIP(GzipLevel::default()),
                    Compression::ZSTD(ZstdLevel::default()),
                ] {
                    let properties = WriterProperties::builder().set_writer_version(version);
                    let file = lengths(encoding, nulls, properties.set_compression(packing));
                    let read = read(&file, &footer_of(&file), MOST);
                    assert_eq!(read, Ok(200), "{encoding} {version:?} {nulls} {packing}");
                }
            }
        }
    }
}

#[test]
fn more_lengths_than_values_are_refused_before_there_is_room_for_them() {
    for (encoding, nth) in [
        (Encoding::DELTA_LENGTH_BYTE_ARRAY, 0),
        (Encoding::DELTA_BYTE_ARRAY, 0),
        (Encoding::DELTA_BYTE_ARRAY, 1),
    ] {
        for nulls in [false, true] {
            let file = lengths(encoding, nulls, WriterProperties::builder());
            let footer = footer_of(&file);
            let mut bytes = std::fs::read(file.path()).unwrap();
            // Blocks of 128 in 4 parts, and the count, which becomes 16,383.
            let count = if nulls { 133 } else { 200 };
            let head = [0x80, 1, 4, count as u8 | 0x80, 1];
            let places = memchr::memmem::find_iter(&bytes, &head).collect::<Vec<_>>();
            let at = places[nth] + 3;
            bytes[at..at + 2].copy_from_slice(&[0xff, 0x7f]);
            std::fs::write(file.path(), bytes).unwrap();
            let error = read(&file, &footer, MOST).unwrap_err();
            let expected = match nth {
                // Without the blocks of so many there is no second list.
                0 if encoding == Encoding::DELTA_BYTE_ARRAY => {
                    "a page of texts without their lengths"
                }
                _ => "a page of 200 values with the lengths of 16383 texts",
            };
            assert!(error.starts_with(expected) && error.contains("column \"side\""), "{error}");
        }
    }
}

#[test]
fn columns_that_share_bytes_and_codecs_without_a_limit_are_refused() {
    let (file, footer) = written(zstd());
    let first = footer.metadata().row_group(0).column(0).data_page_offset();
    let shared = changed(&footer, |column, chunk| match column {
        1 => chunk.into_builder().set_data_page_offset(first).build().unwrap(),
        _ => chunk,
    });
    let error = read(&file, &shared, MOST).unwrap_err();
    assert!(
        error.starts_with("bytes that are both of column \"side\" in row group 1 of 2 and"),
        "{error}"
    );
    let codecs = [
        (Compression::BROTLI(BrotliLevel::default()), "brotli"),
        (Compression::LZO, "LZO"),
        (Compression::LZ4, "the old LZ4 of Hadoop"),
    ];
    for (codec, name) in codecs {
        let packed = changed(&footer, |column, chunk| match column {
            1 => chunk.into_builder().set_compression(codec).build().unwrap(),
            _ => chunk,
        });
        let error = read(&file, &packed, MOST).unwrap_err();
        let expected =
            format!("{name} in column \"side\" in row group 1 of 2, which is not read: write the");
        assert!(error.starts_with(&expected), "{error}");
        // What nobody reads may be packed in any way.
        let schema = packed.parquet_schema();
        let others = ProjectionMask::roots(schema, [0, 2]);
        let file = file.reopen().unwrap();
        assert!(BoundedFile::new(file, packed.metadata(), &others).is_ok());
    }
}

#[test]
fn gzip_is_read_and_stopped_where_it_gives_more_than_the_header_said() {
    for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
        let properties = WriterProperties::builder()
            .set_writer_version(version)
            .set_column_encoding("side".into(), Encoding::PLAIN)
            .set_compression(Compression::GZIP(GzipLevel::default()));
        let (file, footer) = written(properties);
        assert_eq!(read(&file, &footer, MOST), Ok(200));
        let bytes = std::fs::read(file.path()).unwrap();
        let begin = footer.metadata().row_group(0).column(1).data_page_offset() as usize;
        let (header, seen) = header::read(&mut &bytes[begin..]).unwrap();
        assert!(header.unpacked > 8192, "{header:?}");
        // The second field, in three bytes after the first: 10,400 bytes or so become 8,192.
        assert_eq!([seen[0], seen[2]], [0x15, 0x15]);
        let mut less = bytes;
        less[begin + 3..begin + 6].copy_from_slice(&[0x80, 0x80, 0x01]);
        std::fs::write(file.path(), less).unwrap();
        let error = read(&file, &footer, MOST).unwrap_err();
        let expected = "a page in column \"side\" in row group 1 of 2 that unpacks to more than the \
                        8192 bytes of its header";
        assert_eq!(error, expected);
    }
}

#[test]
fn texts_that_are_differences_are_refused_where_the_footer_is_silent_on_them() {
    let (file, footer) = written(zstd());
    let plain = footer.metadata().row_group(0).column(1).encodings().collect::<Vec<_>>();
    let silent = changed(&footer, |_, chunk| {
        chunk.into_builder().set_encodings(plain.clone()).build().unwrap()
    });
    let error = read(&file, &silent, MOST).unwrap_err();
    assert!(error.contains("a page of texts in column \"note\" in row group 1 of 2"), "{error}");
    let small = changed(&footer, |_, chunk| {
        chunk.into_builder().set_total_uncompressed_size(1).build().unwrap()
    });
    let error = read(&file, &small, MOST).unwrap_err();
    assert!(error.contains("of which the footer says nothing"), "{error}");
}

#[test]
fn a_codec_that_gives_more_than_the_header_said_is_stopped_there() {
    let (file, footer) = written(zstd());
    let bytes = std::fs::read(file.path()).unwrap();
    let begin = footer.metadata().row_group(0).column(1).data_page_offset() as usize;
    let (header, seen) = header::read(&mut &bytes[begin..]).unwrap();
    assert!(header.unpacked > 8192, "{header:?}");
    // The second field, in three bytes after the first: 10,400 bytes or so become 8,192.
    assert_eq!(seen[..3], [0x15, 0, 0x15]);
    let mut less = bytes;
    less[begin + 3..begin + 6].copy_from_slice(&[0x80, 0x80, 0x01]);
    std::fs::write(file.path(), less).unwrap();
    let error = read(&file, &footer, MOST).unwrap_err();
    assert!(error.contains("too small") || error.contains("size"), "{error}");
}
