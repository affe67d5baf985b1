#!/usr/bin/env python3
"""The tables of `barflow schema clickhouse` in ClickHouse (chDB).

In process ClickHouse has no consumers: creating the table of the Kafka engine ends where it would start them. So that
table is checked as far as that, and a table of the same columns, fed by a consumer of ours, takes its place: rows go
from it through the printed view into the printed table.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

from chdb import session

from support import (
    REPOSITORY,
    SPEC,
    TOPIC,
    Bar,
    barflow,
    bars_of,
    broker,
    check,
    corrections,
    current,
    delete_topic,
    difference,
    read,
    replay,
    schema,
    statements,
    synthesise,
    values,
)

# What ClickHouse in process says once it has accepted a table of the Kafka engine.
NO_CONSUMERS = "Shutdown was called"


class Tables:
    """The printed tables, and rows that are inserted as the Kafka engine would."""

    def __init__(self, folder: Path, endpoint: str, *options: str) -> None:
        self.session = session.Session(str(folder))
        self.session.query("CREATE DATABASE d ENGINE = Atomic; USE d")
        table, queue, view = statements(schema("clickhouse", endpoint, "--topic", TOPIC, *options))
        self.queue = queue
        self.session.query(table)
        columns, settings = queue.split(") ENGINE = Kafka\nSETTINGS")
        self.session.query(columns + ") ENGINE = Null")
        self.session.query(view)
        # Those that are not of the Kafka engine are of the format, and apply to an INSERT as well.
        names = [line.strip().rstrip(",") for line in settings.strip().splitlines()]
        self.settings = ", ".join(name for name in names if not name.startswith("kafka_"))

    def insert(self, rows: Iterable[bytes]) -> None:
        """One block of rows, as the Kafka engine makes them of a poll."""
        lines = b"\n".join(rows).decode()
        self.session.query(f"INSERT INTO bars_dib_queue SETTINGS {self.settings} FORMAT JSONEachRow {lines}")

    def bars(self) -> list[Bar]:
        """The query of the printed comment."""
        answer = self.session.query(
            "SELECT * EXCEPT (version, is_deleted) FROM bars_dib FINAL ORDER BY instrument, spec, last_trade_id"
            " SETTINGS output_format_json_quote_64bit_integers = 0",
            "JSONEachRow",
        )
        return [json.loads(line) for line in str(answer).splitlines() if line]

    def clear(self) -> None:
        self.session.query("TRUNCATE TABLE bars_dib")


def queue_is_accepted(tables: Tables) -> None:
    tree = str(tables.session.query(f"EXPLAIN AST {tables.queue}"))
    check("Storage definition" in tree, "clickhouse: the table of the Kafka engine parses")
    said = refusal(tables, tables.queue.replace("bars_dib_queue", "accepted"))
    check(
        NO_CONSUMERS in said, "clickhouse: all its settings are known, it is refused only for want of consumers", said
    )
    wrong = tables.queue.replace("bars_dib_queue", "refused").replace("kafka_format", "kafka_formatt")
    said = refusal(tables, wrong)
    check("kafka_formatt" in said, "clickhouse: a setting that it does not know is refused by its name", said)


def refusal(tables: Tables, statement: str) -> str:
    try:
        tables.session.query(statement)
    except RuntimeError as refused:
        return str(refused)
    return ""


def blocks(rows: list[bytes], size: int) -> Iterable[list[bytes]]:
    return (rows[first : first + size] for first in range(0, len(rows), size))


def holds_current(tables: Tables, wanted: list[Bar], claim: str) -> None:
    found = tables.bars()
    check(found == wanted, f"clickhouse: {claim} ({len(wanted)} bars)", difference(found, wanted))


def main(folder: Path) -> None:
    data = synthesise(folder / "data")
    barflow("replay", data, "--bar", SPEC, "--out", folder / "bars.jsonl")
    plain = bars_of((folder / "bars.jsonl").open())
    corrected = ("--corrections", corrections(folder / "corrections.csv", plain))
    with broker(folder / "kafka") as endpoint:
        tables = Tables(folder / "tables", endpoint)
        print("clickhouse:", tables.session.query("SELECT version()", "TSV"), end="")
        queue_is_accepted(tables)
        check_corrections(tables, endpoint, data, corrected)
        check_new_topic(tables, endpoint, data, corrected)
        check_doubled_rows(tables, endpoint, data, plain)
        check_int64_as_text(tables, folder, data, plain)


def check_corrections(tables: Tables, endpoint: str, data: Path, corrected: tuple[str, Path]) -> None:
    replay(endpoint, TOPIC, data, *corrected)
    rows = values(read(endpoint, TOPIC))
    bars = bars_of(rows)
    withdrawn = sum(bar["retracts"] for bar in bars)
    check(withdrawn > 3, f"clickhouse: the topic has corrections ({withdrawn} of {len(bars)} rows withdraw a bar)")
    for size in (len(rows), 7, 1):
        tables.clear()
        for block in blocks(rows, size):
            tables.insert(block)
        holds_current(tables, current(bars), f"FINAL has the current bars to the last bit, blocks of {size} rows")
    tables.session.query("OPTIMIZE TABLE bars_dib FINAL")
    holds_current(tables, current(bars), "the same after a merge")
    # A consumer whose offsets are lost begins again, or somewhere before the place where it was.
    for first in (0, len(rows) // 3):
        for block in blocks(rows[first:], 50):
            tables.insert(block)
        holds_current(tables, current(bars), f"the same after rows from {first} on were read again")


def check_new_topic(tables: Tables, endpoint: str, data: Path, corrected: tuple[str, Path]) -> None:
    """The topic begins again at offset 0 and revision 0; its bars differ."""
    old = tables.bars()
    delete_topic(endpoint, TOPIC)
    replay(endpoint, TOPIC, data, "--reset-state")
    rows = values(read(endpoint, TOPIC))
    new = current(bars_of(rows))
    for block in blocks(rows, 50):
        tables.insert(block)
    found = {bar["bar_id"]: bar for bar in tables.bars()}
    fresh = {bar["bar_id"] for bar in new}
    differ = [bar for bar in new if bar not in old]
    check(len(differ) > 3, f"clickhouse: a recreated topic has {len(differ)} other bars than the table")
    wrong = [bar["bar_id"] for bar in new if found.get(bar["bar_id"]) != bar]
    check(not wrong, "clickhouse: its bars win over those of the topic before", wrong)
    left = [bar for bar in old if bar["bar_id"] not in fresh]
    stale = [bar for key, bar in found.items() if key not in fresh]
    check(stale == left, f"clickhouse: bars that it does not have stay until the table is emptied ({len(left)})")
    tables.clear()
    for block in blocks(rows, 50):
        tables.insert(block)
    holds_current(tables, new, "an emptied table has the bars of the new topic")


def check_doubled_rows(tables: Tables, endpoint: str, data: Path, plain: list[Bar]) -> None:
    """At-least-once delivery, run twice."""
    delete_topic(endpoint, TOPIC)
    for _ in range(2):
        replay(endpoint, TOPIC, data, "--delivery", "at-least-once", "--reset-state")
    rows = values(read(endpoint, TOPIC))
    check(len(rows) == 2 * len(plain), f"clickhouse: the topic of two runs at least once has {len(rows)} rows")
    tables.clear()
    for block in blocks(rows, 50):
        tables.insert(block)
    holds_current(tables, current(plain), "the table has each bar once")


def check_int64_as_text(tables: Tables, folder: Path, data: Path, plain: list[Bar]) -> None:
    file = folder / "text.jsonl"
    barflow("replay", data, "--bar", SPEC, "--int64", "string", "--out", file)
    tables.clear()
    tables.insert(file.read_bytes().splitlines())
    holds_current(tables, current(plain), "integers as text (--int64 string) are read as the same numbers")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="readers-", dir=REPOSITORY / "target") as name:
        main(Path(name))
