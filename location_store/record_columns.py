"""Many packed histories <-> numpy columns, in a few passes over all their bytes.

Invariant: byte for byte the format of `record`, which states it and is the reference in the tests. Minutes
here are those of the format (since record.EPOCH_MIN). Called by `merge`.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from location_store.record import (
    HEADER_BYTES,
    MAX_LENGTH_MIN,
    MAX_MIN,
    MAX_VARINT_BYTES,
    MINUTE_BYTES,
    SEGMENT_BYTES,
    VERSION,
    RecordError,
    unpack,
)

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

_SEGMENT = np.dtype([("place", "<u2"), ("low", "<u2"), ("high", "u1"), ("length", "<u2")])


class Segments(NamedTuple):
    """One row a segment, by owner, oldest first. owner is the index of the history."""

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


def unpack_columns(blobs: Sequence[bytes | None]) -> tuple[Segments, Points]:
    """All segments and tails of the histories; None is an empty history. Raises RecordError like unpack."""
    data = np.frombuffer(b"".join(blob for blob in blobs if blob), np.uint8)
    owner = np.array([i for i, blob in enumerate(blobs) if blob], np.int64)
    size = np.array([len(blob) for blob in blobs if blob], np.int64)
    offset = np.cumsum(size) - size
    try:
        if size.size and (size.min() < HEADER_BYTES or (data[offset + 1] != VERSION).any()):
            raise RecordError("history record is damaged or of an unknown version")
        count = data[offset + 2].astype(np.int64)
        tail_size = size - HEADER_BYTES - SEGMENT_BYTES * count
        if size.size and tail_size.min() < 0:
            raise RecordError("history record is damaged: it ends within a segment")
        segments = _unpack_segments(data, owner, offset + HEADER_BYTES, count)
        has_tail = tail_size > 0
        tail_offset = (offset + size - tail_size)[has_tail]
        tails = _unpack_tails(data, owner[has_tail], tail_offset, tail_size[has_tail])
        settled = np.full(len(blobs), -1, np.int64)
        settled[segments.owner] = segments.last
        if (tails.minute <= settled[tails.owner]).any():
            raise RecordError("history record is damaged: tail begins before the last segment ended")
        return segments, tails
    except RecordError:
        for blob in blobs:  # unpack says of the damaged one what is wrong with it
            if blob:
                unpack(blob)
        raise


def pack_columns(segments: Segments, tails: Points, write_counts: Ints) -> list[bytes]:
    """The records of the histories 0 to len(write_counts) - 1, each with a tail and at most 255 segments."""
    histories = write_counts.size
    segment_count = np.bincount(segments.owner, minlength=histories)
    tail_bytes, tail_size = _pack_tails(tails, histories)
    size = HEADER_BYTES + SEGMENT_BYTES * segment_count + tail_size
    offset = np.cumsum(size) - size
    out = np.empty(int(size.sum()), np.uint8)
    out[offset] = write_counts
    out[offset + 1] = VERSION
    out[offset + 2] = segment_count
    out[ranges(offset + HEADER_BYTES, SEGMENT_BYTES * segment_count)] = _pack_segments(segments)
    out[ranges(offset + size - tail_size, tail_size)] = tail_bytes
    data = out.tobytes()
    bounds = [*offset.tolist(), len(data)]
    return [data[begin:end] for begin, end in pairwise(bounds)]


def ranges(starts: Ints, counts: Ints) -> Ints:
    """start, start + 1, ... (count of them) for each row, one after the other."""
    total = int(counts.sum())
    return np.repeat(starts - (np.cumsum(counts) - counts), counts) + np.arange(total)


def _unpack_segments(data: Bytes, owner: Ints, offset: Ints, count: Ints) -> Segments:
    rows = data[ranges(offset, SEGMENT_BYTES * count)].view(_SEGMENT)
    first = rows["low"] + (rows["high"].astype(np.int64) << 16)
    place = rows["place"].astype(np.int64)
    segments = Segments(np.repeat(owner, count), place, first, first + rows["length"])
    same = segments.owner[1:] == segments.owner[:-1]
    if (same & (segments.first[1:] < segments.last[:-1])).any():
        raise RecordError("history record is damaged: segments out of order")
    return segments


def _pack_segments(segments: Segments) -> Bytes:
    length = np.minimum(segments.last - segments.first, MAX_LENGTH_MIN)
    first = segments.last - length
    rows = np.empty(segments.owner.size, _SEGMENT)
    rows["place"] = segments.place
    rows["low"] = first & 0xFFFF
    rows["high"] = first >> 16
    rows["length"] = length
    return rows.view(np.uint8)


def _unpack_tails(data: Bytes, owner: Ints, offset: Ints, size: Ints) -> Points:
    if not owner.size:
        return Points(owner, owner, owner)
    if size.min() < MINUTE_BYTES + 3:
        raise RecordError("history record is damaged: tail is incomplete")
    low, middle, high = (data[offset + i].astype(np.int64) for i in range(MINUTE_BYTES))
    oldest = high << 16 | middle << 8 | low
    number, numbers = _unpack_varints(data, offset + MINUTE_BYTES, size - MINUTE_BYTES)
    begin = np.cumsum(numbers) - numbers
    place_count = number[begin]
    point_count = numbers - 1 - place_count
    if place_count.min() < 1 or point_count.min() < 1:
        raise RecordError("history record is damaged: tail is incomplete")
    code = number[ranges(begin + 1 + place_count, point_count)]
    step, index = np.divmod(code, np.repeat(place_count, point_count))
    place = number[np.repeat(begin + 1, point_count) + index]
    head = np.cumsum(point_count) - point_count
    elapsed = np.cumsum(step)
    minute = np.repeat(oldest - elapsed[head], point_count) + elapsed
    points = Points(np.repeat(owner, point_count), minute, place)
    table = np.repeat(owner, place_count) << 16 | number[ranges(begin + 1, place_count)]
    if step.max() > MAX_MIN or minute.max() > MAX_MIN or number[begin + place_count].max() > 0xFFFF:
        raise RecordError("history record is damaged: tail is not in order")
    if step[head].any() or (np.diff(table) <= 0).any() or (np.diff(points.keys()) <= 0).any():
        raise RecordError("history record is damaged: tail is not in order")
    return points


def _unpack_varints(data: Bytes, offset: Ints, size: Ints) -> tuple[Ints, Ints]:
    """The numbers in the byte ranges, and how many there are in each."""
    octets = data[ranges(offset, size)]
    is_end = octets < 128
    range_end = np.cumsum(size)
    if not is_end[range_end - 1].all():
        raise RecordError("history record is damaged: it ends within a number")
    starts = np.flatnonzero(np.concatenate(([True], is_end[:-1])))
    width = np.diff(starts, append=octets.size)
    if width.max() > MAX_VARINT_BYTES:
        raise RecordError("history record is damaged: a number is too long")
    shift = 7 * ranges(np.zeros_like(width), width)
    number = np.add.reduceat((octets & 127).astype(np.int64) << shift, starts)
    return number, np.add.reduceat(is_end.astype(np.int64), range_end - size)


def _pack_tails(tails: Points, histories: int) -> tuple[Bytes, Ints]:
    """The bytes of all tails one after the other, and how many each has. Every history has a tail."""
    point_count = np.bincount(tails.owner, minlength=histories)
    head = np.cumsum(point_count) - point_count
    keys, index = np.unique(tails.owner << 16 | tails.place, return_inverse=True)
    place_count = np.bincount(keys >> 16, minlength=histories)
    index = index - np.repeat(np.cumsum(place_count) - place_count, point_count)
    step = np.diff(tails.minute, prepend=0)
    step[head] = 0

    numbers = 1 + place_count + point_count
    begin = np.cumsum(numbers) - numbers
    number = np.empty(int(numbers.sum()), np.int64)
    number[begin] = place_count
    number[ranges(begin + 1, place_count)] = keys & 0xFFFF
    number[ranges(begin + 1 + place_count, point_count)] = step * np.repeat(place_count, point_count) + index

    octets, width = _pack_varints(number)
    varint_size = np.add.reduceat(width, begin)
    size = MINUTE_BYTES + varint_size
    offset = np.cumsum(size) - size
    out = np.empty(int(size.sum()), np.uint8)
    for i in range(MINUTE_BYTES):
        out[offset + i] = tails.minute[head] >> 8 * i & 0xFF
    out[ranges(offset + MINUTE_BYTES, varint_size)] = octets
    return out, size


def _pack_varints(number: Ints) -> tuple[Bytes, Ints]:
    """LEB128 of every number, one after the other, and the width of each."""
    width = np.ones(number.size, np.int64)
    for bits in range(7, 7 * MAX_VARINT_BYTES, 7):
        width += number >> bits > 0
    position = ranges(np.zeros_like(width), width)
    octets = np.repeat(number, width) >> 7 * position & 127
    octets[position < np.repeat(width, width) - 1] |= 128
    return octets.astype(np.uint8), width
