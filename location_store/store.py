"""The store: the packed records of subscribers in Redis, under pseudonyms.

    b:{partition}:bucket   hash, field -> packed record (`record`); b1: and so on after rotations (`rotation`)
    cxmyd:layout           partitions and buckets that the keys were made with (`claims`)
    cxmyd:key              public id of the key that the pseudonyms were made with (`claims`)
    cxmyd:erased           stream of the pseudonyms that were forgotten in the last two days (`erasures`)
    cxmyd:swept            hash, partition -> when it was swept (`sweep`)
    cxmyd:carriers         hash, carrier's name -> its number in the packed subscriber
    i:name                 what an import had done at one point of its input; expires after the window

Invariants: neither key nor field reveals a number; a record is replaced only if it is still the one that was
read (by its write counter), so writers never undo one another; keys of one partition share a slot.
Called by the imports and by the operator's commands. The gateway reads the same keys over its own
connections.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import hiredis

from location_store import erasures, subscribers
from location_store.claims import claims
from location_store.errors import StoreRefused, StoreUnavailable
from location_store.nodes import Command, Flight, Nodes, Packed
from location_store.pseudonyms import Pseudonym, Pseudonyms, bucket_key
from location_store.record import rewritten, unpack
from location_store.subscribers import Subscriber

MIN_VERSION = (7, 0)
FIELDS_A_CALL = 256
MAX_CARRIERS = 255
CARRIERS_KEY = b"cxmyd:carriers"

MAX_ATTEMPTS = 100
"""How often a value that others write at the same time is read again before we give up."""

_LISTPACK = {"hash-max-listpack-value": 512, "hash-max-listpack-entries": 256}
"""A bucket of 128 subscribers stays a listpack under these; as a hash table it takes twice the memory."""


class Update(NamedTuple):
    """A record to write if the one read before is still there. None: no record, before or after."""

    pseudonym: Pseudonym
    read: bytes | None
    value: bytes | None


class Store:
    """A connection to the store. Every method raises StoreUnavailable or StoreRefused."""

    def __init__(
        self, nodes: Nodes, *, checkpoint_ttl_s: int, wait_replicas: int = 0, wait_ms: int = 1000
    ) -> None:
        self.nodes = nodes
        self._wait_replicas, self._wait_ms = wait_replicas, wait_ms
        self.warnings: list[str] = []
        """What an operator should know about this Redis, one line each."""
        self._checkpoint_ttl_s = checkpoint_ttl_s

    @classmethod
    def connect(
        cls,
        url: str,
        pseudonyms: Pseudonyms,
        *,
        keep_days: int = 14,
        wait_replicas: int = 0,
        wait_ms: int = 1000,
    ) -> Self:
        """Connect and check: reachable, credentials, version, layout and key; load the server functions.

        `url`: redis://, rediss://, unix:// or redis+cluster://host:port,host:port. `keep_days`: the longest
        window of any carrier; checkpoints are kept two days longer. `wait_replicas`, `wait_ms`: see
        `confirm`. Raises StoreUnavailable, StoreRefused.
        """
        library = (Path(__file__).parent / "functions.lua").read_text()
        store = cls(
            Nodes(url, library),
            checkpoint_ttl_s=(keep_days + 2) * 86_400,
            wait_replicas=wait_replicas,
            wait_ms=wait_ms,
        )
        store._check_version()
        store._check_claims(pseudonyms)
        store._check_memory_settings()
        store.nodes.load()
        return store

    def close(self) -> None:
        self.nodes.close()

    # --- reading ---

    def read(self, pseudonyms: Sequence[Pseudonym]) -> list[bytes | None]:
        """The packed record of each, None where there is none."""
        values: list[bytes | None] = [None] * len(pseudonyms)
        batches = list(_batches(pseudonyms))
        found = self.finish_read(
            self.start_read([(key, [pseudonyms[n].field for n in numbers]) for key, numbers in batches])
        )
        for number, value in zip((n for _, numbers in batches for n in numbers), found, strict=True):
            values[number] = value
        return values

    def start_read(self, batches: Iterable[tuple[bytes, Sequence[bytes]]]) -> Flight:
        """Ask for the records of some fields of buckets, at most `FIELDS_A_CALL` of one at a time."""
        return self.nodes.start([_command(key, b"HMGET", key, *fields) for key, fields in batches])

    def finish_read(self, flight: Flight) -> list[bytes | None]:
        """The records that were asked for, in order."""
        return [value for (values,) in self.nodes.finish(flight) for value in values]

    def carriers(self) -> dict[int, str]:
        """Names of the carriers by the number that stands for them in a packed subscriber."""
        registry = self.nodes.call(CARRIERS_KEY, "HGETALL", CARRIERS_KEY)
        return {int(number): name.decode() for name, number in registry.items()}

    # --- writing ---

    def put(self, updates: Sequence[Update]) -> list[int]:
        """Write records; the indices of those that somebody else wrote meanwhile: read them again.

        A record must carry the counter of the one read plus 1 (`record.rewritten`). One update for each
        subscriber.
        """
        batches = list(_batches([update.pseudonym for update in updates]))
        flight = self.start_put(
            (key, [part for n in numbers for part in _change(updates[n])]) for key, numbers in batches
        )
        numbers = [n for _, batch in batches for n in batch]
        return sorted(numbers[n] for n in self.finish_put(flight, [len(batch) for _, batch in batches]))

    def start_put(self, batches: Iterable[tuple[bytes, Sequence[bytes]]]) -> Flight:
        """Write records of buckets, at most `FIELDS_A_CALL` of one at a time.

        Three parts each: field, counter that must be found (b"": no record), record (b"": none any more).
        """
        return self.nodes.start(
            [_command(key, b"FCALL", b"cxmyd_put", b"1", key, *parts) for key, parts in batches]
        )

    def finish_put(self, flight: Flight, sizes: Iterable[int]) -> list[int]:
        """The indices of the records that were not written; `sizes`: how many each batch had."""
        refused, first = [], 0
        for (numbers,), size in zip(self.nodes.finish(flight), sizes, strict=True):
            refused += [first + number for number in numbers]
            first += size
        return refused

    def carrier_id(self, name: str) -> int:
        """The number of a carrier in packed subscribers, given out at the first call for its name."""
        number: int = self.nodes.call(
            CARRIERS_KEY, "FCALL", "cxmyd_enumerate", 1, CARRIERS_KEY, name, MAX_CARRIERS
        )
        if number < 0:
            raise StoreRefused(
                f"{self.nodes.name} knows {MAX_CARRIERS} carriers already: {name!r} is one too many"
            )
        return number

    def set_blocked(self, pseudonym: Pseudonym, *, blocked: bool) -> None:
        """Block or unblock a number, known or not; a mark alone does not make it known."""

        def change(subscriber: Subscriber) -> Subscriber:
            return subscriber._replace(blocked=blocked)

        self._change_subscriber(pseudonym, change)

    def forget(self, pseudonym: Pseudonym, extra_keys: Sequence[bytes] = ()) -> None:
        """Erase the history and the record, and delete `extra_keys` (of the same partition).

        What is left is the mark that the number was forgotten, until it is imported again. Ingesters are
        told before and after (see `erasures`).
        """
        keys = [bucket_key(pseudonym), *extra_keys]
        mark = subscribers.pack(Subscriber(forgotten=True))
        self.nodes.run([erasures.entry(pseudonym, time.time())])
        self.nodes.call(keys[0], "FCALL", "cxmyd_forget", len(keys), *keys, pseudonym.field, mark)
        self.nodes.run([erasures.entry(pseudonym, time.time())])
        self.confirm()

    def checkpoint(self, name: str) -> bytes | None:
        """What was saved under this name, None where nothing was or it has expired."""
        key = b"i:" + name.encode()
        value: bytes | None = self.nodes.call(key, "GET", key)
        return value

    def save_checkpoints(self, values: Iterable[tuple[str, bytes]]) -> None:
        """Keep values under their names until all that was in time with them is older than the window."""
        keys = [(b"i:" + name.encode(), value) for name, value in values]
        self.nodes.run(
            [Command(key, ("SET", key, value, "EX", self._checkpoint_ttl_s)) for key, value in keys]
        )

    def confirm(self) -> None:
        """Return once `wait_replicas` replicas of every primary have what was written so far.

        Raises StoreUnavailable when they have not after `wait_ms`: what was written since the last time may
        be undone by a failover, and has to be written again.
        """
        self.nodes.wait(self._wait_replicas, self._wait_ms)

    # --- how ---

    def _change_subscriber(self, pseudonym: Pseudonym, change: Callable[[Subscriber], Subscriber]) -> None:
        """Replace a record by what `change` makes of it, however many write it at the same time."""
        for _ in range(MAX_ATTEMPTS):
            (read,) = self.read([pseudonym])
            before = unpack(read)
            after = before._replace(subscriber=change(before.subscriber))
            if after == before or not self.put([Update(pseudonym, read, rewritten(read, after))]):
                self.confirm()
                return
        raise StoreUnavailable(f"{self.nodes.name}: a subscriber's record changes too fast to be written")

    def _check_version(self) -> None:
        for info in self.nodes.on_primaries("INFO"):
            version = str(info.get("redis_version", "0"))
            if tuple(int(part) for part in version.split(".")[:2]) < MIN_VERSION:
                raise StoreRefused(
                    f"{self.nodes.name} is version {version}: 7.0 or newer is needed (or Valkey)"
                )
            if not self.nodes.is_cluster and info.get("redis_mode") == "cluster":
                raise StoreRefused(
                    f"{self.nodes.name} is a node of a cluster: use redis+cluster://host:port,…"
                )

    def _check_claims(self, pseudonyms: Pseudonyms) -> None:
        for claim in claims(pseudonyms):
            self.nodes.call(claim.key, "SET", claim.key, claim.value, "NX")
            try:
                if claim.replaces(self.nodes.call(claim.key, "GET", claim.key)):
                    self.nodes.call(claim.key, "SET", claim.key, claim.value)
            except StoreRefused as error:
                raise StoreRefused(f"{self.nodes.name}: {error}") from error

    def _check_memory_settings(self) -> None:
        """Let a bucket stay a listpack; where the server does not let itself be configured, say so."""
        for name, least in _LISTPACK.items():
            try:
                for reply in self.nodes.on_primaries("CONFIG GET", name):
                    if int(reply.get(name, least)) < least:
                        self.nodes.on_primaries("CONFIG", "SET", name, least)
            except StoreRefused:
                self.warnings.append(
                    f"{self.nodes.name} may need twice the memory: set {name} to {least} or more"
                )


def _command(key: bytes, *args: bytes) -> Packed:
    whole: Any = args  # hiredis says that it takes tuples of one element
    return Packed(key, hiredis.pack_command(whole), 1)


def _change(update: Update) -> tuple[bytes, bytes, bytes]:
    return update.pseudonym.field, (update.read or b"")[:1], update.value or b""


def _batches(pseudonyms: Sequence[Pseudonym]) -> Iterator[tuple[bytes, list[int]]]:
    """Buckets with the indices of the pseudonyms that lie in them, at most `FIELDS_A_CALL` at a time."""
    buckets: defaultdict[tuple[int, int, int], list[int]] = defaultdict(list)
    for index, (partition, bucket, _, number) in enumerate(pseudonyms):
        buckets[partition, bucket, number].append(index)
    for numbers in buckets.values():
        key = bucket_key(pseudonyms[numbers[0]])
        for start in range(0, len(numbers), FIELDS_A_CALL):
            yield key, numbers[start : start + FIELDS_A_CALL]
