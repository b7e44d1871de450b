"""Batches on real clusters: slots on the move, nodes that fail, replicas that are waited for."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import hiredis
import pytest
from redis.crc import key_slot

from location_store.errors import StoreRefused, StoreUnavailable
from location_store.nodes import Command, Nodes, Packed
from tests.cluster import (
    OwnRedis,
    begin_move,
    cluster,  # noqa: F401 - a fixture
    command,
    end_move,
    move_a_slot,
    move_keys,
    replica,
    until,
    url_of,
)
from tests.conftest import RedisServer, free_port

LIBRARY = """#!lua name=probe
redis.register_function('probe_set', function(keys, args)
  for _, key in ipairs(keys) do redis.call('SET', key, args[1]) end
  return #keys
end)
"""
KEYS = [b"k:{%d}:x" % number for number in range(100)]


@contextmanager
def opened(url: str, silence_s: float = 5.0) -> Iterator[Nodes]:
    nodes = Nodes(url, LIBRARY, silence_s=silence_s)
    nodes.load()
    yield nodes
    nodes.close()


def resp(*commands: tuple[bytes | str | int, ...]) -> bytes:
    return b"".join(hiredis.pack_command(each) for each in commands)  # type: ignore[arg-type]  # its stub lacks an ellipsis


def setting(value: str) -> list[Command]:
    return [Command(key, ("FCALL", "probe_set", 1, key, value)) for key in KEYS]


def getting() -> list[Command]:
    return [Command(key, ("GET", key)) for key in KEYS]


def pair(own_redis: OwnRedis) -> list[RedisServer]:
    """A primary and its replica."""
    one, two = (own_redis("--repl-diskless-sync-delay", "0") for _ in range(2))
    command(two, "REPLICAOF", "127.0.0.1", one.port)
    until(lambda: command(two, "INFO", "replication")["master_link_status"] == "up")
    return [one, two]


def test_batches_find_their_nodes_and_follow_a_slot_that_has_moved(cluster: list[RedisServer]) -> None:  # noqa: F811
    """Any node of the URL will do to begin with; replies come in the order of the commands."""
    one, two = cluster
    with opened(f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{two.port}") as nodes:
        assert nodes.run(setting("a")) == [1] * len(KEYS)
        assert min(int(command(server, "DBSIZE")) for server in cluster) > 10
        assert move_a_slot(one, two) > 0
        assert nodes.run([Command(key, ("GETSET", key, key)) for key in KEYS]) == [b"a"] * len(KEYS)
        assert nodes.run(getting()) == KEYS


def test_packed_commands_are_told_apart_where_a_part_is_redirected(cluster: list[RedisServer]) -> None:  # noqa: F811
    """ASK: of one slot, the key that has moved is asked for there, the one that has not here."""
    one, two = cluster
    gone, there, new = (b"{2}:%s" % name for name in (b"gone", b"there", b"new"))
    slot = key_slot(gone)
    assert slot < 8192
    with opened(url_of(cluster)) as nodes:
        assert nodes.run([Command(key, ("SET", key, key)) for key in (gone, there)]) == [True, True]
        begin_move(one, two, slot)
        move_keys(one, two, [gone])
        batch = resp(
            ("GET", gone),
            ("GET", there),
            ("FCALL", "probe_set", 1, gone, "2"),
            ("GET", new),
            ("SET", new, "3"),
        )
        assert nodes.run_packed([Packed(gone, batch, 5), Packed(b"{1}", resp(("PING",)), 1)]) == [
            [gone, there, 1, None, b"OK"],
            [b"PONG"],
        ]
        assert command(two, "CLUSTER", "COUNTKEYSINSLOT", slot) == 2
        move_keys(one, two, [there])
        end_move(one, two, slot)
        assert nodes.run([Command(key, ("GET", key)) for key in (gone, there, new)]) == [b"2", there, b"3"]


def test_a_call_whose_keys_are_on_both_sides_waits_for_the_move_to_end(cluster: list[RedisServer]) -> None:  # noqa: F811
    """TRYAGAIN."""
    one, two = cluster
    keys = [b"{2}:1", b"{2}:2"]
    with opened(url_of(cluster)) as nodes:
        nodes.run([Command(key, ("SET", key, "a")) for key in keys])
        begin_move(one, two, key_slot(keys[0]))
        move_keys(one, two, keys[:1])

        def end() -> None:
            move_keys(one, two, keys[1:])
            end_move(one, two, key_slot(keys[0]))

        rest = threading.Timer(0.3, end)
        rest.start()
        assert nodes.call(keys[0], "FCALL", "probe_set", 2, *keys, "b") == 2
        rest.join()
        assert nodes.call(keys[0], "MGET", *keys) == [b"b", b"b"]


def test_a_node_without_our_functions_gets_them(cluster: list[RedisServer]) -> None:  # noqa: F811
    """A new node, or FUNCTION FLUSH."""
    with opened(url_of(cluster)) as nodes:
        command(cluster[1], "FUNCTION", "FLUSH")
        assert nodes.run(setting("a")) == [1] * len(KEYS)


def test_a_promoted_replica_is_found_and_has_functions_and_data(
    cluster: list[RedisServer],  # noqa: F811
    own_redis: OwnRedis,
) -> None:
    """Between death and promotion: a temporary error. The former primary, back as a replica, is not asked."""
    one = cluster[0]
    heir = replica(cluster, own_redis)
    with opened(url_of([*cluster, heir])) as nodes:
        nodes.run(setting("a"))
        until(lambda: command(heir, "DBSIZE") == command(one, "DBSIZE"))
        one.stop()
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                nodes.run(getting())
        command(heir, "CLUSTER", "FAILOVER", "TAKEOVER")
        until(lambda: _answers(nodes))
        command(heir, "FUNCTION", "FLUSH")
        assert nodes.run(setting("b")) == [1] * len(KEYS)
        one.start()
        until(lambda: command(one, "ROLE")[0] == b"slave")
        assert nodes.run(getting()) == [b"b"] * len(KEYS)


def test_a_stopped_primary_that_was_replaced_is_not_waited_for_nor_believed(
    cluster: list[RedisServer],  # noqa: F811
    own_redis: OwnRedis,
) -> None:
    """It would take the writes when it wakes up, and lose them."""
    one = cluster[0]
    heir = replica(cluster, own_redis)
    with opened(url_of(cluster), silence_s=60) as nodes:
        nodes.run(setting("a"))
        one.pause()
        command(heir, "CLUSTER", "FAILOVER", "TAKEOVER")
        with pytest.raises(
            StoreUnavailable, match=r"another node has taken its place; whether .* is unknown"
        ):
            nodes.run(setting("b"))
        one.resume()
        assert nodes.run(setting("c")) == [1] * len(KEYS)
        until(lambda: command(one, "ROLE")[0] == b"slave")
        assert nodes.run(getting()) == [b"c"] * len(KEYS)


def test_one_node_down_does_not_keep_the_others_from_their_commands(cluster: list[RedisServer]) -> None:  # noqa: F811
    """A node dies with the batch: the error says so, the other's part is done; the next is not sent."""
    one, two = cluster
    command(two, "CONFIG", "SET", "cluster-node-timeout", 60_000)  # or it calls the cluster down meanwhile
    with opened(url_of(cluster), silence_s=0.3) as nodes:
        nodes.run(setting("a"))
        one.pause()
        with pytest.raises(StoreUnavailable, match=r"no answer within 0\.3 s; whether .* is unknown"):
            nodes.run(setting("b"))
        values = [command(two, "GET", key) for key in KEYS if _is_on(two, key)]
        assert set(values) == {b"b"}
        one.stop()
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            nodes.run(setting("c"))
        values = [command(two, "GET", key) for key in KEYS if _is_on(two, key)]
        assert set(values) == {b"b"}
        one.start()
        until(lambda: _answers(nodes))
        assert nodes.run(setting("d")) == [1] * len(KEYS)


def test_a_connection_that_was_closed_while_idle_is_opened_again(redis_url: str) -> None:
    """The server's `timeout`, or its restart: nothing was under way, so nothing is in doubt."""
    with opened(redis_url) as nodes:
        assert nodes.call(b"k", "SET", b"k", "1")
        with opened(redis_url) as other:
            other.call(b"k", "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert nodes.call(b"k", "GET", b"k") == b"1"


def test_large_batches_and_large_replies_pass_one_another(redis_url: str) -> None:
    """More than all buffers hold, both ways, with a second flight started before the first is finished."""
    value = b"x" * (1 << 20)
    batch = [Packed(b"k", resp(*[("ECHO", value)] * 4), 4)] * 8
    with opened(redis_url) as nodes:
        first, second = nodes.start(batch), nodes.start(batch)
        for flight in (first, second):
            replies = nodes.finish(flight)
            assert len(replies) == 8
            assert all(reply == value for each in replies for reply in each)


def test_the_first_error_is_raised_and_the_connection_stays_in_step(redis_url: str) -> None:
    """Others of the batch were carried out."""
    with opened(redis_url) as nodes:
        batch = resp(("SET", "k", "1"), ("HGET", "k", "f"), ("SET", "k", "2"))
        with pytest.raises(StoreRefused, match="WRONGTYPE"):
            nodes.run_packed([Packed(b"k", batch, 3)])
        assert nodes.call(b"k", "GET", "k") == b"2"


def test_a_demoted_primary_is_a_temporary_failure(own_redis: OwnRedis) -> None:
    """READONLY, behind a URL of one node."""
    one, two = own_redis(), own_redis()
    with opened(one.url) as nodes:
        command(one, "REPLICAOF", "127.0.0.1", two.port)
        with pytest.raises(StoreUnavailable, match="READONLY"):
            nodes.call(b"k", "SET", "k", "1")
        command(one, "REPLICAOF", "NO", "ONE")
        assert nodes.call(b"k", "SET", "k", "1")


def test_waiting_for_replicas(own_redis: OwnRedis) -> None:
    """A replica that lacks the writes is noticed, also by a connection that did not write them itself."""
    one, two = pair(own_redis)
    with opened(one.url) as nodes:
        nodes.call(b"k", "SET", "k", "1")
        nodes.wait(1, 5000)
        assert command(two, "GET", "k") == b"1"
        two.pause()
        nodes.call(b"k", "SET", "k", "2")
        started_s = time.monotonic()
        with pytest.raises(StoreUnavailable, match="0 of 1 replicas have the last writes after 100 ms"):
            nodes.wait(1, 100)
        assert time.monotonic() - started_s < 2
        with opened(one.url) as others, pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
            others.wait(1, 100)
        two.resume()
        nodes.wait(1, 5000)
        with pytest.raises(StoreUnavailable, match="1 of 2 replicas"):
            nodes.wait(2, 50)
        nodes.wait(0, 50)


def test_a_lost_connection_leaves_its_writes_unconfirmed(own_redis: OwnRedis) -> None:
    """Whoever answers now may not have them; once they are compared or written anew, waiting works again."""
    one, _ = pair(own_redis)
    with opened(one.url) as nodes:
        nodes.call(b"k", "SET", "k", "1")
        command(one, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        with pytest.raises(StoreUnavailable, match="a connection was lost before replicas"):
            nodes.wait(1, 1000)
        nodes.call(b"k", "SET", "k", "1")
        nodes.wait(1, 5000)


def _answers(nodes: Nodes) -> bool:
    try:
        nodes.run(getting())
    except StoreUnavailable:
        return False
    return True


def _is_on(server: RedisServer, key: bytes) -> bool:
    return bool(command(server, "CLUSTER", "COUNTKEYSINSLOT", key_slot(key)))
