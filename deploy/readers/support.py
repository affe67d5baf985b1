"""What the checks of readers share: runs of barflow, a broker, topics read as they are committed.

The checks read topics and files that barflow wrote, with what `barflow schema` prints, in the programs it is printed
for. `.ci/readers` installs those and runs the checks.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

REPOSITORY = Path(__file__).resolve().parents[2]
JARS = REPOSITORY / "target/readers/jars"
# The name is in the artefacts: no reader's table may be called as another topic's.
TOPIC = "bars.dib"
SPEC = "dib=imbalance,target=200,alpha=0.01,warmup=200"
TWO = ("binance:spot:BTCUSDT", "binance:spot:ETHUSDT")

Bar = dict[str, Any]


def check(holds: bool, claim: str, why: object = "") -> None:
    """Prints the claim if it holds, else ends the program."""
    if not holds:
        sys.exit(f"does not hold: {claim} {why}".rstrip())
    print(f"ok: {claim}", flush=True)


def wait_until(what: str, holds: Callable[[], bool], seconds: float = 120) -> None:
    """Waits for a condition; the limit only says how long a machine may be busy with other things."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            sys.exit(f"waited {seconds:.0f} s in vain: {what}")
        time.sleep(0.05)


def barflow(*arguments: str | Path) -> str:
    """What a run of barflow prints."""
    program = os.environ.get("BARFLOW", str(REPOSITORY / "target/debug/barflow"))
    run = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        sys.exit(f"barflow {' '.join(map(str, arguments))}: exit code {run.returncode}\n{run.stderr}")
    return run.stdout


def schema(reader: str, broker: str, *options: str) -> str:
    """What is to be pasted."""
    return barflow("schema", reader, "--brokers", broker, *options)


def statements(sql: str) -> list[str]:
    """Statements without comments, one by one: none of ours has a semicolon in a text."""
    lines = (line for line in sql.splitlines() if not line.lstrip().startswith("--"))
    return [text.strip() for text in "\n".join(lines).split(";") if text.strip()]


def synthesise(folder: Path) -> Path:
    """A day of two instruments."""
    for seed, instrument in enumerate(TWO, start=1):
        day = ("--seed", str(seed), "--date", "2024-03-01", "--trades", "30000")
        barflow("synth", "--out", folder, "--instrument", instrument, *day)
    return folder


def corrections(file: Path, bars: list[Bar]) -> Path:
    """Corrections of the first instrument: of the same bars twice, and of trades on which bars close."""
    of_first = [bar for bar in bars if bar["instrument"] == TWO[0]]
    early, later, last = of_first[20], of_first[60], of_first[-1]
    rows = [
        ("replace", early["first_trade_id"] + 3, early["open_time"], early["high"] * 1.01, 9, "buy", later),
        ("remove", early["last_trade_id"], "", "", "", "", last),
        ("remove", later["last_trade_id"], "", "", "", "", last),
    ]
    lines = ["action,instrument,trade_id,time,price,qty,side,known_after"]
    for action, trade, at, price, qty, side, after in rows:
        lines.append(f"{action},{TWO[0]},{trade},{at},{price},{qty},{side},{after['last_trade_id']}")
    file.write_text("\n".join(lines) + "\n")
    return file


def bars_of(lines: Iterable[str | bytes]) -> list[Bar]:
    """Bars from JSON, whose integers keep all digits."""
    return [json.loads(line) for line in lines]


def current(bars: Iterable[Bar]) -> list[Bar]:
    """The bars that are left when all rows are applied in their order."""
    kept: dict[str, Bar] = {}
    for bar in bars:
        if bar["retracts"]:
            kept.pop(bar["bar_id"])
        else:
            kept[bar["bar_id"]] = bar
    return in_order(kept.values())


def in_order(bars: Iterable[Bar]) -> list[Bar]:
    """By key."""
    return sorted(bars, key=lambda bar: (bar["instrument"], bar["spec"], bar["last_trade_id"]))


def difference(found: list[Bar], wanted: list[Bar]) -> str:
    """The first difference, in words."""
    if len(found) != len(wanted):
        return f"{len(found)} bars, not {len(wanted)}"
    for bar, right in zip(found, wanted, strict=True):
        for name in right.keys() | bar.keys():
            if bar.get(name) != right.get(name):
                return f"{right['bar_id']}: {name} is {bar.get(name)!r}, not {right.get(name)!r}"
    return ""


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    """A broker of one's own; it ends when its standard input does."""
    script = [str(REPOSITORY / "deploy/kafka/broker"), "run", "--dir", str(folder)]
    process = subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        endpoint = process.stdout.readline().strip()
        if not endpoint:
            sys.exit("there is no broker, see above")
        yield endpoint
    finally:
        process.stdin.close()
        process.wait()


def create_topic(endpoint: str, topic: str, **config: str) -> None:
    """Of one partition; settings with _ for the dots in their names."""
    settings = {name.replace("_", "."): value for name, value in config.items()}
    admin = AdminClient({"bootstrap.servers": endpoint})
    admin.create_topics([NewTopic(topic, 1, 1, config=settings)])[topic].result(60)


def delete_topic(endpoint: str, topic: str) -> None:
    """Waits until it is gone."""
    admin = AdminClient({"bootstrap.servers": endpoint})
    admin.delete_topics([topic], operation_timeout=60)[topic].result(60)
    wait_until(f"{topic} is deleted", lambda: topic not in admin.list_topics(timeout=30).topics)


def read(endpoint: str, topic: str, isolation: str = "read_committed") -> list[Message]:
    """All records of the one partition of a topic, to its end."""
    consumer = Consumer(
        {
            "bootstrap.servers": endpoint,
            "group.id": "check",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": isolation,
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    records: list[Message] = []
    try:
        while True:
            message = consumer.poll(60)
            if message is None:
                sys.exit(f"{topic} is silent")
            error = message.error()
            if error is None:
                records.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                return records
            elif not error.retriable():
                raise KafkaException(error)
    finally:
        consumer.close()


def values(records: Iterable[Message]) -> list[bytes]:
    """The bars of records."""
    found = (record.value() for record in records)
    return [value for value in found if value is not None]


def publish(endpoint: str, topic: str, records: Iterable[tuple[bytes, bytes]], commit: bool = True) -> None:
    """Writes records in one transaction, and commits or aborts it."""
    producer = Producer({"bootstrap.servers": endpoint, "transactional.id": f"check-{topic}"})
    producer.init_transactions(60)
    producer.begin_transaction()
    for key, value in records:
        producer.produce(topic, value, key, 0)
    producer.flush(60)
    if commit:
        producer.commit_transaction(60)
    else:
        producer.abort_transaction(60)


def replay(endpoint: str, topic: str, data: Path, *options: str | Path) -> None:
    """Bars of files into Kafka."""
    into = ("--sink", "kafka", "--brokers", endpoint, "--topic", topic, "--create-topics")
    barflow("replay", data, "--bar", SPEC, *into, *options)


def free_port() -> int:
    """A port that nobody uses; the system chooses it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def http(url: str, body: object = None) -> Any:
    """The answer to a GET, or to a POST of JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refused:
        sys.exit(f"{url}: {refused.code} {refused.read().decode()}")


def answers(url: str) -> bool:
    """Whether a server is there yet."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
