"""A Kafka that is librdkafka's mock of one, with sightings in it; `rate` runs it as a process of its own.

The mock keeps 5 MB a partition, so rows are spread over many topics of four partitions each.
Prints the broker's address when all is produced, and lives until it is killed.
"""

import json
import sys
import time
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from confluent_kafka import Producer

from location_store.sightings import SHAPE

ROWS_A_TOPIC = 400_000


def messages(path: Path, kind: str) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) of each message: one row as CSV or JSON, or 100 rows of CSV under the first one's key."""
    with path.open() as file:
        next(file)  # the header
        if kind == "csv x 100":
            while lines := list(islice(file, 100)):
                yield lines[0].split(",", 2)[1].encode(), "".join(lines).encode()
            return
        for line in file:
            fields = line.rstrip().split(",")
            text = (
                line.rstrip() if kind == "csv" else json.dumps(dict(zip(SHAPE.columns, fields, strict=True)))
            )
            yield fields[1].encode(), text.encode()


def main() -> None:
    kind, *files = sys.argv[1:]
    producer = Producer(
        {
            "test.mock.num.brokers": 1,
            "bootstrap.servers": "mock",
            "log_level": 0,
            "compression.type": "lz4",
            "linger.ms": 50,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    (mock,) = producer.list_topics(timeout=10).brokers.values()
    a_topic = ROWS_A_TOPIC // (100 if kind == "csv x 100" else 1)
    for number, (key, value) in enumerate(chain.from_iterable(messages(Path(path), kind) for path in files)):
        producer.produce(f"sightings-{number // a_topic}", value, key)
        if number % 50_000 == 0:
            producer.flush(60)
    producer.flush(60)
    print(f"{mock.host}:{mock.port}", flush=True)
    while True:
        time.sleep(60)


main()
