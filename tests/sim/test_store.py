"""The simulation's model of Redis against a real one: the same commands, the same replies.

All commands and functions that the gateway uses, in any order, on a few keys, so that they meet one another.
Ids of entries and times differ, so ids are compared by their order and times to live by the second.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

import hiredis
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.redis.library import LIBRARY, function
from sim.store import Refusal, Status, Store
from tests.conftest import RedisServer

Command = list[bytes]

SLOT = b"{1}"
STRINGS, HASHES = ([b"%b:%b:%d" % (kind, SLOT, n) for n in range(2)] for kind in (b"s", b"h"))
STREAMS = [b"q:" + SLOT]  # one, as entries are known by their ids
ANY = STRINGS + HASHES + STREAMS
WORDS = [b"", b"0", b"1", b"7", b"a", b"token-1", b"token-2", b"other-1"]
MS = [b"60000", b"120000"]

keys = st.sampled_from
words = st.sampled_from(WORDS)
ms = st.sampled_from(MS)
seconds = st.sampled_from([b"60", b"120"])
entry_ids = st.integers(0, 3).map(lambda n: b"id-%d" % n)


def commands(*parts: Any) -> st.SearchStrategy[Command]:
    """A command of constants and strategies; a strategy of a list stands for several words."""
    drawn = [st.just(part) if isinstance(part, bytes) else part for part in parts]
    return st.tuples(*drawn).map(
        lambda found: [word for part in found for word in (part if isinstance(part, list) else [part])]
    )


def fcall(name: str, keys_: Sequence[st.SearchStrategy[bytes]], *args: Any) -> st.SearchStrategy[Command]:
    return commands(b"FCALL", function(name).encode(), b"%d" % len(keys_), *keys_, *args)


string, hashed, stream, anything = keys(STRINGS), keys(HASHES), keys(STREAMS), keys(ANY)
# What `join` and the line keep is packed in another way by the model: their keys are their own.
fields = st.lists(st.tuples(words, words), min_size=1, max_size=3, unique_by=lambda pair: pair[0]).map(
    lambda pairs: [word for pair in pairs for word in pair]
)
LINE = st.just(b"l:" + SLOT)
flags = st.sampled_from([b"0", b"1"])
holds = st.sampled_from([b"0", b"60000"])
STATES = st.sampled_from([b"2", b"5"])

COMMANDS = st.one_of(
    commands(b"GET", anything),
    commands(b"MGET", anything, anything),
    commands(b"SET", string, words, st.sampled_from([[], [b"NX"], [b"PX", b"60000"], [b"EX", b"60"]])),
    commands(b"SET", string, words, b"KEEPTTL"),
    commands(b"DEL", anything),
    commands(b"EXISTS", anything),
    commands(b"PTTL", anything),
    commands(b"EXPIRE", anything, seconds, st.sampled_from([[], [b"NX"]])),
    commands(b"PEXPIRE", anything, ms),
    commands(b"INCR", anything),
    commands(b"INCRBY", anything, words),
    commands(b"HGET", anything, words),
    commands(b"HSET", anything, fields),
    commands(b"HDEL", anything, st.lists(words, min_size=1, max_size=2)),
    commands(b"HMGET", hashed, st.lists(words, min_size=1, max_size=3)),
    commands(b"HLEN", anything),
    commands(b"HEXISTS", anything, words),
    commands(b"HINCRBY", hashed, words, words),
    commands(b"HVALS", hashed),
    commands(b"HGETALL", hashed),
    commands(b"XADD", stream, st.sampled_from([[], [b"MAXLEN", b"2"]]), b"*", fields),
    commands(b"XLEN", anything),
    commands(b"XDEL", stream, entry_ids),
    commands(b"XRANGE", stream, st.sampled_from([b"-", b"id-0", b"id-1", b"(id-1"]), b"+", b"COUNT", b"3"),
    commands(b"XRANGE", stream, entry_ids, entry_ids),
    fcall("alive", []),
    fcall("begin", [string, string, string, hashed, hashed, LINE], words, words, ms, ms, words, flags),
    fcall("wait", [LINE, string], ms),
    fcall("keep", [string, string], words, words, seconds),
    fcall("tally", [hashed], words, st.sampled_from([b"0", b"1", b"9999999999999"]), seconds),
    fcall("mark", [string, LINE], st.sampled_from([b"0", b"1"]), ms),
    fcall("finish", [string, string, string], words, ms, words, seconds, st.sampled_from([b"0", b"1"])),
    fcall("lease", [string], words, st.sampled_from([b"0", b"60000"])),
    fcall("own", [string, string], words, ms),
    fcall(
        "join", [st.just(b"j:{1}")], st.sampled_from([b"one", b"two"]), st.sampled_from([b"1", b"2"]), b"2",
        st.sampled_from([b"AAAAAAAA1", b"BBBBBBBB2"]), b"8", ms, b"2", st.sampled_from([b"5", b"100"]),
    ),
    fcall("park", [stream, string, string], st.sampled_from([b"", b"2"]), words, holds, fields),
    fcall("unpark", [stream, hashed, string], entry_ids),
    fcall("bury", [stream, hashed, string, st.just(b"x:" + SLOT)], entry_ids, b"10", fields),
    fcall("note", [hashed, hashed], seconds, b"-xy", words),
    fcall(
        "settle", [hashed, hashed, hashed, hashed], words, STATES, b"DELIVERED", b"-no_word 1ENROUTE",
        st.sampled_from([b"", b"failed:X:1"]), b"3",
    ),
)  # fmt: skip


class Real:
    """A real Redis, replies as they come."""

    def __init__(self, server: RedisServer) -> None:
        self._client = redis.Redis(port=server.port, protocol=2)
        self._client.function_load(LIBRARY, replace=True)
        self._connection: Any = self._client.connection_pool.get_connection()

    def run(self, command: Command) -> Any:
        packed = hiredis.pack_command(tuple(command))  # type: ignore[arg-type]  # the stub lacks an ellipsis
        self._connection.send_packed_command([packed], check_health=False)
        try:
            return self._connection.read_response(disable_decoding=True)
        except redis.ResponseError as error:
            return Refusal(str(error))

    def clear(self) -> None:
        self._client.flushdb()

    def close(self) -> None:
        self._client.close()


class Model:
    def __init__(self) -> None:
        self._store = Store(lambda: int(time.time() * 1000))
        self._store.load(LIBRARY)

    def run(self, command: Command) -> Any:
        return self._store.run(command)


class Side:
    """One of the two: its ids by their order in which they were made."""

    def __init__(self, store: Real | Model) -> None:
        self._store = store
        self._ids: list[bytes] = []

    def run(self, command: Command) -> Any:
        own = [re.sub(rb"id-(\d)", lambda found: self._id(int(found[1])), word) for word in command]
        reply = self._store.run(own)
        return self._known(reply, command[0] == b"PTTL")

    def _id(self, number: int) -> bytes:
        return self._ids[number] if number < len(self._ids) else b"%d-%d" % (9 * 10**15, number)

    def _known(self, reply: Any, is_time: bool = False) -> Any:
        if isinstance(reply, Refusal):
            return "refused"
        if isinstance(reply, list):
            return [self._known(each) for each in reply]
        if isinstance(reply, Status):
            return bytes(reply)
        if isinstance(reply, bytes) and re.fullmatch(rb"\d{13}-\d+", reply):
            if reply not in self._ids:
                self._ids.append(reply)
            return f"entry {self._ids.index(reply)}"
        if is_time and reply > 0:
            return round(reply / 10_000)
        return reply


@pytest.fixture(scope="module")
def real(redis_server: RedisServer) -> Iterator[Real]:
    there = Real(redis_server)
    yield there
    there.close()


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(script=st.lists(COMMANDS, min_size=1, max_size=25))
def test_the_model_replies_as_redis_does(real: Real, script: list[Command]) -> None:
    """Whatever came before."""
    real.clear()
    one, two = Side(real), Side(Model())
    for command in script:
        assert two.run(command) == one.run(command), command
    for key in ANY:  # and what is left is the same
        for look in ([b"PTTL", key], [b"GET", key], [b"HGETALL", key], [b"XRANGE", key, b"-", b"+"]):
            if look[0] != b"HGETALL":
                assert two.run(look) == one.run(look), look


def test_keys_end_at_their_time(real: Real) -> None:
    """Strings, hashes and streams, and what a function set."""
    real.clear()
    model = Model()
    for store in (real, model):
        store.run([b"SET", b"s", b"1", b"PX", b"40"])
        store.run([b"HSET", b"h", b"f", b"1"])
        store.run([b"PEXPIRE", b"h", b"40"])
        store.run([b"FCALL", function("own").encode(), b"2", b"o", b"count", b"token", b"40"])
    deadline_s = time.monotonic() + 10
    while real.run([b"EXISTS", b"s", b"h", b"o"]) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    time.sleep(0.05)
    for store in (real, model):
        assert store.run([b"EXISTS", b"s", b"h", b"o"]) == 0
        assert store.run([b"GET", b"s"]) is None
        assert store.run([b"HLEN", b"h"]) == 0


def test_what_the_gateway_never_sends_is_no_command_of_the_model() -> None:
    """It does not make replies up."""
    with pytest.raises(NotImplementedError, match="ZADD"):
        Model().run([b"ZADD", b"z", b"1", b"a"])
