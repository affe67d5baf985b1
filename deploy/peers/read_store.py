"""Reads a trade store with other programs, each by itself, and prints what they found, as JSON.

    python deploy/peers/read_store.py STORE

Every reader is given the files as they are: no schema, no conversion, no glue.
"""

import glob
import json
import sys


def duckdb_reads(pattern):
    import duckdb

    (row,) = duckdb.sql(
        f"""select count(*), min(trade_id), max(trade_id), epoch_us(min(event_time)),
                   epoch_us(max(event_time)), sum(aggressor)::bigint,
                   sum(qty)
            from read_parquet('{pattern}')"""
    ).fetchall()
    return row[:6], row[6]


def pyarrow_reads(pattern):
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    table = ds.dataset(sorted(glob.glob(pattern))).to_table()
    times = table["event_time"].cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    ids = pc.min_max(table["trade_id"]).as_py()
    times = pc.min_max(times).as_py()
    counts = (len(table), ids["min"], ids["max"], times["min"], times["max"])
    return (*counts, pc.sum(table["aggressor"]).as_py()), pc.sum(table["qty"]).as_py()


def frame_reads(frame, epoch_us):
    times = epoch_us(frame["event_time"])
    ids = frame["trade_id"]
    counts = (len(frame), ids.min(), ids.max(), times.min(), times.max())
    return (*counts, frame["aggressor"].sum()), frame["qty"].sum()


def pandas_reads(pattern):
    import pandas as pd

    frame = pd.concat(pd.read_parquet(path) for path in sorted(glob.glob(pattern)))
    return frame_reads(frame, lambda times: times.astype("datetime64[us, UTC]").astype("int64"))


def polars_reads(pattern):
    import polars as pl

    return frame_reads(pl.read_parquet(pattern), lambda times: times.dt.epoch("us"))


def main():
    pattern = f"{sys.argv[1]}/trades/*/*/*/*/*.parquet"
    readers = {
        "duckdb": duckdb_reads,
        "pyarrow": pyarrow_reads,
        "pandas": pandas_reads,
        "polars": polars_reads,
    }
    names = ("rows", "first_id", "last_id", "first_us", "last_us", "signs")
    for name, reads in readers.items():
        counts, volume = reads(pattern)
        found = dict(zip(names, map(int, counts)), volume=round(float(volume), 6))
        print(json.dumps({"reader": name, **found}))


if __name__ == "__main__":
    main()
