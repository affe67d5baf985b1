#!/usr/bin/env python3
"""The table of `barflow schema questdb` in QuestDB, and the query of its comment."""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from support import (
    JARS,
    REPOSITORY,
    SPEC,
    Bar,
    answers,
    barflow,
    bars_of,
    check,
    corrections,
    current,
    difference,
    free_port,
    http,
    in_order,
    schema,
    synthesise,
    wait_until,
)


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """A server in a folder of its own; gives the address of its HTTP interface."""
    [jar] = JARS.glob("questdb-*.jar")
    port = free_port()
    settings = {
        "QDB_HTTP_BIND_TO": f"127.0.0.1:{port}",
        "QDB_HTTP_MIN_ENABLED": "false",
        "QDB_PG_ENABLED": "false",
        "QDB_LINE_TCP_ENABLED": "false",
        "QDB_TELEMETRY_ENABLED": "false",
        "QDB_SHARED_WORKER_COUNT": "1",
    }
    command = ["java", "-Xmx512m", "-cp", str(jar), "io.questdb.ServerMain", "-d", str(folder)]
    log = folder.with_suffix(".log")
    folder.mkdir()
    with log.open("w") as output:
        process = subprocess.Popen(command, env=os.environ | settings, stdout=output, stderr=output)
    try:

        def is_there() -> bool:
            if process.poll() is not None:
                check(False, "QuestDB starts", log.read_text()[-3000:])
            return answers(f"http://127.0.0.1:{port}/exec?query=SELECT%201")

        wait_until("QuestDB answers", is_there)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def run(address: str, statement: str) -> Any:
    return http(f"{address}/exec?query={quote(statement)}")


def rows(address: str, query: str) -> list[Bar]:
    answer = run(address, query)
    names = [column["name"] for column in answer["columns"]]
    return [dict(zip(names, row, strict=True)) for row in answer["dataset"]]


def literal(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value)


def insert(address: str, bars: list[Bar]) -> None:
    """Rows as a program writes them that reads bars; they count once the table's log is applied."""
    for first in range(0, len(bars), 8):
        block = bars[first : first + 8]
        names = ", ".join(f'"{name}"' for name in block[0])
        lines = ", ".join(f"({', '.join(map(literal, bar.values()))})" for bar in block)
        run(address, f"INSERT INTO bars ({names}) VALUES {lines}")
    log = "SELECT writerTxn = sequencerTxn AND NOT suspended AS applied FROM wal_tables() WHERE name = 'bars'"
    wait_until("the table's log is applied", lambda: bool(rows(address, log)[0]["applied"]))


def selected(sql: str) -> str:
    """The statement in the comments."""
    lines = [line.removeprefix("--").strip() for line in sql.splitlines() if line.startswith("--")]
    return " ".join(lines)[" ".join(lines).index("SELECT") :].rstrip(";")


def main(folder: Path) -> None:
    data = synthesise(folder / "data")
    barflow("replay", data, "--bar", SPEC, "--out", folder / "bars.jsonl")
    applied = corrections(folder / "corrections.csv", bars_of((folder / "bars.jsonl").open()))
    barflow("replay", data, "--bar", SPEC, "--corrections", applied, "--out", folder / "corrected.jsonl")
    bars = bars_of((folder / "corrected.jsonl").open())
    wanted = current(bars)
    printed = schema("questdb", "localhost:9092")
    table = printed[printed.index("CREATE TABLE") : printed.index(";") + 1]
    with server(folder / "questdb") as address:
        print("questdb:", rows(address, "SELECT build() AS build")[0]["build"])
        run(address, table)
        # Integers of ns, since a time would be answered in microseconds.
        times = [name for name in bars[0] if name.endswith("_time")]
        as_numbers = ", ".join(f'"{name}"::LONG AS "{name}"' if name in times else f'"{name}"' for name in bars[0])
        query = f"SELECT {as_numbers} FROM ({selected(printed)})"

        def holds(claim: str) -> None:
            count = rows(address, "SELECT count() AS n FROM bars")[0]["n"]
            check(count == len(bars), f"questdb: {claim}: {count} rows")
            found = in_order(rows(address, query))
            check(
                found == wanted,
                f"questdb: {claim}: the query gives the {len(wanted)} current bars to the last bit",
                difference(found, wanted),
            )

        insert(address, bars)
        holds("as published")
        # A reader at least once begins again somewhere; and rows in any order are the same rows.
        insert(address, bars[len(bars) // 3 :])
        holds("read twice")
        insert(address, random.Random(1).sample(bars, len(bars)))
        holds("in any order")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="readers-", dir=REPOSITORY / "target") as name:
        main(Path(name))
