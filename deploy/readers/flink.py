#!/usr/bin/env python3
"""The tables of `barflow schema flink` in Flink SQL.

The statements are run as they are printed; queries only add where to stop (`scan.bounded.mode`), since a check has to
end, and a watermark after every row, so that a late row is seen as such however fast the rows are read.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import duckdb
from confluent_kafka import Message
from pyflink.common import RowKind
from pyflink.table import EnvironmentSettings, TableEnvironment

from support import (
    JARS,
    REPOSITORY,
    SPEC,
    TOPIC,
    TWO,
    Bar,
    barflow,
    bars_of,
    broker,
    check,
    corrections,
    create_topic,
    current,
    difference,
    in_order,
    publish,
    read,
    replay,
    schema,
    statements,
    synthesise,
    values,
)

MERGED, CORRECTED, TEXT = "bars.merged", "bars.corrected", "bars.text"


def environment() -> TableEnvironment:
    tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    # The connector does not bring what reads the compression of bars.
    jars = [jar.as_uri() for name in ("flink-sql-connector-kafka", "zstd-jni") for jar in JARS.glob(f"{name}-*.jar")]
    for name, value in [
        ("pipeline.jars", ";".join(jars)),
        ("parallelism.default", "1"),
        ("table.local-time-zone", "UTC"),
        ("rest.bind-address", "127.0.0.1"),
        ("rest.address", "127.0.0.1"),
        ("rest.bind-port", "0"),
    ]:
        tables.get_config().set(name, value)
    return tables


def create(tables: TableEnvironment, endpoint: str, *options: str) -> None:
    for statement in statements(schema("flink", endpoint, *options)):
        tables.execute_sql(statement)


def bounded(table: str, *options: str) -> str:
    """The table up to what is in the topic now."""
    hints = ["'scan.bounded.mode' = 'latest-offset'", *options]
    return f"{table} /*+ OPTIONS({', '.join(hints)}) */"


ON_EVENT = "'scan.watermark.emit.strategy' = 'on-event'"


def rows(tables: TableEnvironment, query: str) -> tuple[list[RowKind], list[Bar]]:
    """The rows of a query in the order of their arrival: what each does, and its fields."""
    result = tables.execute_sql(query)
    names = result.get_table_schema().get_field_names()
    kinds: list[RowKind] = []
    found: list[Bar] = []
    with result.collect() as arriving:
        for row in arriving:
            kinds.append(row.get_row_kind())
            found.append(dict(zip(names, row, strict=True)))
    return kinds, found


def pairs(records: list[Message]) -> list[tuple[bytes, bytes]]:
    """Keys and values of records, in their order: that of known_time over all instruments."""
    return [(bytes(record.key()), bytes(record.value())) for record in records]


def main(folder: Path) -> None:
    data = synthesise(folder / "data")
    barflow("replay", data, "--bar", SPEC, "--sink", "parquet", "--out", folder / "parquet")
    barflow("replay", data, "--bar", SPEC, "--out", folder / "bars.jsonl")
    plain = bars_of((folder / "bars.jsonl").open())
    tables = environment()
    with broker(folder / "kafka") as endpoint:
        replay(endpoint, TOPIC, data)
        records = read(endpoint, TOPIC)
        create_topic(endpoint, MERGED)
        publish(endpoint, MERGED, pairs(records))
        # A run that is killed leaves such records: with another price, so that nobody takes them for bars.
        spoilt = [(key, value.replace(b'"high":', b'"high":9')) for key, value in pairs(records)[:50]]
        publish(endpoint, MERGED, spoilt, commit=False)
        for topic in (TOPIC, MERGED):
            create(tables, endpoint, "--topic", topic)
        check_append_only(tables, endpoint, plain)
        check_int64_as_text(tables, endpoint, data, plain)
        check_windows(tables, folder / "parquet")

        # Kafka begins a segment when records are a week apart, and the mark of a commit bears today's time: without
        # this the topic would be compacted at once, and had nothing to retract.
        create_topic(endpoint, f"{CORRECTED}.current", cleanup_policy="compact", segment_ms=str(2**40))
        applied = ("--corrections", corrections(folder / "corrections.csv", plain))
        replay(endpoint, CORRECTED, data, "--current", *applied)
        create(tables, endpoint, "--topic", CORRECTED, "--current")
        check_current(tables, endpoint)


def check_append_only(tables: TableEnvironment, endpoint: str, plain: list[Bar]) -> None:
    everything = len(read(endpoint, MERGED, "read_uncommitted"))
    # PyFlink cannot collect a TIMESTAMP_LTZ.
    fields = ", ".join(f"`{name}`" for name in plain[0])
    _, found = rows(tables, f"SELECT {fields}, CAST(known_at AS STRING) AS known_at FROM {bounded('bars_merged')}")
    wrong = [bar["bar_id"] for bar in found if bar.pop("known_at") != milliseconds(bar["known_time"])]
    check(not wrong, "flink: known_at is known_time in milliseconds", wrong)
    same = in_order(found) == in_order(plain)
    check(
        same,
        f"flink: the append-only table has all {len(plain)} bars to the last bit",
        difference(in_order(found), in_order(plain)),
    )
    check(everything > len(found), f"flink: {everything - len(found)} records of an aborted transaction are left out")


def check_int64_as_text(tables: TableEnvironment, endpoint: str, data: Path, plain: list[Bar]) -> None:
    replay(endpoint, TEXT, data, "--int64", "string")
    create(tables, endpoint, "--topic", TEXT, "--int64", "string")
    fields = ", ".join(f"`{name}`" for name in plain[0])
    _, found = rows(tables, f"SELECT {fields} FROM {bounded('bars_text')}")
    why = difference(in_order(found), in_order(plain))
    check(not why, "flink: integers as text (--int64 string) are read as the same numbers", why)


def milliseconds(time: int) -> str:
    """A time as Flink writes it."""
    at = datetime.fromtimestamp(time // 1_000_000_000, UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}.{time // 1_000_000 % 1000:03}"


def check_windows(tables: TableEnvironment, parquet: Path) -> None:
    late = "SELECT COUNT(*) AS late FROM {} WHERE known_at <= CURRENT_WATERMARK(known_at)"
    _, found = rows(tables, late.format(bounded("bars_merged", ON_EVENT)))
    check(last_count(found) == 0, "flink: no row of two instruments in known_time order is late")
    _, found = rows(tables, late.format(bounded("bars_dib", ON_EVENT)))
    check(last_count(found) > 50, f"flink: one instrument after the other, {last_count(found)} rows are late")

    aggregates = "COUNT(DISTINCT instrument), COUNT(*), SUM(ticks), MIN(low), MAX(high), SUM(trade_count)"
    tables.execute_sql(f"CREATE TEMPORARY VIEW known AS SELECT * FROM {bounded('bars_merged', ON_EVENT)}")
    _, found = rows(
        tables,
        f"""
        SELECT UNIX_TIMESTAMP(CAST(window_start AS STRING)) AS began, {aggregates}
        FROM TUMBLE(TABLE known, DESCRIPTOR(known_at), INTERVAL '10' MINUTES)
        GROUP BY window_start, window_end""",
    )
    wanted = duckdb.sql(f"""
        SELECT epoch(time_bucket(INTERVAL 10 MINUTES, known_time))::BIGINT AS began, {aggregates}
        FROM read_parquet('{parquet}/*.parquet') GROUP BY began ORDER BY began""").fetchall()
    same = sorted(tuple(row.values()) for row in found) == wanted
    check(same, f"flink: {len(wanted)} windows over {len(TWO)} instruments equal DuckDB's over Parquet")


def last_count(found: list[Bar]) -> int:
    """A count is updated with every row; none means that there was none to count."""
    return int(found[-1]["late"]) if found else 0


def check_current(tables: TableEnvironment, endpoint: str) -> None:
    wanted = current(bars_of(values(read(endpoint, CORRECTED))))
    now = bounded("bars_corrected_current")
    kinds, found = rows(tables, f"SELECT * FROM {now}")
    kept: dict[str, Bar] = {}
    for kind, row in zip(kinds, found, strict=True):
        key = row.pop("bar_key")
        if kind in (RowKind.DELETE, RowKind.UPDATE_BEFORE):
            kept.pop(key)
        else:
            kept[key] = row
    seen = ", ".join(f"{kind} {kinds.count(kind)}" for kind in RowKind if kind in kinds)
    check(RowKind.DELETE in kinds, f"flink: the table of current bars is a changelog: {seen}")
    left = in_order(kept.values())
    check(
        left == wanted,
        f"flink: what it leaves are the {len(wanted)} current bars to the last bit",
        difference(left, wanted),
    )
    check(all(key == row["bar_id"] for key, row in kept.items()), "flink: bar_key is the bar_id")
    _, found = rows(tables, f"SELECT COUNT(*) AS bars, SUM(ticks) AS ticks FROM {now}")
    sums = {"bars": len(wanted), "ticks": sum(bar["ticks"] for bar in wanted)}
    check(found[-1] == sums, f"flink: an aggregate follows retractions: {sums}", found[-1])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="readers-", dir=REPOSITORY / "target") as name:
        main(Path(name))
