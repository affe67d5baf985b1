"""Reads a topic of bars as Confluent's Python client does, unchanged, and prints a line of JSON for each record.

usage: read_topic.py BROKERS REGISTRY TOPIC
"""

import json
import sys
import uuid

from confluent_kafka import DeserializingConsumer, KafkaError, TopicPartition
from confluent_kafka.error import ConsumeError
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import StringDeserializer

brokers, registry, topic = sys.argv[1:]
consumer = DeserializingConsumer({
    "bootstrap.servers": brokers,
    "group.id": f"read-topic-{uuid.uuid4()}",
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "key.deserializer": StringDeserializer("utf_8"),
    "value.deserializer": AvroDeserializer(SchemaRegistryClient({"url": registry})),
})
partitions = consumer.list_topics(topic, timeout=60).topics[topic].partitions
consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
ended = set()
while len(ended) < len(partitions):
    try:
        message = consumer.poll(60)
    except ConsumeError as error:
        if error.code != KafkaError._PARTITION_EOF:
            raise
        ended.add(error.kafka_message.partition())
        continue
    if message is None:
        sys.exit("the topic is silent")
    print(json.dumps({
        "partition": message.partition(),
        "key": message.key(),
        "value": message.value(),
    }))
consumer.close()
