"""Sightings from Kafka, on librdkafka's own mock of a cluster: real clients over real sockets."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from location_store.errors import StoreRefused
from location_store.feeds import kafka
from location_store.feeds import run as running
from location_store.feeds.feed import Batch
from location_store.feeds.kafka import KafkaFeed, KafkaSettings
from location_store.feeds.run import Pace
from location_store.ingest import Totals
from location_store.stays import Point
from tests.conftest import RedisServer
from tests.location_store.feeds.support import Member, fields_of, members, until
from tests.location_store.support import World
from tests.location_store.test_ingest import NOW_S, NUMBERS, expected, journeys

PARTITIONS = 4
"""Of a topic that the mock makes up."""

QUICK = {"session.timeout.ms": 4000, "heartbeat.interval.ms": 200, "fetch.wait.max.ms": 50}

Sightings = list[tuple[str, Point]]


@pytest.fixture(scope="module")
def broker() -> Producer:
    """The producer in whose process the mock cluster lives."""
    return Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "mock", "log_level": 0, "linger.ms": 0})


@pytest.fixture
def world(redis_url: str, tmp_path: Path) -> World:
    return World(redis_url, tmp_path, NOW_S)


@pytest.fixture
def settings(broker: Producer) -> KafkaSettings:
    """A topic of the test's own."""
    (mock,) = broker.list_topics(timeout=30).brokers.values()
    return KafkaSettings(f"{mock.host}:{mock.port}", f"sightings-{uuid4()}", properties=QUICK)


def produce(broker: Producer, topic: str, sightings: Sightings, *, as_json: bool = False) -> None:
    """Keyed by their numbers, so that those of a subscriber stay in their order."""
    for number, point in sightings:
        fields = fields_of(number, point)
        value = json.dumps(fields) if as_json else ",".join(fields.values())
        broker.produce(topic, value.encode(), number.encode())
    assert broker.flush(10) == 0


def committed(settings: KafkaSettings) -> int:
    """Messages whose offsets the group has committed."""
    group = Consumer({"bootstrap.servers": settings.brokers, "group.id": settings.group, "log_level": 0})
    try:
        partitions = [TopicPartition(settings.topic, number) for number in range(PARTITIONS)]
        return sum(max(0, each.offset) for each in group.committed(partitions, timeout=30))
    finally:
        group.close()


def test_messages_are_written_and_committed(world: World, broker: Producer, settings: KafkaSettings) -> None:
    """CSV and JSON; what is bad is in the rejects of its partition."""
    sightings = journeys(51)
    produce(broker, settings.topic, sightings[:300])
    produce(broker, settings.topic, sightings[300:], as_json=True)
    broker.produce(settings.topic, b"what is this", b"x")
    waiting: list[int | None] = []
    totals = running.run(
        [KafkaFeed(settings)],
        world.ingester(),
        data_dir=world.folder,
        stop=lambda: waiting[-1:] == [0],
        progress=lambda state: waiting.extend(state.lag().values()),
    )
    assert (totals.written, totals.rejected) == (600, {"fields": 1})
    assert waiting[0] is None  # before partitions are given out
    assert committed(settings) == 601
    assert world.histories(NUMBERS) == expected(sightings)
    (rejects,) = (world.folder / "rejects").glob(f"kafka-{settings.topic}-?.csv")
    assert "what is this" in rejects.read_text()


def test_partitions_go_from_hand_to_hand(
    world: World, broker: Producer, settings: KafkaSettings, redis_url: str
) -> None:
    """What one has read is written before another gets its partitions, and committed then, or soon after by
    whoever has them: the brokers may refuse it while they share out. What a killed one had read and not
    written is read again by the other."""
    sightings = journeys(52, 900)
    asked = {"kafka": settings._asdict()}
    produce(broker, settings.topic, sightings[:300])
    with members() as started:
        started.append(Member(world, "doomed", redis_url, flush_s=600, **asked))
        until(lambda: started[0].rows == 300, "all is read")
        assert committed(settings) == 0
        started.append(Member(world, "heir", redis_url, flush_s=0.1, **asked))
        until(lambda: committed(settings) == 300, "all of the first are committed")
        assert world.histories(NUMBERS) == expected(sightings[:300])
        produce(broker, settings.topic, sightings[300:600])
        until(
            lambda: started[0].rows - 300 + committed(settings) - 300 == 300, "both read, the second commits"
        )
        assert min(started[0].rows, committed(settings)) > 300
        started[0].kill()
        produce(broker, settings.topic, sightings[600:])
        until(lambda: committed(settings) == 900, "the second has read all")
        started[1].end()
    assert world.histories(NUMBERS) == expected(sightings)


def test_offsets_that_are_refused_while_brokers_share_out(
    world: World, broker: Producer, settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of partitions that stay are committed soon after, though nothing more comes."""
    refusals = [KafkaError.REBALANCE_IN_PROGRESS, KafkaError.ILLEGAL_GENERATION]

    class Refused(Consumer):
        """As real brokers do, for moments that no test can choose."""

        def commit(self, *arguments: Any, **named: Any) -> Any:
            if refusals:
                raise KafkaException(KafkaError(refusals.pop()))
            return super().commit(*arguments, **named)

    monkeypatch.setattr(kafka, "Consumer", Refused)
    produce(broker, settings.topic, journeys(54, 300))
    told = threading.Event()

    def read() -> None:
        feed = KafkaFeed(settings)
        running.run([feed], world.ingester(), data_dir=world.folder, pace=Pace(flush_s=0.1), stop=told.is_set)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        until(lambda: committed(settings) == 300, "it is committed")
    finally:
        told.set()
        reader.join(60)
    assert not refusals


def test_a_store_that_is_away(
    broker: Producer, settings: KafkaSettings, tmp_path: Path, own_redis: Callable[..., RedisServer]
) -> None:
    """What was read is kept, nothing is committed, and it goes on by itself when the store is back."""
    server = own_redis("--appendonly", "yes", "--appendfsync", "always")
    world = World(server.url, tmp_path, NOW_S)
    sightings = journeys(53, 600)
    lines: list[str] = []
    rows = [0]
    again: list[bool] = []
    told = threading.Event()

    class Watched(KafkaFeed):
        def poll(self, timeout_s: float) -> Batch | None:
            batch = super().poll(timeout_s)
            again.extend([batch.again] * batch.rows.height if batch else [])
            return batch

    def read() -> None:
        running.run(
            [Watched(settings)],
            world.ingester(),
            data_dir=tmp_path,
            pace=Pace(flush_s=0.1),
            stop=told.is_set,
            progress=lambda state: rows.__setitem__(0, state.totals.rows),
            notice=lines.append,
        )

    reader = threading.Thread(target=read)
    produce(broker, settings.topic, sightings[:300])
    reader.start()
    try:
        until(lambda: committed(settings) == 300, "the first half is written")
        server.stop()
        produce(broker, settings.topic, sightings[300:])
        until(lambda: bool(lines), "it has noticed")
        assert committed(settings) == 300
        server.start()
        until(lambda: committed(settings) == 600, "the second half is written")
    finally:
        told.set()
        reader.join(30)
    # what was there when the partitions were given out may have been read by others
    assert again == [True] * 300 + [False] * 300
    assert "Trying again" in lines[0]
    assert "going on" in lines[1]
    assert World(server.url, tmp_path, NOW_S).histories(NUMBERS) == expected(sightings)


def test_no_broker_is_waited_for(world: World) -> None:
    """A line says so; it ends when it is told to."""
    lines: list[str] = []
    feed = KafkaFeed(KafkaSettings("127.0.0.1:1", "sightings"), lines.append)
    totals = running.run([feed], world.ingester(), data_dir=world.folder, stop=lambda: bool(lines))
    assert totals == Totals()
    assert lines[0].startswith("kafka sightings: ")


def test_wrong_properties_are_refused(world: World, settings: KafkaSettings) -> None:
    """With what librdkafka says of them."""
    feed = KafkaFeed(settings._replace(properties={"security.protocl": "SSL"}))
    with pytest.raises(StoreRefused, match="protocl"):
        running.run([feed], world.ingester(), data_dir=world.folder)
