"""The store on a real Redis: values compared and set, batches, retention, erasure."""

from collections.abc import Callable, Iterator

import pytest
import redis

from location_store.errors import StoreRefused, StoreUnavailable
from location_store.pseudonyms import Layout, Pseudonym
from location_store.record import EMPTY, History, Record, Segment, pack, unpack
from location_store.store import (
    FIELDS_A_CALL,
    MAX_CARRIERS,
    Store,
    Update,
)
from location_store.subscribers import Subscriber
from tests.conftest import RedisServer
from tests.location_store.histories import BASE_MIN
from tests.location_store.support import names_of

LAYOUT = Layout(partitions=4, buckets=2)
NAMES = names_of(LAYOUT)
ONE = Pseudonym(1, 0, b"one")
TWO = Pseudonym(1, 1, b"two")
THREE = Pseudonym(3, 1, b"three")


@pytest.fixture
def store(redis_url: str) -> Iterator[Store]:
    store = Store.connect(redis_url, NAMES)
    yield store
    store.close()


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def test_values_come_back_in_the_order_asked(store: Store) -> None:
    """Unknown numbers are None; several partitions and buckets are one call."""
    assert store.put([Update(ONE, None, b"\x011"), Update(TWO, None, b"\x012")]) == []
    assert store.read([THREE, ONE, TWO]) == [None, b"\x011", b"\x012"]
    assert store.read([]) == []


def test_a_record_is_replaced_only_if_nobody_wrote_it_meanwhile(store: Store) -> None:
    """The write counter decides: a stale writer is told, his value is not written."""
    assert store.put([Update(ONE, None, b"\x01a"), Update(TWO, None, b"\x01a")]) == []
    assert store.put([Update(ONE, b"\x01a", b"\x02b")]) == []
    stale = [
        Update(ONE, b"\x01a", b"\x02c"),  # overtaken
        Update(TWO, None, b"\x01c"),  # thought absent
        Update(THREE, b"\x01a", b"\x02c"),  # thought present
        Update(Pseudonym(1, 0, b"new"), None, b"\x01c"),
    ]
    assert store.put(stale) == [0, 1, 2]
    assert store.read([ONE, TWO, THREE]) == [b"\x02b", b"\x01a", None]


def test_a_record_can_be_removed(store: Store) -> None:
    """No value is no field."""
    store.put([Update(ONE, None, b"\x01a")])
    assert store.put([Update(ONE, b"\x01a", None), Update(TWO, None, None)]) == []
    assert store.read([ONE]) == [None]


def test_batches_of_any_size_are_written(store: Store) -> None:
    """More than a call takes of one bucket, with conflicts among them."""
    many = [Pseudonym(1, n % 2, b"%d" % n) for n in range(3 * FIELDS_A_CALL)]
    store.put([Update(many[70], None, b"\x07x")])
    assert store.put([Update(who, None, b"\x01y") for who in many]) == [70]
    assert store.read(many) == [b"\x01y"] * 70 + [b"\x07x"] + [b"\x01y"] * (len(many) - 71)


def test_block_and_unblock_leave_the_record_alone(store: Store) -> None:
    """A number can be blocked with or without a record; a mark alone is no record, and goes again."""
    record = Record(Subscriber(3, b"123", "en", imported=True), History((Segment(1100, BASE_MIN, BASE_MIN),)))
    store.put([Update(ONE, None, pack(record, 1))])
    for who in (ONE, TWO):
        store.set_blocked(who, blocked=True)
    one, two = (unpack(blob) for blob in store.read([ONE, TWO]))
    assert one == record._replace(subscriber=record.subscriber._replace(blocked=True))
    assert two == Record(Subscriber(blocked=True))
    for who in (ONE, TWO):
        store.set_blocked(who, blocked=False)
    assert store.read([ONE, TWO]) == [pack(record, 3), None]


def test_forget_leaves_a_mark_only(store: Store, client: redis.Redis) -> None:
    """History, record and the caller's keys go together; the neighbours in the buckets stay."""
    other = ONE._replace(field=b"other")
    blocked = Record(Subscriber(blocked=True, imported=True), History((Segment(1100, BASE_MIN, BASE_MIN),)))
    store.put([Update(ONE, None, pack(blocked, 255)), Update(other, None, b"\x01b")])
    client.set(b"d:{1}:x", b"dialog")
    for writes in (0, 1):
        store.forget(ONE, extra_keys=[b"d:{1}:x"])
        assert store.read([ONE, other]) == [pack(Record(Subscriber(forgotten=True)), writes), b"\x01b"]
    assert client.get(b"d:{1}:x") is None
    store.forget(TWO)
    assert unpack(store.read([TWO])[0]) == Record(Subscriber(forgotten=True))


def test_a_write_that_was_under_way_does_not_undo_forget(store: Store) -> None:
    """An ingester that had read the history before is told that it is gone."""
    store.put([Update(ONE, None, b"\x01\x80")])
    (read,) = store.read([ONE])
    store.forget(ONE)
    assert store.put([Update(ONE, read, b"\x02\x80b")]) == [0]
    assert unpack(store.read([ONE])[0]).history == EMPTY


def test_carriers_are_numbered_in_order(store: Store) -> None:
    """A name keeps its number; there are as many as one byte can tell apart."""
    assert [store.carrier_id(name) for name in ("a", "b", "a")] == [0, 1, 0]
    assert store.carriers() == {0: "a", 1: "b"}
    for number in range(2, MAX_CARRIERS):
        store.carrier_id(f"c{number}")
    with pytest.raises(StoreRefused, match="one too many"):
        store.carrier_id("last")


def test_a_store_of_another_layout_is_refused(redis_url: str) -> None:
    """Under another layout nothing would be found: better to say so."""
    Store.connect(redis_url, NAMES).close()
    Store.connect(redis_url, NAMES).close()
    with pytest.raises(StoreRefused, match=r"partitions: 4, buckets: 2, .*partitions: 4, buckets: 3"):
        Store.connect(redis_url, names_of(Layout(4, 3)))


def test_a_store_of_another_key_is_refused(redis_url: str) -> None:
    """What is written under another key is found by nobody: better to say so."""
    Store.connect(redis_url, names_of(LAYOUT, "k1")).close()
    with pytest.raises(StoreRefused, match=r"filled under the key k1, .*\(its newest is k2\): put .* back"):
        Store.connect(redis_url, names_of(LAYOUT, "k2"))
    Store.connect(redis_url, names_of(LAYOUT, "k1")).close()


def test_a_newer_key_follows_one_of_its_file(redis_url: str) -> None:
    """Rotation: from then on whoever lacks the newer key is refused."""
    for key_ids in (("k1",), ("k2", "k1"), ("k2", "k1"), ("k3", "k2")):
        Store.connect(redis_url, names_of(LAYOUT, *key_ids)).close()
    for key_ids in (("k1",), ("k2", "k1")):
        with pytest.raises(StoreRefused, match="filled under the key k3"):
            Store.connect(redis_url, names_of(LAYOUT, *key_ids))


def test_lost_functions_are_loaded_again(store: Store, client: redis.Redis) -> None:
    """After FUNCTION FLUSH or a failover to a server without them nothing has to be restarted."""
    client.function_flush()
    assert store.put([Update(ONE, None, b"\x01a"), Update(THREE, None, b"\x01a")]) == []
    assert store.read([ONE, THREE]) == [b"\x01a", b"\x01a"]


def test_listpack_settings_are_raised(own_redis: Callable[..., RedisServer]) -> None:
    """The server's defaults would double the memory of a bucket."""
    server = own_redis("--hash-max-listpack-value", "64", "--hash-max-listpack-entries", "128")
    assert Store.connect(server.url, NAMES).warnings == []
    with server.client() as client:
        settings = client.config_get("hash-max-listpack-*")
    assert settings == {"hash-max-listpack-value": "512", "hash-max-listpack-entries": "256"}


def test_where_settings_are_locked_the_operator_is_told(own_redis: Callable[..., RedisServer]) -> None:
    """Hosted Redis forbids CONFIG: a warning each, and it works."""
    server = own_redis("--rename-command", "CONFIG", "")
    store = Store.connect(server.url, NAMES)
    assert [warning.split("set ")[1] for warning in store.warnings] == [
        "hash-max-listpack-value to 512 or more",
        "hash-max-listpack-entries to 256 or more",
    ]
    assert store.put([Update(ONE, None, b"\x01a")]) == []


def test_a_full_server_is_a_temporary_failure(own_redis: Callable[..., RedisServer]) -> None:
    """OOM is nothing that a mended command would help."""
    server = own_redis()
    store = Store.connect(server.url, NAMES)
    with server.client() as client:
        client.config_set("maxmemory", 1)
    with pytest.raises(StoreUnavailable, match="cannot take this now"):
        store.put([Update(ONE, None, b"\x01a")])


def test_a_replica_is_a_temporary_failure(own_redis: Callable[..., RedisServer]) -> None:
    """READONLY: a failover is under way."""
    server = own_redis()
    store = Store.connect(server.url, NAMES)
    with server.client() as client:
        client.replicaof("127.0.0.1", "1")
    with pytest.raises(StoreUnavailable, match="cannot take this now"):
        store.put([Update(ONE, None, b"\x01a")])


def test_a_server_that_goes_away_is_a_temporary_failure(own_redis: Callable[..., RedisServer]) -> None:
    """The same store works again when the server is back."""
    server = own_redis()
    store = Store.connect(server.url, NAMES)
    server.stop()
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        store.read([ONE])
    server.start()
    assert store.read([ONE]) == [None]
