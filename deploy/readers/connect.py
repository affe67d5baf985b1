#!/usr/bin/env python3
"""The connector of `barflow schema kafka-connect --connector file` in Kafka Connect's standalone worker.

The worker sets no isolation: what the connector reads is what the printed settings say. A second connector without
them shows what would come of that.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from support import (
    JARS,
    REPOSITORY,
    SPEC,
    TOPIC,
    barflow,
    bars_of,
    broker,
    check,
    corrections,
    http,
    publish,
    read,
    replay,
    schema,
    synthesise,
    values,
    wait_until,
)

PLUGIN = "connect-file-"
# Of other programs.
FOREIGN = ("flink-", "questdb-", PLUGIN)


@contextmanager
def worker(folder: Path, endpoint: str) -> Iterator[str]:
    """A worker in a folder of its own; gives the address of its REST interface."""
    plugins = folder / "plugins/file"
    plugins.mkdir(parents=True)
    jars = [jar for jar in JARS.glob("*.jar") if not jar.name.startswith(FOREIGN)]
    for jar in JARS.glob(f"{PLUGIN}*.jar"):
        (plugins / jar.name).symlink_to(jar)
    string = "org.apache.kafka.connect.storage.StringConverter"
    settings = {
        "bootstrap.servers": endpoint,
        "listeners": "http://127.0.0.1:0",
        "plugin.path": str(plugins.parent),
        "plugin.discovery": "service_load",
        "key.converter": string,
        "value.converter": string,
        "offset.storage.file.filename": str(folder / "offsets"),
        "offset.flush.interval.ms": "200",
    }
    file = folder / "worker.properties"
    file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    log = folder / "log"
    command = [
        "java",
        "-Xmx256m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-cp",
        ":".join(map(str, jars)),
        "org.apache.kafka.connect.cli.ConnectStandalone",
        str(file),
    ]
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
    try:
        found: list[str] = []

        def listens() -> bool:
            if process.poll() is not None:
                check(False, "the worker starts", log.read_text()[-3000:])
            found[:] = re.findall(r"REST server listening at (http://127\.0\.0\.1:\d+)/", log.read_text())
            return bool(found) and "REST resources initialized" in log.read_text()

        wait_until("the worker listens", listens)
        yield found[0]
    finally:
        process.terminate()
        process.wait(60)


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def ends_with(file: Path, line: str) -> bool:
    return lines(file)[-1:] == [line]


def main(folder: Path) -> None:
    data = synthesise(folder / "data")
    barflow("replay", data, "--bar", SPEC, "--out", folder / "bars.jsonl")
    corrected = corrections(folder / "corrections.csv", bars_of((folder / "bars.jsonl").open()))
    with broker(folder / "kafka") as endpoint, worker(folder, endpoint) as rest:
        replay(endpoint, TOPIC, data, "--corrections", corrected)
        committed = [value.decode() for value in values(read(endpoint, TOPIC))]
        # A run that is killed leaves such records.
        aborted = [(b"binance:spot:BTCUSDT", value.encode()) for value in committed[:20]]
        publish(endpoint, TOPIC, aborted, commit=False)
        # Written after them: when it has arrived, they have arrived or never will.
        last = b'{"the":"last"}'
        publish(endpoint, TOPIC, [(b"last", last)])
        printed = json.loads(schema("kafka-connect", endpoint, "--topic", TOPIC))
        loose = {key: value for key, value in printed["config"].items() if "isolation" not in key}
        loose |= {"file": "uncommitted.jsonl"}
        http(f"{rest}/connectors", printed)
        http(f"{rest}/connectors", {"name": "uncommitted", "config": loose})
        file, other = folder / printed["config"]["file"], folder / "uncommitted.jsonl"
        for output in (file, other):
            complete = partial(ends_with, output, last.decode())
            wait_until(f"{output.name} is complete", complete)
        check(
            lines(file)[:-1] == committed,
            f"kafka-connect: the file has the {len(committed)} committed records, byte by byte",
        )
        more = len(lines(other)) - len(lines(file))
        check(
            more == len(aborted),
            f"kafka-connect: without the printed isolation it would have {more} aborted ones as well",
        )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="readers-", dir=REPOSITORY / "target") as name:
        main(Path(name))
