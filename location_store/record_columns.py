"""Many packed records <-> numpy columns, in a few passes over all their bytes.

Invariant: byte for byte the format of `record`, which states it and is the reference in the tests. Minutes
here are those of the format (since epoch.EPOCH_MIN). Called by `merge`.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from location_store.epoch import MAX_MIN, MINUTE_BYTES
from location_store.errors import RecordError
from location_store.record import MAX_VARINT_BYTES, unpack
from location_store.subscribers import HAS_SINCE, IMPORTED, SIZES, VERSION

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

NEW = bytes((0, VERSION))
"""The head of a record that is written for the first time: nobody, written 0 times."""

HEAD_SIZES = np.frombuffer(SIZES, np.uint8).astype(np.int64)
"""Bytes of the subscriber's part of a record, by its first byte; 0: of no version that is known here."""


class Segments(NamedTuple):
    """One row a segment, by owner, oldest first. owner is the index of the record."""

    owner: Ints
    place: Ints
    first: Ints
    last: Ints

    def where(self, mask: npt.NDArray[np.bool_]) -> "Segments":
        return Segments(*(column[mask] for column in self))

    def is_last(self) -> npt.NDArray[np.bool_]:
        """Which rows are the last, newest segment of their owner."""
        return np.append(self.owner[1:] != self.owner[:-1], True)[: self.owner.size]


class Points(NamedTuple):
    """One row a sighting, by owner, then (minute, place), distinct."""

    owner: Ints
    minute: Ints
    place: Ints

    def keys(self) -> Ints:
        """Rows as single integers in the same order: owner (up to 2^23), minute u24, place u16."""
        return self.owner << 40 | self.minute << 16 | self.place


class Heads(NamedTuple):
    """What stands before the history of each record, write counter and subscriber: its bytes in `data`."""

    data: Bytes
    offset: Ints
    size: Ints

    def of(self, chosen: Ints) -> "Heads":
        return Heads(self.data, self.offset[chosen], self.size[chosen])


class Packed(NamedTuple):
    """Records one after the other: the bytes of record i begin at offset[i]."""

    data: Bytes
    offset: Ints

    def blobs(self) -> list[bytes]:
        data = self.data.tobytes()
        return [data[begin:end] for begin, end in pairwise([*self.offset.tolist(), len(data)])]


def unpack_columns(blobs: Sequence[bytes | None]) -> tuple[Heads, Segments, Points]:
    """The heads, all segments and all tails of the records; None is one that is not there yet.

    Raises RecordError like unpack.
    """
    whole = [blob or NEW for blob in blobs]
    data = np.frombuffer(b"".join(whole), np.uint8)
    size = np.fromiter(map(len, whole), np.int64, len(whole))
    offset = np.cumsum(size) - size
    try:
        if size.size and size.min() < len(NEW):
            raise RecordError("a record is damaged")
        head_size = HEAD_SIZES[data[offset + 1]] + 1
        history_size = size - head_size
        if size.size and (head_size.min() == 1 or history_size.min() < 0):
            raise RecordError("a record is damaged or of an unknown version")
        owner = np.flatnonzero(history_size)
        segments, tails = _unpack_histories(data, owner, (offset + head_size)[owner], history_size[owner])
        return Heads(data, offset, head_size), segments, tails
    except RecordError:
        for blob in blobs:  # unpack says of the damaged one what is wrong with it
            unpack(blob)
        raise


def pack_columns(heads: Heads, segments: Segments, tails: Points) -> Packed:
    """The next records of the owners 0, 1, ...: heads with their counters raised, and their histories.

    At most 255 segments an owner; the tail lies behind them.
    """
    owners = heads.offset.size
    history, history_size = _pack_histories(segments, tails, owners)
    size = heads.size + history_size
    offset = np.cumsum(size) - size
    out = np.empty(int(size.sum()), np.uint8)
    out[ranges(offset, heads.size)] = heads.data[ranges(heads.offset, heads.size)]
    out[offset] += 1
    out[ranges(offset + heads.size, history_size)] = history
    return Packed(out, offset)


def since_minutes(heads: Heads) -> Ints:
    """The `since` of each subscriber (minutes since the epoch), -1 where there is none."""
    since = np.full(heads.offset.size, -1, np.int64)
    flags = heads.data[heads.offset + 1]
    dated = np.flatnonzero(flags & HAS_SINCE)
    at = heads.offset[dated] + 2 + (flags[dated] & IMPORTED > 0)
    since[dated] = sum(heads.data[at + i].astype(np.int64) << 8 * i for i in range(MINUTE_BYTES))
    return since


def ranges(starts: Ints, counts: Ints) -> Ints:
    """start, start + 1, ... (count of them) for each row, one after the other."""
    total = int(counts.sum())
    return np.repeat(starts - (np.cumsum(counts) - counts), counts) + np.arange(total)


def _begins(counts: Ints) -> Ints:
    """Where each run begins when runs of these lengths stand one after the other."""
    return np.cumsum(counts) - counts


def _unpack_histories(data: Bytes, owner: Ints, offset: Ints, size: Ints) -> tuple[Segments, Points]:
    """The rows of the histories in the byte ranges, each of the owner beside it."""
    if not owner.size:
        return Segments(owner, owner, owner, owner), Points(owner, owner, owner)
    if size.min() < MINUTE_BYTES + 3:
        raise RecordError("a history is incomplete")
    low, middle, high = (data[offset + i].astype(np.int64) for i in range(MINUTE_BYTES))
    oldest = high << 16 | middle << 8 | low
    number, numbers = _unpack_varints(data, offset + MINUTE_BYTES, size - MINUTE_BYTES)
    begin = _begins(numbers)
    settled, many = number[begin] >> 1, number[begin] & 1
    place_count = np.where(many, number[np.minimum(begin + 1, number.size - 1)], 1)
    points = numbers - 1 - many - place_count - 2 * settled
    if (place_count <= many).any() or points.min() < 0 or (settled + points).min() < 1:
        raise RecordError("a history is incomplete")

    items = settled + points
    at = begin + 1 + many + place_count
    position = ranges(np.zeros_like(items), items)  # of each item in its history
    settled_of = np.repeat(settled, items)
    is_segment = position < settled_of
    where = np.repeat(at, items) + position + np.minimum(position, settled_of)
    step, index = np.divmod(number[where], np.repeat(place_count, items))
    length = np.where(is_segment, number[np.where(is_segment, where + 1, where)], 0)
    place = number[np.repeat(begin + 1 + many, items) + index]
    head = _begins(items)
    elapsed = np.cumsum(step + length)
    last = np.repeat(oldest - elapsed[head] + length[head], items) + elapsed
    first = last - length

    table = number[ranges(begin + 1 + many, place_count)]
    out_of_range = max(step.max(), length.max(), last.max()) > MAX_MIN or table.max() > 0xFFFF
    table |= np.repeat(np.arange(owner.size), place_count) << 16
    if out_of_range or step[head].any() or (np.diff(table) <= 0).any():
        raise RecordError("a history is not in order")
    owners = np.repeat(owner, items)
    tails = Points(owners[~is_segment], first[~is_segment], place[~is_segment])
    after = ~is_segment[1:] & is_segment[:-1] & (owners[1:] == owners[:-1])
    if (np.diff(tails.keys()) <= 0).any() or (after & (step[1:] == 0)).any():
        raise RecordError("a history is not in order")
    return Segments(*(column[is_segment] for column in (owners, place, first, last))), tails


def _unpack_varints(data: Bytes, offset: Ints, size: Ints) -> tuple[Ints, Ints]:
    """The numbers in the byte ranges, and how many there are in each."""
    octets = data[ranges(offset, size)]
    is_end = octets < 128
    range_end = np.cumsum(size)
    if not is_end[range_end - 1].all():
        raise RecordError("a history ends within a number")
    starts = np.flatnonzero(np.concatenate(([True], is_end[:-1])))
    width = np.diff(starts, append=octets.size)
    if width.max() > MAX_VARINT_BYTES:
        raise RecordError("a number in a history is too long")
    number = (octets[starts] & 127).astype(np.int64)
    for i in range(1, int(width.max())):
        longer = np.flatnonzero(width > i)
        number[longer] |= (octets[starts[longer] + i] & 127).astype(np.int64) << 7 * i
    return number, np.add.reduceat(is_end.astype(np.int64), range_end - size)


def _pack_histories(segments: Segments, tails: Points, owners: int) -> tuple[Bytes, Ints]:
    """The bytes of all histories one after the other, and how many each has."""
    settled = np.bincount(segments.owner, minlength=owners)
    points = np.bincount(tails.owner, minlength=owners)
    items = settled + points
    at = _begins(items)
    place, first, last = (np.empty(int(items.sum()), np.int64) for _ in range(3))
    for rows, where in (
        ((segments.place, segments.first, segments.last), ranges(at, settled)),
        ((tails.place, tails.minute, tails.minute), ranges(at + settled, points)),
    ):
        place[where], first[where], last[where] = rows
    owner = np.repeat(np.arange(owners), items)
    places, place_count, index = _places(owner, place, items)

    full = items > 0
    many = (place_count > 1).astype(np.int64)
    numbers = np.where(full, 1 + many + place_count + 2 * settled + points, 0)
    begin = _begins(numbers)
    number = np.empty(int(numbers.sum()), np.int64)
    number[begin[full]] = (2 * settled + many)[full]
    number[(begin + 1)[many > 0]] = place_count[many > 0]
    number[ranges(begin + 1 + many, place_count)] = places
    step = np.diff(first, prepend=0)
    step[1:] -= (last - first)[:-1]
    step[at[full]] = 0
    position = ranges(np.zeros_like(items), items)
    settled_of = np.repeat(settled, items)
    where = np.repeat(begin + 1 + many + place_count, items) + position + np.minimum(position, settled_of)
    number[where] = step * np.repeat(place_count, items) + index
    is_segment = position < settled_of
    number[where[is_segment] + 1] = (last - first)[is_segment]

    octets, width = _pack_varints(number)
    octets_of = np.zeros(owners, np.int64)
    octets_of[full] = np.add.reduceat(width, begin[full]) if full.any() else 0
    size = np.where(full, MINUTE_BYTES + octets_of, 0)
    offset = _begins(size)
    out = np.empty(int(size.sum()), np.uint8)
    for i in range(MINUTE_BYTES):
        out[offset[full] + i] = first[at[full]] >> 8 * i & 0xFF
    out[ranges(offset + MINUTE_BYTES * full, octets_of)] = octets
    return out, size


def _places(owner: Ints, place: Ints, items: Ints) -> tuple[Ints, Ints, Ints]:
    """Of every owner the different places, ascending, one after the other; how many they are; and for each
    item the index of its place among them."""
    head = _begins(items)[items > 0]
    wanders = np.zeros(items.size, np.bool_)
    wanders[owner[1:][(owner[1:] == owner[:-1]) & (place[1:] != place[:-1])]] = True
    counts = (items > 0).astype(np.int64)
    index = np.zeros(owner.size, np.int64)
    places = place[head]
    if wanders.any():  # sorting is worth it for those alone who were in several
        theirs = np.flatnonzero(wanders[owner])
        keys, inverse = np.unique(owner[theirs] << 16 | place[theirs], return_inverse=True)
        counts += np.bincount(keys >> 16, minlength=items.size) - wanders
        begin = _begins(counts)
        index[theirs] = _rank(keys, inverse)
        alone = (items > 0) & ~wanders
        places = np.empty(int(counts.sum()), np.int64)
        places[begin[alone]] = place[_begins(items)[alone]]
        places[ranges(begin[wanders], counts[wanders])] = keys & 0xFFFF
    return places, counts, index


def _rank(keys: Ints, inverse: Ints) -> Ints:
    """The rank of keys[inverse] among the keys of the same owner."""
    owner = keys >> 16
    first = np.flatnonzero(np.append(True, owner[1:] != owner[:-1]))
    rank = np.arange(keys.size) - np.repeat(first, np.diff(first, append=keys.size))
    ranks: Ints = rank[inverse]
    return ranks


def _pack_varints(number: Ints) -> tuple[Bytes, Ints]:
    """LEB128 of every number, one after the other, and the width of each."""
    width = np.ones(number.size, np.int64)
    for bits in range(7, 7 * MAX_VARINT_BYTES, 7):
        if not (more := number >> bits > 0).any():
            break
        width += more
    offset = _begins(width)
    octets = np.empty(int(width.sum()), np.uint8)
    octets[offset] = number & 127
    for i in range(1, int(width.max()) if width.size else 0):
        longer = np.flatnonzero(width > i)
        octets[offset[longer] + i - 1] |= 128
        octets[offset[longer] + i] = number[longer] >> 7 * i & 127
    return octets, width
