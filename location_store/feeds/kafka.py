"""Sightings from a Kafka topic, by a consumer group: offsets are committed after the write.

The brokers share the partitions out among the processes of the group, and give those of a dead one to
others. A message holds what `messages` says; its key should be the MSISDN, so that the sightings of a
subscriber stay in one partition, in their order.

Invariant: an offset is committed only when everything before it in its partition is in the store or in the
rejects, and only while the partition is ours: before one is taken from us what was read of it is written and
committed, and where that fails, or it is lost (we were silent for too long), another process reads it again.
While the brokers share out they refuse offsets; those of the partitions that stay are committed soon after.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from location_store.errors import StoreRefused, StoreUnavailable
from location_store.feeds.feed import Batch, FeedUnavailable, Origin, RejectedRow
from location_store.feeds.messages import parse
from location_store.lease import Notice, silent

MESSAGES_A_CALL = 50_000
LINGER_S = 0.05
"""For how long a batch is gathered at least."""
ANSWER_S = 10.0
"""How long the brokers may take to say where a partition ends."""
COMMIT_PAUSE_S = 0.5
"""Between two tries to commit what was refused."""

_OURS = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "log_level": 0,  # its log goes to stderr as it likes; errors come to us by themselves
}
_DEFAULTS = {
    "client.id": "cxmyd",
    "auto.offset.reset": "earliest",
    "partition.assignment.strategy": "cooperative-sticky",  # partitions that stay where they are go on
}
_REFUSALS = {
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
}
_SHARING_OUT = {
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError._ASSIGNMENT_LOST,
}
"""Offsets are refused for now, or what they are of is about to be taken from us."""


class KafkaSettings(NamedTuple):
    """brokers: host:port,host:port. topic: or a regular expression that begins with ^. properties: further
    ones of librdkafka, secrets among them."""

    brokers: str
    topic: str
    group: str = "cxmyd"
    properties: Mapping[str, str | int | float | bool] = {}


_UNKNOWN = 1 << 63
"""The end of a partition that became ours in this moment."""

_Partition = tuple[str, int]
"""Topic and number."""


class _Position(NamedTuple):
    """Behind what was polled of each partition that was ours then. epoch: number of losses before."""

    epoch: int
    offsets: Mapping[_Partition, int]


class KafkaFeed:
    """One topic. `notice` gets a line when the brokers are away or refuse something."""

    def __init__(self, settings: KafkaSettings, notice: Notice = silent) -> None:
        self.name = f"kafka {settings.topic}"
        self.shard = None
        self._settings = settings
        self._notice = notice
        self._origin = Origin()
        self._consumer: Consumer | None = None
        self._epoch = 0
        self._lost: dict[_Partition, int] = {}
        """The epoch that began when a partition was taken from us last."""
        self._owed: dict[_Partition, int] = {}
        """Offsets of partitions that are ours, everything before them written, to be committed."""
        self._next_try_s = 0.0
        self._ends: dict[_Partition, int] = {}
        """Where each partition ended when it became ours: others may have read what lies before."""
        self._trouble = ""
        """The last line of notice, until messages come again."""
        self._refusal = ""

    def open(self, settle: Callable[[], None]) -> None:
        settings = self._settings
        ours = {"bootstrap.servers": settings.brokers, "group.id": settings.group, **_OURS}
        try:
            self._consumer = Consumer(
                {**_DEFAULTS, **settings.properties, **ours, "error_cb": self._on_error}
            )
        except KafkaException as error:
            raise StoreRefused(f"[ingest.kafka] cannot be used: {_text(error)}") from error

        def on_revoke(_consumer: Consumer, partitions: list[TopicPartition]) -> None:
            try:
                settle()
                self._commit_owed()
            except StoreUnavailable as error:
                self._notice(f"{error} What was read of the partitions that go is read again by others")
            on_lost(_consumer, partitions)

        def on_lost(_consumer: Consumer, partitions: list[TopicPartition]) -> None:
            self._epoch += 1
            again = False
            for each in partitions:
                partition = (each.topic, each.partition)
                self._lost[partition] = self._epoch
                self._ends.pop(partition, None)
                again |= self._owed.pop(partition, None) is not None
            if again:
                self._notice(f"{self.name}: partitions went, their offsets refused: others read them again")

        self._consumer.subscribe([settings.topic], on_revoke=on_revoke, on_lost=on_lost)

    def poll(self, timeout_s: float) -> Batch | None:
        consumer = self._opened()
        if self._owed and time.monotonic() >= self._next_try_s:
            self._commit_owed()
        try:
            before = self._positions(consumer)
            self._look_for_ends(consumer, before)
            received = consumer.consume(MESSAGES_A_CALL, max(timeout_s, LINGER_S))
            errors = [error for message in received if (error := message.error()) is not None]
            for each in errors:
                self._on_error(each)
            messages = [each for each in received if each.error() is None] if errors else received
            if self._refusal:
                raise StoreRefused(self._refusal)
            if not messages:
                return None
            positions = self._positions(consumer)
        except KafkaException as error:
            raise FeedUnavailable(f"{self.name}: {_text(error)}.") from error
        if self._trouble:
            self._notice(f"{self.name}: messages come again")
            self._trouble = ""
        rows, bad = parse([message.value() for message in messages])
        offsets = {each: offset for each, offset in positions.items() if offset >= 0}
        read = [each for each, offset in positions.items() if offset != before.get(each)]
        again = any(max(0, before.get(each, 0)) < self._ends.get(each, _UNKNOWN) for each in read)

        def where(line: int) -> RejectedRow:
            return _where(messages[line])

        return Batch(rows, _Position(self._epoch, offsets), self._origin, where, bad=bad, again=again)

    def commit(self, positions: Sequence[object]) -> None:
        last = positions[-1]  # it names all that are ours still
        assert isinstance(last, _Position)
        for each, offset in last.offsets.items():
            if self._lost.get(each, 0) <= last.epoch:
                self._owed[each] = offset
        self._commit_owed()

    def _commit_owed(self) -> None:
        """What is refused because the brokers share out is owed still."""
        if not self._owed:
            return
        owed = [TopicPartition(*each, offset) for each, offset in self._owed.items()]
        self._next_try_s = time.monotonic() + COMMIT_PAUSE_S
        try:
            results = self._opened().commit(offsets=owed, asynchronous=False)
        except KafkaException as error:
            faults = [error.args[0]]
        else:
            faults = [each.error for each in results if each.error is not None]
            for each in results:
                if each.error is None:
                    self._owed.pop((each.topic, each.partition), None)
        for fault in faults:
            if fault.code() not in _SHARING_OUT:
                raise FeedUnavailable(f"{self.name}: offsets cannot be committed ({fault.str()}).")

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def lag(self) -> int | None:
        consumer = self._opened()
        lag = 0
        positions = self._positions(consumer)
        for each, offset in positions.items():
            low, high = consumer.get_watermark_offsets(TopicPartition(*each), cached=True)
            if high < 0:  # not told yet: that is not the end
                return None
            lag += max(0, high - max(offset, low))
        return lag if positions else None

    def _positions(self, consumer: Consumer) -> dict[_Partition, int]:
        """Behind what was polled of each partition that is ours; negative where that was nothing."""
        found = consumer.position(consumer.assignment())
        return {(each.topic, each.partition): each.offset for each in found}

    def _look_for_ends(self, consumer: Consumer, partitions: Iterable[_Partition]) -> None:
        """Of those that became ours since we looked last."""
        for each in partitions:
            if each not in self._ends:
                _, self._ends[each] = consumer.get_watermark_offsets(TopicPartition(*each), timeout=ANSWER_S)

    def _opened(self) -> Consumer:
        assert self._consumer is not None, "open() comes first"
        return self._consumer

    def _on_error(self, error: KafkaError) -> None:
        """What librdkafka tells: most of it passes, and it tries again by itself."""
        line = f"{self.name}: {error.str()}"
        if error.fatal() or error.code() in _REFUSALS:
            self._refusal = f"{line}: mend [ingest.kafka], or the rights at the brokers"
        elif not self._trouble:
            self._trouble = line
            self._notice(line)


def _where(message: Message) -> RejectedRow:
    value = message.value() or b""
    source = f"kafka-{message.topic()}-{message.partition()}"
    return RejectedRow(source, message.offset() or 0, value.decode("utf-8", "replace"))


def _text(error: KafkaException) -> str:
    found = error.args[0]
    return found.str() if isinstance(found, KafkaError) else str(found)
