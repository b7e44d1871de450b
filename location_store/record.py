"""The record of one subscriber: the bytes that lie in Redis, who he is and where he was.

    bytes  field
    1      write counter mod 256, for the compare-and-set of the server function
    1 to 8 the subscriber (see `subscribers`); its first byte tells the version
    the history, absent when nothing is known:
    3      first minute, u24 little-endian, from 2016-01-01T00:00Z
    rest   numbers as varints (LEB128):
             2 n + (K > 1)  n: settled segments; K: different places
             K              if K > 1
             K places, ascending
             n segments, oldest first, two numbers each:
               (minutes since the item before) * K + index of the place, and the length in minutes
             the tail, oldest first, a number each: (minutes since the item before) * K + index

So a number costs a byte as a rule, and time cannot run backwards. A segment is a run of sightings without a
silence over 2 h, so that presence is its length and any part of it can be cut off exactly (see `stays`).

Invariant: a record has one packed form, and unpack returns what was packed or raises. `record_columns` does
the same for many at once. Called by whoever reads a record, and by tests.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from location_store import subscribers
from location_store.epoch import EPOCH_MIN, MAX_MIN, MINUTE_BYTES
from location_store.errors import RecordError
from location_store.stays import Point, Segment
from location_store.subscribers import NOBODY, SIZES, Subscriber

__all__ = ["EMPTY", "History", "Point", "Record", "RecordError", "Segment", "pack", "timeline", "unpack"]

MAX_SEGMENTS = 255
MAX_VARINT_BYTES = 6  # (a step of up to 2^24 minutes) * (up to 2^16 places) + index


class History(NamedTuple):
    """Where a subscriber was.

    segments: settled runs, oldest first. tail: every distinct sighting of the last lateness (2 h) before the
    newest one, by (minute, place), not folded yet, so that a late sighting can still be put where it
    belongs.
    """

    segments: tuple[Segment, ...] = ()
    tail: tuple[Point, ...] = ()


EMPTY = History()


class Record(NamedTuple):
    """What is kept of one subscriber."""

    subscriber: Subscriber = NOBODY
    history: History = EMPTY


NOTHING = Record()
"""Of a number that the store does not know: such a record is not stored."""


def timeline(history: History) -> list[Segment]:
    """The segments and then the tail, each sighting for itself: what readers use."""
    return [*history.segments, *(Segment(place, minute, minute) for minute, place in history.tail)]


def history_offset(blob: bytes) -> int:
    """Where the history begins in a record. Raises RecordError for an unknown version."""
    size = SIZES[blob[1]] if len(blob) > 1 else 0
    if not size or len(blob) <= size:
        raise RecordError(f"record of {len(blob)} bytes is damaged or of an unknown version")
    return 1 + size


def pack(record: Record, write_count: int) -> bytes:
    """The record's bytes; ValueError for what the format cannot hold."""
    return bytes((write_count % 256,)) + subscribers.pack(record.subscriber) + pack_history(record.history)


def unpack(blob: bytes | None) -> Record:
    """The record in the bytes, NOTHING where there are none. Raises RecordError for a damaged one."""
    if blob is None:
        return NOTHING
    offset = history_offset(blob)
    return Record(subscribers.unpack(blob[1:offset]), unpack_history(blob[offset:]))


def rewritten(blob: bytes | None, record: Record) -> bytes | None:
    """The bytes that replace `blob` by `record`, None where nothing is to be kept."""
    return None if record == NOTHING else pack(record, blob[0] + 1 if blob else 1)


def with_subscriber(blob: bytes | None, part: bytes) -> bytes:
    """The bytes that replace `blob` by a record of the same history and another subscriber (packed)."""
    if blob is None:
        return b"\x01" + part
    return bytes(((blob[0] + 1) % 256,)) + part + blob[history_offset(blob) :]


def cut(history: History, minute: int) -> History:
    """What there was from this unix minute on."""
    return History(
        tuple(
            each._replace(first_min=max(each.first_min, minute))
            for each in history.segments
            if each.last_min >= minute
        ),
        tuple(each for each in history.tail if each.minute >= minute),
    )


def pack_history(history: History) -> bytes:
    """The bytes of the history; ValueError for what the format cannot hold."""
    items = timeline(history)
    if not items:
        return b""
    if len(history.segments) > MAX_SEGMENTS:
        raise ValueError(f"{len(history.segments)} segments, a record holds {MAX_SEGMENTS}")
    first, last = items[0].first_min - EPOCH_MIN, items[-1].last_min - EPOCH_MIN
    if not 0 <= first <= last <= MAX_MIN:
        raise ValueError("a record holds minutes of the years 2016 to 2047")
    places = sorted({item.place for item in items})
    index = {place: i for i, place in enumerate(places)}
    many = len(places) > 1
    numbers = [2 * len(history.segments) + many, *([len(places)] if many else []), *places]
    before = items[0].first_min
    for number, item in enumerate(items):
        numbers.append((item.first_min - before) * len(places) + index[item.place])
        if number < len(history.segments):
            numbers.append(item.last_min - item.first_min)
        before = item.last_min
    if min(numbers) < 0:
        raise ValueError("segments and points must follow one another in time")
    return first.to_bytes(MINUTE_BYTES, "little") + b"".join(map(varint, numbers))


def varint(number: int) -> bytes:
    """LEB128: seven bits a byte, the lowest first."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def unpack_history(blob: bytes) -> History:
    """The history in the bytes. Raises RecordError when their structure is not that of one."""
    if not blob:
        return EMPTY
    numbers = list(_varints(blob))
    count, many = divmod(numbers[0], 2) if numbers else (0, 0)
    place_count = numbers[1] if many and len(numbers) > 1 else 1
    begin = 1 + many
    places, items = numbers[begin : begin + place_count], numbers[begin + place_count :]
    if place_count < 1 + many or len(items) < max(2 * count, 1) or count > MAX_SEGMENTS:
        raise _damaged(blob, "it is incomplete")
    minute = EPOCH_MIN + int.from_bytes(blob[:MINUTE_BYTES], "little")
    segments = []
    for code, length in zip(items[: 2 * count : 2], items[1 : 2 * count : 2], strict=True):
        step, index = divmod(code, place_count)
        segments.append(Segment(places[index], minute + step, minute + step + length))
        minute += step + length
    tail = []
    for code in items[2 * count :]:
        step, index = divmod(code, place_count)
        minute += step
        tail.append(Point(minute, places[index]))
    _check_order(blob, places, tail, items[0] < place_count, minute)
    if segments and tail and tail[0].minute <= segments[-1].last_min:
        raise _damaged(blob, "the tail begins before the last segment ended")
    return History(tuple(segments), tuple(tail))


def _check_order(
    blob: bytes, places: Sequence[int], tail: Sequence[Point], begins: bool, last_min: int
) -> None:
    ascending = all(a < b for a, b in pairwise(tail)) and all(a < b for a, b in pairwise(places))
    if not begins or not ascending or places[-1] > 0xFFFF or last_min > EPOCH_MIN + MAX_MIN:
        raise _damaged(blob, "it is not in order")


def _varints(blob: bytes) -> Iterable[int]:
    value = shift = 0
    for byte in blob[MINUTE_BYTES:]:
        value |= (byte & 127) << shift
        if byte < 128:
            yield value
            value = shift = 0
        elif (shift := shift + 7) == 7 * MAX_VARINT_BYTES:
            raise _damaged(blob, "a number is too long")
    if shift:
        raise _damaged(blob, "it ends within a number")


def _damaged(blob: bytes, why: str) -> RecordError:
    return RecordError(f"history of {len(blob)} bytes is damaged: {why}")
