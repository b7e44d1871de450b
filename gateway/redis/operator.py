"""What the operator's commands do to the gateway's state: locks, and what is parked or dead. Synchronous,
over the store's nodes.

Nothing here shows a number: an entry is known by its route, shard and id, its subscriber by his pseudonym.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from gateway.dialog import state as dialog_state
from gateway.redis.keys import (
    PARK_SHARDS,
    lease_key,
    of_tag,
    park_key,
    parked_key,
    parts_key,
    shard_of,
    state_key,
    tag_of,
)
from location_store.errors import BadInput, StoreRefused
from location_store.nodes import Command, Nodes
from location_store.pseudonyms import Pseudonym, Pseudonyms

_PAGE = 500
_ENTRY = re.compile(r"(?P<route>.+)/(?P<shard>[0-9]{1,3})/(?P<kind>[qx])/(?P<id>[0-9]+-[0-9]+)")


class Parked(NamedTuple):
    """One parked or dead message. Times are unix seconds; `reason` and `died_s` of the dead only."""

    id: str  # "<route>/<shard>/<q waiting, x dead>/<stream id>": what `parked retry` and `parked drop` take
    route: str
    subscriber: str  # his pseudonym
    received_s: float
    expires_s: float
    tries: int
    dead: bool
    reason: str
    died_s: float | None


def locked_until_many(
    nodes: Nodes, names: Pseudonyms, msisdns: Sequence[str], now_s: float
) -> list[float | None]:
    """Until when wrong digits have locked each subscriber (unix seconds), None where they have not."""
    blobs = _states(nodes, [names.of(msisdn) for msisdn in msisdns])
    if names.older is not None:  # a state under the older key holds until there is a new one
        older = _states(nodes, [names.older.of(msisdn) for msisdn in msisdns])
        blobs = [new or old for new, old in zip(blobs, older, strict=True)]
    return [None if blob is None else dialog_state.locked_until(_state(blob), now_s) for blob in blobs]


def _states(nodes: Nodes, who: Sequence[Pseudonym]) -> list[bytes | None]:
    keys = [state_key(one) for one in who]
    return nodes.run([Command(key, ("GET", key)) for key in keys])


def unlock(nodes: Nodes, who: Pseudonym) -> bool:
    """Clear lock and wrong tries; whether there was anything to clear."""
    key = state_key(who)
    blob = nodes.call(key, "GET", key)
    if blob is None:
        return False
    before = _state(blob)
    after = dialog_state.unlocked(before)
    if after == before:
        return False
    nodes.call(key, "SET", key, dialog_state.pack(after), "KEEPTTL")
    return True


def dialog_keys(who: Pseudonym) -> list[bytes]:
    """What `forget` deletes beside the history: where the dialog stands, parts of long messages, and the
    turn, so that an answer under way (it has left, or will within milliseconds) writes no state any more.
    """
    return [state_key(who), lease_key(who), parked_key(who), parts_key(who)]


def forget_parked(nodes: Nodes, routes: Sequence[str], who: Pseudonym) -> int:
    """Remove the subscriber's messages from the park and the dead letters; how many there were."""
    removed, tag = 0, tag_of(who).encode()
    for route in routes:
        shard = shard_of(who)
        for key in (park_key(b"q", route, shard), park_key(b"x", route, shard)):
            for stream_id, fields in _entries(nodes, key):
                if fields[b"s"] == tag:
                    removed += nodes.call(key, "XDEL", key, stream_id)
    return removed


def _state(blob: bytes) -> dialog_state.State:
    try:
        return dialog_state.unpack(blob)
    except dialog_state.StateError as error:
        raise StoreRefused(f"a stored dialog state cannot be read: {error}") from error


def parked(nodes: Nodes, routes: Sequence[str]) -> Iterator[Parked]:
    """All entries of the routes, waiting ones first, oldest first in each shard."""
    for dead in (False, True):
        for route in routes:
            for shard in range(PARK_SHARDS):
                yield from _shard(nodes, route, shard, dead)


def retry(nodes: Nodes, entry: str, now_s: float, ttl_s: float) -> None:
    """Put a dead letter back to be worked off, with a new time to live. Raises BadInput when there is none
    of that id.
    """
    route, shard, kind, stream_id = _parts(entry)
    dead, waiting = park_key(b"x", route, shard), park_key(b"q", route, shard)
    found = nodes.call(dead, "XRANGE", dead, stream_id, stream_id) if kind == b"x" else []
    if not found:
        raise BadInput(f"no dead letter {entry!r}: `cxmyd parked list` shows their ids")
    fields = found[0][1]
    name, expires_ms = fields.get(b"u", stream_id.encode()), int((now_s + ttl_s) * 1000)
    parked = parked_key(of_tag(fields[b"s"].decode()))
    # Listed before it is there (gateway.redis.park says why).
    nodes.call(parked, "HSET", parked, name, expires_ms)
    nodes.call(parked, "EXPIRE", parked, int(ttl_s) + 1)
    # Added before removed: if we die in between it is in both, and its mark keeps it from being answered
    # twice. `g` says that its time to live has begun anew.
    nodes.call(
        waiting, "XADD", waiting, "*", "s", fields[b"s"], "u", name, "t", fields[b"t"], "c", fields[b"c"],
        "h", "0", "x", expires_ms, "g", stream_id,
    )  # fmt: skip
    nodes.call(dead, "XDEL", dead, stream_id)


def drop(nodes: Nodes, entry: str) -> None:
    """Remove an entry, dead or waiting, for good. Raises BadInput when there is none of that id."""
    route, shard, kind, stream_id = _parts(entry)
    key = park_key(kind, route, shard)
    found = nodes.call(key, "XRANGE", key, stream_id, stream_id)
    if not found or not nodes.call(key, "XDEL", key, stream_id):
        raise BadInput(f"nothing parked under {entry!r}: `cxmyd parked list` shows the ids")
    if kind == b"q":
        fields = found[0][1]
        tries, parked = park_key(b"n", route, shard), parked_key(of_tag(fields[b"s"].decode()))
        nodes.call(tries, "HDEL", tries, stream_id, f"{stream_id}/s")
        nodes.call(parked, "HDEL", parked, fields.get(b"u", stream_id.encode()))


def _shard(nodes: Nodes, route: str, shard: int, dead: bool) -> Iterator[Parked]:
    key = park_key(b"x" if dead else b"q", route, shard)
    tries_key = park_key(b"n", route, shard)
    tries: Mapping[bytes, bytes] = nodes.call(tries_key, "HGETALL", tries_key)
    for stream_id, fields in _entries(nodes, key):
        died = fields.get(b"d")
        yield Parked(
            f"{route}/{shard}/{'x' if dead else 'q'}/{stream_id.decode()}",
            route,
            fields[b"s"].decode(),
            int(fields[b"t"]) / 1000,
            int(fields[b"x"]) / 1000,
            int(fields.get(b"n", 0) if dead else tries.get(stream_id, 0)),
            dead,
            fields.get(b"r", b"").decode(),
            int(died) / 1000 if dead and died else None,
        )


def _entries(nodes: Nodes, key: bytes) -> Iterator[tuple[bytes, Mapping[bytes, bytes]]]:
    """All entries of one stream, a page at a time."""
    start = "-"
    while True:
        found = nodes.call(key, "XRANGE", key, start, "+", "COUNT", _PAGE)
        yield from found
        if len(found) < _PAGE:
            return
        start = "(" + found[-1][0].decode()


def _parts(entry: str) -> tuple[str, int, bytes, str]:
    match = _ENTRY.fullmatch(entry)
    if match is None or int(match["shard"]) >= PARK_SHARDS:
        raise BadInput(f"{entry!r} is no id of a parked message: `cxmyd parked list` shows them")
    return match["route"], int(match["shard"]), match["kind"].encode(), match["id"]
