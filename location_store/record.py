"""The packed history of one subscriber: the bytes that lie in Redis.

    offset  bytes      field
    0       1          write counter mod 256, for the compare-and-set of the server function
    1       1          format version, 1
    2       1          n, number of settled stays, up to 255
    3       9 n        stays, oldest first: place u16, first u24, length u16, dwell u16
    3+9n    3          minute of the oldest point of the tail, u24          (absent in an empty history)
    6+9n    the rest   tail as varints (LEB128): K, the K places of the tail ascending, then a number for each
                       point, oldest first: (minutes since the point before) * K + index of its place

All little-endian; u24 minutes count from 2016-01-01T00:00Z and end in 2047; lengths are minutes.
A point costs one byte as a rule.

Invariant: a history has one packed form, and unpack returns what was packed or raises. `columns` does the
same for many at once. Called by whoever reads a history, and by tests.
"""

import struct
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from location_store.errors import StoreError
from location_store.stays import Point, Stay, fold

__all__ = ["EMPTY", "History", "Point", "RecordError", "Stay", "all_stays", "pack", "unpack", "write_count"]

EPOCH_MIN = 24_193_440  # 2016-01-01T00:00Z in unix minutes
MAX_MIN = 2**24 - 1  # the last minute after EPOCH_MIN that a record can hold
VERSION = 1
HEADER_BYTES, STAY_BYTES, MINUTE_BYTES = 3, 9, 3
MAX_STAYS = 255
MAX_VARINT_BYTES = 6  # (a step of up to 2^24 minutes) * (up to 2^16 places) + index
MAX_LENGTH_MIN = 2**16 - 1  # 45 days: beyond any window

STAY = struct.Struct("<HHBHH")  # u24 as u16 and u8


class RecordError(StoreError):
    """Stored bytes that are no record of this format: damaged, or written by something newer."""


class History(NamedTuple):
    """What is kept of one subscriber.

    stays: settled runs, oldest first. tail: every distinct sighting of the last lateness (2 h) before the
    newest one, by (minute, place), not folded yet, so that a late sighting can still be put where it
    belongs.
    """

    stays: tuple[Stay, ...] = ()
    tail: tuple[Point, ...] = ()


EMPTY = History()


def all_stays(history: History) -> list[Stay]:
    """The stays with the tail folded in: what readers use."""
    return fold(history.tail, history.stays)


def write_count(blob: bytes) -> int:
    """The counter that the next write must find unchanged."""
    return blob[0]


def pack(history: History, write_count: int) -> bytes:
    """The record's bytes.

    Stays beyond 45 days are shortened; ValueError for anything else that the format cannot hold.
    """
    if len(history.stays) > MAX_STAYS:
        raise ValueError(f"{len(history.stays)} stays, a record holds {MAX_STAYS}")
    minutes = [history.stays[0].first_min, history.stays[-1].last_min] if history.stays else []
    minutes += [point.minute for point in history.tail[:1] + history.tail[-1:]]
    if minutes and not EPOCH_MIN <= min(minutes) <= max(minutes) <= EPOCH_MIN + MAX_MIN:
        raise ValueError("a record holds minutes of the years 2016 to 2047")
    out = bytearray((write_count % 256, VERSION, len(history.stays)))
    for place, first, last, dwell in map(shortened, history.stays):
        begin = first - EPOCH_MIN
        out += STAY.pack(place, begin & 0xFFFF, begin >> 16, last - first, dwell)
    if history.tail:
        out += _pack_tail(history.tail)
    return bytes(out)


def shortened(stay: Stay) -> Stay:
    """A stay too long for a record cut at its beginning, dwell in proportion; any other as it is."""
    place, first, last, dwell = stay
    if last - first <= MAX_LENGTH_MIN:
        return stay
    return Stay(place, last - MAX_LENGTH_MIN, last, dwell * MAX_LENGTH_MIN // (last - first))


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
    end = HEADER_BYTES + STAY_BYTES * blob[2]
    if len(blob) < end:
        raise _damaged(blob, "ends within a stay")
    stays = []
    last = 0
    for place, low, high, length, dwell in STAY.iter_unpack(blob[HEADER_BYTES:end]):
        first = EPOCH_MIN + (high << 16 | low)
        if first < last or dwell > length:
            raise _damaged(blob, "stays out of order")
        last = first + length
        stays.append(Stay(place, first, last, dwell))
    tail = _unpack_tail(blob, end) if len(blob) > end else ()
    if tail and tail[0].minute <= last:
        raise _damaged(blob, "tail begins before the last stay ended")
    return History(tuple(stays), tail)


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
