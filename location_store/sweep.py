"""The sweeper: what no window shows any more leaves memory.

Theory of operation. A record is trimmed whenever it is written; but of somebody who is not seen any more,
nobody writes it. So every bucket is looked at twice a day: its records are unpacked as columns, what ended
before the cutoff of ingest is dropped, and a record of which nothing is left is removed, unless an import or
an operator made it. Most records begin after the cutoff, and three bytes of each tell so.

A partition that is done is noted with the time. So a sweep that was cut short goes on where it stopped,
several share the work by ranges of partitions, and whoever looks knows for how long anything has waited.

Invariants: only what readers clip anyway is dropped; a record that somebody else writes at the same time is
left to him, and looked at again; a damaged record is left as it is. Called by `cxmyd sweep`, which a gateway
starts by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from location_store.epoch import EPOCH_MIN, MINUTE_BYTES
from location_store.errors import RecordError, StoreUnavailable
from location_store.nodes import Command, Nodes
from location_store.pseudonyms import Layout, Pseudonym, bucket_key
from location_store.record import unpack
from location_store.record_columns import HEAD_SIZES, Ints, pack_columns, unpack_columns
from location_store.store import FIELDS_A_CALL, MAX_ATTEMPTS, Store
from location_store.subscribers import NOBODY, pack

SWEPT_KEY = b"cxmyd:swept"
"""Hash, partition -> unix second at which the sweep of it began that was completed last."""

EVERY_S = 12 * 3600.0
"""How often each partition is due: two tries within the day in which what is old has to go."""

BUCKETS_AT_ONCE = 16
"""Read by one batch: a millisecond of a node's time, in which others wait."""

_NOBODY = pack(NOBODY)

Progress = Callable[[int, int], None]
"""Partitions done, of how many."""


@dataclass(slots=True)
class Totals:
    """What a sweep saw and did. trimmed: records that lost something; removed: those of which nothing was
    left.
    """

    partitions: int = 0
    buckets: int = 0
    records: int = 0
    trimmed: int = 0
    removed: int = 0
    damaged: int = 0

    def add(self, other: Totals) -> None:
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


def turn_name(partitions: range) -> str:
    """The lease of whoever sweeps these partitions (`lease`)."""
    return f"sweep/{partitions[0]}-{partitions[-1]}"


def last_swept_s(nodes: Nodes, layout: Layout) -> dict[int, float]:
    """Of each partition, when it was last swept (unix seconds); 0 where it never was."""
    marks = nodes.call(SWEPT_KEY, "HGETALL", SWEPT_KEY)
    return {partition: float(marks.get(b"%d" % partition, 0)) for partition in range(layout.partitions)}


class Sweeper:
    """Sweeps partitions of one store, one after another."""

    def __init__(
        self,
        store: Store,
        layout: Layout,
        cutoff_min: Callable[[], int],
        *,
        numbers: Sequence[int] = (0,),
        share: float = 1.0,
        clock: Callable[[], float] = time.time,
        keep_turn: Callable[[], object] = lambda: None,
        rest: Callable[[float], object] = time.sleep,
    ) -> None:
        """`cutoff_min`: the unix minute before which what ended is dropped now. `numbers`: those of the keys
        (`Pseudonyms.numbers`). `share`: of the time at most so much is spent working. `keep_turn`: called
        before each batch.
        """
        self._store = store
        self._layout = layout
        self._cutoff_min = cutoff_min
        self._numbers = numbers
        self._share = share
        self._clock = clock
        self._keep_turn = keep_turn
        self._rest = rest

    def sweep(self, partitions: Sequence[int], progress: Progress | None = None) -> Totals:
        """Raises StoreUnavailable, StoreRefused; what was done stays."""
        totals = Totals()
        for number, partition in enumerate(partitions, 1):
            began_s = self._clock()
            totals.add(self._partition(partition))
            self._store.nodes.call(SWEPT_KEY, "HSET", SWEPT_KEY, partition, int(began_s))
            if progress is not None:
                progress(number, len(partitions))
        return totals

    def _partition(self, partition: int) -> Totals:
        cutoff = self._cutoff_min() - EPOCH_MIN
        keys = [
            bucket_key(Pseudonym(partition, bucket, b"", number))
            for number in self._numbers
            for bucket in range(self._layout.buckets)
        ]
        totals = Totals(partitions=1, buckets=len(keys))
        for _ in range(MAX_ATTEMPTS):
            again = []
            for start in range(0, len(keys), BUCKETS_AT_ONCE):
                self._keep_turn()
                began_s = time.monotonic()
                again += self._buckets(keys[start : start + BUCKETS_AT_ONCE], cutoff, totals)
                if self._share < 1:
                    self._rest((time.monotonic() - began_s) * (1 / self._share - 1))
            if not again:
                return totals
            keys = again
        raise StoreUnavailable(f"{self._store.nodes.name}: records change too fast to be swept")

    def _buckets(self, keys: Sequence[bytes], cutoff: int, totals: Totals) -> list[bytes]:
        """Sweep some buckets of one partition; those to look at again, since others wrote there meanwhile."""
        found = self._store.nodes.run([Command(key, ("HGETALL", key)) for key in keys])
        key_of = [key for key, records in zip(keys, found, strict=True) for _ in records]
        names = [name for records in found for name in records]
        blobs = [blob for records in found for blob in records.values()]
        swept = trimmed(blobs, cutoff)
        batches = [
            (key, [part for n in some for part in (names[n], blobs[n][:1], swept.changed[n])], some)
            for key, some in _batches(swept.changed, key_of)
        ]
        refused = self._store.finish_put(
            self._store.start_put((key, parts) for key, parts, _ in batches),
            [len(some) for *_, some in batches],
        )
        numbers = [n for *_, some in batches for n in some]
        conflicts = {numbers[n] for n in refused}
        written = [blob for n, blob in swept.changed.items() if n not in conflicts]
        totals.records += len(blobs)
        totals.damaged += swept.damaged
        totals.removed += written.count(b"")
        totals.trimmed += len(written) - written.count(b"")
        return sorted({key_of[n] for n in conflicts})


@dataclass(slots=True)
class Trimmed:
    """changed: by the number of a record its new bytes, b"" where nothing is to be kept."""

    changed: dict[int, bytes]
    damaged: int = 0


def trimmed(blobs: Sequence[bytes], cutoff: int) -> Trimmed:
    """The records without what ended before `cutoff` (minutes since the epoch of records)."""
    old, damaged = _beginning_before(blobs, cutoff)
    some = [blobs[n] for n in old.tolist()]
    try:
        heads, segments, tails = unpack_columns(some)
    except RecordError:
        good = [n for n in old.tolist() if _readable(blobs[n])]
        rest = trimmed([blobs[n] for n in good], cutoff)
        changed = {good[n]: blob for n, blob in rest.changed.items()}
        return Trimmed(changed, damaged + len(some) - len(good))
    newest = np.full(len(some), -1, np.int64)
    newest[tails.owner] = tails.minute  # rows are in order of time: the last assignment stays
    # A tail goes as a whole: its sightings are not folded yet, and may be the beginning of what is kept.
    kept_segments, kept_tails = segments.last >= cutoff, newest[tails.owner] >= cutoff
    changes = np.zeros(len(some), np.bool_)
    changes[segments.owner[~kept_segments]] = True
    changes[tails.owner[~kept_tails]] = True
    chosen = np.flatnonzero(changes)
    rank = np.cumsum(changes) - 1
    segments = segments.where(kept_segments & changes[segments.owner])
    kept_tails &= changes[tails.owner]
    tails = type(tails)(*(column[kept_tails] for column in tails))
    packed = pack_columns(
        heads.of(chosen),
        segments._replace(owner=rank[segments.owner]),
        tails._replace(owner=rank[tails.owner]),
    ).blobs()
    changed = {
        number: b"" if blob[1:] == _NOBODY else blob
        for number, blob in zip(old[chosen].tolist(), packed, strict=True)
    }
    return Trimmed(changed, damaged)


def _beginning_before(blobs: Sequence[bytes], cutoff: int) -> tuple[Ints, int]:
    """The numbers of the records whose history begins before `cutoff`; and how many have no known form."""
    size = np.fromiter(map(len, blobs), np.int64, len(blobs))
    data = np.frombuffer(b"".join(blobs) + bytes(2 + MINUTE_BYTES), np.uint8)
    offset = np.cumsum(size) - size
    head = HEAD_SIZES[data[offset + 1]]
    known = (head > 0) & (size > head)
    at = np.where(known & (size > 1 + head), offset + 1 + head, -1)
    full = np.flatnonzero(at >= 0)
    first = np.zeros(full.size, np.int64)
    for i in range(MINUTE_BYTES):
        first |= data[at[full] + i].astype(np.int64) << 8 * i
    return full[first < cutoff], int(np.count_nonzero(~known))


def _readable(blob: bytes) -> bool:
    try:
        unpack(blob)
    except RecordError:
        return False
    return True


def _batches(changed: Iterable[int], key_of: Sequence[bytes]) -> Iterator[tuple[bytes, list[int]]]:
    """The changed records by bucket, at most `FIELDS_A_CALL` at a time."""
    by_key: dict[bytes, list[int]] = {}
    for number in changed:
        by_key.setdefault(key_of[number], []).append(number)
    for key, numbers in by_key.items():
        for start in range(0, len(numbers), FIELDS_A_CALL):
            yield key, numbers[start : start + FIELDS_A_CALL]
