"""The store: packed histories and subscriber records in Redis, under pseudonyms.

    h:{partition}:bucket   hash, field -> packed history (`record`); expires when nobody in it was seen for
    the window s:{partition}:bucket   hash, field -> packed subscriber (`subscribers`)
    cxmyd:layout           partitions and buckets that the keys were made with (`claims`)
    cxmyd:key              public id of the key that the pseudonyms were made with (`claims`)
    cxmyd:carriers         hash, carrier's name -> its number in the packed subscriber
    i:name                 what an import had done at one point of its input; expires like a history

Invariants: neither key nor field reveals a number; a value is replaced only if it is still the one that was
read (a history by its write counter), so writers never undo one another; keys of one partition share a slot.
Called by the imports and by the operator's commands. The gateway reads the same keys over its own
connections.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from location_store.claims import claims
from location_store.errors import StoreRefused, StoreUnavailable
from location_store.nodes import Command, Nodes
from location_store.pseudonyms import Pseudonym, Pseudonyms
from location_store.subscribers import Subscriber, pack, unpack

MIN_VERSION = (7, 0)
UPDATES_A_CALL = 64
FIELDS_A_CALL = 512
MAX_CARRIERS = 255
CARRIERS_KEY = b"cxmyd:carriers"

MAX_ATTEMPTS = 100
"""How often a value that others write at the same time is read again before we give up."""

_LISTPACK = {"hash-max-listpack-value": 512, "hash-max-listpack-entries": 256}
"""A bucket of 128 subscribers stays a listpack under these; as a hash table it takes twice the memory."""

KeyOf = Callable[[Pseudonym], bytes]


def history_key(pseudonym: Pseudonym) -> bytes:
    """Key of the hash that holds this subscriber's history, under `pseudonym.field`."""
    return b"h:{%d}:%d" % (pseudonym.partition, pseudonym.bucket)


def subscriber_key(pseudonym: Pseudonym) -> bytes:
    """Key of the hash that holds this subscriber's record, under `pseudonym.field`."""
    return b"s:{%d}:%d" % (pseudonym.partition, pseudonym.bucket)


class Update(NamedTuple):
    """A value to write if the one read before is still there. None: no value, before or after."""

    pseudonym: Pseudonym
    read: bytes | None
    value: bytes | None


class Store:
    """A connection to the store. Every method raises StoreUnavailable or StoreRefused."""

    def __init__(self, nodes: Nodes, *, history_ttl_s: int) -> None:
        self.nodes = nodes
        self.warnings: list[str] = []
        """What an operator should know about this Redis, one line each."""
        self._history_ttl_s = history_ttl_s

    @classmethod
    def connect(cls, url: str, pseudonyms: Pseudonyms, *, keep_days: int = 14) -> Self:
        """Connect and check: reachable, credentials, version, layout and key; load the server functions.

        `url`: redis://, rediss://, unix:// or redis+cluster://host:port,host:port. `keep_days`: the longest
        window of any carrier; a bucket expires two days after it. Raises StoreUnavailable, StoreRefused.
        """
        library = (Path(__file__).parent / "functions.lua").read_text()
        store = cls(Nodes(url, library), history_ttl_s=(keep_days + 2) * 86_400)
        store._check_version()
        store._check_claims(pseudonyms)
        store._check_memory_settings()
        store.nodes.load()
        return store

    def close(self) -> None:
        self.nodes.close()

    # --- reading ---

    def read_many(self, pseudonyms: Sequence[Pseudonym]) -> list[tuple[bytes | None, bytes | None]]:
        """(packed history, packed subscriber) of each, None where there is none."""
        histories = self._read(history_key, pseudonyms)
        return list(zip(histories, self._read(subscriber_key, pseudonyms), strict=True))

    def read_histories(self, pseudonyms: Sequence[Pseudonym]) -> list[bytes | None]:
        """The packed history of each, None where there is none."""
        return self._read(history_key, pseudonyms)

    def read_subscribers(self, pseudonyms: Sequence[Pseudonym]) -> list[bytes | None]:
        """The packed subscriber of each, None where there is none."""
        return self._read(subscriber_key, pseudonyms)

    def carriers(self) -> dict[int, str]:
        """Names of the carriers by the number that stands for them in a packed subscriber."""
        registry = self.nodes.call(CARRIERS_KEY, "HGETALL", CARRIERS_KEY)
        return {int(number): name.decode() for name, number in registry.items()}

    # --- writing ---

    def put_histories(self, updates: Sequence[Update]) -> list[int]:
        """Write packed histories; the indices of those that somebody else wrote meanwhile: read them again.

        A value must carry the counter of the one read plus 1 (`record.pack`).
        """
        return self._put(history_key, updates, ttl_s=self._history_ttl_s, compare_bytes=1)

    def put_subscribers(self, updates: Sequence[Update]) -> list[int]:
        """Write packed subscribers; the indices of those that somebody else wrote meanwhile."""
        return self._put(subscriber_key, updates, ttl_s=0, compare_bytes=None)

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

        self._change(pseudonym, change)

    def forget(self, pseudonym: Pseudonym, extra_keys: Sequence[bytes] = ()) -> None:
        """Erase the history and the record, and delete `extra_keys` (of the same partition).

        What is left is the mark that the number was forgotten, until it is imported again.
        """
        keys = [history_key(pseudonym), subscriber_key(pseudonym), *extra_keys]
        mark = pack(Subscriber(forgotten=True))
        self.nodes.call(keys[0], "FCALL", "cxmyd_forget", len(keys), *keys, pseudonym.field, mark)

    def checkpoint(self, name: str) -> bytes | None:
        """What was saved under this name, None where nothing was or it has expired."""
        key = b"i:" + name.encode()
        value: bytes | None = self.nodes.call(key, "GET", key)
        return value

    def save_checkpoint(self, name: str, value: bytes) -> None:
        """Keep `value` until everything that was in time with it is older than the window."""
        key = b"i:" + name.encode()
        self.nodes.call(key, "SET", key, value, "EX", self._history_ttl_s)

    # --- how ---

    def _change(self, pseudonym: Pseudonym, change: Callable[[Subscriber], Subscriber]) -> None:
        """Replace a record by what `change` makes of it, however many write it at the same time."""
        for _ in range(MAX_ATTEMPTS):
            (read,) = self.read_subscribers([pseudonym])
            before = unpack(read) if read else Subscriber()
            after = change(before)
            if after == before:
                return
            value = None if after == Subscriber() else pack(after)
            if not self.put_subscribers([Update(pseudonym, read, value)]):
                return
        raise StoreUnavailable(f"{self.nodes.name}: a subscriber's record changes too fast to be written")

    def _read(self, key_of: KeyOf, pseudonyms: Sequence[Pseudonym]) -> list[bytes | None]:
        values: list[bytes | None] = [None] * len(pseudonyms)
        buckets = [
            (key, numbers[start : start + FIELDS_A_CALL])
            for key, numbers in _by_key(key_of, pseudonyms).items()
            for start in range(0, len(numbers), FIELDS_A_CALL)
        ]
        commands = [
            Command(key, ("HMGET", key, *(pseudonyms[n].field for n in numbers))) for key, numbers in buckets
        ]
        for (_, numbers), reply in zip(buckets, self.nodes.run(commands), strict=True):
            for number, value in zip(numbers, reply, strict=True):
                values[number] = value
        return values

    def _put(
        self, key_of: KeyOf, updates: Sequence[Update], *, ttl_s: int, compare_bytes: int | None
    ) -> list[int]:
        commands: list[Command] = []
        batches: list[list[int]] = []
        for call in _calls(_by_key(key_of, [update.pseudonym for update in updates]), updates):
            args: list[bytes | int] = []
            batch: list[int] = []
            for at, (_, numbers) in enumerate(call, 1):
                for number in numbers:
                    pseudonym, read, value = updates[number]
                    args += (at, pseudonym.field, (read or b"")[:compare_bytes], value or b"")
                batch += numbers
            keys = [key for key, _ in call]
            commands.append(Command(keys[0], ("FCALL", "cxmyd_put", len(keys), *keys, ttl_s, *args)))
            batches.append(batch)
        replies = self.nodes.run(commands)
        return sorted(batch[n] for batch, refused in zip(batches, replies, strict=True) for n in refused)

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


def _by_key(key_of: KeyOf, pseudonyms: Sequence[Pseudonym]) -> dict[bytes, list[int]]:
    """Indices of the pseudonyms that lie in one hash."""
    buckets: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for number, (partition, bucket, _) in enumerate(pseudonyms):
        buckets[partition, bucket].append(number)
    return {key_of(pseudonyms[numbers[0]]): numbers for numbers in buckets.values()}


def _calls(
    by_key: Mapping[bytes, list[int]], updates: Sequence[Update]
) -> Iterator[list[tuple[bytes, list[int]]]]:
    """Hashes of one partition with the updates of each, at most `UPDATES_A_CALL` updates together."""
    partitions: defaultdict[int, list[tuple[bytes, list[int]]]] = defaultdict(list)
    for key, numbers in by_key.items():
        pieces = partitions[updates[numbers[0]].pseudonym.partition]
        for start in range(0, len(numbers), UPDATES_A_CALL):
            pieces.append((key, numbers[start : start + UPDATES_A_CALL]))
    for pieces in partitions.values():
        call: list[tuple[bytes, list[int]]] = []
        size = 0
        for key, numbers in pieces:
            if size + len(numbers) > UPDATES_A_CALL:
                yield call
                call, size = [], 0
            call.append((key, numbers))
            size += len(numbers)
        yield call
