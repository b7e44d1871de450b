"""A model of Redis: the commands that the gateway sends, and its own Lua functions run as they are.

Values are bytes, hashes, and streams; a key ends at its time. Replies are what a Redis client is given:
bytes, int, list, None, `Status`, `Refusal`. tests/sim/test_store.py plays the same commands to this and to a
real Redis and compares every reply; what the gateway does not use is not here.
"""

from __future__ import annotations

import marshal
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Any

from lupa import luajit21

Reply = Any
_Id = tuple[int, int]


class Status(bytes):
    """A simple string, such as OK."""


class Refusal(Exception):  # noqa: N818 - it is a reply, not a failure
    """An error reply, its first word what kind."""


OK = Status(b"OK")


class Stream:
    """Entries by their ids, in order."""

    def __init__(self) -> None:
        self.ids: list[_Id] = []
        self.entries: dict[_Id, list[bytes]] = {}
        self.last: _Id = (0, 0)

    def __len__(self) -> int:
        return len(self.ids)


class Store:
    """`now_ms`: its clock. `calls`: what was carried out, in order, for whoever looks on."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.now_ms = now_ms
        self._values: dict[bytes, Any] = {}
        self._ends_ms: dict[bytes, int] = {}
        self._functions: dict[bytes, Any] = {}
        self.on_write: Callable[[Sequence[bytes], Reply], None] = lambda command, reply: None

    def load(self, library: str) -> None:
        """FUNCTION LOAD, whatever had been loaded."""
        self._functions = dict(_functions_of(self, library))

    def run(self, command: Sequence[bytes]) -> Reply:
        """Carry out one command; a Refusal is returned, not raised."""
        name = command[0].upper().decode()
        try:
            method = getattr(self, f"_{name.lower()}", None)
            if method is None:
                raise NotImplementedError(f"the model of Redis has no {name}")
            reply = method(*command[1:])
        except Refusal as refusal:
            return refusal
        if name in WRITES:
            self.on_write(command, reply)
        return reply

    def value(self, key: bytes) -> Any:
        """What lies under a key, None when it is over; for those who look on."""
        ends_ms = self._ends_ms.get(key)
        if ends_ms is not None and ends_ms <= self.now_ms():
            del self._values[key], self._ends_ms[key]
        return self._values.get(key)

    # inside

    def _typed(self, key: bytes, kind: type[Any]) -> Any:
        value = self.value(key)
        if value is not None and not isinstance(value, kind):
            raise Refusal("WRONGTYPE Operation against a key holding the wrong kind of value")
        return value

    def _put(self, key: bytes, value: Any, ends_ms: int | None) -> None:
        self._values[key] = value
        if ends_ms is None:
            self._ends_ms.pop(key, None)
        else:
            self._ends_ms[key] = ends_ms

    def _made(self, key: bytes, kind: type[Any]) -> Any:
        value = self._typed(key, kind)
        if value is None:
            value = self._values[key] = kind()
        return value

    def _drop_empty(self, key: bytes) -> None:
        if not self._values[key]:
            del self._values[key]
            self._ends_ms.pop(key, None)

    # the connection's commands

    def _auth(self, *_: bytes) -> Reply:
        return OK

    _select = _auth

    def _client(self, *_: bytes) -> Reply:
        return OK

    def _ping(self) -> Reply:
        return Status(b"PONG")

    def _asking(self) -> Reply:
        return OK

    def _time(self) -> Reply:
        now_ms = self.now_ms()
        return [b"%d" % (now_ms // 1000), b"%d" % (now_ms % 1000 * 1000)]

    # keys

    def _del(self, *keys: bytes) -> Reply:
        gone = 0
        for key in keys:
            if self.value(key) is not None:
                del self._values[key]
                self._ends_ms.pop(key, None)
                gone += 1
        return gone

    def _exists(self, *keys: bytes) -> Reply:
        return sum(self.value(key) is not None for key in keys)

    def _pexpire(self, key: bytes, ms: bytes, condition: bytes = b"") -> Reply:
        return self._ends_in(key, _int(ms), condition)

    def _expire(self, key: bytes, seconds: bytes, condition: bytes = b"") -> Reply:
        return self._ends_in(key, _int(seconds) * 1000, condition)

    def _ends_in(self, key: bytes, ms: int, condition: bytes) -> int:
        if self.value(key) is None or (condition.upper() == b"NX" and key in self._ends_ms):
            return 0
        self._ends_ms[key] = self.now_ms() + ms
        self.value(key)
        return 1

    def _pttl(self, key: bytes) -> Reply:
        if self.value(key) is None:
            return -2
        return self._ends_ms[key] - self.now_ms() if key in self._ends_ms else -1

    # strings

    def _get(self, key: bytes) -> Reply:
        return self._typed(key, bytes)

    def _mget(self, *keys: bytes) -> Reply:
        values = [self.value(key) for key in keys]
        return [value if isinstance(value, bytes) else None for value in values]

    def _set(self, key: bytes, value: bytes, *options: bytes) -> Reply:
        words = [word.upper() for word in options]
        if b"NX" in words and self.value(key) is not None:
            return None
        self.value(key)
        ends_ms = self._ends_ms.get(key) if b"KEEPTTL" in words else None
        for word, unit_ms in ((b"PX", 1), (b"EX", 1000)):
            if word in words:
                ms = _int(options[words.index(word) + 1]) * unit_ms
                if ms <= 0:
                    raise Refusal("ERR invalid expire time in 'set' command")
                ends_ms = self.now_ms() + ms
        self._put(key, bytes(value), ends_ms)
        return OK

    def _incrby(self, key: bytes, by: bytes) -> Reply:
        before = self._typed(key, bytes)
        value = _int(b"0" if before is None else before) + _int(by)
        self._values[key] = b"%d" % value
        return value

    def _incr(self, key: bytes) -> Reply:
        return self._incrby(key, b"1")

    # hashes

    def _hget(self, key: bytes, field: bytes) -> Reply:
        return (self._typed(key, dict) or {}).get(field)

    def _hmget(self, key: bytes, *fields: bytes) -> Reply:
        found = self._typed(key, dict) or {}
        return [found.get(field) for field in fields]

    def _hset(self, key: bytes, *pairs: bytes) -> Reply:
        found = self._made(key, dict)
        before = len(found)
        found.update(zip(pairs[::2], pairs[1::2], strict=True))
        return len(found) - before

    def _hdel(self, key: bytes, *fields: bytes) -> Reply:
        found = self._typed(key, dict)
        if found is None:
            return 0
        gone = sum(found.pop(field, None) is not None for field in fields)
        self._drop_empty(key)
        return gone

    def _hlen(self, key: bytes) -> Reply:
        return len(self._typed(key, dict) or {})

    def _hexists(self, key: bytes, field: bytes) -> Reply:
        return int(field in (self._typed(key, dict) or {}))

    def _hincrby(self, key: bytes, field: bytes, by: bytes) -> Reply:
        value = _int((self._typed(key, dict) or {}).get(field, b"0")) + _int(by)
        self._made(key, dict)[field] = b"%d" % value
        return value

    def _hgetall(self, key: bytes) -> Reply:
        return [word for pair in (self._typed(key, dict) or {}).items() for word in pair]

    def _hvals(self, key: bytes) -> Reply:
        return list((self._typed(key, dict) or {}).values())

    # streams

    def _xadd(self, key: bytes, *words: bytes) -> Reply:
        limit: int | None = None
        if words[0].upper() == b"MAXLEN":
            exact = words[1] not in (b"~", b"=")
            limit, words = _int(words[1 if exact else 2]), words[2 if exact else 3 :]
        if words[0] != b"*":
            raise Refusal("ERR the model makes up all ids")
        stream: Stream = self._made(key, Stream)
        now_ms, (last_ms, last) = self.now_ms(), stream.last
        stream.last = entry_id = (now_ms, 0) if now_ms > last_ms else (last_ms, last + 1)
        stream.ids.append(entry_id)
        stream.entries[entry_id] = [bytes(word) for word in words[1:]]
        while limit is not None and len(stream.ids) > limit:
            del stream.entries[stream.ids.pop(0)]
        return _shown(entry_id)

    def _xlen(self, key: bytes) -> Reply:
        return len(self._typed(key, Stream) or ())

    def _xdel(self, key: bytes, *ids: bytes) -> Reply:
        stream: Stream | None = self._typed(key, Stream)
        gone = 0
        for entry_id in map(_id, ids):
            if stream is not None and stream.entries.pop(entry_id, None) is not None:
                del stream.ids[bisect_left(stream.ids, entry_id)]
                gone += 1
        return gone  # a stream stays, if only for its last id

    def _xrange(self, key: bytes, first: bytes, last: bytes, *count: bytes) -> Reply:
        stream: Stream | None = self._typed(key, Stream)
        if stream is None:
            return []
        beyond = first.startswith(b"(")
        low = (0, 0) if first == b"-" else _id(first[beyond:])
        at = bisect_right(stream.ids, low) if beyond else bisect_left(stream.ids, low)
        end = len(stream.ids) if last == b"+" else bisect_right(stream.ids, _id(last, 1 << 64))
        found = stream.ids[at:end]
        return [
            [_shown(each), list(stream.entries[each])] for each in found[: _int(count[1]) if count else None]
        ]

    # functions

    def _function(self, *words: bytes) -> Reply:
        library = words[-1].decode()
        if words[0].upper() != b"LOAD":
            raise Refusal("ERR only LOAD is known")
        name = library.partition("name=")[2].split(None, 1)[0]
        if self._functions and b"REPLACE" not in [word.upper() for word in words]:
            raise Refusal(f"ERR Library '{name}' already exists")
        self.load(library)
        return name.encode()

    def _fcall(self, name: bytes, keys: bytes, *words: bytes) -> Reply:
        function = self._functions.get(name)
        if function is None:
            raise Refusal("ERR Function not found")
        try:
            return function(_int(keys), words)
        except luajit21.LuaError as error:
            raise Refusal(f"ERR {error}") from error


#: What a server that takes no writes refuses (all of our functions write).
WRITES = frozenset(
    {"SET", "DEL", "INCR", "INCRBY", "HSET", "HDEL", "HINCRBY", "PEXPIRE", "EXPIRE", "XADD", "XDEL", "FCALL"}
)


def _int(word: bytes) -> int:
    try:
        return int(word)
    except ValueError:
        raise Refusal("ERR value is not an integer or out of range") from None


def _id(word: bytes, least: int = 0) -> _Id:
    ms, dash, number = word.partition(b"-")
    return _int(ms), _int(number) if dash else least


def _shown(entry_id: _Id) -> bytes:
    return b"%d-%d" % entry_id


# Lua

_PRELUDE = b"""
return function(call, pack, unpack_, library)
  local found = {}
  local function checked(ok, value) if not ok then error(value, 0) end return value end
  redis = {
    call = function(...) return checked(call(...)) end,
    register_function = function(name, body) found[name] = body end,
  }
  cmsgpack = {pack = pack, unpack = unpack_}
  unpack = unpack or table.unpack
  assert(loadstring(library))()
  return found
end
"""


def _functions_of(store: Store, library: str) -> list[tuple[bytes, Callable[[int, Sequence[bytes]], Reply]]]:
    """Each registered function by its name, taking the number of keys and all words."""
    lua = luajit21.LuaRuntime(encoding=None, unpack_returned_tuples=True)

    def call(name: bytes, *words: Any) -> tuple[bool, Any]:
        try:
            command = [name, *(_word(word) for word in words)]
        except TypeError as error:
            return False, str(error).encode()
        reply = store.run(command)
        if isinstance(reply, Refusal):
            return False, str(reply).encode()
        return True, _to_lua(lua, reply)

    def bound(body: Any) -> Callable[[int, Sequence[bytes]], Reply]:
        def run(keys: int, words: Sequence[bytes]) -> Reply:
            reply = body(lua.table_from(words[:keys]), lua.table_from(words[keys:]))
            return _from_lua(reply[0] if isinstance(reply, tuple) else reply)

        return run

    code = library.partition("\n")[2]  # its first line says the engine and the name
    make = lua.execute(_PRELUDE)
    found = make(
        call,
        lambda table: marshal.dumps(_plain(table)),
        lambda packed: _to_lua(lua, marshal.loads(packed)),
        code.encode(),
    )
    return [(name, bound(body)) for name, body in found.items()]


def _word(value: Any) -> bytes:
    """A Lua value as an argument of redis.call."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, float) and value.is_integer():
        return b"%d" % int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError("Lua redis lib command arguments must be strings or integers")
    return str(value).encode()


def _to_lua(lua: Any, value: Any) -> Any:
    if value is None:
        return False
    if isinstance(value, Status):
        return lua.table_from({b"ok": bytes(value)})
    if isinstance(value, list):
        return lua.table_from([_to_lua(lua, each) for each in value])
    return value


def _from_lua(value: Any) -> Reply:
    """As Redis turns what a function returns into a reply: a table ends at its first nil."""
    if value is None or value is False:
        return None
    if value is True:
        return 1
    if isinstance(value, float):
        return int(value)
    if luajit21.lua_type(value) == "table":
        return _list(value, _from_lua)
    return value


def _plain(value: Any) -> Any:
    return _list(value, _plain) if luajit21.lua_type(value) == "table" else value


def _list(table: Any, each: Callable[[Any], Any]) -> list[Any]:
    found = []
    at = 1
    while (value := table[at]) is not None:
        found.append(each(value))
        at += 1
    return found
