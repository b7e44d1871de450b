"""The packed history of one subscriber: the bytes that lie in Redis.

    offset  bytes      field
    0       1          write counter mod 256, for the compare-and-set of the server function
    1       1          format version, 2
    2       1          n, number of settled segments, up to 255
    3       7 n        segments, oldest first: place u16, first u24, length u16
    3+7n    3          minute of the oldest point of the tail, u24          (absent in an empty history)
    6+7n    the rest   tail as varints (LEB128): K, the K places of the tail ascending, then a number for each
                       point, oldest first: (minutes since the point before) * K + index of its place

All little-endian; u24 minutes count from 2016-01-01T00:00Z and end in 2047; lengths are minutes.
A point costs one byte as a rule. A segment is a run of sightings without a silence over 2 h, so that presence
is its length and any part of it can be cut off exactly (see `stays`).

Invariant: a history has one packed form, and unpack returns what was packed or raises. `columns` does the
same for many at once. Called by whoever reads a history, and by tests.
"""

import struct
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from location_store.errors import StoreError
from location_store.stays import Point, Segment

__all__ = ["EMPTY", "History", "Point", "RecordError", "Segment", "pack", "timeline", "unpack", "write_count"]

EPOCH_MIN = 24_193_440  # 2016-01-01T00:00Z in unix minutes
MAX_MIN = 2**24 - 1  # the last minute after EPOCH_MIN that a record can hold
VERSION = 2
HEADER_BYTES, SEGMENT_BYTES, MINUTE_BYTES = 3, 7, 3
MAX_SEGMENTS = 255
MAX_VARINT_BYTES = 6  # (a step of up to 2^24 minutes) * (up to 2^16 places) + index
MAX_LENGTH_MIN = 2**16 - 1  # 45 days: beyond any window

SEGMENT = struct.Struct("<HHBH")  # u24 as u16 and u8


class RecordError(StoreError):
    """Stored bytes that are no record of this format: damaged, or written by something newer."""


class History(NamedTuple):
    """What is kept of one subscriber.

    segments: settled runs, oldest first. tail: every distinct sighting of the last lateness (2 h) before the
    newest one, by (minute, place), not folded yet, so that a late sighting can still be put where it
    belongs.
    """

    segments: tuple[Segment, ...] = ()
    tail: tuple[Point, ...] = ()


EMPTY = History()


def timeline(history: History) -> list[Segment]:
    """The segments and then the tail, each sighting for itself: what readers use."""
    return [*history.segments, *(Segment(place, minute, minute) for minute, place in history.tail)]


def write_count(blob: bytes) -> int:
    """The counter that the next write must find unchanged."""
    return blob[0]


def pack(history: History, write_count: int) -> bytes:
    """The record's bytes.

    Segments beyond 45 days are shortened; ValueError for anything else that the format cannot hold.
    """
    segments = history.segments
    if len(segments) > MAX_SEGMENTS:
        raise ValueError(f"{len(segments)} segments, a record holds {MAX_SEGMENTS}")
    minutes = [segments[0].first_min, segments[-1].last_min] if segments else []
    minutes += [point.minute for point in history.tail[:1] + history.tail[-1:]]
    if minutes and not EPOCH_MIN <= min(minutes) <= max(minutes) <= EPOCH_MIN + MAX_MIN:
        raise ValueError("a record holds minutes of the years 2016 to 2047")
    out = bytearray((write_count % 256, VERSION, len(segments)))
    for place, first, last in segments:
        length = min(last - first, MAX_LENGTH_MIN)  # a longer one is cut at its beginning
        begin = last - length - EPOCH_MIN
        out += SEGMENT.pack(place, begin & 0xFFFF, begin >> 16, length)
    if history.tail:
        out += _pack_tail(history.tail)
    return bytes(out)


def _pack_tail(tail: tuple[Point, ...]) -> bytes:
    places = sorted({point.place for point in tail})
    index = {place: i for i, place in enumerate(places)}
    before = tail[0].minute
    out = bytearray((before - EPOCH_MIN).to_bytes(MINUTE_BYTES, "little"))
    numbers = [len(places), *places]
    for minute, place in tail:
        numbers.append((minute - before) * len(places) + index[place])
        before = minute
    for number in numbers:
        out += varint(number)
    return bytes(out)


def varint(number: int) -> bytes:
    """LEB128: seven bits a byte, the lowest first."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def unpack(blob: bytes) -> History:
    """The history in the bytes. Raises RecordError when their structure is not that of a record."""
    if len(blob) < HEADER_BYTES or blob[1] != VERSION:
        raise RecordError(f"history record of {len(blob)} bytes is damaged or of an unknown version")
    end = HEADER_BYTES + SEGMENT_BYTES * blob[2]
    if len(blob) < end:
        raise _damaged(blob, "ends within a segment")
    segments = []
    last = 0
    for place, low, high, length in SEGMENT.iter_unpack(blob[HEADER_BYTES:end]):
        first = EPOCH_MIN + (high << 16 | low)
        if first < last:
            raise _damaged(blob, "segments out of order")
        last = first + length
        segments.append(Segment(place, first, last))
    tail = _unpack_tail(blob, end) if len(blob) > end else ()
    if tail and tail[0].minute <= last:
        raise _damaged(blob, "tail begins before the last segment ended")
    return History(tuple(segments), tail)


def _unpack_tail(blob: bytes, start: int) -> tuple[Point, ...]:
    numbers = list(_varints(blob, start + MINUTE_BYTES))
    if not numbers or not 0 < numbers[0] < len(numbers) - 1:
        raise _damaged(blob, "tail is incomplete")
    count = numbers[0]
    places, codes = numbers[1 : count + 1], numbers[count + 1 :]
    minute = EPOCH_MIN + int.from_bytes(blob[start : start + MINUTE_BYTES], "little")
    tail = []
    for code in codes:
        step, index = divmod(code, count)
        minute += step
        tail.append(Point(minute, places[index]))
    ascending = all(a < b for a, b in pairwise(tail)) and all(a < b for a, b in pairwise(places))
    if not ascending or codes[0] >= count or places[-1] > 0xFFFF or minute > EPOCH_MIN + MAX_MIN:
        raise _damaged(blob, "tail is not in order")
    return tuple(tail)


def _varints(blob: bytes, start: int) -> Iterable[int]:
    value = shift = 0
    for byte in blob[start:]:
        value |= (byte & 127) << shift
        if byte < 128:
            yield value
            value = shift = 0
        elif (shift := shift + 7) == 7 * MAX_VARINT_BYTES:
            raise _damaged(blob, "a number is too long")
    if shift:
        raise _damaged(blob, "ends within a number")


def _damaged(blob: bytes, why: str) -> RecordError:
    return RecordError(f"history record of {len(blob)} bytes is damaged: {why}")
