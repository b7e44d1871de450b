"""location_store.record and record_columns: the bytes of a history, one at a time and many at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from location_store.record import (
    EMPTY,
    EPOCH_MIN,
    MAX_LENGTH_MIN,
    MAX_MIN,
    MAX_SEGMENTS,
    History,
    Point,
    RecordError,
    Segment,
    pack,
    timeline,
    unpack,
    write_count,
)
from location_store.record_columns import Points, Segments, pack_columns, unpack_columns
from location_store.stays import Stay
from tests.location_store.histories import BASE_MIN, histories, stays_of


@given(histories(), st.integers(0, 1000))
def test_what_is_packed_is_unpacked(history: History, count: int) -> None:
    """Every field survives; the first byte is the write counter mod 256."""
    blob = pack(history, count)
    assert unpack(blob) == history
    assert write_count(blob) == count % 256


def test_the_format_byte_by_byte() -> None:
    """Stored records must stay readable: this one never changes while the version is 2."""
    history = History(
        (Segment(1100, EPOCH_MIN + 0x012345, EPOCH_MIN + 0x012345 + 300),),
        (Point(EPOCH_MIN + 0x020000, 1100), Point(EPOCH_MIN + 0x020000 + 10, 3101)),
    )
    segment = "4c04 452301 2c01"
    tail = "000002 02 cc08 9d18 00 15"
    assert pack(history, 7).hex() == f"07 02 01 {segment} {tail}".replace(" ", "")


def test_an_empty_history() -> None:
    """Three bytes; nothing in them."""
    assert pack(EMPTY, 1) == b"\x01\x02\x00"
    assert unpack(b"\x01\x02\x00") == EMPTY
    assert timeline(EMPTY) == []


def test_a_common_history_is_small() -> None:
    """Four segments and three sightings in the tail: 40 bytes."""
    segments = tuple(Segment(1100 + i, BASE_MIN + 1000 * i, BASE_MIN + 1000 * i + 900) for i in range(4))
    tail = tuple(Point(BASE_MIN + 5000 + 40 * i, 1100) for i in range(3))
    assert len(pack(History(segments, tail), 0)) == 40


def test_readers_see_the_segments_and_then_each_sighting_of_the_tail() -> None:
    """And the tail goes on with the last settled stay, as if all were folded."""
    settled = Segment(1100, BASE_MIN, BASE_MIN + 600)
    history = History((settled,), (Point(BASE_MIN + 660, 1100), Point(BASE_MIN + 700, 3101)))
    assert timeline(history) == [
        settled,
        Segment(1100, BASE_MIN + 660, BASE_MIN + 660),
        Segment(3101, BASE_MIN + 700, BASE_MIN + 700),
    ]
    assert stays_of(timeline(history)) == [
        Stay(1100, BASE_MIN, BASE_MIN + 660, 660),
        Stay(3101, BASE_MIN + 700, BASE_MIN + 700, 0),
    ]


def test_a_segment_beyond_45_days_is_cut_at_its_beginning() -> None:
    """No window reaches that far back."""
    last = BASE_MIN + 2 * MAX_LENGTH_MIN
    (segment,) = unpack(pack(History((Segment(1100, BASE_MIN, last),)), 0)).segments
    assert segment == Segment(1100, last - MAX_LENGTH_MIN, last)


@pytest.mark.parametrize(
    "history",
    [
        History(tuple(Segment(1, BASE_MIN + i, BASE_MIN + i) for i in range(MAX_SEGMENTS + 1))),
        History((), (Point(EPOCH_MIN - 1, 1),)),
        History((), (Point(EPOCH_MIN + MAX_MIN + 1, 1),)),
        History((Segment(1, EPOCH_MIN - 10, EPOCH_MIN),)),
    ],
)
def test_what_the_format_cannot_hold_is_refused(history: History) -> None:
    """More than 255 segments, or times outside 2016 to 2047: never cut in silence."""
    with pytest.raises(ValueError, match="a record holds"):
        pack(history, 0)


@given(histories(), st.data())
def test_a_record_cut_short_is_refused_or_a_record(history: History, data: st.DataObject) -> None:
    """Only RecordError, one at a time and in columns alike."""
    blob = pack(history, 1)
    agree(blob[: data.draw(st.integers(0, len(blob)))])


@given(histories(), st.data())
def test_mutated_bytes_never_raise_anything_else(history: History, data: st.DataObject) -> None:
    """Any byte changed: RecordError or a well-formed history, the same in columns."""
    blob = bytearray(pack(history, 1))
    blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    agree(bytes(blob))


@given(st.binary(max_size=60))
def test_random_bytes_never_raise_anything_else(tail: bytes) -> None:
    """The same for bytes that were never a record."""
    agree(b"\x01\x02" + tail)


def agree(blob: bytes) -> None:
    """unpack and unpack_columns take the same bytes for the same history, or both refuse them."""
    try:
        one: History | None = unpack(blob)
    except RecordError:
        one = None
    try:
        many: History | None = to_histories([blob])[0]
    except RecordError:
        many = None
    if blob:
        assert one == many


def to_histories(blobs: list[bytes | None]) -> list[History]:
    segments, tails = unpack_columns(blobs)
    out = []
    for i in range(len(blobs)):
        mine = segments.where(segments.owner == i)
        rows = zip(*(column.tolist() for column in mine[1:]), strict=True)
        tail = tails.owner == i
        points = zip(tails.minute[tail].tolist(), tails.place[tail].tolist(), strict=True)
        out.append(
            History(
                tuple(Segment(p, f + EPOCH_MIN, t + EPOCH_MIN) for p, f, t in rows),
                tuple(Point(m + EPOCH_MIN, p) for m, p in points),
            )
        )
    return out


@given(st.lists(st.none() | histories(), max_size=6))
def test_columns_hold_what_the_records_hold(many: list[History | None]) -> None:
    """unpack_columns is unpack for each; None is an empty history."""
    blobs = [None if history is None else pack(history, 3) for history in many]
    assert to_histories(blobs) == [history or EMPTY for history in many]


@given(st.lists(histories().filter(lambda history: bool(history.tail)), min_size=1, max_size=6))
def test_columns_are_packed_like_records(many: list[History]) -> None:
    """pack_columns gives byte for byte what pack gives."""
    segment_rows = [
        (i, s.place, s.first_min - EPOCH_MIN, s.last_min - EPOCH_MIN)
        for i, h in enumerate(many)
        for s in h.segments
    ]
    point_rows = [(i, p.minute - EPOCH_MIN, p.place) for i, h in enumerate(many) for p in h.tail]
    segments = Segments(*np.array(segment_rows, np.int64).reshape(-1, 4).T)
    tails = Points(*np.array(point_rows, np.int64).reshape(-1, 3).T)
    counts = np.arange(len(many)) * 50
    assert pack_columns(segments, tails, counts) == [pack(h, 50 * i) for i, h in enumerate(many)]


def test_one_damaged_record_among_many_is_named() -> None:
    """The message says what is wrong with it."""
    good = pack(History((), (Point(BASE_MIN, 1100),)), 1)
    with pytest.raises(RecordError, match="ends within a number"):
        unpack_columns([good, good[:-1] + b"\x80", None])
