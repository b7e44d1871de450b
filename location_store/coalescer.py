"""The coalescer: sightings gathered by subscriber, and merged into the store in one sweep over its buckets.

Theory of operation. A row costs some 100 ns to gather; a record costs some microseconds to read, merge and
write, however many rows it takes. So rows wait in memory, and a flush goes through all subscribers that have
any, bucket by bucket: while Redis works on one slice, the next one is merged here.

What is late is decided as rows arrive, by the newest sighting of their subscriber so far; for one who was not
met before, the store is asked. A record that somebody else wrote between our reading and writing it is read
and merged again; of somebody who is erased meanwhile, nothing is kept (`erasures`). While the key is being
rotated, rows that belong before the newest sighting under the older key are written there (`rotation`).

Invariant: rows leave memory only when all of them are written, and writing them twice changes nothing. Called
by `ingest`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from location_store.epoch import EPOCH_MIN
from location_store.erasures import Erasures
from location_store.errors import StoreRefused, StoreUnavailable
from location_store.index import Column, Index
from location_store.merge import Limits, in_time, merge_sorted, newest
from location_store.nodes import Flight
from location_store.pending import MAX_SUBSCRIBERS, Rows
from location_store.pseudonyms import (
    DIGEST_BYTES,
    FIELD_BYTES,
    PLACE_BYTES,
    Pseudonym,
    Pseudonyms,
    bucket_key,
)
from location_store.record_columns import Bytes, Ints, Points
from location_store.store import FIELDS_A_CALL, MAX_ATTEMPTS, Store

SLICE_RECORDS = 16_384
"""Records that are read, merged and written together: large enough for numpy, small enough to overlap."""


class _Writing(NamedTuple):
    flight: Flight
    sizes: list[int]
    ranks: Ints
    """Of the records that are being written."""


class Pending:
    """The subscribers met so far, and their rows that are not written yet."""

    def __init__(self, store: Store, pseudonyms: Pseudonyms, base_min: int) -> None:
        """`base_min`: nothing older is added."""
        self.rows = Rows(base_min)
        older = pseudonyms.older
        self._older = None if older is None else Pending(store, older, base_min)
        """Of the same subscribers what belongs before the newest sighting under the older key."""
        self._store = store
        self._pseudonyms = pseudonyms
        self._erasures = Erasures(store.nodes)
        self._numbers = Index()
        # of each subscriber
        self._bucket = Column(np.int64)
        self._field = Column(np.uint8, FIELD_BYTES)
        self._newest = Column(np.int64)
        # subscribers in the order of their buckets, and the place of each in it
        self._order: Ints = np.empty(0, np.int64)
        self._rank: Ints = np.empty(0, np.int64)
        self._erased: Ints = np.empty(0, np.int64)
        """Ranks of those who were erased during this flush."""

    def add(
        self,
        msisdn: Ints,
        minute: Ints,
        place: npt.NDArray[np.uint16],
        lateness_min: int,
        *,
        again: bool = False,
    ) -> npt.NDArray[np.bool_]:
        """Gather rows, in the order of arrival; which of them were in time (the others are left out).

        minute: since the epoch of records. `again`: they may have been gathered before, by a process that
        was killed: what lies before an erasure of its subscriber is left out. Raises StoreUnavailable before
        anything is gathered.
        """
        self._look_for_erasures()
        owner = self._numbers.of(msisdn)
        if self._numbers.known.size > MAX_SUBSCRIBERS:
            raise StoreRefused(
                f"one ingest has met {MAX_SUBSCRIBERS:,} numbers, its most: share the feed among several"
            )
        if self._numbers.known.size > self._bucket.size:
            self._meet(self._numbers.known.values[self._bucket.size :])
        if not again or not self._erasures.time_s:
            return self._gather(owner, minute, place, lateness_min)
        since = minute > self._erased_min()[owner]
        since[since] = self._gather(owner[since], minute[since], place[since], lateness_min)
        return since

    def _gather(
        self, owner: Ints, minute: Ints, place: npt.NDArray[np.uint16], lateness_min: int
    ) -> npt.NDArray[np.bool_]:
        newest_min = self._newest.values
        before = newest_min[owner]
        np.maximum.at(newest_min, owner, minute)
        timely = minute >= newest_min[owner] - lateness_min
        if not timely.all():  # most blocks are shorter than the lateness, and need no closer look
            doubtful = np.flatnonzero(np.isin(owner, owner[~timely]))
            start = np.full(newest_min.size, -1, np.int64)
            start[owner] = before
            timely[doubtful] = in_time(owner[doubtful], minute[doubtful], start, lateness_min)
            owner, minute, place = owner[timely], minute[timely], place[timely]
        if self._older is not None:
            before = minute <= self._older._newest.values[owner]
            self._older.rows.add(owner[before], minute[before], place[before].astype(np.int64))
            owner, minute, place = owner[~before], minute[~before], place[~before]
        self.rows.add(owner, minute, place.astype(np.int64))
        return timely

    @property
    def count(self) -> int:
        """Rows that are not written."""
        return self.rows.count + (self._older.rows.count if self._older else 0)

    def clear(self, base_min: int) -> None:
        """All is written. `base_min`: nothing older is added from now on."""
        self.rows.clear(base_min)
        if self._older is not None:
            self._older.rows.clear(base_min)

    def flush(self, limits: Limits) -> None:
        """Write all rows. Raises StoreUnavailable; they stay in any case until `clear`."""
        if self._older is not None:
            self._older.flush(limits)
        if self._rank.size < self._bucket.size:
            self._order = np.argsort(self._bucket.values, kind="stable")
            self._rank = np.empty_like(self._order)
            self._rank[self._order] = np.arange(self._order.size)
        self._erased = np.empty(0, np.int64)
        rows = self.rows.ordered(self._rank)
        for _ in range(MAX_ATTEMPTS):
            if not rows.size:
                return
            conflicts = self._sweep(rows, limits)
            rows = rows[np.isin(self.rows.split(rows)[0], np.setdiff1d(conflicts, self._erased))]
        raise StoreUnavailable(f"{self._store.nodes.name}: records change too fast to be written")

    def _meet(self, numbers: Ints) -> None:
        """Subscribers that are new here: where their records lie, and when they were seen last."""
        digests = np.frombuffer(self._pseudonyms.digests(numbers.tolist()), np.uint8)
        digests = digests.reshape(-1, DIGEST_BYTES)
        place = digests[:, :PLACE_BYTES].copy().view(">u8").ravel()
        partitions, buckets = self._pseudonyms.layout
        bucket, partition = np.divmod((place % (partitions * buckets)).astype(np.int64), partitions)
        bucket += partition * buckets
        field = digests[:, PLACE_BYTES:]

        found = np.empty(numbers.size, np.int64)
        order = np.argsort(bucket, kind="stable")
        for start in range(0, order.size, SLICE_RECORDS):
            some = order[start : start + SLICE_RECORDS]
            found[some] = newest(self._store.finish_read(self._start_read(bucket[some], field[some])))
        if self._older is not None:
            self._older._meet(numbers)
            np.maximum(found, self._older._newest.values[-found.size :], out=found)
        self._bucket.extend(bucket)
        self._field.extend(field)
        self._newest.extend(found)

    def _sweep(self, rows: Ints, limits: Limits) -> Ints:
        """Read, merge and write the records of ordered rows; ranks of those that others wrote meanwhile."""
        rank, minute, place = self.rows.split(rows)
        begins = np.flatnonzero(np.append(True, rank[1:] != rank[:-1]))
        slices = [begins[start : start + SLICE_RECORDS] for start in range(0, begins.size, SLICE_RECORDS)]
        ends = [*(each[0] for each in slices[1:]), rows.size]
        conflicts: list[Ints] = []
        writing: _Writing | None = None
        reading = self._start_read(*self._places(rank[slices[0]]))
        for number, (begin, end) in enumerate(zip(slices, ends, strict=True)):
            states = self._store.finish_read(reading)
            looking = self._erasures.start()  # between reading and writing: see `erasures`
            if number + 1 < len(slices):
                reading = self._start_read(*self._places(rank[slices[number + 1]]))
            count = np.diff(begin, append=end)
            of_slice = slice(begin[0], end)
            points = Points(np.repeat(np.arange(begin.size), count), minute[of_slice], place[of_slice])
            changed = merge_sorted(states, points, limits)
            if writing is not None:
                conflicts.append(self._finish_write(writing))
            records, blobs = changed.number, changed.packed.blobs()
            erased = self._let_go(self._erasures.finish(looking))
            self._erased = np.append(self._erased, self._rank[erased])
            if self._erased.size:
                left = np.flatnonzero(~np.isin(rank[begin[records]], self._erased))
                records, blobs = records[left], [blobs[i] for i in left.tolist()]
            writing = self._start_write(
                rank[begin[records]], blobs, [(states[i] or b"")[:1] for i in records.tolist()]
            )
        assert writing is not None, "there are rows"
        return np.concatenate([*conflicts, self._finish_write(writing)])

    def _look_for_erasures(self) -> None:
        for each in (self, self._older):
            if each is not None:
                each._let_go(each._erasures.look())

    def _let_go(self, erased: Collection[Pseudonym]) -> Ints:
        """Drop the rows of the erased, and when they were last seen; who of the subscribers here they are."""
        owners = self._owners(erased)
        if owners.size:
            self.rows.drop(owners)
            self._newest.values[owners] = -1
        return owners

    def _owners(self, whom: Collection[Pseudonym]) -> Ints:
        """Those of them that were met."""
        if not whom:
            return np.empty(0, np.int64)
        buckets = self._pseudonyms.layout.buckets
        names = {(who.partition * buckets + who.bucket, who.field) for who in whom}  # a field is of one key
        near = np.flatnonzero(np.isin(self._bucket.values, [bucket for bucket, _ in names]))
        found = zip(self._bucket.values[near].tolist(), _split(self._field.values[near]), strict=True)
        return near[np.array([name in names for name in found], np.bool_)]

    def _erased_min(self) -> Ints:
        """Of each subscriber the minute of his erasure within the last two days, -1 where there was none."""
        minute = np.full(self._bucket.size, -1, np.int64)
        for who, time_s in self._erasures.time_s.items():
            minute[self._owners([who])] = int(time_s // 60) - EPOCH_MIN
        return minute

    def _places(self, ranks: Ints) -> tuple[Ints, Bytes]:
        """Bucket and field of each record."""
        owners = self._order[ranks]
        return self._bucket.values[owners], self._field.values[owners]

    def _start_read(self, bucket: Ints, field: Bytes) -> Flight:
        fields = _split(field)
        return self._store.start_read((key, fields[begin:end]) for key, begin, end in self._batches(bucket))

    def _start_write(self, ranks: Ints, blobs: Sequence[bytes], expected: Sequence[bytes]) -> _Writing:
        bucket, field = self._places(ranks)
        parts = [part for each in zip(_split(field), expected, blobs, strict=True) for part in each]
        batches = list(self._batches(bucket))
        flight = self._store.start_put((key, parts[3 * begin : 3 * end]) for key, begin, end in batches)
        return _Writing(flight, [end - begin for _, begin, end in batches], ranks)

    def _finish_write(self, writing: _Writing) -> Ints:
        return writing.ranks[self._store.finish_put(writing.flight, writing.sizes)]

    def _batches(self, bucket: Ints) -> Iterator[tuple[bytes, int, int]]:
        """Key of a bucket, and from where to where it stands in the column."""
        begins = np.flatnonzero(np.append(True, bucket[1:] != bucket[:-1])[: bucket.size])
        ends = np.append(begins[1:], bucket.size)[: begins.size]
        buckets = self._pseudonyms.layout.buckets
        for number, begin, end in zip(bucket[begins].tolist(), begins.tolist(), ends.tolist(), strict=True):
            partition, index = divmod(number, buckets)
            key = bucket_key(Pseudonym(partition, index, b"", self._pseudonyms.number))
            for start in range(begin, end, FIELDS_A_CALL):
                yield key, start, min(start + FIELDS_A_CALL, end)


def _split(field: Bytes) -> list[bytes]:
    data = field.tobytes()
    return [data[at : at + FIELD_BYTES] for at in range(0, len(data), FIELD_BYTES)]
