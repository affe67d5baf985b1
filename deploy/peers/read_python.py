"""Reads a topic to its end with kafka-python or aiokafka, and prints the values, one a line.

Without an isolation level both read uncommitted: bars of transactions that are still open, or were aborted.

usage: read_python.py kafka-python|aiokafka BROKERS TOPIC [read_committed|read_uncommitted]
"""

import asyncio
import sys

library, brokers, topic, *isolation = sys.argv[1:]
settings = {"bootstrap_servers": brokers, "group_id": None, "enable_auto_commit": False}
# What a reader of bars sets:
settings |= {"isolation_level": isolation[0]} if isolation else {}


def show(records):
    for record in records:
        print(record.value.decode())


def with_kafka_python():
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(**settings)
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    # For a reader of what is committed the end is where the first open transaction begins.
    ends = consumer.end_offsets(partitions)
    while any(consumer.position(partition) < end for partition, end in ends.items()):
        for records in consumer.poll(timeout_ms=200).values():
            show(records)
    consumer.close()


async def with_aiokafka():
    from aiokafka import AIOKafkaConsumer

    consumer = AIOKafkaConsumer(topic, **settings, auto_offset_reset="earliest")
    await consumer.start()
    # Without a group, all of them.
    partitions = consumer.assignment()
    ends = await consumer.end_offsets(partitions)
    while [at for at, end in ends.items() if await consumer.position(at) < end]:
        for records in (await consumer.getmany(timeout_ms=200)).values():
            show(records)
    await consumer.stop()


if library == "kafka-python":
    with_kafka_python()
else:
    asyncio.run(with_aiokafka())
